//! What is wrong with a layout file is said with its line and with what was expected, all of it at once, and nothing panics.

use batch_export::calendar::parse_date;
use batch_export::csv::SheetOptions;
use batch_export::layout::{BUILT_IN, DateFormat, LONGEST_FILE_BYTES, Layout, LayoutError, parse, parse_stored};
use proptest::prelude::*;

use super::options;

pub const GOOD: &str = "name = \"own\"\n[[columns]]\nheader = \"A\"\nvalue = \"account\"\n";

/// A layout with further keys, and a column with further keys: lines of the file, the number of the first one, the message.
const WRONG_KEYS: [(&str, &str); 39] = [
    (
        "encoding = \"CP874\"",
        "encoding is \"CP874\"; expected one of \"utf-8\", \"utf-8-bom\", \"windows-874\"; did you mean \"windows-874\"?",
    ),
    ("encoding = \"tis620\"", "did you mean \"windows-874\"?"),
    ("value = \"date\"", "value belongs below a [[columns]]"),
    ("feild = \"x\"", "unknown key \"feild\"; did you mean field, below a [[columns]]?"),
    ("foo = 1", "unknown key \"foo\"; expected one of name, encoding, delimiter"),
    ("ENCODING = \"utf-8\"", "unknown key \"ENCODING\"; did you mean encoding?"),
    ("delimeter = \";\"", "unknown key \"delimeter\"; did you mean delimiter?"),
    ("Encoding = \"utf-8\"", "unknown key \"Encoding\"; did you mean encoding?"),
    ("\"ค่าเช่า\" = 1", "unknown key \"ค่าเช่า\"; expected one of name"),
    ("encoding = \"win874thai\"", "encoding is \"win874thai\"; expected one of \"utf-8\""),
    ("encoding = \"Hunter2Ndl\"", "encoding is a text that is not shown here; expected one of \"utf-8\""),
    ("x9f86d081884c7d65 = 1", "unknown key that is not shown here; expected one of name"),
    ("\"a1!b2\" = 1", "unknown key that is not shown here; expected one of name"),
    ("colums = 1", "unknown key \"colums\"; did you mean columns?"),
    ("encoding = \"tis-620\"", "encoding is \"tis-620\"; expected one of \"utf-8\", \"utf-8-bom\", \"windows-874\""),
    ("encoding = \"windows-847\"", "did you mean \"windows-874\"?"),
    ("encoding = 874", "encoding is a number; expected a text in quotes"),
    ("delimiter = \",,\"", "delimiter is \",,\"; expected one of \",\", \";\", \"|\", \"\\t\""),
    ("delimiter = \"\"", "delimiter is \"\"; expected one of"),
    ("delimiter = \":\"", "delimiter is \":\"; expected one of"),
    ("decimal_mark = \"'\"", "decimal_mark is \"'\"; expected one of \".\", \",\""),
    ("quote = \"never\"", "quote is \"never\"; expected one of \"needed\", \"always\""),
    ("line_end = \"cr\"", "line_end is \"cr\"; expected one of \"crlf\", \"lf\""),
    ("header = \"yes\"", "header is a text; expected true or false"),
    ("header = 1", "header is a number; expected true or false"),
    (
        "date_format = \"dd/mm\"",
        "date_format is \"dd/mm\"; expected a year (yyyy, yy or bbbb), a month (mm) and a day (dd)",
    ),
    ("date_format = \"%Y-%m-%d\"", "date_format is \"%Y-%m-%d\"; expected a year"),
    ("date_format = \"DD/MM/YYYY\"", "with -, /, . or nothing between; did you mean \"dd/mm/yyyy\"?"),
    ("date_format = 2026-01-18", "date_format is a date; expected a text in quotes"),
    ("rows_per_entry = 3", "rows_per_entry is 3; expected a whole number, 1 or 2"),
    ("rows_per_entry = 1.5", "rows_per_entry is a fraction; expected a whole number, 1 or 2"),
    ("rows_per_entry = 99999999999999999999", "rows_per_entry is a number; expected a whole number, 1 or 2"),
    ("formula_guard = \"on\"", "formula_guard is a text; expected true or false"),
    ("line_breaks = \"drop\"", "line_breaks is \"drop\"; expected one of \"keep\", \"space\""),
    ("invisible = \"keep\"", "invisible is \"keep\"; expected one of \"refuse\", \"drop\""),
    ("voucher_prefix = \"=JV\"", "voucher_prefix is \"=JV\"; expected letters and digits"),
    ("voucher_prefix = \"\"", "voucher_prefix is \"\"; expected letters and digits"),
    ("ending = \".csv\"", "ending is \".csv\"; expected the ending of the file's name without a dot"),
    ("ending = \"a/b\"", "ending is \"a/b\"; expected the ending"),
];

