//! The engine against a naive writer, over random layouts and random entries.
//!
//! The naive one works on strings, with the simplest code that does what the README says. It shares nothing with the engine but the
//! calendar of chrono, and says only whether an entry is refused, not why.

use batch_export::csv::recount;
use batch_export::entry::StoredValue;
use batch_export::layout::{Encoding, Layout, parse};
use batch_export::money::Number;
use chrono::{DateTime, Datelike, FixedOffset};
use proptest::prelude::*;

use super::fields::TestEntry;
use super::{options, write};

/// A layout as a person would write it down.
#[derive(Clone, Debug)]
struct Own {
    windows: bool,
    delimiter: char,
    decimal_mark: char,
    always_quoted: bool,
    line_feed: bool,
    header: bool,
    date_format: &'static str,
    two_rows: bool,
    guard: bool,
    spaces: bool,
    drops: bool,
    columns: Vec<OwnColumn>,
}

#[derive(Clone, Debug)]
struct OwnColumn {
    /// A value, or a field as `path:kind`.
    content: &'static str,
    empty: Option<&'static str>,
    max_chars: Option<usize>,
    hides_zero: bool,
    words: Option<[&'static str; 2]>,
    date_format: Option<&'static str>,
}

impl OwnColumn {
    /// The words of a side, and the format of dates, each where the column may have one of its own.
    fn words(&self) -> Option<[&'static str; 2]> {
        self.words.filter(|_| self.content == "side")
    }

    fn date_format(&self) -> Option<&'static str> {
        self.date_format.filter(|_| matches!(self.content, "date" | "business-date" | "date:date"))
    }

    /// `max_chars`, where no text of the layout itself is longer.
    fn limit(&self) -> Option<usize> {
        let longest = match self.content {
            "constant" => 7,
            "side" => self.words().map_or(1, |words| words.map(|word| word.chars().count()).into_iter().max().unwrap()),
            "debit" | "credit" if !self.hides_zero => 4,
            "amount" | "signed-amount" => 4,
            "entry-id" => 24,
            "date" | "business-date" | "date:date" => 10,
            _ => 0,
        };
        let empty = self.empty.filter(|_| may_be_missing(self.content)).map_or(0, |empty| empty.chars().count());
        self.max_chars.filter(|most| *most >= longest.max(empty))
    }
}

impl Own {
    fn toml(&self) -> String {
        let pick = |condition, yes, no| if condition { yes } else { no };
        let mut text = format!(
            "name = \"own\"\nencoding = \"{}\"\ndelimiter = {:?}\ndecimal_mark = \"{}\"\nquote = \"{}\"\nline_end = \"{}\"\nheader = {}\n\
             date_format = \"{}\"\nrows_per_entry = {}\nformula_guard = {}\nline_breaks = \"{}\"\ninvisible = \"{}\"\n",
            pick(self.windows, "windows-874", "utf-8"),
            self.delimiter.to_string(),
            self.decimal_mark,
            pick(self.always_quoted, "always", "needed"),
            pick(self.line_feed, "lf", "crlf"),
            self.header,
            self.date_format,
            if self.two_rows { 2 } else { 1 },
            self.guard,
            pick(self.spaces, "space", "keep"),
            pick(self.drops, "drop", "refuse"),
        );
        for (index, column) in self.columns.iter().enumerate() {
            text += &format!("[[columns]]\nheader = \"คอลัมน์ {index}\"\n");
            match column.content.split_once(':') {
                Some((path, kind)) => text += &format!("field = \"{path}\"\nkind = \"{kind}\"\n"),
                None => text += &format!("value = \"{}\"\n", column.content),
            }
            if column.content == "constant" {
                text += "text = \"=ค่า, 1\"\n";
            }
            if matches!(column.content, "debit" | "credit") && column.hides_zero {
                text += "zero = \"\"\n";
            }
            if let Some(empty) = column.empty.filter(|_| may_be_missing(column.content)) {
                text += &format!("empty = \"{empty}\"\n");
            }
            if let Some(max_chars) = column.limit() {
                text += &format!("max_chars = {max_chars}\n");
            }
            if let Some(words) = column.words() {
                text += &format!("words = [\"{}\", \"{}\"]\n", words[0], words[1]);
            }
            if let Some(format) = column.date_format() {
                text += &format!("date_format = \"{format}\"\n");
            }
        }
        text
    }

    /// The rows of an entry, as texts; `None`: refused.
    fn rows(&self, entry: &TestEntry<'_>, position: usize, line: usize) -> Option<Vec<Vec<String>>> {
        let StoredValue::Text(kind) = entry.value("type") else { return None };
        let sides = if self.two_rows { vec!["debit", "credit"] } else { vec![kind] };
        let row = |(index, side): (usize, &&str)| {
            let cells = self.columns.iter().map(|column| self.cell(column, entry, kind, side, position, line + index));
            let cells = cells.collect::<Option<Vec<String>>>()?;
            // What a reader would take for the mark of the file.
            let mark = !self.windows && !self.header && !self.always_quoted && cells[0].starts_with('\u{feff}');
            (!mark).then_some(cells)
        };
        sides.iter().enumerate().map(row).collect()
    }

