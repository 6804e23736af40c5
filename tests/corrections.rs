//! `batch-export corrections`: what the accountant has in the books and the entries no longer give, told cell by cell, never by guess.

mod shown;
mod telling;

use std::collections::BTreeSet;

use mongodb::bson::{Bson, Document, doc};
use serde_json::Value;

use crate::support::day::{BATCH, BATCHES, Day, EXPORTED, FILE, LOG};
use crate::support::seed::{DATE, ENTRIES, Entry, QUEUE, Seeded, instant, seed, seed_day};

/// Twelve exported entries; even ones are debits.
fn exported(day: &Day) -> Seeded {
    let seeded = seed_day(&day.db, DATE, 12);
    day.run().run().expect_code(0);
    seeded
}

fn change(day: &Day, seeded: &Seeded, position: usize, changes: Document) {
    day.db.update_one(ENTRIES, doc! { "_id": seeded.entries[position] }, doc! { "$set": changes });
}

/// The result, after a check that nothing was changed by it and that its code fits.
#[track_caller]
fn corrections(day: &Day, words: &[&str]) -> Value {
    let everything = || [QUEUE, ENTRIES, BATCHES, LOG].map(|name| day.db.find_all(name, doc! {}));
    let before = (everything(), day.live_files());
    let finished = day.command("corrections").args(words).run();
    assert!((everything(), day.live_files()) == before, "corrections changed something");
    assert!(finished.spool_is_empty());
    let result = finished.json();
    let nothing = list(&result, "corrections").is_empty() && list(&result, "problems").is_empty();
    assert_eq!(finished.code, if nothing { 0 } else { 34 }, "{}", finished.report());
    assert_eq!(result["exit_code"], finished.code);
    result
}

fn list<'a>(result: &'a Value, name: &str) -> &'a Vec<Value> {
    result[name].as_array().expect("a list")
}

/// The corrections as (line, kind, column, exported, present).
fn lines(result: &Value) -> Vec<(u64, String, String, String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    list(result, "corrections")
        .iter()
        .map(|found| {
            let of = |name: &str| text(&found[name]);
            (found["line"].as_u64().expect("a line"), of("kind"), of("column"), of("exported"), of("present"))
        })
        .collect()
}

fn line(line: u64, kind: &str, column: &str, exported: &str, present: &str) -> (u64, String, String, String, String) {
    (line, kind.into(), column.into(), exported.into(), present.into())
}

#[test]
fn nothing_is_to_be_corrected_where_the_lines_would_be_the_same() {
    let day = Day::on_drive();
    let seeded = exported(&day);
    let result = corrections(&day, &[]);
    assert_eq!((&result["command"], &result["outcome"]), (&"corrections".into(), &"nothing_to_correct".into()));
    assert_eq!((&result["batches"][0]["number"], &result["batches"][0]["entries"]), (&1.into(), &12.into()));
    change(&day, &seeded, 3, doc! { "category": "in no column", "updatedAt": mongodb::bson::DateTime::now() });
    assert_eq!(lines(&corrections(&day, &[])), []);
}