const WRONG_COLUMNS: [(&str, &str); 49] = [
    ("header = \"B\"\nvalue = \"date\"\ndelimiter = \";\"", "delimiter belongs above the first [[columns]]"),
    (
        "header = \"B\"\nvalue = \"date\"\ndelimeter = \";\"",
        "unknown key \"delimeter\"; did you mean delimiter, above the first [[columns]]?",
    ),
    ("header = \"B\"\nvalue = \"date\"\nfoo = 1", "unknown key \"foo\"; expected one of header, value, field, kind"),
    (
        "header = \"B\"\nvalue = \"metadata.department\"",
        "\"client\", \"constant\"; for a field of the entry write field = \"...\" instead of value",
    ),
    ("header = \"B\"\nvalue = \"SIGNED_AMOUNT\"", "did you mean \"signed-amount\"?"),
    ("header = \"\\ufeffB\"\nvalue = \"date\"", "header has U+FEFF ZERO WIDTH NO-BREAK SPACE at its beginning"),
    (
        "header = \"B\"\nvalue = \"side\"\nmax_chars = 5\nwords = [\"debit\", \"credit\"]",
        "max_chars is 5, less than the characters of \"credit\"",
    ),
    (
        "header = \"B\"\nvalue = \"side\"\nmax_chars = 5\nwords = [\"เดบิตx\", \"C\"]",
        "max_chars is 5, less than the characters of \"เดบิตx\"",
    ),
    ("header = \"B\"\nvalue = \"debit\"\nmax_chars = 3", "max_chars is 3, less than the characters of \"0.00\""),
    ("header = \"B\"\nvalue = \"entry-id\"\nmax_chars = 23", "max_chars is 23, less than the characters of \"696c6b"),
    ("header = \"B\"\nvalue = \"date\"\nmax_chars = 9", "max_chars is 9, less than the characters of \"2026-01-18\""),
    (
        "header = \"B\"\nvalue = \"business-date\"\ndate_format = \"dd/mm/yy\"\nmax_chars = 7",
        "max_chars is 7, less than the characters of \"18/01/26\"",
    ),
    (
        "header = \"B\"\nfield = \"a\"\nkind = \"date\"\nmax_chars = 9",
        "max_chars is 9, less than the characters of \"2026-01-18\"",
    ),
    (
        "header = \"B\"\nfield = \"a\"\nkind = \"date\"\ndate_format = \"ddmmyy\"\nmax_chars = 5",
        "max_chars is 5, less than the characters of \"180126\"",
    ),
    ("header = \"B\"\nvalue = \"credit\"\nzero = \"0.00\"\nmax_chars = 3", "max_chars is 3, less than"),
    ("header = \"B\"\nvalue = \"description\"\nempty = \"none\"\nmax_chars = 3", "empty is longer than max_chars"),
    ("value = \"date\"", "header is missing; expected the column's name"),
    ("header = \"B\"", "a column has neither value nor field; expected one of them"),
    ("header = \"B\"\nvalue = \"date\"\nfield = \"x\"", "a column has both value and field; expected one of them"),
    ("header = 7\nvalue = \"date\"", "header is a number; expected a text in quotes"),
    ("header = \"B\"\nvalue = \"acount\"", "did you mean \"account\"?"),
    ("header = \"B\"\nvalue = \"Debit\"", "value is \"Debit\"; expected one of \"entry-id\", \"line\""),
    ("header = \"B\"\nvalue = 1", "value is a number; expected a text in quotes"),
    ("header = \"B\"\nvalue = \"date\"\nempy = \"\"", "unknown key \"empy\"; did you mean empty?"),
    ("header = \"B\"\nvalue = \"date\"\nempty = \"\"", "empty has no effect here"),
    ("header = \"B\"\nvalue = \"description\"\nempty = 0", "empty is a number; expected a text in quotes"),
    ("header = \"B\"\nvalue = \"date\"\nzero = \"\"", "zero belongs to a column with value \"debit\" or \"credit\""),
    ("header = \"B\"\nvalue = \"debit\"\nzero = \"0\"", "zero is \"0\"; expected one of \"0.00\", \"\""),
    ("header = \"B\"\nvalue = \"debit\"\nzero = 0.00", "zero is a fraction; expected a text in quotes"),
    ("header = \"B\"\nvalue = \"debit\"\nwords = [\"D\", \"C\"]", "words belongs to a column with value \"side\""),
    ("header = \"B\"\nvalue = \"side\"\nwords = [\"D\"]", "words is a list; expected two texts"),
    ("header = \"B\"\nvalue = \"side\"\nwords = \"DC\"", "words is a text; expected two texts"),
    ("header = \"B\"\nvalue = \"side\"\nwords = [1, 2]", "words is a list; expected two texts"),
    ("header = \"B\"\nvalue = \"side\"\nwords = [\"D\", \"D\"]", "the two words are equal"),
    ("header = \"B\"\nvalue = \"constant\"", "text is missing; expected the text of the constant"),
    ("header = \"B\"\nvalue = \"side\"\ntext = \"x\"", "text belongs to a column with value \"constant\""),
    (
        "header = \"B\"\nvalue = \"constant\"\ntext = \"a\\nb\"",
        "text has U+000A LF after \"a\"; expected one line of text (a backslash is written \\\\)",
    ),
    ("header = \"B\"\nvalue = \"constant\"\ntext = \"long\"\nmax_chars = 3", "text is longer than max_chars"),
    (
        "header = \"B\"\nvalue = \"debit\"\ndate_format = \"yyyymmdd\"",
        "date_format belongs above the first [[columns]], or to a column with dates",
    ),
    ("header = \"B\"\nvalue = \"date\"\nkind = \"date\"", "kind belongs to a column with field"),
    (
        "header = \"B\"\nfield = \"metadata.x\"\nkind = \"number\"",
        "kind is \"number\"; expected one of \"text\", \"code\", \"integer\"",
    ),
    ("header = \"B\"\nfield = \"metadata..x\"", "field is \"metadata..x\"; expected the path of a field"),
    (
        "header = \"B\"\nfield = \"metadata.department \"",
        "field is \"metadata.department \"; expected the path of a field",
    ),
    ("header = \"B\"\nfield = \" metadata.x\"", "without blanks at its points and ends"),
    ("header = \"B\"\nfield = \"metadata. x\"", "field is \"metadata. x\"; expected the path of a field"),
    ("header = \"B\"\nfield = \"$where\"", "field is \"$where\"; expected the path of a field"),
    ("header = \"B\"\nfield = \"\"", "field is \"\"; expected the path of a field"),
    ("header = \"B\"\nvalue = \"date\"\nmax_chars = 0", "max_chars is 0; expected a whole number, 1 to 1000000"),
    ("header = \"B\"\nvalue = \"date\"\nmax_chars = \"9\"", "max_chars is a text; expected a whole number"),
];

