//! A copy whose columns somebody moved, removed or added: its header tells which is which.

use super::{Desk, differences, verdict};
use crate::support::command::said;
use crate::support::seed::{DATE, Entry};

fn desk() -> Desk {
    let entry = |number| Entry::numbered(DATE, number).amount(10_000 + i64::from(number)).kind("debit");
    Desk::with(&(0..30).map(entry).collect::<Vec<_>>(), &[])
}

/// The lines of the official file, each made anew from its cells and its number, from 0.
fn rearranged(desk: &Desk, cells: impl Fn(usize, Vec<String>) -> Option<Vec<String>>) -> Vec<u8> {
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(&desk.official[..]);
    let mut writer = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(Vec::new());
    for (line, record) in reader.records().map(|record| record.expect("a record")).enumerate() {
        if let Some(cells) = cells(line, record.iter().map(str::to_owned).collect()) {
            writer.write_record(cells).expect("a line");
        }
    }
    writer.into_inner().expect("a copy")
}

#[test]
fn columns_that_were_moved_are_no_other_values() {
    let desk = desk();
    let moved = |amount: Option<&'static str>| {
        rearranged(&desk, move |line, mut cells| {
            if let Some(amount) = amount.filter(|_| line == 9) {
                cells[3] = amount.to_owned();
            }
            cells.swap(1, 2);
            cells.swap(3, 5);
            Some(cells)
        })
    };
    let finished = desk.verify(moved(None)).expect_code(34);
    assert_eq!((verdict(&finished).0, differences(&finished)), ("rewritten".to_owned(), Vec::new()));
    let written = finished.json()["file"]["rewritten"].to_string();
    assert!(written.contains("its columns are at other places\""), "{written}");
    let found = differences(&desk.verify(moved(Some("999.09"))).expect_code(34));
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!((found[0].0, &*found[0].1, &*found[0].4), (10, "Debit", "999.09"));
}

#[test]
fn a_column_of_the_accountant_is_the_only_difference() {
    let desk = desk();
    let numbered = rearranged(&desk, |line, mut cells| {
        cells.insert(0, if line == 0 { "No.".to_owned() } else { line.to_string() });
        Some(cells)
    });
    let finished = desk.verify(numbered).expect_code(34);
    let found = differences(&finished);
    assert!(found.len() == 31 && found.iter().all(|one| one.1 == "7" && one.3.is_empty()), "{found:?}");
    assert_eq!(verdict(&finished).0, "different");
}

#[test]
fn without_the_column_of_the_entries_a_removed_line_and_a_changed_amount_are_still_named() {
    let desk = desk();
    let without = rearranged(&desk, |line, mut cells| {
        if line == 20 {
            cells[3] = "7.77".to_owned();
        }
        cells.remove(0);
        (line != 5).then_some(cells)
    });
    let finished = desk.verify(without).expect_code(34);
    let found = differences(&finished);
    let others: Vec<_> = found.iter().filter(|one| one.1 != "Entry ID").collect();
    assert_eq!(others.len(), 2, "{others:?}");
    assert!(others[0].0 == 6 && others[0].2 == "missing_line", "{others:?}");
    assert_eq!((others[1].0, &*others[1].1, &*others[1].4), (21, "Debit", "7.77"));
    let message = said(&finished.json()["problems"][0]);
    assert!(message.contains("it has no column Entry ID"), "{message}");
}
