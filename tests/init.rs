//! `batch-export init`: creates what is missing, and leaves obstacles to a person.

use mongodb::bson::doc;

use crate::support::command::told;
use crate::support::day::Day;
use crate::support::seed::{DATE, QUEUE, seed_day};

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
fn an_index_that_compares_text_in_another_way_does_not_serve() {
    let day = Day::in_directory();
    let collation = doc! { "locale": "th" };
    let index = doc! { "key": { "status": 1, "scheduledFor": 1 }, "name": "thai", "collation": collation };
    day.db.command(doc! { "createIndexes": QUEUE, "indexes": [index] });
    assert_eq!(day.command("init").run().expect_code(0).json()["queue_index"], "status_1_scheduledFor_1");
}

#[test]
fn an_index_in_the_way_is_a_matter_for_a_person_and_no_failure_of_the_database() {
    let in_the_way = [doc! { "hidden": true }, doc! { "partialFilterExpression": { "status": "failed" } }];
    for options in in_the_way {
        let day = Day::in_directory();
        let mut index = doc! { "key": { "status": 1, "scheduledFor": 1 }, "name": "status_1_scheduledFor_1" };
        index.extend(options);
        day.db.command(doc! { "createIndexes": QUEUE, "indexes": [index] });
        let refused = day.command("init").run().expect_code(30).json();
        let message = told(&refused["error"]);
        assert!(message.contains("status_1_scheduledFor_1") && message.contains("drop that index"), "{message}");
    }
}

#[test]
fn a_first_run_without_init_does_its_work_and_says_what_it_missed() {
    let day = Day::in_directory();
    seed_day(&day.db, DATE, 5);
    day.db.command(doc! { "dropIndexes": QUEUE, "index": "*" });
    let first = day.run().run().expect_code(0);
    assert!(first.stderr.contains("run `batch-export init` once"), "{}", first.report());
    day.check_converged();
    let with_init = Day::in_directory();
    seed_day(&with_init.db, DATE, 5);
    with_init.db.command(doc! { "dropIndexes": QUEUE, "index": "*" });
    with_init.command("init").run().expect_code(0);
    let first = with_init.run().run().expect_code(0);
    assert!(!first.stderr.contains("batch-export init"), "{}", first.report());
}
