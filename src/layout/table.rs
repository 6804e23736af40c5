//! Reads a table of a TOML file with a closed vocabulary. Every error is kept with its line, and reading continues.
//!
//! Risk: the file is not a layout but a secret key that was given by mistake. So a message quotes only short printable
//! words, and never uses the TOML library's own rendering, which shows the whole line.

use std::cell::RefCell;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::LayoutError;
use super::text::{is_hidden, named, quoted};
use super::words::{BROKEN, INSERTED, NOTE};
use crate::plausible::{has_only_words, is_likely_name};

/// Characters of unknown words that a message quotes.
const WORDS_MAX: usize = 32;
/// Characters of one unknown word with digits, or of another script, that a message quotes: a key is longer.
const WORD_MAX: usize = 16;
/// How much of two words must agree for one to be taken for the other, misspelt.
const LIKE_PERCENT: u32 = 60;
/// The same, of a key of the table in which it stands.
const LIKE_HERE_PERCENT: u32 = 50;
/// From how many characters on the beginning of a word means the word.
const BEGINNING: usize = 4;

/// Other names of the Thai code page, or of its narrower kin.
const OF_WINDOWS_874: [&str; 5] = ["cp874", "ms874", "tis-620", "tis620", "iso-8859-11"];

/// The errors of a file, as they are found.
pub(super) struct Errors<'a> {
    text: &'a str,
    is_recovered: bool,
    found: RefCell<Vec<LayoutError>>,
}

impl<'a> Errors<'a> {
    pub(super) fn new(text: &'a str) -> Errors<'a> {
        Errors { text, is_recovered: false, found: RefCell::default() }
    }

    /// Of a text from which the lines with the errors `told` were taken out.
    pub(super) fn of_recovered(text: &'a str, told: Vec<LayoutError>) -> Errors<'a> {
        Errors { text, is_recovered: true, found: RefCell::new(told) }
    }

    /// `at`: byte offset in the file.
    pub(super) fn add(&self, at: usize, message: impl Into<String>) {
        let before = self.text.get(..at).unwrap_or(self.text);
        let line = 1 + before.matches('\n').count() - before.matches(NOTE).count() - before.matches(INSERTED).count();
        self.found.borrow_mut().push(LayoutError { line, message: message.into() });
    }

    /// In the order of the lines.
    pub(super) fn into_sorted(self) -> Vec<LayoutError> {
        let mut errors = self.found.into_inner();
        errors.sort_by_key(|error| error.line);
        // The same twice on one line would help nobody: a file with the line ends of an old Mac is one line.
        errors.dedup();
        errors
    }
}

/// A text of the file, and where it stands.
#[derive(Clone, Copy)]
pub(super) struct Found<'a> {
    pub(super) text: &'a str,
    pub(super) at: usize,
}

/// A table of the file.
pub(super) struct Table<'a, 'i> {
    errors: &'a Errors<'a>,
    map: &'a DeTable<'i>,
    /// Where the table begins, for errors about missing keys.
    at: usize,
    /// Keys that are misspelt, misplaced or have a wrong value.
    wrong: RefCell<Vec<String>>,
    /// Of each key that may be any known one by another word: what its value is.
    unknown: RefCell<Vec<&'static str>>,
}

impl<'a, 'i> Table<'a, 'i> {
    pub(super) fn new(errors: &'a Errors<'a>, map: &'a DeTable<'i>, at: usize) -> Table<'a, 'i> {
        Table { errors, map, at, wrong: RefCell::default(), unknown: RefCell::default() }
    }

    pub(super) fn error(&self, at: usize, message: impl Into<String>) {
        self.errors.add(at, message);
    }

    /// Adds an error about a value of this table.
    pub(super) fn wrong(&self, key: &str, at: usize, message: impl Into<String>) {
        self.wrong.borrow_mut().push(key.to_owned());
        self.errors.add(at, message);
    }

    /// Notes that what was told may be about these keys.
    pub(super) fn expect(&self, keys: &[&str]) {
        self.wrong.borrow_mut().extend(keys.iter().map(|key| (*key).to_owned()));
    }

    /// Adds an error about missing keys of this table, unless one of them may be there. Each unknown key stands for one that is missing.
    pub(super) fn missing(&self, keys: &[&str], message: impl Into<String>) {
        let is_meant = |is: &&str| *is == if keys.contains(&"columns") { "a list" } else { "a text" };
        if self.is_told(keys) {
            return;
        }
        let meant = self.unknown.borrow().iter().position(is_meant);
        match meant {
            Some(index) => drop(self.unknown.borrow_mut().swap_remove(index)),
            None => self.errors.add(self.at, message),
        }
    }