    fn cell(
        &self,
        column: &OwnColumn,
        entry: &TestEntry<'_>,
        kind: &str,
        side: &str,
        position: usize,
        line: usize,
    ) -> Option<String> {
        let StoredValue::Number(Number::Int(satang)) = entry.value("amount") else { return None };
        let zero = if column.hides_zero { String::new() } else { self.money(0) };
        let own = self.code(entry.value("accountCode"));
        let contra = self.code(entry.value(if kind == "debit" { "metadata.crAccount" } else { "metadata.drAccount" }));
        let (this, other) = if side == kind { (own, contra) } else { (contra, own) };
        let format = column.date_format().unwrap_or(self.date_format);
        let number = match entry.value("metadata.note") {
            StoredValue::Number(Number::Int(number)) => Some(number.to_string()),
            _ => None,
        };
        let mut is_text = false;
        let cell = match column.content {
            "entry-id" => Some(entry.id.0.iter().map(|byte| format!("{byte:02x}")).collect()),
            "line" => Some((line + usize::from(self.header)).to_string()),
            "position" => Some(position.to_string()),
            "date" | "date:date" => Some(date(format, entry.value("date"))?),
            "business-date" => Some(date(format, StoredValue::Date(1_768_700_000_000))?),
            "batch-number" => Some("17".to_owned()),
            "voucher" => {
                let voucher = self.code(entry.value("metadata.voucherNo"))?;
                Some(voucher.unwrap_or_else(|| format!("JV-260118-{position:05}")))
            }
            "account" => this?,
            "contra-account" => other?,
            "debit" if side == "debit" => Some(self.money(satang)),
            "credit" if side == "credit" => Some(self.money(satang)),
            "debit" | "credit" => Some(zero),
            "amount" => Some(self.money(satang)),
            "signed-amount" => Some(self.money(if side == "debit" { satang } else { -satang })),
            "side" => Some(column.words().unwrap_or(["D", "C"])[usize::from(side != "debit")].to_owned()),
            "constant" => Some("=ค่า, 1".to_owned()),
            "metadata.note:text" | "metadata.note:code" if number.is_some() => number,
            "description" | "category" | "metadata.note:text" => {
                is_text = true;
                self.text(entry.value(column.content.split(':').next()?))?
            }
            "client" => self.code(entry.value("clientId"))?,
            "metadata.note:code" => self.code(entry.value("metadata.note"))?,
            "vatAmount:money" => match entry.value("vatAmount") {
                StoredValue::Missing => None,
                StoredValue::Number(Number::Int(satang)) => Some(self.money(satang)),
                _ => return None,
            },
            "vatAmount:integer" => match entry.value("vatAmount") {
                StoredValue::Missing => None,
                StoredValue::Number(Number::Int(number)) => Some(number.to_string()),
                _ => return None,
            },
            other => unreachable!("{other}"),
        };
        let Some(cell) = cell else {
            return column.empty.map(str::to_owned).filter(|_| may_be_missing(column.content));
        };
        let fits = column.limit().is_none_or(|most| cell.chars().count() <= most);
        let guarded = is_text && self.guard && cell.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']);
        fits.then(|| if guarded { format!("'{cell}") } else { cell })
    }

    /// `None`: refused; `Some(None)`: missing.
    fn code(&self, stored: StoredValue<'_>) -> Option<Option<String>> {
        let text = match stored {
            StoredValue::Missing => return Some(None),
            StoredValue::Id(id) => return Some(Some(id.0.iter().map(|byte| format!("{byte:02x}")).collect())),
            StoredValue::Text(text) => text
                .trim_start_matches([' ', '\u{a0}', '\u{200b}', '\u{feff}'])
                .trim_end_matches([' ', '\u{a0}', '\u{200b}', '\u{feff}', '\t', '\r', '\n']),
            _ => return None,
        };
        if text.is_empty() {
            return Some(None);
        }
        let formula = text.starts_with(['=', '+', '@', '\t']);
        let control = text.contains(['\0', '\t', '\r', '\n']);
        let text = self.encodable(text)?;
        let hidden = text.contains(['\u{a0}', '\u{200b}']);
        (!formula && !control && !hidden).then_some(Some(text))
    }

