//! An entry is in at most one committed file, whatever the application does with its rows, and `exportbatchentries` says in which.

use std::time::Duration;

use mongodb::bson::{Bson, Document, doc, oid::ObjectId};

use crate::support::command::{said, told};
use crate::support::day::{BATCH, BATCHES, Day, EXPORTED, LOG, entry_ids};
use crate::support::mongod::Mongod;
use crate::support::proxy::{On, Proxy};
use crate::support::seed::{DATE, ENTRIES, Entry, QUEUE, Seeded, seed_day};

const PATIENCE: Duration = Duration::from_secs(60);
const NEXT_DATE: &str = "2026-01-19";
const NEXT_NOW: &str = "2026-01-19T18:00:05+07:00";

fn next_run(day: &Day) -> crate::support::command::BatchExport {
    day.command("run").date(NEXT_DATE).now(NEXT_NOW)
}

/// Queues an entry once more, in a row of its own.
fn queue_again(day: &Day, entry: ObjectId) -> ObjectId {
    let row = ObjectId::new();
    let mut document = Entry::numbered(DATE, 0).row();
    document.extend(doc! { "_id": row, "entryId": entry });
    day.db.insert_many(QUEUE, vec![document]);
    row
}

/// Holds a run at a command, changes something, and lets it go on to its end.
fn changed_at(on: On, arguments: &[&str], change: impl FnOnce(&Day, &Seeded)) -> (Day, Seeded, serde_json::Value) {
    let day = Day::in_directory();
    let seeded = seed_day(&day.db, DATE, 8);
    let proxy = Proxy::before(Mongod::shared());
    let stop = proxy.hold(on);
    let run = day.run().args(arguments).mongodb(&proxy.uri(&day.db)).spawn();
    stop.wait_until_reached(PATIENCE);
    change(&day, &seeded);
    stop.release();
    let result = run.wait(PATIENCE).expect_code(0).json();
    day.check_converged();
    (day, seeded, result)
}

/// The first write of the commit transaction: everything has been read for the file.
fn before_the_commit() -> On {
    On::command("update").collection(BATCHES)
}

#[test]
fn an_entry_that_is_queued_again_after_its_export_is_refused_with_the_number_and_the_batch_of_its_file() {
    let day = Day::in_directory();
    let seeded = seed_day(&day.db, DATE, 3);
    day.run().run().expect_code(0);
    queue_again(&day, seeded.entries[1]);
    seed_day(&day.db, NEXT_DATE, 2);
    let refused = next_run(&day).run().expect_code(32).json();
    let invalid = refused["invalid"].as_array().unwrap();
    assert_eq!(invalid.len(), 1, "{refused}");
    assert_eq!(invalid[0]["entry_id"], seeded.entries[1].to_hex());
    let reason =
        "exported as number 1 in batch_2026-01-18; reverse it there, or allow a second export with --allow-reexport";
    assert_eq!(invalid[0]["reason"], reason);
    let held = next_run(&day).args(&["--invalid", "hold", "--now"]).run().expect_code(0).json();
    assert_eq!((held["entries"].as_u64(), &held["held"][0]["reason"]), (Some(2), &reason.into()));
    day.check_converged();
}

#[test]
fn rows_of_exported_entries_are_counted_as_late_rows_of_a_completed_day() {
    let day = Day::in_directory();
    let seeded = seed_day(&day.db, DATE, 3);
    day.run().run().expect_code(0);
    queue_again(&day, seeded.entries[1]);
    assert_eq!(day.run().run().expect_code(0).json()["late"], 1);
    let late = Entry::numbered(DATE, 900);
    day.db.insert_many(ENTRIES, vec![late.document()]);
    day.db.insert_many(QUEUE, vec![late.row()]);
    assert_eq!(day.run().run().expect_code(0).json()["late"], 2);
}

