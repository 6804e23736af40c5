//! What an answer other than success means: one table decides between trying again, fetching a new token, looking at
//! the file, and giving up.
//!
//! Risk: a temporary failure that is taken for a final one stops the day's export, and a final one that is tried again
//! wastes the day. So the status decides and, for 403, the documented reason. Error bodies are JSON, HTML, plain text
//! or empty; their text is only quoted for people. One exception: only the text of a 400 says that the file id itself
//! was refused.

use std::time::Duration;

use serde_json::Value;

use super::advice;
use super::credentials::Identity;
use crate::destination::DestinationError;
use crate::failure::Explanation;
use crate::secret::{quoted_line, redact};

/// How much of a server's text is quoted, in characters.
const MAX_QUOTE: usize = 300;

/// The parts of an answer that are used here.
#[derive(Clone, Debug, Default)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// `Location`: a secret when it names a session.
    pub(super) location: Option<String>,
    /// `Range` as it stands.
    pub(super) range: Option<String>,
    /// `Retry-After`, a date in it already turned into a delay.
    pub(super) retry_after: Option<Duration>,
    pub(super) body: Vec<u8>,
}

/// Why a request did not succeed. No text holds a secret.
#[derive(Clone, Debug)]
pub(super) enum Fault {
    /// Temporary: try again, not before `retry_after`. The next step is for when it does not pass.
    Passing { why: Explanation, retry_after: Option<Duration> },
    /// 401: the token is not valid, or no longer.
    Unauthorized { reason: String },
    /// 404 or 410: not there, or not visible to these credentials. `on_drive`: Drive's own JSON says so, which in an
    /// upload means the folder and not the session.
    Missing { reason: String, on_drive: bool },
    /// 400 whose text says that the file id cannot be used: it was issued to other credentials, or is too old.
    IdUnusable { reason: String },
    /// Any other 4xx without a known meaning. Google's rule: start an upload session that answers so again.
    Unexplained { status: u16, why: Explanation },
    /// 409: the id is in use.
    Taken,
    /// Trying again changes nothing: a person has to act.
    Refused(Explanation),
    /// All retries are used, or a request cannot change it.
    Failed(Explanation),
}

impl Fault {
    /// A temporary fault, for which no server named a delay.
    pub(super) fn passing(why: impl Into<Explanation>) -> Fault {
        Fault::Passing { why: why.into(), retry_after: None }
    }

    /// A failure on this side, or a fault whose retries are used.
    pub(super) fn failed(why: impl Into<Explanation>) -> Fault {
        Fault::Failed(why.into())
    }

    pub(super) fn refused(message: impl AsRef<str>, next: impl AsRef<str>) -> Fault {
        Fault::Refused(Explanation::new(message, next))
    }

    /// The same fault after `tries` failed tries.
    pub(super) fn after_tries(self, tries: u32) -> Fault {
        match self {
            Fault::Passing { why: Explanation { message, next }, .. } => {
                Fault::Failed(Explanation { message: format!("{message} (given up after {tries} failed tries)"), next })
            }
            other => other,
        }
    }

    /// The error for the pass when nothing more is tried.
    pub(super) fn give_up(self, identity: &Identity) -> DestinationError {
        match self {
            Fault::Passing { why, .. } | Fault::Failed(why) => DestinationError::failed(why),
            Fault::Unauthorized { reason } => DestinationError::rejected(reason, advice::after_unauthorized(identity)),
            Fault::Missing { reason, .. } => DestinationError::rejected(reason, advice::SETTINGS),
            Fault::IdUnusable { reason } => DestinationError::rejected(reason, advice::FRESH_ID_REFUSED),
            Fault::Taken => DestinationError::failed("Drive says that the file id is taken (409)".to_owned()),
            Fault::Unexplained { why, .. } | Fault::Refused(why) => DestinationError { is_refusal: true, why },
        }
    }
}

/// Turns a 404 into `None`.
pub(super) fn if_there<T>(asked: Result<T, Fault>) -> Result<Option<T>, Fault> {
    match asked {
        Ok(found) => Ok(Some(found)),
        Err(Fault::Missing { .. }) => Ok(None),
        Err(fault) => Err(fault),
    }
}

/// Classifies an answer that is not a success. `doing` completes the sentence "Drive failed while ...".
pub(super) fn judge(doing: &str, answer: &Answer, identity: &Identity) -> Fault {
    let words = words(&answer.body);
    let code = words.reason.as_deref().map(|reason| format!(" {reason}")).unwrap_or_default();
    let said = redact(&format!("Drive answered {}{code} while {doing}: {}", answer.status, words.message)).into_owned();
    match answer.status {
        400 if speaks_of_file_id(&words.message) => Fault::IdUnusable { reason: said },
        401 => Fault::Unauthorized { reason: said },
        403 => judge_refusal(said, &words, answer.retry_after, identity),
        404 | 410 => Fault::Missing { reason: said, on_drive: words.reason.as_deref() == Some("notFound") },
        409 => Fault::Taken,
        429 => Fault::Passing { why: Explanation::new(said, advice::RATE_LIMIT), retry_after: answer.retry_after },
        408 | 500.. => Fault::Passing { why: said.into(), retry_after: answer.retry_after },
        300..=399 => {
            Fault::refused(said, "correct --drive-url: it must be the address of the API itself, not of a redirect")
        }
        400..=499 => match advice::after_lost_project(&words.message) {
            Some(next) => Fault::refused(said, next),
            None => Fault::Unexplained { status: answer.status, why: Explanation::new(said, advice::SETTINGS) },
        },
        _ => Fault::failed(said),
    }
}