const WRONG_FILES: [(&str, usize, &str); 14] = [
    ("encoding = \"utf-8\"", 1, "name is missing; expected a name of a-z, 0-9 and -"),
    ("encoding = \"utf-8\"", 1, "columns are missing; expected at least one [[columns]]"),
    ("name = \"a\"\ncolumns = []\n", 2, "there is no column in columns; expected at least one [[columns]]"),
    ("name = \"a\"\ncolumns = [1]\n", 2, "a column is a number"),
    (
        "name = \"a\"\n\n[columns]\n",
        3,
        "a layout has no head but [[columns]]; expected it here, with two brackets on each side",
    ),
    ("name = \"My layout\"\n", 1, "name is \"My layout\"; expected a name of a-z, 0-9 and -"),
    ("name = \"\"\n", 1, "name is \"\"; expected a name of a-z, 0-9 and -"),
    (
        "name = \"a\"\nname = \"b\"\n",
        2,
        "this is not TOML: the key \"name\" stands here a second time; expected it once",
    ),
    (
        "name = \"a\"\nencoding = utf-8\n",
        2,
        "this is not TOML: expected a text in quotes, a whole number, true or false after =",
    ),
    ("name = \"a\"\n[[columns]\n", 2, "this is not TOML"),
    (
        "name = \"a\"\nquote = “always”\n",
        2,
        "this is not TOML: typographic quotation marks; expected the straight ones, \", around a text",
    ),
    ("name = 'a\n", 1, "this is not TOML"),
    ("Entry ID,Date\r\n1,2\r\n", 1, "this is no layout"),
    ("{\"type\": \"service_account\", \"private_key\": \"secret-in-a-wrong-place\"}", 1, "this is no layout"),
];

