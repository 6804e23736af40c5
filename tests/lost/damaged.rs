//! Documents among the batches that cannot be read, or are none of ours.

use mongodb::bson::{doc, oid::ObjectId};

use super::{EVENING, lose, queue_again, two_days};
use crate::support::command::told;
use crate::support::day::{BATCH, BATCHES, EXPORTED, FILE};
use crate::support::seed::QUEUE;

const NEXT_EVENING: &str = "2026-01-19T18:30:00+07:00";

#[test]
fn init_lifts_no_refusal_while_entries_of_a_batch_that_cannot_be_read_are_not_on_record() {
    for damage in [doc! { "$set": { "state": "done" } }, doc! { "$unset": { "window": 1 } }] {
        let day = two_days();
        let of_batch = doc! { "metadata.batchId": BATCH };
        let row = day.db.find_one(QUEUE, of_batch.clone()).expect("a row").get_object_id("_id").expect("its id");
        queue_again(&day, row);
        let whole = day.db.find_all(BATCHES, doc! { "_id": BATCH });
        day.db.update_one(BATCHES, doc! { "_id": BATCH }, damage.clone());
        lose(&day, &[(QUEUE, of_batch)]);
        day.db.command(doc! { "drop": EXPORTED });
        let next = || day.command("run").arg("--now").date("2026-01-19").now(NEXT_EVENING);
        for _ in 0..2 {
            let refused = told(&day.command("init").run().expect_code(30).json()["error"]);
            let says = ["exported entries are not on record", BATCH, "then run `batch-export init` again"];
            assert!(says.iter().all(|word| refused.contains(word)), "{damage}: {refused}");
            let refused = told(&next().run().expect_code(30).json()["error"]);
            assert!(refused.contains("has 3 entries, and 6 of the batches"), "{damage}: {refused}");
        }
        lose(&day, &[(BATCHES, doc! { "_id": BATCH })]);
        day.db.insert_many(BATCHES, whole);
        day.command("init").run().expect_code(0);
        assert_eq!(day.db.count(EXPORTED, doc! {}), 6);
        next().run().expect_code(32);
    }
}

/// Such as a copy that somebody made before an edit, and a note.
#[test]
fn documents_that_are_no_batches_disturb_no_command_and_stand_for_no_lost_batch() {
    let day = two_days();
    let mut copy = day.db.find_one(BATCHES, doc! { "_id": BATCH }).expect("the batch");
    copy.insert("_id", format!("{BATCH}_old"));
    let note = doc! { "_id": ObjectId::new(), "note": "restored on Monday" };
    day.db.insert_many(BATCHES, vec![copy, note, doc! { "_id": "lock", "state": "completed" }]);
    let file = day.directory().join(FILE);
    for words in [
        &["verify"][..],
        &["verify", "--last", "1"],
        &["verify", "--file", file.to_str().expect("a path in UTF-8")],
        &["status", "--check"],
        &["retry"],
        &["init"],
        &["init", "--adopt"],
    ] {
        day.command(words[0]).args(&words[1..]).now(EVENING).run().expect_code(0);
    }
    let checked = day.command("verify").args(&["--last", "1"]).now(EVENING).run().expect_code(0).json();
    assert_eq!(checked["checked"][0]["batch"], BATCH, "{checked}");
    let doctor = day.command("doctor").run().json();
    let collections = doctor["checks"].as_array().expect("a list").iter().find(|check| check["name"] == "collections");
    assert_eq!(collections.expect("the check")["verdict"], "ok", "{doctor}");
    lose(&day, &[(BATCHES, doc! { "_id": BATCH })]);
    let found = day.command("status").arg("--check").now(EVENING).run().expect_code(34).stdout;
    assert!(found.contains("exportbatches has 1 of their documents"), "{found}");
}
