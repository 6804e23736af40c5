//! Takes the lines that are not TOML out of a layout, so that all the others are still checked.
//!
//! Risk: one wrong sign makes a parser of the whole text blame good lines, or lose them. So each line is parsed alone, as a layout has one key or
//! one head a line; only a list or a text that is open at the end of its line takes the next lines too, and only when they make TOML together.
//! A key whose line is broken is noted in its table, and nothing is said that depends on it.

use toml::de::DeTable;

use super::LayoutError;
use super::syntax::{HEAD, Outside, is_head, is_known, key, not_toml, open_marks, word};

/// The key under which a table of the mended text notes the keys of its broken lines; empty: the key is not known. Nobody types this character.
pub(super) const BROKEN: &str = "\u{f8ff}";

/// The text with as many lines, all of them TOML, and the errors of the lines that were not.
pub(super) fn mended(text: &str) -> (String, Vec<LayoutError>) {
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let (mut mended, mut told, mut at) = (String::new(), Vec::new(), 0);
    while at < lines.len() {
        let mut end = end_of_value(&lines, at);
        let mut error = error_in(&lines, at, end);
        // Of a list of columns the line is told that is wrong in it; any other value belongs on one line.
        if error.is_some() && end > at + 1 && key(lines[at]) != Some("columns") {
            end = at + 1;
            error = error_in(&lines, at, end);
        }
        let Some(error) = error else {
            mended.extend(lines[at..end].iter().copied());
            at = end;
            continue;
        };
        told.push(error);
        if is_head(lines[at]) {
            mended.push_str("[[columns]]\n");
        } else {
            let line = lines[at].trim_start_matches('\u{feff}');
            // A carriage return may stand for the end of a line.
            let is_one_line = !line.trim_end().contains('\r');
            let key = Some(word(line)).filter(|key| is_one_line && is_known(key)).unwrap_or_default();
            mended.push_str(&format!("\"{BROKEN}\".{at} = \"{key}\"\n"));
            if end == at + 1 && is_open(lines[at]) {
                end += lines[end..].iter().take_while(|line| !begins(line)).count();
            }
        }
        mended.extend(std::iter::repeat_n('\n', end - at - 1));
        at = end;
    }
    (mended, told)
}

/// The first error of some lines.
fn error_in(lines: &[&str], at: usize, end: usize) -> Option<LayoutError> {
    let statement = lines[at..end].concat();
    if Outside::of(&statement).code.replace([' ', '\t', '\r', '\n'], "") == "[columns]" {
        // It would make one table of the list.
        let message = format!("[columns] is the head of one table; {HEAD}");
        return Some(LayoutError { line: at + 1, message });
    }
    let (_, errors) = DeTable::parse_recoverable(&statement);
    let error = errors.first()?;
    let start = error.span().map_or(0, |span| span.start.min(statement.len()));
    let index = statement.as_bytes()[..start].iter().filter(|&&byte| byte == b'\n').count().min(end - at - 1);
    let line = if at == 0 { lines[at].trim_start_matches('\u{feff}') } else { lines[at] };
    let rest = if end > at + 1 { "; the rest of the list is looked at once it is TOML" } else { "" };
    Some(LayoutError { line: at + index + 1, message: not_toml(error, &statement, line) + rest })
}

/// The index of the line after the value that begins on a line: the next one, unless the value is open at the end of the line and has an end.
fn end_of_value(lines: &[&str], at: usize) -> usize {
    let next = at + 1;
    if let Some(marks) = open_marks(lines[at]) {
        return lines[next..].iter().position(|line| line.contains(marks)).map_or(next, |more| next + more + 1);
    }
    let is_columns = key(lines[at]) == Some("columns");
    let mut depth = if is_head(lines[at]) { 0 } else { Outside::of(lines[at]).depth() };
    for (index, line) in lines.iter().enumerate().skip(next) {
        let goes_on = if is_columns { !is_head(line) && key(line) != Some("columns") } else { !begins(line) };
        if depth <= 0 || !goes_on {
            return if depth <= 0 { index } else { next };
        }
        depth += Outside::of(line).depth();
    }
    if depth <= 0 { lines.len() } else { next }
}

fn is_open(line: &str) -> bool {
    open_marks(line).is_some() || Outside::of(line).depth() > 0
}

/// Whether a line begins something of its own.
fn begins(line: &str) -> bool {
    is_head(line) || key(line).is_some() || is_known(word(line)) || line.trim_start().starts_with("//")
}
