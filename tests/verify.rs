//! `batch-export verify`: every fault after an export is found, named, and left as it is.

mod copy;
mod indexes;
mod large;
mod records;
mod rows;

use std::time::Duration;

use mongodb::bson::{Bson, Document, doc};
use serde_json::Value;

use crate::support::command::{BatchExport, Finished, said};
use crate::support::day::{BATCH, BATCHES, Day, EXPORTED, FILE, LOG};
use crate::support::fake_drive::{Operation, Point};
use crate::support::seed::{DATE, ENTRIES, Entry, QUEUE, Seeded, seed, seed_day};

/// How long a held request may take.
const PATIENCE: Duration = Duration::from_secs(60);

fn exported(day: &Day) -> Seeded {
    let seeded = seed_day(&day.db, DATE, 12);
    day.run().run().expect_code(0);
    seeded
}

fn verify_command(day: &Day) -> BatchExport {
    day.command("verify")
}

fn verify(day: &Day) -> Finished {
    verify_command(day).run()
}

/// The problems as (kind, message), after a check that the command changed nothing.
#[track_caller]
fn problems(day: &Day) -> Vec<(String, String)> {
    let before = (everything(day), day.live_files());
    let finished = verify(day);
    assert_eq!((everything(day), day.live_files()), before, "verify changed something");
    assert!(finished.spool_is_empty());
    let result = finished.json();
    let problems: Vec<(String, String)> = result["problems"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|problem| (text(&problem["kind"]), said(problem)))
        .collect();
    assert_eq!(finished.code, if problems.is_empty() { 0 } else { 34 }, "{}", finished.report());
    assert_eq!(result["exit_code"], finished.code);
    problems
}

