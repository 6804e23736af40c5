//! How often and how long one operation is tried, as pure arithmetic.
//!
//! There are three limits, because each alone fails in one case: tries without progress (a dead server), tries in all
//! (a server that makes a little progress with every failure), and the time spent waiting (a server that asks for long
//! waits).

use std::time::Duration;

use crate::backoff::{Backoff, at_least};

/// Failed tries in a row, without progress between them.
const MAX_STRIKES: u32 = 5;

/// Failed tries in all.
const MAX_TRIES: u32 = 40;

/// Time spent waiting in all.
const MAX_WAIT: Duration = Duration::from_secs(300);

/// The tries and waits that one operation has left.
#[derive(Debug)]
pub(super) struct Patience {
    backoff: Backoff,
    strikes: u32,
    tries: u32,
    waited: Duration,
}

impl Patience {
    /// All tries left; the first wait is one `unit` plus jitter.
    pub(super) fn new(unit: Duration, seed: u64) -> Patience {
        Patience { backoff: Backoff::new(unit, seed), strikes: 0, tries: 0, waited: Duration::ZERO }
    }

    /// Counts a failed try. Returns the wait before the next try, or `None` when a limit is reached.
    pub(super) fn strike(&mut self, retry_after: Option<Duration>) -> Option<Duration> {
        self.strikes += 1;
        self.tries += 1;
        let delay = at_least(self.backoff.next()?, retry_after);
        self.waited += delay;
        let left = self.strikes <= MAX_STRIKES && self.tries <= MAX_TRIES && self.waited <= MAX_WAIT;
        left.then_some(delay)
    }

    pub(super) fn progress(&mut self) {
        self.strikes = 0;
        self.backoff.reset();
    }

    /// How many tries failed so far.
    pub(super) fn tries(&self) -> u32 {
        self.tries
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patience() -> Patience {
        Patience::new(Duration::from_secs(1), 1)
    }

    #[test]
    fn progress_renews_it_but_not_for_ever() {
        let mut patience = patience();
        let mut tries = 0;
        while patience.strike(None).is_some() {
            patience.progress();
            tries += 1;
        }
        assert_eq!(tries, 40);
    }

    #[test]
    fn long_waits_asked_for_by_the_server_end_it_too() {
        let mut patience = patience();
        let mut waited = Duration::ZERO;
        while let Some(delay) = patience.strike(Some(Duration::from_secs(1_000_000))) {
            patience.progress();
            waited += delay;
        }
        assert_eq!(waited, MAX_WAIT);
    }
}
