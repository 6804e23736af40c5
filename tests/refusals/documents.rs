//! `doctor` tries the documents that a run writes, with what a run would write into them; and what `init` cannot make is named.

use mongodb::bson::oid::ObjectId;
use mongodb::bson::{Bson, Document, doc};

use super::rules::{found, rights, validator};
use super::{EVENING, doctor_says, refused};
use crate::support::block;
use crate::support::command::told;
use crate::support::day::{BATCHES, Day, EXPORTED, LOG};
use crate::support::db::TestDb;
use crate::support::mongod::Mongod;
use crate::support::seed::{DATE, Entry, QUEUE, create_index, seed, seed_day};

fn index(collection: &str, name: &str, key: Document, more: Document) -> Document {
    let mut index = doc! { "key": key, "name": name };
    index.extend(more);
    doc! { "createIndexes": collection, "indexes": [index] }
}

#[test]
fn an_index_of_places_or_texts_that_takes_no_log_entry_is_named() {
    for (key, more) in [
        (doc! { "metadata": "2d" }, doc! {}),
        (doc! { "metadata": "2dsphere" }, doc! {}),
        (doc! { "message": "text" }, doc! { "language_override": "performedBy" }),
    ] {
        let told = refused(vec![index(LOG, "by_place", key, more)], &["exportlogs: its index by_place refuses"]);
        assert!(told.contains("drop that index") && !told.contains("csv_generated"), "{told}");
    }
}

#[test]
fn an_index_that_takes_no_lists_of_a_batch_is_named() {
    let parallel = doc! { "history": 1, "voided": 1, "refused": 1 };
    for key in [doc! { "voided": "hashed" }, doc! { "history": "hashed" }, parallel] {
        let told =
            refused(vec![index(BATCHES, "of_lists", key, doc! {})], &["exportbatches: its index of_lists refuses"]);
        assert!(told.contains("drop that index"), "{told}");
    }
}

/// Leaves room for this number of bytes.
fn fill(day: &Day, row: ObjectId, left: usize) {
    let bytes = mongodb::bson::serialize_to_vec(&day.db.find_one(QUEUE, doc! { "_id": row }).unwrap()).unwrap().len();
    let pad = "x".repeat(16 * 1024 * 1024 - bytes - left);
    day.db.update_one(QUEUE, doc! { "_id": row }, doc! { "$set": { "pad": pad } });
}

#[test]
fn a_row_without_room_for_its_marks_is_named_and_a_held_one_needs_none_for_them() {
    // A server of the usual size of cache may refuse such a row in a transaction.
    let server: &'static Mongod = Box::leak(Box::new(Mongod::start_with(&["--wiredTigerCacheSizeGB", "1"])));
    let day = Day::in_directory_with(TestDb::on(server));
    // Further behind than the rows of one transaction of `doctor`.
    let row = *seed_day(&day.db, DATE, 1_100).rows.last().unwrap();
    fill(&day, row, 30);
    doctor_says(&day, &["exportqueues", "larger than", &row.to_hex()]);
    let told = told(&day.run().run().expect_code(30).json()["error"]);
    assert!(told.contains(&row.to_hex()) && told.contains("shorten that document"), "{told}");
    assert_eq!((day.rows_with_status("queued"), day.log().len()), (1_100, 0));
    // A held row gets its reason alone.
    for (left, exit) in [(200, 0), (20, 30)] {
        let day = Day::in_directory_with(TestDb::on(server));
        let row = seed(&day.db, &[Entry::numbered(DATE, 0), Entry::numbered(DATE, 1).set("status", "draft")]).rows[1];
        day.command("init").run().expect_code(0);
        fill(&day, row, left);
        let held = |name| day.command(name).now(EVENING).env("BATCH_EXPORT_INVALID", "hold");
        let doctor = held("doctor").run().json();
        let is_said = doctor.to_string().contains(&row.to_hex());
        let ended = held("run").run().expect_code(exit).json();
        assert_eq!((is_said, ended["error"].to_string().contains(&row.to_hex())), (exit != 0, exit != 0), "{doctor}");
    }
}

#[test]
fn a_name_that_the_server_refuses_is_a_setting() {
    let day = Day::in_directory();
    seed_day(&day.db, DATE, 1);
    let told_of = |arguments: &[&str]| told(&day.run().args(arguments).run().expect_code(30).json()["error"]);
    let upper = told_of(&["--database", &day.db.name().to_uppercase()]);
    assert!(upper.contains("--database"), "{upper}");
    let system = ["system.x", "x.system.y"].map(|name| told_of(&["--log-collection", name]));
    assert!(system.iter().all(|told| told.contains("--log-collection is wrong: the server keeps")), "{system:?}");
    let other = told_of(&["--log-collection", ".x"]);
    assert!(other.contains("collection's name"), "{other}");
}

