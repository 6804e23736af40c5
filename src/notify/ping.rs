//! A health check in the manner of Healthchecks: `URL/start`, then `URL/<exit code>`, paired by `?rid=`.
//!
//! Codes of the 1x kind are no failures of the job: another run is at it, or it is too early. They go to `URL/log`, which changes no
//! state; an alarm over a second trigger would teach people to ignore alarms.

use super::wire::Wire;
use crate::exit::Exit;
use crate::outcome::BatchResult;
use crate::secret::{Secret, redact};

/// Longest body, in bytes.
const BODY_BYTES: usize = 10_000;

#[derive(Clone)]
pub(super) struct Ping {
    url: Secret,
    /// Pairs the start with the end.
    run_id: String,
}

impl Ping {
    pub(super) fn new(url: Secret) -> Ping {
        Ping { url, run_id: uuid::Uuid::new_v4().to_string() }
    }

    pub(super) async fn start(&self, wire: &Wire) {
        self.send(wire, "start", String::new()).await;
    }

    pub(super) async fn end(&self, wire: &Wire, exit: Exit, results: &[BatchResult]) {
        let signal = match exit {
            Exit::LockHeld | Exit::NotDue => "log".to_owned(),
            _ => exit.code().to_string(),
        };
        self.send(wire, &signal, body(exit, results)).await;
    }

    async fn send(&self, wire: &Wire, signal: &str, body: String) {
        let Ok(mut url) = url::Url::parse(self.url.expose()) else { return };
        let path = format!("{}/{signal}", url.path().trim_end_matches('/'));
        url.set_path(&path);
        url.query_pairs_mut().append_pair("rid", &self.run_id);
        if let Err(reason) = wire.post(url.as_str(), "text/plain; charset=utf-8", body).await {
            tracing::warn!("the health check was not pinged ({signal}): {reason}");
        }
    }
}

/// A line per batch, and what went wrong.
fn body(exit: Exit, results: &[BatchResult]) -> String {
    let mut text = format!("{} (exit {})\n", exit.name(), exit.code());
    for result in results {
        let error = result.error.as_ref().map(|error| format!(": {}", error.message)).unwrap_or_default();
        text.push_str(&format!("{} {} {} entries{error}\n", result.batch, result.outcome.name(), result.entries));
    }
    let mut text = redact(&text).into_owned();
    while text.len() > BODY_BYTES {
        text.pop();
    }
    text
}