    fn text(&self, stored: StoredValue<'_>) -> Option<Option<String>> {
        let StoredValue::Text(text) = stored else { return (stored == StoredValue::Missing).then_some(None) };
        if text.contains('\0') {
            return None;
        }
        if text.trim().is_empty() {
            return Some(None);
        }
        let text = if self.spaces { text.replace("\r\n", " ").replace(['\r', '\n'], " ") } else { text.to_owned() };
        let text = self.encodable(&text)?;
        Some(Some(text).filter(|text| !text.trim().is_empty()))
    }

    /// windows-874 has ASCII and Thai here, and nothing else.
    fn encodable(&self, text: &str) -> Option<String> {
        if !self.windows {
            return Some(text.to_owned());
        }
        let kept: String =
            text.chars().filter(|character| !(self.drops && ['\u{200b}', '\u{feff}'].contains(character))).collect();
        kept.chars()
            .all(|character| {
                character.is_ascii() || ('\u{e01}'..='\u{e5b}').contains(&character) || character == '\u{a0}'
            })
            .then_some(kept)
    }

    fn money(&self, satang: i64) -> String {
        let sign = if satang < 0 { "-" } else { "" };
        format!("{sign}{}{}{:02}", satang.abs() / 100, self.decimal_mark, satang.abs() % 100)
    }

    fn line(&self, cells: &[String]) -> String {
        let quoted = |cell: &String| {
            let needs = cell.contains([self.delimiter, '"', '\r', '\n']) || (cells.len() == 1 && cell.is_empty());
            if self.always_quoted || needs { format!("\"{}\"", cell.replace('"', "\"\"")) } else { cell.clone() }
        };
        let cells: Vec<String> = cells.iter().map(quoted).collect();
        cells.join(&self.delimiter.to_string()) + if self.line_feed { "\n" } else { "\r\n" }
    }

