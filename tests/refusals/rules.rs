//! The rules that people have on these collections: `doctor` finds the ones that a run breaks, and no others.

use mongodb::bson::{Document, doc};

use super::{EVENING, doctor_says};
use crate::support::command::{BatchExport, told};
use crate::support::day::{BATCHES, Day, LOG};
use crate::support::seed::{DATE, Entry, QUEUE, create_index, seed, seed_day};

const EXPORTED: &str = "exportbatchentries";

fn unique(day: &Day, collection: &str, key: Document) {
    let name = key.keys().cloned().collect::<Vec<_>>().join("_");
    let index = doc! { "key": key, "name": format!("only_{name}"), "unique": true, "sparse": true };
    day.db.command(doc! { "createIndexes": collection, "indexes": [index] });
}

pub(super) fn validator(day: &Day, collection: &str, schema: Document) {
    let made = day.db.block(day.db.database().list_collection_names()).unwrap();
    if !made.iter().any(|name| name == collection) {
        day.db.command(doc! { "create": collection });
    }
    day.db.command(doc! { "collMod": collection, "validator": { "$jsonSchema": schema } });
}

/// The verdict of the writes that were tried.
pub(super) fn rights(doctor: BatchExport) -> serde_json::Value {
    let result = doctor.now(EVENING).run().json();
    let check = |name: &str| result["checks"].as_array().unwrap().iter().find(|check| check["name"] == name);
    check("writes").or(check("rights")).unwrap().clone()
}

#[test]
fn rules_that_two_days_of_exports_keep_are_no_finding() {
    let day = Day::in_directory();
    let fields = ["batchDate", "filename", "sha256", "fileId", "previousSha256", "webViewLink", "number"];
    for field in fields {
        unique(&day, LOG, doc! { format!("metadata.{field}"): 1 });
    }
    unique(&day, LOG, doc! { "action": 1, "metadata.batchId": 1 });
    unique(&day, LOG, doc! { "createdAt": 1 });
    let numbers = doc! {
        "entryCount": { "minimum": 1 },
        "csvSize": { "minimum": 10 },
        "sha256": { "pattern": "^[0-9a-f]{64}$" },
        "batchId": { "pattern": "^batch_20[0-9]{2}-[0-9]{2}-[0-9]{2}$" },
    };
    validator(&day, LOG, doc! { "properties": { "metadata": { "properties": numbers } } });
    validator(&day, EXPORTED, doc! { "required": ["n"], "properties": { "_id": { "bsonType": "objectId" } } });
    let id = doc! { "googleDriveFileId": { "minLength": 1 } };
    validator(&day, QUEUE, doc! { "properties": { "metadata": { "properties": id } } });
    create_index(&day.db);
    assert_eq!(rights(day.command("doctor"))["verdict"], "ok", "without a row: {}", rights(day.command("doctor")));
    seed_day(&day.db, DATE, 5);
    let before = day.db.find_all(QUEUE, doc! {});
    assert_eq!(rights(day.command("doctor"))["verdict"], "ok", "{}", rights(day.command("doctor")));
    assert_eq!(day.db.find_all(QUEUE, doc! {}), before, "doctor touched a row");
    assert_eq!((day.db.count(BATCHES, doc! {}), day.db.count(EXPORTED, doc! {}), day.log().len()), (0, 0, 0));
    day.run().run().expect_code(0);
    seed_day(&day.db, "2026-01-19", 5);
    assert_eq!(rights(day.command("doctor"))["verdict"], "ok", "{}", rights(day.command("doctor")));
    day.command("run").now("2026-01-19T18:30:00+07:00").run().expect_code(0);
    assert_eq!((day.log().len(), day.rows_with_status("completed")), (2, 10));
}

#[test]
fn rules_that_only_real_days_keep_are_no_finding() {
    let day = Day::in_directory();
    let log = doc! { "metadata.batchDate": { "$gte": "2020-01-01" }, "metadata.filename": { "$regex": "^batch_202" } };
    day.db.command(doc! { "create": LOG, "validator": log });
    let since = mongodb::bson::DateTime::from_millis(1_577_836_800_000);
    let recent = doc! { "$or": [{ "_id": "ledger" }, { "window.cutoff": { "$gte": since } }] };
    day.db.command(doc! { "create": BATCHES, "validator": recent });
    // A batch of a later day is in nobody's way.
    day.db.insert_many(BATCHES, vec![doc! { "_id": "batch_2026-01-19", "window": { "cutoff": since } }]);
    create_index(&day.db);
    seed_day(&day.db, DATE, 3);
    assert_eq!(rights(day.command("doctor"))["verdict"], "ok", "{}", rights(day.command("doctor")));
    day.run().run().expect_code(0);
}

