//! A part of the records is gone: `verify` and `status` find that and say the way out, `init` rebuilds what can be rebuilt and refuses the rest,
//! and no run begins anew.

use mongodb::bson::{Document, doc};
use serde_json::Value;

use crate::row_list::killed_before_piece;
use crate::support::command::told;
use crate::support::day::{BATCH, BATCHES, Day, EXPORTED, LOG};
use crate::support::seed::{DATE, QUEUE, seed_day};

const BEFORE: &str = "2026-01-17";
const EVENING: &str = "2026-01-18T18:30:00+07:00";
const LISTS: &str = "exportbatchrows";

/// Two exported days.
fn two_days() -> Day {
    let day = Day::in_directory();
    day.command("init").run().expect_code(0);
    for date in [BEFORE, DATE] {
        seed_day(&day.db, date, 3);
        day.command("run").date(date).now(EVENING).run().expect_code(0);
    }
    day
}

fn lose(day: &Day, what: &[(&str, Document)]) {
    for (collection, which) in what {
        day.db.delete_many(collection, which.clone());
    }
}

fn messages(found: &Value) -> Vec<String> {
    let problems = found["problems"].as_array().expect("a list");
    problems.iter().map(|one| one["message"].as_str().expect("a text").to_owned()).collect()
}

#[track_caller]
fn assert_found(day: &Day, says: &[&str]) {
    let verify = day.command("verify").now(EVENING).run().expect_code(34).json();
    let status = day.command("status").arg("--check").now(EVENING).run().expect_code(34).json();
    let of_day = day.command("status").date(DATE).now(EVENING).run().expect_code(0).json();
    for (command, found) in [("verify", &verify), ("status --check", &status), ("status --date", &of_day)] {
        let messages = messages(found);
        for word in says {
            assert!(
                messages.iter().any(|message| message.contains(word)),
                "{command}: {word:?} is not in {messages:?}"
            );
        }
    }
    let doctor = day.command("doctor").run().json();
    let of = |name: &str| doctor["checks"].as_array().unwrap().iter().find(|check| check["name"] == name).cloned();
    assert_eq!(of("collections").unwrap()["verdict"], "bad", "{doctor}");
    let lost = status["problems"].as_array().unwrap().iter().filter(|one| one["kind"] == "lost").count();
    assert_eq!(lost, 1, "{status}");
}

#[test]
fn lost_batch_documents_are_found_and_the_way_out_leads_out() {
    for which in [doc! {}, doc! { "_id": { "$ne": "ledger" } }, doc! { "_id": BATCH }] {
        let day = two_days();
        lose(&day, &[(BATCHES, which)]);
        assert_found(&day, &["`batch-export init --adopt`"]);
        let text =
            day.command("status").args(&["--check", "--output", "text"]).now(EVENING).run().expect_code(34).stdout;
        assert!(text.contains(BATCH) && !text.contains("is missing: run"), "{text}");
        day.command("init").arg("--adopt").run().expect_code(0);
        day.command("verify").now(EVENING).run().expect_code(0);
        day.command("status").arg("--check").now(EVENING).run().expect_code(0);
    }
}

