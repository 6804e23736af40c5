//! Everybody who wants to know how it went: people at a webhook, a health check, a metrics collector.
//!
//! The danger is that telling changes what is told. So all of it happens after the commit, beside the work or after the result is printed,
//! within a bound, and a failure is a line in the log: neither exit code nor stdout ever depend on it. The ping of the start and the
//! messages of a backfill's earlier dates run beside the pass and never delay it.
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

use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
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
    people: Option<People>,
}

/// Messages on their way, one after the other and beside the work.
struct People {
    messages: UnboundedSender<String>,
    kind: NotifyKind,
    posting: JoinHandle<()>,
}

impl<'a> Listeners<'a> {
    /// Prepares, and tells nobody yet.
    pub fn prepare(config: &'a Config) -> Listeners<'a> {
        let wanted = config.notify_url.is_some() || config.ping_url.is_some();
        let wire = wanted.then(Wire::new).and_then(|wire| {
            wire.map_err(|reason| tracing::warn!("nobody can be told over the network: {reason}")).ok()
        });
        let people = wire.clone().zip(config.notify_url.clone());
        let people = people.map(|(wire, url)| People::at(wire, url, config.notify_kind));
        Listeners { config, wire, ping: config.ping_url.clone().map(Ping::new), started: None, people }
    }

    /// Prepares, and tells the health check that work begins. Never waits.
    pub fn begin(config: &'a Config) -> Listeners<'a> {
        let mut listeners = Listeners::prepare(config);
        if let (Some(wire), Some(ping)) = (listeners.wire.clone(), listeners.ping.clone()) {
            listeners.started = Some(tokio::spawn(async move { ping.start(&wire).await }));
        }
        listeners
    }

    /// Tells people of one batch, if there is anything to tell. Never waits.
    pub fn tell(&self, result: &BatchResult) {
        if let (Some(people), Some(message)) = (&self.people, Message::of(result)) {
            people.tell(&message);
        }
    }

    /// Writes the metrics.
    pub fn measure(&self, exit: Exit, results: &[BatchResult]) {
        let Some(path) = &self.config.metrics_file else { return };
        if let Err(error) = metrics::write(path, exit, results, self.config) {
            tracing::warn!("the metrics file {} was not written: {error}", path.display());
        }
    }

    /// Tells everybody the end. Returns within [`LIMIT`], whatever fails.
    pub async fn end(self, exit: Exit, results: &[BatchResult]) {
        self.measure(exit, results);
        results.iter().for_each(|result| self.tell(result));
        self.finish(exit, Some((exit, results))).await;
    }

    /// Waits until people are told; tells the health check how these batches ended, or nothing. Returns within [`LIMIT`], whatever fails.
    pub async fn finish(self, exit: Exit, of_schedule: Option<(Exit, &[BatchResult])>) {
        let limit = match exit {
            Exit::InterruptedInt | Exit::InterruptedTerm => LIMIT_WHEN_STOPPED,
            _ => LIMIT,
        };
        let ping = async {
            // In this order, or the health check takes the job for running.
            if let Some(started) = self.started {
                let _ = started.await;
            }
            if let (Some(wire), Some(ping), Some((exit, results))) = (&self.wire, &self.ping, of_schedule) {
                ping.end(wire, exit, results).await;
            }
        };
        let notify = async {
            if let Some(People { messages, posting, .. }) = self.people {
                drop(messages);
                let _ = posting.await;
            }
        };
        let both = async { tokio::join!(ping, notify) };
        if tokio::time::timeout(limit, both).await.is_err() {
            tracing::warn!("not everybody could be told within {} s", limit.as_secs());
        }
    }
}

impl People {
    fn at(wire: Wire, url: Secret, kind: Option<NotifyKind>) -> People {
        let kind = kind.unwrap_or_else(|| kind_of(&url));
        let (messages, mut waiting) = unbounded_channel::<String>();
        let posting = tokio::spawn(async move {
            while let Some(body) = waiting.recv().await {
                match wire.post(url.expose(), "application/json", body).await {
                    Ok(()) => tracing::info!("the webhook was told"),
                    Err(reason) => tracing::warn!("the webhook was not told: {reason}"),
                }
            }
        });
        People { messages, kind, posting }
    }

    fn tell(&self, message: &Message<'_>) {
        let body = match self.kind {
            NotifyKind::Discord => discord::body(message),
            NotifyKind::Slack => slack::body(message),
            NotifyKind::Json => json::body(message),
        };
        // Masked as text: a library's message in the result may hold what no type kept out.
        let _ = self.messages.send(redact(&body.to_string()).into_owned());
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
