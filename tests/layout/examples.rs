//! The ready layouts of `examples/layouts`: each gives its golden file from one set of entries, and a reader that is not ours takes it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use batch_export::entry::StoredValue;
use batch_export::layout::{Layout, parse};
use batch_export::money::Number;

use super::fields::TestEntry;
use super::{options, write};

/// The columns that each package documents, and what parts them.
const DOCUMENTED: [(&str, char, &[&str]); 4] = [
    (
        "xero",
        ',',
        &[
            "*Narration",
            "*Date",
            "Description",
            "*AccountCode",
            "*TaxRate",
            "*Amount",
            "TrackingName1",
            "TrackingOption1",
            "TrackingName2",
            "TrackingOption2",
        ],
    ),
    ("quickbooks", ',', &["Journal No", "Journal Date", "Account Name", "Debits", "Credits", "Description", "Name"]),
    ("odoo", ',', &["date", "move_id", "journal_id", "account_id", "name", "debit", "credit", "ref"]),
    (
        "fec",
        '|',
        &[
            "JournalCode",
            "JournalLib",
            "EcritureNum",
            "EcritureDate",
            "CompteNum",
            "CompteLib",
            "CompAuxNum",
            "CompAuxLib",
            "PieceRef",
            "PieceDate",
            "EcritureLib",
            "Debit",
            "Credit",
            "EcritureLet",
            "DateLet",
            "ValidDate",
            "Montantdevise",
            "Idevise",
        ],
    ),
];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/layouts")
}

fn layout(name: &str) -> Layout {
    let text = fs::read_to_string(folder().join(format!("{name}.toml"))).unwrap();
    let layout = parse(&text).unwrap_or_else(|errors| panic!("{name}: {errors:?}"));
    assert_eq!(layout.name, name);
    layout
}

/// A debit, a credit, a voucher of its own, and text that needs care.
fn entries() -> Vec<TestEntry<'static>> {
    let amount = |satang| StoredValue::Number(Number::Int(satang));
    let mut entries = vec![
        TestEntry::good("ค่าเช่าสำนักงาน เดือนมกราคม 2569")
            .text("accountCode", "5101-00")
            .with("amount", amount(2_500_000)),
        TestEntry::good("Consulting services, \"January\"")
            .text("accountCode", "4101-01")
            .text("type", "credit")
            .with("amount", amount(123_456_789))
            .text("metadata.voucherNo", "INV-2569/001"),
        TestEntry::good("=one line\r\nand another").text("accountCode", "5302-10").with("amount", amount(5)),
    ];
    entries.iter_mut().zip(0xfd..=0xff).for_each(|(entry, last)| entry.id.0[11] = last);
    entries
}

fn file(name: &str) -> Vec<u8> {
    file_of(name, &entries())
}

