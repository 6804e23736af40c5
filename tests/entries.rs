//! Each kind of entry that must not be exported as it is: refused with its id and all its faults, or held back, but
//! never exported and never a failure of the database; unusual but valid entries are exported.
//!
//! Every case is one valid entry with one change. All cases of a layout are in one database: no fault may hide another
//! one.

use mongodb::bson::{Bson, DateTime, Decimal128, Document, JavaScriptCodeWithScope, RawDocumentBuf, doc};

use crate::support::day::Day;
use crate::support::seed::{DATE, ENTRIES, Entry, QUEUE, create_index};

/// What becomes of a case.
enum Expected {
    /// Refused, with a reason that holds each of these.
    Invalid(&'static [&'static str]),
    /// Exported; a cell that its line holds.
    Exported(&'static str),
}
use Expected::{Exported, Invalid};

/// A change of the row, a change of the entry; `Bson::Undefined` leaves a field out.
type Case = (&'static str, Document, Document, Expected);

fn date(text: &str) -> Bson {
    Bson::DateTime(DateTime::parse_rfc3339_str(text).unwrap())
}

fn rows_of_every_kind() -> Vec<Case> {
    let row = |name, row, expected| (name, row, doc! {}, expected);
    vec![
        row("a text as date", doc! { "scheduledFor": "2026-01-18T11:00:00.000Z" }, Invalid(&["scheduledFor"])),
        row("a number as date", doc! { "scheduledFor": 1_768_734_000_000.0 }, Invalid(&["scheduledFor"])),
        row("a long as date", doc! { "scheduledFor": 1_768_734_000_000_i64 }, Invalid(&["scheduledFor"])),
        row("null as date", doc! { "scheduledFor": null }, Invalid(&["scheduledFor"])),
        row("no date", doc! { "scheduledFor": Bson::Undefined }, Invalid(&["scheduledFor"])),
        row("a boolean as date", doc! { "scheduledFor": true }, Invalid(&["scheduledFor"])),
        row("a document as date", doc! { "scheduledFor": { "at": 1 } }, Invalid(&["scheduledFor"])),
        row("an empty list as date", doc! { "scheduledFor": [] }, Invalid(&["scheduledFor"])),
        row("a list of dates", doc! { "scheduledFor": [date("2026-01-18T10:00:00Z")] }, Invalid(&["scheduledFor"])),
        row("a list of texts as date", doc! { "scheduledFor": ["x"] }, Invalid(&["scheduledFor"])),
        row(
            "a code with a scope as date",
            doc! { "scheduledFor": JavaScriptCodeWithScope { code: "x".into(), scope: doc! {} } },
            Invalid(&["scheduledFor"]),
        ),
        row("a symbol as date", doc! { "scheduledFor": Bson::Symbol("x".into()) }, Invalid(&["scheduledFor"])),
        row("an empty list as metadata", doc! { "metadata": [] }, Invalid(&["metadata"])),
        row("a list as metadata", doc! { "metadata": [{ "a": 1 }] }, Invalid(&["metadata"])),
        row("a text as metadata", doc! { "metadata": "a note" }, Invalid(&["metadata"])),
        row("a number as metadata", doc! { "metadata": 7 }, Invalid(&["metadata"])),
        row("null as metadata", doc! { "metadata": null }, Exported("1234.50")),
        row("no metadata", doc! { "metadata": Bson::Undefined }, Exported("1234.50")),
        (
            "two rows' worth of wrong",
            doc! { "scheduledFor": null, "metadata": 7 },
            doc! { "amount": -1 },
            Invalid(&["scheduledFor", "metadata", "amount"]),
        ),
        row("no entry", doc! { "entryId": "x" }, Invalid(&["entryId"])),
    ]
}

fn entries_of_every_kind() -> Vec<Case> {
    let entry = |name, entry, expected| (name, doc! {}, entry, expected);
    let decimal = |text: &str| Bson::Decimal128(text.parse::<Decimal128>().unwrap());
    vec![
        entry(
            "a Buddhist year",
            doc! { "date": date("2569-01-17T17:00:00Z") },
            Invalid(&["date 2569-01-18", "Buddhist", "2026-01-18"]),
        ),
        entry(
            "543 years taken off twice",
            doc! { "date": date("1483-01-17T17:00:00Z") },
            Invalid(&["date 1483-01-1", "before 1900"]),
        ),
        entry(
            "a day more than a year ahead",
            doc! { "date": date("2027-01-18T17:00:00Z") },
            Invalid(&["2027-01-19", "more than a year"]),
        ),
        entry("a year ahead", doc! { "date": date("2027-01-18T16:59:59Z") }, Exported("2027-01-18")),
        entry("the first day of 1900", doc! { "date": date("1900-01-01T05:00:00Z") }, Exported("1900-01-01")),
        entry("three months back", doc! { "date": date("2025-10-18T05:00:00Z") }, Exported("2025-10-18")),
        entry("NUL", doc! { "description": "ค่า\0ไฟ" }, Invalid(&["description has U+0000 NUL after \"ค่า\""])),
        entry("SUB", doc! { "description": "ค่า\u{1a}ไฟ" }, Invalid(&["description has U+001A SUB after \"ค่า\""])),
        entry("ESC", doc! { "description": "ค่า\u{1b}ไฟ" }, Invalid(&["description has U+001B ESC"])),
        entry("VT", doc! { "description": "ค่า\u{b}ไฟ" }, Invalid(&["description has U+000B VT"])),
        entry("DEL", doc! { "description": "ค่า\u{7f}ไฟ" }, Invalid(&["description has U+007F DEL"])),
        entry("line breaks", doc! { "description": "one\ttwo\r\nthree" }, Exported("\"one\ttwo\r\nthree\"")),
        entry(
            "everything at once",
            doc! { "amount": -1, "accountCode": "", "type": "sideways", "description": "a\0b", "status": "draft", "date": 7 },
            Invalid(&[
                "amount -1",
                "accountCode is empty",
                "type is \"sideways\"",
                "description has U+0000",
                "status is \"draft\"",
                "date",
            ]),
        ),
        entry(
            "nothing at all",
            doc! {
                "amount": Bson::Undefined, "accountCode": Bson::Undefined, "type": Bson::Undefined, "status": Bson::Undefined,
                "date": Bson::Undefined,
            },
            Invalid(&[
                "status is missing, not approved; amount is missing; type is missing, not debit or credit; accountCode is missing; date is \
                 missing or not a date",
            ]),
        ),
        entry(
            "a status in capitals",
            doc! { "status": "Approved" },
            Invalid(&["status is \"Approved\", not approved"]),
        ),
        entry(
            "a status that is long and steers a terminal",
            doc! { "status": format!("\u{1b}[31m{}", "ก".repeat(500)) },
            Invalid(&["status is \"\\u{1b}[31mกกกก", "กก\"..., not approved"]),
        ),
        entry(
            "a list as amount",
            doc! { "amount": [1] },
            Invalid(&["amount is a value of another type, not a number"]),
        ),
        entry("half a satang", doc! { "amount": 0.5 }, Invalid(&["amount 0.5 is a fraction of a satang"])),
        entry("no date but a text", doc! { "date": "2026-01-18" }, Invalid(&["date is missing or not a date"])),
        entry("minus zero", doc! { "amount": -0.0 }, Invalid(&["amount"])),
        entry("NaN", doc! { "amount": f64::NAN }, Invalid(&["amount is NaN"])),
        entry("1E3", doc! { "amount": decimal("1E3") }, Exported(",10.00,")),
    ]
}

fn codes_of_every_kind() -> Vec<Case> {
    let entry = |name, entry, expected| (name, doc! {}, entry, expected);
    vec![
        entry("a code that nobody sees", doc! { "accountCode": "\u{200b}" }, Invalid(&["accountCode is empty"])),
        entry("a code of blanks", doc! { "accountCode": "\u{a0}\t" }, Invalid(&["accountCode is empty"])),
        entry("a formula behind nothing", doc! { "accountCode": "\u{200b} @x" }, Invalid(&["accountCode is \"@x\""])),
        entry("a byte order mark before a code", doc! { "accountCode": "\u{feff}6000\u{2003}" }, Exported(",6000,")),
        entry("a wide blank before a code", doc! { "accountCode": "\u{3000}7000" }, Exported(",7000,")),
        entry("blanks around a code", doc! { "accountCode": " 1000 " }, Exported(",1000,")),
        entry("a code that ends with nothing", doc! { "accountCode": "2000\u{200b}" }, Exported(",2000,")),
        entry("a code in no-break spaces", doc! { "accountCode": "\u{a0}3000\u{a0}" }, Exported(",3000,")),
        entry("a formula", doc! { "accountCode": "=1+1" }, Invalid(&["accountCode is \"=1+1\""])),
        entry("a formula with @", doc! { "accountCode": "@SUM" }, Invalid(&["accountCode is \"@SUM\""])),
        entry("a formula with +", doc! { "accountCode": " +1" }, Invalid(&["accountCode is \"+1\""])),
        entry("a code with a minus", doc! { "accountCode": "-1" }, Exported(",-1,")),
        entry(
            "a code that begins with TAB",
            doc! { "accountCode": "\t1000" },
            Invalid(&["accountCode", "control character"]),
        ),
        entry("a code that ends with TAB", doc! { "accountCode": "4000\t" }, Exported(",4000,")),
        entry("a code that ends with a line end", doc! { "accountCode": "5000 \r\n" }, Exported(",5000,")),
        entry(
            "a line end in a code",
            doc! { "accountCode": "10\n00" },
            Invalid(&["accountCode has U+000A LF after \"10\""]),
        ),
        entry("a C1 character in a code", doc! { "accountCode": "\u{85}10" }, Invalid(&["accountCode has U+0085"])),
        entry(
            "what nobody sees in a code",
            doc! { "accountCode": "1\u{200b}0\u{a0}0\u{e0100}0\u{3164}0" },
            Invalid(&[
                "U+200B ZERO WIDTH SPACE after \"1\"",
                "U+00A0 NO-BREAK SPACE",
                "U+E0100",
                "U+3164 HANGUL FILLER",
                "which nobody sees in a code",
            ]),
        ),
        entry(
            "three faults of one code",
            doc! { "accountCode": "=5\0\u{200b}0" },
            Invalid(&["U+0000 NUL", "takes for a formula", "U+200B ZERO WIDTH SPACE"]),
        ),
        entry("a number as code", doc! { "accountCode": 1000 }, Invalid(&["accountCode is not text but a number"])),
    ]
}

fn entries_for_express() -> Vec<Case> {
    let entry = |name, entry, expected| (name, doc! {}, entry, expected);
    let metadata =
        |voucher: &str| doc! { "metadata": { "crAccount": "2001-01", "drAccount": "1000-00", "voucherNo": voucher } };
    vec![
        entry(
            "four characters that windows-874 lacks",
            doc! { "description": "a\u{200b}b × 2 ½ café ×" },
            Invalid(&[
                "U+200B ZERO WIDTH SPACE after \"a\", U+00D7 MULTIPLICATION SIGN",
                "U+00BD VULGAR FRACTION ONE HALF",
                "U+00E9 LATIN SMALL LETTER E WITH ACUTE",
                "which windows-874 lacks",
            ]),
        ),
        entry(
            "a voucher of the generated form",
            metadata("JV-260118-00002"),
            Invalid(&["metadata.voucherNo", "generated"]),
        ),
        entry(
            "a voucher of another day's form",
            metadata("JV-251231-100000"),
            Invalid(&["metadata.voucherNo", "generated"]),
        ),
        entry("a voucher that begins with a minus", metadata("-001"), Exported(",-001,")),
        entry("a voucher that is a formula", metadata("=1"), Invalid(&["metadata.voucherNo is \"=1\""])),
        entry("blanks around a voucher", metadata(" PV-9 "), Exported(",PV-9,")),
        entry(
            "three faults of one code",
            doc! { "accountCode": "=5\0é0" },
            Invalid(&[
                "U+0000 NUL",
                "takes for a formula",
                "U+00E9 LATIN SMALL LETTER E WITH ACUTE",
                "windows-874 lacks",
            ]),
        ),
        entry("two faults of a voucher", metadata("+é"), Invalid(&["\"+é\"", "metadata.voucherNo has U+00E9"])),
        entry(
            "two faults of a contra account",
            doc! { "metadata": { "crAccount": "@é" } },
            Invalid(&["\"@é\"", "metadata.crAccount has U+00E9"]),
        ),
        entry(
            "an unknown type and the faults of both accounts",
            doc! { "type": "Debit", "accountCode": "é1", "metadata": { "crAccount": "=1" } },
            Invalid(&["type is \"Debit\"", "accountCode has U+00E9", "metadata.crAccount is \"=1\""]),
        ),
        entry(
            "an unknown type and no contra account",
            doc! { "type": "Credit", "metadata": {} },
            Invalid(&["type is \"Credit\"", "no contra account: metadata.drAccount"]),
        ),
        entry("no contra account", doc! { "metadata": {} }, Invalid(&["no contra account: metadata.crAccount"])),
        entry(
            "a contra account that is a formula",
            doc! { "metadata": { "crAccount": "=1" } },
            Invalid(&["metadata.crAccount is \"=1\""]),
        ),
        entry(
            "a number as contra account",
            doc! { "metadata": { "crAccount": 7 } },
            Invalid(&["metadata.crAccount is not text"]),
        ),
    ]
}

fn changed(mut document: Document, changes: &Document) -> Document {
    for (field, value) in changes {
        match value {
            Bson::Undefined => document.remove(field),
            value => document.insert(field, value.clone()),
        };
    }
    document
}

fn seed_cases(day: &Day, cases: &[Case]) -> Vec<(Document, Document)> {
    create_index(&day.db);
    let stored: Vec<(Document, Document)> = cases
        .iter()
        .enumerate()
        .map(|(index, (_, row, entry, _))| {
            let good = Entry::numbered(DATE, index as u32)
                .kind("debit")
                .amount(123_450)
                .set("date", date("2026-01-18T05:00:00Z"))
                .set("metadata", doc! { "crAccount": "2001-01", "drAccount": "1000-00" });
            (changed(good.row(), row), changed(good.document(), entry))
        })
        .collect();
    day.db.insert_many(QUEUE, stored.iter().map(|(row, _)| row.clone()).collect());
    day.db.insert_many(ENTRIES, stored.iter().map(|(_, entry)| entry.clone()).collect());
    stored
}

/// The listed invalid rows, by the row's id.
fn reason_of(list: &serde_json::Value, row: &Document) -> Option<String> {
    let id = row.get_object_id("_id").unwrap().to_hex();
    let listed = list.as_array().unwrap().iter().find(|listed| listed["row_id"] == id)?;
    Some(listed["reason"].as_str().unwrap().to_owned())
}

fn check(format: &str, cases: &[Case]) {
    let day = Day::in_directory();
    let stored = seed_cases(&day, cases);
    let run = || day.run().env("BATCH_EXPORT_FORMAT", format);
    let invalid = cases.iter().filter(|case| matches!(case.3, Invalid(_))).count();
    let refused = run().run().expect_code(32).json();
    assert_eq!(refused["invalid"].as_array().unwrap().len(), invalid, "{refused}");
    assert_eq!(day.rows_with_status("queued"), cases.len() as u64);
    let looked = run().args(&["--dry-run", "--invalid", "hold"]).run().expect_code(0).json();
    let result = run().args(&["--invalid", "hold", "--now"]).run().expect_code(0).json();
    let file = day.live_files().remove(0).bytes;
    let file = encoding_rs::WINDOWS_874.decode(&file).0.into_owned();
    let file = if format == "journal" { String::from_utf8(day.live_files().remove(0).bytes).unwrap() } else { file };
    for ((name, _, _, expected), (row, _)) in cases.iter().zip(&stored) {
        match expected {
            Invalid(says) => {
                for list in [&refused["invalid"], &looked["held"], &result["held"]] {
                    let reason = reason_of(list, row).unwrap_or_else(|| panic!("{name}: not in {list}"));
                    assert!(says.iter().all(|words| reason.contains(words)), "{name}: {reason}");
                }
                let now = day.db.find_one(QUEUE, doc! { "_id": row.get("_id").unwrap() }).unwrap();
                assert_eq!(now.get_str("status").ok(), Some("failed"), "{name}");
                assert_eq!(now.get_str("lastError").ok(), reason_of(&result["held"], row).as_deref(), "{name}");
            }
            Exported(cell) => {
                assert_eq!(reason_of(&result["held"], row), None, "{name}");
                assert!(file.contains(cell), "{name}: {cell} is not in\n{file}");
            }
        }
    }
    assert_eq!(result["trimmed_cells"], looked["trimmed_cells"]);
    assert!(result["trimmed_cells"].as_u64().unwrap() >= 2, "{result}");
    assert_eq!((result["dropped_characters"].as_u64(), result["invalid"].as_array().map(Vec::len)), (Some(0), Some(0)));
    assert_eq!(day.rows_with_status("queued"), 0);
    day.command("verify").run().expect_code(0);
}

#[test]
fn each_kind_of_row_is_refused_by_name_or_exported() {
    let mut cases = rows_of_every_kind();
    cases.extend(entries_of_every_kind());
    cases.extend(codes_of_every_kind());
    check("journal", &cases);
}

#[test]
fn each_kind_of_entry_for_two_rows_is_refused_by_name_or_exported() {
    check("express", &entries_for_express());
}

#[test]
fn a_text_that_is_not_utf_8_is_an_invalid_entry_and_no_failure_of_the_database() {
    let day = Day::in_directory();
    create_index(&day.db);
    let entries = [Entry::numbered(DATE, 0).set("description", "ค่า~~"), Entry::numbered(DATE, 1)];
    day.db.insert_many(QUEUE, entries.iter().map(Entry::row).collect());
    let mut bytes = RawDocumentBuf::try_from(&entries[0].document()).unwrap().into_bytes();
    let at = bytes.windows(2).position(|pair| pair == b"~~").unwrap();
    // The beginning of a character of three bytes.
    bytes[at..at + 2].copy_from_slice(&[0xE0, 0xB8]);
    let raw = day.db.database().collection::<RawDocumentBuf>(ENTRIES);
    day.db.block(raw.insert_one(RawDocumentBuf::from_bytes(bytes).unwrap())).unwrap();
    day.db.insert_many(ENTRIES, vec![entries[1].document()]);
    let result = day.run().run().expect_code(32).json();
    let invalid = &result["invalid"][0];
    assert_eq!(invalid["entry_id"], entries[0].id().to_hex());
    assert!(invalid["reason"].as_str().unwrap().contains("description is not valid UTF-8"), "{invalid}");
    let held = day.run().args(&["--invalid", "hold", "--now"]).run().expect_code(0).json();
    assert_eq!((held["entries"].as_u64(), held["held"].as_array().map(Vec::len)), (Some(1), Some(1)), "{held}");
}

#[test]
fn a_day_of_which_no_row_has_a_date_is_not_empty() {
    let day = Day::in_directory();
    create_index(&day.db);
    let entry = Entry::numbered(DATE, 0);
    day.db.insert_many(QUEUE, vec![changed(entry.row(), &doc! { "scheduledFor": "soon" })]);
    day.db.insert_many(ENTRIES, vec![entry.document()]);
    let result = day.run().run().expect_code(32).json();
    assert!(result["invalid"][0]["reason"].as_str().unwrap().contains("scheduledFor"), "{result}");
}

#[test]
fn invisible_characters_are_dropped_and_counted_where_the_layout_says_so() {
    let day = Day::in_directory();
    crate::support::seed::seed(&day.db, &[Entry::numbered(DATE, 0).set("description", "ค่า\u{200b}ไฟ\u{feff}")]);
    let folder = tempfile::tempdir().unwrap();
    let layout = folder.path().join("own.toml");
    let text = "name = \"own\"\nencoding = \"windows-874\"\ninvisible = \"drop\"\n[[columns]]\nheader = \"D\"\nvalue = \"description\"\n";
    std::fs::write(&layout, text).unwrap();
    let result = day.run().env("BATCH_EXPORT_FORMAT", layout.to_str().unwrap()).run().expect_code(0).json();
    assert_eq!(result["dropped_characters"], 2, "{result}");
    assert_eq!(day.live_files()[0].bytes, b"D\r\n\xA4\xE8\xD2\xE4\xBF\r\n");
}

/// Refuses the entries of a layout of one column, and returns the reasons in their order.
fn refused_by(column: &str, entries: &[Entry]) -> Vec<String> {
    let day = Day::in_directory();
    crate::support::seed::seed(&day.db, entries);
    let folder = tempfile::tempdir().unwrap();
    let layout = folder.path().join("own.toml");
    std::fs::write(
        &layout,
        format!("name = \"own\"\nencoding = \"windows-874\"\n[[columns]]\nheader = \"C\"\n{column}\n"),
    )
    .unwrap();
    let result = day.run().env("BATCH_EXPORT_FORMAT", layout.to_str().unwrap()).run().expect_code(32).json();
    result["invalid"].as_array().unwrap().iter().map(|one| one["reason"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_text_that_is_too_long_and_has_a_character_that_the_encoding_lacks_is_told_both() {
    let entry = Entry::numbered(DATE, 0).set("description", "a café");
    let reasons = refused_by("value = \"description\"\nmax_chars = 3", &[entry]);
    assert!(reasons[0].contains("U+00E9") && reasons[0].contains("has 6 characters, more than the 3"), "{reasons:?}");
}

#[test]
fn any_date_of_an_entry_is_one_that_people_can_mean() {
    let due = |number, text: &str| Entry::numbered(DATE, number).set("metadata", doc! { "due": date(text) });
    let entries = [
        due(0, "1483-02-18T05:00:00Z"),
        due(1, "2569-02-18T05:00:00Z"),
        due(2, "2056-02-18T05:00:00Z"),
        due(3, "1900-01-01T05:00:00Z"),
    ];
    let reasons = refused_by("field = \"metadata.due\"\nkind = \"date\"", &entries);
    assert_eq!(
        reasons,
        [
            "metadata.due 1483-02-18 is before 1900 (a Buddhist year? 2026-02-18)",
            "metadata.due 2569-02-18 is more than a hundred years after the business date 2026-01-18 (a Buddhist year? 2026-02-18)",
        ]
    );
}

/// Each distinct character that the encoding lacks is looked for once, whatever their number.
#[test]
fn a_text_of_all_the_characters_of_unicode_is_refused_within_the_limit_of_the_generation() {
    let day = Day::in_directory();
    create_index(&day.db);
    let entry = Entry::numbered(DATE, 0).set("description", ('\u{10000}'..='\u{10FFFF}').collect::<String>());
    day.db.insert_many(ENTRIES, vec![entry.document()]);
    day.db.insert_many(QUEUE, vec![entry.row()]);
    let result = day.run().args(&["--encoding", "windows-874"]).run().expect_code(32).json();
    let reason = result["invalid"][0]["reason"].as_str().unwrap();
    assert!(reason.contains("U+10000") && reason.contains("and 1048526 others"), "{reason}");
}