#[test]
fn each_changed_cell_is_told_with_its_line_and_both_values() {
    let day = Day::in_directory();
    let entry = |number| {
        Entry::numbered(DATE, number).amount(100_000 + i64::from(number)).kind("debit").set("description", "plain")
    };
    let seeded = seed(&day.db, &(0..6).map(entry).collect::<Vec<_>>());
    day.run().run().expect_code(0);
    change(&day, &seeded, 0, doc! { "amount": 5_i64 });
    change(&day, &seeded, 2, doc! { "type": "credit", "description": "ค่าเช่า" });
    change(&day, &seeded, 3, doc! { "status": "cancelled", "amount": 1_i64 });
    day.db.delete_many(ENTRIES, doc! { "_id": seeded.entries[4] });
    change(&day, &seeded, 5, doc! { "accountCode": "" });
    let result = corrections(&day, &["--date", DATE]);
    let file = String::from_utf8(day.live_files().remove(0).bytes).unwrap();
    let cell =
        |line: usize, column: usize| file.lines().nth(line - 1).unwrap().split(',').nth(column).unwrap().to_owned();
    let found = lines(&result);
    assert_eq!(found[0], line(2, "edited", "Debit", "1000.00", "0.05"));
    assert_eq!(found[1], line(4, "edited", "Debit", "1000.02", "0.00"));
    assert_eq!(found[2], line(4, "edited", "Credit", "0.00", "1000.02"));
    assert_eq!(found[3], line(4, "edited", "Description", &cell(4, 5), "ค่าเช่า"));
    let whole = |row: usize| file.lines().nth(row - 1).unwrap().replace(',', " | ");
    assert_eq!(found[4], line(5, "cancelled", "-", &whole(5), "-"));
    assert_eq!(found[5], line(6, "deleted", "-", &whole(6), "-"));
    assert_eq!(found[6], line(7, "edited", "Account", &cell(7, 2), "-"));
    assert_eq!(found.len(), 7, "{found:?}");
    let first = &result["corrections"][0];
    assert_eq!((&first["batch"], &first["number"], &first["file"]), (&BATCH.into(), &1.into(), &FILE.into()));
    assert_eq!(first["entry_id"], seeded.entries[0].to_hex());
    let reason = |at: usize| result["corrections"][at]["reason"].as_str().unwrap_or_default().to_owned();
    assert!(reason(4).contains("cancelled") && reason(6).contains("accountCode"), "{result}");
    assert_eq!(result["batches"][0]["corrections"], 5, "entries, not cells");
}

/// A layout with everything that counts places in the file, without a column that names the entry.
const PLACES: &str = r#"
name = "places"
rows_per_entry = 2
[[columns]]
header = "Line"
value = "line"
[[columns]]
header = "Position"
value = "position"
[[columns]]
header = "Voucher"
value = "voucher"
[[columns]]
header = "Number"
value = "batch-number"
[[columns]]
header = "Account"
value = "account"
[[columns]]
header = "Amount"
value = "signed-amount"
"#;

#[test]
fn what_counts_places_keeps_its_meaning_and_the_stored_layout_decides() {
    let day = Day::in_directory();
    let layout = day.directory().with_extension("toml");
    std::fs::write(&layout, PLACES).unwrap();
    let entry = |number| {
        let accounts = doc! { "crAccount": "2000", "drAccount": "3000" };
        Entry::numbered(DATE, number).set("metadata", accounts).amount(100 * i64::from(number + 1)).kind("debit")
    };
    let seeded = seed(&day.db, &(0..8).map(entry).collect::<Vec<_>>());
    day.run().env("BATCH_EXPORT_FORMAT", layout.to_str().unwrap()).run().expect_code(0);
    std::fs::remove_file(&layout).unwrap();
    // Another batch since: the present number is no longer that of the export.
    seed_day(&day.db, "2026-01-19", 2);
    day.command("run").date("2026-01-19").now("2026-01-19T18:00:05+07:00").run().expect_code(0);
    assert_eq!(lines(&corrections(&day, &[])), []);
    day.db.delete_many(ENTRIES, doc! { "_id": seeded.entries[0] });
    change(&day, &seeded, 2, doc! { "status": "rejected" });
    change(&day, &seeded, 5, doc! { "amount": 7_i64 });
    let found = lines(&corrections(&day, &["--date", DATE]));
    let told: Vec<_> = found.iter().map(|(line, kind, column, ..)| (*line, kind.as_str(), column.as_str())).collect();
    let expected = [(2, "deleted", "-"), (6, "cancelled", "-"), (12, "edited", "Amount"), (13, "edited", "Amount")];
    assert_eq!(told, expected, "{found:?}");
    assert_eq!((&*found[3].3, &*found[3].4), ("-6.00", "-0.07"));
    // A row that is gone: its line is the one that is left.
    day.db.delete_many(QUEUE, doc! { "_id": seeded.rows[4] });
    assert_eq!(lines(&corrections(&day, &["--date", DATE])), found);
    change(&day, &seeded, 4, doc! { "amount": 8_i64 });
    let found = lines(&corrections(&day, &["--date", DATE]));
    assert_eq!(found.iter().map(|found| found.0).collect::<Vec<_>>(), [2, 6, 10, 11, 12, 13], "{found:?}");
}

