//! Access tokens: fetched when needed, kept while valid, and fetched again when Drive refuses one.
//!
//! Both kinds of credentials share one cache here. The token library has a cache too, but that keeps an answer without
//! a token for ever; so the library is always asked for a fresh token, and only when the cache here has no valid one.
//! The library knows no proxies; behind a proxy it gets an HTTP client that does. Every wait has a limit, because the
//! library's own limit covers only the headers of the answer. The error code of RFC 6749 decides whether a refusal is
//! permanent or temporary (`fault`).

use std::time::Duration;

use futures_util::FutureExt;
use humantime::format_duration;
use serde::Deserialize;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};
use yup_oauth2::authenticator::{Authenticator, DefaultAuthenticator};
use yup_oauth2::{
    AccessToken, DefaultHyperClientBuilder, HyperClientBuilder, ServiceAccountAuthenticator, ServiceAccountKey,
};

use super::credentials::{AuthorizedUser, Credentials, Identity};
use super::fault::{Fault, judge_token};
use super::wire::read_body;
use crate::failure::{Failure, Result};
use crate::http::proxy::{Proxies, Tunnelled};
use crate::http::{Http, causes, explained};
use crate::secret::{Secret, redact};

/// All of Drive: a smaller scope cannot see a folder that somebody else created.
pub(super) const SCOPE: &str = "https://www.googleapis.com/auth/drive";

/// A token is renewed this long before it expires, so that it does not expire during a request.
const EARLY: Duration = Duration::from_secs(60);

/// The lifetime of a token whose answer names none, and the longest lifetime that is used; Google's tokens live for an
/// hour.
const USUAL_LIFE_S: u64 = 3600;

pub(super) struct Auth {
    source: TokenSource,
    identity: Identity,
    limit: Duration,
    cached: Mutex<Option<Token>>,
}

enum TokenSource {
    /// The token library, with a direct connection.
    Directly(DefaultAuthenticator),
    /// The same through a proxy, with the words for it in messages.
    Tunnelled(Authenticator<Tunnelled>, String),
    User(Box<AuthorizedUser>, Http),
}

#[derive(Clone)]
struct Token {
    value: Secret,
    good: Good,
    /// The scopes that the answer named, separated by spaces.
    scopes: Option<String>,
}

#[derive(Clone)]
enum Good {
    Until(Instant),
    AsTold(AccessToken),
}

impl Token {
    fn is_good(&self) -> bool {
        match &self.good {
            Good::Until(end) => Instant::now() < *end,
            Good::AsTold(token) => !token.is_expired(),
        }
    }
}

impl Auth {
    /// Prepares; nothing is sent yet. `limit` bounds one request for a token.
    ///
    /// # Errors
    /// A configuration failure: an unusable private key, or no certificates on this machine to check Google's with.
    pub(super) fn new(credentials: Credentials, subject: Option<String>, http: Http, limit: Duration) -> Result<Auth> {
        let (source, identity) = match credentials {
            Credentials::AuthorizedUser(user) => {
                if subject.is_some() {
                    return Err(Failure::configuration("--drive-subject needs the key of a service account, but the credentials are a person's consent")
                        .next("leave --drive-subject out, or give --credentials a service account's key"));
                }
                (TokenSource::User(Box::new(user), http), Identity::Consent)
            }
            Credentials::ServiceAccount(key) => {
                let email = key.client_email.clone();
                let source = service_account(*key, subject.as_deref(), &http.proxies)?;
                let identity = match subject {
                    Some(subject) => Identity::Delegated { email, subject },
                    None => Identity::ServiceAccount { email },
                };
                (source, identity)
            }
        };
        Ok(Auth { source, identity, limit, cached: Mutex::new(None) })
    }

    /// The account that requests are made as.
    pub(super) fn identity(&self) -> &Identity {
        &self.identity
    }

    /// A token that has not expired and was not refused.
    pub(super) async fn bearer(&self) -> Result<Secret, Fault> {
        let mut cached = self.cached.lock().await;
        if let Some(token) = cached.as_ref().filter(|token| token.is_good()) {
            return Ok(token.value.clone());
        }
        let token = timeout(self.limit, self.fetch()).await.unwrap_or_else(|_| {
            Err(Fault::passing(format!("no token from Google within {}", format_duration(self.limit))))
        })?;
        let value = token.value.clone();
        *cached = Some(token);
        Ok(value)
    }

    /// Tells that Drive refused this token: the next call fetches a fresh one.
    pub(super) async fn refused(&self, token: &Secret) {
        let mut cached = self.cached.lock().await;
        if cached.as_ref().is_some_and(|cached| cached.value == *token) {
            *cached = None;
        }
    }

    /// The scopes of the current token, when Google named them; a service account gets the scopes that it asks for.
    pub(super) async fn scopes(&self) -> Result<Option<String>, Fault> {
        self.bearer().await?;
        Ok(match &self.source {
            TokenSource::Directly(_) | TokenSource::Tunnelled(..) => Some(SCOPE.to_owned()),
            TokenSource::User(..) => self.cached.lock().await.as_ref().and_then(|token| token.scopes.clone()),
        })
    }

