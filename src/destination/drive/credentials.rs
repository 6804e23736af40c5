//! Reads credentials files: which account they belong to, and what is wrong with them.
//!
//! Two kinds are accepted, told apart by the file's own `type`: `service_account`, a key that signs for itself, and
//! `authorized_user`, the consent of a person (`batch-export auth` writes one). The fields are read one by one, because
//! a derived parser quotes the value that it cannot parse, and every value here is a secret.

use std::fmt;
use std::path::Path;

use serde_json::Value;
use url::Url;
use yup_oauth2::ServiceAccountKey;

use crate::failure::{Explanation, Failure, Result};
use crate::http::web_address;
use crate::secret::{Secret, conceal, from_base64, is_utf16, unquoted};

/// The address where Google exchanges refresh tokens, for files that name none.
const GOOGLE_TOKEN_URI: &str = "https://oauth2.googleapis.com/token";

/// The account that requests are made as. The advice after a refusal depends on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    /// The service account itself, which has no storage of its own.
    ServiceAccount {
        /// Its address.
        email: String,
    },
    /// A user, on whose behalf the service account acts (domain-wide delegation).
    Delegated {
        /// The service account's address.
        email: String,
        /// The user's address.
        subject: String,
    },
    /// The person who gave consent; the file does not name the person.
    Consent,
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Identity::ServiceAccount { email } => write!(f, "the service account {email}"),
            Identity::Delegated { email, subject } => write!(f, "{subject} (through the service account {email})"),
            Identity::Consent => f.write_str("the account that gave consent"),
        }
    }
}

pub(super) enum Credentials {
    /// A key that signs its own requests for tokens.
    ServiceAccount(Box<ServiceAccountKey>),
    AuthorizedUser(AuthorizedUser),
}

/// A person's consent: the OAuth client it was given to, and the refresh token.
#[derive(Debug)]
pub(super) struct AuthorizedUser {
    pub(super) client_id: String,
    pub(super) client_secret: Secret,
    pub(super) refresh_token: Secret,
    pub(super) token_uri: Url,
}

/// Reads a credentials file.
///
/// # Errors
/// A configuration failure that names the file and the field, never a value.
pub(super) fn read(path: &Path) -> Result<Credentials> {
    let bytes = crate::files::read_named(path).map_err(|error| {
        Failure::configuration(format!("cannot read the Drive credentials {}: {error}", path.display()))
            .next("check --credentials (GOOGLE_APPLICATION_CREDENTIALS) and the file's permissions")
    })?;
    parse(&bytes).map_err(|why| refused("the Drive credentials file", path, why, NEXT_FILE))
}

/// The refusal of a file of this kind. `otherwise` is the next step when another file is needed.
pub(super) fn refused(kind: &str, path: &Path, why: Explanation, otherwise: &str) -> Failure {
    let message = format!("{kind} {} {why}", path.display());
    Failure::configuration(message).next(why.next.as_deref().unwrap_or(otherwise))
}

const NEXT_FILE: &str =
    "give --credentials the JSON key of a service account, or a file written by `batch-export auth --client FILE`";

/// The predicate after the file's name.
fn wrong(predicate: impl AsRef<str>) -> Explanation {
    predicate.into()
}

fn parse(bytes: &[u8]) -> Result<Credentials, Explanation> {
    let value = json_of(bytes)?;
    match value.get("type").and_then(Value::as_str) {
        Some("service_account") => service_account(&value),
        Some("authorized_user") => authorized_user(&value),
        Some(other) => Err(wrong(match GOOGLE_TYPES.contains(&other) {
            true => format!("is of type {other:?}; service_account and authorized_user work here"),
            false => "is of an unknown type; service_account and authorized_user work here".to_owned(),
        })),
        None if value.get("installed").is_some() => Err(wrong("is an OAuth client, not a person's consent")
            .next("run `batch-export auth --client` with this file, and give --credentials the file that it writes")),
        // `auth` refuses such a client.
        None if value.get("web").is_some() => {
            Err(wrong("is an OAuth client of the type \"Web application\", not a person's consent").next(
                "create an OAuth client of the type \"Desktop app\" in the Google Cloud console, run `batch-export auth --client FILE` \
                 with its JSON file, and give --credentials the file that it writes",
            ))
        }
        None => Err(wrong("has no field \"type\"")),
    }
}

/// Google's other types: their names are no secrets.
const GOOGLE_TYPES: [&str; 4] =
    ["external_account", "external_account_authorized_user", "gdch_service_account", "impersonated_service_account"];