#[test]
fn a_rule_of_the_queue_is_found_while_no_row_is_queued() {
    let day = Day::in_directory();
    create_index(&day.db);
    validator(&day, QUEUE, doc! { "properties": { "status": { "enum": ["queued", "failed"] } } });
    doctor_says(&day, &["exportqueues", "status: enum"]);
    validator(
        &day,
        QUEUE,
        doc! { "required": ["tenant"], "properties": { "status": { "enum": ["queued", "failed"] } } },
    );
    let untried = rights(day.command("doctor"));
    assert!(untried["verdict"] == "ok" && untried.to_string().contains("marks of rows were not tried"), "{untried}");
    assert_eq!(day.db.count(QUEUE, doc! {}), 0, "doctor left a row");
    let row = doc! { "tenant": "a", "status": "failed", "entryId": mongodb::bson::oid::ObjectId::new() };
    day.db.insert_many(QUEUE, vec![row]);
    let before = day.db.find_all(QUEUE, doc! {});
    doctor_says(&day, &["exportqueues", "status: enum"]);
    assert_eq!(day.db.find_all(QUEUE, doc! {}), before, "doctor touched a row");
    validator(&day, QUEUE, doc! { "required": ["tenant"] });
    let tried = rights(day.command("doctor"));
    assert!(tried["verdict"] == "ok" && !tried.to_string().contains("not tried"), "{tried}");
}

/// `doctor` names what the run then names.
#[track_caller]
pub(super) fn found(day: &Day, run: BatchExport, words: &[&str]) {
    doctor_says(day, words);
    let told = told(&run.run().expect_code(30).json()["error"]);
    for word in words {
        assert!(told.contains(word), "{word:?} is not in {told}");
    }
    assert_eq!(day.rows_with_status("completed"), 0);
}

#[test]
fn a_unique_index_on_what_the_rows_of_a_batch_have_in_common_is_found() {
    let keys = ["metadata.batchId", "metadata.googleDriveFileId", "metadata.googleDriveUrl", "completedAt"];
    for key in keys {
        let day = Day::in_directory();
        unique(&day, QUEUE, doc! { key: 1 });
        seed_day(&day.db, DATE, 3);
        create_index(&day.db);
        found(&day, day.run(), &["exportqueues", &format!("only_{key}")]);
    }
}

#[test]
fn an_index_that_allows_an_entry_one_completed_row_is_found_on_the_row_that_breaks_it() {
    let day = Day::in_directory();
    // Further behind than the rows of one transaction of `doctor`.
    let last = *seed_day(&day.db, DATE, 1_100).entries.last().unwrap();
    let earlier = doc! { "entryId": last, "status": "completed", "exportPath": "manual" };
    day.db.insert_many(QUEUE, vec![earlier]);
    unique(&day, QUEUE, doc! { "entryId": 1, "status": 1 });
    create_index(&day.db);
    doctor_says(&day, &["exportqueues", "only_entryId_status"]);
    let told = told(&day.run().run().expect_code(30).json()["error"]);
    assert!(told.contains("only_entryId_status"), "{told}");
    assert_eq!(day.rows_with_status("queued"), 1_100);
}

/// Rows with an `x` of their own each, but for the last one, which has that of the first one.
fn seed_with_a_pair(day: &Day, count: u32) {
    let rows = seed_day(&day.db, DATE, count).rows;
    let own = doc! { "$set": { "x": { "$toString": "$_id" } } };
    day.db.command(doc! { "update": QUEUE, "updates": [{ "q": {}, "u": [own], "multi": true }] });
    let of_first = doc! { "$set": { "x": rows[0].to_hex() } };
    day.db.update_one(QUEUE, doc! { "_id": *rows.last().unwrap() }, of_first);
}