#[test]
fn a_reexport_that_is_allowed_moves_the_entry_to_the_new_number() {
    for rows in ["10000", "1"] {
        let day = Day::in_directory();
        let seeded = seed_day(&day.db, DATE, 3);
        day.run().run().expect_code(0);
        queue_again(&day, seeded.entries[1]);
        seed_day(&day.db, NEXT_DATE, 2);
        let arguments = ["--allow-reexport", "--transaction-rows", rows];
        assert_eq!(next_run(&day).args(&arguments).run().expect_code(0).json()["entries"], 3);
        let written = day.db.find_one(EXPORTED, doc! { "_id": seeded.entries[1] }).unwrap();
        assert_eq!(written.get("n").and_then(Bson::as_i64), Some(2), "{written}");
        assert_eq!((day.db.count(EXPORTED, doc! { "n": 1 }), day.db.count(EXPORTED, doc! { "n": 2 })), (2, 3));
        // In two files, because somebody allowed it: no fault of either.
        for date in [DATE, NEXT_DATE] {
            day.command("verify").args(&["--date", date]).run().expect_code(0);
        }
    }
}

/// The files name their entries. The mark of the first file is gone from the row, as somebody allowed.
#[test]
fn a_row_that_is_queued_again_and_exported_again_as_allowed_is_no_fault_of_the_first_file() {
    for rows in ["10000", "1"] {
        let day = Day::in_directory();
        let seeded = seed_day(&day.db, DATE, 3);
        day.run().run().expect_code(0);
        for (date, entry) in [(NEXT_DATE, 0), ("2026-01-20", 0), ("2026-01-20", 2)] {
            let again = doc! { "$set": { "status": "queued", "metadata": null } };
            day.db.update_one(QUEUE, doc! { "_id": seeded.rows[entry] }, again);
            if entry == 2 || date == NEXT_DATE {
                let run = day.command("run").date(date).now(&format!("{date}T18:00:05+07:00"));
                run.args(&["--allow-reexport", "--transaction-rows", rows]).run().expect_code(0);
            }
        }
        let found = day.command("verify").args(&["--last", "3"]).run().expect_code(0).json();
        let notes: Vec<String> =
            found["checked"].as_array().unwrap().iter().map(|checked| checked["notes"].to_string()).collect();
        assert!(
            notes[0].contains("2 entries were exported again with --allow-reexport, as number 3 in batch_2026-01-20"),
            "{notes:?}"
        );
        assert!(notes[1].contains("1 entry was exported again") && notes[2] == "[]", "{notes:?}");
        day.command("corrections").args(&["--last", "3"]).run().expect_code(0);
        // A row that is gone otherwise is still a finding.
        day.db.delete_many(QUEUE, doc! { "_id": seeded.rows[1] });
        let found = day.command("verify").args(&["--date", DATE]).run().expect_code(34).json();
        let problem = said(&found["problems"][0]);
        assert!(
            problem.starts_with("1 entry of the file has no marked row")
                && problem.contains(&seeded.entries[1].to_hex()),
            "{problem}"
        );
    }
}

#[test]
fn an_entry_whose_row_is_taken_back_during_the_marking_and_queued_again_is_in_one_file() {
    // Before the first piece of the row list is marked.
    let marking = On::command("find").collection("exportbatchrows");
    let taken_back = |day: &Day, seeded: &Seeded| {
        let processing = doc! { "$set": { "status": "processing" } };
        day.db.update_one(QUEUE, doc! { "_id": seeded.rows[5] }, processing);
    };
    let (day, seeded, result) = changed_at(marking, &["--transaction-rows", "3"], taken_back);
    assert_eq!(result["changed_after_commit"], 1);
    let row = doc! { "_id": seeded.rows[5] };
    let found = day.db.find_one(QUEUE, row.clone()).unwrap();
    assert_eq!(found.get_str("status").ok(), Some("processing"), "its status is the application's");
    assert_eq!(found.get_document("metadata").unwrap().get_str("batchId").ok(), Some(BATCH));
    day.command("verify").run().expect_code(0);
    // The application empties it, too, before it queues the entry again.
    day.db.update_one(QUEUE, row, doc! { "$set": { "status": "queued", "metadata": null } });
    seed_day(&day.db, NEXT_DATE, 1);
    let refused = next_run(&day).run().expect_code(32).json();
    assert_eq!(refused["invalid"][0]["entry_id"], seeded.entries[5].to_hex(), "{refused}");
    day.check_guarantees();
}