#[test]
fn no_part_of_a_password_in_an_address_is_shown_beside_a_wrong_character() {
    for (text, told) in [
        ("mongodb://u:p4ss\\nw0rd@h", "header has U+000A LF; expected"),
        ("a note\\n", "header has U+000A LF after \"a note\"; expected"),
    ] {
        let errors = messages(&GOOD.replace("\"A\"", &format!("\"{text}\"")));
        assert!(errors[0].message.starts_with(told), "{errors:?}");
    }
}

/// The suggestion would pass the check, and the file would show another figure.
#[test]
fn a_name_that_only_resembles_a_known_value_is_no_typing_error_of_it() {
    let told = |value: &str| {
        let errors = messages(&format!("name = \"own\"\n[[columns]]\nheader = \"A\"\nvalue = \"{value}\"\n"));
        assert_eq!(errors.len(), 1, "{value}: {errors:?}");
        errors[0].message.clone()
    };
    for other in [
        "vatAmount",
        "tax-amount",
        "crAccount",
        "drAccount",
        "base-amount",
        "clientId",
        "accountCode",
        "createdAt",
        "metadata.amount",
        "debit-date",
        "unsigned-amount",
        "entryNo",
        "bank-account",
        "type",
        "credit_note",
        "due-date",
    ] {
        let message = told(other);
        assert!(message.ends_with("; for a field of the entry write field = \"...\" instead of value"), "{message}");
    }
    for (typed, meant) in [
        ("acount", "account"),
        ("amuont", "amount"),
        ("Debits", "debit"),
        ("signedAmount", "signed-amount"),
        ("entry_id", "entry-id"),
        ("discription", "description"),
        ("contra", "contra-account"),
        ("batch", "batch-number"),
        ("dat", "date"),
        ("EntryId", "entry-id"),
    ] {
        let message = told(typed);
        assert!(message.ends_with(&format!("; did you mean \"{meant}\"?")), "{message}");
    }
}

#[test]
fn a_name_below_a_column_is_told_once() {
    let errors = messages("[[columns]]\nheader = \"A\"\nvalue = \"date\"\nname = \"own\"\n");
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert!(errors[0].to_string().starts_with("line 4: name belongs above the first [[columns]]"), "{errors:?}");
}

pub fn messages(text: &str) -> Vec<LayoutError> {
    parse(text).expect_err(text)
}

#[test]
fn each_wrong_key_is_refused_with_its_line_and_what_was_expected() {
    for (lines, message) in WRONG_KEYS {
        let errors = messages(&format!("# comment\n{lines}\n{GOOD}"));
        assert!(errors.len() == 1 && errors[0].line == 2 && errors[0].message.contains(message), "{lines}: {errors:?}");
    }
}

#[test]
fn each_wrong_column_is_refused_with_its_line_and_what_was_expected() {
    let first = GOOD.lines().count() + 1;
    for (lines, message) in WRONG_COLUMNS {
        let errors = messages(&format!("{GOOD}[[columns]]\n{lines}\n"));
        assert!(errors.len() == 1 && errors[0].message.contains(message), "{lines}: {errors:?}");
        // The line of the key that is named; of the table, when something is missing in it; else the last one.
        let named = lines.lines().position(|line| line.split(' ').next() == message.split(' ').next());
        let missing = ["missing", "neither"].iter().any(|word| message.contains(word));
        let expected = match named {
            Some(index) => first + 1 + index,
            None if missing => first,
            None => first + lines.lines().count(),
        };
        assert_eq!(errors[0].line, expected, "{lines}: {errors:?}");
    }
}

