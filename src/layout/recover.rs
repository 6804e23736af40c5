//! Takes the lines that are not TOML out of a layout, so that all the others are still checked.
//!
//! Risk: one wrong sign makes a parser of the whole text blame good lines, or lose them. So each line is parsed alone, as a layout has one key or
//! one head a line; only a list or a text that is open at the end of its line takes the next lines too, and only when they make TOML together.
//! A key whose line is broken is noted in its table, and nothing is said that depends on it. A head that is none of a layout is taken out too.

use std::collections::BTreeSet;

use toml::de::{DeTable, DeValue, Error};

use super::LayoutError;
use super::syntax::{BLANKS, HEAD, Outside, is_head, is_known, is_of_word, key, not_toml, open_marks, word};
use super::table::nearest;
use super::words::{BROKEN, INSERTED, NOTE};

/// What stands in a table of the text, above the line that is looked at.
#[derive(Clone, Copy, Default)]
struct Above {
    /// Below a head of a column.
    is_column: bool,
    header: bool,
    value: bool,
    /// Above all heads: the first key of a column was looked at.
    is_seen: bool,
}

impl Above {
    /// Whether a line is the first of a column without a head: a second column in one table, or one above all heads.
    fn lacks_head(self, lines: &[&str], at: usize) -> bool {
        let line = lines[at];
        if self.is_column {
            let own = lines[at + 1..].iter().take_while(|line| !is_head(line) && !is_header(line));
            return is_header(line) && self.header && self.value && own.into_iter().any(|line| is_value(line));
        }
        let run = || lines[at..].iter().take_while(|line| !is_head(line));
        !self.is_seen
            && (is_header(line) || is_value(line))
            && run().any(|line| is_header(line))
            && run().any(|line| is_value(line))
            && !lines.iter().any(|line| key(line) == Some("columns"))
    }

    fn and(self, line: &str) -> Above {
        let (header, value) = (is_header(line), is_value(line));
        Above {
            header: self.header || header,
            value: self.value || value,
            is_seen: self.is_seen || header || value,
            ..self
        }
    }
}

/// Whether a line is the header of a column.
fn is_header(line: &str) -> bool {
    key(line) == Some("header")
        && line.split_once('=').is_some_and(|(_, value)| value.trim_start_matches(BLANKS).starts_with(['"', '\'']))
}

fn is_value(line: &str) -> bool {
    matches!(key(line), Some("value" | "field"))
}

/// The text with as many lines and notes, all of them TOML, and the errors of the lines that were not.
pub(super) fn recovered(text: &str) -> (String, Vec<LayoutError>) {
    let mut lines: Vec<&str> = text.trim_start_matches('\u{feff}').split_inclusive('\n').collect();
    let (mut recovered, mut told, mut at) = (String::new(), Vec::new(), 0);
    let mut above = Above::default();
    while at < lines.len() {
        let mut end = end_of_value(&lines, at);
        if above.lacks_head(&lines, at) {
            let message = format!("[[columns]] is missing above this {}", word(lines[at]));
            told.push(LayoutError { line: at + 1, message });
            recovered.push_str("[[columns]]");
            recovered.push_str(INSERTED);
            above = Above { is_column: true, ..Above::default() };
        }
        above = above.and(lines[at]);
        let mut error = error_in(&lines, at, end);
        // The end may be that of another text.
        if error.is_some() && key(lines[at]) != Some("columns") && lines[at + 1..end].iter().any(|line| begins(line)) {
            end = at + 1;
            error = error_in(&lines, at, end);
        }
        let is_whole = error.is_none();
        // A line of a list that is wrong by itself is left out, and the others are read.
        while let Some((wrong, item)) = error.as_ref().and_then(|error| error_of_item(&lines, at, error.line - 1)) {
            told.push(item);
            lines[wrong] = "\n";
            error = error_in(&lines, at, end);
        }
        if is_head(lines[at]) && (error.is_none() || !instead_of_head(&lines, at).is_empty()) {
            above = Above { is_column: true, ..Above::default() };
        }
        let Some(mut error) = error else {
            recovered.extend(lines[at..end].iter().copied());
            if !is_whole {
                recovered.truncate(recovered.strip_suffix('\n').unwrap_or(&recovered).len());
                recovered.push_str(&(notes(lines[at], at) + "\n"));
            }
            at = end;
            continue;
        };
        let next = lines[at + 1..].iter().position(|line| !line.trim().is_empty()).map(|more| at + 1 + more);
        if !lines[at].contains('=') && !begins(lines[at]) && next.is_some_and(|next| above.lacks_head(&lines, next)) {
            // Such as --- of YAML.
            let message = format!("this is not TOML: {HEAD}");
            told.push(LayoutError { line: at + 1, message });
            recovered.push_str("[[columns]]\n");
            above = Above { is_column: true, ..Above::default() };
            at += 1;
            continue;
        }
        // A value below its key.
        if end == at + 1
            && lines[at].trim_end().ends_with('=')
            && let Some(value) = lines.get(end).filter(|line| !begins(line) && !line.trim().is_empty())
            && DeTable::parse(&format!("{} {value}", lines[at].trim_end())).is_ok()
        {
            error.message.push_str(", on the same line");
            told.push(error);
            recovered.push_str(&notes(lines[at], at));
            recovered.push_str("\n\n");
            at += 2;
            continue;
        }
        if is_head(lines[at]) {
            recovered.push_str(&instead_of_head(&lines, at));
        } else if end == at + 1 && is_open(lines[at]) {
            end += lines[end..].iter().take_while(|line| !begins(line)).count();
        }
        if open_marks(lines[at]).is_none() && lines[at + 1..end].iter().any(|line| !line.trim().is_empty()) {
            error.message.push_str("; the rest of the list is looked at once it is TOML");
        }
        told.push(error);
        recovered.push_str(&notes(lines[at], at));
        recovered.extend(std::iter::repeat_n('\n', end - at));
        at = end;
    }
    (recovered, told)
}