/// The one problem, which has this kind and says this.
#[track_caller]
fn assert_only(day: &Day, kind: &str, says: &str) {
    let found = problems(day);
    assert!(found.len() == 1 && found[0].0 == kind && found[0].1.contains(says), "{kind} {says}: {found:?}");
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

fn everything(day: &Day) -> Vec<Vec<Document>> {
    [QUEUE, ENTRIES, BATCHES, LOG, "exportbatchrows"].map(|name| day.db.find_all(name, doc! {})).into()
}

fn set_entry(day: &Day, seeded: &Seeded, position: usize, changes: Document) {
    day.db.update_one(ENTRIES, doc! { "_id": seeded.entries[position] }, doc! { "$set": changes });
}

#[test]
fn no_field_of_the_records_can_be_changed_unnoticed() {
    let day = Day::on_drive();
    exported(&day);
    let foreign = || Bson::from("something else");
    for (collection, fields, kind) in [
        (LOG, &["batchDate", "filename", "fileId", "webViewLink", "sha256", "previousSha256"][..], "metadata"),
        (BATCHES, &["name", "md5", "sha256", "link"][..], "file"),
        (QUEUE, &["googleDriveFileId", "googleDriveUrl"][..], "metadata"),
    ] {
        let which = if collection == BATCHES {
            doc! { "_id": BATCH }
        } else {
            doc! {}
        };
        for field in fields {
            tamper(&day, collection, &which, &format!("{kind}.{field}"), foreign());
        }
    }
    for field in ["number", "attempt", "entryCount", "rowCount", "csvSize", "totalDebit", "totalCredit"] {
        tamper(&day, LOG, &doc! {}, &format!("metadata.{field}"), Bson::from(77_i64));
    }
    for field in ["number", "marked", "file.entries", "file.rows", "file.bytes", "file.totalDebit", "file.totalCredit"]
    {
        tamper(&day, BATCHES, &doc! { "_id": BATCH }, field, Bson::from(77_i64));
    }
    assert_eq!(problems(&day), []);
}

/// Changes a field, sees that it is noticed, and sets it right again.
#[track_caller]
fn tamper(day: &Day, collection: &str, which: &Document, field: &str, value: Bson) {
    let found = day.db.find_one(collection, which.clone()).expect("a document");
    let same = doc! { "_id": found.get("_id") };
    day.db.update_one(collection, same.clone(), doc! { "$set": { field: value } });
    assert!(!problems(day).is_empty(), "{field} of {collection} can be changed unnoticed");
    day.db.block(day.db.collection(collection).replace_one(same, found)).expect("set right again");
}

#[test]
fn undisturbed_batches_verify_in_every_format_and_place() {
    for day in [Day::in_directory(), Day::on_drive()] {
        exported(&day);
        seed_day(&day.db, "2026-01-19", 7);
        day.command("run").date("2026-01-19").now("2026-01-19T18:00:05+07:00").run().expect_code(0);
        day.command("run").date("2026-01-20").now("2026-01-20T18:00:05+07:00").run().expect_code(0);
        assert_eq!(problems(&day), []);
        let result = verify(&day).json();
        assert_eq!(result["outcome"], "verified");
        let checked: Vec<_> = result["checked"].as_array().unwrap().iter().map(|batch| text(&batch["state"])).collect();
        assert_eq!(checked, ["completed", "completed", "empty"]);
        assert_eq!(day.command("verify").date(DATE).run().expect_code(0).json()["checked"][0]["entries"], 12);
    }
    let day = Day::in_directory();
    seed_day(&day.db, DATE, 12);
    day.run().env("BATCH_EXPORT_FORMAT", "express").run().expect_code(0);
    assert_eq!(problems(&day), [], "the batch keeps the layout that it was exported with");
}

#[test]
fn verify_only_reads_at_the_destination() {
    let day = Day::on_drive();
    exported(&day);
    let before = day.drive().journal().len();
    assert_eq!(problems(&day), []);
    let asked: Vec<_> = day.drive().journal().split_off(before);
    assert!(!asked.is_empty() && day.drive().count(Operation::Download) == 1);
    let writes: Vec<_> = asked.iter().filter(|r| r.method != "GET" && r.operation != Operation::Token).collect();
    assert!(writes.is_empty(), "{writes:?}");
}

#[test]
fn entries_that_were_edited_cancelled_or_deleted_need_a_decision() {
    let day = Day::in_directory();
    let seeded = exported(&day);
    set_entry(&day, &seeded, 2, doc! { "amount": 1_i64 });
    set_entry(&day, &seeded, 4, doc! { "accountCode": "" });
    set_entry(&day, &seeded, 6, doc! { "status": "cancelled" });
    set_entry(
        &day,
        &seeded,
        7,
        doc! { "category": "does not touch the file", "updatedAt": mongodb::bson::DateTime::now() },
    );
    day.db.delete_many(ENTRIES, doc! { "_id": seeded.entries[9] });
    let mut found = problems(&day);
    found.sort();
    let expected = [("cancelled", 6), ("deleted", 9), ("edited", 2), ("edited", 4)];
    assert_eq!(found.len(), expected.len(), "{found:?}");
    for ((kind, position), (found_kind, message)) in expected.iter().zip(&found) {
        assert_eq!(kind, found_kind);
        assert!(
            message.contains(&seeded.entries[*position].to_hex()) && message.contains("decide which side is right"),
            "{message}"
        );
    }
}

#[test]
fn an_edited_entry_is_found_in_express_by_its_position() {
    let day = Day::in_directory();
    let plain = |number| Entry::numbered(DATE, number).set("metadata", doc! { "crAccount": "1", "drAccount": "2" });
    let seeded = seed(&day.db, &[plain(0), plain(1), plain(2), plain(3)]);
    let command = |name| day.command(name).date(DATE).env("BATCH_EXPORT_FORMAT", "express");
    command("run").run().expect_code(0);
    command("verify").run().expect_code(0);
    // The running numbers of the later vouchers must not be blamed on them.
    day.db.delete_many(ENTRIES, doc! { "_id": seeded.entries[0] });
    set_entry(&day, &seeded, 2, doc! { "description": "other" });
    let result = command("verify").run().expect_code(34).json();
    let found: Vec<_> = result["problems"].as_array().unwrap().iter().map(|problem| text(&problem["kind"])).collect();
    assert_eq!(found, ["deleted", "edited"], "{result}");
    assert!(said(&result["problems"][1]).contains(&seeded.entries[2].to_hex()));
}

#[test]
fn settings_of_another_format_are_not_told_as_edits() {
    let day = Day::in_directory();
    let plain = |number| Entry::numbered(DATE, number).set("metadata", doc! { "crAccount": "1", "drAccount": "2" });
    seed(&day.db, &[plain(0), plain(1)]);
    day.run().env("BATCH_EXPORT_FORMAT", "express").run().expect_code(0);
    // As an earlier version left it: what decides is set today.
    day.db.update_one(BATCHES, doc! { "_id": BATCH }, doc! { "$unset": { "settings": 1 } });
    let found = problems(&day);
    let kinds: Vec<_> = found.iter().map(|(kind, _)| kind.as_str()).collect();
    assert_eq!(kinds, ["totals", "content"], "{found:?}");
    assert!(found[1].1.contains("--format") && !found[1].1.contains("reversed"), "{found:?}");
}

#[test]
fn a_file_that_was_altered_is_not_the_committed_one() {
    let day = Day::in_directory();
    exported(&day);
    let path = day.directory().join(FILE);
    let content = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, content.replacen("Office supplies", "Office Supplies", 1)).unwrap();
    assert_only(&day, "content", "committed were");
    let amount = content.lines().nth(1).unwrap().to_owned();
    std::fs::write(&path, content.replacen(&format!("{amount}\r\n"), "", 1)).unwrap();
    let kinds: Vec<_> = problems(&day).into_iter().map(|problem| problem.0).collect();
    assert_eq!(kinds, ["content", "totals"]);
    std::fs::remove_file(&path).unwrap();
    assert_only(&day, "missing_file", "not at the destination");
}

