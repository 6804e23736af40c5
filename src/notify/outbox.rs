//! The requests to one receiver, sent one after the other beside the work.
//!
//! A delivered event is removed from the batch document. An event that could not be delivered stays there for the next `retry`.

use std::sync::{Arc, OnceLock};

use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;

use super::sender::{Call, Sender};
use crate::batch::{BatchId, Untold};
use crate::store::Store;

/// The store with undelivered events, set once the database is open.
pub(super) type Notes = Arc<OnceLock<Store>>;

pub(super) struct Outbox {
    calls: UnboundedSender<Delivery>,
    sending: JoinHandle<()>,
}

/// A request, and the stored event that it delivers.
type Delivery = (Call, Option<(BatchId, Untold)>);

impl Outbox {
    /// An outbox for a receiver with this name in the log.
    pub(super) fn to(name: &'static str, sender: Sender, notes: Notes) -> Outbox {
        let (calls, mut waiting) = unbounded_channel::<Delivery>();
        let sending = tokio::spawn(async move {
            while let Some((call, note)) = waiting.recv().await {
                let sent = sender.send(&call).await;
                match &sent {
                    Ok(status) if status.is_success() => tracing::info!("{name} was notified"),
                    Ok(status) => {
                        tracing::info!("{name} was notified: it answered {status}, which means delivered");
                    }
                    Err(why) => tracing::warn!(next = why.next, "{name} was not notified: {why}"),
                }
                if let (Some((batch, untold)), Some(store)) = (note, notes.get())
                    && let Err(error) = store.note_untold(batch, &untold, sent.is_ok()).await
                {
                    let next = "nothing: `batch-export retry` sends it again";
                    tracing::warn!(next, "the delivery of {batch} to {name} could not be recorded: {error}");
                }
            }
        });
        Outbox { calls, sending }
    }

    /// Adds a request; does not wait. `note` is the stored event that the request delivers.
    pub(super) fn put(&self, call: Call, note: Option<(BatchId, Untold)>) {
        let _ = self.calls.send((call, note));
    }

    /// Waits until every request is sent or given up.
    pub(super) async fn empty(self) {
        drop(self.calls);
        let _ = self.sending.await;
    }
}
