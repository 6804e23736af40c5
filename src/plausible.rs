//! How much of a refused value a message may show: only a value that looks like a typing error.
//!
//! Risk: a secret in the wrong setting is refused there, and the message shows it. A person needs to see a typing
//! error, and must not see a key or a password. So each kind of value defines narrowly what it looks like, and anything
//! else is called "the value".

use std::fmt;
use std::path::Path;

use crate::failure::Failure;
use crate::secret::{conceal, holds_a_key, is_a_token};

/// The longest name in a path, in bytes: no file system takes a longer one, and a key is longer.
const PATH_MAX_BYTES: usize = 255;

/// What is wrong with a value, as the predicate of a sentence that begins with the setting's name, and what to do about
/// it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Implausible {
    /// The predicate.
    pub what: &'static str,
    /// The next step.
    pub next: &'static str,
}

impl Implausible {
    /// The failure of a setting or an argument whose name begins the sentence.
    pub fn failure(self, name: &str) -> Failure {
        Failure::configuration(format!("{name} {}", self.what)).next(self.next)
    }
}

const KEY: Implausible = Implausible {
    what: "holds the content of a key, not the path of a file",
    next: "write it to a file (mode 0600) and give its path; replace this key, it may be in a log already",
};

const ADDRESS: Implausible =
    Implausible { what: "holds an address, not the path of a file", next: "give the path of a file" };

const FILE_SCHEME: Implausible = Implausible { what: "begins with file:", next: "give the path without file:" };

const QUOTES: Implausible = Implausible {
    what: "stands in quotation marks, which are a part of the value",
    next: "remove them; `docker run --env-file`, for one, keeps those of a file of variables",
};

const MARK: Implausible = Implausible {
    what: "begins with a byte order mark (U+FEFF), which nobody sees",
    next: "type its first characters anew; an editor may have written it: save the file without one",
};

const LINE_END: Implausible = Implausible {
    what: "ends with a line break",
    next: "remove it; a file with Windows line ends brings one into each value: convert that file with dos2unix",
};

/// Refuses a value that cannot be a path, without showing it. A value that could be a path but does not look like one is
/// masked from now on.
pub fn check_path(text: &str) -> Result<(), Implausible> {
    check_line_end(text)?;
    let is_too_long = text.split('/').any(|name| name.len() > PATH_MAX_BYTES);
    if text.contains(['\n', '\r']) || is_too_long || holds_a_key(text) {
        return Err(KEY);
    }
    if text.starts_with("file:") {
        return Err(FILE_SCHEME);
    }
    if text.contains("://") {
        return Err(ADDRESS);
    }
    if in_quotes(text).is_some() {
        return Err(QUOTES);
    }
    let names = || text.split(['/', '\\']);
    if !names().all(is_likely_name) && !is_known_path(Path::new(text)) {
        conceal(text);
        // A message may name the folder alone.
        names().filter(|name| !is_likely_name(name)).for_each(conceal);
    }
    Ok(())
}

/// Whether the path, or its folder, exists. The root and the current folder exist for every text.
fn is_known_path(path: &Path) -> bool {
    let folder = path.parent().filter(|folder| folder.file_name().is_some());
    path.exists() || folder.is_some_and(Path::exists)
}

/// Whether a text looks like the name of a file, a folder or a host: letters, digits and the signs that are common in
/// names, and not the mixture of a password or a key.
pub fn is_likely_name(text: &str) -> bool {
    let is_drive = text.len() == 2 && text.ends_with(':');
    let plain = |c: char| c.is_ascii_alphanumeric() || !c.is_ascii() || "-_. ~+(),@".contains(c);
    let kinds: [fn(char) -> bool; 3] = [|c| c.is_lowercase(), |c| c.is_uppercase(), |c| c.is_numeric()];
    let is_password = text.len() >= 10 && kinds.iter().all(|kind| text.contains(*kind));
    let is_key = text.split(|c: char| !c.is_ascii_alphanumeric()).any(|run| {
        run.len() >= 16 && run.contains(|c: char| c.is_ascii_digit()) && run.contains(|c: char| c.is_ascii_alphabetic())
    });
    // A password may stand before an @.
    let has_ending = !text.contains([',', '@'])
        && text.rsplit_once('.').is_some_and(|(_, ending)| {
            (1..=5).contains(&ending.len()) && ending.bytes().all(|byte| byte.is_ascii_alphanumeric())
        });
    is_drive || text.chars().all(plain) && (has_ending || !is_password && !is_key)
}