#[test]
fn second_files_and_files_out_of_the_trash_are_found() {
    let day = Day::on_drive();
    exported(&day);
    let official = day.live_files().remove(0);
    let drive = day.drive();
    let copy = drive.issue_id();
    drive.put_file(drive.planted(&copy, FILE, &official.bytes));
    assert_only(&day, "second_file", &copy);
    let voided = doc! { "id": &copy, "sha256": null, "reason": "a test", "trashed": true };
    day.db.update_one(BATCHES, doc! { "_id": BATCH }, doc! { "$set": { "voided": [voided] } });
    assert_only(&day, "untrashed_voided", "taken out of the trash");
    day.db.update_one(BATCHES, doc! { "_id": BATCH }, doc! { "$set": { "voided.0.trashed": false } });
    assert_only(&day, "untrashed_voided", "not known to be in the trash");
    drive.trash(&copy);
    day.db.update_one(BATCHES, doc! { "_id": BATCH }, doc! { "$set": { "voided.0.trashed": true } });
    assert_eq!(problems(&day), []);
    drive.trash(&official.id);
    assert_only(&day, "trashed_file", "accept it with --allow-trashed");
    let accepted = day.command("verify").arg("--allow-trashed").run().expect_code(0).json();
    assert!(accepted["checked"][0]["notes"][0].as_str().is_some_and(|note| note.contains("accepted")), "{accepted}");
    drive.remove(&official.id);
    assert_only(&day, "missing_file", "removed for good, or moved to where this account does not see it");
    day.command("verify").arg("--allow-trashed").run().expect_code(34);

    let day = Day::in_directory();
    exported(&day);
    std::fs::copy(day.directory().join(FILE), day.directory().join("batch_2026-01-18 (1).csv")).unwrap();
    assert_only(&day, "second_file", "does not say whose it is");
    std::fs::remove_file(day.directory().join("batch_2026-01-18 (1).csv")).unwrap();
    // A copy that keeps the owner, as a backup does.
    std::fs::hard_link(day.directory().join(FILE), day.directory().join("batch_2026-01-18.bak.csv")).unwrap();
    assert_only(&day, "second_file", "has the number of the official file: it is a copy of that");
}

#[test]
fn a_file_that_was_moved_or_renamed_is_said_and_is_no_fault() {
    let day = Day::on_drive();
    exported(&day);
    let (official, drive) = (day.live_files().remove(0), day.drive());
    let notes = || day.command("verify").run().expect_code(0).json()["checked"][0]["notes"].to_string();
    assert_eq!(notes(), "[]");
    drive.rename(&official.id, "imported.csv");
    assert!(notes().contains("was renamed to imported.csv"), "{}", notes());
    drive.move_to(&official.id, &drive.another_folder());
    assert!(notes().contains("was moved to another folder") && notes().contains("renamed"), "{}", notes());
    let text = day.command("verify").args(&["--output", "text"]).run().expect_code(0).stdout;
    assert!(text.contains("moved to another folder") && text.contains("problems: 0"), "{text}");
    drive.trash(&official.id);
    assert_only(&day, "trashed_file", "restore it");
}

