//! Which line of a file is which entry's, where the file names no entries: a line is never compared with another entry.

use mongodb::bson::oid::ObjectId;
use mongodb::bson::{Bson, doc};
use serde_json::Value;

use super::{change, corrections, in_express, lines, list, told_by_verify};
use crate::support::command::said;
use crate::support::day::{BATCH, BATCHES, Day, EXPORTED};
use crate::support::seed::{DATE, ENTRIES, Entry, QUEUE, Seeded, instant};

#[test]
fn a_row_that_the_application_touched_does_not_hide_the_other_lines() {
    let day = Day::in_directory();
    let seeded = in_express(&day);
    assert_eq!(lines(&corrections(&day, &[])), []);
    // Taken back and planned anew: nothing was edited, and nothing is said of settings or edits.
    let later = mongodb::bson::DateTime::parse_rfc3339_str("2026-03-01T00:00:00Z").unwrap();
    let row = |position: usize| doc! { "_id": seeded.rows[position] };
    day.db.update_one(QUEUE, row(1), doc! { "$set": { "status": "queued", "scheduledFor": later } });
    assert_eq!(lines(&corrections(&day, &[])), []);
    let found = told_by_verify(&day);
    assert!(found.len() == 1 && found[0].0 == "rows" && found[0].1.contains("queued"), "{found:?}");
    // One row is gone beside that, and two entries are edited, one of them without its row.
    day.db.delete_many(QUEUE, row(4));
    change(&day, &seeded, 4, doc! { "amount": 7_i64 });
    change(&day, &seeded, 2, doc! { "accountCode": "9999" });
    let found = lines(&corrections(&day, &[]));
    let told: Vec<_> = found.iter().map(|(line, kind, column, ..)| (*line, kind.as_str(), column.as_str())).collect();
    assert_eq!(told, [(6, "edited", "Account"), (10, "edited", "Debit"), (11, "edited", "Credit")], "{found:?}");
    assert_eq!((&*found[1].3, &*found[1].4), ("104.00", "0.07"));
    let mut kinds: Vec<String> = told_by_verify(&day).into_iter().map(|problem| problem.0).collect();
    kinds.sort();
    assert_eq!(kinds, ["edited", "edited", "removed_rows", "rows"]);
    let accepted = day.command("verify").arg("--allow-removed-rows").run().expect_code(34).json();
    assert_eq!((list(&accepted, "problems").len(), &accepted["problem_count"]), (3, &3.into()));
    assert!(accepted["checked"][0]["notes"].to_string().contains("removed, which is accepted"), "{accepted}");
    // Two rows are gone and both entries: they are told as such, each with its line.
    day.db.delete_many(QUEUE, row(5));
    day.db.delete_many(ENTRIES, doc! { "_id": { "$in": [seeded.entries[4], seeded.entries[5]] } });
    let found = lines(&corrections(&day, &[]));
    let told: Vec<_> = found.iter().map(|(line, kind, ..)| (*line, kind.as_str())).collect();
    assert_eq!(told, [(6, "edited"), (10, "deleted"), (12, "deleted")]);
}

/// Neither the order of the rows nor what they name decides about a line.
#[test]
fn rows_that_change_places_are_no_edits_of_their_entries() {
    let changes: [fn(&Day, &Seeded); 4] = [
        |day, seeded| {
            let late = day.db.find_one(QUEUE, doc! { "_id": seeded.rows[4] }).expect("a row");
            let late = doc! { "$set": { "scheduledFor": late.get_datetime("scheduledFor").expect("a date") } };
            day.db.update_one(QUEUE, doc! { "_id": seeded.rows[1] }, late);
        },
        |day, seeded| point(day, seeded.rows[2], seeded.entries[3]),
        |day, seeded| {
            point(day, seeded.rows[2], seeded.entries[3]);
            point(day, seeded.rows[3], seeded.entries[2]);
        },
        |day, seeded| {
            let mut copy = day.db.find_one(QUEUE, doc! { "_id": seeded.rows[0] }).expect("a row");
            copy.insert("_id", ObjectId::new());
            day.db.insert_many(QUEUE, vec![copy]);
            day.db.delete_many(QUEUE, doc! { "_id": seeded.rows[5] });
        },
    ];
    for (number, change) in changes.iter().enumerate() {
        let day = Day::in_directory();
        let seeded = in_express(&day);
        change(&day, &seeded);
        assert_eq!(lines(&corrections(&day, &[])), [], "change {number}");
        let found = told_by_verify(&day);
        assert_eq!(found.is_empty(), number == 0, "{found:?}");
        assert!(found.iter().all(|problem| ["rows", "removed_rows"].contains(&&*problem.0)), "{found:?}");
    }
}

