//! What other programs read from our files: the same cells, whoever reads.
//!
//! Our own writer's reader proves little. So cells are read back by three parties: the csv crate, a naive RFC 4180 parser written
//! here, and Python's csv module; and Python's codec says which characters windows-874 has.

use std::path::Path;
use std::process::Command;

use batch_export::csv::{Encoding, Format, Sheet, recount};
use batch_export::entry::{EntryFields, validate};
use batch_export::money::Number;
use proptest::prelude::*;

use super::{entry, guarded, options, write};

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
    nasty.extend((1..0x80u8).map(|byte| format!("{0}a{0},{0}", byte as char)));
    let entries =
        nasty.iter().map(|text| EntryFields { voucher_no: Some("a\"b,\n"), ..entry(text) }).collect::<Vec<_>>();
    let folder = tempfile::tempdir().unwrap();
    for (encoding, codec) in
        [(Encoding::Utf8, "utf-8"), (Encoding::Utf8Bom, "utf-8-sig"), (Encoding::Windows874, "cp874")]
    {
        for format in Format::ALL {
            let path = folder.path().join(format!("{}-{}.csv", format.name(), encoding.name()));
            std::fs::write(&path, write(options(format, Some(encoding)), &entries).0).unwrap();
            let rows = parse_by_python(&path, codec);
            assert_eq!(rows[0], format.header());
            let copies = (rows.len() - 1) / entries.len();
            for (row, text) in rows[1..].iter().zip(nasty.iter().flat_map(|text| std::iter::repeat_n(text, copies))) {
                assert_eq!(row[5], guarded(text), "{} {}", format.name(), encoding.name());
            }
            assert_eq!((rows.len() - 1) % entries.len(), 0);
        }
    }
}

#[test]
fn windows_874_is_code_page_874_and_nothing_else() {
    let mut sheet = Sheet::new(Vec::new(), options(Format::Journal, Some(Encoding::Windows874))).unwrap();
    let mut accepted = Vec::new();
    for character in ('\0'..=char::MAX).filter(|character| !"\",\r\n".contains(*character)) {
        let text = format!("x{character}");
        match sheet.push(&validate(&entry(&text)).unwrap()).unwrap() {
            Ok(()) => accepted.push(u32::from(character)),
            Err(reason) => {
                let expected = format!("description has U+{:04X}, which windows-874 lacks", u32::from(character));
                assert_eq!(reason, expected);
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
                  print(json.dumps([pair for pair in table if chr(pair[0]) not in '\",\\r\\n']))";
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
        format in prop::sample::select(&Format::ALL[..]),
    ) {
        let entries = texts.iter().map(|(description, account, voucher, satang, debit)| EntryFields {
            account: Some(if account.trim().is_empty() { "1" } else { account }),
            voucher_no: Some(voucher),
            amount: Some(Number::Int(*satang)),
            kind: Some(if *debit { "debit" } else { "credit" }),
            ..entry(description)
        }).collect::<Vec<_>>();
        let (bytes, tally) = write(options(format, Some(Encoding::Utf8)), &entries);
        let rows = parse(str::from_utf8(&bytes).unwrap());
        prop_assert_eq!(&parse_by_crate(&bytes), &rows);
        prop_assert_eq!(&rows[0], format.header());
        let per_entry = match format { Format::Journal => 1, Format::Express => 2 };
        prop_assert_eq!(rows.len(), 1 + per_entry * entries.len());
        let mut guards = 0;
        for (row, fields) in rows[1..].iter().zip(entries.iter().flat_map(|fields| std::iter::repeat_n(fields, per_entry))) {
            let description = guarded(fields.description.unwrap());
            prop_assert_eq!(&row[5], &description);
            guards += u64::from(Some(&description[..]) != fields.description);
            if let (Format::Express, Some(voucher)) = (format, fields.voucher_no.filter(|voucher| !voucher.trim().is_empty())) {
                prop_assert_eq!(&row[1], &guarded(voucher));
                guards += u64::from(row[1] != voucher);
            }
            let own = (fields.kind == Some("debit")) == (row[4] == "0.00");
            let contra = if fields.kind == Some("debit") { "2000" } else { "3000" };
            prop_assert_eq!(&row[2], if own { fields.account.unwrap() } else { contra });
        }
        prop_assert_eq!(tally.guarded_cells, guards);
        prop_assert_eq!(recount(&bytes[..], format, Encoding::Utf8), Ok(tally.totals));
        prop_assert_eq!(write(options(format, Some(Encoding::Utf8)), &entries).0, bytes);
    }
}
