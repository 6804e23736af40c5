//! A batch document that was edited, a file of an attempt that failed, records that are gone: told as what they are, and of their batch alone.

use mongodb::bson::{doc, oid::ObjectId};
use serde_json::Value;

use super::{assert_only, exported, problems, text};
use crate::support::command::said;
use crate::support::day::{BATCH, BATCHES, Day, EXPORTED};
use crate::support::fake_drive::{Answer, Fault, Operation};
use crate::support::seed::{DATE, ENTRIES, QUEUE, seed_day};

const BEFORE: &str = "2026-01-17";
const NEXT: &str = "2026-01-19";
const NEXT_EVENING: &str = "2026-01-19T18:00:05+07:00";

/// The day before, and then the one that `exported` fills.
fn two_days(day: &Day) {
    let seeded = seed_day(&day.db, BEFORE, 3);
    day.command("run").date(BEFORE).run().expect_code(0);
    exported(day);
    let edited = doc! { "$set": { "description": "corrected" } };
    day.db.update_one(ENTRIES, doc! { "_id": seeded.entries[0] }, edited);
}

fn of(found: &Value, list: &str, batch: &str) -> Vec<String> {
    let all = found[list].as_array().expect("a list").iter();
    all.filter(|one| one["batch"] == batch).map(|one| text(&one["kind"])).collect()
}

#[test]
fn an_edited_file_id_is_a_finding_of_its_batch_and_the_others_are_looked_at() {
    let long = "a".repeat(400);
    let places = [
        ("/any/path", Day::in_directory()),
        ("..", Day::in_directory()),
        (&*long, Day::in_directory()),
        ("a/b?c", Day::on_drive()),
    ];
    for (id, day) in places {
        two_days(&day);
        day.db.update_one(BATCHES, doc! { "_id": BATCH }, doc! { "$set": { "file.id": id } });
        let found = day.command("verify").run().expect_code(34).json();
        assert_eq!(of(&found, "problems", "batch_2026-01-17"), ["edited"], "{id}: {found}");
        let of_batch = of(&found, "problems", BATCH);
        assert_eq!(of_batch.iter().filter(|kind| *kind == "file_id").count(), 1, "{id}: {found}");
        let told = found["problems"].as_array().unwrap().iter().find(|one| one["kind"] == "file_id").unwrap();
        let told = said(told);
        assert!(
            told.contains(&id[..id.len().min(40)]) && told.contains("`metadata.fileId` of its ExportLog"),
            "{told}"
        );
        let found = day.command("corrections").run().expect_code(34).json();
        assert_eq!(of(&found, "problems", BATCH), ["file_id"], "{id}: {found}");
        assert_eq!(of(&found, "corrections", "batch_2026-01-17"), ["edited"], "{id}: {found}");
    }
}

#[test]
fn a_file_id_that_is_no_text_is_shown_as_what_it_is() {
    for day in [Day::in_directory(), Day::on_drive()] {
        exported(&day);
        day.db.update_one(BATCHES, doc! { "_id": BATCH }, doc! { "$set": { "file.id": 42 } });
        let found = problems(&day);
        let told = found.iter().find(|problem| problem.0 == "file_id").map(|problem| &*problem.1);
        let says = "\"42 (not a text)\" in the batch document cannot be the id of a file";
        assert!(told.is_some_and(|told| told.contains(says)), "{found:?}");
    }
}

/// The id is that of a folder, whose content nobody can read.
#[test]
fn a_file_that_drive_refuses_to_give_is_a_finding_of_its_batch_and_the_others_are_looked_at() {
    for command in ["verify", "corrections"] {
        let day = Day::on_drive();
        two_days(&day);
        let last = |operation| day.drive().next(operation);
        day.drive().plan(last(Operation::Download), Fault::answer(Answer::error(403, "fileNotDownloadable")));
        let found = day.command(command).args(&["--last", "2"]).run().expect_code(34).json();
        assert!(found["problems"].to_string().contains("fileNotDownloadable"), "{command}: {found}");
        assert_eq!(of(&found, "problems", "batch_2026-01-17")[0], "file_id", "{command}: {found}");
        assert_eq!(of(&found, "problems", BATCH), Vec::<String>::new(), "{command}: {found}");
    }
}

#[test]
fn a_folder_of_an_earlier_time_that_is_gone_is_a_finding_of_its_batches() {
    for (at, day) in [("file:///gone", Day::in_directory()), ("gdrive://gone", Day::on_drive())] {
        two_days(&day);
        let elsewhere = doc! { "$set": { "file.destination": at } };
        day.db.update_one(BATCHES, doc! { "_id": BATCH }, elsewhere);
        let found = day.command("verify").run().expect_code(34).json();
        assert_eq!(of(&found, "problems", "batch_2026-01-17"), ["edited"], "{at}: {found}");
    }
}

