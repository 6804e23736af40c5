//! Notifications: people through a webhook, a health check, and a metrics collector.
//!
//! Risk: a notification changes the outcome of the export. So notifications run after the commit, beside the work or
//! after the result is printed, within a time limit, and their failures are only logged: neither the exit code nor
//! stdout depends on them. The ping of the start, and the messages of a backfill's earlier dates, run beside the pass
//! and never delay it.
//!
//! People are notified of a commit, a failed attempt, an interruption, and the last retry. They are not notified when
//! nothing was due, when the batch was completed before, when another run holds it, when a batch is still exhausted
//! (only once, when it becomes exhausted), or when a `retry` finds no database: the health check reports that.

mod address;
mod corrections;
mod kinds;
mod message;
pub mod metrics;
mod outbox;
mod ping;
mod sender;
mod untold;
mod webhook;

use std::cell::RefCell;
use std::sync::OnceLock;
use std::time::Duration;

use chrono::NaiveDate;
use futures_util::FutureExt as _;
use tokio::task::JoinHandle;

use crate::batch::{BatchId, Untold};
use crate::config::Config;
use crate::exit::Exit;
use crate::failure::Explanation;
use crate::outcome::BatchResult;
use crate::reader::Reader;
use crate::stop::Stop;
use crate::store::{Overview, Store, StoreError};
use crate::stuck::{self, Guard};
pub use corrections::{LookedAt, Obstacle, tell_corrections};
pub use kinds::message_schema;
use message::{Message, Origin};
use metrics::QueueCounts;
use outbox::{Notes, Outbox};
use ping::Ping;
use sender::{Call, Sender};

/// How long all notifications may take.
const LIMIT: Duration = sender::IN_ALL;
/// The same after a signal, whose sender does not wait long.
const LIMIT_WHEN_STOPPED: Duration = Duration::from_secs(5);

/// The receivers in the log.
const WEBHOOK: &str = "the webhook";
const HEALTH_CHECK: &str = "the health check";
const GATEWAY: &str = "the Pushgateway";

/// What is wrong with an address such as `mailto:x`.
const NO_PATH: &str = "its address cannot have a path";

/// How long counting rows for the metrics may take.
const COUNT_LIMIT: Duration = Duration::from_secs(5);

/// How long an undelivered event is kept.
const KEPT_FOR: chrono::Duration = chrono::Duration::hours(24);

/// Whether a batch has an undelivered event that is not too old.
pub fn has_undelivered_event(overview: &Overview) -> bool {
    let since = overview.batch.untold.as_ref().and_then(|untold| untold.since);
    since.is_some_and(|since| overview.now - since <= KEPT_FOR)
}

/// The receivers of notifications, from the start of an invocation to its end.
pub struct Listeners<'a> {
    config: &'a Config,
    sender: Option<Sender>,
    ping: Option<Ping>,
    started: OnceLock<JoinHandle<()>>,
    stop: Stop,
    people: Option<Outbox>,
    gateway: Option<Outbox>,
    notes: Notes,
    counts: OnceLock<QueueCounts>,
    /// Whether work began. Without work only undelivered events are sent.
    begun: bool,
}