#[test]
fn a_file_that_is_no_layout_is_refused_without_being_shown() {
    for (text, line, message) in WRONG_FILES {
        let errors = messages(text);
        assert!(errors.iter().any(|error| error.line == line && error.message.contains(message)), "{text}: {errors:?}");
        assert!(!errors.iter().any(|error| error.message.contains("secret")), "{errors:?}");
    }
    let old_mac = messages(&GOOD.replace('\n', "\r"));
    assert!(
        old_mac.len() == 1 && old_mac[0].message.contains("a carriage return (CR) alone ends no line"),
        "{old_mac:?}"
    );
    let long = format!("{GOOD}{}", "# ".repeat(40_000));
    assert!(messages(&long)[0].message.contains("expected a layout of at most 65536"));
}

#[test]
fn a_cell_may_be_as_long_as_it_always_is() {
    for column in [
        "value = \"entry-id\"\nmax_chars = 24",
        "value = \"date\"\nmax_chars = 10",
        "value = \"business-date\"\ndate_format = \"ddmmyy\"\nmax_chars = 6",
        "value = \"signed-amount\"\nmax_chars = 4",
        "field = \"metadata.cost centre\"",
    ] {
        let text = format!("{GOOD}[[columns]]\nheader = \"B\"\n{column}\n");
        assert!(parse(&text).is_ok(), "{column}: {:?}", parse(&text));
    }
}

#[test]
fn the_longest_layout_is_read_back_from_what_the_batch_stores() {
    let column = format!("[[columns]]\nheader = '{}'\nvalue = \"client\"\nempty = \"\"\n", "\\".repeat(70));
    let text = format!("name = \"own\"\n{}", column.repeat(500));
    let layout = parse(&text).unwrap();
    let stored = layout.normal_form();
    assert!(text.len() < LONGEST_FILE_BYTES && stored.len() > LONGEST_FILE_BYTES, "{} {}", text.len(), stored.len());
    assert_eq!(parse_stored(&stored), Ok(layout.clone()));
    let settings = options(&layout).to_settings("fail");
    let read = SheetOptions::stored(&settings, parse_date("2026-01-18").unwrap(), 17).unwrap();
    assert_eq!(*read.layout, layout);
}

#[test]
fn everything_that_is_wrong_is_said_at_once_in_the_order_of_the_lines() {
    let text = "name = \"Own\"\nquote = 1\n[[columns]]\nvalue = \"dat\"\n[[columns]]\nheader = \"B\"\nvalue = \"debit\"\nzero = 1\nwrong = 2\n";
    let lines: Vec<usize> = messages(text).iter().map(|error| error.line).collect();
    assert_eq!(lines, [1, 2, 3, 4, 8, 9]);
}

/// A wrong word must not hide what is wrong beside it.
#[test]
fn every_option_of_a_column_is_checked_although_its_value_is_not_known() {
    let options = "kind = \"foo\"\nzero = 5\nwords = 7\ntext = 9\ndate_format = \"xx\"\n";
    for what in ["value = \"dat\"", "field = \"x\"", "value = \"date\"\nfield = \"x\"", ""] {
        let found = messages(&format!("name = \"own\"\n[[columns]]\nheader = \"H\"\n{what}\n{options}"));
        for key in ["kind", "zero", "words", "text", "date_format"] {
            assert!(found.iter().any(|error| error.message.starts_with(key)), "{key} of {what:?}: {found:?}");
        }
    }
    let text = "name = \"own\"\ncolumns = [ {header = \"A\", valu = \"x\"}, 7, {header = 1, value = \"dat\"} ]\n";
    let found = format!("{:?}", messages(text));
    for told in ["did you mean value?", "a column is a number", "header is a number", "value is \\\"dat\\\""] {
        assert!(found.contains(told), "{told}: {found}");
    }
    let text = "name = \"own\"\n[[columns]]\nheader = \"A\"\nvalue = \"contra\"\n";
    assert!(format!("{:?}", messages(text)).contains("contra-account"));
}

#[test]
fn texts_that_the_encoding_lacks_are_refused_by_name() {
    let text = "name = \"a\"\nencoding = \"windows-874\"\n[[columns]]\nheader = \"café\"\nvalue = \"date\"\n";
    let errors = messages(text);
    assert_eq!(
        errors[0].to_string(),
        "line 4: header has U+00E9 LATIN SMALL LETTER E WITH ACUTE after \"caf\", which windows-874 lacks"
    );
}

#[test]
fn what_is_left_out_is_as_in_journal() {
    let own = parse(GOOD).unwrap();
    let journal = Layout::built_in("journal").unwrap();
    let as_journal = Layout { name: journal.name.clone(), columns: journal.columns.clone(), ..own };
    assert_eq!(as_journal, journal);
    assert_eq!(journal.date_format, DateFormat::ISO);
}

