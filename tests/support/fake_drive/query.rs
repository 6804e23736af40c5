//! The `q` of `files.list`, in the forms that a careful client needs; any other form is Google's 400.

use super::answer::Answer;
use super::state::File;

/// One condition of a `q`; all are joined with `and`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Term {
    Name(String),
    NameContains(String),
    MimeType { is: bool, value: String },
    Parent(String),
    Trashed(bool),
    AppProperty { key: String, value: String },
}

impl Term {
    /// `trashed` and `app` are what only the whole state knows: in the trash itself or through a parent, and who asks.
    pub fn matches(&self, file: &File, trashed: bool, app: &str) -> bool {
        match self {
            Term::Name(name) => file.name == *name,
            Term::NameContains(prefix) => file.name.split_whitespace().any(|word| word.starts_with(prefix)),
            Term::MimeType { is, value } => (file.mime_type == *value) == *is,
            Term::Parent(id) => file.parents.contains(id),
            Term::Trashed(wanted) => trashed == *wanted,
            Term::AppProperty { key, value } => file.is_of_app(app) && file.app_properties.get(key) == Some(value),
        }
    }
}

/// Parses a whole `q`.
pub fn parse(q: &str) -> Result<Vec<Term>, Answer> {
    let mut rest = q.trim();
    let mut terms = Vec::new();
    while !rest.is_empty() || terms.is_empty() {
        let invalid = || Answer::error_saying(400, "invalid", "Invalid Value");
        if !terms.is_empty() {
            rest = word(rest, "and").ok_or_else(invalid)?;
        }
        let (term, after) = parse_term(rest).ok_or_else(invalid)?;
        terms.push(term);
        rest = after.trim_start();
    }
    Ok(terms)
}

fn parse_term(rest: &str) -> Option<(Term, &str)> {
    if let Some(after) = word(rest, "name") {
        if let Some(after) = word(after, "=") {
            let (name, after) = text(after)?;
            return Some((Term::Name(name), after));
        }
        let (prefix, after) = text(word(after, "contains")?)?;
        return Some((Term::NameContains(prefix), after));
    }
    if let Some(after) = word(rest, "mimeType") {
        let (is, after) = match word(after, "!=") {
            Some(after) => (false, after),
            None => (true, word(after, "=")?),
        };
        let (value, after) = text(after)?;
        return Some((Term::MimeType { is, value }, after));
    }
    if let Some(after) = word(rest, "trashed") {
        let after = word(after, "=")?;
        return match word(after, "true") {
            Some(after) => Some((Term::Trashed(true), after)),
            None => Some((Term::Trashed(false), word(after, "false")?)),
        };
    }
    if let Some(after) = word(rest, "appProperties") {
        let after = word(word(word(after, "has")?, "{")?, "key")?;
        let (key, after) = text(word(after, "=")?)?;
        let after = word(word(word(after, "and")?, "value")?, "=")?;
        let (value, after) = text(after)?;
        return Some((Term::AppProperty { key, value }, word(after, "}")?));
    }
    let (parent, after) = text(rest)?;
    Some((Term::Parent(parent), word(word(after.trim_start(), "in")?, "parents")?))
}

/// What follows a keyword or sign, without the blanks after it.
fn word<'a>(rest: &'a str, keyword: &str) -> Option<&'a str> {
    let after = rest.trim_start().strip_prefix(keyword)?;
    let runs_on = keyword.ends_with(char::is_alphanumeric) && after.starts_with(char::is_alphanumeric);
    (!runs_on).then(|| after.trim_start())
}

/// A quoted string, in which `\'` and `\\` are escapes.
fn text(rest: &str) -> Option<(String, &str)> {
    let mut chars = rest.strip_prefix('\'')?.char_indices();
    let mut value = String::new();
    while let Some((at, c)) = chars.next() {
        match c {
            '\'' => return Some((value, &rest[1 + at + 1..])),
            '\\' => value.push(chars.next().map(|(_, escaped)| escaped).filter(|c| matches!(c, '\'' | '\\'))?),
            c => value.push(c),
        }
    }
    None
}