#[test]
fn a_row_that_names_another_entry_by_the_time_of_its_marking_is_left_alone_and_listed() {
    let marking = || On::command("find").collection("exportbatchrows");
    let changes: [fn(ObjectId) -> Document; 3] = [
        |other| doc! { "entryId": other },
        |_| doc! { "metadata": [] },
        |_| doc! { "metadata": "a note of the application" },
    ];
    for change in changes {
        let other = ObjectId::new();
        let mut before = None;
        let (day, seeded, result) = changed_at(marking(), &["--transaction-rows", "3"], |day, seeded| {
            let row = doc! { "_id": seeded.rows[5] };
            day.db.update_one(QUEUE, row.clone(), doc! { "$set": change(other) });
            before = day.db.find_one(QUEUE, row);
        });
        assert_eq!(result["changed_after_commit"], 1);
        assert_eq!(day.db.find_one(QUEUE, doc! { "_id": seeded.rows[5] }), before, "it was touched");
        assert_eq!(day.batch().get_array("changedAfterCommit").unwrap(), &vec![Bson::from(seeded.rows[5])]);
        assert_eq!(day.db.count(EXPORTED, doc! { "_id": seeded.entries[5], "n": 1 }), 1, "its entry is in the file");
    }
}

#[test]
fn a_queued_row_whose_entry_or_time_changes_before_the_commit_is_read_again() {
    for rows in ["10000", "3"] {
        let other = Entry::numbered(DATE, 900);
        let (day, ..) = changed_at(before_the_commit(), &["--transaction-rows", rows], |day, seeded| {
            day.db.insert_many(ENTRIES, vec![other.document()]);
            day.db.update_one(QUEUE, doc! { "_id": seeded.rows[6] }, doc! { "$set": { "entryId": other.id() } });
        });
        let ids = entry_ids(&day.live_files()[0].bytes);
        assert!(ids.contains(&other.id().to_hex()) && ids.len() == 8, "{ids:?}");
        let (day, seeded, _) = changed_at(before_the_commit(), &["--transaction-rows", rows], |day, seeded| {
            let first = day.db.find_one(QUEUE, doc! { "_id": seeded.rows[0] }).unwrap();
            let earlier = first.get_datetime("scheduledFor").unwrap().timestamp_millis() - 60_000;
            let earlier = mongodb::bson::DateTime::from_millis(earlier);
            day.db.update_one(QUEUE, doc! { "_id": seeded.rows[6] }, doc! { "$set": { "scheduledFor": earlier } });
        });
        let ids = entry_ids(&day.live_files()[0].bytes);
        assert_eq!(ids[0], seeded.entries[6].to_hex(), "the file keeps the order of the queue");
        day.command("verify").run().expect_code(0);
    }
}

#[test]
fn an_entry_that_another_file_gets_before_the_commit_stops_it() {
    for rows in ["10000", "3"] {
        let day = Day::in_directory();
        let seeded = seed_day(&day.db, DATE, 8);
        let proxy = Proxy::before(Mongod::shared());
        let stop = proxy.hold(before_the_commit());
        let run = day.run().args(&["--transaction-rows", rows]).mongodb(&proxy.uri(&day.db)).spawn();
        stop.wait_until_reached(PATIENCE);
        day.db.insert_many(EXPORTED, vec![doc! { "_id": seeded.entries[7], "n": 17_i64 }]);
        stop.release();
        let refused = run.wait(PATIENCE).expect_code(32).json();
        let reason = refused["invalid"][0]["reason"].as_str().unwrap();
        assert!(reason.starts_with("exported as number 17; "), "{reason}");
        assert_eq!((day.log().len(), day.rows_with_status("queued")), (0, 8));
    }
}

#[test]
fn metadata_that_cannot_take_a_mark_makes_the_row_invalid_and_is_not_lost() {
    for metadata in [Bson::Array(Vec::new()), "a note".into(), 7.into()] {
        let day = Day::in_directory();
        let seeded = seed_day(&day.db, DATE, 3);
        let row = doc! { "_id": seeded.rows[1] };
        day.db.update_one(QUEUE, row.clone(), doc! { "$set": { "metadata": metadata.clone() } });
        let refused = day.run().run().expect_code(32).json();
        assert_eq!(refused["invalid"][0]["reason"], "the queue row's metadata is not an object", "{refused}");
        day.run().args(&["--invalid", "hold", "--now"]).run().expect_code(0);
        let found = day.db.find_one(QUEUE, row).unwrap();
        assert_eq!((found.get("metadata"), found.get_str("status").ok()), (Some(&metadata), Some("failed")));
        day.check_converged();
    }
}

