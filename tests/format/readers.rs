//! What other programs read from our files: the same cells, whoever reads.
//!
//! Our own writer's reader proves little. So cells are read back by three parties: the csv crate, a naive RFC 4180 parser written
//! here, and Python's csv module; and Python's codec says which characters windows-874 has.

use std::path::Path;
use std::process::Command;

use batch_export::csv::{Recount, Sheet, recount};
use batch_export::entry::{FieldList, StoredValue};
use batch_export::layout::{BUILT_IN, Encoding};
use batch_export::money::Number;
use proptest::prelude::*;

use super::{built_in, entry, guarded, names, options, write};

/// What RFC 4180 says, character by character, and nothing more.
pub fn parse(mut text: &str) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    let mut row = Vec::new();
    while !text.is_empty() {
        let mut cell = String::new();
        if let Some(mut quoted) = text.strip_prefix('"') {
            loop {
                let quote = quoted.find('"').expect("a closing quote");
                cell.push_str(&quoted[..quote]);
                quoted = &quoted[quote + 1..];
                match quoted.strip_prefix('"') {
                    Some(rest) => quoted = rest,
                    None => break,
                }
                cell.push('"');
            }
            text = quoted;
        } else {
            let end = text.find([',', '\r', '\n', '"']).expect("a delimiter");
            cell.push_str(&text[..end]);
            text = &text[end..];
        }
        row.push(cell);
        text = match text.strip_prefix(',') {
            Some(rest) => rest,
            None => {
                rows.push(std::mem::take(&mut row));
                text.strip_prefix("\r\n").expect("CRLF after the last cell of a line")
            }
        };
    }
    assert!(row.is_empty(), "a final CRLF");
    rows
}

pub fn parse_by_crate(bytes: &[u8]) -> Vec<Vec<String>> {
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(bytes);
    reader.records().map(|record| record.unwrap().iter().map(str::to_owned).collect()).collect()
}

