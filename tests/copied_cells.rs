//! The cells of a copy that a spreadsheet saved anew, beside those of the official file.

use std::fs::File;
use std::io::{Seek as _, Write as _};

use batch_export::csv::Change::{AddedLine, Amount, Date, Digits, LeadingZeros, MissingLine, Text};
use batch_export::csv::{Change, Difference, differences};
use batch_export::layout::parse;
use csv::{Terminator, WriterBuilder};

use crate::layout::options;

/// Columns of other texts and of amounts; any other kind is the format of a column of dates.
const TEXT: &str = "text";
const MONEY: &str = "money";

/// A file of these lines below a header.
fn file_of(header: &[&str], lines: impl Iterator<Item = Vec<String>>) -> File {
    let mut writer = WriterBuilder::new().delimiter(b';').terminator(Terminator::CRLF).from_writer(Vec::new());
    writer.write_record(header).unwrap();
    lines.for_each(|line| writer.write_record(line).unwrap());
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&writer.into_inner().unwrap()).unwrap();
    file.rewind().unwrap();
    file
}

/// The differences of two files of this layout, and in what the copy is written otherwise.
fn found(layout: &str, official: File, copy: File) -> (Vec<Difference>, Vec<String>) {
    let layout = parse(&format!("name = \"cells\"\ndelimiter = \";\"\n{layout}")).unwrap();
    let mut found = Vec::new();
    let scratch = tempfile::tempfile().unwrap();
    let otherwise = differences(official, copy, scratch, &options(&layout), |one| found.push(one)).unwrap();
    (found, otherwise)
}

/// How the last of these cells, official and copied, differ, and whether both mean the same; `None` when they do not differ.
fn last_of(kind: &str, decimal_mark: char, cells: &[(&str, &str)]) -> Option<(Change, bool)> {
    let (kind, format) = if [TEXT, MONEY].contains(&kind) { (kind, "yyyy-mm-dd") } else { ("date", kind) };
    let layout = format!(
        "decimal_mark = \"{decimal_mark}\"\ndate_format = \"{format}\"\n[[columns]]\nheader = \"Key\"\nfield = \"key\"\n\
         [[columns]]\nheader = \"Cell\"\nfield = \"cell\"\nkind = \"{kind}\"\n"
    );
    let file = |of: fn(&(&str, &str)) -> String| {
        let keys = (0..).map(|number| format!("key {number}"));
        file_of(&["Key", "Cell"], keys.zip(cells).map(|(key, cell)| vec![key, of(cell)]))
    };
    let (mut found, otherwise) = found(&layout, file(|cell| cell.0.to_owned()), file(|cell| cell.1.to_owned()));
    assert_eq!(otherwise, Vec::<String>::new());
    let last = found.pop().filter(|last| last.line == Some(1 + cells.len() as u64))?;
    assert_eq!((last.copy_line, last.column.as_deref()), (last.line, Some("Cell")));
    Some((last.change, last.same_value))
}

fn difference(kind: &str, official: &str, copy: &str) -> Option<(Change, bool)> {
    last_of(kind, '.', &[(official, copy)])
}

