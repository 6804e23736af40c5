//! The right day: impossible dates, days that are closed by hand, rows that come too late, rows that never become due.

mod ahead;
mod early;
mod queue;

use mongodb::bson::doc;

use crate::support::command::told;
use crate::support::day::{BATCHES, Day};
use crate::support::seed::{DATE, Entry, QUEUE, seed, seed_day};

const NOON: &str = "2026-01-18T12:00:00+07:00";
const EVENING: &str = "2026-01-18T18:30:00+07:00";

fn documents(day: &Day) -> u64 {
    day.db.count(BATCHES, doc! {})
}

#[test]
fn a_date_later_than_tomorrow_is_a_slip_with_a_likely_meaning_in_every_command() {
    let day = Day::in_directory();
    seed_day(&day.db, DATE, 3);
    for (command, arguments) in [
        ("run", &["--date", "2569-01-18"][..]),
        ("run", &["--date", "2569-01-18", "--early"]),
        ("run", &["--date", "2569-01-18", "--dry-run"]),
        ("retry", &["--date", "2569-01-18"]),
        ("status", &["--date", "2569-01-18"]),
        ("verify", &["--date", "2569-01-18"]),
        ("unlock", &["--date", "2569-01-18"]),
        ("backfill", &["--from", "2569-01-18", "--to", "2569-01-18"]),
        ("backfill", &["--from", "2026-01-18", "--to", "2569-01-18"]),
    ] {
        let refused = day.command(command).now(EVENING).args(arguments).run().expect_code(2);
        let told = told(&refused.json()["error"]);
        assert!(
            told.contains("2569-01-18 is later than tomorrow\nif the year is Buddhist, write 2026-01-18"),
            "{command}: {told}"
        );
    }
    let soon = day.command("run").now(EVENING).args(&["--date", "2026-01-28", "--early"]).run().expect_code(2);
    assert!(told(&soon.json()["error"]).contains("later than tomorrow, 2026-01-19"));
    assert_eq!((documents(&day), day.rows_with_status("queued")), (0, 3));
}

#[test]
fn tomorrow_is_not_due_and_early_is_for_today_only() {
    let day = Day::in_directory();
    seed_day(&day.db, DATE, 3);
    let tomorrow = |early: &[&str]| day.command("run").now(NOON).args(&["--date", "2026-01-19"]).args(early).run();
    assert!(!told(&tomorrow(&[]).expect_code(11).json()["error"]).contains("--early"));
    assert!(told(&tomorrow(&["--early"]).expect_code(2).json()["error"]).contains("--early is for today only"));
    for arguments in [&["--date", "2026-01-17", "--early"][..], &["--date", "2026-01-17", "--early", "--dry-run"]] {
        let past = day.command("run").args(arguments).run().expect_code(2).json();
        let told = told(&past["error"]);
        assert!(told.contains("--early is for today only, 2026-01-18") && told.contains("leave --early out"), "{told}");
    }
    assert_eq!((documents(&day), day.rows_with_status("queued")), (0, 3));
}

#[test]
fn a_day_closed_by_hand_takes_what_is_queued_so_far_and_tells_what_came_after_it() {
    let day = Day::in_directory();
    seed_day(&day.db, DATE, 5);
    let early = day.run().now(NOON).arg("--early").run().expect_code(0).json();
    assert_eq!((&early["entries"], &early["carried_over"]), (&5.into(), &0.into()), "the rows of 18:00 are its own");
    let batch = day.batch();
    let window = batch.get_document("window").unwrap();
    assert!(window.get_bool("early").unwrap());
    assert_eq!(window.get_datetime("cutoff").unwrap().to_string(), "2026-01-18 11:00:00.0 +00:00:00");
    day.command("status").now(EVENING).arg("--check").run().expect_code(0);

    seed(&day.db, &(10..14).map(|number| Entry::numbered(DATE, number)).collect::<Vec<_>>());
    let again = day.run().now(EVENING).run().expect_code(0).json();
    assert_eq!((&again["outcome"], &again["late"]), (&"already_completed".into(), &4.into()));
    let status = day.command("status").now(EVENING).run().expect_code(0).json();
    assert_eq!((&status["batches"][0]["early"], &status["batches"][0]["late"]), (&true.into(), &4.into()));
    let check = day.command("status").now(EVENING).arg("--check").run().expect_code(34).json();
    assert_eq!(check["problems"][0]["kind"], "late_rows");
    assert!(check["problems"][0]["message"].as_str().unwrap().contains("wait for the next day's file: 4"), "{check}");

    let next = day.command("run").now("2026-01-19T18:30:00+07:00").run().expect_code(0).json();
    assert_eq!((&next["entries"], &next["carried_over"]), (&4.into(), &4.into()));
    day.command("status").now(EVENING).arg("--check").run().expect_code(0);
}

