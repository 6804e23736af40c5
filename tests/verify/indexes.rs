//! What `verify` and `corrections` cost: they find the rows of a batch by when they were due, and read nothing beside them.

use mongodb::bson::{Document, doc};

use super::{exported, problems, set_entry};
use crate::support::day::{BATCH, BATCHES, Day, EXPORTED};
use crate::support::seed::{DATE, ENTRIES, Entry, QUEUE, create_index, instant, seed, seed_day};

/// What the server did for queue, entries and the record of exported entries while a command ran: each operation's plan and how many documents it looked at.
fn profiled(day: &Day, command: &str, words: &[&str]) -> Vec<(String, String, i64)> {
    profiled_as(day, command, words, 0)
}

fn profiled_as(day: &Day, command: &str, words: &[&str], code: i32) -> Vec<(String, String, i64)> {
    day.db.command(doc! { "profile": 2 });
    day.command(command).args(words).run().expect_code(code);
    day.db.command(doc! { "profile": 0 });
    let named = |collection: &str| format!("{}.{collection}", day.db.name());
    let watched = doc! { "ns": { "$in": [named(QUEUE), named(ENTRIES), named(EXPORTED)] } };
    let read = |found: &Document| {
        let text = |key: &str| found.get_str(key).unwrap_or_default().to_owned();
        let examined = found.get("docsExamined").and_then(|n| n.as_i32().map(i64::from).or(n.as_i64()));
        (text("ns"), text("planSummary"), examined.unwrap_or(0))
    };
    let found = day.db.find_all("system.profile", watched).iter().map(read).collect();
    day.db.block(day.db.collection("system.profile").drop()).expect("drop");
    found
}

/// Three days of the past, in a queue with many rows of other days.
fn three_days_of_many() -> Day {
    let day = Day::in_directory();
    for (date, entries) in [("2026-01-16", 40), ("2026-01-17", 30), (DATE, 50)] {
        seed_day(&day.db, date, entries);
        day.command("run").date(date).now(&format!("{date}T18:00:05+07:00")).run().expect_code(0);
    }
    let other = |number: u32| {
        let mut row = Entry::numbered("2025-11-11", number).row();
        row.insert("status", "completed");
        row
    };
    day.db.insert_many(QUEUE, (10_000..13_000).map(other).collect());
    day
}

#[test]
fn no_collection_is_scanned_and_nothing_is_read_beside_the_rows_and_the_entries() {
    let day = three_days_of_many();
    // The official file names the entries: corrections need no rows.
    for (command, words, rows, entries) in [
        ("verify", &["--date", DATE][..], 50, 50),
        ("verify", &["--last", "14"], 120, 120),
        ("corrections", &["--last", "14"], 0, 120),
        ("corrections", &["--from", "2026-01-16", "--to", "2026-01-17"], 0, 70),
    ] {
        let operations = profiled(&day, command, words);
        assert!(!operations.is_empty(), "the profiler saw nothing");
        for (collection, plan, _) in &operations {
            // The server's own count of a collection reads no document.
            let is_read = plan != "RECORD_STORE_FAST_COUNT";
            assert!(
                !is_read || plan.contains("IXSCAN") && !plan.contains("COLLSCAN"),
                "{command}: {collection}: {plan}"
            );
        }
        for (collection, expected) in [(QUEUE, rows), (ENTRIES, entries)] {
            let examined: i64 = operations.iter().filter(|(ns, ..)| ns.ends_with(collection)).map(|(.., n)| n).sum();
            assert_eq!(examined, expected, "{command} {words:?}: documents of {collection}");
        }
    }
}

/// A file that names no entries: its rows lead to what is recorded of them.
#[test]
fn nothing_is_scanned_either_where_the_file_names_no_entries() {
    let day = three_days_of_many();
    let date = "2026-01-19";
    seed_day(&day.db, date, 20);
    let run = day.command("run").date(date).now(&format!("{date}T18:00:05+07:00"));
    run.args(&["--format", "express", "--contra-account", "1101-00"]).run().expect_code(0);
    for command in ["verify", "corrections"] {
        let operations = profiled(&day, command, &["--date", date]);
        assert!(operations.iter().all(|(_, plan, _)| !plan.contains("COLLSCAN")), "{command}: {operations:?}");
        let examined: i64 = operations.iter().filter(|(ns, ..)| ns.ends_with(QUEUE)).map(|(.., n)| n).sum();
        assert_eq!(examined, 20, "{command}");
    }
    // A row that is gone tells nothing of its entry, whose id lies between those of the others.
    let row = day.db.find_one(QUEUE, doc! { "entryId": Entry::numbered(date, 127).id() }).expect("a row");
    day.db.delete_many(QUEUE, doc! { "_id": row.get_object_id("_id").expect("an id") });
    for (command, code) in [("verify", 34), ("corrections", 0)] {
        let operations = profiled_as(&day, command, &["--date", date], code);
        assert!(operations.iter().all(|(_, plan, _)| !plan.contains("COLLSCAN")), "{command}: {operations:?}");
        let examined: i64 = operations.iter().filter(|(ns, ..)| ns.ends_with(EXPORTED)).map(|(.., n)| n).sum();
        assert!(examined < 3 * 20 + 5, "{command}: {operations:?}");
    }
}

