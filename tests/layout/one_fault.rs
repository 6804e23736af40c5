//! One fault in a layout is told once: nothing that follows from it is told as a second one, and nothing beside it is hidden.

use super::malformed::messages;

/// A good layout of which lines follow.
const COLUMN: &str = "name = \"own\"\n[[columns]]\nheader = \"A\"\n";

/// The lines and words that are told of a text, and no others.
#[track_caller]
fn told(text: &str, expected: &[(usize, &str)]) {
    let errors = messages(text);
    let fits =
        errors.iter().zip(expected).all(|(error, (line, words))| error.line == *line && error.message.contains(words));
    assert!(fits && errors.len() == expected.len(), "{text}: {errors:#?}");
}

/// What depends on a key is not judged where the key is broken, misspelt or wrong.
#[test]
fn nothing_is_told_that_depends_on_a_wrong_key() {
    const TEXT: &str = "expected a text in quotes";
    for (lines, line, words) in [
        ("field = \"a\"\nkind = date\ndate_format = \"ddmmyy\"", 5, TEXT),
        ("field = \"a\"\nkind = \"date\",\ndate_format = \"ddmmyy\"", 5, "without a comma"),
        ("field = \"a\"\nkind: \"date\"\ndate_format = \"ddmmyy\"", 5, "expected a key, = and a value"),
        ("field = \"a\"\nkind = “date”\ndate_format = \"ddmmyy\"", 5, "typographic quotation marks"),
        ("field = \"a\"\nkind = \"date” \ndate_format = \"ddmmyy\"", 5, "typographic quotation marks"),
        ("field = \"a\"\nkind = \"date\ndate_format = \"ddmmyy\"", 5, "no quotation mark at its end"),
        ("field = \"a\"\nkind = \"date\" // x\ndate_format = \"ddmmyy\"", 5, "a comment begins with #"),
        ("field = \"a\"\nKind = \"date\"\ndate_format = \"ddmmyy\"", 5, "did you mean kind?"),
        ("field = \"a\"\nknd = \"date\"\ndate_format = \"ddmmyy\"", 5, "did you mean kind?"),
        (
            "field = \"a\"\nkind = \"text\"\nkind = \"date\"\ndate_format = \"ddmmyy\"",
            6,
            "\"kind\" stands here a second time",
        ),
        (
            "field = \"a\"\ndate_format = \"ddmmyy\"",
            5,
            "to a column with dates; a field with dates has kind = \"date\"",
        ),
        ("value = \"date\"\ndate_format = \"dd\"\nmax_chars = 2", 5, "date_format is \"dd\""),
        ("value = \"date\"\ndate_format = \"ddmmyy\nmax_chars = 6", 5, "no quotation mark at its end"),
        ("value = \"debit\"\nzer = \"\"\nmax_chars = 3", 5, "did you mean zero?"),
        ("value = \"debit\"\nzero = 0\nmax_chars = 1", 5, "zero is a number"),
        ("value = \"date\"\nvalue = \"debit\"\nzero = \"\"", 5, "\"value\" stands here a second time"),
        ("value = \"side\"\nwrods = [\"D\", \"C\"]", 5, "did you mean words?"),
        ("valu = \"date\"", 4, "did you mean value?"),
        ("feild = \"x\"", 4, "did you mean field?"),
        ("field = \"a\"\nkind = \"date\u{200b}\"", 5, "kind is a text with U+200B ZERO WIDTH SPACE in it"),
        ("source = \"date\"", 4, "unknown key \"source\"; expected one of header, value"),
        ("value = \"date\"\ncolumn = \"A\"", 5, "unknown key \"column\"; expected one of header"),
        ("value = \"side\"\nwords = \"D\", \"C\"", 5, "expected a list of texts in quotes"),
        (
            "value = \"account\"\ndate_format = \"ddmmyy\"",
            5,
            "date_format belongs above the first [[columns]], or to a column",
        ),
        ("value = \"date\"\nformat = \"ddmmyy\"\nmax_chars = 6", 5, "unknown key \"format\""),
        ("value = \"debit\"\nblank = \"\"\nmax_chars = 3", 5, "unknown key \"blank\""),
        ("field = \"a\"\ntype = \"date\"\ndate_format = \"ddmmyy\"", 5, "unknown key \"type\""),
        ("value = \"constant\"\nconstant = \"x\"", 5, "unknown key \"constant\""),
        ("value = \"constant\"\ncontent = \"x\"", 5, "unknown key \"content\""),
        ("value = \"metadata.department\"\nkind = \"code\"", 4, "write field = \"...\" instead of value"),
        ("value = \"field\"\nfield = \"metadata.x\"", 5, "a column has both value and field"),
        ("value =\n\"date\"\nmax_chars = 6", 4, "a whole number, true or false after =, on the same line"),
        ("value = \"side\"\nwords =\n[\"D\", \"C\"]", 5, "such as [\"D\", \"C\"], on the same line"),
        ("value = \"client\"\nempty = \"\"\"\nThe\nDate\"\"\" x", 7, "expected one value after ="),
    ] {
        told(&format!("{COLUMN}{lines}\n"), &[(line, words)]);
        told(
            &format!("{COLUMN}{lines}\n[[columns]]\nheader = \"B\"\nvalue = \"dat\"\n"),
            &[(line, words), (COLUMN.lines().count() + lines.lines().count() + 3, "value is \"dat\"")],
        );
    }
    let date = "[[columns]]\nheader = \"X\"\nvalue = \"date\"\nmax_chars = 6\n";
    for (line, words) in [
        ("date_format = \"DDMMYY\"", "did you mean \"ddmmyy\"?"),
        ("date_fromat = \"ddmmyy\"", "did you mean date_format?"),
        ("format = \"ddmmyy\"", "unknown key \"format\""),
        ("delimiter = '\\t'", "write it in double quotes, \"\\t\""),
    ] {
        let date = if line.starts_with("delimiter") { date.replace("max_chars = 6\n", "") } else { date.to_owned() };
        told(&format!("name = \"own\"\n{line}\n{date}"), &[(2, words)]);
    }
    let below =
        format!("name = \"own\"\n{date}[[columns]]\nheader = \"Y\"\nvalue = \"account\"\ndate_format = \"ddmmyy\"\n");
    told(&below, &[(9, "date_format belongs above the first [[columns]]")]);
}

