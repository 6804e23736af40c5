//! The marked rows after the commit: what the application did with them is told as what it is.

use mongodb::bson::oid::ObjectId;
use mongodb::bson::{Bson, doc};

use super::{assert_only, exported, problems};
use crate::support::day::{Day, EXPORTED};
use crate::support::seed::{QUEUE, instant};

#[test]
fn rows_that_are_not_those_of_the_file_are_found() {
    let day = Day::in_directory();
    let seeded = exported(&day);
    let row = doc! { "_id": seeded.rows[3] };
    day.db.update_one(QUEUE, row.clone(), doc! { "$set": { "status": "queued" } });
    assert_only(&day, "rows", "\"queued\"");
    day.db.update_one(QUEUE, row.clone(), doc! { "$set": { "metadata": Bson::Null } });
    let found = problems(&day);
    assert!(found.iter().all(|(kind, _)| kind == "removed_rows") && found.len() == 1, "{found:?}");
    assert!(found.iter().any(|(_, message)| message.contains(&seeded.entries[3].to_hex())), "{found:?}");
}

/// The export is as it was: nothing needs a decision.
#[test]
fn marked_rows_are_found_whatever_the_application_changed_in_them() {
    let day = Day::in_directory();
    let seeded = exported(&day);
    let changes = [
        doc! { "$set": { "scheduledFor": instant("2026-03-01", 0) } },
        doc! { "$unset": { "scheduledFor": 1 } },
        doc! { "$set": { "exportPath": "manual" } },
        doc! { "$set": { "scheduledFor": "in May" }, "$unset": { "exportPath": 1 } },
    ];
    for (row, change) in seeded.rows.iter().zip(changes) {
        day.db.update_one(QUEUE, doc! { "_id": row }, change);
    }
    assert_eq!(problems(&day), []);
    // A row that is open again is a fault, wherever it is.
    day.db.update_one(QUEUE, doc! { "_id": seeded.rows[1] }, doc! { "$set": { "status": "processing" } });
    assert_only(&day, "rows", "its status is \"processing\"");
}

#[test]
fn rows_that_name_another_entry_of_the_file_are_told_by_row_and_entry() {
    let day = Day::in_directory();
    let seeded = exported(&day);
    let point = |row: usize, entry: usize| {
        let named = doc! { "$set": { "entryId": seeded.entries[entry] } };
        day.db.update_one(QUEUE, doc! { "_id": seeded.rows[row] }, named);
    };
    let (row, entries) = (seeded.rows[3], [seeded.entries[3], seeded.entries[4]]);
    let says = format!("queue row {row} was exported for entry {} and names entry {} now", entries[0], entries[1]);
    point(3, 4);
    assert_only(&day, "rows", &says);
    point(4, 3);
    let found = problems(&day);
    assert!(found.len() == 2 && found.iter().all(|problem| problem.0 == "rows"), "{found:?}");
    point(3, 3);
    point(4, 4);
    // A copy of a row hides no row that is gone.
    let mut copy = day.db.find_one(QUEUE, doc! { "_id": seeded.rows[4] }).expect("a row");
    copy.insert("_id", ObjectId::new());
    day.db.insert_many(QUEUE, vec![copy]);
    assert_only(&day, "rows", "1 queue row carries the mark of this batch and did not export an entry of it");
    day.db.delete_many(QUEUE, doc! { "_id": seeded.rows[5] });
    let kinds: Vec<String> = problems(&day).into_iter().map(|problem| problem.0).collect();
    assert_eq!(kinds, ["removed_rows", "rows"]);
}

#[test]
fn rows_that_were_put_aside_are_told_as_such_and_can_be_accepted() {
    let day = Day::in_directory();
    let seeded = exported(&day);
    day.db.update_one(QUEUE, doc! { "_id": seeded.rows[2] }, doc! { "$set": { "status": "archived" } });
    assert_only(&day, "removed_rows", &format!("{} (\"archived\")", seeded.rows[2].to_hex()));
    let archive = doc! { "$set": { "status": "archived" } };
    day.db.update_many(QUEUE, doc! {}, archive);
    assert_only(&day, "removed_rows", "12 marked rows have a status that is neither completed nor open");
    // Beside them a row that is gone: what is accepted is said once.
    day.db.delete_many(QUEUE, doc! { "_id": seeded.rows[5] });
    let accepted = day.command("verify").arg("--allow-removed-rows").run().expect_code(0).json();
    assert_eq!(accepted["problem_count"], 0);
    assert_eq!(
        accepted["checked"][0]["notes"],
        serde_json::json!(["rows of its entries were removed, which is accepted"])
    );
}

/// Batches of earlier versions have no rows on record.
#[test]
fn rows_that_are_on_record_nowhere_are_searched() {
    let day = Day::in_directory();
    let seeded = exported(&day);
    let rows = day.db.find_all(EXPORTED, doc! { "row": { "$in": &seeded.rows } });
    assert_eq!(rows.len(), seeded.rows.len(), "each entry is recorded with its row");
    day.db.update_many(EXPORTED, doc! {}, doc! { "$unset": { "row": 1 } });
    assert_eq!(problems(&day), []);
    day.db.update_one(QUEUE, doc! { "_id": seeded.rows[1] }, doc! { "$set": { "status": "failed" } });
    assert_only(&day, "rows", "its status is \"failed\"");
}

#[test]
fn a_queue_without_its_old_rows_is_one_finding_that_can_be_accepted() {
    let day = Day::in_directory();
    exported(&day);
    day.db.delete_many(QUEUE, doc! {});
    assert_only(&day, "removed_rows", "12 entries of the file have no marked row any more");
    let accepted = day.command("verify").arg("--allow-removed-rows").run().expect_code(0).json();
    assert_eq!(accepted["problem_count"], 0);
}