#[test]
fn what_a_spreadsheet_makes_of_a_cell_is_told_by_its_kind() {
    for (kind, official, copy, expected) in [
        (TEXT, "a\r\nb", "a\nb", None),
        (TEXT, "00510", "510", Some((LeadingZeros, false))),
        (TEXT, "510", "00510", Some((Text, false))),
        (TEXT, "0", "00", Some((LeadingZeros, false))),
        (TEXT, "123456789012", "1.23457E+11", Some((Digits, false))),
        (TEXT, "123456789012", "1.2E+11", Some((Digits, false))),
        (TEXT, "123456789012", "1.24E+11", Some((Text, false))),
        (TEXT, "1234567890123456", "1234567890123450", Some((Digits, false))),
        (TEXT, "1.10", "1.1", Some((Digits, false))),
        (TEXT, "5101.01", "5101.02", Some((Text, false))),
        (TEXT, "1-2", "2-Jan", Some((Date, false))),
        (TEXT, "1/2/26", "01/02/2026", Some((Text, false))),
        (TEXT, "12-2026", "Dec-26", Some((Date, false))),
        (TEXT, "rent", "Rent", Some((Text, false))),
        ("yyyy-mm-dd", "2026-01-18", "18/1/2026", Some((Date, true))),
        ("yyyy-mm-dd", "2026-01-18", "1/18/26", Some((Date, true))),
        ("yyyy-mm-dd", "2026-01-18", "18/01/2569", Some((Date, true))),
        ("yyyy-mm-dd", "2026-01-18", "18-Jan-26", Some((Date, true))),
        ("dd/mm/yyyy", "03/02/2026", "2026-02-03", Some((Date, true))),
        ("dd/mm/yyyy", "03/02/2026", "3/2/2026", Some((Date, true))),
        ("dd/mm/yyyy", "03/02/2026", "03-Feb-26", Some((Date, true))),
        ("dd/mm/yyyy", "03/02/2026", "2026-03-02", Some((Date, false))),
        ("dd/mm/yyyy", "03/02/2026", "02-Mar-26", Some((Date, false))),
        ("dd/mm/yyyy", "03/02/2026", "02/03/2026", Some((Date, false))),
        ("mm/dd/yyyy", "03/02/2026", "2026-03-02", Some((Date, true))),
        ("dd/mm/bbbb", "03/02/2569", "2026-02-03", Some((Date, true))),
        ("yyyymmdd", "20260203", "03/02/2026", Some((Date, true))),
        ("yyyy-mm-dd", "2026-01-18", "46040", Some((Date, true))),
        ("yyyy-mm-dd", "2026-01-18", "18 January 2026", Some((Date, true))),
        ("yyyy-mm-dd", "2026-01-18", "Sunday, January 18, 2026", Some((Date, true))),
        ("yyyy-mm-dd", "2026-01-18", "2026 Jan 18", Some((Date, true))),
        ("yyyy-mm-dd", "2026-01-18", "18 ม.ค. 69", Some((Date, true))),
        ("yyyy-mm-dd", "2026-01-18", "18-ม.ค.-69", Some((Date, true))),
        ("yyyy-mm-dd", "2026-01-18", "วันอาทิตย์ที่ 18 มกราคม 2569", Some((Date, true))),
        ("yyyy-mm-dd", "2026-01-18", "18 มีนาคม 2569", Some((Date, false))),
        ("yyyy-mm-dd", "2026-01-18", "19 January 2026", Some((Date, false))),
        ("yyyy-mm-dd", "2026-01-18", "paid 18 January 2026", Some((Text, false))),
        ("yyyy-mm-dd", "2026-01-18", "18 January or 18 March 2026", Some((Text, false))),
        ("yyyy-mm-dd", "2026-01-18", "2026-01-19", Some((Date, false))),
        ("yyyy-mm-dd", "2026-01-18", "####", Some((Text, false))),
        (MONEY, "1234.50", "1,234.50", Some((Amount, true))),
        (MONEY, "1234.50", "1.234,5", Some((Amount, true))),
        (MONEY, "1000.00", "1,000", Some((Amount, true))),
        (MONEY, "0.00", "", Some((Amount, true))),
        (MONEY, "0.00", "-", Some((Amount, true))),
        (MONEY, "-1234.50", "(1,234.50)", Some((Amount, true))),
        (MONEY, "1234.50", "1234.05", Some((Amount, false))),
        (MONEY, "1234.50", "1234.505", Some((Amount, false))),
        (MONEY, "1234.50", "#VALUE!", Some((Text, false))),
        (MONEY, "1234567.89", "1.23E+06", Some((Digits, false))),
        (MONEY, "1234567.89", "1,235E+06", Some((Digits, false))),
        (MONEY, "-1234567.89", "-1E+06", Some((Digits, false))),
        (MONEY, "1234567.89", "1.24E+06", Some((Text, false))),
        (MONEY, "1234567.89", "1.23E+07", Some((Text, false))),
    ] {
        assert_eq!(difference(kind, official, copy), expected, "{official} -> {copy}");
    }
}

