//! Secrets, and the guarantee that they never reach a log, an error or a stored document.
//!
//! Risk: a secret comes back inside a library's error or a server's answer, where no type can stop it; or somebody
//! typed it into the wrong setting. So there are three lines of defence. [`Secret`] keeps a value out of everything
//! that formats its owner. Every secret is registered as soon as it is seen: [`conceal_typed`] checks each word of the
//! command line and each environment variable before anything parses them. And all text that leaves the process goes
//! through [`redact`], which masks registered values and the user and password of every address.

use std::borrow::Cow;
use std::fmt;
use std::sync::{PoisonError, RwLock};

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// What a reader sees in place of a secret.
const MASK: &str = "***";

/// Shorter values are not registered: they would blank out ordinary words, and no real secret is that short.
const MIN_CHARS: usize = 6;

/// Everything but the unreserved characters of RFC 3986, as it appears in queries and forms.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The first characters of well-known tokens, keys and client secrets: Google's, Slack's, GitHub's, and JSON or PEM in
/// base64.
const TOKENS: [&str; 8] = ["ya29.", "1//", "GOCSPX-", "AIza", "xox", "ghp_", "eyJ", "LS0tLS1"];

/// The beginnings of signed requests (JWT): their headers begin with `{"alg`, `{"typ` or `{"kid`.
const SIGNED: [&str; 3] = ["eyJhbGci", "eyJ0eXAi", "eyJraWQi"];
/// From how many characters on a mixed word is a key: names and ids are shorter.
const LONG_KEY: usize = 100;

/// What ends a token, besides blanks.
const AROUND_TOKENS: &str = "\"'`\\=,;:&?<>()[]{}";

/// Addresses that are secrets as a whole: anybody who knows one can post to it.
const SECRET_ADDRESSES: [&str; 5] =
    ["/api/webhooks/", "hooks.slack.com/", "hc-ping.com/", "api.telegram.org/bot", "webhook.office.com/"];

/// Every text to be masked, the longest first so that a secret that contains another one goes as a whole.
static CONCEALED: RwLock<Vec<String>> = RwLock::new(Vec::new());

/// A value that formats as `***`. Obtaining one registers it with the redactor.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Registers the value and wraps it.
    pub fn new(value: impl Into<String>) -> Secret {
        let value = value.into();
        conceal(&value);
        Secret(value)
    }

    /// The value itself, for code that has to send it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

/// Registers a value, for the life of the process: from now on [`redact`] masks it in each of its [`forms`]. A value of
/// several lines (a private key) is also masked line by line, because JSON and logs break it differently.
pub fn conceal(value: &str) {
    let mut concealed = CONCEALED.write().unwrap_or_else(PoisonError::into_inner);
    let lines = value.lines().map(str::trim).filter(|line| !line.starts_with("-----"));
    for text in std::iter::once(value).chain(lines).filter(|text| text.chars().count() >= MIN_CHARS) {
        for form in forms(text) {
            if !concealed.contains(&form) {
                concealed.push(form);
            }
        }
    }
    concealed.sort_by_key(|text| std::cmp::Reverse(text.len()));
}

/// A text as a message may show it: as it stands, percent-encoded, as a string of Rust, as one of JSON, and as a string
/// of Rust inside one of JSON.
fn forms(text: &str) -> [String; 5] {
    let inside = |quoted: String| quoted[1..quoted.len() - 1].to_owned();
    let json = |text: &str| inside(serde_json::Value::from(text).to_string());
    let rust = inside(format!("{text:?}"));
    [text.to_owned(), percent_encoded(text), json(text), json(&rust), rust]
}

