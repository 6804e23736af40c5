//! `batch-export init`: creates what is missing, records the entries of earlier batches, and leaves obstacles to a person.

use std::time::Duration;

use mongodb::bson::{Document, doc, oid::ObjectId};
use serde_json::{Value, json};

use crate::support::command::{BatchExport, Finished, told};
use crate::support::day::{BATCH, BATCHES, Day, EXPORTED, FILE};
use crate::support::fake_drive::{Fault, On, Operation};
use crate::support::mongod::Mongod;
use crate::support::proxy::{On as At, Proxy};
use crate::support::seed::{DATE, Entry, QUEUE, Seeded, seed_day};

const PATIENCE: Duration = Duration::from_secs(60);
/// Where it fills the records that are missing as a whole.
const FILLING: &str = "exportbatchentries_filling";

#[test]
fn the_index_of_the_queue_is_made_once_and_only_when_none_serves() {
    let day = Day::in_directory();
    let made = |day: &Day| day.command("init").run().expect_code(0).json()["queue_index_created"].clone();
    assert_eq!((made(&day), made(&day)), (true.into(), false.into()));
    let own = Day::in_directory();
    let index = doc! { "key": { "exportPath": 1, "status": 1, "scheduledFor": 1 }, "name": "own" };
    own.db.command(doc! { "createIndexes": QUEUE, "indexes": [index] });
    let result = own.command("init").run().expect_code(0).json();
    assert_eq!((result["queue_index"].as_str(), result["queue_index_created"].as_bool()), (Some("own"), Some(false)));
}

#[test]
fn only_an_index_that_leads_to_the_due_rows_serves() {
    for (key, serves) in [
        (doc! { "status": 1, "scheduledFor": 1 }, true),
        (doc! { "status": 1, "exportPath": 1, "scheduledFor": 1 }, true),
        (doc! { "exportPath": 1, "status": 1, "scheduledFor": 1, "_id": 1 }, true),
        (doc! { "status": 1 }, false),
        (doc! { "scheduledFor": 1, "status": 1 }, false),
        (doc! { "exportPath": 1, "scheduledFor": 1 }, false),
        (doc! { "status": 1, "clientId": 1, "scheduledFor": 1 }, false),
        (doc! { "status": 1, "scheduledFor": 1, "x": "text" }, false),
        (doc! { "status": 1, "scheduledFor": 1, "x": "2dsphere" }, false),
        (doc! { "status": 1, "scheduledFor": 1, "x": "hashed" }, false),
    ] {
        let day = Day::in_directory();
        day.db.command(doc! { "createIndexes": QUEUE, "indexes": [{ "key": &key, "name": "own" }] });
        let made = day.command("init").run().expect_code(0).json();
        assert_eq!(made["queue_index_created"], !serves, "{key}");
    }
}

#[test]
fn an_index_that_compares_text_in_another_way_does_not_serve() {
    let day = Day::in_directory();
    let collation = doc! { "locale": "th" };
    let index = doc! { "key": { "status": 1, "scheduledFor": 1 }, "name": "thai", "collation": collation };
    day.db.command(doc! { "createIndexes": QUEUE, "indexes": [index] });
    assert_eq!(day.command("init").run().expect_code(0).json()["queue_index"], "status_1_scheduledFor_1");
}

#[test]
fn an_index_that_does_not_serve_is_left_alone_and_one_of_our_own_is_made_beside_it() {
    let others = [
        doc! { "partialFilterExpression": { "status": "failed" } },
        doc! { "sparse": true },
        doc! { "collation": { "locale": "th" } },
    ];
    for options in others {
        let day = Day::in_directory();
        let mut index = doc! { "key": { "status": 1, "scheduledFor": 1 }, "name": "status_1_scheduledFor_1" };
        index.extend(options.clone());
        day.db.command(doc! { "createIndexes": QUEUE, "indexes": [index] });
        let made = day.command("init").run().expect_code(0).json();
        let (name, created) = (made["queue_index"].as_str(), made["queue_index_created"].as_bool());
        assert_eq!((name, created), (Some("batch_export_due"), Some(true)), "{options}");
        assert_eq!(day.command("init").run().expect_code(0).json()["queue_index"], "batch_export_due");
    }
}

