//! Texts of one line: lists that are cut, and texts without the characters that steer a terminal or end a line.
//!
//! Risk: reasons, names and links come from people, documents and servers, and such a text passes for words of the program. So every failure, explanation and line of the log goes through [`one_line`], and so does
//! each field of a result that somebody else wrote.

use std::fmt::Write as _;

/// A field of one line: a line break in it could pass for a line of the program.
pub fn one_line(field: &str) -> String {
    field.chars().map(|c| if steers(c) { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

/// The first of these things, `most` at most, and how many more there are: `a, b and 3 more`.
pub fn some<T: ToString>(things: &[T], most: usize) -> String {
    let first = things.iter().take(most).map(T::to_string).collect::<Vec<_>>().join(", ");
    match things.len().saturating_sub(most) {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}

/// A line of the log, whose colours are the program's own: the log writes those of others as text.
pub fn log_line(line: &str) -> String {
    let plain = |c: char| match c {
        '\n' | '\r' | '\t' => ' ',
        '\u{1b}' => c,
        _ if steers(c) => char::REPLACEMENT_CHARACTER,
        _ => c,
    };
    line.chars().map(plain).collect()
}

/// The lines of a text: TAB stays, and a line that ends with CRLF, as in the sample of a layout, ends with LF.
pub fn lines(text: &str) -> String {
    let is_harmful = |c: char| steers(c) && !matches!(c, '\n' | '\t');
    let text = text.replace("\r\n", "\n");
    text.chars().map(|c| if is_harmful(c) { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

/// JSON in which a terminal sees no such character: outside of its texts there is none, and inside an escape means the same.
pub fn escaped(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        match steers(c) && !c.is_ascii_control() || c == '\u{7f}' {
            true => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            false => out.push(c),
        }
    }
    out
}

fn steers(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}