/// Registers everything that may be secret in a word of the command line, in a variable, or in a file that one of them
/// names. It goes by the form alone, before anything parses the text, because the error of a failed parse may show it.
pub fn conceal_typed(text: &str) {
    let value = text.trim().trim_start_matches("file:");
    for (at, _) in value.match_indices('@') {
        let before = &value[..at];
        let word = before.rsplit(|c: char| c.is_whitespace() || "\"'`".contains(c)).next().unwrap_or_default();
        match before.split_once("://") {
            Some((_, user)) => conceal_user(user),
            // A password without a scheme before it: `user:password@host`.
            None if word.contains(':') => conceal_user(word),
            None => {}
        }
    }
    if holds_a_key(text) {
        conceal(text);
        text.split(['"', '\n']).flat_map(|part| part.split("\\n")).filter(|part| part.len() >= 16).for_each(conceal);
    }
    let words = |signs: &'static str| value.split(move |c: char| c.is_whitespace() || signs.contains(c));
    words(AROUND_TOKENS).filter(|word| is_a_token(word)).for_each(conceal);
    let is_secret = |word: &&str| SECRET_ADDRESSES.iter().any(|address| word.contains(address));
    words("\"'`").filter(is_secret).for_each(conceal);
}

/// Registers `user:password`, and the parts into which a URL parser splits a password that is not percent-encoded.
pub fn conceal_user(user: &str) {
    conceal(user);
    let Some((_, password)) = user.split_once(':') else { return };
    conceal(password);
    conceal(&percent_decode_str(password).decode_utf8_lossy());
    password.split(['@', '/', '?', '#', ':', '[', ']']).for_each(conceal);
}

/// Whether a word begins like a well-known token or key.
pub fn is_a_token(word: &str) -> bool {
    word.len() >= 16 && TOKENS.iter().any(|token| word.starts_with(token))
}

/// Whether a text holds the content of a file with a key: JSON, PEM, or either of them in base64, whatever stands around
/// it (quotes, a byte order mark, the name of a variable).
pub fn holds_a_key(text: &str) -> bool {
    let opens_an_object =
        |rest: &str| rest.trim_start_matches(|c: char| c.is_whitespace() || c == '\\').starts_with(['"', '\'']);
    is_a_key(text) || text.split('{').skip(1).any(opens_an_object)
}

/// Whether a text is the content of a file with a key, and not only holds one. A short word, such as `e2e` or `W100`, is none, although it can
/// be read as base64 of a text that begins with a brace.
pub fn is_a_key(text: &str) -> bool {
    const SHORTEST_BASE64: usize = 16;
    let is_plain = |text: &str| unquoted(text).starts_with(['{', '[']) || text.contains("-----BEGIN ");
    is_plain(text) || (text.len() >= SHORTEST_BASE64 && from_base64(text).is_some_and(|decoded| is_plain(&decoded)))
}

/// A text without the blanks, quotes and byte order marks at its ends, which editors and shells put there.
pub fn unquoted(text: &str) -> &str {
    text.trim_matches(|c: char| c.is_whitespace() || "\u{feff}\"'`".contains(c))
}

/// Whether a file is a text in UTF-16, as PowerShell and Notepad write it, with or without a byte order mark.
pub fn is_utf16(bytes: &[u8]) -> bool {
    bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") || from_utf16(bytes).is_some()
}

/// Decodes a text in UTF-16 that begins with a mark or an ASCII character. A zero byte alone proves nothing: binary files
/// have them too.
fn from_utf16(bytes: &[u8]) -> Option<String> {
    let decode = |unit: fn([u8; 2]) -> u16| {
        let units: Vec<u16> = bytes.chunks_exact(2).map(|pair| unit([pair[0], pair[1]])).collect();
        String::from_utf16(&units).ok().filter(|_| bytes.len().is_multiple_of(2))
    };
    let text = match bytes {
        [0xff, 0xfe, ..] | [1..=0x7f, 0, ..] => decode(u16::from_le_bytes),
        [0xfe, 0xff, ..] | [0, 1..=0x7f, ..] => decode(u16::from_be_bytes),
        _ => None,
    };
    text.filter(|text| text.chars().all(|c| !c.is_control() || c.is_whitespace()))
}

