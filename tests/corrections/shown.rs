//! What a person sees of `corrections`: the CSV that the accountant imports, and the lines of the text.

use mongodb::bson::doc;

use super::{change, corrections, exported};
use crate::support::command::Finished;
use crate::support::day::{Day, FILE};
use crate::support::seed::{DATE, ENTRIES, Entry, seed, seed_day};

fn as_csv(day: &Day) -> Finished {
    day.command("corrections").args(&["--output", "csv"]).run()
}

#[test]
fn the_csv_can_be_imported_into_a_spreadsheet_as_it_is() {
    let day = Day::in_directory();
    let header = "\u{feff}Business date,Batch number,File,Line,Entry,What happened,Column,Exported value,Present value,Reason,Next step\r\n";
    let seeded = exported(&day);
    assert_eq!(as_csv(&day).expect_code(0).stdout, header);
    change(&day, &seeded, 0, doc! { "description": "=HYPERLINK(\"x\"), \"ค่า\"" });
    change(&day, &seeded, 1, doc! { "accountCode": "-1" });
    day.db.delete_many(ENTRIES, doc! { "_id": seeded.entries[2] });
    let csv = as_csv(&day).expect_code(34).stdout;
    let lines: Vec<&str> = csv.split_terminator("\r\n").collect();
    assert_eq!(lines.len(), 4, "{csv}");
    let id = seeded.entries[0].to_hex();
    assert!(lines[1].starts_with(&format!("{DATE},1,{FILE},2,{id},edited,Description,")), "{csv}");
    assert!(lines[1].ends_with(",\"'=HYPERLINK(\"\"x\"\"), \"\"ค่า\"\"\",,"), "{csv}");
    assert!(lines[2].ends_with(",-1,,"), "a figure is no formula: {csv}");
    assert!(lines[3].contains(",4,") && lines[3].contains("deleted,,"), "{csv}");
    assert_eq!(csv.matches('\n').count(), 4);
    for other in ["verify", "status", "run", "retry"] {
        let finished = day.command(other).args(&["--output", "csv"]).run().expect_code(2);
        assert!(finished.stdout.contains("corrections"), "{}", finished.report());
    }
}

#[test]
fn a_batch_that_was_not_compared_has_a_line_in_the_csv_and_is_not_counted_as_compared() {
    let day = Day::in_directory();
    let seeded = exported(&day);
    seed_day(&day.db, "2026-01-19", 1);
    day.command("run").date("2026-01-19").now("2026-01-19T18:00:05+07:00").run().expect_code(0);
    change(&day, &seeded, 0, doc! { "amount": 5_i64 });
    std::fs::remove_file(day.directory().join("batch_2026-01-19.csv")).unwrap();
    let csv = as_csv(&day).expect_code(34).stdout;
    let lines: Vec<&str> = csv.split_terminator("\r\n").collect();
    assert_eq!(lines.len(), 3, "{csv}");
    assert!(lines[1].starts_with("2026-01-19,2,,,,not_compared,,,,"), "{csv}");
    assert!(lines[1].contains("batch_2026-01-19.csv is not at the destination"), "{csv}");
    assert!(lines[2].contains(",edited,"), "{csv}");
    let text = day.command("corrections").args(&["--output", "text"]).run().expect_code(34).stdout;
    assert!(text.contains("batch_2026-01-19  number 2  1 entry  not compared\n"), "{text}");
    assert!(text.contains("batches compared: 1, not compared: 1, corrections: 1 line or cell in 1 entry\n"), "{text}");
    let absent = day.command("corrections").date("2026-01-02").args(&["--output", "csv"]).run().expect_code(34).stdout;
    assert!(absent.contains("2026-01-02,,,,,not_compared,,,,"), "{absent}");
    assert!(absent.contains("no batch is recorded for this date"), "{absent}");
}

#[test]
fn a_cancelled_line_is_shown_so_that_a_person_knows_it() {
    let day = Day::in_directory();
    let entry = |number| Entry::numbered(DATE, number).amount(123_400).kind("credit").set("accountCode", "001215");
    let seeded = seed(&day.db, &[0, 1].map(|number| entry(number).set("description", "ค่าเช่าสำนักงาน")));
    day.run().run().expect_code(0);
    change(&day, &seeded, 1, doc! { "status": "cancelled" });
    let text = day.command("corrections").args(&["--output", "text"]).run().expect_code(34).stdout;
    assert!(text.contains("2026-01-18 | 001215 | 1234.00 | ค่าเช่าสำนักงาน"), "{text}");
    let result = corrections(&day, &[]);
    let whole = result["corrections"][0]["exported"].as_str().unwrap();
    assert!(whole.contains(&seeded.entries[1].to_hex()) && whole.contains(" | 0.00 | "), "JSON has all of it: {whole}");
}

/// Nothing is compared, and whoever reads "0 corrections" takes it for right.
#[test]
fn a_day_whose_document_was_edited_to_one_without_a_file_is_not_compared() {
    for edit in [doc! { "file": null }, doc! { "state": "empty" }] {
        let day = Day::in_directory();
        exported(&day);
        day.db.update_one("exportbatches", doc! { "_id": "batch_2026-01-18" }, doc! { "$set": edit });
        let text = day.command("corrections").args(&["--output", "text"]).run().expect_code(34).stdout;
        assert!(text.contains("batches compared: 0") && text.contains("not compared\n"), "{text}");
    }
}

#[test]
fn an_empty_day_warns_of_no_settings() {
    let day = Day::with_empty_queue();
    day.run().run().expect_code(0);
    let finished = as_csv(&day).expect_code(0);
    assert!(!finished.stderr.contains("no settings are stored with it"), "{}", finished.report());
}
