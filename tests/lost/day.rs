//! The batch document and the ExportLog of a day are both lost: its rows tell that it was exported, and it is not begun anew.

use std::time::Duration;

use mongodb::bson::{Document, doc};

use super::{BEFORE, EVENING, assert_found, lose, two_days};
use crate::support::command::{BatchExport, told};
use crate::support::day::{BATCH, BATCHES, Day, EXPORTED, FILE, LOG};
use crate::support::mongod::Mongod;
use crate::support::proxy::{On, Proxy};
use crate::support::seed::{DATE, seed_day};

const AFTER: &str = "2026-01-19";
const NEXT_EVENING: &str = "2026-01-19T18:30:00+07:00";
const PATIENCE: Duration = Duration::from_secs(60);
const LACKS: &str = "of their documents";

fn next_day(day: &Day) -> BatchExport {
    seed_day(&day.db, AFTER, 2);
    day.command("run").date(AFTER).now(NEXT_EVENING)
}

#[test]
fn a_day_whose_document_and_log_are_lost_is_not_recorded_as_empty() {
    let day = two_days();
    lose(&day, &[(BATCHES, doc! { "_id": BATCH }), (LOG, doc! { "metadata.batchId": BATCH })]);
    let refused = told(&day.run().now(EVENING).run().expect_code(30).json()["error"]);
    assert!(refused.contains("whose batch document and ExportLog are lost"), "{refused}");
    assert_eq!(day.batch().get_str("state").ok(), Some("failed"));
    assert_found(&day, &["restore"]);
    // Another day is as it is.
    day.command("run").date("2026-01-19").now("2026-01-19T18:00:05+07:00").run().expect_code(0);
}

#[test]
fn a_day_whose_document_and_log_are_lost_gets_no_second_file_from_new_rows() {
    let day = two_days();
    lose(&day, &[(BATCHES, doc! { "_id": BATCH }), (LOG, doc! { "metadata.batchId": BATCH })]);
    std::fs::remove_file(day.directory().join("batch_2026-01-18.csv")).expect("to take the file away");
    seed_day(&day.db, DATE, 2);
    let refused = told(&day.run().now(EVENING).run().expect_code(30).json()["error"]);
    assert!(refused.contains("whose batch document and ExportLog are lost"), "{refused}");
    assert!(!day.directory().join("batch_2026-01-18.csv").exists());
}

/// Its number is not the last one.
#[test]
fn a_lost_day_between_others_gets_no_second_file_from_new_rows_and_runs_once_its_records_are_restored() {
    let day = two_days();
    next_day(&day).run().expect_code(0);
    let (document, log) = (doc! { "_id": BATCH }, doc! { "metadata.batchId": BATCH });
    let kept = [(BATCHES, day.db.find_all(BATCHES, document.clone())), (LOG, day.db.find_all(LOG, log.clone()))];
    lose(&day, &[(BATCHES, document.clone()), (LOG, log)]);
    let file = day.directory().join(FILE);
    // A rename needs the same file system.
    let away = tempfile::tempdir_in(day.directory().parent().expect("a parent")).expect("a folder");
    std::fs::rename(&file, away.path().join(FILE)).expect("to move the file away");
    seed_day(&day.db, DATE, 2);
    let exported = || (day.db.count(EXPORTED, doc! {}), day.rows_with_status("queued"), day.live_files().len());
    let before = exported();
    let says = "whose batch document and ExportLog are lost; batches up to number 3 were exported, and exportbatches has 2 of their documents";
    let run = || day.run().now(NEXT_EVENING);
    let retry = || day.retry().now(NEXT_EVENING);
    for refused in [run().run(), run().arg("--now").run(), {
        day.let_time_pass();
        retry().run()
    }] {
        let ended = refused.expect_code(30).json();
        let error = if ended["error"].is_null() { &ended["batches"][0]["error"] } else { &ended["error"] };
        assert!(told(error).contains(says) && told(error).contains("restore both from a backup"), "{ended}");
        assert_eq!(exported(), before, "{ended}");
    }
    let refused = day.batch();
    assert_eq!(refused.get_str("state").ok(), Some("failed"), "{refused}");
    lose(&day, &[(BATCHES, document)]);
    for (collection, documents) in kept {
        day.db.insert_many(collection, documents);
    }
    std::fs::rename(away.path().join(FILE), file).expect("to move the file back");
    let again = run().run().expect_code(0).json();
    assert_eq!((&again["outcome"], &again["number"]), (&"already_completed".into(), &2.into()), "{again}");
    // The new rows are late ones.
    let next = day.command("run").date("2026-01-20").now("2026-01-20T18:30:00+07:00").run().expect_code(0).json();
    assert_eq!((&next["number"], &next["carried_over"]), (&4.into(), &2.into()), "{next}");
    day.command("verify").now("2026-01-20T18:30:00+07:00").run().expect_code(0);
}

