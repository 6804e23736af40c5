//! A part of the records is gone: `verify` and `status` find that and say the way out, `init` rebuilds what can be rebuilt and refuses the rest,
//! and no run begins anew.

mod damaged;
mod day;

use mongodb::bson::{Document, doc};
use serde_json::Value;

use crate::row_list::killed_before_piece;
use crate::support::command::{said, told};
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
    problems.iter().map(said).collect()
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

/// As the application queues an entry once more: a new row that nobody has marked.
fn queue_again(day: &Day, row: mongodb::bson::oid::ObjectId) {
    let mut again = day.db.find_one(QUEUE, doc! { "_id": row }).expect("a row");
    again.insert("_id", mongodb::bson::oid::ObjectId::new());
    again.insert("status", "queued");
    again.insert("metadata", doc! {});
    day.db.insert_many(QUEUE, vec![again]);
}

#[test]
fn an_entry_that_was_exported_again_is_recorded_under_its_last_number() {
    let day = Day::in_directory();
    let seeded = seed_day(&day.db, DATE, 3);
    day.run().run().expect_code(0);
    queue_again(&day, seeded.rows[1]);
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

#[test]
fn each_kind_of_record_that_is_lost_alone_is_found_with_its_way_out() {
    let ledger = doc! { "_id": "ledger" };
    let by_adopting: &[&str] = &["init", "--adopt"];
    for (collection, which, says, way_out) in [
        (BATCHES, ledger, "their ledger in exportbatches is lost", by_adopting),
        (EXPORTED, doc! {}, "has 0 entries, and 6 of the batches", &["init"]),
        (EXPORTED, doc! { "n": 1 }, "has 3 entries, and 6 of the batches", &["init"]),
        (LOG, doc! {}, "exportlogs has 0 of their ExportLogs", &[]),
        (LOG, doc! { "metadata.number": 1 }, "exportlogs has 1 of their ExportLogs", &[]),
    ] {
        let day = two_days();
        let kept = day.db.find_all(collection, which.clone());
        lose(&day, &[(collection, which)]);
        let found = day.command("verify").now(EVENING).run().expect_code(34).json();
        let status = day.command("status").arg("--check").now(EVENING).run().expect_code(34).json();
        assert_eq!(kinds(&status), ["lost"], "{status}");
        assert!(messages(&status)[0].contains(says), "{says}: {status}");
        let is_told = |kind: &&str| ["lost", "unrecorded", "chain", "log"].contains(kind);
        assert!(!kinds(&found).is_empty() && kinds(&found).iter().all(is_told), "{found}");
        match way_out {
            [] => day.db.insert_many(collection, kept),
            words => drop(day.command(words[0]).args(&words[1..]).run().expect_code(0)),
        }
        day.command("verify").now(EVENING).run().expect_code(0);
        day.command("status").arg("--check").now(EVENING).run().expect_code(0);
    }
    let day = two_days();
    day.db.command(doc! { "drop": EXPORTED });
    let found = day.command("verify").now(EVENING).run().expect_code(34).json();
    assert_eq!(kinds(&found), ["lost"], "{found}");
    assert!(messages(&found)[0].contains("exportbatchentries is missing"), "{found}");
}

fn kinds(found: &Value) -> Vec<&str> {
    found["problems"].as_array().expect("a list").iter().map(|one| one["kind"].as_str().expect("a text")).collect()
}

#[test]
fn corrections_say_which_batches_could_not_be_compared() {
    let day = two_days();
    lose(&day, &[(BATCHES, doc! { "_id": BATCH })]);
    let found = day.command("corrections").now(EVENING).run().expect_code(34);
    let result = found.json();
    assert_eq!((&result["lost_batches"], kinds(&result)), (&1.into(), vec!["lost"]), "{result}");
    let shown = |words: &[&str]| day.command("corrections").args(words).now(EVENING).run().expect_code(34).stdout;
    let text = shown(&["--output", "text"]);
    assert!(text.contains("batches compared: 1, not compared: 1, corrections: 0"), "{text}");
    let csv = shown(&["--output", "csv"]);
    assert!(csv.contains(",not_compared,") && csv.contains(BATCH), "{csv}");
    let of_day = day.command("corrections").date(DATE).now(EVENING).run().expect_code(34).json();
    assert_eq!(kinds(&of_day), ["missing_batch"], "{of_day}");
    assert!(messages(&of_day)[0].contains("`batch-export init --adopt`"), "{of_day}");
    // The dates before are whole.
    day.command("corrections").args(&["--from", BEFORE, "--to", BEFORE]).now(EVENING).run().expect_code(0);
    lose(&day, &[(BATCHES, doc! {})]);
    assert!(shown(&["--output", "text"]).contains("batches compared: 0, not compared: 2, corrections: 0"));
}

#[test]
fn a_ledger_that_is_older_than_its_batches_gives_out_no_number() {
    let day = two_days();
    day.db.update_one(BATCHES, doc! { "_id": "ledger" }, doc! { "$set": { "number": 1_i64 } });
    seed_day(&day.db, "2026-01-19", 2);
    let next = || day.command("run").date("2026-01-19").now("2026-01-19T18:30:00+07:00").arg("--now");
    let refused = told(&next().run().expect_code(30).json()["error"]);
    let says = "has number 1 as the last one, and number 2 was exported: it is older";
    assert!(refused.contains(says) && refused.contains("`batch-export init --adopt`"), "{refused}");
    let status = day.command("status").arg("--check").now(EVENING).run().expect_code(34).json();
    assert_eq!(kinds(&status), ["lost"], "{status}");
    let verify = day.command("verify").now(EVENING).run().expect_code(34).json();
    assert!(
        messages(&verify).iter().any(|message| message.contains(says)) && !kinds(&verify).contains(&"number"),
        "{verify}"
    );
    day.command("init").arg("--adopt").run().expect_code(0);
    assert_eq!(next().run().expect_code(0).json()["number"], 3);
}

#[test]
fn a_day_whose_document_is_lost_is_to_be_restored_and_not_to_be_run() {
    let day = two_days();
    lose(&day, &[(BATCHES, doc! { "_id": BATCH })]);
    let of_day = day.command("status").date(DATE).now(EVENING).run().expect_code(0).json();
    assert_eq!((kinds(&of_day), &of_day["batches"][0]["state"]), (vec!["lost"], &"missing".into()), "{of_day}");
    let init = day.command("init").args(&["--output", "text"]).run().expect_code(0).stdout;
    assert!(init.contains("warning: batches up to number 2 were exported") && init.contains("init --adopt"), "{init}");
    let init = day.command("init").run().expect_code(0).json();
    assert_eq!(init["lost"].as_array().map(Vec::len), Some(1), "{init}");
    assert!(day.command("init").arg("--adopt").run().expect_code(0).json().get("lost").is_none());
}

/// The file is the day's own: the log knows it.
#[test]
fn the_file_of_a_day_whose_document_is_lost_is_no_second_file() {
    let day = two_days();
    lose(&day, &[(BATCHES, doc! { "_id": BATCH })]);
    day.run().run().expect_code(30);
    let found = day.command("verify").date(DATE).now(EVENING).run().expect_code(34).json();
    assert!(kinds(&found).contains(&"log") && !kinds(&found).contains(&"second_file"), "{found}");
    let says = "the export log has batch_2026-01-18 as number 2";
    assert!(messages(&found).iter().any(|said| said.contains(says) && said.contains("init --adopt")), "{found}");
}

#[test]
fn rows_that_are_marked_are_found_where_nothing_else_is_left() {
    let day = two_days();
    lose(&day, &[(BATCHES, doc! {}), (LOG, doc! {}), (EXPORTED, doc! {})]);
    for command in ["verify", "status"] {
        let check: &[&str] = if command == "status" { &["--check"] } else { &[] };
        let found = day.command(command).args(check).now(EVENING).run().expect_code(34).json();
        assert!(kinds(&found).contains(&"lost"), "{found}");
        assert!(
            messages(&found).iter().any(|message| message.contains("completed rows name batch_2026-01-18")),
            "{found}"
        );
    }
}

#[test]
fn an_unknown_state_is_one_finding_of_its_batch() {
    let day = two_days();
    day.db.update_one(BATCHES, doc! { "_id": BATCH }, doc! { "$set": { "state": "exported" } });
    for command in ["verify", "corrections"] {
        let found = day.command(command).now(EVENING).run().expect_code(34).json();
        assert_eq!(kinds(&found), ["document"], "{command}: {found}");
        assert!(messages(&found)[0].contains("has the unknown state \"exported\""), "{found}");
        let looked = if command == "verify" { "checked" } else { "batches" };
        assert_eq!(found[looked][0]["batch"], "batch_2026-01-17", "{found}");
    }
}

/// It was in two files because somebody allowed it; then its record was lost.
#[test]
fn a_lost_record_of_an_entry_that_was_exported_again_is_made_anew_for_both_files() {
    for rows_are_left in [true, false] {
        let day = Day::in_directory();
        let seeded = seed_day(&day.db, DATE, 3);
        day.command("init").run().expect_code(0);
        day.run().run().expect_code(0);
        queue_again(&day, seeded.rows[1]);
        let evening = "2026-01-19T18:30:00+07:00";
        day.command("run").date("2026-01-19").now(evening).arg("--allow-reexport").run().expect_code(0);
        lose(&day, &[(EXPORTED, doc! { "_id": seeded.entries[1] })]);
        if !rows_are_left {
            lose(&day, &[(QUEUE, doc! { "entryId": seeded.entries[1] })]);
        }
        let made = day.command("init").run().expect_code(0).json();
        assert_eq!(made["unfilled"], serde_json::json!([]), "{made}");
        let record = day.db.find_one(EXPORTED, doc! { "_id": seeded.entries[1] }).expect("a record");
        assert_eq!(
            (record.get_i64("n").ok(), record.get_array("before").map(Vec::len).ok()),
            (Some(2), Some(1)),
            "{record}"
        );
        let verified = day.command("verify").arg("--allow-removed-rows").now(evening).run().expect_code(0).json();
        assert!(verified["checked"][0]["notes"].to_string().contains("exported again"), "{verified}");
    }
}

/// A mistyped name: the batches would go on in another log, and that of this day would be missing in the right one for good.
#[test]
fn a_log_collection_without_any_log_is_refused_before_anything_is_exported_into_it() {
    let day = two_days();
    day.db.insert_many("applog", vec![doc! { "action": "login" }]);
    seed_day(&day.db, "2026-01-19", 2);
    let next = || day.command("run").date("2026-01-19").now("2026-01-19T18:30:00+07:00").arg("--now");
    for name in ["exportlog", "applog"] {
        let says = format!("up to number 2 were exported, and {name} has 0 of their ExportLogs");
        let mistyped = |command: &str| day.command(command).env("BATCH_EXPORT_LOG_COLLECTION", name).now(EVENING);
        let refused = [
            next().args(&["--log-collection", name]).run().expect_code(30),
            next().args(&["--log-collection", name, "--dry-run"]).run().expect_code(30),
            mistyped("init").run().expect_code(30),
        ];
        for refused in refused {
            let error = &refused.json()["error"];
            assert!(error["message"].as_str().unwrap().contains(&says), "{error}");
            assert!(error["next"].as_str().unwrap().starts_with("see whether --log-collection is right"), "{error}");
        }
        let verified = mistyped("verify").run().expect_code(34).stdout;
        assert!(verified.contains("see whether --log-collection is right"), "{verified}");
    }
    assert_eq!((day.db.count("exportlog", doc! {}), day.db.count("applog", doc! {})), (0, 1));
    assert_eq!(next().run().expect_code(0).json()["number"], 3);
}

#[test]
fn without_a_backup_of_a_lost_log_a_person_begins_a_new_one() {
    let day = two_days();
    seed_day(&day.db, "2026-01-19", 2);
    let next = || day.command("run").date("2026-01-19").now("2026-01-19T18:30:00+07:00").arg("--now");
    day.db.command(doc! { "drop": LOG });
    assert!(told(&next().run().expect_code(30).json()["error"]).contains("`batch-export init --adopt`"));
    day.command("init").arg("--adopt").run().expect_code(0);
    assert_eq!(next().run().expect_code(0).json()["number"], 3);
    // It was made ready, and emptied since.
    day.db.delete_many(LOG, doc! {});
    seed_day(&day.db, "2026-01-20", 2);
    day.command("run").date("2026-01-20").now("2026-01-20T18:30:00+07:00").run().expect_code(0);
}

/// The log has no export of that date or of an earlier one.
#[test]
fn a_date_before_all_others_is_exported_as_well() {
    let day = two_days();
    seed_day(&day.db, "2026-01-10", 2);
    assert_eq!(day.command("run").date("2026-01-10").now(EVENING).run().expect_code(0).json()["number"], 3);
    day.command("verify").now(EVENING).run().expect_code(0);
}

/// Somebody put the name of an old copy into the settings: runs go on, and the log says what the copy lacks.
#[test]
fn a_run_warns_when_its_log_lacks_exports_and_asks_for_the_name_of_the_collection() {
    let day = two_days();
    let first = day.db.find_all(LOG, doc! { "metadata.number": 1_i64 });
    day.db.insert_many("oldlog", first);
    seed_day(&day.db, "2026-01-19", 2);
    let run = day.command("run").date("2026-01-19").now("2026-01-19T18:30:00+07:00");
    let run = run.args(&["--log-collection", "oldlog"]).run().expect_code(0);
    assert!(
        run.stderr.contains("up to number 2 were exported, and oldlog has 1 of their ExportLogs"),
        "{}",
        run.report()
    );
    assert!(run.stderr.contains("see whether --log-collection is right"), "{}", run.report());
    let verified = day.command("verify").now("2026-01-19T18:30:00+07:00").run().expect_code(34).stdout;
    assert!(verified.contains("see whether a run with another --log-collection wrote it elsewhere"), "{verified}");
    // With the right log, also after a day that was done late, nothing is lacking.
    day.db.insert_many(LOG, day.db.find_all("oldlog", doc! { "metadata.number": 3_i64 }));
    for date in ["2026-01-10", "2026-01-20"] {
        seed_day(&day.db, date, 2);
        let run = day.command("run").date(date).now("2026-01-20T18:30:00+07:00").run().expect_code(0);
        assert!(!run.stderr.contains("ExportLogs"), "{}", run.report());
    }
}

#[test]
fn a_ledger_that_waits_for_a_completed_batch_ends_the_run_with_the_way_out() {
    let day = two_days();
    day.db.update_one(BATCHES, doc! { "_id": "ledger" }, doc! { "$set": { "marking": BATCH } });
    seed_day(&day.db, "2026-01-19", 2);
    let next = || day.command("run").date("2026-01-19").now("2026-01-19T18:30:00+07:00").arg("--now");
    let refused = told(&next().run().expect_code(30).json()["error"]);
    assert!(refused.contains("waits for the marking of batch_2026-01-18, which is completed"), "{refused}");
    day.command("init").arg("--adopt").run().expect_code(0);
    assert_eq!(next().run().expect_code(0).json()["number"], 3);
}