    async fn fetch(&self) -> Result<Token, Fault> {
        let (answer, through) = match &self.source {
            TokenSource::Directly(library) => (library.force_refreshed_token(&[SCOPE]).await, ""),
            TokenSource::Tunnelled(library, through) => (library.force_refreshed_token(&[SCOPE]).await, &**through),
            TokenSource::User(user, http) => return refresh(user, http, &self.identity).await,
        };
        let token = answer.map_err(|error| service_fault(&error, through, &self.identity))?;
        let value = token.token().filter(|value| !value.is_empty()).ok_or_else(no_token)?;
        Ok(Token { value: Secret::new(value), scopes: None, good: Good::AsTold(token) })
    }
}

fn no_token() -> Fault {
    Fault::passing("the token endpoint answered without a token")
}

fn service_account(key: ServiceAccountKey, subject: Option<&str>, proxies: &Proxies) -> Result<TokenSource> {
    let unusable = |reason: String| {
        Failure::configuration(format!("the service account's key cannot be used: {}", redact(&reason)))
            .next("check the field \"private_key\" of the credentials file, and that this machine has CA certificates")
    };
    match proxies.tunnel(&key.token_uri).map_err(|error| unusable(error.to_string()))? {
        Some(client) => {
            let through = proxies.through(&key.token_uri);
            authenticator(key, subject, client).map(|library| TokenSource::Tunnelled(library, through))
        }
        None => authenticator(key, subject, DefaultHyperClientBuilder::default()).map(TokenSource::Directly),
    }
    .map_err(unusable)
}

/// The library's `build` is async only for sources that are not used here, so it is complete at its first poll.
fn authenticator<C: HyperClientBuilder>(
    key: ServiceAccountKey,
    subject: Option<&str>,
    client: C,
) -> Result<Authenticator<C::Connector>, String> {
    let builder = ServiceAccountAuthenticator::with_client(key, client);
    let builder = match subject {
        Some(subject) => builder.subject(subject),
        None => builder,
    };
    let built = builder.build().now_or_never().ok_or_else(|| "it is not ready".to_owned())?;
    built.map_err(|error| error.to_string())
}

fn service_fault(error: &yup_oauth2::Error, through: &str, identity: &Identity) -> Fault {
    match error {
        yup_oauth2::Error::AuthError(refusal) => {
            judge_token(refusal.error.as_str(), refusal.error_description.as_deref().unwrap_or_default(), identity)
        }
        // The library's own message for this blames the program.
        yup_oauth2::Error::JSONError(_) => {
            Fault::passing(format!("no token from Google{through}: the answer is not JSON"))
        }
        other => Fault::passing(explained(&format!("no token from Google{through}: {other}"), &causes(other))),
    }
}

/// The answer to a refresh, good or bad.
#[derive(Deserialize)]
struct Refreshed {
    access_token: Option<String>,
    expires_in: Option<u64>,
    scope: Option<String>,
    error: Option<String>,
    /// Google's extension: `invalid_rapt` means that the session was ended, not that the consent was withdrawn.
    error_subtype: Option<String>,
    error_description: Option<String>,
}

async fn refresh(user: &AuthorizedUser, http: &Http, identity: &Identity) -> Result<Token, Fault> {
    let asked = Instant::now();
    let form = [
        ("grant_type", "refresh_token"),
        ("client_id", user.client_id.as_str()),
        ("client_secret", user.client_secret.expose()),
        ("refresh_token", user.refresh_token.expose()),
    ];
    let failed = |error: reqwest::Error| Fault::passing(http.failed("no token from Google: ", error));
    let mut answer = http.client.post(user.token_uri.clone()).form(&form).send().await.map_err(failed)?;
    let status = answer.status().as_u16();
    let body = read_body(&mut answer).await.map_err(failed)?;
    let Ok(answer) = serde_json::from_slice::<Refreshed>(&body) else {
        return Err(Fault::passing(format!("the token endpoint answered {status} with something that is not a token")));
    };
    match (status, answer.error) {
        (400..=499, Some(error)) if status != 429 => {
            let told = [answer.error_description, answer.error_subtype].into_iter().flatten().collect::<Vec<_>>();
            Err(judge_token(&error, &told.join(" "), identity))
        }
        (200..=299, None) => {
            let value = answer.access_token.filter(|value| !value.is_empty()).ok_or_else(no_token)?;
            let life_s = answer.expires_in.map_or(USUAL_LIFE_S, |life_s| life_s.min(USUAL_LIFE_S));
            let life = Duration::from_secs(life_s).saturating_sub(EARLY);
            Ok(Token { value: Secret::new(value), scopes: answer.scope, good: Good::Until(asked + life) })
        }
        (_, error) => {
            Err(Fault::passing(format!("the token endpoint answered {status} {}", error.unwrap_or_default())))
        }
    }
}