/// Refuses a value that cannot be a name, a code or an email address, without showing it.
pub fn check_word(text: &str) -> Result<(), Implausible> {
    check_line_end(text)?;
    if let Some(inner) = in_quotes(text) {
        return check_word(inner).and(Err(QUOTES));
    }
    let next = "correct it; if that was a secret, replace it: it may be in a log already";
    let has_odd_signs = text.contains("://") || text.contains(['\n', '\r', '{', '"']);
    if has_odd_signs || text.len() > PATH_MAX_BYTES || holds_a_key(text) || is_a_token(text) {
        return Err(Implausible { what: "holds more than a short name", next });
    }
    Ok(())
}

/// Refuses a value with quotation marks around it, of a shell or of a word processor, and one that begins with a byte order mark.
pub fn check_bare(text: &str) -> Result<(), Implausible> {
    let is_quote = |c: char| "\"'“”„‟‘’‚‛«»".contains(c);
    let ends = (text.starts_with(is_quote), text.len() > 1 && text.ends_with(is_quote));
    match ends {
        _ if text.starts_with('\u{feff}') => Err(MARK),
        (true, true) => Err(QUOTES),
        // The rest of the marks was cut off.
        (true, _) | (_, true) if text.contains("://") => Err(QUOTES),
        (_, _) => Ok(()),
    }
}

fn in_quotes(text: &str) -> Option<&str> {
    ['"', '\''].iter().find_map(|&quote| text.strip_prefix(quote)?.strip_suffix(quote))
}

/// Refuses a value that ends with a line break, as values from a file with Windows line ends do.
///
/// # Errors
/// Always [`LINE_END`].
pub fn check_line_end(text: &str) -> Result<(), Implausible> {
    let one_line = text.trim_end_matches(['\r', '\n']);
    let broken = one_line.len() != text.len() && !one_line.contains(['\n', '{']);
    if broken { Err(LINE_END) } else { Ok(()) }
}

/// A refused value, as a message names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown<'a> {
    /// It looks like what was asked for, so it is quoted.
    Quoted(&'a str),
    /// There is none.
    Empty,
    /// It may be a secret.
    Hidden,
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Shown::Quoted(text) => write!(f, "{text:?}"),
            Shown::Empty => f.write_str("an empty value"),
            Shown::Hidden => f.write_str("the value"),
        }
    }
}

fn shown_if(text: &str, max_chars: usize, looks_right: impl Fn(char) -> bool) -> Shown<'_> {
    match text.chars().count() {
        0 => Shown::Empty,
        length if length <= max_chars && text.chars().all(looks_right) => Shown::Quoted(text),
        _ => Shown::Hidden,
    }
}

/// A date, right or wrong.
pub fn shown_date(text: &str) -> Shown<'_> {
    shown_if(text, 12, |c| c.is_ascii_digit() || "-/. ".contains(c))
}

/// A time of day, a duration or a list of them, right or wrong.
pub fn shown_time(text: &str) -> Shown<'_> {
    const UNITS: [&str; 6] = ["year", "week", "day", "hour", "minute", "second"];
    let is_unit = |run: &str| run.len() <= 3 || UNITS.contains(&run.trim_end_matches('s'));
    // One word, or numbers with units: a password has longer words among its digits, or begins with one.
    let is_word = text.len() <= 6 && text.bytes().all(|byte| byte.is_ascii_lowercase());
    let begins_with_letter = text.starts_with(|c: char| c.is_ascii_lowercase());
    let is_time = !begins_with_letter && text.split(|c: char| !c.is_ascii_lowercase()).all(is_unit);
    let likely = if is_word || is_time { text } else { "?" };
    shown_if(likely, 32, |c| c.is_ascii_digit() || c.is_ascii_lowercase() || " :.,-".contains(c))
}

/// An instant, right or wrong.
pub fn shown_instant(text: &str) -> Shown<'_> {
    shown_if(text, 35, |c| c.is_ascii_digit() || "-:.+TZtz ".contains(c))
}

/// A number, right or wrong.
pub fn shown_number(text: &str) -> Shown<'_> {
    shown_if(text, 20, |c| c.is_ascii_digit() || "-+.,_ ".contains(c))
}

/// A word of a list, the name of a time zone, of an option or of a command, right or wrong: words of letters, and short
/// numbers between them (`windows-1252`).
pub fn shown_word(text: &str) -> Shown<'_> {
    let likely = if has_only_words(text, 11) { text } else { "?" };
    shown_if(likely, 30, |c| c.is_ascii_alphanumeric() || "/-_".contains(c))
}

/// Whether a text consists of words of at most `longest` letters, numbers of at most four digits, and signs between them. A
/// password mixes letters and digits.
pub fn has_only_words(text: &str, longest: usize) -> bool {
    text.split(|c: char| !c.is_ascii_alphanumeric()).all(|run| {
        let is_number = run.len() <= 4 && run.bytes().all(|byte| byte.is_ascii_digit());
        is_number || run.len() <= longest && run.bytes().all(|byte| byte.is_ascii_alphabetic())
    })
}
