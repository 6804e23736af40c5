//! The bytes of the file, without a database: layouts, guard, vouchers, contra accounts, what is refused.

mod readers;
mod recount;

use std::io::{self, Write};

use batch_export::calendar::parse_zone;
use batch_export::csv::{Sheet, SheetOptions, Tally};
use batch_export::entry::{FieldList, StoredValue};
use batch_export::layout::{BUILT_IN, Encoding, Layout};
use batch_export::money::{Number, amount};
use proptest::prelude::*;

use crate::layout::fields::{DATE_MS, TestEntry};
use readers::{parse, parse_by_crate};

/// An entry that is good in every layout.
fn entry(description: &str) -> TestEntry<'_> {
    TestEntry::good(description)
}

fn built_in(name: &str) -> Layout {
    Layout::built_in(name).unwrap()
}

fn options(name: &str, encoding: Option<Encoding>) -> SheetOptions {
    SheetOptions { encoding, ..crate::layout::options(&built_in(name)) }
}

/// Writes entries of which each is accepted.
fn write(options: SheetOptions, entries: &[TestEntry<'_>]) -> (Vec<u8>, Tally) {
    let (bytes, tally, refused) = crate::layout::write(&options, entries);
    assert!(refused.is_empty(), "{refused:?}");
    (bytes, tally)
}

fn names(layout: &Layout) -> Vec<&str> {
    layout.columns.iter().map(|column| &*column.header).collect()
}

/// The guard, said once more.
fn guarded(text: &str) -> String {
    let dangerous = text.chars().next().is_some_and(|first| "=+-@\t\r\n".contains(first));
    if dangerous { format!("'{text}") } else { text.to_owned() }
}

#[test]
fn a_journal_has_one_row_per_entry() {
    let debit = entry("ค่าเช่า \"สำนักงาน\", ม.ค.");
    let credit = entry("")
        .text("type", "credit")
        .with("amount", StoredValue::Number(Number::Double(5.0)))
        .without("description");
    let (bytes, tally) = write(options("journal", None), &[debit, credit]);
    assert_eq!(
        str::from_utf8(&bytes).unwrap(),
        "Entry ID,Date,Account,Debit,Credit,Description\r\n\
         65ab000102030405060708ff,2026-01-18,1000-01,1234.50,0.00,\"ค่าเช่า \"\"สำนักงาน\"\", ม.ค.\"\r\n\
         65ab000102030405060708ff,2026-01-18,1000-01,0.00,0.05,\r\n"
    );
    let totals = tally.totals;
    assert_eq!((totals.entries, totals.rows, totals.total_debit, totals.total_credit), (2, 2, 123_450, 5));
}

#[test]
fn express_has_two_rows_per_entry_debit_first() {
    let debit = entry("ค่าเช่า").text("metadata.voucherNo", "PV-7");
    let credit = entry("€5").text("type", "credit").with("amount", StoredValue::Number(Number::Int(100)));
    let (bytes, tally) = write(options("express", None), &[debit, credit]);
    let expected = b"Date,Voucher No,Account,Debit,Credit,Description\r\n\
        18/01/2026,PV-7,1000-01,1234.50,0.00,\xA4\xE8\xD2\xE0\xAA\xE8\xD2\r\n\
        18/01/2026,PV-7,2000,0.00,1234.50,\xA4\xE8\xD2\xE0\xAA\xE8\xD2\r\n\
        18/01/2026,JV-260118-00002,3000,1.00,0.00,\x805\r\n\
        18/01/2026,JV-260118-00002,1000-01,0.00,1.00,\x805\r\n";
    assert_eq!(bytes, expected, "{}", String::from_utf8_lossy(&bytes));
    let totals = tally.totals;
    assert_eq!((totals.entries, totals.rows, totals.total_debit, totals.total_credit), (2, 4, 123_550, 123_550));
}

#[test]
fn a_file_without_entries_is_its_header() {
    for (name, _) in BUILT_IN {
        let (bytes, tally) = write(options(name, None), &[]);
        assert_eq!(bytes, format!("{}\r\n", names(&built_in(name)).join(",")).as_bytes());
        assert_eq!(tally, Tally::default());
    }
}

#[test]
fn utf_8_bom_is_utf_8_behind_a_mark() {
    for (name, _) in BUILT_IN {
        let (plain, _) = write(options(name, Some(Encoding::Utf8)), &[entry("ค่าเช่า 😀")]);
        let (marked, _) = write(options(name, Some(Encoding::Utf8Bom)), &[entry("ค่าเช่า 😀")]);
        assert_eq!(marked, [b"\xEF\xBB\xBF", &plain[..]].concat());
    }
}

#[test]
fn the_date_is_the_zone_s() {
    let mut options = options("journal", None);
    let next = entry("").with("date", StoredValue::Date(DATE_MS + 1));
    let dates = |options: &SheetOptions| {
        let (bytes, _) = write(options.clone(), &[entry(""), next.clone()]);
        parse_by_crate(&bytes)[1..].iter().map(|row| row[1].clone()).collect::<Vec<_>>()
    };
    assert_eq!(dates(&options), ["2026-01-18", "2026-01-19"]);
    options.zone = parse_zone("America/New_York").unwrap();
    assert_eq!(dates(&options), ["2026-01-18", "2026-01-18"]);
}

#[test]
fn a_refused_entry_leaves_no_byte_and_takes_no_number() {
    let refused = [
        (entry("=ราคา 😀"), "description has U+1F600 GRINNING FACE after \"=ราคา \", which windows-874 lacks"),
        (
            entry("").text("metadata.voucherNo", "เลขที่ \u{81}"),
            "metadata.voucherNo has U+0081 control character after \"เลขที่ \"",
        ),
        (
            entry("").text("accountCode", "1000é"),
            "accountCode has U+00E9 LATIN SMALL LETTER E WITH ACUTE after \"1000\", which windows-874 lacks",
        ),
        // Shows in the second row only.
        (
            entry("").text("metadata.crAccount", "20\u{200b}00"),
            "metadata.crAccount has U+200B ZERO WIDTH SPACE after \"20\", which nobody sees in a code",
        ),
        (
            entry("").without("metadata.crAccount"),
            "no contra account: metadata.crAccount is empty and --contra-account is not set",
        ),
        (entry("").with("date", StoredValue::Date(i64::MAX)), "date is outside the years 1 to 9999"),
        (
            entry("").text("metadata.voucherNo", "JV-260118-00002"),
            "metadata.voucherNo JV-260118-00002 has the form of a generated voucher, with which it could be taken for another entry's",
        ),
    ];
    let express = built_in("express");
    let mut sheet = Sheet::new(Vec::new(), &options("express", None), &FieldList::of(&express)).unwrap();
    for (refused, reason) in &refused {
        assert_eq!(sheet.push(&refused.read(&express)).unwrap(), Err((*reason).to_owned()));
        sheet.push(&entry("=1+1").read(&express)).unwrap().unwrap();
    }
    let entries = vec![entry("=1+1"); refused.len()];
    assert_eq!(sheet.finish().unwrap(), write(options("express", None), &entries));
}

#[test]
fn a_contra_account_is_never_a_guess() {
    let contra = |kind, cr_account: Option<&str>, dr_account: Option<&str>, general: Option<&str>| {
        let options = SheetOptions { contra_account: general.map(str::to_owned), ..options("express", None) };
        let text = |text: Option<&'static str>| text.map_or(StoredValue::Missing, StoredValue::Text);
        let owned = |text: Option<&str>| text.map(|text| &*text.to_owned().leak());
        let entry = entry("")
            .text("type", kind)
            .with("metadata.crAccount", text(owned(cr_account)))
            .with("metadata.drAccount", text(owned(dr_account)));
        let (bytes, _, refused) = crate::layout::write(&options, &[entry]);
        if let Some(reason) = refused.into_iter().next() {
            return Err(reason);
        }
        let rows = parse_by_crate(&bytes);
        let (own, other) = if kind == "debit" { (1, 2) } else { (2, 1) };
        assert_eq!(rows[own][2], "1000-01");
        Ok::<String, String>(rows[other][2].clone())
    };
    assert_eq!(contra("debit", Some("CR"), Some("DR"), Some("ALL")), Ok("CR".to_owned()));
    assert_eq!(contra("credit", Some("CR"), Some("DR"), Some("ALL")), Ok("DR".to_owned()));
    assert_eq!(contra("debit", Some(" "), Some("DR"), Some("ALL")), Ok("ALL".to_owned()));
    assert_eq!(contra("credit", Some("CR"), None, Some("ALL")), Ok("ALL".to_owned()));
    assert!(contra("debit", None, Some("DR"), None).unwrap_err().contains("metadata.crAccount is empty"));
    assert!(contra("credit", Some("CR"), Some(""), Some(" ")).unwrap_err().contains("metadata.drAccount is empty"));
}

#[test]
fn a_running_number_has_five_digits_and_more_when_it_must() {
    let rows = parse_by_crate(&write(options("express", None), &vec![entry(""); 100_000]).0);
    assert_eq!(rows[1][1], "JV-260118-00001");
    assert_eq!(rows[199_998][1], "JV-260118-99999");
    assert_eq!(rows[200_000][1], "JV-260118-100000");
}

#[test]
fn formulas_are_guarded_in_text_and_nowhere_else() {
    for dangerous in ["=1+1", "+66 2", "-5", "@SUM(A1)", "\tx", "\rx", "\nx", "="] {
        let entry = entry(dangerous).text("metadata.voucherNo", "-001").text("accountCode", "-7");
        let (bytes, tally) = write(options("express", None), &[entry, self::entry("harmless")]);
        let rows = parse(str::from_utf8(&bytes).unwrap());
        assert_eq!(rows[1][1..], ["-001", "-7", "1234.50", "0.00", &guarded(dangerous)]);
        assert_eq!(rows[2][1..], ["-001", "2000", "0.00", "1234.50", &guarded(dangerous)]);
        assert_eq!(tally.guarded_cells, 2, "the description, in two rows; codes are left alone");
    }
    for harmless in ["", " =1", "'=1", "a=1", "1-2", "＝1", "\"="] {
        let (bytes, tally) = write(options("journal", None), &[entry(harmless)]);
        assert_eq!(parse(str::from_utf8(&bytes).unwrap())[1][5], harmless);
        assert_eq!(tally.guarded_cells, 0);
    }
}

#[test]
fn cells_are_quoted_only_where_needed() {
    for (text, cell) in [
        (" leading and trailing ", " leading and trailing "),
        ("semi;colon", "semi;colon"),
        ("a,b", "\"a,b\""),
        ("a\rb", "\"a\rb\""),
        ("a\nb", "\"a\nb\""),
        ("\"", "\"\"\"\""),
    ] {
        let (bytes, _) = write(options("journal", None), &[entry(text)]);
        let expected = format!("1234.50,0.00,{cell}\r\n");
        assert!(bytes.ends_with(expected.as_bytes()), "{text:?}: {}", String::from_utf8_lossy(&bytes));
    }
}

#[test]
fn a_full_disk_is_an_error_and_not_a_short_file() {
    struct Full(usize);
    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 = self.0.checked_sub(bytes.len()).ok_or(io::ErrorKind::StorageFull)?;
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let journal = built_in("journal");
    let fields = entry("a description of some length").read(&journal);
    let fill = |room, entries| -> io::Result<u64> {
        let mut sheet = Sheet::new(Full(room), &options("journal", None), &FieldList::of(&journal))?;
        for _ in 0..entries {
            sheet.push(&fields)?.unwrap();
        }
        Ok(sheet.finish()?.1.totals.rows)
    };
    assert_eq!(fill(1 << 20, 1000).unwrap(), 1000);
    // In the middle, where rows are pushed, and at the end, where the rest of the buffer is written.
    for entries in [5000, 3] {
        assert_eq!(fill(100, entries).unwrap_err().kind(), io::ErrorKind::StorageFull);
    }
}

#[test]
fn settings_name_encodings() {
    for encoding in Encoding::ALL {
        assert_eq!(Encoding::from_name(encoding.name()), Some(encoding));
    }
    assert_eq!(Encoding::from_name("tis-620"), None);
    assert_eq!(BUILT_IN.map(|(name, _)| built_in(name).encoding), [Encoding::Utf8, Encoding::Windows874]);
}

proptest! {
    #[test]
    fn decimals_are_read_as_the_database_writes_them(digits in 1..=1i64 << 53, zeros in 0usize..15, exponent in 0usize..4) {
        let decimal = |text: String| Number::Decimal(text.parse::<mongodb::bson::Decimal128>().unwrap().bytes());
        prop_assert_eq!(amount(Some(decimal(digits.to_string()))), Ok(digits));
        prop_assert_eq!(amount(Some(decimal(format!("{digits}.{}", "0".repeat(zeros))))), Ok(digits));
        let scaled = digits.checked_mul(10i64.pow(exponent as u32)).filter(|satang| *satang <= 1 << 53);
        prop_assert_eq!(amount(Some(decimal(format!("{digits}E{exponent}")))).ok(), scaled);
        let negative = amount(Some(decimal(format!("-{digits}")))).unwrap_err();
        prop_assert!(negative.ends_with(" is not positive"));
        let fraction = amount(Some(decimal(format!("{digits}.{}1", "0".repeat(zeros))))).unwrap_err();
        prop_assert!(fraction.ends_with(" is a fraction of a satang"));
    }
}