/// Six entries in the Express layout, which names no entries; amounts 100.00 to 105.00, all debits.
fn in_express(day: &Day) -> Seeded {
    let entry = |number| {
        let entry = Entry::numbered(DATE, number).amount(10_000 + 100 * i64::from(number)).kind("debit");
        entry.set("description", format!("number {number}"))
    };
    let seeded = seed(&day.db, &(0..6).map(entry).collect::<Vec<_>>());
    day.run().args(&["--format", "express", "--contra-account", "1101-00"]).run().expect_code(0);
    seeded
}

fn told_by_verify(day: &Day) -> Vec<(String, String)> {
    let result = day.command("verify").run().json();
    let of = |problem: &Value, name: &str| problem[name].as_str().expect("a text").to_owned();
    list(&result, "problems").iter().map(|problem| (of(problem, "kind"), of(problem, "message"))).collect()
}

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
            copy.insert("_id", mongodb::bson::oid::ObjectId::new());
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

fn point(day: &Day, row: mongodb::bson::oid::ObjectId, entry: mongodb::bson::oid::ObjectId) {
    day.db.update_one(QUEUE, doc! { "_id": row }, doc! { "$set": { "entryId": entry } });
}

/// The record of an entry that was exported again tells its place in the later file alone.
#[test]
fn an_entry_that_was_exported_again_still_has_its_line_in_the_first_file() {
    for (again, has_new_rows) in [(&[2][..], true), (&[2], false), (&[1, 4], true)] {
        let day = Day::in_directory();
        let seeded = in_express(&day);
        for at in again {
            let mut row = day.db.find_one(QUEUE, doc! { "_id": seeded.rows[*at] }).expect("a row");
            row.extend(doc! { "status": "queued", "metadata": Bson::Null });
            row.insert("scheduledFor", instant("2026-01-19", 36_000));
            if has_new_rows {
                row.insert("_id", mongodb::bson::oid::ObjectId::new());
            } else {
                day.db.delete_many(QUEUE, doc! { "_id": seeded.rows[*at] });
            }
            day.db.insert_many(QUEUE, vec![row]);
        }
        let run = day.command("run").date("2026-01-19").now("2026-01-19T18:00:05+07:00").arg("--allow-reexport");
        run.run().expect_code(0);
        assert_eq!(lines(&corrections(&day, &["--date", DATE])), [], "{again:?}");
        let found = day.command("verify").date(DATE).run().expect_code(if has_new_rows { 0 } else { 34 }).json();
        let kinds: Vec<&Value> = list(&found, "problems").iter().map(|problem| &problem["kind"]).collect();
        assert!(kinds.is_empty() || (!has_new_rows && kinds == ["removed_rows"]), "{found}");
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
    let message = result["problems"][0]["message"].as_str().unwrap();
    assert!(message.contains("nothing tells which ones these lines belong to"), "{message}");
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
    assert!(text.contains("records were removed from exportbatchentries: restore those): 6; compare"), "{text}");
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

#[test]
fn a_file_that_names_its_entries_needs_no_rows() {
    let day = Day::in_directory();
    let seeded = exported(&day);
    day.db.delete_many(QUEUE, doc! {});
    change(&day, &seeded, 7, doc! { "accountCode": "9999" });
    let found = lines(&corrections(&day, &[]));
    assert!(found.len() == 1 && found[0].0 == 9 && found[0].4 == "9999", "{found:?}");
}

#[test]
fn a_file_that_is_not_the_committed_one_is_compared_with_nothing() {
    let day = Day::in_directory();
    let seeded = exported(&day);
    change(&day, &seeded, 1, doc! { "amount": 1_i64 });
    let path = day.directory().join(FILE);
    let content = std::fs::read(&path).unwrap();
    let mut permissions = std::fs::metadata(&path).unwrap().permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut permissions, 0o644);
    std::fs::set_permissions(&path, permissions).unwrap();
    let problem = |day: &Day| {
        let result = corrections(day, &[]);
        assert_eq!(lines(&result), [], "{result}");
        (list(&result, "problems").len(), result["problems"][0]["kind"].as_str().unwrap().to_owned())
    };
    std::fs::write(&path, [&content[..], b" "].concat()).unwrap();
    assert_eq!(problem(&day), (1, "content".to_owned()));
    std::fs::remove_file(&path).unwrap();
    assert_eq!(problem(&day), (1, "missing_file".to_owned()));
    std::fs::write(&path, &content).unwrap();
    assert_eq!(lines(&corrections(&day, &[])).len(), 1);
    let broken = doc! { "$set": { "settings.layout": "name = \"other\"" } };
    day.db.update_one(BATCHES, doc! { "_id": BATCH }, broken);
    assert_eq!(problem(&day), (1, "settings".to_owned()));
    // As an earlier version left it: today's settings are tried, and what they do not fit is not compared.
    day.db.update_one(BATCHES, doc! { "_id": BATCH }, doc! { "$unset": { "settings": 1 } });
    assert_eq!(lines(&corrections(&day, &[])).len(), 1);
    let result = day.command("corrections").env("BATCH_EXPORT_FORMAT", "express").run().expect_code(34).json();
    assert_eq!(
        (&result["problems"][0]["kind"], &result["corrections"]),
        (&"settings".into(), &Value::from(Vec::<u8>::new()))
    );
}

#[test]
fn the_days_are_those_that_were_asked_for() {
    let day = Day::in_directory();
    let dates = ["2026-01-18", "2026-01-19", "2026-01-20", "2026-01-21"];
    for date in dates {
        seed_day(&day.db, date, if date == "2026-01-20" { 0 } else { 3 });
        day.command("run").date(date).now(&format!("{date}T18:00:05+07:00")).run().expect_code(0);
    }
    day.db.update_many(ENTRIES, doc! {}, doc! { "$set": { "accountCode": "1" } });
    let seen = |words: &[&str]| {
        let finished = day.command("corrections").args(words).now("2026-01-22T00:00:00Z").run().expect_code(34);
        let batches: BTreeSet<String> = list(&finished.json(), "corrections")
            .iter()
            .map(|found| found["batch"].as_str().unwrap().trim_start_matches("batch_2026-01-").to_owned())
            .collect();
        batches.into_iter().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(seen(&[]), "18 19 21");
    assert_eq!(seen(&["--last", "1"]), "21");
    // Nothing is known of what was not looked at, and that is said.
    for command in ["corrections", "verify"] {
        let looked =
            |words: &[&str]| day.command(command).args(words).now("2026-01-22T00:00:00Z").run().expect_code(34);
        assert_eq!(looked(&["--last", "2"]).json()["older_batches"], 2);
        assert_eq!(looked(&[]).json()["older_batches"], 0);
        assert_eq!(looked(&["--date", "2026-01-19"]).json()["older_batches"], Value::Null);
        let shown = looked(&["--last", "1", "--output", "text"]).stdout;
        assert!(shown.contains("\n3 older batches were not looked at; --last takes more of them\n"), "{shown}");
    }
    assert_eq!(seen(&["--from", "2026-01-19", "--to", "2026-01-20"]), "19");
    assert_eq!(seen(&["--from", "2026-01-01", "--to", "2026-01-22"]), "18 19 21");
    assert_eq!(seen(&["--date", "2026-01-18"]), "18");
    let result = day.command("corrections").date("2026-01-01").run().expect_code(34).json();
    assert_eq!(result["problems"][0]["kind"], "missing_batch");
    for wrong in [
        &["--from", "2026-01-19"][..],
        &["--from", "2026-01-20", "--to", "2026-01-19"],
        &["--date", DATE, "--last", "3"],
        &["--date", DATE, "--from", DATE, "--to", DATE],
    ] {
        day.command("corrections").args(wrong).run().expect_code(2);
    }
}

#[test]
fn the_text_is_a_table_of_the_first_hundred() {
    let day = Day::in_directory();
    let seeded = seed_day(&day.db, DATE, 130);
    day.run().run().expect_code(0);
    let text = |code| day.command("corrections").args(&["--output", "text"]).run().expect_code(code).stdout;
    assert_eq!(text(0), format!("{BATCH}  number 1  130 entries  as exported\nbatches compared: 1, corrections: 0\n"));
    change(&day, &seeded, 0, doc! { "accountCode": "1" });
    let one = text(34);
    assert!(one.contains("1 entry to correct\n  NUMBER  LINE  ENTRY") && one.contains("NOW / WHY"), "{one}");
    assert!(one.contains("corrections: 1 line or cell in 1 entry\nnext: "), "{one}");
    day.db.update_many(ENTRIES, doc! {}, doc! { "$set": { "accountCode": "2" } });
    let many = text(34);
    assert!(
        many.contains("130 entries to correct") && many.contains("... and 30 more; --output csv lists all"),
        "{many}"
    );
    assert_eq!(many.lines().filter(|line| line.contains("  edited  Account  ")).count(), 100, "{many}");
}

#[test]
fn the_text_says_why_a_line_cannot_be_written_once_for_each_entry_and_uncut() {
    let day = Day::in_directory();
    let seeded = exported(&day);
    change(&day, &seeded, 0, doc! { "description": "another one", "accountCode": "=HYPERLINK(1)" });
    let text = day.command("corrections").args(&["--output", "text"]).run().expect_code(34).stdout;
    let lines: Vec<&str> = text.lines().filter(|line| line.contains(&seeded.entries[0].to_hex())).collect();
    assert_eq!(lines.len(), 3, "{text}");
    assert!(lines[0].contains("  Account  ") && lines[0].ends_with("  -"), "{text}");
    assert!(lines[1].contains("  Description  ") && lines[1].ends_with("  another one"), "{text}");
    let reason = "accountCode is \"=HYPERLINK(1)\", which a spreadsheet takes for a formula";
    assert!(lines[2].ends_with(&format!("{}: {reason}", seeded.entries[0].to_hex())), "{text}");
}

#[test]
fn ten_thousand_changed_entries_are_listed_in_the_memory_of_a_run() {
    let day = Day::in_directory();
    seed_day(&day.db, DATE, 10_000);
    day.run().run().expect_code(0);
    let long = "x".repeat(500);
    day.db.update_many(ENTRIES, doc! {}, doc! { "$set": { "description": long, "accountCode": "1" } });
    let finished = day.command("corrections").run().expect_code(34);
    assert_eq!(list(&finished.json(), "corrections").len(), 20_000);
    assert!(finished.peak_memory_kib < 40 * 1024, "peak memory {} KiB", finished.peak_memory_kib);
    // `verify` says that there are so many, and leaves the list to `corrections`.
    let verified = day.command("verify").run().expect_code(34);
    let result = verified.json();
    let problems = list(&result, "problems");
    assert_eq!((&result["problem_count"], &result["checked"][0]["problems"]), (&10_000.into(), &10_000.into()));
    let text = day.command("verify").args(&["--output", "text"]).run().expect_code(34).stdout;
    assert!(text.contains("... and 9900 more; `batch-export corrections` lists") && text.contains("problems: 10000\n"));
    let last = problems[1_000]["message"].as_str().unwrap();
    assert_eq!((problems.len(), last), (1_001, "and 9000 more of this kind; `batch-export corrections` lists all"));
    assert!(verified.peak_memory_kib < 40 * 1024, "peak memory {} KiB", verified.peak_memory_kib);
}

#[test]
fn an_edit_to_the_same_line_by_other_means_is_none() {
    let day = Day::in_directory();
    let seeded = exported(&day);
    let amount = day.db.find_one(ENTRIES, doc! { "_id": seeded.entries[0] }).unwrap();
    let satang = match amount.get("amount") {
        Some(Bson::Int32(n)) => f64::from(*n),
        other => panic!("{other:?}"),
    };
    change(&day, &seeded, 0, doc! { "amount": satang });
    assert_eq!(lines(&corrections(&day, &[])), []);
}
