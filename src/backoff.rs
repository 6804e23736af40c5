//! How long to wait before trying again: exponential, with jitter, as a pure iterator.
//!
//! Jitter matters because many clients run their jobs at the full hour: without jitter, clients that were refused
//! together come back together. The iterator never ends and never sleeps: the caller limits the tries and the total
//! time, and sleeps.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// The longest wait that a server's `Retry-After` can cause: one answer must not stop a run until its lease or its
/// upload limit ends.
const LONGEST_FLOOR: Duration = Duration::from_secs(60);

/// Delays of `min(2^n units + random(0..=unit), 32 units)`; Google's recommendation with a unit of one second.
#[derive(Debug)]
pub struct Backoff {
    unit: Duration,
    n: u32,
    random: StdRng,
}

impl Backoff {
    /// The exponent at which the doubling ends.
    const MAX_EXPONENT: u32 = 5;

    /// Starts at one `unit`. Equal seeds give equal delays.
    pub fn new(unit: Duration, seed: u64) -> Backoff {
        Backoff { unit, n: 0, random: StdRng::seed_from_u64(seed) }
    }

    /// Starts over, after progress.
    pub fn reset(&mut self) {
        self.n = 0;
    }
}

impl Iterator for Backoff {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let jitter = self.unit.mul_f64(self.random.random_range(0.0..=1.0));
        let delay = self.unit * (1 << self.n) + jitter;
        self.n = (self.n + 1).min(Self::MAX_EXPONENT);
        Some(delay.min(self.unit * (1 << Self::MAX_EXPONENT)))
    }
}

/// The longer of the delay and the server's `Retry-After`; `Retry-After` counts up to one minute.
pub fn at_least(delay: Duration, retry_after: Option<Duration>) -> Duration {
    delay.max(retry_after.unwrap_or_default().min(LONGEST_FLOOR))
}
