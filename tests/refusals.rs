//! Rules of the database that forbid what a run writes: waiting does not help, so they are for an operator, and `doctor` finds them before.

mod documents;
mod kinds;
mod records;
mod rules;
mod servers;

use mongodb::bson::{Document, doc};

use crate::support::command::told;
use crate::support::day::{Day, LOG};
use crate::support::seed::{DATE, QUEUE, create_index, seed_day};

const EVENING: &str = "2026-01-18T18:30:00+07:00";

fn doctor_says(day: &Day, words: &[&str]) {
    let result = day.command("doctor").now(EVENING).run().json();
    let check = |name: &str| result["checks"].as_array().unwrap().iter().find(|check| check["name"] == name).unwrap();
    let writes = check("writes");
    assert_eq!((&writes["verdict"], &check("rights")["verdict"]), (&"bad".into(), &"skipped".into()), "{result}");
    for word in words {
        assert!(writes["found"].as_str().unwrap().contains(word), "{word:?} is not in {writes}");
    }
    assert!(!writes["fix"].as_str().unwrap().contains("readWrite"), "rights are not the cause: {writes}");
}

/// The run ends with 30 and the words, changes no row, and `doctor` finds the same without a run.
#[track_caller]
fn refused(commands: Vec<Document>, words: &[&str]) -> String {
    let day = Day::in_directory();
    for command in commands {
        day.db.command(command);
    }
    seed_day(&day.db, DATE, 3);
    create_index(&day.db);
    doctor_says(&day, words);
    let ended = day.run().run().expect_code(30);
    let told = told(&ended.json()["error"]);
    for word in words {
        assert!(told.contains(word), "{word:?} is not in {told}");
    }
    assert_eq!((day.rows_with_status("queued"), day.log().len()), (3, 0));
    told
}

#[test]
fn a_validator_of_the_log_is_named_with_its_rule() {
    let schema = doc! { "$jsonSchema": { "required": ["exportedBy"] } };
    refused(vec![doc! { "create": LOG, "validator": schema }], &["exportlogs", "validation", "exportedBy"]);
}

#[test]
fn a_validator_of_the_queue_is_named_with_its_rule() {
    let schema = doc! { "$jsonSchema": { "properties": { "status": { "enum": ["queued", "failed"] } } } };
    refused(vec![doc! { "create": QUEUE, "validator": schema }], &["exportqueues", "validation", "status"]);
}

#[test]
fn a_log_that_takes_no_transactions_is_named() {
    let capped = doc! { "create": LOG, "capped": true, "size": 100_000 };
    let series = doc! { "create": LOG, "timeseries": { "timeField": "createdAt" } };
    for (made, word) in [(capped, "capped"), (series, "time-series")] {
        let told = refused(vec![made], &["exportlogs", word]);
        assert!(told.contains("as a plain collection") && !told.contains("view"), "{told}");
    }
}

#[test]
fn a_unique_index_that_allows_one_day_only_is_found_on_the_first() {
    let day = Day::in_directory();
    let index = doc! { "key": { "queueId": 1, "action": 1 }, "name": "once", "unique": true };
    day.db.command(doc! { "createIndexes": LOG, "indexes": [index] });
    seed_day(&day.db, DATE, 3);
    create_index(&day.db);
    doctor_says(&day, &["exportlogs", "once"]);
    day.run().run().expect_code(0);
    seed_day(&day.db, "2026-01-19", 2);
    let ended = day.command("run").now("2026-01-19T18:30:00+07:00").run().expect_code(30);
    let told = told(&ended.json()["error"]);
    assert!(told.contains("exportlogs") && told.contains("once"), "{told}");
    assert_eq!(day.rows_with_status("queued"), 2);
}

#[test]
fn a_validator_that_our_documents_satisfy_is_no_finding() {
    let day = Day::in_directory();
    let schema = doc! { "$jsonSchema": { "required": ["action", "metadata", "createdAt"] } };
    day.db.command(doc! { "create": LOG, "validator": schema });
    seed_day(&day.db, DATE, 3);
    create_index(&day.db);
    let rows = day.db.find_all(QUEUE, doc! {});
    let result = day.command("doctor").now(EVENING).run().json();
    let rights = result["checks"].as_array().unwrap().iter().find(|check| check["name"] == "rights").unwrap().clone();
    assert_eq!(rights["verdict"], "ok", "{rights}");
    assert_eq!(day.db.find_all(QUEUE, doc! {}), rows, "doctor touched a row");
    day.run().run().expect_code(0);
    day.check_converged();
}