/// The words, not a part of others such as "Invalid profile identity".
fn speaks_of_file_id(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    let words: Vec<&str> = message.split(|c: char| !c.is_ascii_alphanumeric()).collect();
    words.windows(2).any(|pair| pair == ["file", "id"])
}

/// Classifies a 403: a rate limit is temporary, a known reason needs a person, and an unknown reason too. A web page, or
/// nothing, comes from Google's front end, which refuses a burst of requests this way: it is temporary.
fn judge_refusal(said: String, words: &Words, retry_after: Option<Duration>, identity: &Identity) -> Fault {
    if words.of_front_end || words.exhausted || words.all_reasons.iter().any(|reason| is_rate_limit(reason)) {
        return Fault::Passing { why: Explanation::new(said, advice::RATE_LIMIT), retry_after };
    }
    let reason = words.reason.as_deref().unwrap_or_default();
    match advice::after_refusal(reason, &words.message, identity) {
        Some(next) => Fault::refused(said, next),
        None => {
            Fault::Unexplained { status: 403, why: Explanation::new(said, advice::after_unknown_refusal(identity)) }
        }
    }
}

fn is_rate_limit(reason: &str) -> bool {
    [
        "rateLimitExceeded",
        "userRateLimitExceeded",
        "sharingRateLimitExceeded",
        "RATE_LIMIT_EXCEEDED",
        "USER_RATE_LIMIT_EXCEEDED",
    ]
    .contains(&reason)
}

/// Classifies the refusal of a token: the `error`, `error_subtype` and `error_description` of Google's answer (RFC
/// 6749).
pub(super) fn judge_token(error: &str, description: &str, identity: &Identity) -> Fault {
    let said = format!("Google refused a token for {identity}: {}", quote(&format!("{error} {description}")));
    match advice::after_token_refusal(error, description, identity) {
        Some(next) => Fault::refused(said, next),
        None => Fault::passing(said),
    }
}

struct Words {
    /// The documented reason, when there is one.
    reason: Option<String>,
    /// Every reason that the answer names.
    all_reasons: Vec<String>,
    /// Its text, on one line and cut short; "no details" when it is empty.
    message: String,
    /// Whether the body is a web page, or empty.
    of_front_end: bool,
    /// Whether the status of the JSON is `RESOURCE_EXHAUSTED`, which stands for a rate limit without a reason.
    exhausted: bool,
}

fn words(body: &[u8]) -> Words {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    let text = String::from_utf8_lossy(body);
    let Ok(json) = serde_json::from_slice::<Value>(body) else {
        let html = text.trim_start().starts_with('<');
        let of_front_end = html || text.trim().is_empty();
        let message = quote(&if html { without_tags(&text) } else { text.into_owned() });
        return Words { reason: None, all_reasons: Vec::new(), message, of_front_end, exhausted: false };
    };
    let error = &json["error"];
    let reasons = |list: &Value| -> Vec<String> {
        list.as_array().into_iter().flatten().filter_map(|item| item["reason"].as_str()).map(quote).collect()
    };
    // The status of an answer is not a reason, with one exception. Only the details name a scope that is too small.
    let (first, details) = (reasons(&error["errors"]), reasons(&error["details"]));
    let exhausted = first.is_empty() && details.is_empty() && error["status"] == "RESOURCE_EXHAUSTED";
    let reason = match (first.first(), details.first()) {
        (None, Some(detail)) => Some(detail.clone()),
        (Some(vague), Some(detail)) if vague == "forbidden" => Some(detail.clone()),
        (reason, _) => reason.cloned().or(error.as_str().map(quote)),
    };
    let message = error["message"].as_str().or(json["error_description"].as_str()).unwrap_or_default();
    Words { reason, all_reasons: [first, details].concat(), message: quote(message), of_front_end: false, exhausted }
}

/// One line of at most [`MAX_QUOTE`] characters.
fn quote(text: &str) -> String {
    let line = quoted_line(text, MAX_QUOTE);
    if line.is_empty() { "no details".to_owned() } else { line }
}

/// Roughly the visible text of an HTML page, for one line of an error.
fn without_tags(text: &str) -> String {
    let page = text.split_once("<title>").and_then(|(_, rest)| rest.split_once("</title>"));
    let mut inside = false;
    let visible = |c: &char| {
        match c {
            '<' => inside = true,
            '>' => inside = false,
            _ => return !inside,
        }
        false
    };
    page.map_or_else(|| text.chars().filter(visible).collect(), |(title, _)| title.to_owned())
}
