//! The `q` of `files.list`, in the forms that a careful client needs; any other form is Google's 400.

use super::answer::Answer;
use super::state::File;

/// A parsed `q`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Query {
    Term(Term),
    Not(Box<Query>),
    And(Box<Query>, Box<Query>),
    Or(Box<Query>, Box<Query>),
}

/// One condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Term {
    Name(String),
    NameContains(String),
    MimeType { is: bool, value: String },
    Parent(String),
    Trashed(bool),
    AppProperty { key: String, value: String },
    Property { key: String, value: String },
}

impl Query {
    /// Parses a whole `q`.
    pub fn parse(q: &str) -> Result<Self, Answer> {
        let whole = parse_chain(q.trim_start()).filter(|(_, after)| after.is_empty());
        whole.map(|(query, _)| query).ok_or_else(|| Answer::error_saying(400, "invalid", "Invalid Value"))
    }

    /// `trashed` and `app` are what only the whole state knows: in the trash itself or through a parent, and who asks.
    pub fn matches(&self, file: &File, trashed: bool, app: &str) -> bool {
        match self {
            Query::Term(term) => term.matches(file, trashed, app),
            Query::Not(query) => !query.matches(file, trashed, app),
            Query::And(one, other) => one.matches(file, trashed, app) && other.matches(file, trashed, app),
            Query::Or(one, other) => one.matches(file, trashed, app) || other.matches(file, trashed, app),
        }
    }
}

impl Term {
    fn matches(&self, file: &File, trashed: bool, app: &str) -> bool {
        match self {
            Term::Name(name) => file.name == *name,
            Term::NameContains(prefix) => file.name.split_whitespace().any(|word| word.starts_with(prefix)),
            Term::MimeType { is, value } => (file.mime_type == *value) == *is,
            Term::Parent(id) => file.parents.contains(id),
            Term::Trashed(wanted) => trashed == *wanted,
            Term::AppProperty { key, value } => file.is_of_app(app) && file.app_properties.get(key) == Some(value),
            Term::Property { key, value } => file.properties.get(key) == Some(value),
        }
    }
}

/// Conditions joined by `and` and `or`, which Drive evaluates from left to right, without precedence.
fn parse_chain(rest: &str) -> Option<(Query, &str)> {
    let (mut query, mut rest) = parse_operand(rest)?;
    loop {
        rest = rest.trim_start();
        let is_and = word(rest, "and");
        let Some(after) = is_and.or_else(|| word(rest, "or")) else { return Some((query, rest)) };
        let (other, after) = parse_operand(after)?;
        let (one, other) = (Box::new(query), Box::new(other));
        query = if is_and.is_some() { Query::And(one, other) } else { Query::Or(one, other) };
        rest = after;
    }
}

fn parse_operand(rest: &str) -> Option<(Query, &str)> {
    if let Some(after) = word(rest, "not") {
        let (query, after) = parse_operand(after)?;
        return Some((Query::Not(Box::new(query)), after));
    }
    if let Some(after) = word(rest, "(") {
        let (query, after) = parse_chain(after)?;
        return Some((query, word(after, ")")?));
    }
    let (term, after) = parse_term(rest)?;
    Some((Query::Term(term), after))
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
        let (key, value, after) = pair(after)?;
        return Some((Term::AppProperty { key, value }, after));
    }
    if let Some(after) = word(rest, "properties") {
        let (key, value, after) = pair(after)?;
        return Some((Term::Property { key, value }, after));
    }
    let (parent, after) = text(rest)?;
    Some((Term::Parent(parent), word(word(after.trim_start(), "in")?, "parents")?))
}

/// `has { key='...' and value='...' }`.
fn pair(rest: &str) -> Option<(String, String, &str)> {
    let after = word(word(word(rest, "has")?, "{")?, "key")?;
    let (key, after) = text(word(after, "=")?)?;
    let after = word(word(word(after, "and")?, "value")?, "=")?;
    let (value, after) = text(after)?;
    Some((key, value, word(after, "}")?))
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
