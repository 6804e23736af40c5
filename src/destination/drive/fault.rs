//! What an answer other than success means: the one table that decides between trying again, refreshing, looking and giving up.
//!
//! Whether something is tried again depends on the status and, for 403, on the documented reason, never on the words of a message.
//! Error bodies are JSON, HTML, plain text or nothing at all, so the words are only taken along for the person who reads them.

use std::time::Duration;

use serde_json::Value;

use super::advice;
use super::credentials::Identity;
use crate::destination::DestinationError;
use crate::secret::redact;

/// How much of a server's words is quoted, in characters.
const MAX_QUOTE: usize = 300;

/// An answer, as far as anyone here looks at it.
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

/// What stands between a request and its success.
#[derive(Clone, Debug)]
pub(super) enum Fault {
    /// It may pass by itself: try again, not before `retry_after`.
    Passing { reason: String, retry_after: Option<Duration> },
    /// 401: the token is not, or no longer, good.
    Unauthorized { reason: String },
    /// 404 or 410: what was asked for is not there, or not for us.
    Missing { reason: String },
    /// 400: our bug, a wrong setting or, when an upload is opened, an id that was issued to somebody else.
    Invalid { reason: String },
    /// 409: the id is in use.
    Taken,
    /// Trying again changes nothing.
    Final(DestinationError),
}

impl Fault {
    /// Something that may pass, without a server's opinion on when.
    pub(super) fn passing(reason: impl Into<String>) -> Fault {
        Fault::Passing { reason: redact(&reason.into()).into_owned(), retry_after: None }
    }

    /// The error when nothing more is tried.
    pub(super) fn give_up(self, identity: &Identity) -> DestinationError {
        match self {
            Fault::Passing { reason, .. } => DestinationError::Failed(reason),
            Fault::Unauthorized { reason } => rejected(reason, advice::after_unauthorized(identity)),
            Fault::Missing { reason } | Fault::Invalid { reason } => rejected(reason, advice::SETTINGS),
            Fault::Taken => DestinationError::Failed("Drive says that the file id is taken (409)".to_owned()),
            Fault::Final(error) => error,
        }
    }
}

/// A refusal, without secrets.
pub(super) fn rejected(message: impl Into<String>, next: impl Into<String>) -> DestinationError {
    DestinationError::Rejected { message: redact(&message.into()).into_owned(), next: next.into() }
}

/// Judges an answer that is not the success its operation hoped for. `doing` completes the sentence "Drive failed while ...".
pub(super) fn judge(doing: &str, answer: &Answer, identity: &Identity) -> Fault {
    let Words { reason, message } = words(&answer.body);
    let code = reason.as_deref().map(|reason| format!(" {reason}")).unwrap_or_default();
    let said = redact(&format!("Drive answered {}{code} while {doing}: {message}", answer.status)).into_owned();
    let reason = reason.unwrap_or_default();
    match answer.status {
        400 => Fault::Invalid { reason: said },
        401 => Fault::Unauthorized { reason: said },
        404 | 410 => Fault::Missing { reason: said },
        409 => Fault::Taken,
        408 | 429 | 500.. => Fault::Passing { reason: said, retry_after: answer.retry_after },
        403 if is_rate_limit(&reason) => Fault::Passing { reason: said, retry_after: answer.retry_after },
        403 => Fault::Final(rejected(said, advice::after_refusal(&reason, &message, identity))),
        300..=399 => Fault::Final(rejected(said, "check --drive-url: it must be the API itself, not a redirect to it")),
        402..=499 => Fault::Final(rejected(said, advice::SETTINGS)),
        _ => Fault::Final(DestinationError::Failed(said)),
    }
}

fn is_rate_limit(reason: &str) -> bool {
    ["rateLimitExceeded", "userRateLimitExceeded", "sharingRateLimitExceeded", "RATE_LIMIT_EXCEEDED"].contains(&reason)
}

/// Judges the refusal of a token: the `error` and `error_description` of RFC 6749.
pub(super) fn judge_token(error: &str, description: &str, identity: &Identity) -> Fault {
    let said = format!("Google refused a token for {identity}: {}", quote(&format!("{error} {description}")));
    match advice::after_token_refusal(error, description, identity) {
        Some(next) => Fault::Final(rejected(said, next)),
        None => Fault::passing(said),
    }
}

/// A server's explanation.
struct Words {
    /// The documented reason, where there is one.
    reason: Option<String>,
    /// Its words, on one line and cut short; "no details" when there are none.
    message: String,
}

fn words(body: &[u8]) -> Words {
    let text = String::from_utf8_lossy(body);
    let Ok(json) = serde_json::from_slice::<Value>(body) else {
        return Words { reason: None, message: quote(&without_tags(&text)) };
    };
    let error = &json["error"];
    // The status of an answer is not a reason; the detail is the only place that tells a too small scope by name.
    let detail = error["details"].as_array().into_iter().flatten().find_map(|detail| detail["reason"].as_str());
    let reason = error["errors"][0]["reason"].as_str();
    let reason = match (reason, detail) {
        (None | Some("forbidden"), Some(detail)) => Some(detail),
        (reason, _) => reason.or(error.as_str()),
    };
    let message = error["message"].as_str().or(json["error_description"].as_str()).unwrap_or_default();
    Words { reason: reason.map(quote), message: quote(message) }
}

