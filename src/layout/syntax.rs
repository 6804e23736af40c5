//! What is wrong with a text that is not TOML, in plain words: the parser's own are those of a grammar.

use super::columns;
use super::table::shown;
use super::text::{is_hidden, named};

/// The message of a syntax error on this line; `said` are the parser's words, `at` is the text at its place.
pub(super) fn not_toml(said: &str, at: &str, line: &str) -> String {
    let outside = outside_texts(line);
    let hidden = outside.chars().find(|character| is_hidden(*character));
    let in_text = said.starts_with("invalid basic string") || said.starts_with("invalid literal string");
    let control = line.chars().find(|character| in_text && character.is_control() && *character != '\t');
    let found = match hidden {
        _ if control.is_some() => {
            let name = control.map(named).unwrap_or_default();
            format!(
                "a text has {name} in it, which nobody sees; remove it, or write it as an escape in double quotes, such as \\t"
            )
        }
        _ if said == "duplicate key" && !at.is_empty() => twice(at.trim()),
        Some(hidden) => format!("{} outside of quotes, as copied texts have it; write a blank instead", named(hidden)),
        None => plain(said, at, line.trim_start(), outside.trim_end()),
    };
    format!("this is not TOML: {found}")
}

fn twice(key: &str) -> String {
    let shown = shown(key).map_or("a key that is not shown here".to_owned(), |key| format!("the key {key}"));
    let is_of_column = key == "columns" || columns::KEYS.contains(&key);
    let above = if is_of_column { ", or [[columns]] above each column" } else { "" };
    format!("{shown} stands here a second time; expected it once{above}")
}

/// `code` is the line without texts and comment.
fn plain(said: &str, at: &str, line: &str, code: &str) -> String {
    let is_said = |words: &[&str]| words.iter().any(|word| said.starts_with(word));
    let has_no_key = is_said(&["key with no value", "invalid unquoted key", "invalid key-value pair"]);
    let has_more = is_said(&["unexpected key or value"]);
    let is_note = code.contains("//") || ["; ", "-- "].iter().any(|sign| line.starts_with(sign));
    let found = match () {
        () if is_said(&["string values must be quoted"]) && at.starts_with(['“', '”', '„', '‘', '’', '«', '»']) => {
            "typographic quotation marks; expected the straight ones, \", around a text"
        }
        () if is_said(&["string values must be quoted", "missing opening quote"]) => {
            "expected a text in quotes, a whole number, true or false after ="
        }
        () if said.contains("escape") || said.contains("unicode") => {
            "in double quotes \\ begins a sign of its own, such as \\t; put the text in single quotes, or write \\\\"
        }
        () if (has_no_key || has_more) && is_note => "a comment begins with #",
        () if is_said(&["unclosed array table", "unclosed table"]) || has_more && code.starts_with('[') => {
            "expected [[columns]] alone on a line, with both brackets"
        }
        () if has_no_key => "expected a key, = and a value, such as name = \"own\"",
        () if code.contains("==") => "expected one = between key and value",
        () if has_more && code.ends_with([',', ';']) => "a line ends without a comma or a semicolon",
        () if has_more => {
            "expected one value after =; put a text with quotation marks in it between those of the other kind, ' or \""
        }
        () if is_said(&["invalid boolean"]) => "expected true or false, in small letters",
        () if is_said(&["invalid basic string", "invalid literal string"]) => "a text has no quotation mark at its end",
        () => said,
    };
    found.to_owned()
}

/// A line without its texts in quotes and without its comment.
fn outside_texts(line: &str) -> String {
    let (mut outside, mut quote) = (String::new(), None);
    for character in line.chars() {
        match quote {
            Some(end) if character == end => quote = None,
            Some(_) => {}
            None if matches!(character, '"' | '\'') => quote = Some(character),
            None if character == '#' => break,
            None => outside.push(character),
        }
    }
    outside
}