/// A note of each key that a broken line may have set.
fn notes(line: &str, at: usize) -> String {
    keys(line).iter().map(|key| format!("{NOTE}\"{key}\".{at} = 0")).collect()
}

/// The keys that a broken line may have set; an empty one: it is not known which.
fn keys(line: &str) -> BTreeSet<&str> {
    let line = line.trim_start_matches('\u{feff}');
    let before =
        line.rsplit('=').skip(1).filter_map(|part| part.trim_end_matches(BLANKS).rsplit(|c| !is_of_word(c)).next());
    let mut keys: BTreeSet<&str> =
        Some(word(line)).filter(|_| !is_head(line)).into_iter().chain(before).filter(|key| is_known(key)).collect();
    // A carriage return may stand for the end of a line.
    if keys.is_empty() && !is_head(line) || line.trim_end().contains('\r') {
        keys.insert("");
    }
    keys
}

/// Whether a line is a head, and not that of a column.
pub(super) fn is_foreign_head(line: &str) -> bool {
    let is_list =
        |document: &DeTable<'_>| matches!(document.get("columns").map(|list| list.get_ref()), Some(DeValue::Array(_)));
    is_head(line) && !DeTable::parse(line).is_ok_and(|document| is_list(document.get_ref()))
}

/// What is read instead of a head that is none of a layout: what the keys below it most probably belong to.
fn instead_of_head(lines: &[&str], at: usize) -> String {
    let name = word(lines[at].trim_start_matches(|first: char| !first.is_ascii_alphanumeric()));
    let is_below =
        |is: &dyn Fn(&str) -> bool| lines[at + 1..].iter().take_while(|line| !is_head(line)).any(|line| is(word(line)));
    let is_misspelt = !lines[at].contains('.') && nearest(name, &["columns"]).is_some();
    match () {
        () if is_misspelt || is_below(&|key| matches!(key, "value" | "field")) => "[[columns]]".to_owned(),
        () if is_below(&is_known) => String::new(),
        () => format!("[\"{BROKEN}{at}\"]"),
    }
}

/// The first error of some lines.
fn error_in(lines: &[&str], at: usize, end: usize) -> Option<LayoutError> {
    // At the beginning of a text, a byte order mark would be no error.
    let statement = format!(" {}", lines[at..end].concat());
    let (_, errors) = DeTable::parse_recoverable(&statement);
    if errors.is_empty() && is_foreign_head(lines[at]) {
        let next = match &*instead_of_head(lines, at) {
            "[[columns]]" => "expected it here, with two brackets on each side",
            "" => "remove this line",
            _ => "remove this line and what stands below it",
        };
        return Some(LayoutError { line: at + 1, message: format!("a layout has no head but [[columns]]; {next}") });
    }
    let start = |error: &&Error| error.span().map_or(0, |span| span.start.min(statement.len()));
    let error = errors.iter().min_by_key(start)?;
    let start = start(&error);
    let index = statement.as_bytes()[..start].iter().filter(|&&byte| byte == b'\n').count().min(end - at - 1);
    Some(LayoutError { line: at + index + 1, message: not_toml(error, &statement, &statement) })
}

/// The error of a line that is wrong by itself, in a list that begins on an earlier one; with the line's index.
fn error_of_item(lines: &[&str], at: usize, index: usize) -> Option<(usize, LayoutError)> {
    let line = lines[index];
    let is_item = index > at && open_marks(lines[at]).is_none() && key(line).is_none() && Outside::of(line).depth == 0;
    let alone = format!("{} = [{line}\n]", word(lines[at]));
    let error = error_in(&[&alone], 0, 1).filter(|_| is_item)?;
    Some((index, LayoutError { line: index + 1, ..error }))
}

/// The index of the line after the value that begins on a line: the next one, unless the value is open at the end of the line and has an end.
fn end_of_value(lines: &[&str], at: usize) -> usize {
    let next = at + 1;
    if let Some(marks) = open_marks(lines[at]) {
        return lines[next..].iter().position(|line| line.contains(marks)).map_or(next, |more| next + more + 1);
    }
    let is_columns = key(lines[at]) == Some("columns");
    let mut depth = if is_head(lines[at]) { 0 } else { Outside::of(lines[at]).depth };
    for (index, line) in lines.iter().enumerate().skip(next) {
        let goes_on = if is_columns { !is_head(line) && key(line) != Some("columns") } else { !begins(line) };
        if depth <= 0 || !goes_on {
            return if depth <= 0 { index } else { next };
        }
        depth += Outside::of(line).depth;
    }
    if depth <= 0 { lines.len() } else { next }
}

fn is_open(line: &str) -> bool {
    open_marks(line).is_some() || Outside::of(line).depth > 0
}

/// Whether a line begins something of its own.
fn begins(line: &str) -> bool {
    is_head(line) || key(line).is_some() || is_known(word(line)) || line.trim_start().starts_with("//")
}
