//! What is wrong with a line that is not TOML, and what was expected there: the parser's own words are those of a grammar.

use toml::de::{DeTable, Error};

use super::LayoutError;
use super::table::{nearest, shown};
use super::text::{is_hidden, named};
use super::words::{COLUMN_KEYS, KEYS};

/// The blanks of TOML, which has no others.
pub(super) const BLANKS: [char; 2] = [' ', '\t'];

/// What is expected of the head of a column.
pub(super) const HEAD: &str = "expected [[columns]] alone on a line, with two brackets on each side";

/// Quotation marks of a word processor.
const CURLY: [char; 7] = ['“', '”', '„', '‘', '’', '«', '»'];

pub(super) fn is_toml(text: &str) -> bool {
    DeTable::parse(text).is_ok()
}

/// The message of an error that the parser found in this text; `statement` are the lines of the key and its value.
pub(super) fn not_toml(error: &Error, text: &str, statement: &str) -> String {
    let said = error.message();
    let found = match error.span().and_then(|span| text.get(span)) {
        Some(key) if said == "duplicate key" || said.starts_with("cannot extend") => twice(key.trim()),
        _ => reason(said, &statement.replace("\r\n", "\n")),
    };
    format!("this is not TOML: {found}")
}

fn twice(key: &str) -> String {
    let shown = shown(key).map_or("a key that is not shown here".to_owned(), |key| format!("the key {key}"));
    let is_of_column = key == "columns" || COLUMN_KEYS.contains(&key);
    let above = if is_of_column { ", or [[columns]] above each column" } else { "" };
    format!("{shown} stands here a second time; expected it once{above}")
}

fn reason(said: &str, line: &str) -> String {
    let line = line.strip_suffix('\n').unwrap_or(line).trim_matches(BLANKS);
    let outside = Outside::of(line);
    if line.contains('\r') {
        return "a carriage return (CR) alone ends no line; save the file with the line ends of Unix or of Windows"
            .to_owned();
    }
    if let Some(control) = line.chars().find(|character| character.is_ascii_control() && !"\t\n".contains(*character)) {
        let name = named(control);
        return format!(
            "the line has {name} in it, which nobody sees; remove it, or write it as an escape in double quotes, such as \\t"
        );
    }
    if let Some(hidden) = outside.code.chars().find(|character| is_hidden(*character)) {
        return format!("{} outside of quotes, as copied texts have it; write a blank instead", named(hidden));
    }
    expected(said, line, &outside).to_owned()
}

fn expected(said: &str, line: &str, outside: &Outside) -> &'static str {
    let code = outside.code.trim_matches(BLANKS);
    let (key, value) = line.split_once('=').unwrap_or_default();
    let value = value.trim_matches(BLANKS);
    let is_in_quotes =
        ['"', '\''].iter().any(|&quote| value.len() > 1 && value.starts_with(quote) && value.ends_with(quote));
    let is_of_lines = ["\"\"\"", "'''"].iter().any(|marks| value.starts_with(marks));
    let is_note =
        code.starts_with("//") || code.contains(" //") || ["; ", "-- ", "/*"].iter().any(|sign| line.starts_with(sign));
    match () {
        () if is_head(line) => HEAD,
        () if is_note => "a comment begins with #",
        () if !code.contains('=') || !is_toml(&format!("{key}=0")) => {
            "expected a key, = and a value, such as name = \"own\""
        }
        () if value.starts_with('=') => "expected one = between key and value",
        () if code.contains(CURLY) || outside.is_cut && value.ends_with(CURLY) => {
            "typographic quotation marks; expected the straight ones, \", around a text"
        }
        () if ["true", "false"].iter().any(|word| value.eq_ignore_ascii_case(word)) => {
            "expected true or false, in small letters"
        }
        () if open_marks(line).is_some() => {
            "a text that begins with three quotation marks has no three at its end; expected a text on one line, with one of them at each end"
        }
        () if said.contains("escape") || said.contains("unicode") => {
            "in double quotes \\ begins a sign of its own, such as \\t; put the text in single quotes, or write \\\\"
        }
        () if outside.is_cut && value.starts_with(['"', '\'', '[']) && !is_in_quotes && !is_of_lines => {
            "a text has no quotation mark at its end"
        }
        () if code.matches('=').count() > 1 && value.starts_with(['"', '\'']) => {
            "expected one key and its value on a line"
        }
        () if is_toml(line.trim_end_matches([' ', '\t', ',', ';'])) => "a line ends without a comma or a semicolon",
        () if key.trim_matches(BLANKS) == "columns" && outside.depth > 0 => {
            "a list has no ] at its end, or a table in it no }; expected such as [{ header = \"Date\", value = \"date\" }]"
        }
        () if key.trim_matches(BLANKS) == "columns" => {
            "expected a list of tables such as [{ header = \"Date\", value = \"date\" }], with commas between them; or [[columns]] above each column"
        }
        () if value.starts_with('[') && outside.depth > 0 => {
            "a list has no ] at its end; expected a list such as [\"D\", \"C\"]"
        }
        () if value.starts_with('[') || key.trim_matches(BLANKS) == "words" => {
            "expected a list of texts in quotes, such as [\"D\", \"C\"]"
        }
        () if value.starts_with(['"', '\'']) => {
            "expected one value after =; put a text with quotation marks in it between those of the other kind, ' or \""
        }
        () => "expected a text in quotes, a whole number, true or false after =",
    }
}