fn point(day: &Day, row: ObjectId, entry: ObjectId) {
    day.db.update_one(QUEUE, doc! { "_id": row }, doc! { "$set": { "entryId": entry } });
}

/// The record of an entry that an earlier version exported again tells its place in the later file alone. That the same row was queued again is no
/// fault of the first file.
#[test]
fn an_entry_that_was_exported_again_still_has_its_line_in_the_first_file() {
    for (again, has_new_rows, by_earlier_version) in [
        (&[2][..], true, false),
        (&[2], false, false),
        (&[1, 4], true, false),
        (&[1, 4], false, false),
        (&[0, 1, 2, 3, 4, 5], false, false),
        (&[2], true, true),
        (&[2], false, true),
        (&[1, 4], true, true),
    ] {
        let day = Day::in_directory();
        let seeded = in_express(&day);
        for at in again {
            let mut row = day.db.find_one(QUEUE, doc! { "_id": seeded.rows[*at] }).expect("a row");
            row.extend(doc! { "status": "queued", "metadata": Bson::Null });
            row.insert("scheduledFor", instant("2026-01-19", 36_000));
            if has_new_rows {
                row.insert("_id", ObjectId::new());
            } else {
                day.db.delete_many(QUEUE, doc! { "_id": seeded.rows[*at] });
            }
            day.db.insert_many(QUEUE, vec![row]);
        }
        let run = day.command("run").date("2026-01-19").now("2026-01-19T18:00:05+07:00").arg("--allow-reexport");
        run.run().expect_code(0);
        if by_earlier_version {
            day.db.update_many(EXPORTED, doc! {}, doc! { "$unset": { "earlier": 1 } });
        }
        let compared = corrections(&day, &["--date", DATE]);
        assert_eq!((lines(&compared), &compared["exit_code"]), (vec![], &0.into()), "{again:?}: {compared}");
        let found = day.command("verify").args(&["--last", "2"]).run().expect_code(0).json();
        let first = list(&found, "checked").iter().find(|checked| checked["batch"] == BATCH).unwrap();
        let told = first["notes"][0].as_str().unwrap();
        let word = if again.len() == 1 { "1 entry was" } else { &format!("{} entries were", again.len()) };
        let says = format!("{word} exported again with --allow-reexport, as number 2 in batch_2026-01-19: ");
        assert!(told.starts_with(&says) && told.contains(&seeded.entries[again[0]].to_hex()), "{told}");
        change(&day, &seeded, again[0], doc! { "accountCode": "9999" });
        let found = lines(&corrections(&day, &["--date", DATE]));
        let line = 2 + 2 * again[0] as u64;
        assert_eq!(found.iter().map(|found| found.0).collect::<Vec<_>>(), [line], "{again:?}");
    }
}

