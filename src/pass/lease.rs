//! Keeping the lease while a pass works.
//!
//! The lease is renewed every third of its length. A renewal that finds another fence means that the lease is lost. A
//! renewal that cannot reach the database is tried again until the lease would have run out: giving up earlier helps
//! nobody, and going on later could meet another run. In both cases the pass is dropped at once. This clock may be
//! wrong without harm: the fence refuses every write of a late holder.

use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinHandle};
use tracing::Instrument as _;

use crate::failure::Failure;
use crate::store::{Claim, Store};

/// A lease that is being renewed; renewals end when it is dropped.
pub(super) struct Lease {
    store: Store,
    pub(super) claim: Claim,
    length: Duration,
    told: watch::Sender<Option<String>>,
    renewals: JoinHandle<()>,
}

impl Lease {
    /// Renews from now on.
    pub(super) fn keep(store: &Store, claim: Claim, length: Duration) -> Lease {
        let told = watch::Sender::new(None);
        let renewals = renewals(store, claim, length, &told);
        Lease { store: store.clone(), claim, length, told, renewals }
    }

    /// Ends the present renewals, from anywhere.
    pub(super) fn end_of_renewals(&self) -> AbortHandle {
        self.renewals.abort_handle()
    }

    /// Waits until the lease is lost, and says why.
    pub(super) async fn lost(&self) -> String {
        let mut lost = self.told.subscribe();
        match lost.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone().unwrap_or_default(),
            Err(_) => std::future::pending().await,
        }
    }

    /// Stops the renewals before the commit: a renewal writes the same document as the transaction, and would abort it.
    pub(super) fn pause(&mut self) {
        self.renewals.abort();
    }

    pub(super) fn resume(&mut self) {
        self.renewals = renewals(&self.store, self.claim, self.length, &self.told);
    }
}

fn renewals(store: &Store, claim: Claim, length: Duration, told: &watch::Sender<Option<String>>) -> JoinHandle<()> {
    let (store, told) = (store.clone(), told.clone());
    let renewing = async move {
        let reason = renew_until_lost(&store, &claim, length).await;
        told.send_replace(Some(reason));
    };
    tokio::spawn(renewing.in_current_span())
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.renewals.abort();
    }
}

async fn renew_until_lost(store: &Store, claim: &Claim, length: Duration) -> String {
    let mut good_until = Instant::now() + length;
    let mut pause = length / 3;
    loop {
        tokio::time::sleep(pause).await;
        let asked = Instant::now();
        let left = good_until.saturating_duration_since(asked);
        match tokio::time::timeout(left.max(length / 3), store.renew(claim)).await {
            Ok(Ok(Some(_))) => (good_until, pause) = (asked + length, length / 3),
            Ok(Ok(None)) => return Failure::lease_lost().why.message,
            Ok(Err(error)) => {
                tracing::warn!("the lease could not be renewed: {error}");
                pause = length / 10;
            }
            Err(_) => tracing::warn!("the lease could not be renewed: no answer"),
        }
        if Instant::now() >= good_until {
            return "the lease could not be renewed before it ran out".to_owned();
        }
    }
}