#[test]
fn lost_batch_documents_are_found_by_the_exported_entries_alone() {
    let day = two_days();
    lose(&day, &[(BATCHES, doc! {}), (LOG, doc! {})]);
    assert_found(
        &day,
        &[
            "batches up to number 2 were exported, and exportbatches has 0 of their documents; the others are lost",
            "restore exportbatches and",
        ],
    );
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
fn init_does_not_say_ready_where_exports_are_known_and_their_records_are_lost() {
    let day = two_days();
    lose(&day, &[(BATCHES, doc! {})]);
    let refused = told(&day.command("init").run().expect_code(30).json()["error"]);
    assert!(refused.contains("`batch-export init --adopt`"), "{refused}");
    let all = [(BATCHES, doc! {}), (LISTS, doc! {}), (EXPORTED, doc! {})];
    lose(&day, &all);
    day.command("init").arg("--adopt").run().expect_code(0);
    day.command("verify").now(EVENING).run().expect_code(0);
    assert_eq!(day.db.count(EXPORTED, doc! {}), 6);
    // Without the export log nothing can be rebuilt. An earlier program may have marked the rows.
    lose(&day, &all);
    lose(&day, &[(LOG, doc! {})]);
    let refused = told(&day.command("init").arg("--adopt").run().expect_code(30).json()["error"]);
    assert!(refused.contains("completed rows name batch_2026-01-1") && refused.contains("from a backup"), "{refused}");
    let warned = day.command("init").args(&["--output", "text"]).run().expect_code(0).stdout;
    assert!(warned.contains("warning: completed rows name batch_2026-01-1"), "{warned}");
}

#[test]
fn init_lifts_no_refusal_while_batches_of_which_it_records_nothing_are_lost() {
    let day = two_days();
    day.db.delete_many(BATCHES, doc! { "_id": { "$ne": "ledger" } });
    day.db.command(doc! { "drop": EXPORTED });
    let evening = "2026-01-19T18:30:00+07:00";
    let next_day = || day.command("run").arg("--now").date("2026-01-19").now(evening).run().expect_code(30);
    next_day();
    for _ in 0..2 {
        let refused = day.command("init").run().expect_code(30).json();
        let said = told(&refused["error"]);
        assert!(said.contains("not on record") && said.contains("init --adopt"), "{refused}");
        next_day();
    }
    day.command("init").arg("--adopt").run().expect_code(0);
    assert_eq!(day.db.find_all(EXPORTED, doc! {}).len(), 6);
    day.command("verify").now(EVENING).run().expect_code(0);
}

#[test]
fn a_first_run_says_that_rows_are_marked_where_no_record_of_an_export_is_left() {
    let day = two_days();
    lose(&day, &[(BATCHES, doc! {}), (LOG, doc! {}), (EXPORTED, doc! {})]);
    let ended = day.command("run").date("2026-01-19").now("2026-01-19T18:30:00+07:00").run().expect_code(0);
    assert!(
        ended.stderr.contains("completed rows name batch_2026-01-18, and no export is recorded"),
        "{}",
        ended.stderr
    );
}

#[test]
fn no_number_is_given_out_twice_when_the_log_lacks_the_last_one() {
    for documents in [doc! { "_id": "ledger" }, doc! { "_id": { "$in": ["ledger", BATCH] } }] {
        let day = two_days();
        lose(&day, &[(BATCHES, documents), (LOG, doc! { "metadata.number": 2 })]);
        day.command("init").arg("--adopt").run();
        let ledger = day.db.find_all(BATCHES, doc! { "_id": "ledger" });
        assert_eq!(ledger[0].get_i64("number").ok(), Some(2), "{ledger:?}");
    }
    // The log is gone as a whole: the documents are there.
    let day = two_days();
    lose(&day, &[(BATCHES, doc! { "_id": "ledger" }), (LOG, doc! {})]);
    day.command("init").arg("--adopt").run().expect_code(0);
    assert_eq!(day.db.find_all(BATCHES, doc! { "_id": "ledger" })[0].get_i64("number").ok(), Some(2));
}

#[test]
fn a_batch_that_was_marking_is_rebuilt_as_marking_when_its_document_and_row_list_are_lost() {
    for lost in [&[BATCHES, LISTS][..], &[BATCHES, LISTS, EXPORTED]] {
        for nth in 1..=3 {
            let day = killed_before_piece(nth, &[]);
            for collection in lost {
                day.db.delete_many(collection, doc! {});
            }
            day.command("init").arg("--adopt").run().expect_code(0);
            assert_eq!(day.batch().get_str("state").ok(), Some("marking"), "{lost:?}");
            day.retry().run().expect_code(0);
            assert_eq!((day.rows_with_status("completed"), day.db.count(EXPORTED, doc! { "n": 1 })), (8, 8));
            day.command("verify").run().expect_code(0);
            let ledger = day.db.find_one(BATCHES, doc! { "_id": "ledger" }).expect("the ledger");
            assert_eq!(ledger.get("recorded").and_then(mongodb::bson::Bson::as_i64), Some(8), "{ledger}");
        }
    }
}

#[test]
fn an_entry_that_was_exported_again_is_recorded_under_its_last_number() {
    let day = Day::in_directory();
    let seeded = seed_day(&day.db, DATE, 3);
    day.run().run().expect_code(0);
    let mut again = day.db.find_one(QUEUE, doc! { "_id": seeded.rows[1] }).expect("a row");
    again.insert("_id", mongodb::bson::oid::ObjectId::new());
    again.insert("status", "queued");
    again.insert("metadata", doc! {});
    day.db.insert_many(QUEUE, vec![again]);
    let next = day.command("run").date("2026-01-19").now("2026-01-19T18:00:05+07:00");
    next.arg("--allow-reexport").run().expect_code(0);
    let numbers = || day.db.find_one(EXPORTED, doc! { "_id": seeded.entries[1] }).and_then(|one| one.get_i64("n").ok());
    assert_eq!(numbers(), Some(2));
    day.db.command(doc! { "drop": EXPORTED });
    day.command("init").run().expect_code(0);
    assert_eq!(numbers(), Some(2));
}

#[test]
fn what_is_lost_is_found_by_the_indexes_that_init_makes() {
    let day = two_days();
    day.db.command(doc! { "profile": 2 });
    day.command("status").arg("--check").now(EVENING).run().expect_code(0);
    day.db.command(doc! { "profile": 0 });
    let watched = [BATCHES, LOG, EXPORTED].map(|collection| format!("{}.{collection}", day.db.name()));
    let found = day.db.find_all("system.profile", doc! { "ns": { "$in": &watched[..] } });
    let plans: Vec<(&str, &str)> = found
        .iter()
        .map(|one| (one.get_str("ns").unwrap_or_default(), one.get_str("planSummary").unwrap_or_default()))
        .collect();
    assert!(watched.iter().all(|ns| plans.iter().any(|(of, _)| of == ns)), "{plans:?}");
    assert!(plans.iter().all(|(_, plan)| !plan.contains("COLLSCAN")), "{plans:?}");
}
