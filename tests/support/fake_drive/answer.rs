//! Answers as Google forms them: JSON errors with a reason, HTML pages of the front end, plain text of the upload service, nothing.

use super::wire::Wire;
use serde_json::{Value, json};

/// An answer, true or planned.
#[derive(Clone, Debug)]
pub struct Answer(pub(super) Wire);

impl Answer {
    fn new(status: u16, content_type: Option<&str>, body: impl Into<Vec<u8>>) -> Self {
        let headers = content_type.map(|value| ("Content-Type".to_owned(), value.to_owned()));
        Answer(Wire { status, headers: headers.into_iter().collect(), body: body.into() })
    }

    /// No body at all.
    pub fn empty(status: u16) -> Self {
        Answer::new(status, None, "")
    }

    /// Plain text, as the upload service speaks.
    pub fn text(status: u16, body: &str) -> Self {
        Answer::new(status, Some("text/plain; charset=utf-8"), body)
    }

    /// An HTML page, as Google's front end shows when the request never reached Drive.
    pub fn html(status: u16) -> Self {
        let page = format!(
            "<!DOCTYPE html>\n<html lang=en>\n<title>Error {status} !!1</title>\n<p><b>{status}.</b> \
             <ins>That\u{2019}s an error.</ins>\n<p>The server cannot process the request. <ins>That\u{2019}s all we know.</ins>\n</html>\n"
        );
        Answer::new(status, Some("text/html; charset=UTF-8"), page)
    }

    /// Any JSON.
    pub fn json(status: u16, body: &Value) -> Self {
        Answer::new(status, Some("application/json; charset=UTF-8"), body.to_string())
    }

    /// A Drive error: `{"error":{"code","message","errors":[{"domain","reason","message"}]}}`.
    pub fn error(status: u16, reason: &str) -> Self {
        Answer::error_saying(status, reason, message_of(reason))
    }

    /// The same, in these words.
    pub fn error_saying(status: u16, reason: &str, message: &str) -> Self {
        let domain = if reason.ends_with("LimitExceeded") { "usageLimits" } else { "global" };
        let detail = json!({"message": message, "domain": domain, "reason": reason});
        Answer::json(status, &json!({"error": {"code": status, "message": message, "errors": [detail]}}))
    }

    /// An error of the token endpoint: `{"error","error_description"}`.
    pub fn token_error(status: u16, error: &str, description: &str) -> Self {
        Answer::json(status, &json!({"error": error, "error_description": description}))
    }

    /// One more header.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.0.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// `Retry-After` in seconds.
    pub fn retry_after_s(self, seconds: u64) -> Self {
        self.header("Retry-After", &seconds.to_string())
    }

    /// `Retry-After` as a date, so many seconds from now.
    pub fn retry_after_date_in_s(self, seconds: i64) -> Self {
        let date = chrono::Utc::now() + chrono::Duration::seconds(seconds);
        self.header("Retry-After", &date.format("%a, %d %b %Y %H:%M:%S GMT").to_string())
    }
}

/// Google's words for a reason, where a person would look for them.
fn message_of(reason: &str) -> &str {
    match reason {
        "authError" => "Invalid Credentials",
        "storageQuotaExceeded" => "The user's Drive storage quota has been exceeded.",
        "userRateLimitExceeded" => "User Rate Limit Exceeded",
        "rateLimitExceeded" => "Rate Limit Exceeded",
        "dailyLimitExceeded" => "Daily Limit Exceeded",
        "insufficientFilePermissions" => "The user does not have sufficient permissions for this file.",
        "insufficientParentPermissions" => "Insufficient permissions for the specified parent.",
        "insufficientPermissions" => "Insufficient Permission: Request had insufficient authentication scopes.",
        "backendError" => "Backend Error",
        "internalError" => "Internal Error",
        "fileIdInUse" => "A file already exists with the provided ID.",
        "parseError" => "Parse Error",
        "notFound" => "Not Found",
        other => other,
    }
}
