//! Masks the parts of an address in the answer of the receiver that it leads to.
//!
//! Risk: a receiver repeats a part of its address in its answer, and the answer is quoted in the log. So the path, the
//! query and each of their parts are masked there, decoded and as they were sent. Only there: a part may be a word such
//! as `accounting`, and masked everywhere it would be missing from folders and messages.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode_str;
use url::Url;

/// Shorter parts give nothing away.
const PART_MIN: usize = 3;
/// Up to this length a part of lower-case letters is a word.
const WORD_MAX: usize = 16;

/// The text without the parts of the address that may be secret.
pub(super) fn mask(text: &str, address: &str) -> String {
    let mut parts = parts(address);
    parts.sort_by_key(|part| std::cmp::Reverse(part.len()));
    parts.iter().filter(|part| may_be_secret(part)).fold(text.to_owned(), |text, part| text.replace(&**part, "***"))
}

fn may_be_secret(part: &str) -> bool {
    let is_word = part.len() < WORD_MAX && part.bytes().all(|byte| byte.is_ascii_lowercase() || b"-_".contains(&byte));
    part.len() >= PART_MIN && !is_word
}

fn parts(address: &str) -> Vec<String> {
    let mut parts = Vec::new();
    let Ok(url) = Url::parse(address) else { return parts };
    // As it was typed: the parser encodes some characters.
    let typed = address.split_once("://").map_or(address, |(_, rest)| rest);
    let typed = typed.split_once('/').map_or("", |(_, path)| path);
    for text in [typed, &format!("{}?{}", url.path(), url.query().unwrap_or_default())] {
        let text = text.split('#').next().unwrap_or_default();
        let (path, query) = text.split_once('?').unwrap_or((text, ""));
        let values = query.split('&').filter_map(|pair| Some(pair.split_once('=')?.1));
        let segments = path.trim_matches('/').split('/');
        for part in segments.flat_map(of_segment).chain(values).chain([path.trim_matches('/'), query]) {
            // As it was sent, decoded as a path is, and decoded as a query is.
            let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
            parts.extend([part.to_owned(), decoded(part), decoded(&part.replace('+', " "))]);
        }
    }
    if let Some(password) = url.password() {
        let decoded = |text| percent_decode_str(text).decode_utf8_lossy();
        let user = format!("{}:{}", decoded(url.username()), decoded(password));
        parts.extend([STANDARD.encode(&user), user, decoded(password).into_owned()]);
    }
    parts
}

/// A part of a path, and the parts of it: Telegram's has the token behind `bot`, with some number before a colon.
fn of_segment(segment: &str) -> impl Iterator<Item = &str> {
    let token = segment.strip_prefix("bot");
    let secret = token.and_then(|token| Some(token.split_once(':')?.1));
    [Some(segment), token, secret].into_iter().flatten()
}