#[test]
fn a_file_that_was_moved_or_renamed_within_a_directory_is_found_by_its_content() {
    let day = Day::in_directory();
    let seeded = exported(&day);
    set_entry(&day, &seeded, 2, doc! { "amount": 1_i64 });
    let mut from = day.directory().join(FILE);
    std::fs::create_dir_all(day.directory().join("archive/2026")).expect("folders");
    for to in ["archive/2026/january.csv", "batch_2026-01-18 imported.csv"] {
        std::fs::rename(&from, day.directory().join(to)).expect("moved");
        from = day.directory().join(to);
        let result = verify(&day).expect_code(34).json();
        assert_eq!(
            (&result["problem_count"], &result["problems"][0]["kind"]),
            (&1.into(), &"edited".into()),
            "{result}"
        );
        assert!(result["checked"][0]["notes"].to_string().contains(to), "{result}");
        let result = day.command("corrections").run().expect_code(34).json();
        assert_eq!(result["corrections"].as_array().map(Vec::len), Some(1), "{result}");
    }
    for trash in [".Trash-1000/files", "#recycle", "$RECYCLE.BIN", "@Recycle"] {
        let to = day.directory().join(trash);
        std::fs::create_dir_all(&to).expect("folders");
        std::fs::rename(&from, to.join(FILE)).expect("moved");
        from = to.join(FILE);
        let found: Vec<_> = problems(&day).into_iter().filter(|problem| problem.0 == "trashed_file").collect();
        assert!(found.len() == 1 && found[0].1.contains(trash) && found[0].1.contains("restore it"), "{found:?}");
    }
    std::fs::remove_file(&from).expect("removed");
    let kinds: Vec<_> = problems(&day).into_iter().map(|problem| problem.0).collect();
    assert_eq!(kinds, ["missing_file", "content"]);
}

#[test]
fn an_archived_file_of_a_directory_is_known_by_its_checksum_alone() {
    let day = Day::in_directory();
    exported(&day);
    let archive = tempfile::tempdir().expect("a folder");
    let kept = archive.path().join("2026-01.csv");
    std::fs::copy(day.directory().join(FILE), &kept).expect("a copy");
    std::fs::remove_file(day.directory().join(FILE)).expect("the official file");
    assert_only(&day, "missing_file", "a directory does not tell which");
    let path = kept.display().to_string();
    day.command("verify").args(&["--date", DATE, "--file", &path]).run().expect_code(0);
}

#[test]
fn an_entry_that_is_recorded_in_another_file_or_in_none_is_found() {
    let day = Day::in_directory();
    let seeded = exported(&day);
    day.db.update_one(EXPORTED, doc! { "_id": seeded.entries[2] }, doc! { "$set": { "n": 9_i64 } });
    assert_only(&day, "two_files", "is in this file, number 1, and recorded as exported in number 9");
    day.db.delete_many(EXPORTED, doc! { "_id": seeded.entries[2] });
    assert_only(&day, "unrecorded", "`batch-export init` adds what is missing");
    day.command("init").run().expect_code(0);
    assert_eq!(problems(&day), []);
    day.db.command(doc! { "drop": EXPORTED });
    assert_only(&day, "lost", "exportbatchentries is missing");
    // A database of an earlier version, before its `init`.
    day.db.update_one(BATCHES, doc! { "_id": "ledger" }, doc! { "$unset": { "installation": "", "recorded": "" } });
    assert_eq!(problems(&day), []);
}

/// The record of an entry was lost, so that a second file got it, too: each of the two days says so, also where the files name no entries.
#[test]
fn an_entry_of_two_files_is_told_by_the_check_of_either_day() {
    const NEXT: &str = "2026-01-19";
    for format in ["journal", "express"] {
        let day = Day::in_directory();
        let seeded = seed_day(&day.db, DATE, 3);
        let format = ["--format", format, "--contra-account", "1101-00"];
        day.run().args(&format).run().expect_code(0);
        let twice = seeded.entries[1];
        day.db.delete_many(EXPORTED, doc! { "_id": twice });
        day.db.update_one(BATCHES, doc! { "_id": "ledger" }, doc! { "$inc": { "recorded": -1_i64 } });
        let mut row = day.db.find_one(QUEUE, doc! { "_id": seeded.rows[1] }).expect("its row");
        row.extend(doc! { "_id": mongodb::bson::oid::ObjectId::new(), "status": "queued", "metadata": {} });
        day.db.insert_many(QUEUE, vec![row]);
        let run = day.command("run").date(NEXT).now("2026-01-19T18:00:05+07:00");
        assert_eq!(run.args(&format).run().expect_code(0).json()["entries"], 1);
        for (date, says) in [
            (DATE, "number 1, and recorded as exported in number 2 (batch_2026-01-19)"),
            (NEXT, "number 2, and in that of number 1 (batch_2026-01-18)"),
        ] {
            let found = verify_command(&day).date(date).run().expect_code(34).json();
            let told: Vec<String> = found["problems"]
                .as_array()
                .unwrap()
                .iter()
                .map(|one| format!("{} {}", one["kind"], one["message"]))
                .collect();
            let wanted = format!("{twice} is in this file, {says}");
            assert!(told.iter().any(|told| told.contains("two_files") && told.contains(&wanted)), "{date}: {told:?}");
        }
    }
}

