//! `verify --file`: a copy of the file, such as the accountant has, against the official one.

mod another_day;
mod columns;
mod decimal_commas;

use std::path::PathBuf;

use mongodb::bson::{DateTime, doc};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{everything, text};
use crate::support::command::{Finished, said, told};
use crate::support::day::{BATCH, BATCHES, Day, FILE};
use crate::support::seed::{DATE, ENTRIES, Entry, seed, seed_day};

/// A day with an exported file, and a folder for copies of it.
struct Desk {
    day: Day,
    folder: tempfile::TempDir,
    official: Vec<u8>,
}

impl Desk {
    /// The file of these entries in a layout.
    fn with(entries: &[Entry], arguments: &[&str]) -> Desk {
        let day = Day::in_directory();
        seed(&day.db, entries);
        day.run().args(arguments).run().expect_code(0);
        let official = std::fs::read(day.directory().join(FILE)).expect("the official file");
        Desk { day, folder: tempfile::tempdir().expect("a folder"), official }
    }

    fn journal() -> Desk {
        let entries = (0..5).map(|number| {
            let description = ["ค่าเช่า สำนักงาน", "with, comma", "two\nlines", "rent", "paper"][number as usize];
            Entry::numbered(DATE, number).set("description", description).set("accountCode", format!("00510{number}"))
        });
        Desk::with(&entries.collect::<Vec<_>>(), &[])
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn verify_at(&self, path: &str) -> Finished {
        self.day.command("verify").args(&["--date", DATE, "--file", path]).run()
    }

    /// What is said of a copy with these bytes; nothing is changed by that.
    fn verify(&self, bytes: impl AsRef<[u8]>) -> Finished {
        std::fs::write(self.path("copy.csv"), bytes).expect("a copy");
        let before = (everything(&self.day), self.day.live_files());
        let finished = self.verify_at(&self.path("copy.csv").display().to_string());
        assert_eq!((everything(&self.day), self.day.live_files()), before, "verify changed something");
        assert!(finished.spool_is_empty());
        finished
    }

    /// The official file as text, changed.
    fn changed(&self, change: impl Fn(&str) -> String) -> String {
        change(str::from_utf8(&self.official).expect("UTF-8"))
    }
}

/// The verdict, and the kinds of problems.
fn verdict(finished: &Finished) -> (String, Vec<String>) {
    let result = finished.json();
    let kinds = result["problems"].as_array().expect("a list").iter().map(|problem| text(&problem["kind"])).collect();
    (text(&result["file"]["verdict"]), kinds)
}

/// The differences as (line, column, change, official, copy).
fn differences(finished: &Finished) -> Vec<(u64, String, String, String, String)> {
    let result = finished.json();
    let shown = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let list = result["file"]["differences"].as_array().expect("a list").iter();
    list.map(|one| {
        let line = one["line"].as_u64().or(one["copy_line"].as_u64()).expect("a line");
        (line, shown(&one["column"]), shown(&one["change"]), shown(&one["official"]), shown(&one["copy"]))
    })
    .collect()
}

#[test]
fn the_same_bytes_are_the_official_file_whatever_their_name() {
    let desk = Desk::journal();
    let finished = desk.verify(&desk.official).expect_code(0);
    assert_eq!(verdict(&finished), ("same".to_owned(), Vec::new()));
    assert_eq!(finished.json()["file"]["sha256"], hex::encode(Sha256::digest(&desk.official)));
    std::os::unix::fs::symlink(desk.path("copy.csv"), desk.path("link")).expect("a link");
    desk.verify_at(&desk.path("link").display().to_string()).expect_code(0);
}

#[test]
fn a_changed_removed_or_added_line_is_told_by_its_line_and_column() {
    let desk = Desk::journal();
    let finished =
        desk.verify(desk.changed(|text| text.replace("rent", "Rent").replace("paper", "pens"))).expect_code(34);
    assert_eq!(verdict(&finished), ("different".to_owned(), vec!["different_copy".to_owned()]));
    let said = |line, column: &str, change: &str, official: &str, copy: &str| {
        (line, column.to_owned(), change.to_owned(), official.to_owned(), copy.to_owned())
    };
    let expected = [said(5, "Description", "text", "rent", "Rent"), said(6, "Description", "text", "paper", "pens")];
    assert_eq!(differences(&finished), expected);

    let without = desk.changed(|text| text.split_inclusive("\r\n").filter(|line| !line.contains("comma")).collect());
    let finished = desk.verify(without).expect_code(34);
    let found = differences(&finished);
    assert!(found.len() == 1 && found[0].0 == 3 && found[0].2 == "missing_line", "{found:?}");

    let finished = desk.verify(desk.changed(|text| text.to_owned() + "1,2,3,4,5,6\r\n")).expect_code(34);
    assert_eq!(differences(&finished), [said(7, "-", "added_line", "-", "1 | 2 | 3 | 4 | 5 | 6")]);

    let plain = desk.verify_at(&desk.path("copy.csv").display().to_string());
    assert!(plain.json()["problems"][0]["message"].as_str().is_some_and(|said| said == "1 line was added"));
    let shown = desk.day.command("verify").args(&["--date", DATE, "--output", "text", "--file"]);
    let shown = shown.arg(&desk.path("copy.csv").display().to_string()).run().expect_code(34).stdout;
    assert!(shown.contains("line 7 of the copy: official nothing, copy \"1 | 2"), "{shown}");
}

/// What was only written otherwise is summed up by column, and what was lost by it stands out.
#[test]
fn dates_in_words_and_rounded_amounts_are_told_as_the_work_of_a_spreadsheet() {
    let entries = (0..60).map(|number| Entry::numbered(DATE, number).amount(123_456_789).kind("debit"));
    let desk = Desk::with(&entries.collect::<Vec<_>>(), &[]);
    for date in ["18 January 2026", "18 ม.ค. 69", "อา. 18 ม.ค. 69", "๑๘/๐๑/๒๕๖๙", "2026-01-18T00:00:00"]
    {
        let finished = desk.verify(desk.changed(|text| text.replace("2026-01-18", date))).expect_code(34);
        assert_eq!(verdict(&finished), ("rewritten".to_owned(), vec!["rewritten_copy".to_owned()]));
        let message = said(&finished.json()["problems"][0]);
        assert!(message.contains("60 amounts or dates are only written otherwise (Date)"), "{message}");
        assert!(message.contains("a spreadsheet has saved it again"), "{message}");
    }
    let rounded = desk.changed(|text| text.replace("2026-01-18", "18 January 2026").replace("1234567.89", "1.23E+06"));
    let finished = desk.verify(rounded).expect_code(34);
    assert_eq!(verdict(&finished).0, "different");
    let message = said(&finished.json()["problems"][0]);
    let counted = "60 numbers lost digits (Debit), 60 amounts or dates are only written otherwise (Date)";
    assert!(message.contains(counted) && message.contains("a spreadsheet has saved it again"), "{message}");
    let amounts = desk.changed(|text| text.replace("0.00", "-").replace("2026-01-18", "18/1/2026"));
    let message = said(&desk.verify(amounts).expect_code(34).json()["problems"][0]);
    assert!(message.contains("(Credit 60, Date 60)"), "{message}");
}

#[test]
fn a_thousandth_of_an_amount_is_not_the_same_where_the_copy_has_decimal_points() {
    let entry = |number| Entry::numbered(DATE, number).amount([123_400, 50, 725][number as usize]).kind("debit");
    let desk = Desk::with(&[0, 1, 2].map(entry), &[]);
    let found = |copy: &str| {
        let finished = desk.verify(desk.changed(|text| text.replace("1234.00", copy))).expect_code(34);
        let result = finished.json();
        (verdict(&finished).0, result["file"]["differences"][0]["same_value"] == true)
    };
    // The line comes before those that show the mark.
    assert_eq!(found("1.234"), ("different".to_owned(), false));
    for same in ["\"1,234\"", "\"THB 1,234.00\"", "๑๒๓๔.๐๐ บาท"] {
        assert_eq!(found(same), ("rewritten".to_owned(), true), "{same}");
    }
}

#[test]
fn a_file_that_a_spreadsheet_saved_is_told_with_the_values_that_it_changed() {
    let desk = Desk::journal();
    // As Excel saves it where the list separator is a semicolon: a mark, LF, codes as numbers, dates and amounts as the region has them.
    let saved = desk.changed(|text| {
        let lines = text.replace("two\r\nlines", "two\nlines").replace("\"with, comma\"", "with, comma");
        let lines = lines
            .replace(",00510", ";510")
            .replace("\r\n", "\n")
            .replace(".00,", ";")
            .replace("2026-01-18", "18/01/2569");
        format!("\u{feff}{lines}")
    });
    let saved = saved.lines().map(semicolons).fold(String::new(), |text, line| text + &line + "\n");
    let finished = desk.verify(saved).expect_code(34);
    let result = finished.json();
    assert_eq!(verdict(&finished), ("different".to_owned(), vec!["different_copy".to_owned()]), "{result:#}");
    let written = result["file"]["rewritten"].to_string();
    for says in ["utf-8-bom, not utf-8", "separated by ;, not ,", "lines end in LF, not CRLF"] {
        assert!(written.contains(says), "{says}: {written}");
    }
    let found = differences(&finished);
    let zeros = found.iter().filter(|one| one.2 == "leading_zeros").count();
    assert_eq!(zeros, 5, "{found:#?}");
    assert!(found.iter().all(|one| ["leading_zeros", "date", "amount"].contains(&&*one.2)), "{found:#?}");
    assert_eq!(result["file"]["changed"], 5, "dates and amounts mean the same");
    let message = said(&result["problems"][0]);
    assert!(
        message.contains("5 codes lost leading zeros") && message.contains("a spreadsheet has saved it again"),
        "{message}"
    );
}

/// A line of the journal with semicolons where the columns end: the description is the last column, and keeps its commas.
fn semicolons(line: &str) -> String {
    let ends = line.match_indices([',', ';']).take(5).map(|(at, _)| at).collect::<Vec<_>>();
    line.char_indices().map(|(at, character)| if ends.contains(&at) { ';' } else { character }).collect()
}

#[test]
fn a_file_that_was_only_saved_anew_has_every_value() {
    let desk = Desk::journal();
    for (name, saved, says) in [
        ("mark", desk.changed(|text| format!("\u{feff}{text}")), "utf-8-bom, not utf-8"),
        ("quotes", desk.changed(|text| text.replace("rent", "\"rent\"")), "its quotes"),
        ("blank", desk.changed(|text| format!("{text}\r\n,,,,,\r\n")), "empty lines"),
        (
            "tabs",
            desk.changed(|text| text.replace("\"with, comma\"", "with^ comma").replace(',', "\t").replace('^', ",")),
            "TAB",
        ),
    ] {
        let finished = desk.verify(saved).expect_code(34);
        assert_eq!(verdict(&finished), ("rewritten".to_owned(), vec!["rewritten_copy".to_owned()]), "{name}");
        assert!(finished.json()["file"]["rewritten"].to_string().contains(says), "{name}: {}", finished.stdout);
        assert!(differences(&finished).is_empty(), "{name}");
    }
    let utf16: Vec<u8> =
        desk.changed(|text| format!("\u{feff}{text}")).encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert_eq!(verdict(&desk.verify(utf16)).0, "rewritten");
}

#[test]
fn a_thai_file_is_compared_by_its_text_in_either_encoding() {
    let entries = [Entry::numbered(DATE, 0).set("description", "ค่าเช่า สำนักงาน")];
    let desk = Desk::with(&entries, &["--format", "express", "--contra-account", "1101-00"]);
    let (thai, _, _) = encoding_rs::WINDOWS_874.decode(&desk.official);
    let finished = desk.verify(thai.as_bytes()).expect_code(34);
    assert_eq!(verdict(&finished).0, "rewritten", "{}", finished.stdout);
    let other = thai.replace("ค่าเช่า", "ค่าไฟ");
    let (other, _, _) = encoding_rs::WINDOWS_874.encode(&other);
    let finished = desk.verify(&other).expect_code(34);
    let found = differences(&finished);
    assert!(found.iter().all(|one| one.1 == "Description" && one.4.contains("ค่าไฟ")) && !found.is_empty(), "{found:?}");
}

#[test]
fn text_shows_thai_as_it_is_written_and_long_cells_where_they_differ() {
    let long = "ค่าเช่าสำนักงาน ".repeat(9);
    let entries = [0, 1].map(|n| Entry::numbered(DATE, n).set("description", [&*long, "ค่าน้ำ"][n as usize]));
    let desk = Desk::with(&entries, &[]);
    let path = desk.path("สำเนา.csv");
    let copy = desk.changed(|text| text.replace(&*long, &format!("{long}ม.ค.")).replace("ค่าน้ำ", "ค่าไฟ"));
    let shown = |copy: &[u8]| {
        std::fs::write(&path, copy).expect("a copy");
        let verify = desk.day.command("verify").args(&["--date", DATE, "--output", "text", "--file"]);
        verify.arg(&path.display().to_string()).run().expect_code(34).stdout
    };
    let text = shown(copy.as_bytes());
    assert!(text.contains("Description: official \"ค่าน้ำ\", copy \"ค่าไฟ\""), "{text}");
    assert!(text.contains("official ...\"ช่าสำนักงาน \", copy ...\"ช่าสำนักงาน ม.ค.\"\n"), "{text}");
    let program = std::fs::read("/bin/ls").expect("a program");
    let text = shown(&program);
    assert!(text.len() < 20_000 && text.lines().all(|line| line.chars().count() < 400), "{}", text.len());
    let missing = desk.verify_at("/tmp/ไม่มีที่นี่.csv").expect_code(30).json();
    assert!(told(&missing["error"]).contains("--file \"/tmp/ไม่มีที่นี่.csv\" cannot be read"), "{missing}");

    let set = doc! { "$set": { "description": "ค่าที่ดิน" } };
    desk.day.db.update_one(ENTRIES, doc! { "_id": entries[1].id() }, set);
    let found = desk.day.command("verify").run().expect_code(34).json();
    let message = said(&found["problems"][0]);
    assert!(message.contains("was \"ค่าน้ำ\" and is \"ค่าที่ดิน\""), "{message}");
}

#[test]
fn a_voided_file_is_told_by_its_id_its_day_and_its_reason() {
    let desk = Desk::journal();
    let given_up = desk.changed(|text| text.replace("rent", "old rent"));
    let sha256 = hex::encode(Sha256::digest(&given_up));
    let at = DateTime::parse_rfc3339_str("2026-01-18T17:30:00Z").expect("an instant");
    let voided =
        doc! { "id": "idX", "sha256": sha256, "reason": "entries changed under it", "at": at, "trashed": true };
    desk.day.db.update_one(BATCHES, doc! { "_id": BATCH }, doc! { "$push": { "voided": voided } });
    let finished = desk.verify(given_up).expect_code(34);
    assert_eq!(verdict(&finished), ("voided".to_owned(), vec!["voided_copy".to_owned()]));
    let message = said(&finished.json()["problems"][0]);
    let expected =
        "this is file idX of the same batch, which was voided on 2026-01-19 because entries changed under it";
    assert!(message.contains(expected), "{message}");
    assert_eq!(finished.json()["file"]["voided"]["id"], "idX");
}

#[test]
fn what_is_no_regular_file_is_refused_at_once() {
    let desk = Desk::journal();
    mknodat(CWD, desk.path("fifo"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("a FIFO");
    for name in ["fifo", ".", "nothing"] {
        let finished = desk.verify_at(&desk.path(name).display().to_string()).expect_code(30);
        assert!(told(&finished.json()["error"]).contains("--file"), "{}", finished.stdout);
    }
    let secret = "{\"private_key\": \"MIIEvQ\"}";
    let finished = desk.verify_at(secret).expect_code(30);
    assert!(
        !finished.report().split_once("\ncode").is_some_and(|(_, said)| said.contains("MIIEvQ")),
        "{}",
        finished.stdout
    );
}

#[test]
fn without_an_official_file_nothing_is_compared() {
    let day = Day::with_empty_queue();
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("copy.csv").display().to_string();
    std::fs::write(&path, "a,b\r\n").expect("a copy");
    let verify = || day.command("verify").args(&["--date", DATE, "--file", &path]).run().expect_code(34);
    assert_eq!(verdict(&verify()), ("unknown".to_owned(), vec!["missing_batch".to_owned()]));
    day.run().run().expect_code(0);
    assert_eq!(verdict(&verify()), ("unknown".to_owned(), vec!["missing_file".to_owned()]), "the day is empty");
}

#[test]
fn a_swapped_day_and_month_is_another_date() {
    let entry = Entry::numbered(DATE, 0).set("date", DateTime::parse_rfc3339_str("2026-02-03T03:00:00Z").unwrap());
    let desk = Desk::with(&[entry], &["--format", "express", "--contra-account", "1101-00"]);
    let official = String::from_utf8_lossy(&desk.official).into_owned();
    assert!(official.contains("03/02/2026"), "{official}");
    let saved = |date: &str| {
        let text = desk.official.split(|byte| *byte == b'\n').map(|line| {
            let at = line.windows(10).position(|cell| cell == b"03/02/2026");
            at.map_or(line.to_vec(), |at| [&line[..at], date.as_bytes(), &line[at + 10..]].concat())
        });
        verdict(&desk.verify(text.collect::<Vec<_>>().join(&b'\n')).expect_code(34)).0
    };
    for same in ["2026-02-03", "3/2/2026", "03-Feb-26"] {
        assert_eq!(saved(same), "rewritten", "{same}");
    }
    for other in ["2026-03-02", "02-Mar-26", "02/03/2026"] {
        assert_eq!(saved(other), "different", "{other}");
    }
}

/// What `verify` says of a copy without being told its date.
fn of_any_day(desk: &Desk, name: &str, bytes: &[u8], words: &[&str]) -> Value {
    std::fs::write(desk.path(name), bytes).expect("a copy");
    let path = desk.path(name).display().to_string();
    desk.day.command("verify").args(words).args(&["--file", &path]).run().json()
}

#[test]
fn without_a_date_the_file_tells_its_batch_by_its_checksum_its_entries_or_its_name() {
    for format in ["journal", "express"] {
        let settings = ["--format", format, "--contra-account", "1101-00"];
        let desk = Desk::with(&(0..3).map(|number| Entry::numbered(DATE, number)).collect::<Vec<_>>(), &settings);
        for date in ["2026-01-19", "2026-01-20"] {
            seed_day(&desk.day.db, date, 2);
            let run = desk.day.command("run").args(&settings).date(date).now(&format!("{date}T18:00:05+07:00"));
            run.run().expect_code(0);
        }
        let edited = [&desk.official[..], b"one more"].concat();
        let last = ["--last", "1"];
        let same = of_any_day(&desk, "import.csv", &desk.official, &last);
        assert_eq!((&same["file"]["verdict"], &same["checked"][0]["batch"]), (&"same".into(), &BATCH.into()), "{same}");
        for name in ["batch_2026-01-18 (1).csv", "เงินเดือน 20260118.csv", FILE] {
            let found = of_any_day(&desk, name, &edited, &last);
            assert_eq!((&found["file"]["differing"], &found["checked"][0]["batch"]), (&1.into(), &BATCH.into()));
        }
        let found = of_any_day(&desk, "import.csv", &edited, &[]);
        if format == "journal" {
            assert_eq!((&found["file"]["differing"], &found["checked"][0]["batch"]), (&1.into(), &BATCH.into()));
        } else {
            assert_eq!((&found["file"]["verdict"], &found["exit_code"]), (&"unknown".into(), &34.into()));
            assert!(said(&found["problems"][0]).contains("give --date"), "{found}");
        }
    }
}

/// The lines of a file, its header apart.
fn lines_of(bytes: &[u8]) -> (Vec<u8>, Vec<Vec<u8>>) {
    let mut lines = bytes.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec);
    (lines.next().expect("a header"), lines.collect())
}

#[test]
fn many_missing_lines_and_a_sorted_copy_are_no_other_differences() {
    let entries =
        |number: u32| Entry::numbered(DATE, number).set("description", format!("number {}", number * 37 % 200));
    let entries: Vec<Entry> = (0..200).map(entries).collect();
    for format in ["journal", "express"] {
        let desk = Desk::with(&entries, &["--format", format, "--contra-account", "1101-00"]);
        let (header, lines) = lines_of(&desk.official);
        let joined = |lines: &[Vec<u8>]| [header.clone(), lines.concat()].concat();
        let without = [&lines[..20], &lines[120..]].concat();
        let found = differences(&desk.verify(joined(&without)).expect_code(34));
        assert!(found.len() == 100 && found.iter().all(|one| one.2 == "missing_line"), "{format}: {}", found.len());
        assert_eq!((found[0].0, found[99].0), (22, 121));

        let mut sorted = lines.clone();
        sorted.sort_by_key(|line| line.iter().rev().copied().collect::<Vec<_>>());
        assert!(sorted != lines);
        let finished = desk.verify(joined(&sorted)).expect_code(34);
        assert_eq!((verdict(&finished).0, differences(&finished)), ("rewritten".to_owned(), Vec::new()), "{format}");
        assert!(finished.json()["file"]["rewritten"].to_string().contains("in another order"), "{}", finished.stdout);

        // Sorted, one line removed, one changed.
        sorted.remove(7);
        let changed = String::from_utf8_lossy(&sorted[50]).replace("number ", "NUMBER ");
        sorted[50] = changed.into_bytes();
        let found = differences(&desk.verify(joined(&sorted)).expect_code(34));
        let kinds: Vec<_> = found.iter().map(|one| (&*one.1, &*one.2)).collect();
        assert!(
            kinds.contains(&("-", "missing_line")) && kinds.contains(&("Description", "text")),
            "{format}: {found:?}"
        );
        assert!(found.len() <= 4, "{format}: {found:?}");
    }
}

#[test]
fn what_is_no_csv_file_is_said_and_not_read_into_memory() {
    let desk = Desk::journal();
    let says = |bytes: &[u8]| {
        let finished = desk.verify(bytes).expect_code(30);
        (told(&finished.json()["error"]), finished.peak_memory_kib)
    };
    assert!(says(b"PK\x03\x04\x14\0\x06\0").0.contains("it is a workbook, and no CSV file\ngive --file the CSV file that was imported; of a workbook, its sheet saved as CSV"));
    let unclosed = [&desk.official[..], b"\"", &b"a,b\r\n".repeat(16 << 20)].concat();
    let (message, memory) = says(&unclosed);
    assert!(message.contains("is a quotation mark not closed?"), "{message}");
    assert!(memory < 40 * 1024, "peak memory {memory} KiB");
}

/// A spreadsheet writes each date and each amount in its own way: thousands of cells that mean the same, around the few that do not.
#[test]
fn what_was_changed_is_named_however_much_is_only_written_otherwise() {
    let day = Day::in_directory();
    seed_day(&day.db, DATE, 1_200);
    day.run().run().expect_code(0);
    let official = String::from_utf8(day.live_files().remove(0).bytes).expect("UTF-8");
    let mut lines: Vec<String> = official.lines().map(|line| line.replace("2026-01-18", "18/01/2026")).collect();
    let account = lines[1_100].split(',').nth(2).expect("an account").to_owned();
    lines[1_100] = lines[1_100].replacen(&account, "9999-99", 1);
    lines.remove(1_150);
    let folder = tempfile::tempdir().expect("a folder");
    let copy = folder.path().join("copy.csv");
    std::fs::write(&copy, lines.join("\r\n") + "\r\n").expect("a copy");
    let verify = || day.command("verify").args(&["--file", copy.to_str().expect("a path")]);
    let result = verify().run().expect_code(34).json();
    let message = said(&result["problems"][0]);
    assert!(
        message.contains("1 line is missing") && message.contains("1199 amounts or dates are only written otherwise"),
        "{message}"
    );
    let differences = result["file"]["differences"].as_array().expect("a list");
    assert_eq!(differences.len(), 125 + 2, "no kind takes the room of another one");
    assert!(differences.iter().any(|one| one["change"] == "missing_line"), "{differences:?}");
    assert!(differences.iter().any(|one| one["copy"] == "9999-99"), "{differences:?}");
    let text = verify().args(&["--output", "text"]).run().expect_code(34).stdout;
    assert!(
        text.contains("copy nothing") && text.contains("9999-99") && text.contains("more that mean the same"),
        "{text}"
    );
    assert!(text.lines().count() < 40, "{text}");
    // What a spreadsheet did to each line is no reason to hide the one amount that somebody changed.
    let mut lines: Vec<String> = official.lines().map(|line| line.replace("-00,", ",")).collect();
    let last = lines.last_mut().expect("a line");
    *last = last.replacen(".", "7.", 1);
    std::fs::write(&copy, lines.join("\r\n") + "\r\n").expect("a copy");
    let text = verify().args(&["--output", "text"]).run().expect_code(34).stdout;
    assert!(text.contains("line 1201, Debit") || text.contains("line 1201, Credit"), "{text}");
}

#[test]
fn a_copy_of_huge_cells_is_compared_in_little_memory() {
    let day = Day::in_directory();
    let entries: Vec<Entry> =
        (0..40).map(|number| Entry::numbered(DATE, number).set("description", "x".repeat(1_000_000))).collect();
    seed(&day.db, &entries);
    day.run().run().expect_code(0);
    let official = String::from_utf8(day.live_files().remove(0).bytes).expect("UTF-8");
    let folder = tempfile::tempdir().expect("a folder");
    let copy = folder.path().join("copy.csv");
    std::fs::write(&copy, official.replace(",x", ",y")).expect("a copy");
    let verify = day.command("verify").args(&["--file", copy.to_str().expect("a path")]);
    let verified = verify.run().expect_code(34);
    assert_eq!(verified.json()["file"]["changed"], 40);
    day.db.update_many(ENTRIES, doc! {}, doc! { "$set": { "description": "z".repeat(1_000_000) } });
    let listed = day.command("corrections").args(&["--output", "text"]).run().expect_code(34);
    for (what, peak) in [("verify --file", verified.peak_memory_kib), ("corrections", listed.peak_memory_kib)] {
        assert!(peak < 64 * 1024, "{what}: {peak} KiB");
    }
}
