//! Connections and what happens on them: one thread each, until the client is gone or the fake is dropped.
//!
//! The order within a request is the point of it: the head arrives and is journaled, the plan is asked, the body is read (or only as much
//! of it as the fault lets through), holds, the effect, holds again, and last the answer. No lock is held while anything waits.

use super::answer::Answer;
use super::faults::{Action, Effect, Fault, Plan};
use super::hold::{Gate, Point};
use super::journal::{Operation, Request};
use super::routes::Call;
use super::session;
use super::state::State;
use super::tamper::tamper;
use super::wire::{Body, Connection, Head, Length, Wire};
use std::collections::HashMap;
use std::io;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// The plan and the journal, which must agree on the number of a request.
#[derive(Default)]
pub struct Log {
    pub plan: Plan,
    pub journal: Vec<Request>,
}

/// What all connections share.
pub struct Shared {
    pub url: String,
    state: Mutex<State>,
    log: Mutex<Log>,
    /// Where stalled requests wait; replaced at each release.
    stalls: Mutex<Arc<Gate>>,
    stopping: AtomicBool,
    connections: Mutex<HashMap<usize, TcpStream>>,
}

impl Shared {
    pub fn new(url: String) -> Self {
        Shared {
            url,
            state: Mutex::new(State::new()),
            log: Mutex::default(),
            stalls: Mutex::default(),
            stopping: AtomicBool::new(false),
            connections: Mutex::default(),
        }
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    pub fn log(&self) -> MutexGuard<'_, Log> {
        lock(&self.log)
    }

    pub fn release_stalls(&self) {
        std::mem::take(&mut *lock(&self.stalls)).open();
    }

    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    /// Ends every connection and lets every waiting thread go.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        self.release_stalls();
        for stream in lock(&self.connections).values() {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

/// A poisoned lock means that another thread failed already; the fake goes on, so that its failure is the one that is reported.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Accepts until the fake stops.
pub fn accept(shared: &Arc<Shared>, listener: &TcpListener) {
    for (id, stream) in listener.incoming().enumerate() {
        if shared.is_stopping() {
            return;
        }
        let Ok(stream) = stream else { continue };
        let _ = stream.set_nodelay(true);
        if let Ok(handle) = stream.try_clone() {
            lock(&shared.connections).insert(id, handle);
        }
        let shared = Arc::clone(shared);
        std::thread::spawn(move || {
            let ending = serve(&shared, Connection::new(stream));
            // The handle first: a socket is reset only when the last descriptor of it is closed.
            lock(&shared.connections).remove(&id);
            if let Some(connection) = ending {
                connection.reset();
            }
        });
    }
}

enum Next {
    Continue,
    Close,
    Reset,
}

/// Serves one connection; returns it if it is to be reset.
fn serve(shared: &Shared, mut connection: Connection) -> Option<Connection> {
    while let Ok(Some(head)) = connection.read_head() {
        let call = Call::of(&head);
        let mut request = Exchange::open(shared, &head, &call);
        match request.run(&mut connection) {
            Next::Continue if !shared.is_stopping() => {}
            Next::Continue | Next::Close => return None,
            Next::Reset => return Some(connection),
        }
    }
    None
}

/// One request on its way through.
struct Exchange<'a> {
    shared: &'a Shared,
    head: &'a Head,
    call: &'a Call,
    /// Where it stands in the journal.
    at: usize,
    /// Where its fault stands in the plan.
    planned_at: Option<usize>,
    fault: Option<Fault>,
    hold: Option<(Point, Arc<Gate>)>,
    body_bytes: u64,
    stored_bytes: u64,
    status: Option<u16>,
}

impl<'a> Exchange<'a> {
    fn open(shared: &'a Shared, head: &'a Head, call: &'a Call) -> Self {
        let mut log = shared.log();
        let nth = 1 + log.journal.iter().filter(|request| request.operation == call.operation).count();
        let arrival = call.arrival(head, nth);
        let hold = log.plan.take_hold(&arrival);
        let (planned_at, fault) = log.plan.take_fault(&arrival).unzip();
        log.journal.push(Request {
            operation: call.operation,
            nth,
            method: head.method.clone(),
            target: head.target.clone(),
            headers: head.headers.clone(),
            body_bytes: 0,
            json: None,
            content_range: head.header("content-range").map(str::to_owned),
            status: None,
            stored_bytes: 0,
            fault: fault.as_ref().map(|fault| format!("{fault:?}")),
            at: Instant::now(),
        });
        let at = log.journal.len() - 1;
        Exchange { shared, head, call, at, planned_at, fault, hold, body_bytes: 0, stored_bytes: 0, status: None }
    }

    /// Writes down what is known so far. Always before the client can notice: whoever has the answer finds it in the journal too.
    fn record(&self) {
        let mut log = self.shared.log();
        let request = &mut log.journal[self.at];
        (request.body_bytes, request.stored_bytes, request.status) = (self.body_bytes, self.stored_bytes, self.status);
    }

    fn run(&mut self, connection: &mut Connection) -> Next {
        let has_body = matches!(self.head.method.as_str(), "POST" | "PUT" | "PATCH");
        let length = self.head.length();
        if has_body && length.is_none() {
            return self.send(connection, &Answer::html(411).0, true);
        }
        let Some(mut body) = self.read_body(connection, length.unwrap_or(Length::Bytes(0))) else { return Next::Close };
        if self.waits_for_nothing(connection) {
            return Next::Close;
        }
        let truth = self.take_effect(&mut body.bytes);
        if let Some((Point::After, gate)) = &self.hold {
            gate.pass(|| connection.is_gone() || self.shared.is_stopping());
        }
        self.answer(connection, truth)
    }