/// One line of at most [`MAX_QUOTE`] characters.
fn quote(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(MAX_QUOTE) {
        None if line.is_empty() => "no details".to_owned(),
        None => line,
        Some((end, _)) => format!("{}...", &line[..end]),
    }
}

/// The visible text of an HTML page, near enough for one line of an error.
fn without_tags(text: &str) -> String {
    if !text.trim_start().starts_with('<') {
        return text.to_owned();
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> Answer {
        Answer { status, body: body.as_bytes().to_vec(), ..Answer::default() }
    }

    fn refusal(status: u16, reason: &str, message: &str) -> Answer {
        let body = serde_json::json!({"error": {"code": status, "message": message, "errors": [{"reason": reason}]}});
        answer(status, &body.to_string())
    }

    fn robot() -> Identity {
        Identity::ServiceAccount { email: "robot@example.com".to_owned() }
    }

    /// The kind of an error, and all its words.
    fn told(fault: Fault, identity: &Identity) -> (&'static str, String) {
        match fault.give_up(identity) {
            DestinationError::Failed(message) => ("failed", message),
            DestinationError::Rejected { message, next } => ("rejected", format!("{message}; {next}")),
        }
    }

    #[test]
    fn load_and_trouble_pass_and_keep_the_servers_wish() {
        let wish = Some(Duration::from_secs(7));
        for status in [408, 429, 500, 502, 503, 504] {
            let answer = Answer { retry_after: wish, ..answer(status, "") };
            let fault = judge("trying", &answer, &robot());
            assert!(matches!(fault, Fault::Passing { retry_after, .. } if retry_after == wish), "{status}");
        }
        for reason in ["rateLimitExceeded", "userRateLimitExceeded"] {
            assert!(matches!(judge("trying", &refusal(403, reason, ""), &robot()), Fault::Passing { .. }));
        }
    }

    #[test]
    fn each_refusal_has_its_own_next_step() {
        let person = Identity::Consent;
        for (identity, reason, message, next) in [
            (
                &robot(),
                "storageQuotaExceeded",
                "Service Accounts do not have storage quota.",
                "shared drive, or act as",
            ),
            (&person, "storageQuotaExceeded", "The user's Drive storage quota has been exceeded.", "free some"),
            (
                &robot(),
                "insufficientFilePermissions",
                "",
                "share the folder with the service account robot@example.com",
            ),
            (&person, "insufficientPermissions", "", "batch-export auth"),
            (&person, "appNotAuthorizedToFile", "", "drive.file"),
            (&robot(), "domainPolicy", "", "administrator"),
            (&robot(), "teamDriveFileLimitExceeded", "", "limit of items"),
            (&robot(), "dailyLimitExceeded", "", "daily limit"),
            (&robot(), "accessNotConfigured", "", "enable the Google Drive API"),
            (&robot(), "somethingNew", "", "check what the service account"),
        ] {
            let (kind, words) = told(judge("creating", &refusal(403, reason, message), identity), identity);
            assert_eq!(kind, "rejected", "{reason}");
            assert!(words.contains(reason) && words.contains(message) && words.contains(next), "{words}");
        }
    }

    #[test]
    fn a_scope_that_is_too_small_is_named_by_the_detail_only() {
        let body = r#"{"error":{"code":403,"message":"m","errors":[{"reason":"forbidden"}],
            "details":[{"reason":"ACCESS_TOKEN_SCOPE_INSUFFICIENT"}]}}"#;
        let (_, words) = told(judge("creating", &answer(403, body), &Identity::Consent), &Identity::Consent);
        assert!(words.contains("the consent covers too little"), "{words}");
    }

    #[test]
    fn any_body_becomes_one_line() {
        let quoted = |body: &str| words(body.as_bytes()).message;
        assert_eq!(quoted(""), "no details");
        assert_eq!(quoted("{}"), "no details");
        assert_eq!(quoted("  upload offset is\n 7 byte(s)"), "upload offset is 7 byte(s)");
        assert_eq!(quoted("<html><head><title>Error 411\n(x)</title></head><p>more"), "Error 411 (x)");
        assert_eq!(quoted("<p>Not <b>found</b></p>"), "Not found");
        assert_eq!(quoted(&"x".repeat(9999)).len(), MAX_QUOTE + 3);
    }

    #[test]
    fn a_refused_token_is_permanent_by_its_code_alone() {
        let jwt = "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe.";
        let subject =
            Identity::Delegated { email: "robot@example.com".to_owned(), subject: "ann@example.com".to_owned() };
        for (identity, error, description, next) in [
            (&robot(), "invalid_grant", jwt, "clock"),
            (&robot(), "invalid_grant", "Invalid JWT Signature.", "new JSON key"),
            (&subject, "invalid_grant", "Invalid email or User ID", "--drive-subject ann@example.com"),
            (&subject, "unauthorized_client", "", "Domain-wide delegation"),
            (&Identity::Consent, "invalid_grant", "Token has been expired or revoked.", "7 days"),
            (&Identity::Consent, "invalid_client", "", "batch-export auth"),
            (&Identity::Consent, "admin_policy_enforced", "", "administrator"),
        ] {
            let (kind, words) = told(judge_token(error, description, identity), identity);
            assert!(kind == "rejected" && words.contains(next), "{error}: {words}");
        }
        assert!(matches!(judge_token("internal_failure", "", &robot()), Fault::Passing { .. }));
    }
}
