//! A database that version 0.1 left is carried on by this one, in whatever state its batch is.
//!
//! The fixtures are in the shape that version 0.1 wrote: no destination, no seal and no settings with the file, no `exportbatchentries`, no
//! name of the installation in the ledger, row lists of rows alone.

use std::collections::BTreeMap;
use std::path::Path;

use mongodb::bson::{Document, doc};
use serde::Deserialize;
use serde_json::Value;

use crate::support::block;
use crate::support::command::{BatchExport, Finished, told};
use crate::support::day::{BATCH, BATCHES, Day, EXPORTED, FILE};
use crate::support::seed::{DATE, QUEUE, seed_day};

#[derive(Deserialize)]
struct Fixture {
    collections: BTreeMap<String, Vec<Document>>,
    files: BTreeMap<String, String>,
}

/// A day in the state that version 0.1 left.
fn left(state: &str) -> Day {
    let day = Day::in_directory();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/v0_1/{state}.json"));
    let text = std::fs::read_to_string(path).expect("the fixture");
    let text = text.replace("{folder}", &day.directory().display().to_string());
    let fixture: Fixture = serde_json::from_str(&text).expect("Extended JSON");
    for (name, documents) in fixture.collections.into_iter().filter(|(_, documents)| !documents.is_empty()) {
        block(day.db.database().collection::<Document>(&name).insert_many(documents)).expect("the documents");
    }
    for (name, content) in fixture.files {
        std::fs::write(day.directory().join(name), content).expect("the file");
    }
    day
}

fn init(day: &Day) -> Value {
    day.command("init").run().expect_code(0).json()
}

fn verify(day: &Day) -> Finished {
    day.command("verify").run()
}

fn next_day(day: &Day) -> BatchExport {
    seed_day(&day.db, "2026-01-19", 2);
    day.command("run").date("2026-01-19").now("2026-01-19T18:00:05+07:00")
}

/// The state that `status` shows.
fn state(day: &Day) -> String {
    let shown = day.command("status").date(DATE).run().expect_code(0).json();
    shown["batches"][0]["state"].as_str().expect("a state").to_owned()
}

#[test]
fn a_completed_batch_stays_as_it_is_and_the_next_one_follows_once_init_has_run() {
    let day = left("completed");
    assert_eq!(state(&day), "completed");
    verify(&day).expect_code(0);
    let refused = next_day(&day).run().expect_code(30).json();
    assert!(told(&refused["error"]).contains("batch-export init"), "{refused}");
    assert_eq!(init(&day)["entries_added"], 4);
    let again = day.run().run().expect_code(0).json();
    assert_eq!((&again["outcome"], &again["number"]), (&"already_completed".into(), &1.into()));
    let next = day.command("run").date("2026-01-19").now("2026-01-19T18:00:05+07:00").arg("--now");
    let next = next.run().expect_code(0).json();
    assert_eq!((&next["outcome"], &next["number"], &next["entries"]), (&"completed".into(), &2.into(), &2.into()));
    let checked = verify(&day).expect_code(0).json();
    let whose = |at: usize| checked["checked"][at]["settings"].as_str().expect("whose settings").to_owned();
    assert_eq!((whose(0), whose(1)), ("today".to_owned(), "stored".to_owned()));
}

#[test]
fn an_empty_day_is_done_again_when_rows_appear() {
    let day = left("empty");
    assert_eq!(state(&day), "empty");
    verify(&day).expect_code(0);
    day.run().run().expect_code(0);
    assert_eq!(state(&day), "empty");
    seed_day(&day.db, DATE, 3);
    let result = day.run().run().expect_code(0).json();
    assert_eq!((&result["outcome"], &result["number"]), (&"completed".into(), &1.into()));
    day.check_converged();
}

#[test]
fn a_failed_batch_is_taken_up_by_retry_with_its_attempts() {
    let day = left("failed");
    assert_eq!(state(&day), "failed");
    let result = day.retry().run().expect_code(0).json();
    let batch = &result["batches"][0];
    assert_eq!((&batch["outcome"], &batch["attempt"], &batch["entries"]), (&"completed".into(), &2.into(), &4.into()));
    assert_eq!(day.live_files().len(), 1);
    day.check_converged();
    verify(&day).expect_code(0);
}

