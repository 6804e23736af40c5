//! Texts of documents, of names in a folder and of servers that try to pass for a line of the program, or to steer the terminal.

use mongodb::bson::{Bson, DateTime, doc};

use crate::support::command::{BatchExport, Finished};
use crate::support::day::{BATCH, BATCHES, Day, FILE};
use crate::support::receiver::{Receiver, Reply};
use crate::support::seed::{DATE, Entry, seed, seed_day};

const FORGED: &str = "x\nforged \u{202e}\u{2066}y\u{1b}[31m";

/// What a command says as text; nothing of it is forged.
#[track_caller]
fn honest(command: BatchExport) -> Finished {
    let ended = command.args(&["--output", "text"]).run();
    for text in [&ended.stdout, &ended.stderr] {
        assert!(!text.lines().any(|line| line.starts_with("forged")), "{text}");
        assert!(!text.contains(['\u{202e}', '\u{2066}', '\u{1b}']), "{text:?}");
    }
    assert!(format!("{}{}", ended.stdout, ended.stderr).contains("forged"), "it is not shown: {}", ended.report());
    ended
}

fn set(day: &Day, fields: mongodb::bson::Document) {
    day.db.update_many(BATCHES, doc! { "_id": BATCH }, doc! { "$set": fields });
}

#[test]
fn a_batch_document_forges_no_line() {
    let day = Day::in_directory();
    seed_day(&day.db, DATE, 3);
    let nowhere = day.run().destination("file:///nowhere/at-all");
    nowhere.run().expect_code(31);
    let status = || day.command("status").args(&["--date", DATE]);
    set(&day, doc! { "history.0.message": FORGED });
    honest(status());
    set(
        &day,
        doc! { "history.0.message": "plain", "voided": [{ "id": FORGED, "destination": "file:///tmp", "reason": "it is late" }] },
    );
    honest(status());
    honest(day.command("verify").args(&["--date", DATE]));
    let later = DateTime::from_millis(DateTime::now().timestamp_millis() + 3_600_000);
    for (host, id) in [(FORGED, "plain"), ("plain", FORGED)] {
        let holder = doc! { "host": host, "id": id, "pid": 7_i64, "command": "run", "since": DateTime::now() };
        set(&day, doc! { "state": "running", "holder": holder, "leaseExpiresAt": later });
        honest(status());
        honest(day.run());
        honest(day.command("unlock").args(&["--date", DATE]));
    }
    set(&day, doc! { "window.timezone": FORGED });
    honest(status());
}

#[test]
fn a_ledger_a_queue_row_and_a_name_in_the_folder_forge_no_line() {
    let day = Day::in_directory();
    seed_day(&day.db, DATE, 3);
    day.run().run().expect_code(0);
    std::fs::rename(day.directory().join(FILE), day.directory().join(format!("{FORGED}.csv"))).unwrap();
    honest(day.command("verify"));
    let other = Day::in_directory();
    let mut row = Entry::numbered(DATE, 1).row();
    row.insert("_id", Bson::from(FORGED));
    seed(&other.db, &[]);
    other.db.insert_many("exportqueues", vec![row]);
    honest(other.run());
}

#[test]
fn what_a_webhook_answers_steers_no_terminal() {
    let people = Receiver::answering(|_, _| Reply::saying(400, FORGED));
    for log in ["text", "json"] {
        let day = Day::in_directory();
        seed_day(&day.db, DATE, 3);
        honest(day.run().env("BATCH_EXPORT_NOTIFY_URL", &people.url("/hook")).args(&["--log-format", log]));
    }
}

/// It can be no file's, so it is never trashed.
#[test]
fn a_voided_id_that_is_no_text_is_told_by_each_retry_until_somebody_corrects_it() {
    for day in [Day::in_directory(), Day::on_drive()] {
        seed_day(&day.db, DATE, 3);
        day.run().run().expect_code(0);
        let file = day.batch().get_document("file").expect("a file").clone();
        let forged =
            doc! { "id": 5, "destination": file.get_str("destination").unwrap(), "reason": "late", "trashed": false };
        day.db.update_many(BATCHES, doc! { "_id": BATCH }, doc! { "$push": { "voided": forged } });
        for _ in 0..2 {
            let told = day.retry().run().expect_code(0);
            let says = ["WARN", "somebody edited", "5 (not a text)", "In `voided`, set `trashed` of that id to true"];
            assert!(says.iter().all(|word| told.stderr.contains(word)), "{}", told.report());
        }
        day.db.update_many(BATCHES, doc! { "_id": BATCH }, doc! { "$set": { "voided.0.trashed": true } });
        let told = day.retry().run().expect_code(0);
        assert!(!told.stderr.contains("voided"), "{}", told.report());
        assert_eq!(day.live_files().len(), 1);
    }
}