    /// The body, or `None` if its client died over it; what arrived of a chunk is kept then, in whole units.
    fn read_body(&mut self, connection: &mut Connection, length: Length) -> Option<Body> {
        let limit_bytes = match &self.fault {
            Some(Fault { action: Action::Reset, effect: Effect::Nothing, .. }) => 0,
            Some(Fault { action: Action::Reset, effect: Effect::Part(bytes), .. }) => *bytes,
            _ => u64::MAX,
        };
        if self.head.header("expect").is_some() {
            connection.write_continue().ok()?;
        }
        let body = connection.read_body(length, limit_bytes).ok()?;
        self.body_bytes = body.bytes.len() as u64;
        self.shared.log().journal[self.at].json = serde_json::from_slice(&body.bytes).ok();
        self.record();
        if body.complete || limit_bytes != u64::MAX {
            return Some(body);
        }
        if self.call.operation == Operation::Chunk {
            self.store_part(session::aligned(&body.bytes));
            self.record();
        }
        None
    }

    /// Holds and stalls before the effect. Whether the client is gone after it, so that nothing must take effect.
    fn waits_for_nothing(&mut self, connection: &Connection) -> bool {
        let stopping = || self.shared.is_stopping();
        match &self.hold {
            Some((Point::Before, gate)) => {
                gate.pass(|| connection.is_gone() || stopping());
                if connection.is_gone() || stopping() {
                    return true;
                }
            }
            Some((Point::InFlight, gate)) => gate.pass(stopping),
            Some((Point::After, _)) | None => {}
        }
        if matches!(&self.fault, Some(Fault { action: Action::StallHeaders, effect: Effect::Nothing, .. })) {
            stall(self.shared, connection);
            // Released: from here on it is a request like any other.
            self.fault = None;
            return connection.is_gone() || stopping();
        }
        false
    }

    /// As much of the effect as the plan lets happen, and the answer that Google would give.
    fn take_effect(&mut self, body: &mut [u8]) -> Wire {
        let effect = self.fault.as_ref().map_or(Effect::Everything, |fault| fault.effect);
        if let (Some(Fault { action: Action::CorruptBytes, .. }), Some(first)) = (&self.fault, body.first_mut()) {
            *first ^= 1;
        }
        let truth = match effect {
            Effect::Everything => {
                let outcome = self.call.perform(&mut self.shared.state(), &self.shared.url, self.head, body);
                self.stored_bytes = outcome.stored_bytes;
                outcome.answer
            }
            Effect::Part(bytes) => {
                self.store_part(&body[..body.len().min(bytes as usize)]);
                if self.stored_bytes < bytes {
                    self.misfire(format!("only {} of {bytes} bytes could be stored", self.stored_bytes));
                }
                session::progress(&self.shared.state(), &self.call.id)
            }
            Effect::Nothing => session::progress(&self.shared.state(), &self.call.id),
        };
        if self.fault.as_ref().is_some_and(|fault| fault.ends_session) {
            self.shared.state().sessions.remove(&self.call.id);
        }
        self.record();
        truth.0
    }

    fn misfire(&self, what: String) {
        if let Some(planned_at) = self.planned_at {
            self.shared.log().plan.misfired(planned_at, what);
        }
    }

    fn store_part(&mut self, bytes: &[u8]) {
        self.stored_bytes = session::store_part(&mut self.shared.state(), self.head, &self.call.id, bytes);
    }

    fn answer(&mut self, connection: &mut Connection, truth: Wire) -> Next {
        match self.fault.take().map(|fault| fault.action) {
            None | Some(Action::CorruptBytes | Action::NoProgress) => self.send(connection, &truth, false),
            Some(Action::Answer(answer)) => self.send(connection, &answer.0, false),
            Some(Action::Tamper(kind)) => {
                let altered = tamper(kind, truth.clone());
                if altered == truth {
                    self.misfire(format!("{kind:?} found nothing to alter in {truth:?}"));
                }
                self.send(connection, &altered, false)
            }
            Some(Action::Reset) => Next::Reset,
            Some(Action::Close) => Next::Close,
            Some(Action::StallHeaders) => {
                stall(self.shared, connection);
                self.send(connection, &truth, false)
            }
            Some(Action::StallBody) => {
                self.status = Some(truth.status);
                self.record();
                let begun = connection.write_half(&truth);
                stall(self.shared, connection);
                self.sent(begun.and_then(|()| connection.write_rest(&truth)), false)
            }
        }
    }

    fn send(&mut self, connection: &mut Connection, answer: &Wire, close: bool) -> Next {
        let close = close || self.head.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
        self.status = Some(answer.status);
        self.record();
        self.sent(connection.write(answer, close), close)
    }

    fn sent(&mut self, written: io::Result<()>, close: bool) -> Next {
        if written.is_err() {
            self.status = None;
            self.record();
        }
        if close || written.is_err() { Next::Close } else { Next::Continue }
    }
}

/// Waits for a release, the end of the client, or the end of the fake.
fn stall(shared: &Shared, connection: &Connection) {
    let gate = Arc::clone(&lock(&shared.stalls));
    gate.pass(|| connection.is_gone() || shared.is_stopping());
}
