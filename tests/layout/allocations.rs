//! Writing a row allocates nothing, with every option of a layout: allocations are counted on the thread of the test.

use std::alloc::{GlobalAlloc, Layout as Memory, System};
use std::cell::Cell;

use batch_export::csv::Sheet;
use batch_export::entry::{EntryFields, FieldList, StoredValue};
use batch_export::layout::{Layout, parse};
use batch_export::money::Number;

use super::fields::TestEntry;
use super::options;

const ROWS: usize = 10_000;

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

/// The allocator of the system, counting.
struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[expect(unsafe_code, reason = "an allocator has no safe form; every call is passed on as it is")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, memory: Memory) -> *mut u8 {
        // A thread that ends has no counter any more.
        let _ = COUNT.try_with(|count| count.set(count.get() + 1));
        unsafe { System.alloc(memory) }
    }

    unsafe fn dealloc(&self, place: *mut u8, memory: Memory) {
        unsafe { System.dealloc(place, memory) }
    }

    unsafe fn realloc(&self, place: *mut u8, memory: Memory, bytes: usize) -> *mut u8 {
        let _ = COUNT.try_with(|count| count.set(count.get() + 1));
        unsafe { System.realloc(place, memory, bytes) }
    }
}

/// Every value and kind, each with the options that change how it is written.
const OWN: &str = "name = \"own\"\nencoding = \"ENCODING\"\ndecimal_mark = \",\"\nquote = \"QUOTE\"\n\
    date_format = \"dd/mm/bbbb\"\nrows_per_entry = ROWS\nline_breaks = \"space\"\ninvisible = \"drop\"\n";
const VALUES: [&str; 23] = [
    "value = \"entry-id\"",
    "value = \"line\"",
    "value = \"position\"",
    "value = \"date\"",
    "value = \"business-date\"",
    "value = \"batch-number\"",
    "value = \"voucher\"",
    "value = \"account\"",
    "value = \"contra-account\"",
    "value = \"debit\"",
    "value = \"credit\"\nzero = \"\"",
    "value = \"amount\"",
    "value = \"signed-amount\"",
    "value = \"side\"",
    "value = \"description\"\nmax_chars = 200",
    "value = \"category\"\nempty = \"-\"",
    "value = \"client\"",
    "value = \"constant\"\ntext = \"ค่า\"",
    "field = \"metadata.note\"\nempty = \"\"",
    "field = \"metadata.department\"\nkind = \"code\"",
    "field = \"metadata.lines\"\nkind = \"integer\"",
    "field = \"metadata.paid\"\nkind = \"money\"",
    "field = \"metadata.due\"\nkind = \"date\"",
];

fn own(encoding: &str, quote: &str, rows: &str) -> Layout {
    let mut text = OWN.replace("ENCODING", encoding).replace("QUOTE", quote).replace("ROWS", rows);
    for value in VALUES {
        text += &format!("[[columns]]\nheader = \"หัว\"\n{value}\n");
    }
    parse(&text).unwrap()
}

/// Good entries that need every treatment: a guard, dropped characters, line breaks, trimmed codes, missing fields, numbers of each type.
fn entries() -> Vec<TestEntry<'static>> {
    let number = StoredValue::Number;
    let texts = ["plain", "=1+1\r\nof Thai", "ค่า\u{200b}เช่า\nสำนักงาน", "\u{200b}ไฟฟ้า, \"น้ำ\"", "-ลบ\u{feff}"];
    let mut entries: Vec<_> = texts.iter().map(|text| TestEntry::good(text)).collect();
    entries[1] = entries[1].clone().text("type", "credit").with("amount", number(Number::Double(5.0)));
    entries[2] =
        entries[2].clone().text("metadata.voucherNo", " ใบ-1\u{a0}").text("accountCode", "\u{200b}10\u{200b} ");
    entries[3] = entries[3].clone().without("category").text("metadata.note", "\u{200b} ");
    entries[4] = entries[4].clone().text("metadata.note", "+ค่า\u{200d}");
    let far = |entry: TestEntry<'static>, at: i64| {
        entry
            .text("metadata.department", " ฝ่าย 7 ")
            .with("metadata.lines", number(Number::Int(-12)))
            .with("metadata.paid", number(Number::Double(1_234_567.0)))
            .with("metadata.due", StoredValue::Date(super::fields::DATE_MS + at * 86_400_000))
    };
    entries.into_iter().zip(0..).map(|(entry, at)| far(entry, at)).collect()
}

/// Allocations of so many rows, once the buffers have grown.
fn allocations(layout: &Layout) -> u64 {
    let read: Vec<EntryFields<'_>> = entries().iter().map(|entry| entry.read(layout)).collect();
    let mut sheet = Sheet::new(std::io::sink(), &options(layout), &FieldList::of(layout)).unwrap();
    let mut before = 0;
    for (row, entry) in (0..ROWS + read.len()).zip(read.iter().cycle()) {
        if row == read.len() {
            before = COUNT.get();
        }
        sheet.push(entry).unwrap().unwrap();
    }
    COUNT.get() - before
}

#[test]
fn writing_a_row_allocates_nothing_with_any_option() {
    assert_eq!(allocations(&Layout::built_in("journal").unwrap()), 0);
    for (encoding, quote, rows) in
        [("utf-8", "needed", "1"), ("windows-874", "needed", "2"), ("windows-874", "always", "1")]
    {
        assert_eq!(allocations(&own(encoding, quote, rows)), 0, "{encoding}, {quote}, {rows}");
    }
}