#[test]
fn a_line_with_several_keys_says_what_may_be_in_each() {
    let first = "name = \"own\"\n";
    for (column, line, words) in [
        ("[[columns]]\nheader = \"A\" value = \"date\"\n", 3, "one key and its value on a line"),
        ("[[columns]]\nheader = \"A\", value = \"date\"\n", 3, "one key and its value on a line"),
        ("[[columns]] header = \"A\"\nvalue = \"date\"\n", 2, "expected [[columns]] alone on a line"),
        ("[[columns]]\n\u{feff}header = \"A\"\nvalue = \"date\"\n", 3, "U+FEFF"),
        ("[[columns]]\nHeader = \"A\"\nvalue = \"date\"\n", 3, "did you mean header?"),
    ] {
        told(&format!("{first}{column}"), &[(line, words)]);
        told(
            &format!("{first}{column}max_chars = 0\n"),
            &[(line, words), (4 + usize::from(line == 3 && column.contains("\nvalue")), "max_chars is 0")],
        );
    }
}

/// A fault inside a list is told where it is, and what follows it is read, in the list and after it.
#[test]
fn a_list_of_several_lines_is_read_to_its_end() {
    const REST: &str = "; the rest of the list is looked at once it is TOML";
    const TEXTS: &str = "expected a list of texts in quotes";
    for (words, told_of_it) in [
        ("\"D\"\n\"C\"", [(7, TEXTS)].as_slice()),
        ("\"D\",\nC", &[(7, TEXTS)]),
        ("Debit,\nCredit,", &[(6, TEXTS), (7, TEXTS)]),
        ("“D”,\n“C”", &[(6, "typographic quotation marks"), (7, "typographic quotation marks")]),
        ("“D”,\nC", &[(6, "typographic quotation marks"), (7, TEXTS)]),
        ("\"D,\n\"C\"", &[(6, "no quotation mark at its end")]),
        ("\"D\", // debit\n\"C\"", &[(6, "a comment begins with #")]),
    ] {
        for end in ["\n", "\r\n"] {
            let text = format!("{COLUMN}value = \"side\"\nwords = [\n{words}\n]\nmax_chars = 0\n").replace('\n', end);
            let told_of_it = told_of_it.iter().copied().chain([(9, "max_chars is 0")]);
            told(&text, &told_of_it.collect::<Vec<_>>());
            // Which of the two lines lacks the comma is not known.
            assert_eq!(messages(&text)[0].message.ends_with(REST), words == "\"D\"\n\"C\"", "{text}");
        }
    }
    told(
        "name = \"own\"\ncolumns = [\n{header = \"A, value = \"date\"},\n{header = \"B\", value = \"dat\"},\n\
         {header \"C\"}\n]\nencoding = \"cp874\"\n",
        &[
            (3, "no quotation mark at its end"),
            (4, "value is \"dat\""),
            (5, "expected a list of tables"),
            (7, "did you mean \"windows-874\"?"),
        ],
    );
    told("name = \"own\"\ncolumns = [\n{header = A}\n]", &[(3, "expected a list of tables")]);
    let open = "name = \"own\"\ncolumns = [\n{header = \"A\", value = \"date\"},\n{header = \"B\", value = \"account\"}\nquote = 1\n";
    told(open, &[(2, "a list has no ] at its end"), (5, "quote is a number")]);
    assert!(messages(open)[0].message.ends_with(REST));
    told("name = \"own\"\ncolumns = (\n{header = \"A\", value = \"date\"}\n)\n", &[(2, "expected a list of tables")]);
    told(
        "name = \"own\"\ncolumns = [{header = \"A\", value = \"dat\"}]\n[[columns]]\nheader = \"B\"\nvalue = \"acount\"\n",
        &[(2, "value is \"dat\""), (3, "\"columns\" stands here a second time"), (5, "did you mean \"account\"?")],
    );
}

