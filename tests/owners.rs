//! One owner for a name and a committed file: against copies and restored databases, other installations, a destination that changes in
//! mid-batch, and whoever can write the batch documents.

use std::path::Path;
use std::time::Duration;

use mongodb::bson::{Bson, DateTime, Document, doc};
use serde_json::Value;

use crate::support::command::{BatchExport, Finished};
use crate::support::day::{BATCH, BATCHES, Day, FILE, LOG, LiveFile, hex};
use crate::support::db::TestDb;
use crate::support::fake_drive::{Answer, Fault, On, Operation, Planted, Point};
use crate::support::seed::{DATE, ENTRIES, QUEUE, seed_day};

mod places;
mod restored;
mod seal;

/// Long enough for anything on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);
/// The day after.
const NEXT: &str = "2026-01-19";
/// The day after that.
const LATER: &str = "2026-01-20";
const NEXT_EVENING: &str = "2026-01-19T18:00:05+07:00";
const COLLECTIONS: [&str; 6] = [QUEUE, ENTRIES, BATCHES, LOG, "exportbatchrows", "exportbatchentries"];

/// Everything in a database, as a backup keeps it.
struct Backup(Vec<(&'static str, Vec<Document>)>);

impl Backup {
    fn of(db: &TestDb) -> Backup {
        Backup(COLLECTIONS.map(|name| (name, db.find_all(name, doc! {}))).into())
    }

    fn restore(&self, db: &TestDb) {
        for (name, documents) in &self.0 {
            db.delete_many(name, doc! {});
            if !documents.is_empty() {
                db.insert_many(name, documents.clone());
            }
        }
    }
}

/// Both kinds of destination, with a day's entries.
fn days() -> [Day; 2] {
    let days = [Day::in_directory(), Day::on_drive()];
    days.iter().for_each(|day| drop(seed_day(&day.db, DATE, 5)));
    days
}

fn edit_all(db: &TestDb) {
    db.update_many(ENTRIES, doc! {}, doc! { "$set": { "description": "corrected" } });
}

fn next_evening(day: &Day) -> BatchExport {
    day.command("run").date(NEXT).now(NEXT_EVENING)
}

/// A first attempt that stores the file, and fails in the commit.
fn fail_in_the_commit(day: &Day) {
    let data = doc! { "failCommands": ["insert"], "errorCode": 8000 };
    let point = day.db.fail_point("alwaysOn", data);
    day.run().run().expect_code(20);
    drop(point);
    assert_eq!(day.live_files().len(), 1, "the attempt stored its file");
}

/// A copy of the database whose batch document has the file of a failed attempt.
fn copied_after_a_failure(day: &Day) -> TestDb<'static> {
    fail_in_the_commit(day);
    let copy = TestDb::new();
    Backup::of(&day.db).restore(&copy);
    copy
}

/// Exports two days, and restores the database as it was before the second one. The files of both days.
fn restored_after_the_second_day(day: &Day) -> Vec<LiveFile> {
    day.run().run().expect_code(0);
    seed_day(&day.db, NEXT, 4);
    let backup = Backup::of(&day.db);
    next_evening(day).run().expect_code(0);
    let files = day.live_files();
    backup.restore(&day.db);
    files
}

#[track_caller]
fn assert_refused(ended: &Finished, result: &Value, says: &[&str]) {
    let told = result["error"].to_string();
    assert_eq!(result["exit_code"], 31, "{}", ended.report());
    for words in says {
        assert!(told.contains(words), "{words}: {}", ended.report());
    }
}

fn stored(db: &TestDb, batch: &str) -> Document {
    db.find_one(BATCHES, doc! { "_id": batch }).expect("the batch document")
}

fn let_time_pass(db: &TestDb) {
    let past = doc! { "$set": { "nextRetryAt": DateTime::from_millis(0) } };
    db.update_many(BATCHES, doc! { "state": "failed" }, past);
}

/// A failed attempt, a copy of the database, the original completes; then the copy goes on with other data.
#[test]
fn a_copy_of_the_database_never_removes_the_committed_file() {
    for day in days() {
        let copy = copied_after_a_failure(&day);
        day.let_time_pass();
        day.retry().run().expect_code(0);
        let official = day.live_files();

        edit_all(&copy);
        let_time_pass(&copy);
        let ended = day.retry().mongodb(&copy.uri()).run().expect_code(31);
        assert_refused(&ended, &ended.json()["batches"][0], &["committed as number 1", "does not know", "copy"]);
        assert_eq!(day.live_files(), official);
        assert!(stored(&copy, BATCH).get_array("voided").unwrap().is_empty(), "{}", stored(&copy, BATCH));
        // Nor does a later sweep, when all of the copy's retries are used.
        for _ in 0..4 {
            let_time_pass(&copy);
            day.retry().mongodb(&copy.uri()).run();
        }
        assert_eq!(day.live_files(), official);
        day.check_converged();
    }
}

/// The copy gives the file up and cannot trash it; the original commits it. From then on the copy finds the name taken.
#[test]
fn a_file_that_was_given_up_by_a_copy_and_committed_by_the_original_keeps_its_name() {
    let [_, day] = days();
    let copy = copied_after_a_failure(&day);
    edit_all(&copy);
    let_time_pass(&copy);
    for operation in [Operation::Update, Operation::Start] {
        day.drive().plan(On::every(operation), Fault::answer(Answer::error(503, "backendError")));
    }
    day.retry().mongodb(&copy.uri()).run().expect_code(22);
    assert_eq!(stored(&copy, BATCH).get_array("voided").unwrap().len(), 1);
    day.drive().cure();
    day.let_time_pass();
    assert_eq!(day.retry().run().expect_code(0).json()["batches"][0]["adopted"], true);
    let official = day.live_files();

    let_time_pass(&copy);
    let ended = day.retry().mongodb(&copy.uri()).run().expect_code(31);
    assert_refused(&ended, &ended.json()["batches"][0], &["committed as number 1", "does not know", "copy"]);
    assert_eq!(day.live_files(), official);
    day.check_converged();
}

/// The copy has nothing due any more, so it wants to give up what the failed attempt stored.
#[test]
fn a_copy_without_due_rows_leaves_the_committed_file_as_well() {
    for day in days() {
        let copy = copied_after_a_failure(&day);
        day.let_time_pass();
        day.retry().run().expect_code(0);
        let official = day.live_files();
        copy.update_many(QUEUE, doc! {}, doc! { "$set": { "status": "failed" } });
        let_time_pass(&copy);
        day.retry().mongodb(&copy.uri()).run().expect_code(31);
        assert_eq!(day.live_files(), official);
    }
}

/// A backup from before the export: the days are exported again, in order, and find their own files.
#[test]
fn a_restored_database_finds_its_own_files_again() {
    for day in days() {
        let files = restored_after_the_second_day(&day);
        let again = next_evening(&day).run().expect_code(0).json();
        assert_eq!((&again["adopted"], &again["number"]), (&true.into(), &2.into()), "{again}");
        assert_eq!(day.live_files(), files);
        day.check_converged();
    }
}

#[test]
fn a_restored_database_with_other_data_changes_nothing() {
    for day in days() {
        let files = restored_after_the_second_day(&day);
        edit_all(&day.db);
        let ended = next_evening(&day).run().expect_code(31);
        assert_refused(&ended, &ended.json(), &["committed as number 2", "restored from a backup"]);
        assert_eq!(day.live_files(), files);
        assert!(stored(&day.db, "batch_2026-01-19").get("file").is_none_or(|file| *file == Bson::Null));
    }
}

/// The file was committed under another number than this commit would allot.
#[test]
fn a_file_of_another_number_is_not_adopted() {
    for day in days() {
        day.run().run().expect_code(0);
        let backup = Backup::of(&day.db);
        // A batch that the backup does not know takes number 2, so the next one is number 3.
        seed_day(&day.db, "2026-01-17", 1);
        day.command("run").date("2026-01-17").run().expect_code(0);
        seed_day(&day.db, NEXT, 4);
        next_evening(&day).run().expect_code(0);
        let files = day.live_files();
        backup.restore(&day.db);
        seed_day(&day.db, NEXT, 4);
        let ended = next_evening(&day).run().expect_code(31);
        assert_refused(&ended, &ended.json(), &["committed as number", "does not know"]);
        assert_eq!(day.live_files(), files);
    }
}

/// The files of the lost state have other names than this export wants, and its next number.
#[test]
fn a_restored_database_that_begins_with_a_later_date_exports_nothing_twice() {
    for day in days() {
        let files = restored_after_the_second_day(&day);
        seed_day(&day.db, LATER, 2);
        let run = || day.command("run").date(LATER).now("2026-01-20T18:00:05+07:00");
        let ended = run().run().expect_code(31);
        assert_refused(
            &ended,
            &ended.json(),
            &["batch_2026-01-19.csv", "committed as number 2", "restored from a backup"],
        );
        assert_eq!(day.live_files(), files);
        // The way out: in order.
        next_evening(&day).run().expect_code(0);
        run().args(&["--now"]).run().expect_code(0);
        assert_eq!(day.live_files().len(), 3);
        day.command("verify").now("2026-01-20T19:00:00+07:00").run().expect_code(0);
    }
}

/// Whoever exports a database that was restored meets the file that was committed; when the commit cannot be made, that file stays.
#[test]
fn a_committed_file_is_not_given_up_when_all_retries_are_used() {
    for day in days() {
        let files = restored_after_the_second_day(&day);
        let data = doc! { "failCommands": ["insert"], "errorCode": 8000 };
        let point = day.db.fail_point("alwaysOn", data);
        for _ in 0..4 {
            next_evening(&day).args(&["--now"]).run();
        }
        drop(point);
        let batch = stored(&day.db, "batch_2026-01-19");
        assert_eq!(batch.get_str("state").unwrap(), "exhausted");
        assert!(batch.get_array("voided").is_ok_and(Vec::is_empty), "{batch}");
        assert_eq!(day.live_files(), files);
        day.command("unlock").date(NEXT).run().expect_code(0);
        let again = next_evening(&day).args(&["--now"]).run().expect_code(0).json();
        assert_eq!((&again["adopted"], &again["number"]), (&true.into(), &2.into()), "{again}");
        assert_eq!(day.live_files(), files);
        day.command("verify").date(NEXT).run().expect_code(0);
    }
}

#[test]
fn a_database_restored_to_before_its_first_batch_looks_like_another_installation() {
    for day in days() {
        let backup = Backup::of(&day.db);
        day.run().run().expect_code(0);
        let files = day.live_files();
        backup.restore(&day.db);
        let ended = day.run().run().expect_code(31);
        assert_refused(&ended, &ended.json(), &["belongs to the installation", "number 1", "before its first batch"]);
        assert_eq!(day.live_files(), files);
    }
}

#[test]
fn two_databases_with_one_folder_get_in_nobodys_way() {
    for day in days() {
        day.run().run().expect_code(0);
        let other = TestDb::new();
        seed_day(&other, DATE, 3);
        let files = day.live_files();
        let ended = day.run().mongodb(&other.uri()).run().expect_code(31);
        assert_refused(&ended, &ended.json(), &["belongs to the installation", "--file-name"]);
        assert_eq!(day.live_files(), files);
        day.check_converged();
        day.command("verify").run().expect_code(0);
        let verified = day.command("verify").mongodb(&other.uri()).run().expect_code(34);
        let problems = verified.json()["problems"].clone();
        assert_eq!(problems[0]["kind"], "foreign_file", "{problems}");
        assert!(!problems.to_string().contains("trash it"), "{problems}");
    }
}

/// The way out that the refusal names.
#[test]
fn two_databases_share_a_folder_with_file_names_of_their_own() {
    for day in days() {
        day.run().run().expect_code(0);
        let other = TestDb::new();
        seed_day(&other, DATE, 3);
        day.run().mongodb(&other.uri()).run().expect_code(31);
        let_time_pass(&other);
        let named =
            |command: BatchExport| command.mongodb(&other.uri()).env("BATCH_EXPORT_FILE_NAME", "acme #2 {date}.csv");
        let result = named(day.retry()).run().expect_code(0).json();
        assert_eq!(result["batches"][0]["file"]["name"], "acme #2 2026-01-18.csv", "{result}");
        assert_eq!(day.live_files().len(), 2);
        named(day.command("verify")).run().expect_code(0);
        // A batch keeps the name that it was given.
        day.command("verify").mongodb(&other.uri()).run().expect_code(0);
        day.command("verify").run().expect_code(0);
    }
}

/// Nothing on it tells whose it is.
#[test]
fn a_file_of_a_person_keeps_its_name() {
    for day in days() {
        match &day.place {
            crate::support::day::Place::Directory(folder) => std::fs::write(folder.path().join(FILE), "mine").unwrap(),
            crate::support::day::Place::Drive(drive, _) => {
                drive.put_file(crate::support::fake_drive::Planted {
                    ours: false,
                    ..drive.planted("1person", FILE, b"mine")
                });
            }
        }
        let files = day.live_files();
        let ended = day.run().run().expect_code(31);
        assert_refused(&ended, &ended.json(), &["not of this batch", "move it away"]);
        assert_eq!(day.live_files(), files);
        assert!(day.batch().get("file").is_none_or(|file| *file == Bson::Null), "{}", day.batch());
    }
}

/// The name is looked for before anything is sent, by one request.
#[test]
fn a_list_that_fails_decides_nothing() {
    let day = Day::on_drive();
    seed_day(&day.db, DATE, 3);
    day.drive().plan(On::every(Operation::List), Fault::answer(Answer::error(500, "internalError")));
    day.run().run().expect_code(22);
    assert_eq!((day.drive().count(Operation::Start), day.drive().count(Operation::GenerateIds)), (0, 0));
    day.drive().cure();
    day.let_time_pass();
    for first in [true, false] {
        let before = day.drive().count(Operation::List);
        if first { day.retry() } else { next_evening(&day) }.run().expect_code(0);
        assert_eq!(day.drive().count(Operation::List) - before, 1);
        if first {
            seed_day(&day.db, NEXT, 2);
        }
    }
    day.check_converged();
}

/// A database of an earlier version: no installation, and files without a destination.
#[test]
fn a_ledger_of_an_earlier_version_gets_a_name_once() {
    let day = Day::in_directory();
    seed_day(&day.db, DATE, 3);
    day.db.insert_many(BATCHES, vec![doc! { "_id": "ledger", "number": 0_i64, "lastSha256": null, "marking": null }]);
    day.run().run().expect_code(0);
    let name =
        || day.db.find_one(BATCHES, doc! { "_id": "ledger" }).unwrap().get_str("installation").unwrap().to_owned();
    let first = name();
    assert_eq!(first.len(), 36, "{first}");
    seed_day(&day.db, NEXT, 3);
    next_evening(&day).run().expect_code(0);
    assert_eq!(name(), first);
    day.check_converged();
}

fn sha256(bytes: &[u8]) -> String {
    use sha2::Digest;
    hex(&sha2::Sha256::digest(bytes))
}

/// Who can write the batch documents can neither remove nor make a file outside of the destination, nor remove one that
/// is not of the batch.
#[test]
fn ids_from_the_database_are_never_followed() {
    let day = Day::in_directory();
    seed_day(&day.db, DATE, 3);
    day.run().run().expect_code(0);
    let outside = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let victim = outside.path().join("batch_2026-01-18.csv");
    let beside = day.directory().join("payroll.csv");
    let dated = day.directory().join("bank statement 2026-01-18.pdf");
    for path in [&victim, &beside, &dated] {
        std::fs::write(path, "precious").unwrap();
    }
    let absolute = victim.display().to_string();
    let up = format!("../{}/batch_2026-01-18.csv", outside.path().file_name().unwrap().to_string_lossy());
    let elsewhere = format!("file://{}", outside.path().display());
    let nul = "batch_2026-01-18.csv\0".to_owned();
    let ids: Vec<(String, Option<&str>)> = vec![
        (format!("{absolute}#x"), None),
        (absolute, None),
        (format!("{up}#x"), None),
        (format!("{nul}#x"), None),
        ("payroll.csv#x".to_owned(), None),
        ("bank statement 2026-01-18.pdf#x".to_owned(), None),
        ("..#x".to_owned(), None),
        ("batch_2026-01-18.csv#x".to_owned(), Some(&elsewhere)),
    ];
    let voided: Vec<Document> = ids
        .iter()
        .map(|(id, at)| doc! { "id": id, "destination": at, "sha256": sha256(b"precious"), "reason": "evil", "trashed": false })
        .collect();
    day.db.update_one(BATCHES, doc! { "_id": BATCH }, doc! { "$set": { "voided": voided } });
    let ended = day.retry().run().expect_code(0);
    assert!(!ended.stderr.contains("by hand"), "{}", ended.report());
    for path in [&victim, &beside, &dated] {
        assert_eq!(std::fs::read(path).unwrap(), b"precious", "{path:?}");
    }
    // Nor does the seal go to such a file.
    for (id, at) in [("payroll.csv#x", None), ("batch_2026-01-18.csv#x", Some(&elsewhere))] {
        let mut set = doc! { "file.id": id, "file.sha256": sha256(b"precious"), "file.sealed": false, "voided": [] };
        if let Some(at) = at {
            set.insert("file.destination", at);
        }
        let before = day.batch().get_document("file").unwrap().clone();
        day.db.update_one(BATCHES, doc! { "_id": BATCH }, doc! { "$set": set });
        day.retry().run().expect_code(0);
        for path in [&victim, &beside] {
            assert!(!std::fs::metadata(path).unwrap().permissions().readonly(), "{path:?}");
        }
        day.db.update_one(BATCHES, doc! { "_id": BATCH }, doc! { "$set": { "file": before } });
    }
    // The committed file is sealed, and stays even when its checksum is said to be void.
    let official = std::fs::read(day.directory().join(FILE)).unwrap();
    let voided = doc! { "id": format!("{FILE}#x"), "sha256": sha256(&official), "reason": "evil", "trashed": false };
    let changes = doc! { "$set": { "voided": [voided], "file.sha256": "another" } };
    day.db.update_one(BATCHES, doc! { "_id": BATCH }, changes);
    day.retry().run().expect_code(0);
    assert_eq!(std::fs::read(day.directory().join(FILE)).unwrap(), official);
    let told = day.command("verify").run().expect_code(34).json()["problems"].to_string();
    assert!(told.contains("tries to trash it, and its log says why it cannot"), "{told}");
}

#[test]
fn a_file_of_a_person_on_drive_is_neither_trashed_nor_sealed() {
    let day = Day::on_drive();
    seed_day(&day.db, DATE, 3);
    day.run().run().expect_code(0);
    let drive = day.drive();
    let id = drive.issue_id();
    drive.put_file(Planted { ours: false, ..drive.planted(&id, "bank 2026-01-18.pdf", b"precious") });
    let stored = || drive.files().into_iter().find(|file| file.id == id).expect("the file");
    let before = stored();
    let (sha256, destination) = (sha256(b"precious"), format!("gdrive://{}", drive.folder()));
    let voided = doc! { "id": &id, "destination": destination, "sha256": &sha256, "reason": "evil", "trashed": false };
    day.db.update_one(BATCHES, doc! { "_id": BATCH }, doc! { "$set": { "voided": [voided] } });
    day.retry().run().expect_code(0);
    assert_eq!(stored(), before);
    let set = doc! { "file.id": &id, "file.sha256": sha256, "file.sealed": false, "voided": [] };
    day.db.update_one(BATCHES, doc! { "_id": BATCH }, doc! { "$set": set });
    day.retry().run().expect_code(0);
    assert_eq!(stored(), before);
}

/// Ledger, log and batch documents are lost; what was exported is still known.
#[test]
fn numbers_do_not_begin_again_while_exported_entries_are_known() {
    let day = Day::in_directory();
    seed_day(&day.db, DATE, 3);
    day.run().run().expect_code(0);
    day.db.delete_many(BATCHES, doc! {});
    day.db.delete_many(LOG, doc! {});
    seed_day(&day.db, NEXT, 2);
    let ended = next_evening(&day).run().expect_code(30);
    let told = ended.json()["error"].to_string();
    assert!(told.contains("begin at 1 again") && told.contains("and exportlogs too"), "{}", ended.report());
    assert!(!told.contains("--adopt"), "the log is lost as well: {told}");
}

#[test]
fn no_file_is_made_outside_of_the_destination() {
    let day = Day::in_directory();
    seed_day(&day.db, DATE, 3);
    fail_in_the_commit(&day);
    let outside = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    for id in [format!("{}/evil.csv#x", outside.path().display()), "../evil.csv#x".to_owned(), "..#x".to_owned()] {
        std::fs::remove_file(day.directory().join(FILE)).ok();
        day.db.update_one(BATCHES, doc! { "_id": BATCH }, doc! { "$set": { "file.id": &id, "attempt": 1 } });
        day.let_time_pass();
        let ended = day.retry().run().expect_code(31);
        assert_refused(&ended, &ended.json()["batches"][0], &["cannot be the id of a file", "set `file` to null"]);
        assert!(is_empty(outside.path()) && is_empty(day.directory()), "{id}");
        assert!(!day.directory().join("../evil.csv").exists());
    }
}

fn is_empty(folder: &Path) -> bool {
    std::fs::read_dir(folder).unwrap().next().is_none()
}