#[test]
fn a_column_writes_its_dates_in_one_order() {
    let iso = "yyyy-mm-dd";
    for (before, same) in [(None, true), (Some("18/01/2026"), false), (Some("01/18/2026"), true)] {
        let before = before.map(|copy| ("2026-01-18", copy));
        let last = |cell| last_of(iso, '.', &before.into_iter().chain([cell]).collect::<Vec<_>>());
        assert_eq!(last(("2026-02-03", "02/03/2026")), Some((Date, same)), "{before:?}");
        // There is no month 18.
        assert_eq!(last(("2026-01-18", "18/01/2026")), Some((Date, true)), "{before:?}");
    }
    let open = [("2026-02-03", "02/03/2026"), ("2026-02-03", "03/02/2026")];
    assert_eq!(last_of(iso, '.', &open), Some((Date, false)), "the first one was month first");
    let other = [("2026-02-03", "04/03/2026"), ("2026-02-03", "03/02/2026")];
    assert_eq!(last_of(iso, '.', &other), Some((Date, true)), "another date shows no order");
}

#[test]
fn a_date_is_read_in_words_of_both_languages() {
    for text in [
        "วันอาทิตย์ที่ 18 มกราคม พ.ศ. 2569",
        "วันอาทิตย์ ที่ 18 มกราคม พ.ศ.2569",
        "18 มกราคม ค.ศ. 2026",
        "อา. 18 ม.ค. 69",
        "18ม.ค.2569",
        "18.ม.ค.69",
        "๑๘/๐๑/๒๕๖๙",
        "๑๘ ม.ค. ๒๕๖๙",
        "18th January 2026",
        "January 18th, 2026",
        "18. Jan. 2026",
        "Sun 18-JAN-26",
        "2026-01-18T00:00:00",
        "2026-01-18 00:00:00.000",
        "1/18/2026 12:00:00 AM",
        "18/1/2569 0:00 น.",
        "18 January 2026 09:30",
    ] {
        assert_eq!(difference("yyyy-mm-dd", "2026-01-18", text), Some((Date, true)), "{text}");
    }
    for (weekday, number) in ["อา.", "จ.", "อ.", "พ.", "พฤ.", "ศ.", "ส."].iter().zip(18..) {
        let text = format!("{weekday} {number} ม.ค. 69");
        assert_eq!(difference("yyyy-mm-dd", &format!("2026-01-{number}"), &text), Some((Date, true)), "{text}");
    }
}

#[test]
fn a_text_that_may_mean_anything_else_is_no_date() {
    for text in [
        "วันจันทร์ที่ 18 มกราคม พ.ศ. 2569",
        "จ. 18 ม.ค. 69",
        "18 มกราคม พ.ศ. 2026",
        "18 มกราคม ค.ศ. 2569",
        "19th January 2026",
        "18 Januar 2026",
        "18 Janitor 2026",
        "paid 18 January 2026",
        "18 January or 18 March 2026",
        "2026-01-18 paid",
        "2026-01-18T17:00:00Z",
        "2026-01-18: paid",
        "18 January 2026 2026",
        "18 + 01/2026",
        "",
    ] {
        let found = difference("yyyy-mm-dd", "2026-01-18", text);
        assert!(matches!(found, Some((Date | Text, false))), "{text}: {found:?}");
    }
}

#[test]
fn a_lone_mark_before_three_digits_means_thousands_only_where_it_cannot_mean_decimals() {
    let (point, comma) = (["0.50", "7.25"], ["0,50"]);
    let (silent, both, groups) = (["5", "1.234", "1,234"], ["0.50", "0,50"], ["1.234.567"]);
    let last = |decimal_mark, others: &[&str], official, copy| {
        let others = others.iter().map(|other| ("0.01", *other));
        last_of(MONEY, decimal_mark, &others.chain([(official, copy)]).collect::<Vec<_>>())
    };
    for (others, copy, same) in [
        (&point[..], "1.234", false),
        (&point[..], "1,234", true),
        (&comma[..], "1.234", true),
        (&comma[..], "1,234", false),
        (&silent[..], "1.234", false),
        (&silent[..], "1,234", true),
        (&both[..], "1.234", false),
        (&both[..], "1,234", false),
        (&both[..], "1,234.00", true),
        (&point[..], "1.234,00", true),
        (&point[..], "1234.000", true),
        (&point[..], "1234", true),
        (&groups[..], "1.234", true),
        (&groups[..], "1,234", false),
    ] {
        assert_eq!(last('.', others, "1234.00", copy), Some((Amount, same)), "{others:?}: {copy}");
    }
    assert_eq!(last(',', &[], "1234,00", "1,234"), Some((Amount, false)), "the official file has a comma");
    let twice = last('.', &point, "1234567.00", "1.234.567");
    assert_eq!(twice, Some((Amount, true)), "twice the same mark is no decimal mark");
    assert_eq!(last('.', &point, "0.12", "0.123"), Some((Amount, false)));
    assert_eq!(last('.', &point, "1234.50", "1234.505"), Some((Amount, false)));
}