/// One sentence, and what stands below the head is read as what it most probably is.
#[test]
fn a_head_that_a_layout_does_not_know_is_told_once() {
    const REMOVE: &str = "a layout has no head but [[columns]]; remove this line";
    const COLUMNS: &str = "a layout has no head but [[columns]]; expected it here, with two brackets on each side";
    let good = "[[columns]]\nheader = \"A\"\nvalue = \"date\"\n";
    for head in ["[layout]", "[[layout]]", "[general]", "\u{feff}[layout]"] {
        told(&format!("{head}\nname = \"own\"\n{good}"), &[(1, REMOVE)]);
        told(&format!("{head}\nname = \"own\"\nheader = 1\n{good}"), &[(1, REMOVE), (3, "header is a number")]);
    }
    for head in ["[[rows]]", "[columns]", "[[columns.date]]", "[columns.date]", "[[column]]", "[column1]"] {
        let column = good.replace("[[columns]]", head);
        told(&format!("name = \"own\"\n{column}{good}"), &[(2, COLUMNS)]);
        told(
            &format!("name = \"own\"\n{good}{}", column.replace("date\"\n", "dat\"\n")),
            &[(5, COLUMNS), (7, "value is \"dat\"")],
        );
    }
    told(
        &format!("name = \"own\"\n{}{good}", good.replace("[[columns]]", "[[]]")),
        &[(2, "expected [[columns]] alone")],
    );
    let nothing_known = format!("{REMOVE} and what stands below it");
    told(&format!("name = \"own\"\n{good}[notes]\nby = \"me\"\n"), &[(5, &nothing_known)]);
    told(
        &format!("name = \"own\"\n{good}[notes]\nby = \"me\"\n{good}foo = 1\n"),
        &[(5, &nothing_known), (10, "unknown key")],
    );
    told(&format!("[notes]\nby = \"me\"\nname = \"own\"\n{good}"), &[(1, REMOVE), (2, "unknown key \"by\"")]);
    told(
        &format!("name = \"own\"\n[format]\nencoding = \"cp874\"\n{good}"),
        &[(2, REMOVE), (3, "did you mean \"windows-874\"?")],
    );
}