/// Decodes base64, with or without padding, in one line or several, also in quotes; `None` when it is not base64 of a
/// text in UTF-8 or UTF-16.
pub fn from_base64(text: &str) -> Option<String> {
    let config = GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true);
    let digits: String = unquoted(text).split_whitespace().collect();
    let decode = |alphabet| GeneralPurpose::new(alphabet, config).decode(&digits).ok();
    let bytes = decode(&alphabet::STANDARD).or_else(|| decode(&alphabet::URL_SAFE))?;
    from_utf16(&bytes).or_else(|| String::from_utf8(bytes).ok()).filter(|text| !text.is_empty())
}

/// Everything but the unreserved characters of RFC 3986 as `%XX`, as it appears in queries and forms.
pub fn percent_encoded(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}

/// The text with every registered value masked, and with the user and password of every address masked.
pub fn redact(text: &str) -> Cow<'_, str> {
    let concealed = CONCEALED.read().unwrap_or_else(PoisonError::into_inner);
    let text = concealed.iter().fold(Cow::Borrowed(text), |text, secret| {
        if text.contains(secret.as_str()) { Cow::Owned(text.replace(secret.as_str(), MASK)) } else { text }
    });
    match mask_users(&text) {
        Some(masked) => Cow::Owned(masked),
        None => text,
    }
}

/// What another program said, as it is quoted: masked, also the tokens that nobody registered, and then cut, so that no
/// first half of a secret is left. `max` is in characters.
pub fn quoted(said: &str, max: usize) -> String {
    cut(&mask_tokens(&redact(said)), max)
}

/// The same on one line.
pub fn quoted_line(said: &str, max: usize) -> String {
    let words = redact(said);
    let words = words.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty());
    cut(&mask_tokens(&words.collect::<Vec<_>>().join(" ")), max)
}

/// The beginning of a text, of at most `max` characters.
pub fn cut(text: &str, max: usize) -> String {
    match text.char_indices().nth(max) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

/// Masks what looks like a token or a key: a server may repeat the signed request that it got, whole or in part, as it was sent or decoded.
fn mask_tokens(text: &str) -> String {
    let is_around = |c: char| c.is_whitespace() || AROUND_TOKENS.contains(c);
    let masked = text.split_inclusive(is_around).map(|word| {
        let whole = word.trim_end_matches(is_around);
        let encoded = whole.match_indices('%').filter_map(|(at, _)| whole.get(at + 3..));
        // The beginning of a signed request is certain, whatever stands before it.
        let signed = SIGNED.iter().filter_map(|beginning| whole.get(whole.find(beginning)?..));
        let token = signed.chain(encoded).chain([whole]).find(|part| is_a_token(part) || is_a_long_key(part));
        token.map_or_else(|| word.to_owned(), |token| word.replacen(token, MASK, 1))
    });
    masked.collect()
}

/// Whether a word is as long as a key or a signature, and as mixed.
fn is_a_long_key(word: &str) -> bool {
    let has = |is: fn(&u8) -> bool| word.bytes().any(|byte| is(&byte));
    word.len() >= LONG_KEY
        && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/-_.%".contains(&byte))
        && has(u8::is_ascii_uppercase)
        && has(u8::is_ascii_lowercase)
        && has(u8::is_ascii_digit)
}

/// Masks the text between `://` and the last `@` of a word; `None` when there is no such word. A `file://` path has no
/// user and stays.
fn mask_users(text: &str) -> Option<String> {
    let mut masked = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, address) = rest.split_at(at + 3);
        let end = address.find(|c: char| c.is_whitespace() || "\"'<>`\\".contains(c)).unwrap_or(address.len());
        let user = address[..end].rfind('@').filter(|_| !before.ends_with("file://"));
        masked.push_str(before);
        rest = match user {
            Some(user) => {
                masked.push_str(MASK);
                &address[user..]
            }
            None => address,
        };
    }
    masked.push_str(rest);
    (masked != text).then_some(masked)
}