#[test]
fn a_hidden_index_is_unhidden_by_a_person() {
    let hidden = Day::in_directory();
    let index = doc! { "key": { "status": 1, "scheduledFor": 1 }, "name": "status_1_scheduledFor_1", "hidden": true };
    hidden.db.command(doc! { "createIndexes": QUEUE, "indexes": [index] });
    let refused = told(&hidden.command("init").run().expect_code(30).json()["error"]);
    assert!(refused.contains("status_1_scheduledFor_1") && refused.contains("unhide"), "{refused}");
    let index_of = |day: &Day| {
        let result = day.command("doctor").run().json();
        result["checks"].as_array().unwrap().iter().find(|check| check["name"] == "index").unwrap().clone()
    };
    let found = index_of(&hidden);
    let fix = found["fix"].as_str().unwrap();
    assert!(found["verdict"] == "bad" && fix.contains("unhideIndex") && !fix.contains("batch-export init"), "{found}");
    let unhide = doc! { "name": "status_1_scheduledFor_1", "hidden": false };
    hidden.db.command(doc! { "collMod": QUEUE, "index": unhide });
    hidden.command("init").run().expect_code(0);
    assert_eq!(index_of(&hidden)["verdict"], "ok");
}

#[test]
fn a_first_run_without_init_does_its_work_and_says_what_it_missed() {
    let day = Day::in_directory();
    seed_day(&day.db, DATE, 5);
    day.db.command(doc! { "dropIndexes": QUEUE, "index": "*" });
    let first = day.run().args(&["--log-format", "json"]).run().expect_code(0);
    let lines: Vec<Value> = first.stderr.lines().map(|line| serde_json::from_str(line).expect("a line")).collect();
    let warned = lines.iter().find(|line| line["next"] == "run `batch-export init` once").expect(&first.stderr);
    assert!(warned["message"].as_str().expect("a message").starts_with("this database lacks"), "{warned}");
    day.check_converged();
    let with_init = Day::in_directory();
    seed_day(&with_init.db, DATE, 5);
    with_init.db.command(doc! { "dropIndexes": QUEUE, "index": "*" });
    with_init.command("init").run().expect_code(0);
    let first = with_init.run().run().expect_code(0);
    assert!(!first.stderr.contains("batch-export init"), "{}", first.report());
}

#[test]
fn a_first_run_on_a_mistyped_database_says_that_the_queue_is_not_there() {
    let day = Day::in_directory();
    seed_day(&day.db, DATE, 1);
    let first = day.run().args(&["--queue-collection", "exportqueue"]).run().expect_code(0);
    assert!(
        first.stderr.contains("has no collection exportqueue next=\"check --mongodb-uri, --database"),
        "{}",
        first.report()
    );
    assert!(!first.stderr.contains("index of exportqueue"), "{}", first.report());
}

#[test]
fn a_mistyped_queue_is_told_of_a_database_that_was_prepared_too() {
    let day = Day::in_directory();
    day.command("init").run().expect_code(0);
    seed_day(&day.db, DATE, 1);
    let run = day.run().args(&["--queue-collection", "exportqueue"]).run().expect_code(0);
    assert_eq!(
        run.stderr.matches("has no collection exportqueue next=\"check --mongodb-uri").count(),
        1,
        "{}",
        run.report()
    );
}

/// A completed batch whose entries are on record nowhere: the collection is dropped, and the application removed the rows.
fn without_rows_and_record(day: &Day, entries: u32) -> Seeded {
    let seeded = seed_day(&day.db, DATE, entries);
    day.run().run().expect_code(0);
    day.db.delete_many(QUEUE, doc! {});
    day.db.command(doc! { "drop": EXPORTED });
    seeded
}

fn recorded(day: &Day) -> Vec<Document> {
    let mut found = day.db.find_all(EXPORTED, doc! {});
    found.sort_by_key(|entry| entry.get_object_id("_id").ok());
    found
}

fn init(day: &Day) -> Value {
    day.command("init").run().expect_code(0).json()
}

fn init_without_destination(day: &Day) -> BatchExport {
    BatchExport::command("init").mongodb(&day.db.uri())
}

#[test]
fn entries_whose_rows_are_gone_are_recorded_from_the_official_file() {
    for day in [Day::in_directory(), Day::on_drive()] {
        let seeded = without_rows_and_record(&day, 5);
        let made = init(&day);
        assert_eq!((&made["entries_added"], &made["unfilled"]), (&5.into(), &json!([])), "{made}");
        let numbered = seeded.entries.iter().map(|entry| doc! { "_id": entry, "n": 1_i64 }).collect::<Vec<_>>();
        assert_eq!(recorded(&day), numbered);
        assert_eq!(init(&day)["entries_added"], 0, "again does no harm");
        // The application queues one of them again.
        let mut row = Entry::numbered(DATE, 0).row();
        row.extend(doc! { "_id": ObjectId::new(), "entryId": seeded.entries[2] });
        day.db.insert_many(QUEUE, vec![row]);
        let next = day.command("run").date("2026-01-19").now("2026-01-19T18:00:05+07:00").run().expect_code(32).json();
        assert_eq!(next["invalid"][0]["entry_id"], seeded.entries[2].to_hex(), "{next}");
    }
}