/// The files of earlier versions have no places on record: the rows tell them, as long as nobody touched one.
#[test]
fn lines_that_nothing_matches_to_entries_are_left_to_a_person() {
    let day = Day::in_directory();
    let seeded = in_express(&day);
    day.db.update_many(EXPORTED, doc! {}, doc! { "$unset": { "row": 1, "place": 1 } });
    change(&day, &seeded, 2, doc! { "accountCode": "9999" });
    assert_eq!(lines(&corrections(&day, &[])).iter().map(|found| found.0).collect::<Vec<_>>(), [6]);
    day.db.delete_many(QUEUE, doc! { "_id": seeded.rows[4] });
    let result = corrections(&day, &[]);
    assert_eq!(lines(&result), []);
    let message = said(&result["problems"][0]);
    assert!(message.contains("nothing else tells which entry is on which of these lines"), "{message}");
    assert!(message.contains(": 2, 4, 6, 8, 10, 12; compare them by hand"), "{message}");
    let compared = &result["batches"][0];
    assert_eq!((&compared["corrections"], &compared["not_compared"]), (&Value::Null, &6.into()), "{result}");
    assert_eq!((&result["outcome"], &result["exit_code"]), (&"check_failed".into(), &34.into()));
}

#[test]
fn a_batch_with_a_line_of_an_unknown_entry_is_not_said_to_be_as_exported() {
    let day = Day::in_directory();
    let seeded = in_express(&day);
    day.db.delete_many(EXPORTED, doc! { "_id": seeded.entries[2] });
    let found = |code: i32| {
        let result = day.command("corrections").run().expect_code(code).json();
        let compared = result["batches"][0].clone();
        let text = day.command("corrections").args(&["--output", "text"]).run().expect_code(code).stdout;
        (compared["corrections"].clone(), compared["not_compared"].clone(), text)
    };
    let (corrections, not_compared, text) = found(34);
    assert_eq!((corrections, not_compared), (0.into(), 1.into()));
    assert!(text.contains("6 entries  0 entries to correct, 1 not compared\n"), "{text}");
    assert!(text.contains("restore those): 6\n    next: compare them by hand\n"), "{text}");
    change(&day, &seeded, 4, doc! { "amount": 7_i64 });
    let (corrections, not_compared, text) = found(34);
    assert_eq!((corrections, not_compared), (1.into(), 1.into()));
    assert!(text.contains("6 entries  1 entry to correct, 1 not compared\n"), "{text}");
}

#[test]
fn a_row_that_was_pointed_at_another_entry_is_no_line_of_that_entry() {
    let day = Day::in_directory();
    let seeded = in_express(&day);
    let new = Entry::numbered(DATE, 77);
    day.db.insert_many(ENTRIES, vec![new.document()]);
    let row = doc! { "_id": seeded.rows[3] };
    // As the marking of a large batch leaves it: the row was changed after the commit point, so it has no mark.
    day.db.update_one(QUEUE, row, doc! { "$set": { "entryId": new.id(), "status": "queued", "metadata": Bson::Null } });
    day.db.update_one(BATCHES, doc! { "_id": BATCH }, doc! { "$set": { "changedAfterCommit": [seeded.rows[3]] } });
    assert_eq!(told_by_verify(&day), []);
    change(&day, &seeded, 3, doc! { "amount": 7_i64 });
    change(&day, &seeded, 5, doc! { "amount": 8_i64 });
    let found = lines(&corrections(&day, &[]));
    assert_eq!(
        found.iter().map(|found| (found.0, &*found.4)).collect::<Vec<_>>(),
        [(8, "0.07"), (9, "0.07"), (12, "0.08"), (13, "0.08")]
    );
    let found = told_by_verify(&day);
    assert!(found.len() == 2 && found.iter().all(|problem| problem.0 == "edited"), "{found:?}");
    // The row of a batch that still carries its mark and names another entry is a finding of its own.
    let row = doc! { "_id": seeded.rows[1] };
    day.db.update_one(QUEUE, row, doc! { "$set": { "entryId": new.id() } });
    let found = told_by_verify(&day);
    let said = |kind: &str, says: &str| found.iter().any(|problem| problem.0 == kind && problem.1.contains(says));
    assert!(said("rows", &format!("and names entry {} now", new.id())), "{found:?}");
    assert!(!found.iter().any(|problem| ["unrecorded", "deleted"].contains(&&*problem.0)), "{found:?}");
}
