//! Hold points: a request that waits inside the fake, so that a test can kill or pause the client exactly there.
//!
//! Risk: a thread that waits for ever, or a request that takes effect although its client was killed before it counted.
//! So a waiting thread looks every few milliseconds whether its client still lives, and a dropped hold releases.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

const POLL: Duration = Duration::from_millis(10);

/// Where in its life a request is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// Read, but without effect. If the client is gone by then, it never takes effect.
    Before,
    /// As `Before`, but it takes effect when released even if the client is gone: a request that was already inside Google.
    InFlight,
    /// In effect, not answered.
    After,
}

/// A door with a memory.
#[derive(Default)]
pub(super) struct Gate {
    state: Mutex<Door>,
    changed: Condvar,
}

#[derive(Default)]
struct Door {
    reached: bool,
    open: bool,
}

impl Gate {
    /// Waits until the gate opens or `gone` says that waiting is pointless.
    pub fn pass(&self, mut gone: impl FnMut() -> bool) {
        let mut door = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        door.reached = true;
        self.changed.notify_all();
        while !door.open && !gone() {
            door = self.changed.wait_timeout(door, POLL).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    pub fn open(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).open = true;
        self.changed.notify_all();
    }
}

/// A request held, or to be held. Dropping it releases.
pub struct Hold {
    pub(super) gate: Arc<Gate>,
    pub(super) what: String,
}

impl Hold {
    /// Waits until a request arrived at the point, and panics if none does.
    pub fn wait_until_reached(&self, timeout: Duration) {
        let deadline = Instant::now() + timeout;
        while !self.is_reached() {
            assert!(Instant::now() < deadline, "the client did not reach {} within {timeout:?}", self.what);
            let door = self.gate.state.lock().unwrap_or_else(PoisonError::into_inner);
            drop(self.gate.changed.wait_timeout(door, POLL));
        }
    }

    /// Whether a request arrived at the point, for tests in which it may not.
    pub fn is_reached(&self) -> bool {
        self.gate.state.lock().unwrap_or_else(PoisonError::into_inner).reached
    }

    /// Lets the request go on; later ones are not held.
    pub fn release(&self) {
        self.gate.open();
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.gate.open();
    }
}