/// A column by other words than those of a layout: one of them stands for each key that is missing.
#[test]
fn an_unknown_key_and_the_missing_one_that_it_was_meant_for_are_told_once() {
    let first = "name = \"own\"\n[[columns]]\n";
    told(&format!("{first}column = \"A\"\nvalue = \"date\"\n"), &[(3, "unknown key \"column\"")]);
    let both = [(3, "unknown key \"column\""), (4, "unknown key \"source\"")];
    told(&format!("{first}column = \"A\"\nsource = \"date\"\n"), &both);
    told(&format!("{first}column = \"A\"\n"), &[(2, "neither value nor field"), (3, "unknown key \"column\"")]);
    told(&format!("{first}width = 9\nvalue = \"date\"\n"), &[(2, "header is missing"), (3, "unknown key \"width\"")]);
    for (key, told_of_it) in [
        ("name", "name belongs above the first [[columns]]; the name of a column is its header"),
        ("heading", "unknown key \"heading\"; did you mean header?"),
    ] {
        told(&format!("{first}{key} = \"Entry Date\"\nvalue = \"date\"\n"), &[(3, told_of_it)]);
    }
    let column = "[[columns]]\nheader = \"A\"\nvalue = \"date\"\n";
    told(&format!("title = \"own\"\n{column}"), &[(1, "unknown key \"title\"")]);
    told(&format!("width = 1\n{column}"), &[(1, "unknown key \"width\""), (1, "name is missing")]);
    told("name = \"own\"\ntitle = \"own\"\n", &[(1, "columns are missing"), (2, "unknown key \"title\"")]);
    told(&format!("{first}[[columns]]\nheader = \"A\"\nvalue = \"date\"\n"), &[(2, "a column has no keys")]);
}

#[test]
fn a_misplaced_key_is_told_and_its_value_is_checked() {
    told(
        &format!("{COLUMN}value = \"date\"\nencoding = \"cp874\"\nrows_per_entry = 7\nquote = \"always\"\n"),
        &[
            (5, "encoding belongs above"),
            (5, "did you mean \"windows-874\"?"),
            (6, "rows_per_entry belongs above"),
            (6, "rows_per_entry is 7"),
            (7, "quote belongs above"),
        ],
    );
    told(
        "[[columns]]\nheader = \"A\"\nvalue = \"date\"\nname = \"Own\"\n",
        &[(4, "name belongs above the first [[columns]]"), (4, "name is \"Own\"")],
    );
}

/// A column without its head is told once, and its keys are read.
#[test]
fn a_head_that_was_left_out_is_told_once() {
    const MISSING: &str = "[[columns]] is missing above this ";
    let rest = "[[columns]]\nheader = \"B\"\nvalue = \"account\"\n";
    for (column, first) in [
        ("header = \"A\"\nvalue = \"date\"\n", "header"),
        ("value = \"date\"\nheader = \"A\"\n", "value"),
        ("header = \"A\"\nfield = \"metadata.x\"\nkind = \"code\"\n", "header"),
    ] {
        let missing = format!("{MISSING}{first}");
        told(&format!("name = \"own\"\n{column}"), &[(2, &missing)]);
        told(&format!("name = \"own\"\n{column}{rest}"), &[(2, &missing)]);
        told(
            &format!("name = \"own\"\n# [[columns]]\n{column}max_chars = 0\n{rest}"),
            &[(3, &missing), (3 + column.lines().count(), "max_chars is 0")],
        );
        if first == "header" {
            let second = format!("name = \"own\"\n{rest}\n{column}");
            told(&second, &[(6, &missing)]);
            told(
                &format!("{second}{column}{rest}value = \"dat\"\n"),
                &[
                    (6, &missing),
                    (6 + column.lines().count(), &missing),
                    (9 + 2 * column.lines().count(), "\"value\" stands here a second time"),
                ],
            );
        }
        for head in ["---", "- ", "{", "\"[[columns]]\""] {
            told(&format!("name = \"own\"\n{head}\n{column}{rest}"), &[(2, "expected [[columns]] alone on a line")]);
            if first == "header" {
                let second = format!("name = \"own\"\n{rest}{head}\n{column}{rest}");
                told(&second, &[(5, "expected [[columns]] alone on a line")]);
            }
        }
    }
    told(
        &format!("{COLUMN}value = \"date\"\nzero \"\"\nheader = \"B\"\nvalue = \"account\"\n"),
        &[(5, "expected a key, = and a value"), (6, &format!("{MISSING}header"))],
    );
    // Which of the two is meant is not known.
    told(&format!("{COLUMN}header = \"B\"\nvalue = \"date\"\n"), &[(4, "\"header\" stands here a second time")]);
    told("name = \"own\"\ncolumns.header = \"A\"\n", &[(2, "columns are not a list of tables")]);
}

#[test]
fn a_file_without_any_line_of_a_layout_is_told_so() {
    for text in
        ["", "\n \n", "# nothing\n", "name: own\ncolumns:\n  - header: Date\n    value: date\nencoding: utf-8\n"]
    {
        told(text, &[(1, "this is no layout: expected a TOML file with lines such as")]);
    }
}