/// The content of a JSON file, with or without a byte order mark.
///
/// # Errors
/// What the file is instead, without quoting it.
pub(super) fn json_of(bytes: &[u8]) -> Result<Value, Explanation> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    if is_utf16(bytes) {
        return Err(wrong("is in UTF-16, as PowerShell and Notepad write it").next(
            "save the file as UTF-8 (Notepad: Save as, Encoding UTF-8; PowerShell: Set-Content -Encoding utf8)",
        ));
    }
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.contains('\0') => serde_json::from_str(text).map_err(|error| not_json(text, &error)),
        Ok(_) | Err(_) => Err(wrong("is not a text in UTF-8 (a P12 or DER file, perhaps)")),
    }
}

/// The parser's own message may quote the file, so only its position is used.
fn not_json(text: &str, error: &serde_json::Error) -> Explanation {
    let is_json = |text: &str| serde_json::from_str::<Value>(text).is_ok_and(|value| value.is_object());
    if text.contains("-----BEGIN ") && !unquoted(text).starts_with('{') {
        return wrong("is a private key alone; the JSON file around it is needed, which names the account too");
    }
    match from_base64(text) {
        Some(decoded) if is_json(unquoted(&decoded)) => wrong("is JSON in base64")
            .next("decode the file (`base64 -d`), without quotes around its content, and give the result instead"),
        Some(_) | None if is_json(unquoted(text)) => {
            wrong("has quotes around the JSON").next("remove the quotes at the beginning and at the end of the file")
        }
        Some(_) | None => wrong(format!("is not JSON (line {}, column {})", error.line(), error.column())),
    }
}

fn service_account(value: &Value) -> Result<Credentials, Explanation> {
    let private_key = text(value, "private_key")?;
    conceal(&private_key);
    // No key has a backslash: some of the line ends may be right nevertheless.
    if private_key.contains("\\n") {
        return Err(wrong(r#"has a private key with the two characters \n where its line ends belong"#)
            .next("a template or a CI variable escaped the file twice: download it again, and copy it as it is"));
    }
    let optional = |name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
    Ok(Credentials::ServiceAccount(Box::new(ServiceAccountKey {
        key_type: Some("service_account".to_owned()),
        project_id: optional("project_id"),
        private_key_id: optional("private_key_id"),
        private_key,
        client_email: text(value, "client_email")?,
        client_id: optional("client_id"),
        auth_uri: optional("auth_uri"),
        token_uri: token_uri(&optional("token_uri").unwrap_or_else(|| GOOGLE_TOKEN_URI.to_owned()))?.0,
        auth_provider_x509_cert_url: None,
        client_x509_cert_url: None,
    })))
}

fn authorized_user(value: &Value) -> Result<Credentials, Explanation> {
    let uri = value.get("token_uri").and_then(Value::as_str).unwrap_or(GOOGLE_TOKEN_URI);
    Ok(Credentials::AuthorizedUser(AuthorizedUser {
        client_id: text(value, "client_id")?,
        client_secret: Secret::new(text(value, "client_secret")?),
        refresh_token: Secret::new(text(value, "refresh_token")?),
        token_uri: token_uri(uri)?.1,
    }))
}

fn text(value: &Value, name: &str) -> Result<String, Explanation> {
    match value.get(name).and_then(Value::as_str) {
        Some(text) if !text.trim().is_empty() => Ok(text.to_owned()),
        Some(_) | None => Err(wrong(format!("has no text in the field {name:?}"))),
    }
}

/// The address as written, because the signature covers each letter of it, and parsed. Both parsers that will read the
/// address check it here: the token library's parser panics on an address that it does not understand.
fn token_uri(text: &str) -> Result<(String, Url), Explanation> {
    match (web_address(text), text.parse::<yup_oauth2::hyper::Uri>()) {
        (Some(url), Ok(_)) => Ok((text.to_owned(), url)),
        _ => Err(wrong("has no usable web address in the field \"token_uri\"")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_consent_that_names_no_other_address_is_refreshed_at_google() {
        let consent = r#"{"type":"authorized_user","client_id":"c","client_secret":"s3","refresh_token":"1//r"}"#;
        let Ok(Credentials::AuthorizedUser(user)) = parse(consent.as_bytes()) else { panic!("not a consent") };
        assert_eq!(user.token_uri.as_str(), GOOGLE_TOKEN_URI);
    }
}
