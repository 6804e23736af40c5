//! Sends the requests of notifications: few tries, short limits, and no address in any message, because addresses are secrets.
//!
//! Risk: a receiver asks for a pause, and blocks a sender that ignores it. So a requested wait is kept if everything
//! stays within [`IN_ALL`]; otherwise the next `retry` sends.

use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LOCATION};
use reqwest::{Method, Response, StatusCode, Url};
use tokio::sync::OnceCell;
use tokio::time::Instant;

use super::address::mask;
use crate::config::Config;
use crate::failure::Explanation;
use crate::http::{Http, certificates, retry_after};
use crate::secret::{quoted_line, redact};

/// Tries of one message, not counting tries that the receiver asked to delay.
const TRIES: u32 = 3;
/// Limit of one try.
const LIMIT: Duration = Duration::from_secs(10);
/// Limit of all tries of one message.
pub(super) const IN_ALL: Duration = Duration::from_secs(15);
const PAUSE: Duration = Duration::from_millis(500);
/// Bytes of an answer that are read, and characters of it that are quoted.
const READ_BYTES: usize = 4096;
const QUOTED_CHARS: usize = 200;
/// How long the text of an answer that is a success may take.
const READ_LIMIT: Duration = Duration::from_secs(2);

#[derive(Clone)]
pub(super) struct Sender {
    config: Arc<Config>,
    /// Made for the first request; or why it cannot be made.
    http: Arc<OnceCell<Result<Http, Explanation>>>,
}

#[derive(Clone, Debug)]
pub(super) struct Call {
    method: Method,
    url: String,
    headers: HeaderMap,
    body: String,
    also_taken: fn(StatusCode, &HeaderMap, &str) -> bool,
}

/// The outcome of one try.
enum Reply {
    Taken(StatusCode),
    /// The same answer is certain next time.
    Refused(Explanation),
    /// The receiver may accept it later, after the time that it named.
    Later(Explanation, Option<Duration>),
}

impl Call {
    pub(super) fn post(url: impl Into<String>, content_type: &'static str, body: String) -> Call {
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(content_type))]);
        Call { method: Method::POST, url: url.into(), headers, body, also_taken: |_, _, _| false }
    }

    pub(super) fn get(url: impl Into<String>) -> Call {
        let headers = HeaderMap::new();
        Call { method: Method::GET, url: url.into(), headers, body: String::new(), also_taken: |_, _, _| false }
    }

    /// Adds a header; a value that is not valid in a header is left out.
    pub(super) fn header(mut self, name: &'static str, value: &str) -> Call {
        if let Ok(mut value) = HeaderValue::from_str(value) {
            value.set_sensitive(true);
            self.headers.insert(HeaderName::from_static(name), value);
        }
        self
    }

    /// Accepts further answers besides 2xx as delivered, by status, headers and requested address.
    pub(super) fn also_taken(mut self, by: fn(StatusCode, &HeaderMap, &str) -> bool) -> Call {
        self.also_taken = by;
        self
    }
}

impl Sender {
    pub(super) fn new(config: &Config) -> Sender {
        Sender { config: Arc::new(config.clone()), http: Arc::default() }
    }

    /// Certificates are read only for receivers with TLS, and off the runtime's threads: their file may be on a file system that does not
    /// answer.
    async fn http(&self) -> Result<&Http, Explanation> {
        let config = Arc::clone(&self.config);
        let make = move || match config.notifies_by_tls() {
            true => {
                certificates::check_file(config.certificate_file.as_deref()).and_then(|()| Http::new(&config.proxies))
            }
            false => Http::without_certificates(&config.proxies),
        };
        let made = self.http.get_or_init(async || {
            let made = tokio::task::spawn_blocking(make).await.map_err(|error| error.to_string())?;
            made.map_err(|failure| failure.why)
        });
        made.await.as_ref().map_err(Clone::clone)
    }

    /// Sends until the request is accepted, or refused for good. Returns within [`IN_ALL`].
    pub(super) async fn send(&self, call: &Call) -> Result<StatusCode, Explanation> {
        let end = Instant::now() + IN_ALL;
        let mut tries = 0;
        loop {
            let (problem, wait) = match tokio::time::timeout_at(end, self.once(call)).await {
                Ok(Reply::Taken(status)) => return Ok(status),
                Ok(Reply::Refused(reason)) => return Err(reason),
                Ok(Reply::Later(reason, wait)) => (reason, wait),
                Err(_) => return Err(format!("it did not answer within {} s", IN_ALL.as_secs()).into()),
            };
            let pause = match wait {
                Some(wait) => wait.max(PAUSE),
                None => {
                    tries += 1;
                    PAUSE * tries
                }
            };
            if tries == TRIES {
                return Err(problem);
            }
            if Instant::now() + pause > end {
                let most = IN_ALL.as_secs();
                let said = match wait {
                    Some(wait) => format!(
                        "{problem}; it asks for a pause of {} s, and all tries may take {most} s",
                        wait.as_secs_f64().ceil()
                    ),
                    None => format!("{problem}; all tries may take {most} s, and no time is left for another one"),
                };
                return Err(Explanation { next: problem.next, ..said.into() });
            }
            if wait.is_some() {
                tracing::info!("waiting {:.1} s for a receiver: {problem}", pause.as_secs_f64());
            }
            tokio::time::sleep(pause).await;
        }
    }