/// Reads a file with Python's csv module: a line of JSON per row.
fn parse_by_python(path: &Path, encoding: &str) -> Vec<Vec<String>> {
    let script = "import csv, json, sys\n\
                  for row in csv.reader(open(sys.argv[1], newline='', encoding=sys.argv[2]), strict=True): print(json.dumps(row))";
    let output = Command::new("python3").args(["-c", script]).arg(path).arg(encoding).output().expect("python3");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output
        .stdout
        .split(|&byte| byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect()
}

#[test]
fn python_reads_the_same_cells() {
    // Without NUL, which older versions of the module refuse anywhere.
    let mut nasty = vec![
        "\"",
        "\"\"",
        ",",
        "\r\n",
        "\r",
        "\n",
        " ",
        "'",
        "=\"a\",b",
        "a\r\n\"b\",\n",
        "ค่าเช่า, \"ม.ค.\"",
        "\u{a0}x",
        "…“”",
    ]
    .into_iter()
    .map(str::to_owned)
    .collect::<Vec<_>>();
    let allowed = |byte: &u8| !byte.is_ascii_control() || b"\t\r\n".contains(byte);
    nasty.extend((1..0x80u8).filter(allowed).map(|byte| format!("{0}a{0},{0}", byte as char)));
    // Blank descriptions are missing ones, and are written as the layout says.
    nasty.retain(|text| !text.trim().is_empty());
    let entries: Vec<_> = nasty.iter().map(|text| entry(text).text("metadata.voucherNo", "a\"b, c")).collect();
    let folder = tempfile::tempdir().unwrap();
    for (encoding, codec) in
        [(Encoding::Utf8, "utf-8"), (Encoding::Utf8Bom, "utf-8-sig"), (Encoding::Windows874, "cp874")]
    {
        for (name, _) in BUILT_IN {
            let path = folder.path().join(format!("{name}-{}.csv", encoding.name()));
            std::fs::write(&path, write(options(name, Some(encoding)), &entries).0).unwrap();
            let rows = parse_by_python(&path, codec);
            assert_eq!(rows[0], names(&built_in(name)));
            let copies = (rows.len() - 1) / entries.len();
            for (row, text) in rows[1..].iter().zip(nasty.iter().flat_map(|text| std::iter::repeat_n(text, copies))) {
                assert_eq!(row[5], guarded(text), "{name} {}", encoding.name());
            }
            assert_eq!((rows.len() - 1) % entries.len(), 0);
        }
    }
}

#[test]
fn windows_874_is_code_page_874_and_nothing_else() {
    let journal = built_in("journal");
    let options = options("journal", Some(Encoding::Windows874));
    let mut sheet = Sheet::new(Vec::new(), &options, &FieldList::of(&journal)).unwrap();
    let mut accepted = Vec::new();
    for character in ('\0'..=char::MAX).filter(|character| !"\",\r\n".contains(*character)) {
        let text = format!("x{character}");
        match sheet.push(&entry(&text).read(&journal)).unwrap() {
            Ok(()) => accepted.push(u32::from(character)),
            Err(reason) => {
                let number = format!("description has U+{:04X} ", u32::from(character));
                assert!(reason.starts_with(&number) && reason.contains(" after \"x\""), "{reason}");
                assert!(character.is_ascii_control() != reason.ends_with(", which windows-874 lacks"), "{reason}");
            }
        }
    }
    let bytes = sheet.finish().unwrap().0;
    let lines = bytes.split(|&byte| byte == b'\n').skip(1).filter(|line| !line.is_empty());
    let ours = accepted.into_iter().zip(lines.map(|line| line[line.len() - 2])).collect::<Vec<_>>();
    let script = "import json\n\
                  table = []\n\
                  for code in range(0x110000):\n\
                  \x20   try: table.append((code, chr(code).encode('cp874')[0]))\n\
                  \x20   except UnicodeEncodeError: pass\n\
                  print(json.dumps([pair for pair in table if chr(pair[0]) not in '\",\\r\\n' and (pair[0] == 9 or 31 < pair[0] != 127)]))";
    let output = Command::new("python3").args(["-c", script]).output().expect("python3");
    let theirs: Vec<(u32, u8)> = serde_json::from_slice(&output.stdout).expect("a table");
    assert_eq!(ours, theirs);
}

/// Text in which what matters to a CSV is frequent.
fn text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        prop::sample::select(vec![
            "\"",
            ",",
            "\r",
            "\n",
            "\r\n",
            "=",
            "+",
            "-",
            "@",
            "\t",
            "'",
            " ",
            "\0",
            "\u{feff}",
            ";",
            "ค่า"
        ])
        .prop_map(str::to_owned),
        any::<char>().prop_map(String::from),
        "\\PC{0,5}",
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn any_text_comes_back_as_it_was(
        texts in prop::collection::vec((text(), text(), text(), 1..=1i64 << 53, any::<bool>()), 0..8),
        express in any::<bool>(),
    ) {
        let name = if express { "express" } else { "journal" };
        let written = |text: &str| text.chars().filter(|c| !c.is_ascii_control() || "\t\r\n".contains(*c)).collect::<String>();
        // Letters that fill a place and show nothing are no part of a code.
        let is_filler = |c: char| matches!(c, '\u{115f}' | '\u{1160}' | '\u{3164}' | '\u{ffa0}');
        let is_seen = |c: &char| *c == ' ' || c.is_ascii_graphic() || (c.is_alphanumeric() && !is_filler(*c));
        let code = |text: &str| format!("x{}x", text.chars().filter(is_seen).collect::<String>());
        let texts: Vec<_> = texts
            .iter()
            .map(|(description, account, voucher, satang, debit)| (written(description), code(account), code(voucher), *satang, *debit))
            .collect();
        let entries: Vec<_> = texts.iter().map(|(description, account, voucher, satang, debit)| {
            entry(description)
                .text("accountCode", account)
                .text("metadata.voucherNo", voucher)
                .with("amount", StoredValue::Number(Number::Int(*satang)))
                .text("type", if *debit { "debit" } else { "credit" })
        }).collect();
        let (bytes, tally) = write(options(name, Some(Encoding::Utf8)), &entries);
        let rows = parse(str::from_utf8(&bytes).unwrap());
        let layout = built_in(name);
        prop_assert_eq!(&parse_by_crate(&bytes), &rows);
        prop_assert_eq!(&rows[0], &names(&layout));
        let per_entry = if express { 2 } else { 1 };
        prop_assert_eq!(rows.len(), 1 + per_entry * entries.len());
        let mut guards = 0;
        for (row, (description, account, voucher, _, debit)) in rows[1..].iter().zip(texts.iter().flat_map(|text| std::iter::repeat_n(text, per_entry))) {
            let description = if description.trim().is_empty() { "" } else { description };
            prop_assert_eq!(&row[5], &guarded(description));
            guards += u64::from(row[5] != *description);
            if express {
                prop_assert_eq!(&row[1], voucher);
            }
            let own = *debit == (row[4] == "0.00");
            let contra = if *debit { "2000" } else { "3000" };
            prop_assert_eq!(&row[2], if own { account } else { contra });
        }
        prop_assert_eq!(tally.guarded_cells, guards);
        prop_assert_eq!(recount(&bytes[..], &layout, Encoding::Utf8), Ok(Recount { totals: tally.totals, has_sums: true }));
        prop_assert_eq!(write(options(name, Some(Encoding::Utf8)), &entries).0, bytes);
    }
}
