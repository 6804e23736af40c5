//! A copy that a spreadsheet saved where the comma is the decimal mark.

use super::{Desk, differences, verdict};
use crate::support::seed::{DATE, Entry};

/// A day with small and large amounts, of which the second one may be taken for thousands or for decimals.
fn desk() -> Desk {
    let satang = [123_456_789, 123_400, 50, 725];
    let entry = |number| Entry::numbered(DATE, number).amount(satang[number as usize]).set("description", "rent, paid");
    Desk::with(&[0, 1, 2, 3].map(entry), &[])
}

/// The amount of an official cell with a decimal comma, and with these marks for thousands.
fn with_comma(cell: &str, thousands: &str) -> String {
    let (whole, satang) = cell.split_once('.').expect("an amount");
    let digits: Vec<char> = whole.chars().collect();
    let groups: Vec<String> = digits.rchunks(3).rev().map(|group| group.iter().collect()).collect();
    format!("{},{satang}", groups.join(thousands))
}

/// The official file with other amounts and another delimiter, as a spreadsheet saves it.
fn saved(desk: &Desk, delimiter: u8, amount: impl Fn(&str) -> String) -> Vec<u8> {
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(&desk.official[..]);
    let mut writer =
        csv::WriterBuilder::new().delimiter(delimiter).terminator(csv::Terminator::CRLF).from_writer(Vec::new());
    for (line, record) in reader.records().map(|record| record.expect("a record")).enumerate() {
        let cells = record.iter().enumerate().map(|(column, cell)| match column {
            3 | 4 if line > 0 => amount(cell),
            _ => cell.to_owned(),
        });
        writer.write_record(cells).expect("a line");
    }
    writer.into_inner().expect("a copy")
}

#[test]
fn amounts_with_decimal_commas_are_the_official_ones_and_a_changed_one_is_named() {
    let desk = desk();
    for delimiter in [b';', b',', b'\t'] {
        for thousands in ["", ".", " ", "\u{a0}", "\u{202f}", "'"] {
            let name = format!("{:?} {thousands:?}", char::from(delimiter));
            let finished = desk.verify(saved(&desk, delimiter, |cell| with_comma(cell, thousands))).expect_code(34);
            assert_eq!(verdict(&finished), ("rewritten".to_owned(), vec!["rewritten_copy".to_owned()]), "{name}");
            for changed in ["1.234.567,98", "1234567,98", "123456789", "12345678,9"] {
                let copy = saved(&desk, delimiter, |cell| match cell {
                    "1234567.89" => changed.to_owned(),
                    cell => with_comma(cell, thousands),
                });
                let finished = desk.verify(copy).expect_code(34);
                assert_eq!(verdict(&finished), ("different".to_owned(), vec!["different_copy".to_owned()]), "{name}");
                assert_eq!(finished.json()["file"]["changed"], 1, "{name}");
                let found = differences(&finished);
                assert!(found.iter().any(|one| one.0 == 2 && one.4 == changed), "{name}: {found:?}");
            }
        }
    }
}

#[test]
fn a_lone_mark_before_three_digits_is_read_as_the_rest_of_the_copy_has_it() {
    let desk = desk();
    // Whole amounts lose their decimals: `1234.00` becomes `1.234`, and in a copy with decimal commas that is no thousandth.
    for (copy, mark, expected) in [
        ("1.234", ',', "rewritten"),
        ("1,234", ',', "different"),
        ("1,234", '.', "rewritten"),
        ("1.234", '.', "different"),
        ("1.235", ',', "different"),
    ] {
        let finished = desk.verify(saved(&desk, b';', |cell| match cell {
            "1234.00" => copy.to_owned(),
            cell if mark == ',' => with_comma(cell, ""),
            cell => cell.to_owned(),
        }));
        assert_eq!(verdict(&finished.expect_code(34)).0, expected, "{copy}, decimals after {mark}");
    }
}