fn file_of(name: &str, entries: &[TestEntry<'_>]) -> Vec<u8> {
    let layout = layout(name);
    let (bytes, _, refused) = write(&options(&layout), entries);
    assert!(refused.is_empty(), "{name}: {refused:?}");
    bytes
}

#[test]
fn every_ready_layout_gives_its_golden_file() {
    let mut names = Vec::new();
    for found in fs::read_dir(folder()).unwrap().map(|found| found.unwrap().path()) {
        if found.extension().is_some_and(|extension| extension == "toml") {
            names.push(found.file_stem().unwrap().to_str().unwrap().to_owned());
        }
    }
    names.sort();
    assert_eq!(names, ["fec", "hledger", "odoo", "quickbooks", "xero"]);
    for name in names {
        let text = fs::read_to_string(folder().join(format!("{name}.toml"))).unwrap();
        assert!(text.lines().any(|line| line.starts_with("# Source: https://")), "{name} names no source");
        let golden = folder().join(format!("golden/{name}.{}", layout(&name).ending));
        let expected = fs::read(&golden).unwrap_or_default();
        assert_eq!(String::from_utf8_lossy(&file(&name)), String::from_utf8_lossy(&expected), "{}", golden.display());
    }
}

#[test]
fn python_reads_the_documented_columns_and_sums_that_agree() {
    let script = "import csv, decimal, json, sys\n\
        rows = list(csv.DictReader(open(sys.argv[1], newline='', encoding='utf-8'), delimiter=sys.argv[2], strict=True))\n\
        number = lambda text: decimal.Decimal(text.replace(',', '.') or '0')\n\
        signed = lambda row: number(row['*Amount']) if '*Amount' in row else \
        number(row.get('Debits') or row.get('debit') or row.get('Debit') or '0') - \
        number(row.get('Credits') or row.get('credit') or row.get('Credit') or '0')\n\
        print(json.dumps([list(rows[0]), len(rows), str(sum(map(signed, rows))), str(sum(abs(signed(row)) for row in rows))]))";
    let folder = tempfile::tempdir().unwrap();
    for (name, delimiter, columns) in DOCUMENTED {
        let path = folder.path().join(name);
        fs::write(&path, file(name)).unwrap();
        let output =
            Command::new("python3").args(["-c", script]).arg(&path).arg(delimiter.to_string()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let read: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(read, serde_json::json!([columns, 6, "0.00", "2519135.88"]), "{name}");
    }
}

/// The program of the tax office knows no quotes.
#[test]
fn the_french_file_splits_at_its_bars_and_its_days_are_joined_by_the_line_in_its_comment() {
    let temporary = tempfile::tempdir().unwrap();
    let days = [vec!["one\ttab", "ค่าเช่า, \u{e9}"], vec!["=1", "two\r\nlines", "; end"]];
    for (day, texts) in days.iter().enumerate() {
        let entries: Vec<_> = texts.iter().map(|text| TestEntry::good(text)).collect();
        fs::write(temporary.path().join(format!("batch_{day}.txt")), file_of("fec", &entries)).unwrap();
    }
    let comments = fs::read_to_string(folder().join("fec.toml")).unwrap();
    let line = comments.lines().find_map(|line| line.strip_prefix("#   ")).unwrap();
    let output = Command::new("sh").args(["-c", line]).current_dir(temporary.path()).output().unwrap();
    let joined = String::from_utf8(output.stdout).unwrap();
    let rows: Vec<Vec<&str>> = joined.lines().map(|line| line.split('|').collect()).collect();
    assert!(rows.iter().all(|row| row.len() == 18), "{joined}");
    let numbers: Vec<&str> = rows.iter().map(|row| row[2]).collect();
    assert_eq!(numbers, ["EcritureNum", "1", "1", "2", "2", "3", "3", "4", "4", "5", "5"]);
}

#[test]
fn entries_of_one_voucher_stay_apart_in_odoo() {
    let mut entries = ["one", "two"].map(|text| TestEntry::good(text).text("metadata.voucherNo", "V-1"));
    entries[1].id.0[0] = 1;
    let file = String::from_utf8(file_of("odoo", &entries)).unwrap();
    let names: Vec<&str> = file.lines().skip(1).map(|line| line.split(',').nth(1).unwrap()).collect();
    assert!(names[0] == names[1] && names[2] == names[3] && names[1] != names[2], "{file}");
}

#[test]
fn hledger_reads_its_own_and_its_books_balance() {
    let temporary = tempfile::tempdir().unwrap();
    let path = temporary.path().join("batch.csv");
    fs::write(&path, file("hledger")).unwrap();
    let hledger = |arguments: &[&str]| {
        let output = Command::new("hledger")
            .args(arguments)
            .arg("-f")
            .arg(&path)
            .arg("--rules-file")
            .arg(folder().join("hledger.rules"))
            .env("LC_ALL", "C.UTF-8")
            .output()
            .expect("hledger, of Debian's package of that name");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let balances = hledger(&["balance", "--output-format", "csv", "--no-total"]);
    let mut lines: Vec<&str> = balances.lines().skip(1).collect();
    lines.sort_unstable();
    let expected = [
        "\"2000\",\"THB-25000.05\"",
        "\"3000\",\"THB1234567.89\"",
        "\"4101-01\",\"THB-1234567.89\"",
        "\"5101-00\",\"THB25000.00\"",
        "\"5302-10\",\"THB0.05\"",
    ];
    assert_eq!(lines, expected);
    let printed = hledger(&["print"]);
    assert!(printed.contains("2026-01-18 (INV-2569/001) Consulting services, \"January\""), "{printed}");
    assert!(printed.contains("(JV-260118-00001) ค่าเช่าสำนักงาน เดือนมกราคม 2569"), "{printed}");
}
