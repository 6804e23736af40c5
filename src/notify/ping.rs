//! Pings the health check in the protocol of its kind.
//!
//! | kind | once a batch is acquired | at the end |
//! |---|---|---|
//! | `healthchecks` | `URL/start` | `URL/<exit code>`, paired by `?rid=` |
//! | `plain` | nothing | GET, after a success |
//! | `kuma` | nothing | GET with `status=up` or `down`, and `msg` |
//!
//! Codes 1x are no failures of the job: another run holds the batch, or it is too early. They go to `URL/log`, which
//! changes no state, or nowhere: an alarm over a second trigger would teach people to ignore alarms.
//!
//! Risk: Healthchecks raises an alarm over a start that no exit code of the same run follows. So a run that acquires no
//! batch sends no start.

use std::fmt::Write as _;

use super::sender::{Call, Sender};
use crate::config::{HealthCheck, PingKind};
use crate::exit::Exit;
use crate::failure::Explanation;
use crate::outcome::BatchResult;
use crate::secret::redact;

/// Longest body, in bytes, and longest text in a query, in characters.
const BODY_BYTES: usize = 10_000;
const QUERY_CHARS: usize = 200;

const TEST: &str = "a test of `batch-export doctor --send`: this is about no batch";

#[derive(Clone)]
pub(super) struct Ping {
    check: HealthCheck,
    /// Pairs the start with the end.
    run_id: String,
}

impl Ping {
    pub(super) fn new(check: HealthCheck) -> Ping {
        Ping { check, run_id: uuid::Uuid::new_v4().to_string() }
    }

    pub(super) async fn start(&self, sender: &Sender) {
        match self.check.kind {
            PingKind::Healthchecks => self.send(sender, "start", self.signal("start", String::new())).await,
            PingKind::Plain | PingKind::Kuma => {}
        }
    }

    pub(super) async fn end(&self, sender: &Sender, exit: Exit, results: &[BatchResult]) {
        let waits = exit.severity() == 1;
        let call = match self.check.kind {
            PingKind::Healthchecks if waits => self.signal("log", body(exit, results)),
            PingKind::Healthchecks => self.signal(&exit.code().to_string(), body(exit, results)),
            PingKind::Plain => (exit == Exit::Ok).then(|| Call::get(self.check.url.expose())),
            PingKind::Kuma => (!waits).then(|| self.push(exit == Exit::Ok, &body(exit, results))).flatten(),
        };
        self.send(sender, exit.name(), call).await;
    }

    /// Sends a ping that is marked as a test. Returns the answer of the health check.
    pub(super) async fn test(&self, sender: &Sender) -> Result<String, Explanation> {
        let call = match self.check.kind {
            PingKind::Healthchecks => self.signal("log", TEST.to_owned()),
            PingKind::Plain => Some(Call::get(self.check.url.expose())),
            PingKind::Kuma => self.push(true, TEST),
        };
        let call = call.ok_or_else(|| "it is not an address".to_owned())?;
        sender.send(&call).await.map(|status| status.to_string())
    }

    async fn send(&self, sender: &Sender, what: &str, call: Option<Call>) {
        let Some(call) = call else { return };
        if let Err(why) = sender.send(&call).await {
            tracing::warn!(next = why.next, "the health check was not pinged ({what}): {why}");
        }
    }

    /// A signal of Healthchecks.
    fn signal(&self, signal: &str, body: String) -> Option<Call> {
        let mut url = url::Url::parse(self.check.url.expose()).ok()?;
        let path = format!("{}/{signal}", url.path().trim_end_matches('/'));
        url.set_path(&path);
        url.query_pairs_mut().append_pair("rid", &self.run_id);
        Some(Call::post(url, "text/plain; charset=utf-8", body))
    }

    /// A push to Uptime Kuma, with the first line of the text. Its address is often copied with an example query, which
    /// is removed.
    fn push(&self, up: bool, message: &str) -> Option<Call> {
        let mut url = url::Url::parse(self.check.url.expose()).ok()?;
        let others = url.query_pairs().into_owned().filter(|(name, _)| !matches!(&**name, "status" | "msg" | "ping"));
        let others: Vec<(String, String)> = others.collect();
        let line: String = message.trim().replace('\n', "; ").chars().take(QUERY_CHARS).collect();
        url.query_pairs_mut()
            .clear()
            .extend_pairs(others)
            .append_pair("status", if up { "up" } else { "down" })
            .append_pair("msg", &line);
        Some(Call::get(url))
    }
}

/// A line per batch, with its error.
fn body(exit: Exit, results: &[BatchResult]) -> String {
    let mut text = format!("{} (exit {})\n", exit.name(), exit.code());
    for result in results {
        let error = result.error.as_ref().map(|error| format!(": {}", error.message)).unwrap_or_default();
        let _ = writeln!(text, "{} {} {} entries{error}", result.batch, result.outcome.name(), result.entries);
    }
    let mut text = redact(&text).into_owned();
    while text.len() > BODY_BYTES {
        text.pop();
    }
    text
}