#[test]
fn a_log_that_is_missing_double_or_different_is_found() {
    let day = Day::in_directory();
    exported(&day);
    let log = day.log().remove(0);
    let mut second = log.clone();
    second.insert("_id", mongodb::bson::oid::ObjectId::new());
    day.db.insert_many(LOG, vec![second.clone()]);
    assert_only(&day, "log", "2 ExportLogs");
    day.db.delete_many(LOG, doc! { "_id": second.get("_id") });
    day.db.update_one(LOG, doc! {}, doc! { "$set": { "metadata.totalDebit": 1_i64 } });
    assert_only(&day, "log", "totalDebit");
    day.db.delete_many(LOG, doc! {});
    let kinds: Vec<_> = problems(&day).into_iter().map(|problem| problem.0).collect();
    assert_eq!(kinds, ["log", "lost"]);
}

#[test]
fn gaps_in_the_numbers_and_breaks_of_the_chain_are_found_whatever_batch_is_looked_at() {
    let day = Day::in_directory();
    exported(&day);
    for date in ["2026-01-19", "2026-01-20"] {
        seed_day(&day.db, date, 3);
        day.command("run").date(date).now(&format!("{date}T18:00:05+07:00")).run().expect_code(0);
    }
    let last = |day: &Day| day.command("verify").args(&["--last", "1"]).run();
    last(&day).expect_code(0);
    let middle = doc! { "metadata.number": 2_i64 };
    day.db.update_one(LOG, middle, doc! { "$set": { "metadata.sha256": "0".repeat(64) } });
    let result = last(&day).expect_code(34).json();
    assert_eq!(
        (&result["problems"][0]["kind"], &result["problems"][0]["batch"]),
        (&"chain".into(), &"batch_2026-01-20".into())
    );
    day.db.delete_many(BATCHES, doc! { "_id": "batch_2026-01-19" });
    let result = last(&day).expect_code(34).json();
    assert_eq!(
        (&result["problems"][0]["kind"], &result["problems"][0]["batch"]),
        (&"number".into(), &"batch_2026-01-19".into())
    );
}

#[test]
fn without_its_file_a_batch_with_stored_settings_is_not_blamed_on_settings() {
    let day = Day::in_directory();
    let seeded = exported(&day);
    std::fs::remove_file(day.directory().join(FILE)).expect("the file");
    set_entry(&day, &seeded, 2, doc! { "amount": 1_i64 });
    let found = problems(&day);
    let kinds: Vec<_> = found.iter().map(|(kind, _)| kind.as_str()).collect();
    assert_eq!(kinds, ["missing_file", "content"]);
    assert!(found[1].1.contains("at least one was edited") && !found[1].1.contains("--format"), "{found:?}");
}

#[test]
fn a_signal_ends_it_and_nothing_is_left_to_retry() {
    let day = Day::on_drive();
    exported(&day);
    let hold = day.drive().hold(day.drive().next(Operation::Download), Point::Before);
    let running = verify_command(&day).spawn();
    hold.wait_until_reached(PATIENCE);
    running.signal(rustix::process::Signal::TERM);
    let ended = running.wait(PATIENCE).expect_code(143).json();
    assert_eq!(ended["error"]["next"], "run the command again");
}

#[test]
fn a_database_without_any_batch_is_said() {
    let told = Day::in_directory().command("verify").args(&["--output", "text"]).run().expect_code(0).stdout;
    assert!(told.contains("no batch is recorded here") && told.contains("--database"), "{told}");
}

#[test]
fn text_names_each_problem_and_a_day_without_a_batch_is_one() {
    let day = Day::in_directory();
    let seeded = exported(&day);
    set_entry(&day, &seeded, 0, doc! { "status": "rejected" });
    let text = day.command("verify").args(&["--output", "text"]).run().expect_code(34).stdout;
    assert!(text.starts_with("batch_2026-01-18  completed  number 1  12 entries"), "{text}");
    assert!(text.contains("cancelled: entry") && text.ends_with("batches checked: 1, problems: 1\n"), "{text}");
    let result = day.command("verify").date("2026-01-01").run().expect_code(34).json();
    assert_eq!(result["problems"][0]["kind"], "missing_batch");
    let message = said(&result["problems"][0]);
    assert!(message.contains("`batch-export status` lists") && message.contains("run --date"), "{message}");
}