#[test]
fn an_edit_that_is_acknowledged_while_the_commit_is_under_way_is_reported() {
    for rows in ["10000", "3"] {
        let commit = On::command("insert").collection(LOG);
        let (_, seeded, result) = changed_at(commit, &["--transaction-rows", rows], |day, seeded| {
            let edit = doc! { "$set": { "description": "edited in between" } };
            day.db.update_one(ENTRIES, doc! { "_id": seeded.entries[2] }, edit);
        });
        assert_eq!(result["edited_after_read"], serde_json::json!([seeded.entries[2].to_hex()]));
        assert_eq!(result["outcome"], "completed");
    }
}

#[test]
fn each_entry_is_recorded_with_its_row_and_its_place_in_the_file() {
    for rows in ["10000", "3"] {
        let day = Day::in_directory();
        let seeded = seed_day(&day.db, DATE, 10);
        day.run().args(&["--transaction-rows", rows]).run().expect_code(0);
        let recorded = day.db.find_all(EXPORTED, doc! {});
        let of = |entry: &ObjectId| recorded.iter().find(|found| found.get_object_id("_id").ok() == Some(*entry));
        for (place, (row, entry)) in seeded.rows.iter().zip(&seeded.entries).enumerate() {
            let expected = doc! { "_id": entry, "n": 1_i64, "row": row, "place": place as i32 };
            assert_eq!(of(entry), Some(&expected));
        }
    }
}

#[test]
fn init_writes_down_the_entries_of_earlier_batches_and_a_run_without_that_names_it() {
    let day = Day::in_directory();
    seed_day(&day.db, DATE, 5);
    day.run().run().expect_code(0);
    // Which line it was is known to the commit alone.
    day.db.update_many(EXPORTED, doc! {}, doc! { "$unset": { "place": 1 } });
    let written = day.db.find_all(EXPORTED, doc! {});
    // As a version that knew nothing of it left the database.
    day.db.block(day.db.collection(EXPORTED).drop()).expect("to drop the collection");
    seed_day(&day.db, NEXT_DATE, 2);
    let refused = next_run(&day).run().expect_code(30).json();
    assert!(told(&refused["error"]).contains("batch-export init"), "{refused}");
    assert_eq!(day.command("init").run().expect_code(0).json()["entries_added"], 5);
    assert_eq!(day.db.find_all(EXPORTED, doc! {}), written);
    assert_eq!(day.command("init").run().expect_code(0).json()["entries_added"], 0, "again does no harm");
    next_run(&day).arg("--now").run().expect_code(0);
    day.check_converged();
}

/// Whatever removed them: none of these entries may be exported again.
#[test]
fn a_run_goes_on_only_when_all_that_was_exported_is_on_record() {
    let nothing: fn(&Seeded) -> Document = |_| doc! {};
    let one: fn(&Seeded) -> Document = |seeded| doc! { "_id": seeded.entries[3] };
    for (lost, left) in [(nothing, 0), (one, 4)] {
        let day = Day::in_directory();
        let seeded = seed_day(&day.db, DATE, 5);
        day.run().run().expect_code(0);
        let written = day.db.find_all(EXPORTED, doc! {});
        day.db.update_many(EXPORTED, doc! {}, doc! { "$unset": { "place": 1 } });
        day.db.delete_many(EXPORTED, lost(&seeded));
        queue_again(&day, seeded.entries[3]);
        let refused = next_run(&day).run().expect_code(30).json();
        let message = told(&refused["error"]);
        let counted =
            format!("exportbatchentries has {left} entries, and 5 of the batches up to number 1 were recorded");
        assert!(message.contains(&counted) && message.contains("`batch-export init`"), "{message}");
        assert_eq!((day.log().len(), day.live_files().len()), (1, 1));
        assert_eq!(
            next_run(&day).arg("--dry-run").run().expect_code(30).json()["error"]["message"],
            refused["error"]["message"]
        );
        let checked = day.command("doctor").run().expect_code(34).stdout;
        assert!(checked.contains(&counted), "{checked}");
        assert_eq!(day.command("init").run().expect_code(0).json()["entries_added"], 5 - left);
        assert_eq!(day.db.count(EXPORTED, doc! { "n": 1 }), written.len() as u64);
        let refused = next_run(&day).arg("--now").run().expect_code(32).json();
        assert_eq!(refused["invalid"][0]["entry_id"], seeded.entries[3].to_hex(), "{refused}");
        day.check_guarantees();
    }
}