/// Unique among the documents that match.
fn unique_among(day: &Day, which: Document, key: Document) {
    let index = doc! { "key": key, "name": "only_x", "unique": true, "partialFilterExpression": which };
    day.db.command(doc! { "createIndexes": QUEUE, "indexes": [index] });
}

/// `doctor` tries the marks of a thousand rows at a time.
#[test]
fn rows_that_are_the_same_once_they_are_marked_are_found_however_far_apart() {
    for (count, mark) in
        [(4, "metadata.batchId"), (4, "completedAt"), (1_100, "metadata.batchId"), (1_100, "completedAt")]
    {
        let day = Day::in_directory();
        seed_with_a_pair(&day, count);
        unique_among(&day, doc! { mark: { "$exists": true } }, doc! { "x": 1, mark: 1 });
        found(&day, day.run(), &["exportqueues", "only_x"]);
        day.db.command(doc! { "dropIndexes": QUEUE, "index": "only_x" });
        unique_among(&day, doc! { mark: { "$exists": true } }, doc! { "entryId": 1, mark: 1 });
        let tried = rights(day.command("doctor"));
        assert!(tried["verdict"] == "ok" && !tried.to_string().contains("rows, because"), "{tried}");
        day.run().arg("--now").run().expect_code(0);
    }
}

#[test]
fn rows_that_a_partial_index_excludes_once_they_are_marked_or_held_are_found() {
    for (status, policy) in [("completed", "fail"), ("failed", "hold")] {
        let day = Day::in_directory();
        seed_with_a_pair(&day, 1_100);
        unique_among(&day, doc! { "status": status }, doc! { "x": 1 });
        if policy == "hold" {
            day.db.update_many("journalentries", doc! {}, doc! { "$set": { "status": "draft" } });
        }
        let doctor = rights(day.command("doctor").env("BATCH_EXPORT_INVALID", policy));
        let run = told(&day.run().args(&["--invalid", policy]).run().expect_code(30).json()["error"]);
        for text in [doctor.to_string(), run] {
            assert!(text.contains("exportqueues") && text.contains("only_x"), "{text}");
        }
        assert_eq!(day.rows_with_status("queued"), 1_100);
    }
}

/// A run refuses an entry that is queued twice, before any index could.
#[test]
fn rows_that_a_run_refuses_are_no_finding_of_an_index() {
    let day = Day::in_directory();
    let seeded = seed_day(&day.db, DATE, 1_100);
    let mut again = day.db.find_one(QUEUE, doc! { "_id": seeded.rows[0] }).unwrap();
    again.insert("_id", mongodb::bson::oid::ObjectId::new());
    day.db.insert_many(QUEUE, vec![again]);
    unique_among(&day, doc! { "status": "completed" }, doc! { "entryId": 1 });
    assert_eq!(rights(day.command("doctor"))["verdict"], "ok", "{}", rights(day.command("doctor")));
    day.run().run().expect_code(32);
}

/// The pieces of a large batch are marked at different times.
#[test]
fn rows_of_different_pieces_have_the_same_batch_and_not_the_same_time() {
    for (mark, verdict) in [("completedAt", "ok"), ("metadata.batchId", "bad")] {
        let day = Day::in_directory();
        seed_with_a_pair(&day, 4);
        unique_among(&day, doc! { mark: { "$exists": true } }, doc! { "x": 1, mark: 1 });
        let tried = rights(day.command("doctor").env("BATCH_EXPORT_TRANSACTION_ROWS", "2"));
        assert_eq!(tried["verdict"], verdict, "{tried}");
    }
}

#[test]
fn a_validator_of_what_the_rows_get_is_found_with_its_field() {
    let day = Day::in_directory();
    seed_day(&day.db, DATE, 3);
    create_index(&day.db);
    let url = doc! { "googleDriveUrl": { "bsonType": "string", "pattern": "^https://" } };
    validator(&day, QUEUE, doc! { "properties": { "metadata": { "properties": url } } });
    found(&day, day.run(), &["exportqueues", "metadata.googleDriveUrl: pattern", "^https://"]);
}

