//! Secrets, and the guarantee that they never reach a log, an error or a stored document.
//!
//! Two lines of defence, because either alone has a hole. [`Secret`] keeps a value out of everything that formats its owner. But
//! secrets also come back from outside, inside the error of a library or the echo of a server, where no type can stop them: so
//! every secret is registered when it is obtained, and whatever leaves the process as text goes through [`redact`] at the sink.

use std::borrow::Cow;
use std::fmt;
use std::sync::{PoisonError, RwLock};

/// What a reader sees in place of a secret.
const MASK: &str = "***";

/// Shorter values are not registered: they would blank out ordinary words, and no real secret is that short.
const MIN_CHARS: usize = 6;

/// Every text to be masked, the longest first so that a secret that contains another one goes as a whole.
static CONCEALED: RwLock<Vec<String>> = RwLock::new(Vec::new());

/// A value that formats as `***`. Obtaining one registers it with the redactor.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes a value into custody, and registers it.
    pub fn new(value: impl Into<String>) -> Secret {
        let value = value.into();
        conceal(&value);
        Secret(value)
    }

    /// The value itself, for the one place that has to send it.
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

/// Registers a value, for the life of the process: from now on [`redact`] masks it, as it is and percent-encoded. A value of
/// several lines (a private key) is also masked line by line, because JSON and logs break it differently.
pub fn conceal(value: &str) {
    let mut concealed = CONCEALED.write().unwrap_or_else(PoisonError::into_inner);
    let lines = value.lines().map(str::trim).filter(|line| !line.starts_with("-----"));
    for text in std::iter::once(value).chain(lines).filter(|text| text.chars().count() >= MIN_CHARS) {
        for form in [text.to_owned(), percent_encoded(text)] {
            if !concealed.contains(&form) {
                concealed.push(form);
            }
        }
    }
    concealed.sort_by_key(|text| std::cmp::Reverse(text.len()));
}

/// The text with every registered value masked.
pub fn redact(text: &str) -> Cow<'_, str> {
    let concealed = CONCEALED.read().unwrap_or_else(PoisonError::into_inner);
    concealed.iter().fold(Cow::Borrowed(text), |text, secret| {
        if text.contains(secret.as_str()) { Cow::Owned(text.replace(secret.as_str(), MASK)) } else { text }
    })
}

/// Everything but the unreserved characters of RFC 3986 as `%XX`, as it appears in queries and forms.
fn percent_encoded(text: &str) -> String {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(byte as char);
        } else {
            encoded.extend(['%', DIGITS[usize::from(byte >> 4)] as char, DIGITS[usize::from(byte & 15)] as char]);
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_formats_as_stars_inside_anything() {
        let secret = Secret::new("1//refresh-token-a");
        assert_eq!(format!("{secret} {secret:?} {:?}", Some(&secret)), "*** *** Some(***)");
        assert_eq!(secret.expose(), "1//refresh-token-a");
    }

    #[test]
    fn registered_values_are_masked_also_percent_encoded() {
        conceal("s3cr/et+b=");
        let text = "x=s3cr%2Fet%2Bb%3D and s3cr/et+b= and s3cr";
        assert_eq!(redact(text), "x=*** and *** and s3cr");
    }

    #[test]
    fn a_private_key_is_masked_however_its_lines_are_broken() {
        conceal("-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkq\nhkiG9w0BAQEFAASC\n-----END PRIVATE KEY-----\n");
        assert_eq!(redact(r"MIIEvQIBADANBgkq\nhkiG9w0BAQEFAASC"), r"***\n***");
        assert_eq!(redact("-----BEGIN PRIVATE KEY-----"), "-----BEGIN PRIVATE KEY-----");
    }

    #[test]
    fn a_secret_within_a_longer_one_does_not_leave_the_rest_behind() {
        conceal("token-inner-c");
        conceal("https://host/?upload=token-inner-c&more=rest-of-it");
        assert_eq!(redact("at https://host/?upload=token-inner-c&more=rest-of-it!"), "at ***!");
    }

    #[test]
    fn short_values_and_innocent_text_stay() {
        conceal("abc");
        assert!(matches!(redact("abc alphabet"), Cow::Borrowed("abc alphabet")));
    }
}
