//! Layouts of which some lines are not TOML: each such line is told once, in plain words, and hides no other error.

use batch_export::layout::{BUILT_IN, parse};

use super::malformed::{GOOD, messages};

/// Lines of a layout that are no TOML, and what is told of them: on the second line of the file, once.
const NO_TOML: [(&str, &str); 38] = [
    ("name = \"b\"", "the key \"name\" stands here a second time; expected it once"),
    ("header\u{a0}= true", "U+00A0 NO-BREAK SPACE outside of quotes, as copied texts have it; write a blank instead"),
    ("header =\u{a0}true", "U+00A0 NO-BREAK SPACE outside of quotes"),
    ("ending =\u{a0}\"txt\"", "U+00A0 NO-BREAK SPACE outside of quotes"),
    ("\u{200b}ending = \"txt\"", "U+200B ZERO WIDTH SPACE outside of quotes"),
    ("ending = \"txt\"\u{3000}", "U+3000 IDEOGRAPHIC SPACE outside of quotes"),
    ("delimiter = \"\\\"", "in double quotes \\ begins a sign of its own"),
    ("ending = \"C:\\Users\"", "put the text in single quotes, or write \\\\"),
    ("ending = \"C:\\path\"", "put the text in single quotes, or write \\\\"),
    ("ending = \"A \"x\" B\"", "put a text with quotation marks in it between those of the other kind, ' or \""),
    ("ending = 'it's'", "put a text with quotation marks in it between those of the other kind"),
    ("ending = \"txt\",", "a line ends without a comma or a semicolon"),
    ("ending = \"txt\";", "a line ends without a comma or a semicolon"),
    ("// a note", "a comment begins with #"),
    ("ending = \"txt\" // a note", "a comment begins with #"),
    ("; a note", "a comment begins with #"),
    ("ending: \"txt\"", "expected a key, = and a value, such as name = \"own\""),
    ("ending == \"txt\"", "expected one = between key and value"),
    ("header = True", "expected true or false, in small letters"),
    ("ending = \"txt", "a text has no quotation mark at its end"),
    ("ending = \"t\u{7}xt\"", "the line has U+0007 BEL in it, which nobody sees"),
    ("ending = 't\u{1b}xt'", "the line has U+001B ESC in it, which nobody sees"),
    ("[[columns]", "expected [[columns]] alone on a line, with two brackets on each side"),
    ("[[columns]]]", "expected [[columns]] alone on a line"),
    ("[columns]]", "expected [[columns]] alone on a line"),
    ("columns]]", "expected [[columns]] alone on a line"),
    ("[[columns]] header = \"A\"", "expected [[columns]] alone on a line"),
    (
        "ending = \"\"\"txt",
        "a text that begins with three quotation marks has no three at its end; expected a text on one line",
    ),
    ("ending = '''txt", "a text that begins with three quotation marks has no three at its end"),
    ("ending = [\"txt\"", "a list has no ] at its end; expected a list such as [\"D\", \"C\"]"),
    ("ending = [\"txt]", "a text has no quotation mark at its end"),
    ("ending = [txt]", "expected a list of texts in quotes, such as [\"D\", \"C\"]"),
    ("ending = { a = 1", "expected a text in quotes, a whole number, true or false after ="),
    ("ending = \"txt\" quote = \"always\"", "expected one key and its value on a line"),
    ("ending. = \"txt\"", "expected a key, = and a value"),
    ("= \"txt\"", "expected a key, = and a value"),
    ("ending = txt\"", "expected a text in quotes, a whole number, true or false after ="),
    ("ending =", "expected a text in quotes, a whole number, true or false after ="),
];

#[test]
fn what_is_no_toml_is_told_in_plain_words() {
    for (line, message) in NO_TOML {
        let (first, rest) = GOOD.split_once('\n').unwrap();
        let errors = messages(&format!("{first}\n{line}\n{rest}"));
        let told = errors[0].message.strip_prefix("this is not TOML: ").unwrap_or_default();
        assert!(told.contains(message), "{line}: {errors:?}");
        // A head in the place of the second line is a column of its own, without any key.
        assert!(errors.iter().all(|error| error.line == 2), "{line}: {errors:?}");
        assert_eq!(errors.len(), 1 + usize::from(line.contains("columns")), "{line}: {errors:?}");
    }
    assert!(messages("name = \"own\r\n")[0].message.contains("a text has no quotation mark at its end"));
    // The mark at the beginning of a file is no fault.
    let marked = messages("\u{feff}name = own\n");
    assert!(marked[0].message.contains("expected a text in quotes"), "{marked:?}");
    let twice = messages(&format!("{GOOD}header = \"B\"\nvalue = \"amount\"\n"));
    assert!(twice.len() == 1 && twice[0].message == "[[columns]] is missing above this header", "{twice:?}");
    let twice = messages(&format!("{GOOD}value = \"amount\"\n"));
    let above = "stands here a second time; expected it once, or [[columns]] above each column";
    assert!(twice.len() == 1 && twice[0].message.ends_with(above), "{twice:?}");
}