#[test]
fn an_exhausted_batch_waits_for_a_person_and_is_carried_on_after_unlock() {
    let day = left("exhausted");
    day.run().run().expect_code(33);
    day.command("unlock").date(DATE).run().expect_code(0);
    let result = day.run().run().expect_code(0).json();
    assert_eq!((&result["outcome"], &result["attempt"]), (&"completed".into(), &1.into()));
    day.check_converged();
    verify(&day).expect_code(0);
}

#[test]
fn a_batch_whose_run_died_after_the_upload_is_finished_with_the_file_that_is_there() {
    let day = left("running");
    assert_eq!(state(&day), "running");
    let before = day.live_files();
    let result = day.retry().run().expect_code(0).json();
    let batch = &result["batches"][0];
    assert_eq!(
        (&batch["outcome"], &batch["attempt"], &batch["adopted"]),
        (&"completed".into(), &2.into(), &true.into())
    );
    assert_eq!(day.live_files(), before);
    day.check_converged();
    verify(&day).expect_code(0);
}

#[test]
fn a_batch_that_is_marking_by_an_old_row_list_is_carried_on_from_its_file() {
    let day = left("marking");
    let refused = day.retry().run().expect_code(30).json();
    assert!(told(&refused["batches"][0]["error"]).contains("batch-export init"), "{refused}");
    init(&day);
    assert_eq!(state(&day), "marking");
    let file = day.live_files();
    let result = day.retry().run().expect_code(0).json();
    assert_eq!((&result["batches"][0]["outcome"], &result["batches"][0]["entries"]), (&"completed".into(), &6.into()));
    assert_eq!((day.live_files(), state(&day)), (file, "completed".to_owned()));
    // Files of version 0.1 are not sealed, and stay as they are.
    day.check_guarantees();
    assert_eq!(day.db.find_all(EXPORTED, doc! { "n": 1_i64 }).len(), 6);
    assert_eq!(day.db.find_all("exportbatchrows", doc! {}), []);
    verify(&day).expect_code(0);
    let next = next_day(&day).run().expect_code(0).json();
    assert_eq!((&next["number"], &next["entries"]), (&2.into(), &2.into()));
}

#[test]
fn a_row_of_an_old_list_that_was_pointed_at_another_entry_keeps_that_entry_out_of_the_batch() {
    let day = left("marking");
    init(&day);
    let queued = doc! { "status": "queued" };
    let row = day.db.find_all(QUEUE, queued)[0].get_object_id("_id").expect("an id");
    let other = mongodb::bson::oid::ObjectId::new();
    day.db.update_one(QUEUE, doc! { "_id": row }, doc! { "$set": { "entryId": other } });
    day.retry().run().expect_code(0);
    assert_eq!(day.db.find_one(EXPORTED, doc! { "_id": other }), None);
    assert_eq!(day.db.find_all(EXPORTED, doc! { "n": 1_i64 }).len(), 6);
}

#[test]
fn an_old_row_list_whose_file_names_no_entries_is_left_to_the_old_version() {
    let day = left("marking");
    init(&day);
    let rows = || ["exportbatchrows", QUEUE, EXPORTED].map(|name| day.db.find_all(name, doc! {}));
    let before = rows();
    let result = day.retry().env("BATCH_EXPORT_FORMAT", "express").run().expect_code(30).json();
    let said = told(&result["batches"][0]["error"]);
    assert!(said.contains("is one of version 0.1") && said.contains("let version 0.1 finish it"), "{said}");
    assert_eq!((rows(), state(&day)), (before, "marking".to_owned()), "nothing is marked by halves");
    assert!(day.directory().join(FILE).exists());
    let ledger = day.db.find_one(BATCHES, doc! { "_id": "ledger" }).expect("the ledger");
    assert_eq!(ledger.get_str("marking").ok(), Some(BATCH));
}