/// An older batch has fewer under its number then, by right.
#[test]
fn an_entry_that_moved_to_another_number_is_not_missing_and_a_lost_one_after_that_is() {
    for rows in ["10000", "1"] {
        let day = Day::in_directory();
        let seeded = seed_day(&day.db, DATE, 3);
        day.run().run().expect_code(0);
        queue_again(&day, seeded.entries[1]);
        queue_again(&day, seeded.entries[2]);
        seed_day(&day.db, NEXT_DATE, 2);
        next_run(&day).args(&["--allow-reexport", "--transaction-rows", rows]).run().expect_code(0);
        assert_eq!(day.db.count(EXPORTED, doc! {}), 5);
        let third = || day.command("run").date("2026-01-20").now("2026-01-20T18:00:05+07:00").arg("--now");
        seed_day(&day.db, "2026-01-20", 1);
        third().run().expect_code(0);
        assert!(!day.command("doctor").run().json()["checks"].to_string().contains("on record"));
        day.db.delete_many(EXPORTED, doc! { "_id": seeded.entries[2] });
        let fourth = day.command("run").date("2026-01-21").now("2026-01-21T18:00:05+07:00").run().expect_code(30);
        assert!(told(&fourth.json()["error"]).contains("has 5 entries, and 6 of"), "{}", fourth.report());
    }
}

#[test]
fn a_batch_that_is_marking_has_fewer_on_record_by_right_also_after_init() {
    let day = Day::in_directory();
    seed_day(&day.db, DATE, 8);
    let proxy = Proxy::before(Mongod::shared());
    let stop = proxy.hold(On::command("findAndModify").collection("exportbatchrows").nth(3));
    let run = day.run().args(&["--transaction-rows", "2"]).mongodb(&proxy.uri(&day.db)).spawn();
    stop.wait_until_reached(PATIENCE);
    run.kill();
    stop.cut();
    day.db.abort_abandoned_transactions();
    assert!(day.db.count(EXPORTED, doc! {}) < 8);
    day.command("init").run().expect_code(0);
    for (date, entries) in [(NEXT_DATE, 2), ("2026-01-20", 1)] {
        seed_day(&day.db, date, entries);
        day.command("run").date(date).now(&format!("{date}T18:00:05+07:00")).run().expect_code(0);
    }
    day.check_converged();
    day.db.delete_many(EXPORTED, doc! { "n": 2_i64 });
    day.command("run").date("2026-01-21").now("2026-01-21T18:00:05+07:00").run().expect_code(30);
}

#[test]
fn what_init_cannot_record_keeps_no_run_from_its_work_and_doctor_goes_on_to_tell_it() {
    let day = Day::in_directory();
    let seeded = seed_day(&day.db, DATE, 3);
    day.run().run().expect_code(0);
    day.db.delete_many(EXPORTED, doc! { "_id": seeded.entries[0] });
    day.db.delete_many(QUEUE, doc! { "_id": seeded.rows[0] });
    std::fs::remove_file(day.directory().join("batch_2026-01-18.csv")).unwrap();
    seed_day(&day.db, NEXT_DATE, 2);
    next_run(&day).run().expect_code(30);
    let made = day.command("init").run().expect_code(0).json();
    assert_eq!(made["unfilled"][0]["missing"], 1, "{made}");
    next_run(&day).arg("--now").run().expect_code(0);
    let checks = day.command("doctor").run().json()["checks"].clone();
    let found = checks.as_array().unwrap().iter().find(|check| check["name"] == "collections").unwrap();
    assert_eq!(found["verdict"], "warning", "{found}");
    assert!(found["found"].as_str().unwrap().contains("1 of batch_2026-01-18"), "{found}");
}

