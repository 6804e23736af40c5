//! `--invalid hold`: the valid entries are exported, the others are held back with their reason, and none is skipped
//! silently.

use std::time::Duration;

use mongodb::bson::{doc, oid::ObjectId};

use crate::support::command::told;
use crate::support::day::{Day, entry_ids};
use crate::support::mongod::Mongod;
use crate::support::proxy::{On, Proxy};
use crate::support::seed::{DATE, Entry, QUEUE, instant, seed, seed_day};

#[test]
fn the_others_are_exported_and_held_rows_fail_with_their_reason() {
    let day = Day::in_directory();
    let entries: Vec<Entry> = (0..6)
        .map(|n| match n {
            1 => Entry::numbered(DATE, n).set("status", "draft"),
            4 => Entry::numbered(DATE, n).set("amount", 0.5),
            _ => Entry::numbered(DATE, n),
        })
        .collect();
    seed(&day.db, &entries);
    let result = day.run().args(&["--invalid", "hold"]).run().expect_code(0).json();
    let held = result["held"].as_array().unwrap();
    assert_eq!((result["entries"].as_u64(), held.len()), (Some(4), 2), "{result}");
    let (failed, completed) = (day.rows_with_status("failed"), day.rows_with_status("completed"));
    assert_eq!((failed, completed, day.rows_with_status("queued")), (2, 4, 0));
    let ids = entry_ids(&day.live_files()[0].bytes);
    for row in day.db.find_all(QUEUE, doc! { "status": "failed" }) {
        let entry = row.get_object_id("entryId").unwrap().to_hex();
        let listed = held.iter().find(|held| held["entry_id"] == entry).expect("it is listed");
        assert_eq!(Some(row.get_str("lastError").unwrap()), listed["reason"].as_str());
        assert!(!ids.contains(&entry), "a held entry is in the file");
        assert!(row.get_document("metadata").unwrap().get("batchId").is_none(), "{row}");
    }
    let text = day.run().args(&["--output", "text"]).run().expect_code(0).stdout;
    assert!(text.contains("already_completed"), "{text}");
    day.check_converged();
    day.command("verify").run().expect_code(0);
}

/// The commit compares them with what was read, however far apart in the file the rows of one entry are.
#[test]
fn two_rows_of_one_entry_that_are_far_apart_are_both_held() {
    let day = Day::in_directory();
    let seeded = seed_day(&day.db, DATE, 12_000);
    let mut second = day.db.find_one(QUEUE, doc! { "_id": seeded.rows[0] }).expect("the first row");
    second.insert("_id", ObjectId::new());
    second.insert("scheduledFor", instant(DATE, 18 * 3_600 - 1));
    day.db.insert_many(QUEUE, vec![second]);
    let result = day.run().args(&["--invalid", "hold"]).run().expect_code(0).json();
    assert_eq!((result["entries"].as_u64(), &result["attempt"]), (Some(11_999), &1.into()), "{}", result["error"]);
    let held = result["held"].as_array().expect("a list");
    assert_eq!(held.len(), 2, "{held:?}");
    assert!(held.iter().all(|held| held["reason"].as_str().unwrap().contains("queued more than once")), "{held:?}");
}

#[test]
fn a_row_that_cannot_be_addressed_is_not_held_and_holding_is_not_the_advice() {
    let day = Day::in_directory();
    seed(&day.db, &[Entry::numbered(DATE, 0)]);
    let mut row = Entry::numbered(DATE, 1).row();
    row.insert("_id", "row-1");
    day.db.insert_many(QUEUE, vec![row]);
    let refused = day.run().args(&["--invalid", "hold"]).run().expect_code(32).json();
    let message = told(&refused["error"]);
    assert!(message.contains("queue row \"row-1\"") && message.contains("a new _id"), "{message}");
    assert!(!message.contains("--invalid hold"), "{message}");
    assert_eq!((day.live_files().len(), day.rows_with_status("queued")), (0, 2));
}

#[test]
fn holding_is_not_the_advice_when_no_entry_would_be_left() {
    for (good, holding) in [(0, false), (1, true)] {
        let day = Day::in_directory();
        let bad = |n| Entry::numbered(DATE, n).set("status", "draft");
        let good = (2..2 + good).map(|n| Entry::numbered(DATE, n));
        seed(&day.db, &[bad(0), bad(1)].into_iter().chain(good).collect::<Vec<_>>());
        let refused = day.run().run().expect_code(32).json();
        let next = refused["error"]["next"].as_str().unwrap();
        assert!(next.starts_with("correct the entries") && !next.contains("--format"), "{next}");
        assert_eq!((next.contains("--invalid hold"), next.contains("no other entry")), (holding, !holding), "{next}");
    }
}