/// A person gives the lost records up.
#[test]
fn a_lost_day_whose_rows_name_it_no_more_begins_anew_without_their_entries() {
    let day = two_days();
    next_day(&day).run().expect_code(0);
    lose(&day, &[(BATCHES, doc! { "_id": BATCH }), (LOG, doc! { "metadata.batchId": BATCH })]);
    std::fs::remove_file(day.directory().join(FILE)).expect("to take the file away");
    seed_day(&day.db, DATE, 2);
    let refused = told(&day.run().now(NEXT_EVENING).run().expect_code(30).json()["error"]);
    assert!(refused.contains("and the day begins anew, without their entries"), "{refused}");
    let rename = doc! { "$rename": { "metadata.batchId": "metadata.lostBatchId" } };
    day.db.update_many("exportqueues", doc! { "metadata.batchId": BATCH }, rename);
    let begun = day.run().now(NEXT_EVENING).arg("--now").run().expect_code(0).json();
    assert_eq!((&begun["number"], &begun["entries"]), (&4.into(), &2.into()), "{begun}");
}

#[test]
fn another_day_than_the_lost_one_runs_and_says_what_is_lost() {
    for lost in [
        &[(BATCHES, doc! { "_id": BATCH })][..],
        &[(BATCHES, doc! { "_id": BATCH }), (LOG, doc! { "metadata.batchId": BATCH })],
    ] {
        let day = two_days();
        lose(&day, lost);
        let ended = next_day(&day).run().expect_code(0);
        let says = format!("batches up to number 2 were exported, and exportbatches has 1 {LACKS}");
        assert!(ended.stderr.contains(&says), "{}", ended.report());
        assert_eq!(ended.json()["number"], 3, "{}", ended.report());
    }
}

/// Of the two counts, one is of the time before that commit.
#[test]
fn a_batch_that_another_run_commits_between_two_reads_is_not_taken_for_a_lost_one() {
    let day = Day::in_directory();
    day.command("init").run().expect_code(0);
    seed_day(&day.db, BEFORE, 3);
    day.command("run").date(BEFORE).now(EVENING).run().expect_code(0);
    seed_day(&day.db, DATE, 3);
    let proxy = Proxy::before(Mongod::shared());
    let counts = |command: &Document| command.to_string().contains("$group");
    let counted = proxy.hold(On::command("aggregate").collection(BATCHES).matching(counts).after());
    let of_ledger =
        |command: &Document| command.get_document("filter").is_ok_and(|one| one.get_str("_id").ok() == Some("ledger"));
    let ledger = proxy.hold(On::command("find").collection(BATCHES).matching(of_ledger));
    let run = next_day(&day).mongodb(&proxy.uri(&day.db)).spawn();
    counted.wait_until_reached(PATIENCE);
    ledger.wait_until_reached(PATIENCE);
    day.run().now(EVENING).run().expect_code(0);
    counted.release();
    ledger.release();
    let ended = run.wait(PATIENCE).expect_code(0);
    assert_eq!(ended.json()["number"], 3, "{}", ended.report());
    assert!(!ended.stderr.contains(LACKS), "{}", ended.report());
}

/// They have no number.
#[test]
fn empty_days_are_no_lost_ones() {
    let day = Day::with_empty_queue();
    day.command("init").run().expect_code(0);
    day.command("run").date(BEFORE).now(EVENING).run().expect_code(0);
    seed_day(&day.db, DATE, 3);
    day.run().now(EVENING).run().expect_code(0);
    let next = next_day(&day).run().expect_code(0);
    assert!(!next.stderr.contains(LACKS) && next.json()["number"] == 2, "{}", next.report());
}
