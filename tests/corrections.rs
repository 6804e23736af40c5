//! `batch-export corrections`: what the accountant has in the books and the entries no longer give, told cell by cell, never by guess.

mod places;
mod shown;
mod telling;

use std::collections::BTreeSet;

use mongodb::bson::{Bson, Document, doc};
use serde_json::Value;

use crate::support::command::{said, told};
use crate::support::day::{BATCH, BATCHES, Day, FILE, LOG};
use crate::support::seed::{DATE, ENTRIES, Entry, QUEUE, Seeded, seed, seed_day};

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
    let listed = day.command("corrections").args(&["--output", "csv"]).run().expect_code(34);
    assert!(listed.stderr.contains("today's were taken"), "{}", listed.stderr);
    let result = day.command("corrections").env("BATCH_EXPORT_FORMAT", "express").run().expect_code(34).json();
    assert_eq!(
        (&result["problems"][0]["kind"], &result["corrections"]),
        (&"settings".into(), &Value::from(Vec::<u8>::new()))
    );
}

#[test]
fn a_mistyped_collection_of_entries_is_no_list_of_deleted_ones() {
    let day = Day::in_directory();
    let seeded = exported(&day);
    day.db.insert_many("journalentries_old", vec![doc! { "status": "approved" }]);
    for (collection, command) in
        [("journalentires", "corrections"), ("journalentries_old", "corrections"), ("journalentries_old", "verify")]
    {
        let command = day.command(command).env("BATCH_EXPORT_ENTRIES_COLLECTION", collection);
        let refused = told(&command.run().expect_code(30).json()["error"]);
        assert!(refused.contains(&format!("that were exported last in {collection}")), "{refused}");
        assert!(refused.contains("--entries-collection"), "{refused}");
    }
    // All but one of them are gone.
    let (_, others) = seeded.entries.split_first().unwrap();
    day.db.delete_many(ENTRIES, doc! { "_id": { "$in": others } });
    let result = corrections(&day, &[]);
    assert_eq!(list(&result, "corrections").len(), others.len(), "{result}");
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
    // What the program itself takes differs with its build and with what else the machine does.
    let most = day.run().run().expect_code(0).peak_memory_kib + 6 * 1024;
    let long = "x".repeat(500);
    day.db.update_many(ENTRIES, doc! {}, doc! { "$set": { "description": long, "accountCode": "1" } });
    let finished = day.command("corrections").run().expect_code(34);
    assert_eq!(list(&finished.json(), "corrections").len(), 20_000);
    assert!(finished.peak_memory_kib < most, "peak memory {} KiB, {most} at most", finished.peak_memory_kib);
    // `verify` says that there are so many, and leaves the list to `corrections`.
    let verify = || day.command("verify").run().expect_code(34);
    let verified = verify();
    let result = verified.json();
    let problems = list(&result, "problems");
    assert_eq!((&result["problem_count"], &result["checked"][0]["problems"]), (&10_000.into(), &10_000.into()));
    let text = day.command("verify").args(&["--output", "text"]).run().expect_code(34).stdout;
    assert!(text.contains("... and 9900 more; `batch-export corrections` lists") && text.contains("problems: 10000\n"));
    let last = said(&problems[1_000]);
    assert_eq!((problems.len(), &*last), (1_001, "and 9000 more of this kind; `batch-export corrections` lists all"));
    // On a busy machine the C library rarely keeps some megabytes that were given back: it does so in one of two runs at most.
    let peak = verified.peak_memory_kib.min(verify().peak_memory_kib);
    assert!(peak < most, "peak memory {peak} KiB, {most} at most");
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