/// A row that was left behind for months, a row of another status, and a row that is gone: not one document more is read, neither of the
/// months between nor of the rows that are open.
#[test]
fn rows_out_of_the_day_are_read_by_their_ids() {
    let day = three_days_of_many();
    let date = "2026-01-19";
    let mut entries: Vec<Entry> = (200..210).map(|number| Entry::numbered(date, number)).collect();
    entries[0] = entries[0].clone().set("createdAt", instant("2025-06-01", 0));
    let seeded = seed(&day.db, &entries);
    day.command("run").date(date).now(&format!("{date}T18:00:05+07:00")).run().expect_code(0);
    let open = |number: u32| Entry::numbered("2026-02-11", number).row();
    day.db.insert_many(QUEUE, (20_000..21_000).map(open).collect());
    let examined = |code: i32| -> i64 {
        let operations = profiled_as(&day, "verify", &["--date", date], code);
        assert!(operations.iter().all(|(_, plan, _)| !plan.contains("COLLSCAN")), "{operations:?}");
        operations.iter().filter(|(ns, ..)| ns.ends_with(QUEUE)).map(|(.., n)| n).sum()
    };
    assert_eq!(examined(0), 10);
    day.db.update_one(QUEUE, doc! { "_id": seeded.rows[3] }, doc! { "$set": { "status": "failed" } });
    assert_eq!(examined(34), 10);
    day.db.delete_many(QUEUE, doc! { "_id": seeded.rows[5] });
    assert_eq!(examined(34), 9);
}

#[test]
fn a_batch_knows_when_its_first_and_its_last_row_were_due() {
    let day = Day::in_directory();
    create_index(&day.db);
    let at = |number: u32, date: &str, seconds: i64| {
        let entry = Entry::numbered(DATE, number);
        let (mut row, document) = (entry.row(), entry.document());
        row.insert("scheduledFor", instant(date, seconds));
        day.db.insert_many(ENTRIES, vec![document]);
        day.db.insert_many(QUEUE, vec![row]);
    };
    at(0, DATE, 36_000);
    at(1, "2026-01-02", 7);
    at(2, DATE, 100);
    // Held back, so not of the file: the very first row, and the very last.
    for (number, date, seconds) in [(3, "2026-01-01", 5), (4, DATE, 40_000)] {
        at(number, date, seconds);
        let id = Entry::numbered(DATE, number).id();
        day.db.update_one(ENTRIES, doc! { "_id": id }, doc! { "$set": { "status": "draft" } });
    }
    day.run().args(&["--invalid", "hold"]).run().expect_code(0);
    let batch = day.batch();
    let window = batch.get_document("window").expect("a window");
    assert_eq!(window.get_datetime("first").ok(), Some(&instant("2026-01-02", 7)));
    assert_eq!(window.get_datetime("last").ok(), Some(&instant(DATE, 36_000)));
    assert_eq!(problems(&day), []);
}

#[test]
fn batches_of_earlier_versions_do_not_know_it_and_are_verified_all_the_same() {
    let day = Day::in_directory();
    let seeded = exported(&day);
    let without = doc! { "$unset": { "window.first": 1, "window.last": 1 } };
    day.db.update_one(BATCHES, doc! { "_id": BATCH }, without);
    assert_eq!(problems(&day), []);
    set_entry(&day, &seeded, 2, doc! { "amount": 1_i64 });
    let found = problems(&day);
    assert!(found.len() == 1 && found[0].0 == "edited", "{found:?}");
}

#[test]
fn an_edit_is_told_with_its_line_its_column_and_both_values() {
    let day = Day::in_directory();
    let seeded = seed(&day.db, &[Entry::numbered(DATE, 0).amount(123_456).kind("debit"), Entry::numbered(DATE, 1)]);
    day.run().run().expect_code(0);
    set_entry(&day, &seeded, 0, doc! { "amount": 100_i64 });
    let found = problems(&day);
    assert!(found.len() == 1 && found[0].1.contains("of line 2 was \"1234.56\" and is \"1.00\""), "{found:?}");
}