impl<'a> Listeners<'a> {
    /// Prepares the receivers; nothing is sent yet.
    pub fn prepare(config: &'a Config, stop: &Stop) -> Listeners<'a> {
        let sender = config.notifies().then(|| Sender::new(config));
        let notes = Notes::default();
        let outbox = |name, is_set: bool| {
            sender.clone().filter(|_| is_set).map(|sender| Outbox::to(name, sender, notes.clone()))
        };
        Listeners {
            config,
            people: outbox(WEBHOOK, config.webhook.is_some()),
            gateway: outbox(GATEWAY, config.metrics_url.is_some()),
            sender,
            ping: config.health_check.clone().map(Ping::new),
            started: OnceLock::new(),
            stop: stop.clone(),
            notes: notes.clone(),
            counts: OnceLock::new(),
            begun: false,
        }
    }

    /// From now on, deliveries are recorded in this store.
    pub fn note_in(&self, store: &Store) {
        let _ = self.notes.set(store.clone());
    }

    /// Prepares the receivers for passes, whose end every receiver hears of.
    pub fn begin(config: &'a Config, stop: &Stop) -> Listeners<'a> {
        Listeners { begun: true, ..Listeners::prepare(config, stop) }
    }

    /// Pings the health check that work began, at the first call. Does not wait.
    ///
    /// A run that finds nothing to do must not call this: a start without an end is an alarm.
    pub fn started(&self) {
        if let (Some(sender), Some(ping)) = (self.sender.clone(), self.ping.clone()) {
            self.started.get_or_init(|| tokio::spawn(async move { ping.start(&sender).await }));
        }
    }

    /// Notifies people of one batch, if its result is news. Does not wait.
    pub fn tell(&self, result: &BatchResult) {
        let origin = Origin { installation: result.installation.clone(), ..Origin::of(self.config) };
        if let (Some(people), Some(webhook), Some(message)) =
            (&self.people, &self.config.webhook, Message::of(result, origin))
        {
            // Without a claim no event was stored in the database.
            let event = message::event(result).filter(|_| result.fence.is_some());
            let untold = event.map(|event| Untold { event, attempt: result.attempt, fence: result.fence, since: None });
            people.put(webhook::call(webhook, &message), untold.map(|untold| (result.batch, untold)));
        }
    }

    /// Whether [`Listeners::tell`] sends a notification for this result.
    pub fn is_news(result: &BatchResult) -> bool {
        message::event(result).is_some()
    }

    /// Sends the event of a batch that an earlier invocation could not deliver. Waits for the database only.
    pub async fn notify_undelivered(&self, store: &Store, batch: BatchId) {
        let (Some(people), Some(webhook)) = (&self.people, &self.config.webhook) else { return };
        let taken = async {
            let ledger = store.ledger_now().await?;
            Ok::<_, StoreError>((ledger.installation, store.take_untold(batch).await?))
        };
        match taken.await {
            Ok((installation, Some(batch))) => {
                if let Some(untold) = batch.untold {
                    let origin = Origin { installation, ..Origin::of(self.config) };
                    let reader = Reader::new(self.config.calendar.zone, store.now_or(&self.config.clock));
                    people.put(untold::call(webhook, &batch, &untold, origin, reader), Some((batch.id, untold)));
                }
            }
            Ok((_, None)) => {}
            Err(error) => tracing::warn!("the undelivered event of {batch} could not be read: {error}"),
        }
    }

    /// Writes the metrics to the file, and sends them to the Pushgateway without waiting for it.
    pub fn measure(&self, exit: Exit, results: &[BatchResult]) {
        let database_now = self.notes.get().and_then(Store::now);
        self.publish(|known| metrics::text(exit, results, self.config, known, database_now) + &self.queue());
    }

    /// Writes and sends only the metrics of the queue, when no pass was made.
    pub fn measure_queue(&self) {
        self.publish(|_| self.queue());
    }

    /// Counts the rows that no batch takes, for the metrics; `closed` is the newest business date with a committed
    /// batch. It takes a limited time.
    pub async fn count_queue(&self, store: &Store, closed: Option<NaiveDate>) {
        if self.config.metrics_file.is_none() && self.gateway.is_none() {
            return;
        }
        let count = async {
            let late = match closed {
                Some(date) => Some(store.due_count(self.config.calendar.cutoff(date)).await?),
                None => None,
            };
            Ok::<_, StoreError>(QueueCounts {
                late,
                never_due: store.never_due(store.now_or(&self.config.clock)).await?,
            })
        };
        match tokio::time::timeout(COUNT_LIMIT, count).await {
            Ok(Ok(counts)) => drop(self.counts.set(counts)),
            Ok(Err(error)) => tracing::warn!("the rows that no batch takes could not be counted: {error}"),
            Err(_) => tracing::warn!("the rows that no batch takes could not be counted in time"),
        }
    }

    fn queue(&self) -> String {
        self.counts.get().map(metrics::queue).unwrap_or_default()
    }

    /// Writes the metrics to the file and sends them to the Pushgateway.
    fn publish(&self, text_for: impl Fn(Option<f64>) -> String) {
        if let Some(path) = &self.config.metrics_file
            && let Err(error) = metrics::write(path, self.config.clock.now(), &text_for)
        {
            tracing::warn!("the metrics file {} was not written: {error}", path.display());
        }
        let Some((gateway, base)) = self.gateway.as_ref().zip(self.config.metrics_url.as_ref()) else { return };
        let text = text_for(Some(metrics::latest_due(self.config)));
        match metrics::push(base.expose(), &self.config.database_name(), text) {
            Some(call) => gateway.put(call, None),
            None => tracing::warn!("the metrics were not sent to the Pushgateway: {NO_PATH}"),
        }
    }

    /// Ends the process when the rest takes too long: the metrics file may be on a file system that does not answer.
    pub fn guard(&self, exit: Exit) -> Guard {
        stuck::guard_the_rest(LIMIT + stuck::GRACE, exit, self.config.metrics_file.as_deref())
    }

    /// Notifies every receiver of the end, or only people when no work began. Returns within [`LIMIT`], whatever fails.
    pub async fn end(self, exit: Exit, results: &[BatchResult]) {
        let _guard = self.guard(exit);
        let of_schedule = self.begun.then_some((exit, results));
        if self.begun {
            results.iter().for_each(|result| self.tell(result));
            if let Some(store) = self.notes.get() {
                let closed = results.last().filter(|result| result.outcome.closes_day()).map(|result| result.date);
                let _ = self.stop.or_signal(self.count_queue(store, closed)).await;
            }
            self.measure(exit, results);
        }
        self.finish(of_schedule).await;
    }

    /// Waits until people are notified, and pings the health check how these batches ended, if given. Returns within
    /// [`LIMIT`], and soon after a signal, whatever fails.
    pub async fn finish(self, of_schedule: Option<(Exit, &[BatchResult])>) {
        let (stop, started) = (self.stop, self.started.into_inner());
        let ping = async {
            // The ping of the start must be first, or the health check takes the job for running.
            if let Some(started) = started {
                let _ = started.await;
            }
            if let (Some(sender), Some(ping), Some((exit, results))) = (&self.sender, &self.ping, of_schedule) {
                ping.end(sender, exit, results).await;
            }
        };
        let sent = |outbox: Option<Outbox>| async {
            if let Some(outbox) = outbox {
                outbox.empty().await;
            }
        };
        let waiting = RefCell::new(vec![WEBHOOK, HEALTH_CHECK, GATEWAY]);
        let ended = |name| waiting.borrow_mut().retain(|one| *one != name);
        let everybody = async {
            tokio::join!(
                sent(self.people).map(|()| ended(WEBHOOK)),
                ping.map(|()| ended(HEALTH_CHECK)),
                sent(self.gateway).map(|()| ended(GATEWAY)),
            )
        };
        let limit = tokio::select! {
            biased;
            _ = everybody => return,
            _ = stop.wait_and(LIMIT_WHEN_STOPPED) => format!("{} s after the signal", LIMIT_WHEN_STOPPED.as_secs()),
            () = tokio::time::sleep(LIMIT) => format!("{} s", LIMIT.as_secs()),
        };
        tracing::warn!("not notified within {limit}: {}", waiting.borrow().join(", "));
    }
}

/// The answer of a receiver to a test, or why the test did not arrive; `None` for a receiver that is not set.
pub type TestAnswer = Option<Result<String, Explanation>>;

/// Sends a test message and a test ping, each marked as a test, and a push without metrics, which changes none.
pub async fn test(config: &Config) -> [TestAnswer; 3] {
    let sender = Sender::new(config);
    let sent = async |call: Option<Call>| {
        let call = call.ok_or_else(|| NO_PATH.to_owned())?;
        sender.send(&call).await.map(|status| status.to_string())
    };
    let message = async {
        let webhook = config.webhook.as_ref()?;
        Some(sent(Some(webhook::call(webhook, &Message::test(Origin::of(config))))).await)
    };
    let ping = async {
        let ping = Ping::new(config.health_check.clone()?);
        Some(ping.test(&sender).await)
    };
    let gateway = async {
        let base = config.metrics_url.as_ref()?;
        Some(sent(metrics::push(base.expose(), &config.database_name(), String::new())).await)
    };
    let (message, ping, gateway) = tokio::join!(message, ping, gateway);
    [message, ping, gateway]
}