#[test]
fn a_line_that_is_no_toml_hides_no_error_of_another_column() {
    let columns = "[[columns]]\nheader = \"A\"\nvalue = \"acount\"\n[[columns]]\nheader = \"B\"\nvalu = \"date\"\n";
    for (broken, others) in [
        ("encoding = utf-8", [2, 5, 8].as_slice()),
        ("[[columns]\nheader = \"B\"\nvalue = \"date\"\nzero = \"none\"", &[2, 5, 8, 11]),
        ("[[columns]]\nheader = \"B\nvalue = \"dat\"", &[3, 4, 7, 10]),
    ] {
        let errors = messages(&format!("name = \"own\"\n{broken}\n{columns}"));
        assert!(errors.iter().map(|error| &error.line).eq(others), "{broken}: {errors:?}");
    }
}

/// What is told of a line that is TOML must be right also where another line is not.
#[test]
fn a_broken_line_of_a_good_layout_is_the_only_one_that_is_told() {
    let ready = std::fs::read_dir("examples/layouts").unwrap().map(|file| file.unwrap().path());
    let ready = ready.filter(|path| path.extension().is_some_and(|ending| ending == "toml"));
    let texts = ready.map(|path| std::fs::read_to_string(path).unwrap());
    for text in texts.chain(BUILT_IN.iter().map(|built_in| built_in.1.to_owned())) {
        let lines: Vec<&str> = text.lines().collect();
        for (at, line) in lines.iter().enumerate().filter(|(_, line)| line.contains(['=', '['])) {
            for broken in [line.replace('"', ""), line.trim_end_matches(['"', ']']).to_owned(), format!("{line} x")] {
                let mut lines = lines.clone();
                lines[at] = &broken;
                let Err(errors) = parse(&lines.join("\n")) else { continue };
                assert!(errors.iter().all(|error| error.line == at + 1), "{broken}: {errors:?}");
            }
        }
    }
}

/// Ways to break a line `key = "text"`; `%` is the key, `#` the text.
const BREAKS: [&str; 14] = [
    "% \"#\"",
    "% = #\"",
    "% = \"#",
    "%: \"#\"",
    "% =",
    "% = #",
    "% = \"#\",",
    "% = “#”",
    "// % #",
    "% = \"\\d#\"",
    "% = [\"#\"",
    "% = \"\"\"#",
    "% = '''#",
    "% = { a = \"#\"",
];

/// No line that is broken hides another one, and no good line is blamed.
#[test]
fn two_broken_lines_and_a_wrong_one_are_all_told() {
    let lines = "name = \"own\"\n[[columns]]\nheader = \"Id\"\nvalue = \"entry-id\"\n[[columns]]\nheader = \"Side\"\nvalue = \"side\"\n\
                 words = [\"D\", \"C\"]\n[[columns]]\nheader = \"B\"\nvalue = \"dat\"\n";
    let broken = |line: &str, way: &str| {
        let (key, text) = line.split_once(" = ").unwrap();
        way.replace('%', key).replace('#', text.trim_matches('"'))
    };
    for (first, second) in [(0, 2), (0, 5), (2, 3), (2, 5), (2, 6), (3, 6), (5, 6)] {
        for one in BREAKS {
            for other in BREAKS {
                let mut lines: Vec<String> = lines.lines().map(str::to_owned).collect();
                lines[first] = broken(&lines[first], one);
                lines[second] = broken(&lines[second], other);
                let text = lines.join("\n");
                let told: Vec<usize> = messages(&text).iter().map(|error| error.line).collect();
                assert_eq!(told, [first + 1, second + 1, 11], "{text}: {:?}", messages(&text));
            }
        }
    }
}