    /// Whether one of these keys may be there, broken, wrong or by another word, so that it is not known what the author wants of it.
    pub(super) fn is_unsure(&self, keys: &[&str]) -> bool {
        let is = |key: &str| match key {
            "words" | "columns" => "a list",
            "header" => "true or false",
            _ => "a text",
        };
        let may_be = |key: &&str| !self.map.contains_key(*key) && self.unknown.borrow().contains(&is(key));
        self.is_told(keys) || keys.iter().any(may_be)
    }

    /// Whether an error of this table may be about one of these keys.
    pub(super) fn is_told(&self, keys: &[&str]) -> bool {
        let lines =
            self.map.get(BROKEN).filter(|_| self.errors.is_recovered).and_then(|lines| lines.get_ref().as_table());
        let may_be = |key: &str| key.is_empty() || keys.contains(&key);
        lines.is_some_and(|lines| lines.keys().any(|key| may_be(key.get_ref())))
            || self.wrong.borrow().iter().any(|key| keys.contains(&&**key))
    }

    /// A table of a list in this one.
    pub(super) fn below(&self, item: &'a Spanned<DeValue<'i>>) -> Option<Table<'a, 'i>> {
        let at = item.span().start;
        let map = item.get_ref().as_table();
        if map.is_none() {
            self.error(at, format!("a column is {}; expected a table such as [[columns]]", kind(item.get_ref())));
        }
        map.map(|map| Table::new(self.errors, map, at))
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = (&'a str, &'a Spanned<DeValue<'i>>)> {
        self.map.iter().map(|(key, value)| (&**key.get_ref(), value))
    }

    /// Refuses every key but the `known` ones. `others` are keys of the other kind of table, which stand at `place`.
    pub(super) fn allow(&self, known: &[&str], others: &[&str], place: &str) {
        let absent: Vec<&str> = known.iter().copied().filter(|key| !self.map.contains_key(*key)).collect();
        for (key, value) in self.map {
            let name = &**key.get_ref();
            if known.contains(&name) || name.starts_with(BROKEN) && self.errors.is_recovered {
                continue;
            }
            let unknown = shown(name)
                .map_or("unknown key that is not shown here".to_owned(), |name| format!("unknown key {name}"));
            let other = nearest(name, others).filter(|near| *near != "columns");
            // A key of this table is meant, although one of the other kind is a little more like it.
            let near =
                nearest(name, known).or_else(|| like(name, &absent, LIKE_HERE_PERCENT).filter(|_| other.is_some()));
            // The name of a column is its header.
            let is_header = name == "name" && absent.contains(&"header") && value.get_ref().is_str();
            let message = match (near, other) {
                _ if is_header => {
                    self.expect(&["header", "name"]);
                    format!("name belongs {place}; the name of a column is its header")
                }
                _ if others.contains(&name) => format!("{name} belongs {place}"),
                (Some(near), _) => format!("{unknown}; did you mean {near}?"),
                (None, Some(near)) => format!("{unknown}; did you mean {near}, {place}?"),
                (None, None) => format!("{unknown}; expected one of {}", known.join(", ")),
            };
            if near.or(other).is_none() {
                self.unknown.borrow_mut().push(kind(value.get_ref()));
            }
            self.wrong(near.unwrap_or_default(), key.span().start, message);
        }
    }

    /// Refuses a key that has no effect here.
    pub(super) fn refuse(&self, name: &str, reason: &str) {
        if let Some(key) = self.map.keys().find(|key| &**key.get_ref() == name) {
            self.wrong(name, key.span().start, format!("{name} {reason}"));
        }
    }

    pub(super) fn get(&self, key: &str) -> Option<&'a Spanned<DeValue<'i>>> {
        self.map.get(key)
    }

    /// A text; an error when it is something else.
    pub(super) fn text(&self, key: &str) -> Option<Found<'a>> {
        let value = self.get(key)?;
        let at = value.span().start;
        match value.get_ref() {
            DeValue::String(text) => Some(Found { text, at }),
            other => {
                self.wrong(key, at, format!("{key} is {}; expected a text in quotes", kind(other)));
                None
            }
        }
    }