/// Another layout does not help an entry that was exported before.
#[test]
fn the_next_step_fits_the_reason() {
    let next = |day: &Day, arguments: &[&str]| {
        let run = day.command("run").date("2026-01-19").now("2026-01-19T18:00:05+07:00").args(arguments).run();
        run.expect_code(32).json()["error"]["next"].as_str().unwrap().to_owned()
    };
    let again = |day: &Day, row: ObjectId| {
        let mut second = day.db.find_one(QUEUE, doc! { "_id": row }).expect("the row");
        second.extend(doc! { "_id": ObjectId::new(), "status": "queued", "metadata": null });
        day.db.insert_many(QUEUE, vec![second]);
    };
    let exported = Day::in_directory();
    let rows = seed_day(&exported.db, DATE, 2).rows;
    exported.run().run().expect_code(0);
    again(&exported, rows[0]);
    let before = "take what was exported before out of the queue, or allow a second export with --allow-reexport";
    assert_eq!(next(&exported, &[]), format!("{before}; no other entry is due"));
    seed_day(&exported.db, "2026-01-19", 1);
    let more = next(&exported, &["--now"]);
    assert_eq!(more, format!("{before}, or export the others with --invalid hold"));
    seed(&exported.db, &[Entry::numbered(DATE, 77).set("status", "draft")]);
    let more = next(&exported, &["--now"]);
    assert_eq!(more, format!("{before}; correct the others, or export the others with --invalid hold"));

    let twice = Day::in_directory();
    again(&twice, seed_day(&twice.db, DATE, 1).rows[0]);
    let once = "leave one row in the queue of each entry that is queued more than once; no other entry is due";
    assert_eq!(next(&twice, &[]), once);
}

#[test]
fn held_rows_fail_in_the_commit_and_not_before_it() {
    let proxy = Proxy::before(Mongod::shared());
    let day = Day::in_directory().through(&proxy);
    seed(&day.db, &[Entry::numbered(DATE, 0), Entry::numbered(DATE, 1).set("status", "draft")]);
    let stop = proxy.hold(On::command("commitTransaction").before());
    let run = day.run().args(&["--invalid", "hold"]).spawn();
    stop.wait_until_reached(Duration::from_secs(30));
    assert_eq!((day.rows_with_status("queued"), day.rows_with_status("failed")), (2, 0));
    stop.release();
    run.wait(Duration::from_secs(30)).expect_code(0);
    assert_eq!((day.rows_with_status("completed"), day.rows_with_status("failed")), (1, 1));
    day.check_converged();
}

#[test]
fn a_held_row_that_is_corrected_and_queued_again_goes_into_the_next_file() {
    let day = Day::in_directory();
    let late = Entry::numbered(DATE, 1);
    seed(&day.db, &[Entry::numbered(DATE, 0), late.clone().set("accountCode", "")]);
    day.run().args(&["--invalid", "hold"]).run().expect_code(0);
    let changes = doc! { "$set": { "accountCode": "1101-00" } };
    day.db.update_one("journalentries", doc! { "_id": late.id() }, changes);
    day.db.update_one(QUEUE, doc! { "status": "failed" }, doc! { "$set": { "status": "queued" } });
    let next = day.command("run").date("2026-01-19").now("2026-01-19T18:00:05+07:00");
    let result = next.run().expect_code(0).json();
    assert_eq!((result["entries"].as_u64(), result["carried_over"].as_u64()), (Some(1), Some(1)));
    day.check_converged();
}

#[test]
fn a_day_of_which_everything_is_held_leaves_a_file_of_its_header_and_every_row_failed() {
    let day = Day::in_directory();
    let bad = |n| Entry::numbered(DATE, n).set("type", "neither");
    seed(&day.db, &[bad(0), bad(1)]);
    let result = day.run().args(&["--invalid", "hold"]).run().expect_code(0).json();
    // A number and a log all the same: the rows changed, and a change of rows is never without a record.
    assert_eq!((result["outcome"].as_str(), result["number"].as_i64()), (Some("completed"), Some(1)), "{result}");
    assert_eq!((result["entries"].as_u64(), result["held"].as_array().unwrap().len()), (Some(0), 2));
    assert_eq!(day.live_files()[0].bytes, b"Entry ID,Date,Account,Debit,Credit,Description\r\n");
    assert_eq!((day.rows_with_status("failed"), day.log().len()), (2, 1));
    day.check_converged();
    day.command("verify").run().expect_code(0);
}

