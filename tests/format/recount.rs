//! A recount trusts the bytes alone: it agrees with the writer, and notices what happened to the file since.

use batch_export::csv::{Recount, recount};
use batch_export::layout::{BUILT_IN, Encoding};
use proptest::prelude::*;

use super::{built_in, entry, names, options, write};

#[test]
fn a_recount_finds_a_damaged_file() {
    let entries = [entry("a"), entry("ค่า")];
    let (journal, _) = write(options("journal", None), &entries);
    let (express, tally) = write(options("express", None), &entries);
    let counted = recount(&express[..], &built_in("express"), Encoding::Windows874);
    assert_eq!(counted, Ok(Recount { totals: tally.totals, has_sums: true }));
    let journal = String::from_utf8(journal).unwrap();
    let changed = |from: &str, to: &str| journal.replacen(from, to, 1).into_bytes();
    for (bytes, format, encoding, reason) in [
        (Vec::new(), "journal", Encoding::Utf8, "the file is empty"),
        (changed("Debit", "debit"), "journal", Encoding::Utf8, "the header is not Entry ID,Date"),
        (express.clone(), "journal", Encoding::Utf8, "the header is not"),
        (changed("1234.50", "1234.5"), "journal", Encoding::Utf8, "row 2: Debit is \"1234.5\", not an amount"),
        (changed("1234.50", "-1.00"), "journal", Encoding::Utf8, "row 2: Debit is \"-1.00\", not an amount"),
        (changed("0.00", "1.00"), "journal", Encoding::Utf8, "row 2: not exactly one of debit and credit is zero"),
        (changed("1234.50", "0.00"), "journal", Encoding::Utf8, "row 2: not exactly one of debit and credit is zero"),
        (changed(",2026-01-18", ""), "journal", Encoding::Utf8, "row 2: the number of cells is 5, not 6"),
        (changed("", "\u{feff}"), "journal", Encoding::Utf8, "begins with a byte order mark"),
        (changed("", ""), "journal", Encoding::Utf8Bom, "does not begin with a byte order mark"),
        (
            express[..express.len() - 40].to_vec(),
            "express",
            Encoding::Windows874,
            "row 5: the number of cells is 1, not 6",
        ),
        (express[..express.len() - 3].to_vec(), "express", Encoding::Windows874, "does not end with CRLF"),
        (express[..express.len() - 1].to_vec(), "express", Encoding::Windows874, "does not end with CRLF"),
        (express.clone(), "express", Encoding::Utf8, "row 4: Description is not utf-8"),
        (changed("ค่า", "\u{81}"), "journal", Encoding::Windows874, "row 3: Description is not windows-874"),
    ] {
        let found = recount(&bytes[..], &built_in(format), encoding).unwrap_err();
        assert!(found.contains(reason), "{reason:?}: {found}");
    }
    let three_rows = express.split_inclusive(|&byte| byte == b'\n').take(4).flatten().copied().collect::<Vec<_>>();
    let found = recount(&three_rows[..], &built_in("express"), Encoding::Windows874).unwrap_err();
    assert_eq!(found, "3 rows are not 2 rows per entry");
}

proptest! {
    #[test]
    fn a_recount_never_panics(mut bytes in prop::collection::vec(any::<u8>(), 0..200), header: bool) {
        for (name, _) in BUILT_IN {
            let layout = built_in(name);
            if header {
                bytes.splice(0..0, format!("{}\r\n", names(&layout).join(",")).into_bytes());
            }
            for encoding in Encoding::ALL {
                if let Ok(Recount { totals, .. }) = recount(&bytes[..], &layout, encoding) {
                    prop_assert!(totals.entries <= totals.rows && totals.rows <= bytes.len() as u64);
                }
            }
        }
    }
}