    async fn once(&self, call: &Call) -> Reply {
        let http = match self.http().await {
            Ok(http) => http,
            Err(reason) => return Reply::Refused(reason),
        };
        let request = http.client.request(call.method.clone(), &call.url).headers(call.headers.clone());
        let request = request.timeout(LIMIT);
        let request = if call.method == Method::GET { request } else { request.body(call.body.clone()) };
        match request.send().await {
            Ok(answer) if answer.status().is_success() => success(answer, &call.url).await,
            Ok(answer) if (call.also_taken)(answer.status(), answer.headers(), &call.url) => {
                Reply::Taken(answer.status())
            }
            Ok(answer) => judge(answer, &call.url).await,
            Err(error) => Reply::Later(http.failed("", error), None),
        }
    }
}

/// Some services answer with a success, and say in its text that they did not take the message.
async fn success(answer: Response, asked: &str) -> Reply {
    let status = answer.status();
    let body = tokio::time::timeout(READ_LIMIT, beginning(answer)).await.unwrap_or_default();
    let said = || Explanation::from(format!("it answered {status}: {}", quoted(&body, asked)));
    match body.trim() {
        // Healthchecks, for a check that does not exist, and for too many pings.
        "OK (not found)" => Reply::Refused(said()),
        "OK (rate limited)" => Reply::Later(said(), None),
        // Teams.
        text if text.starts_with("Webhook message delivery failed") => Reply::Later(said(), None),
        _ => Reply::Taken(status),
    }
}

async fn judge(answer: Response, asked: &str) -> Reply {
    let (status, headers) = (answer.status(), answer.headers().clone());
    let body = beginning(answer).await;
    let quote = quoted(&body, asked);
    let said =
        if quote.is_empty() { format!("it answered {status}") } else { format!("it answered {status}: {quote}") };
    let said = Explanation::from(said);
    match status {
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
            Reply::Later(said, asked_to_wait(&headers, &body))
        }
        _ if status.is_server_error() => Reply::Later(said, None),
        _ => Reply::Refused(said),
    }
}

/// The beginning of an answer; text that cannot be read is left out. Where the answer breaks off, so is the last word: what is masked only
/// as a whole may be cut there.
async fn beginning(mut answer: Response) -> String {
    let mut bytes = Vec::new();
    let is_whole = loop {
        match answer.chunk().await {
            Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
            Ok(None) => break true,
            Err(_) => break false,
        }
        if bytes.len() > READ_BYTES {
            bytes.truncate(READ_BYTES);
            break false;
        }
    };
    let mut text = String::from_utf8_lossy(&bytes).into_owned();
    if !is_whole {
        text.truncate(text.rfind(char::is_whitespace).unwrap_or_default());
    }
    text
}

/// A receiver may repeat the address or the token that it was sent.
fn quoted(body: &str, asked: &str) -> String {
    quoted_line(&mask(&redact(body), asked), QUOTED_CHARS)
}

/// How long the receiver asks to wait: in the header, as seconds or a date, or in the body, as Discord and Telegram do.
fn asked_to_wait(headers: &HeaderMap, body: &str) -> Option<Duration> {
    let by_body = || {
        let body: serde_json::Value = serde_json::from_str(body).ok()?;
        [&body["retry_after"], &body["parameters"]["retry_after"]].into_iter().find_map(serde_json::Value::as_f64)
    };
    let seconds: f64 = retry_after(headers).or_else(by_body)?;
    Duration::try_from_secs_f64(seconds.max(0.0)).ok()
}

/// Whether a relay accepted the message: Apps Script answers 302 to the address of its output. A redirect to a sign-in
/// page, to the same path of another host, or to another scheme or port of the same host, means that nothing was accepted.
pub(super) fn taken_by_relay(status: StatusCode, headers: &HeaderMap, asked: &str) -> bool {
    let location = headers.get(LOCATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let target = Url::parse(asked).ok().and_then(|asked| Some((asked.join(location).ok()?, asked)));
    let not_taken = target.is_some_and(|(target, asked)| {
        let moved = target.origin() != asked.origin()
            && (target.path() == asked.path() || target.host_str() == asked.host_str());
        moved || is_sign_in(&target)
    });
    status == StatusCode::FOUND && !not_taken
}

/// Whether an address is that of a page to sign in: by the first word of its host, or a part of its path.
fn is_sign_in(url: &Url) -> bool {
    const HOSTS: &str = "accounts auth id idp login signin sso";
    const PARTS: &str = "authorize login log-in log_in oauth2 saml saml2 servicelogin sign-in sign_in signin sso";
    let is_among = |words: &str, word: &str| words.split(' ').any(|one| one == word);
    let host = url.host_str().and_then(|host| host.split('.').next()).unwrap_or_default();
    // `/login.aspx` is one too.
    let word = |part: &str| part.split('.').next().unwrap_or_default().to_lowercase();
    is_among(HOSTS, host) || url.path().split('/').any(|part| is_among(PARTS, &word(part)))
}