    /// One of a few words.
    pub(super) fn choice<T: Clone>(&self, key: &str, words: &[(&str, T)]) -> Option<T> {
        let found = self.text(key)?;
        if let Some((_, value)) = words.iter().find(|(word, _)| *word == found.text) {
            return Some(value.clone());
        }
        let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let expected = known.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(", ");
        let near = match key {
            "value" => misspelt(found.text, &known),
            "encoding" if OF_WINDOWS_874.contains(&&*found.text.to_lowercase()) => Some("windows-874"),
            _ => nearest(found.text, &known),
        };
        let hint = match near {
            Some(near) => format!("; did you mean {}?", quoted(near)),
            None if key == "value" => "; for a field of the entry write field = \"...\" instead of value".to_owned(),
            None if found.text == "\\t" => "; write it in double quotes, \"\\t\"".to_owned(),
            None => String::new(),
        };
        self.wrong(key, found.at, format!("{key} is {}; expected one of {expected}{hint}", word(found.text)));
        None
    }

    /// `true` or `false`.
    pub(super) fn flag(&self, key: &str) -> Option<bool> {
        let value = self.get(key)?;
        match value.get_ref() {
            DeValue::Boolean(flag) => Some(*flag),
            other => {
                self.wrong(key, value.span().start, format!("{key} is {}; expected true or false", kind(other)));
                None
            }
        }
    }

    /// A whole number of a range.
    pub(super) fn number(&self, key: &str, from: i64, to: i64) -> Option<i64> {
        let value = self.get(key)?;
        let number = match value.get_ref() {
            DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix()).ok(),
            _ => None,
        };
        let fits = number.filter(|number| (from..=to).contains(number));
        if fits.is_none() {
            let expected = if to == from + 1 { format!("{from} or {to}") } else { format!("{from} to {to}") };
            let is = number.map_or_else(|| kind(value.get_ref()).to_owned(), |number| number.to_string());
            self.wrong(key, value.span().start, format!("{key} is {is}; expected a whole number, {expected}"));
        }
        fits
    }
}

/// What a value is, for people.
pub(super) fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a number",
        DeValue::Float(_) => "a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

/// A word of the file in quotes, when it looks like a word.
pub(super) fn word(text: &str) -> String {
    let hidden = text.chars().find(|character| is_hidden(*character) || character.is_control());
    let with = || hidden.map_or("that is not shown here".to_owned(), |hidden| format!("with {} in it", named(hidden)));
    shown(text).unwrap_or_else(|| format!("a text {}", with()))
}

/// As [`word`]; `None`: it may be a secret.
pub(super) fn shown(text: &str) -> Option<String> {
    let length = text.chars().count();
    let plain = |character: char| character == ' ' || character.is_ascii_graphic();
    // The tone marks of Thai are no letters of Unicode.
    let of_a_word =
        |character: char| character.is_alphanumeric() || matches!(character, '\u{e01}'..='\u{e4e}' | '-' | '_' | '.');
    let words = length <= WORDS_MAX && text.chars().all(plain) && has_only_words(text, 20);
    let one_word = length <= WORD_MAX && text.chars().all(of_a_word) && is_likely_name(text);
    (words || one_word).then(|| quoted(text))
}

/// The known word of which a text is a typing error, or the beginning. Risk: the suggestion is taken and shows another figure. So a name that only
/// resembles a known word, such as `vatAmount`, has none: it is meant as a field of the entry.
fn misspelt<'k>(text: &str, known: &[&'k str]) -> Option<&'k str> {
    let letters = |text: &str| text.to_lowercase().replace(|character: char| !character.is_alphanumeric(), "");
    let typed = letters(text);
    let is_meant = |word: &&&str| {
        let word = letters(word);
        let is_longer = typed.contains(&word) && typed.len() > word.len() + 1;
        let allowed = (word.len() / 4).clamp(1, 2);
        !is_longer && strsim::damerau_levenshtein(&typed, &word) <= allowed
            || typed.len() >= BEGINNING && word.starts_with(&typed)
    };
    let distance = |word: &&&str| strsim::damerau_levenshtein(&typed, &letters(word));
    known.iter().filter(is_meant).min_by_key(distance).copied()
}

/// The known word that was probably meant.
pub(crate) fn nearest<'k>(text: &str, known: &[&'k str]) -> Option<&'k str> {
    let begins = |word: &&str| text.len() >= BEGINNING && word.starts_with(&text.to_lowercase());
    like(text, known, LIKE_PERCENT).or_else(|| known.iter().copied().find(begins))
}

/// The known word that is most like a text.
fn like<'k>(text: &str, known: &[&'k str], percent: u32) -> Option<&'k str> {
    let text = text.to_lowercase();
    let likeness = |word: &str| (strsim::normalized_damerau_levenshtein(&text, word) * 100.0) as u32;
    known.iter().copied().filter(|word| likeness(word) >= percent).max_by_key(|word| likeness(word))
}
