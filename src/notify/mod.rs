//! Everybody who wants to know how it went: people at a webhook, a health check, a metrics collector.
//!
//! The danger is that telling changes what is told. So all of it happens after the commit and after the result is printed, within a
//! bound, and a failure is a line in the log: neither exit code nor stdout ever depend on it. The ping of the start runs beside the
//! pass and never delays it.
//!
//! People are told what this invocation achieved or failed at: a commit, a failed attempt, an interruption, the last retry. Not that
//! nothing was due, that it was done before, that another run is at it, that a batch is still exhausted (said once, when it became so),
//! nor that a `retry` every few minutes found no database: that is for the health check.

mod discord;
mod json;
mod message;
mod metrics;
mod ping;
mod slack;
mod wire;

use std::time::Duration;

use tokio::task::JoinHandle;

use crate::config::{Config, NotifyKind};
use crate::exit::Exit;
use crate::outcome::BatchResult;
use crate::secret::{Secret, redact};
use message::Message;
use ping::Ping;
use wire::Wire;

/// How long telling everybody may take.
const LIMIT: Duration = Duration::from_secs(15);
/// The same after a signal: whoever sent it does not wait long.
const LIMIT_WHEN_STOPPED: Duration = Duration::from_secs(5);

/// Those who are told; from the beginning of an invocation to its end.
pub struct Listeners<'a> {
    config: &'a Config,
    wire: Option<Wire>,
    ping: Option<Ping>,
    started: Option<JoinHandle<()>>,
}

impl<'a> Listeners<'a> {
    /// Prepares, and tells the health check that work begins. Never waits.
    pub fn begin(config: &'a Config) -> Listeners<'a> {
        let wanted = config.notify_url.is_some() || config.ping_url.is_some();
        let wire = wanted.then(Wire::new).and_then(|wire| {
            wire.map_err(|reason| tracing::warn!("nobody can be told over the network: {reason}")).ok()
        });
        let ping = config.ping_url.clone().map(Ping::new);
        let started = match (&wire, &ping) {
            (Some(wire), Some(ping)) => {
                let (wire, ping) = (wire.clone(), ping.clone());
                Some(tokio::spawn(async move { ping.start(&wire).await }))
            }
            _ => None,
        };
        Listeners { config, wire, ping, started }
    }

    /// Tells the end. Returns within [`LIMIT`], whatever fails.
    pub async fn end(self, exit: Exit, results: &[BatchResult]) {
        if let Some(path) = &self.config.metrics_file
            && let Err(error) = metrics::write(path, exit, results, self.config.clock.now())
        {
            tracing::warn!("the metrics file {} was not written: {error}", path.display());
        }
        let Some(wire) = &self.wire else { return };
        let limit = match exit {
            Exit::InterruptedInt | Exit::InterruptedTerm => LIMIT_WHEN_STOPPED,
            _ => LIMIT,
        };
        let ping = async {
            // In this order, or the health check takes the job for running.
            if let Some(started) = self.started {
                let _ = started.await;
            }
            if let Some(ping) = &self.ping {
                ping.end(wire, exit, results).await;
            }
        };
        let notify = async {
            if let Some(url) = &self.config.notify_url {
                for message in results.iter().filter_map(Message::of) {
                    notify(wire, url, self.config.notify_kind, &message).await;
                }
            }
        };
        let both = async { tokio::join!(ping, notify) };
        if tokio::time::timeout(limit, both).await.is_err() {
            tracing::warn!("not everybody could be told within {} s", limit.as_secs());
        }
    }
}

async fn notify(wire: &Wire, url: &Secret, kind: Option<NotifyKind>, message: &Message<'_>) {
    let body = match kind.unwrap_or_else(|| kind_of(url)) {
        NotifyKind::Discord => discord::body(message),
        NotifyKind::Slack => slack::body(message),
        NotifyKind::Json => json::body(message),
    };
    // Masked as text: a library's message in the result may hold what no type kept out.
    let body = redact(&body.to_string()).into_owned();
    match wire.post(url.expose(), "application/json", body).await {
        Ok(()) => tracing::info!("the webhook was told"),
        Err(reason) => tracing::warn!("the webhook was not told: {reason}"),
    }
}

/// What an address understands, told by its host.
fn kind_of(url: &Secret) -> NotifyKind {
    let address = url::Url::parse(url.expose()).ok();
    let host = address.as_ref().and_then(url::Url::host_str).unwrap_or_default();
    let is = |name: &str| host == name || host.ends_with(&format!(".{name}"));
    match (is("discord.com") || is("discordapp.com"), is("hooks.slack.com")) {
        (true, _) => NotifyKind::Discord,
        (_, true) => NotifyKind::Slack,
        _ => NotifyKind::Json,
    }
}

/// At most so many characters, with an ellipsis where something was cut.
fn cut(text: &str, characters: usize) -> String {
    match text.char_indices().nth(characters) {
        None => text.to_owned(),
        Some(_) => text.chars().take(characters.saturating_sub(1)).chain(['…']).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::{cut, kind_of};
    use crate::config::NotifyKind;
    use crate::secret::Secret;

    #[test]
    fn a_webhook_is_known_by_its_host() {
        let kind = |url: &str| kind_of(&Secret::new(url));
        assert_eq!(kind("https://discord.com/api/webhooks/1/abcdef"), NotifyKind::Discord);
        assert_eq!(kind("https://hooks.slack.com/services/T/B/abcdef"), NotifyKind::Slack);
        assert_eq!(kind("https://example.com/discord.com"), NotifyKind::Json);
        assert_eq!(kind("https://notdiscord.com/x"), NotifyKind::Json);
    }

    #[test]
    fn a_text_is_cut_at_characters() {
        assert_eq!(cut("ค่าเช่า", 7), "ค่าเช่า");
        assert_eq!(cut("ค่าเช่า", 3), "ค่…");
    }
}