    /// The file, and how many entries are refused.
    fn file(&self, entries: &[TestEntry<'_>]) -> (String, usize) {
        let mut file = String::new();
        if self.header {
            let names: Vec<String> = (0..self.columns.len()).map(|index| format!("คอลัมน์ {index}")).collect();
            file += &self.line(&names);
        }
        let (mut accepted, mut rows) = (0, 0);
        for entry in entries {
            let Some(made) = self.rows(entry, accepted + 1, rows + 1).filter(|_| self.always(entry)) else { continue };
            accepted += 1;
            rows += made.len();
            file.extend(made.iter().map(|cells| self.line(cells)));
        }
        (file, entries.len() - accepted)
    }

    /// What holds of every entry, whatever the columns show.
    fn always(&self, entry: &TestEntry<'_>) -> bool {
        let StoredValue::Text(account) = entry.value("accountCode") else { return false };
        let account = account.trim_matches([' ', '\u{a0}', '\u{200b}', '\u{feff}', '\r', '\n']);
        !account.is_empty() && !account.starts_with(['=', '+', '@', '\t']) && !account.contains('\0')
    }
}

fn date(format: &str, stored: StoredValue<'_>) -> Option<String> {
    let StoredValue::Date(ms) = stored else { return None };
    let bangkok = FixedOffset::east_opt(7 * 3600).unwrap();
    let date = DateTime::from_timestamp_millis(ms).unwrap().with_timezone(&bangkok).date_naive();
    let year = date.year();
    let text = format.replace("yyyy", &format!("{year:04}")).replace("bbbb", &(year + 543).to_string());
    let text = text.replace("yy", &format!("{:02}", year % 100));
    Some(text.replace("mm", &format!("{:02}", date.month())).replace("dd", &format!("{:02}", date.day())))
}

fn may_be_missing(content: &str) -> bool {
    matches!(content, "contra-account" | "description" | "category" | "client") || content.contains(':')
}

fn columns() -> impl Strategy<Value = Vec<OwnColumn>> {
    let contents = [
        "entry-id",
        "line",
        "position",
        "date",
        "business-date",
        "batch-number",
        "voucher",
        "account",
        "contra-account",
        "debit",
        "credit",
        "amount",
        "signed-amount",
        "side",
        "constant",
        "description",
        "category",
        "client",
        "metadata.note:text",
        "metadata.note:code",
        "vatAmount:money",
        "vatAmount:integer",
        "date:date",
    ];
    let empty = prop::option::weighted(0.7, prop::sample::select(vec!["", "-", "ไม่มี"]));
    let max_chars = prop::option::weighted(0.2, 1..30_usize);
    let words = prop::option::of(prop::sample::select(vec![["40", "50"], ["เดบิต", "เครดิต"], ["", "-"]]));
    let own = (words, prop::option::of(prop::sample::select(FORMATS.to_vec())));
    let column = (prop::sample::select(contents.to_vec()), empty, max_chars, any::<bool>(), own);
    let column = column.prop_map(|(content, empty, max_chars, hides_zero, (words, date_format))| OwnColumn {
        content,
        empty,
        max_chars,
        hides_zero,
        words,
        date_format,
    });
    prop::collection::vec(column, 1..8)
}

fn layouts() -> impl Strategy<Value = Own> {
    let marks = (prop::sample::select(vec![',', ';', '|', '\t']), prop::sample::select(vec!['.', ',']));
    let flags = prop::array::uniform9(any::<bool>());
    (marks, prop::sample::select(FORMATS.to_vec()), flags, columns()).prop_map(
        |((delimiter, decimal_mark), date_format, flags, columns)| {
            let [windows, always_quoted, line_feed, header, two_rows, guard, spaces, drops, _] = flags;
            Own {
                windows,
                delimiter,
                decimal_mark,
                always_quoted,
                line_feed,
                header,
                date_format,
                two_rows,
                guard,
                spaces,
                drops,
                columns,
            }
        },
    )
}

const FORMATS: [&str; 5] = ["yyyy-mm-dd", "dd/mm/yyyy", "ddmmbbbb", "yy.mm.dd", "mm/dd-yyyy"];
const TEXTS: [&str; 18] = [
    "\u{feff}mark",
    " \u{200b}\u{200b}",
    "ค่าเช่า",
    "plain",
    "a,b;c|d",
    "say \"hi\"",
    "one\r\ntwo\nthree\rfour",
    "=1+1",
    "-5",
    "+66",
    "@x",
    "\ttab",
    " ends ",
    "a\u{200b}b",
    "\u{200b}=1",
    "café",
    "  ",
    "x\0y",
];
const CODES: [&str; 13] = [
    "1000",
    "10-01",
    " 1000 ",
    "1000\u{200b}",
    "1000 \r\n",
    "10\u{200b}00",
    "10\u{a0}00",
    "=1",
    "+1",
    "@1",
    "-1",
    "รหัส 1",
    "\u{a0}",
];

fn entries() -> impl Strategy<Value = TestEntry<'static>> {
    let text = |texts: &'static [&'static str]| {
        prop::option::weighted(0.8, prop::sample::select(texts))
            .prop_map(|text| text.map_or(StoredValue::Missing, StoredValue::Text))
    };
    let note =
        prop_oneof![6 => text(&TEXTS), 1 => (-500..500_i64).prop_map(|note| StoredValue::Number(Number::Int(note)))];
    let often_good = prop_oneof![4 => Just("1000"), 1 => prop::sample::select(&CODES[..])];
    let amounts = prop_oneof![1..=100_000_i64, 1..=1_i64 << 53];
    let vat = prop::option::of(-100_000..100_000_i64);
    let dates = 1_735_664_400_000..1_799_000_000_000_i64;
    (
        (often_good, prop::sample::select(vec!["debit", "credit"]), amounts, dates, vat),
        (text(&TEXTS), note, text(&CODES), text(&CODES), text(&CODES)),
    )
        .prop_map(|((account, kind, amount, date_ms, vat), (description, note, cr, dr, voucher))| {
            TestEntry::good("")
                .text("accountCode", account)
                .text("type", kind)
                .with("amount", StoredValue::Number(Number::Int(amount)))
                .with("date", StoredValue::Date(date_ms))
                .with("description", description)
                .with("metadata.note", note)
                .with("metadata.crAccount", cr)
                .with("metadata.drAccount", dr)
                .with("metadata.voucherNo", voucher)
                .with("vatAmount", vat.map_or(StoredValue::Missing, |vat| StoredValue::Number(Number::Int(vat))))
        })
}

fn encoded(own: &Own, text: &str) -> Vec<u8> {
    if own.windows { encoding_rs::WINDOWS_874.encode(text).0.into_owned() } else { text.as_bytes().to_vec() }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]
    #[test]
    fn the_engine_writes_what_a_naive_writer_writes(own in layouts(), entries in prop::collection::vec(entries(), 0..12)) {
        let layout: Layout = parse(&own.toml()).unwrap_or_else(|errors| panic!("{errors:?}\n{}", own.toml()));
        let again = parse(&layout.normal_form());
        prop_assert_eq!(again.as_ref(), Ok(&layout));
        let (bytes, tally, refused) = write(&options(&layout), &entries);
        let (expected, refused_by_it) = own.file(&entries);
        let expected = encoded(&own, &expected);
        prop_assert_eq!(String::from_utf8_lossy(&bytes), String::from_utf8_lossy(&expected), "{:?}", refused);
        prop_assert_eq!(refused.len(), refused_by_it, "{:?}", refused);
        prop_assert!(refused.iter().all(|reason| !reason.is_empty()));
        let encoding = if own.windows { Encoding::Windows874 } else { Encoding::Utf8 };
        let counted = recount(&bytes[..], &layout, encoding).unwrap();
        prop_assert_eq!((counted.totals.entries, counted.totals.rows), (tally.totals.entries, tally.totals.rows));
        if counted.has_sums {
            prop_assert_eq!(counted.totals, tally.totals);
        }
    }
}