#[test]
fn the_built_in_layouts_are_good_and_carry_their_names() {
    for (name, text) in BUILT_IN {
        let layout = parse(text).unwrap_or_else(|errors| panic!("{name}: {errors:?}"));
        assert_eq!(layout.name, name);
        assert_eq!(parse(&layout.normal_form()), Ok(layout));
    }
}

/// The checksum of the normal form is stored with each batch, and a later version must find the same.
#[test]
fn the_normal_form_has_the_bytes_that_stored_batches_have() {
    const WORDS: [&str; 18] = [
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
        "description",
        "category",
        "client",
        "constant",
    ];
    let top = "encoding = \"utf-8\"\ndelimiter = \",\"\ndecimal_mark = \".\"\nquote = \"needed\"\nline_end = \"crlf\"\nheader = true\n\
        date_format = \"yyyy-mm-dd\"\nrows_per_entry = 1\nformula_guard = true\nline_breaks = \"keep\"\ninvisible = \"refuse\"\n\
        voucher_prefix = \"JV\"\nending = \"csv\"\n";
    let (mut written, mut normal) = ("name = \"own\"\n".to_owned(), format!("name = \"own\"\n{top}"));
    for word in WORDS {
        let options = match word {
            "date" | "business-date" => "date_format = \"yyyy-mm-dd\"\n",
            "debit" | "credit" => "zero = \"0.00\"\n",
            "side" => "words = [\"D\", \"C\"]\n",
            "constant" => "text = \"a \\\"b\\\" \\\\\"\n",
            _ => "",
        };
        let text = if word == "constant" { options } else { "" };
        written += &format!("[[columns]]\nmax_chars = 30\nvalue = '{word}'\nheader = 'A'\n{text}");
        normal += &format!("\n[[columns]]\nheader = \"A\"\nvalue = \"{word}\"\n{options}max_chars = 30\n");
    }
    for kind in ["text", "code", "integer", "money", "date"] {
        let format = if kind == "date" { "date_format = \"yyyy-mm-dd\"\n" } else { "" };
        written += &format!("[[columns]]\nkind = '{kind}'\nfield = 'a.b'\nempty = '-'\nheader = 'A'\n");
        normal +=
            &format!("\n[[columns]]\nheader = \"A\"\nfield = \"a.b\"\nkind = \"{kind}\"\n{format}empty = \"-\"\n");
    }
    assert_eq!(parse(&written).unwrap().normal_form(), normal);
}

/// Pieces of which a careless author, or chance, makes a file.
fn pieces() -> impl Strategy<Value = String> {
    let words = [
        "name",
        "columns",
        "[[columns]]",
        "[columns]",
        "[[",
        "]]",
        "=",
        "\"",
        "\"\"\"",
        "'",
        "\n",
        "\r\n",
        "#",
        "{",
        "}",
        ",",
        ".",
        "header",
        "value",
        "field",
        "true",
        "1e400",
        "0x7fff_ffff_ffff_ffff",
        "-1",
        "1979-05-27",
        "\\u0000",
        "\\",
        "\u{feff}",
        "date_format",
        "yyyy",
        "max_chars",
        "words",
        "\"side\"",
        "\"debit\"",
        "\"ค่า\"",
    ];
    let piece = prop_oneof![3 => prop::sample::select(words.to_vec()).prop_map(str::to_owned), 1 => ".{0,4}", 1 => Just(" ".to_owned())];
    prop::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]
    #[test]
    fn no_text_makes_the_parser_panic(text in pieces()) {
        if let Err(errors) = parse(&text) {
            let lines = text.matches('\n').count() + 1;
            prop_assert!(!errors.is_empty() && errors.iter().all(|error| (1..=lines).contains(&error.line)), "{:?}", errors);
        }
    }

    #[test]
    fn a_damaged_layout_does_not_make_the_parser_panic(cut in any::<prop::sample::Index>(), insert in pieces()) {
        for (_, text) in BUILT_IN {
            let mut at = cut.index(text.len());
            while !text.is_char_boundary(at) {
                at -= 1;
            }
            let _ = parse(&format!("{}{insert}{}", &text[..at], &text[at..]));
        }
    }
}