#[test]
fn a_currency_and_thai_digits_do_not_change_an_amount() {
    for copy in ["THB 1,234.50", "1,234.50 บาท", "฿1,234.50", "๑,๒๓๔.๕๐", "๑๒๓๔.๕๐ บาท", "1234.5 THB"]
    {
        assert_eq!(difference(MONEY, "1234.50", copy), Some((Amount, true)), "{copy}");
    }
    for copy in ["THB -1,234.50", "-THB 1,234.50", "(1,234.50 บาท)", "−1\u{202f}234,50", "-1’234.50"] {
        assert_eq!(difference(MONEY, "-1234.50", copy), Some((Amount, true)), "{copy}");
    }
    for copy in ["USD 1,234.50", "1,234.50 baht each", "12,34.50", "1.2.34", "1,234.5.0", "๑x"] {
        assert_eq!(difference(MONEY, "1234.50", copy), Some((Text, false)), "{copy}");
    }
}

/// What becomes of lines of one letter each: those that are missing, added and changed, from 0, and how many are elsewhere.
fn lines(official: &str, copy: &str) -> (Vec<u64>, Vec<u64>, Vec<u64>, usize) {
    let file = |text: &str| file_of(&["Letter"], text.chars().map(|letter| vec![letter.to_string()]));
    let layout = "[[columns]]\nheader = \"Letter\"\nfield = \"letter\"\n";
    let (found, otherwise) = found(layout, file(official), file(copy));
    let of = |change| found.iter().filter(move |one| one.change == change);
    let moved = otherwise.iter().find_map(|clause| {
        clause.strip_prefix("its lines are in another order (")?.strip_suffix(" are elsewhere)")?.parse().ok()
    });
    (
        of(MissingLine).map(|one| one.line.unwrap() - 2).collect(),
        of(AddedLine).map(|one| one.copy_line.unwrap() - 2).collect(),
        of(Text).map(|one| one.line.unwrap() - 2).collect(),
        moved.unwrap_or(0),
    )
}

#[test]
fn equal_lines_belong_together_wherever_they_are() {
    let none: &[u64] = &[];
    for (official, copy, missing, added, changed, moved) in [
        ("abc", "abc", none, none, none, 0),
        ("abc", "", &[0, 1, 2], none, none, 0),
        ("", "abc", none, &[0, 1, 2], none, 0),
        ("abcde", "ae", &[1, 2, 3], none, none, 0),
        ("abc", "xaybz", none, &[0, 2], &[2], 0),
        ("abcd", "dcba", none, none, none, 3),
        // Of equal lines the one between the same neighbours is the same one.
        ("xaxbxc", "axbxc", &[0], none, none, 0),
        ("aaaa", "aaa", &[3], none, none, 0),
    ] {
        let expected = (missing.to_vec(), added.to_vec(), changed.to_vec(), moved);
        assert_eq!(lines(official, copy), expected, "{official} {copy}");
    }
}

#[test]
fn of_all_permutations_the_longest_part_in_order_is_kept() {
    let naive = |values: &[char]| {
        let kept = |mask: u32| (0..values.len()).filter(move |at| mask >> at & 1 == 1).map(|at| values[at]);
        (0..1_u32 << values.len()).filter(|mask| kept(*mask).is_sorted()).map(u32::count_ones).max().unwrap()
    };
    for seed in 0..200_u64 {
        let mut values: Vec<char> = ('a'..='h').collect();
        values.sort_by_key(|value| {
            (seed + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(u32::from(*value) % 8 * 7) ^ seed
        });
        let moved = 8 - naive(&values) as usize;
        let copy: String = values.into_iter().collect();
        assert_eq!(lines("abcdefgh", &copy), (Vec::new(), Vec::new(), Vec::new(), moved), "{copy}");
    }
}