#[test]
fn the_file_of_an_attempt_that_failed_is_told_as_not_official_until_it_is_given_up() {
    for day in [Day::in_directory(), Day::on_drive()] {
        seed_day(&day.db, DATE, 4);
        let point = day.db.fail_point("alwaysOn", doc! { "failCommands": ["insert"], "errorCode": 8000 });
        day.run().run().expect_code(20);
        drop(point);
        let says = "it is not official yet and must not be imported";
        let notes = day.command("verify").run().expect_code(0).json()["checked"][0]["notes"].to_string();
        assert!(notes.contains(says), "{notes}");
        let status = day.command("status").args(&["--output", "text"]).run().expect_code(0).stdout;
        assert!(status.contains("do not import batch_2026-01-18.csv before"), "{status}");
        // The next day takes the rows that are due.
        let next = day.command("run").date(NEXT).now(NEXT_EVENING).run().expect_code(0).json();
        assert_eq!(next["entries"], 4, "{next}");
        let found = day.command("verify").now(NEXT_EVENING).run().expect_code(34).json();
        let told = said(&found["problems"][0]);
        assert_eq!(
            (&found["problem_count"], of(&found, "problems", BATCH)),
            (&1.into(), vec!["second_file".to_owned()])
        );
        assert!(
            told.contains("batch_2026-01-19 was exported since") && told.contains("must not be imported"),
            "{told}"
        );
        day.let_time_pass();
        day.retry().now(NEXT_EVENING).run().expect_code(0);
        day.command("verify").now(NEXT_EVENING).run().expect_code(0);
        day.check_converged();
    }
}

#[test]
fn an_exported_row_that_was_queued_again_and_held_is_no_finding() {
    let day = Day::in_directory();
    let seeded = exported(&day);
    let row = doc! { "_id": seeded.rows[3] };
    day.db.update_one(QUEUE, row.clone(), doc! { "$set": { "status": "queued" } });
    assert_only(&day, "rows", "\"queued\"");
    let next = day.command("run").date(NEXT).now(NEXT_EVENING).args(&["--invalid", "hold"]);
    assert_eq!(next.run().expect_code(0).json()["held"].as_array().map(Vec::len), Some(1));
    assert_eq!(problems(&day), []);
    // Any other failure is the application's.
    day.db.update_one(QUEUE, row, doc! { "$set": { "lastError": "out of order" } });
    assert_only(&day, "rows", "\"failed\"");
}

#[test]
fn lost_records_of_a_layout_without_ids_do_not_tell_that_an_entry_is_not_in_the_file() {
    let day = Day::in_directory();
    let seeded = seed_day(&day.db, DATE, 6);
    day.run().args(&["--format", "express", "--contra-account", "1101-00"]).run().expect_code(0);
    day.db.delete_many(EXPORTED, doc! {});
    let mut copy = day.db.find_one(QUEUE, doc! { "_id": seeded.rows[4] }).expect("a row");
    copy.insert("_id", ObjectId::new());
    copy.insert("scheduledFor", "in May");
    day.db.insert_many(QUEUE, vec![copy]);
    day.db.update_one(QUEUE, doc! { "_id": seeded.rows[2] }, doc! { "$set": { "scheduledFor": "in May" } });
    let found = problems(&day);
    assert!(!found.is_empty() && found.iter().all(|(_, told)| !told.contains("not in the file")), "{found:?}");
    assert!(found.iter().any(|(_, told)| told.contains("no column with the ids of the entries")), "{found:?}");
}

#[test]
fn a_batch_document_that_cannot_be_read_is_a_finding_and_the_other_days_are_checked_and_shown() {
    let damages = [
        doc! { "$unset": { "window": 1 } },
        doc! { "$set": { "window.cutoff": "2026-01-18T18:00" } },
        doc! { "$set": { "state": "done" } },
    ];
    for damage in damages {
        let day = Day::in_directory();
        two_days(&day);
        day.db.update_one(BATCHES, doc! { "_id": BATCH }, damage.clone());
        let found = day.command("verify").run().expect_code(34).json();
        assert_eq!(of(&found, "problems", BATCH), ["document"], "{damage}: {found}");
        assert_eq!(of(&found, "problems", "batch_2026-01-17"), ["edited"], "{damage}: {found}");
        let found = day.command("verify").date(BEFORE).run().expect_code(34).json();
        assert_eq!(of(&found, "problems", "batch_2026-01-17"), ["edited"], "{damage}: {found}");
        assert_eq!(of(&found, "problems", BATCH), ["document"], "{damage}: {found}");
        let copy = day.directory().join("batch_2026-01-18.csv");
        let found = day.command("verify").args(&["--file", copy.to_str().unwrap()]).run().expect_code(34).json();
        assert_eq!(of(&found, "problems", BATCH), ["document"], "{damage}: {found}");

        let status = |arguments: &[&str], code| {
            day.command("status").now("2026-01-18T18:30:00+07:00").args(arguments).run().expect_code(code)
        };
        let shown = status(&[], 0).json();
        let states: Vec<_> = shown["batches"].as_array().unwrap().iter().map(|one| text(&one["state"])).collect();
        assert_eq!(states, ["damaged", "completed"], "{damage}: {shown}");
        assert_eq!(of(&shown, "problems", BATCH), ["document"], "{damage}: {shown}");
        let lines = status(&["--output", "text"], 0).stdout;
        assert!(lines.contains("was it edited by hand?") && lines.contains("restore the batch document"), "{lines}");
        let checked = status(&["--check"], 34).json();
        assert_eq!(of(&checked, "problems", BATCH), ["document"], "{damage}: {checked}");
        let one = status(&["--date", DATE], 0).json();
        assert_eq!(one["batches"][0]["state"], "damaged", "{damage}: {one}");

        let made = day.command("init").run().expect_code(0).json();
        assert!(made["lost"][0]["message"].as_str().unwrap().contains(BATCH), "{damage}: {made}");
        day.command("doctor").run().expect_code(34);
    }
}