#[test]
fn what_init_cannot_make_is_named_with_its_collection() {
    let refused = |command: Document, words: &[&str]| {
        let day = Day::in_directory();
        day.db.command(command);
        let told = told(&day.command("init").run().expect_code(30).json()["error"]);
        for word in words {
            assert!(told.contains(word), "{word:?} is not in {told}");
        }
    };
    let full = (1..64).map(|number| doc! { "key": { format!("f{number}"): 1 }, "name": format!("f{number}") });
    let full: Vec<Document> = full.collect();
    refused(doc! { "createIndexes": QUEUE, "indexes": full }, &["exportqueues: ", "too many indexes", "scheduledFor"]);
    let rule = doc! { "$jsonSchema": { "required": ["tenant"] } };
    refused(doc! { "create": BATCHES, "validator": rule }, &["exportbatches: ", "tenant"]);
    refused(index(LOG, "batch_export", doc! { "other": 1 }, doc! {}), &["exportlogs: ", "batch_export"]);
    refused(index(BATCHES, "state", doc! { "other": 1 }, doc! {}), &["exportbatches: ", "state"]);
}

#[test]
fn a_view_in_the_place_of_our_own_collections_is_to_be_dropped() {
    for ours in [EXPORTED, "exportbatchrows"] {
        let day = Day::in_directory();
        day.db.command(doc! { "create": ours, "viewOn": "other", "pipeline": [] });
        let told = told(&day.command("init").run().expect_code(30).json()["error"]);
        assert!(
            told.contains(ours) && told.contains("drop the view") && !told.contains("--batch-collection"),
            "{told}"
        );
    }
}

/// The rule of a collection as an expression of a query.
fn rule(day: &Day, collection: &str, rule: Document) {
    validator(day, collection, doc! {});
    day.db.command(doc! { "collMod": collection, "validator": rule });
}

#[test]
fn rules_that_the_due_rows_keep_are_no_finding() {
    let day = Day::in_directory();
    day.command("init").run().expect_code(0);
    seed_day(&day.db, DATE, 3);
    rule(&day, LOG, doc! { "metadata.csvSize": { "$lte": 1000 }, "metadata.entryCount": { "$gte": 3 } });
    let running = doc! { "unique": true, "partialFilterExpression": { "state": "running" } };
    day.db.command(index(BATCHES, "one_running", doc! { "state": 1 }, running));
    day.db.command(index(EXPORTED, "one_place", doc! { "n": 1, "place": 1 }, doc! { "unique": true }));
    let tried = rights(day.command("doctor"));
    assert_eq!(tried["verdict"], "ok", "{tried}");
    day.run().run().expect_code(0);
    day.check_converged();
}

#[test]
fn the_id_of_the_file_and_the_rows_of_the_layout_are_those_of_a_run() {
    let day = Day::in_directory();
    seed_day(&day.db, DATE, 3);
    create_index(&day.db);
    rule(&day, LOG, doc! { "metadata.fileId": { "$not": { "$regex": "#[0-9a-f]{32}$" } } });
    found(&day, day.run(), &["exportlogs", "metadata.fileId"]);
    rule(&day, LOG, doc! { "$expr": { "$eq": ["$metadata.rowCount", "$metadata.entryCount"] } });
    assert_eq!(rights(day.command("doctor"))["verdict"], "ok");
    let two_rows = |name| day.command(name).env("BATCH_EXPORT_FORMAT", "express");
    let contra = |name| two_rows(name).env("BATCH_EXPORT_CONTRA_ACCOUNT", "1101-00");
    assert_eq!(rights(contra("doctor"))["verdict"], "bad");
    contra("run").args(&["--date", DATE, "--now"]).run().expect_code(30);
}

#[test]
fn states_that_a_rule_forbids_are_found_where_a_run_has_them() {
    let day = Day::in_directory();
    create_index(&day.db);
    rule(&day, BATCHES, doc! { "state": { "$ne": "empty" } });
    found(&day, day.run(), &["exportbatches"]);
    seed_day(&day.db, DATE, 3);
    let rows = |name, rows| day.command(name).env("BATCH_EXPORT_TRANSACTION_ROWS", rows);
    for unknown in ["running", "failed", "exhausted", "completed", "marking"] {
        rule(&day, BATCHES, doc! { "state": { "$ne": unknown } });
        // Any day may have more rows than these, and any attempt may be the last one.
        assert_eq!(rights(rows("doctor", "3"))["verdict"], "bad", "{unknown}");
    }
    rows("run", "2").args(&["--date", DATE, "--now"]).run().expect_code(30);
    assert_eq!(day.rows_with_status("queued"), 3);
    rows("run", "3").args(&["--date", DATE, "--now"]).run().expect_code(0);
}

#[test]
fn what_was_not_tried_and_what_was_made_up_is_said() {
    let day = Day::in_directory();
    create_index(&day.db);
    rule(&day, LOG, doc! { "metadata.csvSize": { "$gte": Bson::Int64(1 << 40) } });
    doctor_says(&day, &["exportlogs", "made-up size"]);
    rule(&day, LOG, doc! {});
    let last = *seed_day(&day.db, DATE, 1_200).rows.last().unwrap();
    let mut session = block(async {
        let mut session = day.db.database().client().start_session().await.unwrap();
        session.start_transaction().await.unwrap();
        let queue = day.db.database().collection::<Document>(QUEUE);
        let touched = queue.update_one(doc! { "_id": last }, doc! { "$set": { "touched": true } });
        touched.session(&mut session).await.unwrap();
        session
    });
    let tried = rights(day.command("doctor"));
    block(session.abort_transaction()).unwrap();
    let found = tried["found"].as_str().unwrap();
    assert!(tried["verdict"] == "ok" && found.contains("tried on 1000 of 1200 rows"), "{tried}");
}