/// Else every row would be marked as failed.
#[test]
fn a_mistyped_collection_of_entries_holds_no_row_and_is_named() {
    let day = Day::in_directory();
    seed_day(&day.db, DATE, 3);
    let mistyped = |name: &str, arguments: &[&str]| {
        let command = day.command(name).now("2026-01-18T18:30:00+07:00").args(arguments);
        command.env("BATCH_EXPORT_ENTRIES_COLLECTION", "journalentires").run()
    };
    let words = "has no entry in journalentires";
    for (command, arguments) in
        [("run", &["--invalid", "hold"][..]), ("run", &["--now"]), ("run", &["--dry-run"]), ("retry", &[])]
    {
        day.db.update_many("exportbatches", doc! {}, doc! { "$set": { "nextRetryAt": instant(DATE, 0) } });
        let result = mistyped(command, arguments).expect_code(30).json();
        let error = if command == "retry" { &result["batches"][0]["error"] } else { &result["error"] };
        assert!(told(error).contains(words) && told(error).contains("--entries-collection"), "{result}");
    }
    let doctor = mistyped("doctor", &[]).expect_code(34).json();
    let due = doctor["checks"].as_array().unwrap().iter().find(|check| check["name"] == "due entries").unwrap();
    assert!(due["verdict"] == "bad" && due["found"].as_str().unwrap().contains(words), "{due}");
    assert_eq!((day.rows_with_status("queued"), day.rows_with_status("failed")), (3, 0));
    day.run().arg("--now").run().expect_code(0);
    day.check_converged();
}

/// A collection that has documents, and none of the application's entries.
#[test]
fn a_collection_without_the_entries_of_all_rows_holds_none_of_them_and_is_named() {
    let day = Day::in_directory();
    seed_day(&day.db, DATE, 3);
    day.db.insert_many("journalentries_old", vec![doc! { "status": "approved" }]);
    let mistyped = |name: &str, policy: &str| {
        let command = day.command(name).now("2026-01-18T18:30:00+07:00").env("BATCH_EXPORT_INVALID", policy);
        command.env("BATCH_EXPORT_ENTRIES_COLLECTION", "journalentries_old").run()
    };
    let words = "has none of their entries in journalentries_old";
    let refused = mistyped("run", "hold").expect_code(30).json();
    assert!(
        told(&refused["error"]).contains(words) && told(&refused["error"]).contains("--entries-collection"),
        "{refused}"
    );
    for policy in ["hold", "fail"] {
        let doctor = mistyped("doctor", policy).expect_code(34).json();
        let due = doctor["checks"].as_array().unwrap().iter().find(|check| check["name"] == "due entries").unwrap();
        assert!(due["verdict"] == "bad" && due["found"].as_str().unwrap().contains(words), "{due}");
    }
    day.db.update_many("exportbatches", doc! {}, doc! { "$set": { "nextRetryAt": instant(DATE, 0) } });
    let refused = mistyped("run", "fail").expect_code(32).json();
    assert!(told(&refused["error"]).contains("is --entries-collection right?"), "{refused}");
    assert_eq!((day.rows_with_status("queued"), day.live_files().len()), (3, 0));
    day.retry().now("2026-01-18T18:31:00+07:00").run().expect_code(0);
    // Of the next day a single entry is due; that others were exported shows that it is not there for all.
    seed_day(&day.db, "2026-01-19", 1);
    let next = |collection: &str| {
        let run = day.command("run").date("2026-01-19").now("2026-01-19T18:30:00+07:00").args(&[
            "--now",
            "--invalid",
            "hold",
        ]);
        run.env("BATCH_EXPORT_ENTRIES_COLLECTION", collection).run()
    };
    let refused = next("journalentries_old").expect_code(30).json();
    assert!(told(&refused["error"]).contains(words), "{refused}");
    next("journalentries").expect_code(0);
    day.check_converged();
}

#[test]
fn entries_that_were_deleted_are_held_where_others_show_that_the_collection_is_right() {
    let only = Day::in_directory();
    let seeded = seed_day(&only.db, DATE, 1);
    only.db.delete_many("journalentries", doc! { "_id": seeded.entries[0] });
    only.db.insert_many("journalentries", vec![Entry::numbered(DATE, 7).document()]);
    only.run().args(&["--invalid", "hold"]).run().expect_code(0);
    assert_eq!(only.rows_with_status("failed"), 1);

    let day = Day::in_directory();
    seed_day(&day.db, DATE, 2);
    day.run().run().expect_code(0);
    let seeded = seed_day(&day.db, "2026-01-19", 2);
    day.db.delete_many("journalentries", doc! { "_id": { "$in": seeded.entries } });
    let run = day.command("run").date("2026-01-19").now("2026-01-19T18:30:00+07:00").args(&["--invalid", "hold"]);
    assert_eq!(run.run().expect_code(0).json()["held"].as_array().unwrap().len(), 2);
    assert_eq!(day.rows_with_status("failed"), 2);
}