#[test]
fn a_damaged_document_keeps_no_other_day_from_being_retried() {
    let day = Day::in_directory();
    seed_day(&day.db, BEFORE, 3);
    day.command("run").date(BEFORE).destination("file:///nowhere/at/all").run().expect_code(31);
    exported(&day);
    let damage = doc! { "$unset": { "window": 1 }, "$set": { "state": "failed" } };
    day.db.update_one(BATCHES, doc! { "_id": BATCH }, damage);
    day.let_time_pass();
    let result = day.retry().run().expect_code(30).json();
    let outcomes: Vec<_> = result["batches"].as_array().unwrap().iter().map(|one| text(&one["outcome"])).collect();
    assert_eq!(outcomes, ["empty", "configuration"], "{result}");
}

#[test]
fn an_entry_on_record_that_is_in_no_file_is_named() {
    for format in ["journal", "express"] {
        let day = Day::in_directory();
        seed_day(&day.db, DATE, 3);
        let contra = ["--format", format, "--contra-account", "1000"];
        day.run().args(&contra).run().expect_code(0);
        day.command("verify").run().expect_code(0);
        let stranger = ObjectId::new();
        day.db.insert_many(EXPORTED, vec![doc! { "_id": stranger, "n": 1_i64 }]);
        for _ in 0..2 {
            let found = day.command("verify").run().expect_code(34).json();
            assert_eq!(of(&found, "problems", BATCH), ["totals"], "{format}: {found}");
            let told = said(&found["problems"][0]);
            assert!(told.contains(&stranger.to_hex()) && told.contains("is not in its file"), "{format}: {told}");
            assert!(told.contains("delete its document from exportbatchentries"), "{format}: {told}");
            // It counts the records anew.
            day.command("init").run().expect_code(0);
        }
    }
}

/// The number of records is right.
#[test]
fn a_record_that_took_the_place_of_another_one_is_named() {
    let day = Day::in_directory();
    let seeded = exported(&day);
    let (lost, stranger) = (seeded.entries[0], ObjectId::new());
    day.db.delete_many(EXPORTED, doc! { "_id": lost });
    day.db.insert_many(EXPORTED, vec![doc! { "_id": stranger, "n": 1_i64 }]);
    let found = day.command("verify").run().expect_code(34).json();
    assert_eq!(of(&found, "problems", BATCH), ["unrecorded", "totals"], "{found}");
    assert!(said(&found["problems"][1]).contains(&stranger.to_hex()), "{found}");
}

/// Whoever followed the advice for a record in no file would export these entries a second time.
#[test]
fn an_edited_batch_document_makes_no_record_a_strange_one() {
    let fewer = doc! { "$set": { "file.entries": 1_i64 } };
    for edit in [doc! { "$set": { "file": null } }, doc! { "$unset": { "file.entries": 1 } }, fewer] {
        for format in ["journal", "express"] {
            let day = Day::in_directory();
            seed_day(&day.db, DATE, 3);
            day.run().args(&["--format", format, "--contra-account", "1000"]).run().expect_code(0);
            day.db.delete_many(QUEUE, doc! {});
            day.db.update_one(BATCHES, doc! { "_id": BATCH }, edit.clone());
            let found = day.command("verify").arg("--allow-removed-rows").run().expect_code(34);
            assert!(!found.stdout.contains("delete its document"), "{format}, {edit}: {}", found.report());
        }
    }
}

#[test]
fn entries_that_were_exported_again_are_no_surplus() {
    let day = Day::in_directory();
    let seeded = seed_day(&day.db, DATE, 3);
    day.run().run().expect_code(0);
    day.db.update_one(QUEUE, doc! { "_id": seeded.rows[1] }, doc! { "$set": { "status": "queued" } });
    seed_day(&day.db, NEXT, 2);
    day.command("run").date(NEXT).now(NEXT_EVENING).arg("--allow-reexport").run().expect_code(0);
    day.command("verify").run().expect_code(0);
    day.db.insert_many(EXPORTED, vec![doc! { "_id": ObjectId::new(), "n": 2_i64 }]);
    let found = day.command("verify").run().expect_code(34).json();
    assert_eq!(of(&found, "problems", "batch_2026-01-19"), ["totals"], "{found}");
    assert_eq!(of(&found, "problems", BATCH), Vec::<String>::new(), "{found}");
}
