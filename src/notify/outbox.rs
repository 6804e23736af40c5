//! What is on its way to one receiver: one after the other, beside the work.
//!
//! What is told is noted in the database, where a note of it waits; what could not be told is left there for the next `retry`.

use std::sync::{Arc, OnceLock};

use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;

use super::wire::{Call, Wire};
use crate::batch::{BatchId, Untold};
use crate::store::Store;

/// Where notes wait; known as soon as the database is open.
pub(super) type Notes = Arc<OnceLock<Store>>;

pub(super) struct Outbox {
    calls: UnboundedSender<Item>,
    sending: JoinHandle<()>,
}

/// A request, and the note that it makes superfluous.
type Item = (Call, Option<(BatchId, Untold)>);

impl Outbox {
    /// Of a receiver that is called `name` in the log.
    pub(super) fn to(name: &'static str, wire: Wire, notes: Notes) -> Outbox {
        let (calls, mut waiting) = unbounded_channel::<Item>();
        let sending = tokio::spawn(async move {
            while let Some((call, note)) = waiting.recv().await {
                let sent = wire.send(&call).await;
                match &sent {
                    Ok(status) if status.is_success() => tracing::info!("{name} was told"),
                    Ok(status) => {
                        tracing::info!("{name} was told: it answered {status}, as a receiver does that has it");
                    }
                    Err(reason) => tracing::warn!("{name} was not told: {reason}"),
                }
                if let (Some((batch, untold)), Some(store)) = (note, notes.get())
                    && let Err(error) = store.note_untold(batch, &untold, sent.is_ok()).await
                {
                    tracing::warn!(
                        "what {name} was told of {batch} could not be noted: {error}; `retry` tells it again"
                    );
                }
            }
        });
        Outbox { calls, sending }
    }

    /// Never waits. `note` is what waits in the database until this is told.
    pub(super) fn put(&self, call: Call, note: Option<(BatchId, Untold)>) {
        let _ = self.calls.send((call, note));
    }

    /// Waits until all of it is sent, or given up.
    pub(super) async fn empty(self) {
        drop(self.calls);
        let _ = self.sending.await;
    }
}