/// A list or a text over several lines is told where it begins, and so is a head; what follows is still checked.
#[test]
fn what_has_no_end_is_told_once_where_it_begins() {
    let column = "[[columns]]\nheader = \"B\"\nvalue = \"dat\"\n";
    for (lines, told) in [
        ("words = [\"D\", \"C\"\n", [5, 8].as_slice()),
        ("words = [\n\"D\",\n\"C\"\n", &[5, 10]),
        ("words = [\n\"D\",\n\"C\"\nzero = 1\n", &[5, 8, 11]),
        ("empty = \"\"\"\nfirst\nsecond\n", &[5, 10]),
        ("empty = \"\"\"first\n[[columns]]\nheader = \"\"\"C\"\"\"\nvalue = 1\n", &[5, 8, 11]),
        ("words = [\n\"D\", # debit\n# credit\n\"C\"\n]\nmax_chars =\n", &[10, 13]),
        ("[columns]]\nvalue = 1\nheader = \"C\"\n", &[5, 6, 10]),
        ("[[columns]\nvalue = 1\nheader = \"C\"\n", &[5, 6, 10]),
        ("[columns]\nvalue = 1\nheader = \"C\"\n", &[5, 6, 10]),
        ("[[colums]]\nvalue = 1\nheader = \"C\"\n", &[5, 6, 10]),
        ("columns\nvalue = 1\nheader = \"C\"\n", &[5, 6, 10]),
    ] {
        let text = format!("name = \"own\"\n[[columns]]\nheader = \"A\"\nvalue = \"side\"\n{lines}{column}");
        let errors = messages(&text);
        assert!(errors.iter().map(|error| &error.line).eq(told), "{text}: {errors:?}");
    }
    let list = "name = \"own\"\nquote = never\ncolumns = [\n{ header = \"A\", value = \"date\" },\n{ header \"B\" },\n]\nending = 1\n";
    let errors = messages(list);
    assert!(errors.iter().map(|error| error.line).eq([2, 5, 7]), "{errors:?}");
    let said = &errors[1].message;
    assert!(said.contains("expected a list of tables"), "{said}");
    let table = messages("name = \"own\"\n[columns]\nheader = \"A\"\nvalue = \"dat\"\n");
    assert!(table.iter().map(|error| error.line).eq([2, 4]), "{table:?}");
}

/// What a broken line may have said is not called missing, and what it cannot have said is.
#[test]
fn a_key_is_missing_unless_a_broken_line_may_be_its_own() {
    for (text, told) in [
        ("name \"own\"\n", [1, 1].as_slice()),
        ("encoding = utf-8\n", &[1, 1, 1]),
        ("“name” = 1\nencoding = \"utf-8\"\n[[columns]]\nheader = A\n", &[1, 3, 4]),
        ("name = \"own\"\nheader = no\n[[columns]]\nvalue = \"date\"\n", &[2]),
        ("name = \"own\"\ndate_format = yymmdd\n[[columns]]\nheader = \"A\"\nvalue = \"date\"\nmax_chars = 6\n", &[2]),
        ("name = \"own\"\n[[columns]]\nheader = \"A\"\nvalue = \"debit\"\nzero = \"\nmax_chars = 3\n", &[5]),
        ("name = \"own\"\n[[columns]]\nheader = \"A\"\nvalue = \"debit\"\nempty = \"\nmax_chars = 3\n", &[5, 6]),
    ] {
        let errors = messages(text);
        assert!(errors.iter().map(|error| &error.line).eq(told), "{text}: {errors:?}");
    }
}

/// One message, on the first line that is none of a layout.
#[test]
fn a_file_of_another_kind_is_told_once() {
    for (text, line) in [
        ("Entry ID,Date,Account\r\n696c,2026-01-18,5101\r\n696d,2026-01-18,5102\r\n", 1),
        ("{\n  \"name\": \"own\",\n  \"columns\": [\n    { \"header\": \"A\", \"value\": \"date\" }\n  ]\n}\n", 1),
        ("#!/bin/sh\nset -eu\nname=own\nif [ -z \"$1\" ]; then\n  echo \"usage: $0 FILE\" >&2\n  exit 2\nfi\n", 2),
        ("<!DOCTYPE html>\n<html>\n<head><meta name=\"viewport\"></head>\n<body>\ntext = 1\n</body>\n</html>\n", 1),
        ("apiVersion: v1\nkind: Secret\nmetadata:\n  name: own\ndata:\n  password: x\n", 1),
        ("[client]\nuser=root\npassword=x\n", 1),
        ("# Titles\n\nThis is a text.\nIt says \"\"\" and [ once.\n", 3),
        ("[package]\nname = \"own\"\nversion = \"1.0.0\"\nedition = \"2024\"\n\n[dependencies]\ntoml = \"1\"\n", 1),
        ("title = \"A\"\nowner = \"B\"\n", 1),
    ] {
        let errors = messages(text);
        assert!(errors.len() == 1 && errors[0].line == line, "{text}: {errors:?}");
        assert!(
            errors[0].message.starts_with("this is no layout: expected a TOML file with lines such as"),
            "{errors:?}"
        );
    }
    // Who misspells much still has a layout.
    let misspelt =
        messages("[[column]]\ntitle = \"A\"\nsource = \"date\"\n[[column]]\ntitle = \"B\"\nsource = \"side\"\n");
    assert!(misspelt.iter().any(|error| error.message.starts_with("unknown key \"title\"")), "{misspelt:?}");
}