#[test]
fn the_step_that_verify_names_for_an_unrecorded_entry_ends_that_finding() {
    let day = Day::in_directory();
    let seeded = seed_day(&day.db, DATE, 4);
    day.run().run().expect_code(0);
    day.db.delete_many(EXPORTED, doc! { "_id": seeded.entries[1] });
    day.db.delete_many(QUEUE, doc! { "_id": seeded.rows[1] });
    let kinds = |code| {
        let found = day.command("verify").arg("--allow-removed-rows").run().expect_code(code).json();
        found["problems"].as_array().unwrap().iter().map(|one| one["kind"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(kinds(34), ["unrecorded"]);
    assert_eq!(init(&day)["entries_added"], 1);
    assert_eq!(kinds(0), Vec::<Value>::new());
}

#[test]
fn what_cannot_be_recorded_is_told_by_batch_with_the_reason_and_the_next_step() {
    let day = Day::in_directory();
    without_rows_and_record(&day, 3);
    let unfilled = |made: &Value| {
        let [left] = made["unfilled"].as_array().unwrap().as_slice() else { panic!("{made}") };
        assert_eq!((&left["batch"], &left["missing"]), (&BATCH.into(), &3.into()));
        (left["reason"].as_str().unwrap().to_owned(), left["next"].as_str().unwrap().to_owned())
    };
    // No destination, and settings of one that cannot be used.
    let made = init_without_destination(&day).args(&["--output", "json"]).run().expect_code(0).json();
    let (reason, next) = unfilled(&made);
    assert!(reason.contains("no destination is set") && next.contains("--destination"), "{reason}; {next}");
    let text = init_without_destination(&day).run().expect_code(0);
    let warned = "warning: 3 entries of batch_2026-01-18 could not be recorded";
    assert!(text.stdout.contains(warned) && text.stdout.contains("set --destination"), "{}", text.report());
    assert!(text.stderr.contains("could not be recorded"), "{}", text.report());
    let made = day.command("init").destination("gdrive://folder").run().expect_code(0).json();
    assert!(unfilled(&made).0.contains("no credentials"), "{made}");
    // Another content, no file, then the file as it was.
    let path = day.directory().join(FILE);
    let committed = std::fs::read(&path).unwrap();
    std::fs::write(&path, [&committed[..], b"\n"].concat()).unwrap();
    assert!(unfilled(&init(&day)).0.contains("not as it was committed"));
    std::fs::remove_file(&path).unwrap();
    let (reason, next) = unfilled(&init(&day));
    assert!(reason.contains("is not at the destination") && next.contains("put batch_2026-01-18.csv back"), "{reason}");
    assert_eq!(recorded(&day), [], "nothing is recorded that is not known");
    std::fs::write(&path, committed).unwrap();
    let made = init(&day);
    assert_eq!((&made["entries_added"], &made["unfilled"]), (&3.into(), &json!([])), "{made}");
}

#[test]
fn a_file_that_names_no_entries_leaves_them_to_a_backup() {
    let day = Day::in_directory();
    let layout = day.directory().join("own.toml");
    let shown = BatchExport::new().args(&["layout", "show", "journal"]).run().expect_code(0).stdout;
    let without = shown.split("[[columns]]").filter(|column| !column.contains("\"entry-id\"")).collect::<Vec<_>>();
    std::fs::write(&layout, without.join("[[columns]]")).unwrap();
    seed_day(&day.db, DATE, 3);
    day.run().env("BATCH_EXPORT_FORMAT", layout.to_str().unwrap()).run().expect_code(0);
    day.db.command(doc! { "drop": EXPORTED });
    day.db.delete_many(QUEUE, doc! { "entryId": Entry::numbered(DATE, 1).id() });
    let made = init(&day);
    assert_eq!((&made["entries_added"], &made["unfilled"][0]["missing"]), (&2.into(), &1.into()), "{made}");
    let left = &made["unfilled"][0];
    assert!(left["reason"].as_str().unwrap().contains("no column with the ids"), "{made}");
    assert!(left["next"].as_str().unwrap().contains("restore exportbatchentries"), "{made}");
}

#[test]
fn a_destination_that_fails_for_a_time_leaves_the_collection_unfinished_so_that_no_run_goes_on() {
    let day = Day::on_drive();
    without_rows_and_record(&day, 3);
    day.drive().plan(On::every(Operation::Download), Fault::reset());
    day.command("init").run().expect_code(22);
    seed_day(&day.db, "2026-01-19", 2);
    let next = || day.command("run").date("2026-01-19").now("2026-01-19T18:00:05+07:00");
    assert!(told(&next().run().expect_code(30).json()["error"]).contains("batch-export init"));
}

#[test]
fn entries_that_moved_to_another_batch_are_not_missing_and_one_in_two_files_is_told() {
    let day = Day::in_directory();
    let seeded = seed_day(&day.db, DATE, 3);
    day.run().run().expect_code(0);
    let queued = doc! { "$set": { "status": "queued", "metadata": null } };
    day.db.update_one(QUEUE, doc! { "_id": seeded.rows[0] }, queued);
    let next = day.command("run").date("2026-01-19").now("2026-01-19T18:00:05+07:00").arg("--allow-reexport");
    next.run().expect_code(0);
    let made = init_without_destination(&day).args(&["--output", "json"]).run().expect_code(0).json();
    assert_eq!((&made["entries_added"], &made["unfilled"]), (&0.into(), &json!([])), "{made}");
    // That it was allowed is lost with the collection.
    day.db.command(doc! { "drop": EXPORTED });
    let made = init(&day);
    assert_eq!(made["unfilled"].as_array().map(Vec::len), Some(1), "{made}");
    let left = &made["unfilled"][0];
    assert_eq!(left["reason"], "they are recorded under another number", "{made}");
    assert_eq!(left["next"], "`batch-export verify --date 2026-01-18` names them", "{made}");
}

#[test]
fn a_batch_that_is_rebuilt_from_the_log_gets_its_entries_from_its_file() {
    let day = Day::in_directory();
    without_rows_and_record(&day, 4);
    day.db.delete_many(BATCHES, doc! {});
    let made = day.command("init").arg("--adopt").run().expect_code(0).json();
    assert_eq!((&made["adopted"], &made["entries_added"]), (&json!([BATCH]), &4.into()), "{made}");
    assert_eq!(made["unfilled"], json!([]));
    let verified =
        day.command("verify").args(&["--allow-removed-rows", "--output", "text"]).run().expect_code(0).stdout;
    assert!(verified.contains("its document was rebuilt"), "{verified}");
}

/// The index makes the collection: from then on a mistyped name looks like days without entries.
#[test]
fn a_queue_that_init_has_to_make_is_named_in_the_log() {
    let day = Day::in_directory();
    let made = day.command("init").run().expect_code(0);
    assert!(made.stderr.contains("has no collection exportqueues next=\"check --mongodb-uri"), "{}", made.report());
    let again = day.command("init").run().expect_code(0);
    assert!(!again.stderr.contains("has no collection"), "{}", again.report());
}

#[track_caller]
fn assert_no_leftover(day: &Day) {
    let left = day.db.command(doc! { "listCollections": 1, "filter": { "name": FILLING } });
    assert!(left.get_document("cursor").unwrap().get_array("firstBatch").unwrap().is_empty(), "{left}");
}

#[test]
fn several_at_once_make_the_records_once_and_all_end_well() {
    for _ in 0..4 {
        let day = Day::in_directory();
        seed_day(&day.db, DATE, 30);
        day.run().run().expect_code(0);
        day.db.command(doc! { "drop": EXPORTED });
        std::thread::scope(|scope| {
            let all: Vec<_> = (0..4).map(|_| scope.spawn(|| day.command("init").run().expect_code(0))).collect();
            all.into_iter().for_each(|one| drop(one.join().unwrap()));
        });
        assert_eq!(day.db.count(EXPORTED, doc! {}), 30);
        day.command("init").run().expect_code(0);
        assert_no_leftover(&day);
        day.command("verify").run().expect_code(0);
    }
}

/// What an `init` without a destination says, which is held at this command while something else comes to its end.
#[track_caller]
fn overtaken(day: &Day, at: At, by: impl FnOnce()) -> Finished {
    let proxy = Proxy::before(Mongod::shared());
    let stop = proxy.hold(at);
    let held = BatchExport::command("init").mongodb(&proxy.uri(&day.db)).spawn();
    stop.wait_until_reached(PATIENCE);
    by();
    stop.release();
    held.wait(PATIENCE).expect_code(0)
}

#[test]
fn one_that_another_one_overtakes_begins_again_and_warns_of_nothing() {
    for at in [At::command("renameCollection"), At::command("aggregate").collection(FILLING)] {
        let day = Day::in_directory();
        seed_day(&day.db, DATE, 30);
        day.run().run().expect_code(0);
        day.db.command(doc! { "drop": EXPORTED });
        let told = overtaken(&day, at, || drop(init(&day)));
        assert!(!told.stderr.contains("could not be recorded"), "{}", told.report());
        assert_eq!(day.db.count(EXPORTED, doc! {}), 30);
        assert_no_leftover(&day);
        day.command("verify").run().expect_code(0);
    }
}

#[test]
fn what_a_run_records_beside_it_stays() {
    let day = Day::in_directory();
    seed_day(&day.db, DATE, 30);
    overtaken(&day, At::command("renameCollection"), || drop(day.run().run().expect_code(0)));
    assert_eq!(day.db.count(EXPORTED, doc! {}), 30);
    assert_no_leftover(&day);
    day.command("verify").run().expect_code(0);
}