/// Whether a line is the head of a table, or was meant to be one.
pub(super) fn is_head(line: &str) -> bool {
    let code = Outside::of(line).code;
    let code = code.trim();
    let name = code.trim_matches(|character: char| !character.is_ascii_alphanumeric());
    let begins_name = |first: char| first.is_ascii_alphabetic() || first == ']' && code.starts_with("[[");
    let opens = code.starts_with('[') && code.trim_start_matches(['[', ' ']).starts_with(begins_name);
    opens || name == "columns" && !code.contains('=')
}

/// The key at the beginning of a line `key = value`.
pub(super) fn key(line: &str) -> Option<&str> {
    let key = line.split_once('=')?.0.trim_matches(BLANKS);
    (!key.is_empty() && word(key) == key).then_some(key)
}

/// The word at the beginning of a line; it may be empty.
pub(super) fn word(line: &str) -> &str {
    let line = line.trim_start_matches(BLANKS);
    &line[..line.find(|character| !is_of_word(character)).unwrap_or(line.len())]
}

pub(super) fn is_of_word(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '_' | '-')
}

pub(super) fn is_known(key: &str) -> bool {
    KEYS.contains(&key) || COLUMN_KEYS.contains(&key)
}

/// The three quotation marks with which a text begins that goes on after this line.
pub(super) fn open_marks(line: &str) -> Option<&'static str> {
    let value = line.split_once('=')?.1.trim_start_matches(BLANKS);
    let marks = ["\"\"\"", "'''"].into_iter().find(|marks| value.starts_with(marks))?;
    (!value[marks.len()..].contains(marks)).then_some(marks)
}

/// Lines without their texts in quotes and without their comments.
pub(super) struct Outside {
    pub(super) code: String,
    /// A text has no end on its line.
    is_cut: bool,
    /// Brackets that the lines open and do not close. Of a line with such a text, those in texts count too.
    pub(super) depth: isize,
}

impl Outside {
    pub(super) fn of(line: &str) -> Outside {
        let (mut code, mut quote, mut is_cut, mut characters) = (String::new(), None, false, line.chars());
        while let Some(character) = characters.next() {
            match quote {
                Some('"') if character == '\\' => drop(characters.next()),
                Some(end) if character == end => quote = None,
                Some(_) if character == '\n' => (quote, is_cut) = (None, true),
                Some(_) => {}
                None if matches!(character, '"' | '\'') => quote = Some(character),
                None if character == '#' => drop(characters.find(|character| *character == '\n')),
                None => code.push(character),
            }
        }
        let is_cut = is_cut || quote.is_some();
        let counted = if is_cut { line } else { &code };
        let count = |brackets: [char; 3]| counted.matches(brackets).count() as isize;
        let depth = count(['[', '{', '(']) - count([']', '}', ')']);
        Outside { code, is_cut, depth }
    }
}

/// The error of a file that is no layout at all, such as a CSV file, a script or a page: most of its lines begin with no key of a layout, and it
/// has no columns.
pub(crate) fn no_layout(text: &str) -> Option<LayoutError> {
    let (mut known, mut others) = (0, Vec::new());
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim_start_matches(['\u{feff}', ' ', '\t']);
        let name = line.trim_matches(|character: char| !character.is_ascii_alphanumeric());
        if key(line) == Some("columns") || line.starts_with('[') && nearest(name, &["columns"]).is_some() {
            return None;
        }
        let inside = line.trim_start_matches([' ', '{']);
        let is_value = inside[word(inside).len()..].starts_with([' ', '\t', '=', ':']);
        match () {
            () if line.is_empty() || line.starts_with('#') => {}
            () if is_known(word(inside)) && is_value => known += 1,
            () => others.push(number),
        }
    }
    let message = "this is no layout: expected a TOML file with lines such as name = \"own\", [[columns]] and header = \"Date\"; \
                   `batch-export layout show journal` prints one to start from";
    let is_yaml = known > 0 && !text.contains(['=', '[']) && text.contains(": ");
    let is_none = others.len() > known || others.is_empty() && known == 0 || is_yaml;
    let line = if others.len() > known { others[0] } else { 1 };
    is_none.then(|| LayoutError { line, message: message.to_owned() })
}
