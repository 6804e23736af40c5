//! Kinds of collections that a run cannot use: each command names the collection, and what to do.

use mongodb::bson::doc;

use super::doctor_says;
use crate::support::command::told;
use crate::support::day::{BATCHES, Day, EXPORTED, LOG};
use crate::support::seed::{DATE, ENTRIES, QUEUE, create_index, seed_day};

const ROW_LISTS: &str = "exportbatchrows";

#[track_caller]
fn named(day: &Day, command: &str, collection: &str, kind: &str) {
    let sentence = told(&day.command(command).date(DATE).run().expect_code(30).json()["error"]);
    let words = format!("{collection} is a {kind}");
    assert!(
        sentence.contains(&words) && sentence.contains("recreate it as a plain collection"),
        "{command}: {sentence}"
    );
}

fn init(day: &Day) -> String {
    told(&day.command("init").run().expect_code(30).json()["error"])
}

#[test]
fn init_and_doctor_refuse_the_kinds_that_a_run_cannot_use() {
    for collection in [QUEUE, ENTRIES, LOG, BATCHES, ROW_LISTS, EXPORTED] {
        let day = Day::in_directory();
        day.db.command(doc! { "create": collection, "capped": true, "size": 1_000_000 });
        let sentence = init(&day);
        assert!(sentence.contains(&format!("{collection} is a capped collection")), "{sentence}");
        doctor_says(&day, &[&format!("{collection} is a capped collection")]);
    }
    for collection in [QUEUE, LOG, BATCHES, ROW_LISTS, EXPORTED] {
        let day = Day::in_directory();
        day.db.command(doc! { "create": collection, "timeseries": { "timeField": "createdAt" } });
        let sentence = init(&day);
        assert!(sentence.contains(&format!("{collection} is a time-series collection")), "{sentence}");
        doctor_says(&day, &[&format!("{collection} is a time-series collection")]);
    }
    for collection in [QUEUE, LOG] {
        let day = Day::in_directory();
        day.db.command(doc! { "create": collection, "viewOn": "others", "pipeline": [] });
        let sentence = init(&day);
        assert!(sentence.contains(&format!("{collection} is a view")), "{sentence}");
        doctor_says(&day, &[&format!("{collection} is a view")]);
    }
}

#[test]
fn time_series_in_place_of_our_own_collections_are_named_by_a_run() {
    for collection in [BATCHES, ROW_LISTS] {
        let day = Day::in_directory();
        seed_day(&day.db, DATE, 9);
        create_index(&day.db);
        day.db.command(doc! { "create": collection, "timeseries": { "timeField": "createdAt" } });
        let run = day.run().args(&["--transaction-rows", "3"]);
        let sentence = told(&run.run().expect_code(30).json()["error"]);
        let words = format!("{collection} is a time-series collection");
        assert!(sentence.contains(&words) && sentence.contains("recreate it as a plain collection"), "{sentence}");
        assert_eq!(day.rows_with_status("queued"), 9);
    }
}

#[test]
fn a_collection_that_was_capped_afterwards_is_named_by_what_reads_back() {
    for (collection, commands) in
        [(LOG, &["verify"][..]), (QUEUE, &["verify"]), (EXPORTED, &["verify"]), (BATCHES, &["verify", "corrections"])]
    {
        let day = Day::in_directory();
        seed_day(&day.db, DATE, 3);
        day.command("init").run().expect_code(0);
        day.run().run().expect_code(0);
        day.db.command(doc! { "convertToCapped": collection, "size": 1_000_000 });
        for command in commands {
            named(&day, command, collection, "capped collection");
        }
    }
}
