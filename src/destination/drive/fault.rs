//! What an answer other than success means: the one table that decides between trying again, refreshing, looking and giving up.
//!
//! Whether something is tried again depends on the status and, for 403, on the documented reason, never on the words of a message.
//! Error bodies are JSON, HTML, plain text or nothing at all, so the words are only taken along for the person who reads them.

use std::borrow::Cow;
use std::time::Duration;

use serde_json::Value;

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
            Fault::Unauthorized { reason } => rejected(reason, renew_advice(identity)),
            Fault::Missing { reason } => rejected(reason, "check the folder of --destination and who may see it"),
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
        401 => Fault::Unauthorized { reason: said },
        404 | 410 => Fault::Missing { reason: said },
        409 => Fault::Taken,
        408 | 429 | 500.. => Fault::Passing { reason: said, retry_after: answer.retry_after },
        403 if is_rate_limit(&reason) => Fault::Passing { reason: said, retry_after: answer.retry_after },
        403 => Fault::Final(rejected(said, advice(&reason, &message, identity))),
        300..=399 => {
            Fault::Final(rejected(said, "check --drive-url: it must be the API itself, not a page that leads to it"))
        }
        400..=499 => {
            Fault::Final(rejected(said, "check --destination and --drive-url; if they are right, report this as a bug"))
        }
        _ => Fault::Final(DestinationError::Failed(said)),
    }
}

fn is_rate_limit(reason: &str) -> bool {
    ["rateLimitExceeded", "userRateLimitExceeded", "sharingRateLimitExceeded", "RATE_LIMIT_EXCEEDED"].contains(&reason)
}

/// The next step after a refusal (403).
fn advice(reason: &str, message: &str, identity: &Identity) -> Cow<'static, str> {
    match reason {
        "storageQuotaExceeded" | "quotaExceeded" => storage_advice(message, identity),
        "dailyLimitExceeded" => "the project's daily limit for the Drive API is used up: raise it in the Google Cloud console, or wait until it is renewed at midnight Pacific time".into(),
        "insufficientFilePermissions" | "insufficientParentPermissions" | "cannotAddParent" => {
            format!("share the folder (in a shared drive: add a member) with {identity} as Content manager or Editor").into()
        }
        "insufficientPermissions" | "ACCESS_TOKEN_SCOPE_INSUFFICIENT" | "insufficientScopes" => scope_advice(identity),
        "appNotAuthorizedToFile" => {
            "this application may not touch this file or folder: with the scope drive.file it sees only what it made itself; run `batch-export auth` again and grant access to all of Drive".into()
        }
        "domainPolicy" => {
            "the Google Workspace administrator's policy forbids Drive for this application or outside the domain: ask the administrator to allow it".into()
        }
        "teamDriveFileLimitExceeded" | "teamDriveHierarchyTooDeep" | "numChildrenInNonRootLimitExceeded" | "activeItemCreationLimitExceeded" => {
            "the shared drive or folder has reached its limit of items: remove old files (and empty the trash), or use another folder".into()
        }
        "teamDriveMembershipRequired" => format!("make {identity} a member of the shared drive, as Content manager").into(),
        "accessNotConfigured" | "SERVICE_DISABLED" => {
            "enable the Google Drive API for the project of these credentials in the Google Cloud console, and wait a few minutes".into()
        }
        _ => format!("check what {identity} may do in this folder, and the Google Workspace policies that apply").into(),
    }
}

fn storage_advice(message: &str, identity: &Identity) -> Cow<'static, str> {
    let own = message.to_ascii_lowercase().contains("service account");
    match identity {
        Identity::ServiceAccount { .. } if own => SERVICE_ACCOUNT_STORAGE.into(),
        Identity::ServiceAccount { .. } => format!("if the folder is not in a shared drive: {SERVICE_ACCOUNT_STORAGE}; if it is, its organization's storage is full").into(),
        Identity::Delegated { .. } | Identity::Consent => format!("the storage of {identity}, or of the organization, is full: free some (the trash counts too), or buy more").into(),
    }
}

/// What to do about a service account that has no storage.
pub(super) const SERVICE_ACCOUNT_STORAGE: &str = "a service account has no storage of its own, also not in a folder that somebody shared with it: use a folder in a shared drive, or act as a user with --drive-subject (domain-wide delegation), or give a person's consent with `batch-export auth`";

/// What to do about a consent, or a delegation, for too little.
pub(super) fn scope_advice(identity: &Identity) -> Cow<'static, str> {
    match identity {
        Identity::Consent => "the consent covers too little: run `batch-export auth` again and grant access to all of Drive (an existing folder is invisible to the scope drive.file)".into(),
        Identity::ServiceAccount { .. } | Identity::Delegated { .. } => "the token covers too little: the scope https://www.googleapis.com/auth/drive is needed".into(),
    }
}

/// What to do when Drive does not accept a token that was just issued.
fn renew_advice(identity: &Identity) -> &'static str {
    match identity {
        Identity::Consent => "the consent was probably withdrawn: run `batch-export auth` again",
        Identity::ServiceAccount { .. } | Identity::Delegated { .. } => {
            "check that the service account and its key are still enabled, and that --drive-url is the API that the key belongs to"
        }
    }
}

/// Judges the refusal of a token: the `error` and `error_description` of RFC 6749. Both endpoints and both kinds of credentials.
pub(super) fn judge_token(error: &str, description: &str, identity: &Identity) -> Fault {
    let said = format!("Google refused a token for {identity}: {error} {description}");
    let consent = matches!(identity, Identity::Consent);
    let about = description.to_ascii_lowercase();
    let next: Cow<'static, str> = match error {
        "invalid_grant" if about.contains("short-lived") || about.contains("iat") => {
            "this machine's clock is probably wrong: check it and its time synchronization".into()
        }
        "invalid_grant" if about.contains("signature") => "the key was deleted or replaced: create a new JSON key for the service account".into(),
        "invalid_grant" if consent => "the consent has expired or was withdrawn: run `batch-export auth` again (a consent screen in \"Testing\" gives consents that die after 7 days: publish it)".into(),
        "invalid_grant" => match identity {
            Identity::Delegated { subject, .. } => format!("check that --drive-subject {subject} exists in the domain, and that the service account does").into(),
            Identity::ServiceAccount { .. } | Identity::Consent => "check that the service account still exists and is enabled".into(),
        },
        "unauthorized_client" | "access_denied" if !consent => "a Workspace administrator must allow this service account's client id the scope https://www.googleapis.com/auth/drive (Admin console, Security, API controls, Domain-wide delegation)".into(),
        "unauthorized_client" | "access_denied" => "the OAuth client may not do this: check its type (desktop app), and run `batch-export auth` again".into(),
        "invalid_client" | "deleted_client" | "disabled_client" => "the OAuth client was deleted or its secret replaced: create one in the Google Cloud console and run `batch-export auth` with it".into(),
        "invalid_scope" => scope_advice(identity),
        "admin_policy_enforced" | "org_internal" => "the Google Workspace administrator's policy forbids this application: ask the administrator to trust it".into(),
        "invalid_request" | "unsupported_grant_type" => "check the field \"token_uri\" of the credentials file".into(),
        _ => return Fault::passing(said),
    };
    Fault::Final(rejected(said, next))
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