/// Nothing but the list told which rows are meant, so a person has to; and none of these entries may be exported again.
#[test]
fn a_lost_row_list_of_a_file_without_ids_is_made_good_by_the_steps_that_are_named() {
    let proxy = Proxy::before(Mongod::shared());
    let day = Day::in_directory().through(&proxy);
    let seeded = seed_day(&day.db, DATE, 9);
    let express = ["--format", "express", "--transaction-rows", "3"];
    let stop = proxy.hold(On::command("findAndModify").collection("exportbatchrows").nth(2));
    let running = day.run().args(&express).spawn();
    stop.wait_until_reached(PATIENCE);
    running.kill();
    stop.cut();
    day.db.abort_abandoned_transactions();
    day.let_time_pass();
    day.db.delete_many("exportbatchrows", doc! {});
    let refused = day.retry().args(&express).run().expect_code(30).json();
    let next = refused["error"]["next"].as_str().or(refused["batches"][0]["error"]["next"].as_str()).expect("a step");
    for step in ["metadata the batchId", "`batch-export init` and `batch-export retry` again"] {
        assert!(next.contains(step), "{step}: {next}");
    }
    let file = day.batch().get_document("file").unwrap().clone();
    let marks = doc! { "status": "completed", "metadata.batchId": BATCH, "metadata.googleDriveFileId": file.get("id"), "metadata.googleDriveUrl": file.get("link") };
    day.db.update_many(QUEUE, doc! { "_id": { "$in": &seeded.rows } }, doc! { "$set": marks });
    day.command("init").run().expect_code(0);
    day.retry().args(&express).run().expect_code(0);
    assert_eq!(day.batch().get_str("state").ok(), Some("completed"));
    assert_eq!(day.db.count(EXPORTED, doc! {}), 9);
    queue_again(&day, seeded.entries[7]);
    seed_day(&day.db, NEXT_DATE, 1);
    let again = next_run(&day).args(&express).run().expect_code(32).json();
    assert_eq!(again["invalid"][0]["entry_id"], seeded.entries[7].to_hex(), "{again}");
}

#[test]
fn a_lost_ledger_stops_the_next_run_and_init_rebuilds_it_from_the_log() {
    let day = Day::in_directory();
    seed_day(&day.db, DATE, 3);
    day.run().run().expect_code(0);
    let ledger = day.db.find_one(BATCHES, doc! { "_id": "ledger" }).unwrap();
    day.db.delete_many(BATCHES, doc! { "_id": "ledger" });
    seed_day(&day.db, NEXT_DATE, 2);
    let refused = next_run(&day).run().expect_code(30).json();
    assert!(told(&refused["error"]).contains("init --adopt"), "{refused}");
    let made = day.command("init").arg("--adopt").run().expect_code(0).json();
    assert_eq!(made["ledger_rebuilt"], true, "{made}");
    let rebuilt = day.db.find_one(BATCHES, doc! { "_id": "ledger" }).unwrap();
    assert_eq!((rebuilt.get("number"), rebuilt.get("lastSha256")), (ledger.get("number"), ledger.get("lastSha256")));
    assert_eq!(next_run(&day).arg("--now").run().expect_code(0).json()["number"], 2);
    day.check_converged();
}

#[test]
fn a_lost_batch_document_stops_its_date_and_init_rebuilds_it_from_the_log() {
    let day = Day::in_directory();
    seed_day(&day.db, DATE, 3);
    day.run().run().expect_code(0);
    let before = day.batch();
    day.db.delete_many(BATCHES, doc! { "_id": BATCH });
    let refused = day.run().run().expect_code(30).json();
    assert!(told(&refused["error"]).contains("as number 1"), "{refused}");
    assert!(told(&refused["error"]).contains("init --adopt"), "{refused}");
    let made = day.command("init").arg("--adopt").run().expect_code(0).json();
    assert_eq!((&made["adopted"], &made["ledger_rebuilt"]), (&serde_json::json!([BATCH]), &false.into()), "{made}");
    let rebuilt = day.batch();
    for field in ["state", "number", "marked"] {
        assert_eq!(rebuilt.get(field), before.get(field), "{field}");
    }
    assert_eq!(day.run().run().expect_code(0).json()["outcome"], "already_completed");
    assert_eq!((day.log().len(), day.live_files().len()), (1, 1));
    // The log does not tell where the file is, nor that it is sealed; the file does.
    day.check_guarantees();
    assert_eq!(day.db.count(QUEUE, doc! { "status": "completed", "metadata.batchId": BATCH }), 3);
}