#[test]
fn closing_a_day_by_hand_over_nothing_closes_nothing() {
    let day = Day::in_directory();
    seed_day(&day.db, "2026-01-19", 2);
    let early = day.run().now(NOON).arg("--early").run().expect_code(0).json();
    assert_eq!(early["outcome"], "nothing_due");
    assert_eq!(documents(&day), 0);
    seed_day(&day.db, DATE, 3);
    assert_eq!(day.run().run().expect_code(0).json()["entries"], 3);
}

#[test]
fn after_the_cut_off_early_means_nothing() {
    let day = Day::in_directory();
    seed_day(&day.db, DATE, 3);
    day.run().now(EVENING).arg("--early").run().expect_code(0);
    assert!(!day.batch().get_document("window").unwrap().get_bool("early").unwrap());
}

#[test]
fn late_rows_of_a_day_that_closed_by_itself_are_counted_and_go_into_the_next_file() {
    let day = Day::in_directory();
    seed_day(&day.db, DATE, 3);
    day.run().run().expect_code(0);
    seed(&day.db, &[Entry::numbered(DATE, 20)]);
    assert_eq!(day.run().run().expect_code(0).json()["late"], 1);
    let shown = day.command("status").now(EVENING).run().expect_code(0);
    assert_eq!(shown.json()["batches"][0]["late"], 1);
    let text = day.command("status").now(EVENING).args(&["--output", "text"]).run().expect_code(0).stdout;
    assert!(text.contains("late rows that wait for the next day's file: 1"), "{text}");
    day.command("status").now(EVENING).arg("--check").run().expect_code(0);
}

#[test]
fn rows_that_were_queued_again_after_their_export_are_late_rows_that_the_next_run_refuses() {
    let day = Day::in_directory();
    let seeded = seed_day(&day.db, DATE, 3);
    day.run().run().expect_code(0);
    day.db.update_one(QUEUE, doc! { "_id": seeded.rows[1] }, doc! { "$set": { "status": "queued" } });
    seed(&day.db, &[Entry::numbered(DATE, 20)]);
    assert_eq!(day.run().run().expect_code(0).json()["late"], 2);
    assert_eq!(day.command("status").now(EVENING).run().expect_code(0).json()["batches"][0]["late"], 2);
    let text = day.command("status").now(EVENING).args(&["--output", "text"]).run().expect_code(0).stdout;
    let says =
        "among them, rows queued again after their export, which the next run refuses without --allow-reexport: 1";
    assert!(text.contains("late rows that wait for the next day's file: 2") && text.contains(says), "{text}");
}

#[test]
fn a_row_queued_again_after_an_early_close_fails_the_check() {
    let day = Day::in_directory();
    let seeded = seed_day(&day.db, DATE, 3);
    day.run().now(NOON).arg("--early").run().expect_code(0);
    day.db.update_one(QUEUE, doc! { "_id": seeded.rows[1] }, doc! { "$set": { "status": "queued" } });
    let check = day.command("status").now(EVENING).arg("--check").run().expect_code(34).json();
    assert_eq!(check["problems"][0]["kind"], "late_rows", "{check}");
}

#[test]
fn the_rows_of_a_batch_that_is_marking_are_no_late_rows() {
    let day = Day::in_directory();
    seed_day(&day.db, DATE, 3);
    day.run().run().expect_code(0);
    day.db.update_one("exportbatches", doc! { "_id": "batch_2026-01-18" }, doc! { "$set": { "state": "marking" } });
    day.db.update_many(QUEUE, doc! {}, doc! { "$set": { "status": "queued" } });
    assert_eq!(day.command("status").now(EVENING).run().expect_code(0).json()["batches"][0]["late"], 0);
    let folder = tempfile::tempdir().expect("a folder");
    let metrics = folder.path().join("batch.prom");
    day.command("status").now(EVENING).args(&["--check", "--metrics-file", metrics.to_str().unwrap()]).run();
    let text = std::fs::read_to_string(&metrics).expect("the metrics");
    assert!(text.contains("stuck_rows") && !text.contains("late_rows"), "{text}");
}

#[test]
fn a_machine_whose_clock_is_a_year_ahead_closes_no_day() {
    let day = Day::in_directory();
    seed_day(&day.db, DATE, 3);
    let ahead = "2099-01-18T18:30:00+07:00";
    for command in [day.command("retry").now(ahead), day.command("run").now(ahead)] {
        let refused = command.run().expect_code(30).json();
        let error = refused.get("batches").map_or(&refused["error"], |batches| &batches[0]["error"]);
        assert!(told(error).contains("the clock of this machine or of the database is wrong"), "{refused}");
    }
    day.command("run").now(ahead).arg("--dry-run").run().expect_code(30);
    let early = day.command("run").now("2099-01-18T12:00:00+07:00").arg("--early").run().expect_code(30).json();
    assert!(told(&early["error"]).contains("nothing was written"), "{early}");
    assert_eq!((documents(&day), day.rows_with_status("queued")), (0, 3));
}