#[test]
fn each_broken_rule_is_named() {
    let day = Day::in_directory();
    seed_day(&day.db, DATE, 3);
    create_index(&day.db);
    let address = doc! { "fileId": { "bsonType": "string", "pattern": "^https://" } };
    validator(&day, LOG, doc! { "required": ["by"], "properties": { "metadata": { "properties": address } } });
    let words = ["metadata.fileId: pattern { \"pattern\": \"^https://\" }", "; required, and missing: by"];
    found(&day, day.run(), &words);
    let day = Day::in_directory();
    seed_day(&day.db, DATE, 3);
    create_index(&day.db);
    let with = |field: &str| doc! { field: { "$exists": true } };
    day.db.command(doc! { "create": LOG, "validator": { "$and": [with("action"), with("by")] } });
    found(&day, day.run(), &["validation: $exists { \"by\": { \"$exists\": true } }"]);
}

#[test]
fn fields_that_a_validator_does_not_allow_are_named() {
    let day = Day::in_directory();
    seed_day(&day.db, DATE, 3);
    create_index(&day.db);
    let known =
        ["batchDate", "batchId", "previousSha256", "attempt", "filename", "fileId", "webViewLink", "entryCount"];
    let known = known.into_iter().chain(["rowCount", "csvSize", "totalDebit", "totalCredit"]);
    let known: Document = known.map(|name| (name.to_owned(), doc! {}.into())).collect();
    let metadata = doc! { "additionalProperties": false, "properties": known };
    validator(&day, LOG, doc! { "properties": { "metadata": metadata } });
    found(&day, day.run(), &["exportlogs", "metadata: properties that are not allowed: number, sha256"]);
}

#[test]
fn a_validator_that_knows_no_failed_row_is_found_where_rows_are_held() {
    let day = Day::in_directory();
    seed(&day.db, &[Entry::numbered(DATE, 0), Entry::numbered(DATE, 1).set("status", "draft")]);
    create_index(&day.db);
    validator(&day, QUEUE, doc! { "properties": { "status": { "enum": ["queued", "completed"] } } });
    assert_eq!(rights(day.command("doctor"))["verdict"], "ok");
    let doctor = rights(day.command("doctor").env("BATCH_EXPORT_INVALID", "hold"));
    let run = told(&day.run().args(&["--invalid", "hold"]).run().expect_code(30).json()["error"]);
    for text in [doctor.to_string(), run] {
        assert!(text.contains("exportqueues") && text.contains("status: enum"), "{text}");
    }
    assert_eq!(day.rows_with_status("queued"), 2);
}

#[test]
fn a_rule_of_our_own_collections_is_named() {
    let day = Day::in_directory();
    seed_day(&day.db, DATE, 3);
    create_index(&day.db);
    unique(&day, EXPORTED, doc! { "n": 1 });
    found(&day, day.run(), &[EXPORTED, "only_n"]);
    let day = Day::in_directory();
    seed_day(&day.db, DATE, 3);
    create_index(&day.db);
    validator(&day, BATCHES, doc! { "required": ["owner"] });
    found(&day, day.run(), &[BATCHES, "owner"]);
}

#[test]
fn a_unique_index_that_allows_a_batch_one_piece_of_its_row_list_is_found() {
    let day = Day::in_directory();
    seed_day(&day.db, DATE, 5);
    create_index(&day.db);
    unique(&day, "exportbatchrows", doc! { "batch": 1 });
    found(&day, day.run().args(&["--transaction-rows", "2"]), &["exportbatchrows", "only_batch"]);
}

#[test]
fn a_unique_index_of_the_batches_is_named_by_the_run_that_it_stops() {
    for (key, sparse) in
        [("attempt", true), ("number", true), ("number", false), ("holder.host", false), ("file.name", false)]
    {
        let day = Day::in_directory();
        let index = doc! { "key": { key: 1 }, "name": "only_one", "unique": true, "sparse": sparse };
        day.db.command(doc! { "createIndexes": BATCHES, "indexes": [index] });
        create_index(&day.db);
        seed_day(&day.db, DATE, 3);
        doctor_says(&day, &[BATCHES, "only_one"]);
        let first = day.run().run();
        let ended = match first.code {
            0 => day.command("run").now("2026-01-19T18:30:00+07:00").run(),
            _ => first,
        };
        let sentence = told(&ended.expect_code(30).json()["error"]);
        assert!(sentence.contains("exportbatches") && sentence.contains("only_one"), "{key}: {sentence}");
    }
}
