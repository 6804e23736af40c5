//! What the proxy does when, and what it has seen: the state that its threads and the test share.
//!
//! Risk: a test that waits for ever, or stops another command than it meant. So a rule counts its commands when they
//! arrive (not when they are answered), the driver's own chatter matches only by name, and a rule that goes lets go of
//! what it held.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use mongodb::bson::Document;

/// Sent by the driver on its own account, at any time.
const BACKGROUND: [&str; 6] = ["hello", "isMaster", "ismaster", "ping", "endSessions", "killCursors"];

/// A command that arrived at the proxy.
#[derive(Clone, Debug)]
pub struct Command {
    /// Counts the connections from 0.
    pub connection: u64,
    /// `find`, `commitTransaction`, ...
    pub name: String,
    /// The whole command, with its `$db`, `lsid`, `txnNumber`.
    pub body: Document,
    /// Whether the driver sends it on its own account: monitoring, handshakes, ending sessions and cursors.
    pub background: bool,
}

/// Which commands a rule is about, and at which moment. Built like `On::command("update").collection("exportbatches").nth(2).after()`;
/// without more, the first one, before it is forwarded.
#[derive(Clone)]
pub struct On {
    name: Option<String>,
    collection: Option<String>,
    predicate: Option<Predicate>,
    nth: u32,
    and_later: bool,
    after: bool,
}

type Predicate = Arc<dyn Fn(&Document) -> bool + Send + Sync>;

/// What happens at the chosen command.
pub(super) enum Action {
    Hold,
    Cut,
    CutAll,
    Answer(Document),
    AbortAndAnswer(Document),
    Delay(Duration),
    Without(&'static [&'static str]),
}

/// How it goes on with the message at hand.
pub(super) enum Verdict {
    Pass,
    /// The server gets the command without these fields.
    Without(&'static [&'static str]),
    Answer(Document),
    Close,
}

/// Which rule stops a message, and on which way.
#[derive(Clone, Copy)]
pub(super) struct Stopped {
    pub rule: u64,
    pub after: bool,
}

/// How a held message goes on.
#[derive(Clone, Copy)]
pub(super) enum Release {
    Forward,
    Cut,
}

pub(super) struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    closed: bool,
    refusing: bool,
    next_id: u64,
    connections: BTreeMap<u64, [TcpStream; 2]>,
    journal: Vec<Command>,
    rules: BTreeMap<u64, Rule>,
    /// Rules that were removed right after they lost what they held: it stays lost, even if its thread has not noticed yet.
    cut: BTreeSet<u64>,
    /// Requests that a rule is about and whose reply has not come, by connection and number.
    pending: HashMap<(u64, i32), Stopped>,
    /// Nothing goes on to the server.
    halted: bool,
    /// Requests that the server has got and not answered, by connection and number. The driver's own chatter is not among them.
    in_flight: BTreeSet<(u64, i32)>,
}

struct Rule {
    on: On,
    action: Action,
    matched: u32,
    reached: u32,
    answered: u32,
    release: Option<Release>,
}

impl Command {
    pub(super) fn new(connection: u64, body: Document) -> Command {
        let name = body.keys().next().cloned().unwrap_or_default();
        let background = BACKGROUND.contains(&name.as_str());
        Command { connection, name, body, background }
    }

    /// The collection it is about, where there is one.
    pub fn collection(&self) -> Option<&str> {
        self.body.get_str(&self.name).or_else(|_| self.body.get_str("collection")).ok()
    }
}

impl On {
    /// Any command except those that the driver sends on its own account.
    pub fn any() -> On {
        On { name: None, collection: None, predicate: None, nth: 1, and_later: false, after: false }
    }

    /// The commands of this name, whoever sends them.
    pub fn command(name: &str) -> On {
        On { name: Some(name.to_owned()), ..On::any() }
    }

    /// Only those about this collection.
    pub fn collection(self, collection: &str) -> On {
        On { collection: Some(collection.to_owned()), ..self }
    }

    /// Only those whose document (with `updates`, `documents`, ... in it) satisfies the predicate.
    pub fn matching(self, predicate: impl Fn(&Document) -> bool + Send + Sync + 'static) -> On {
        On { predicate: Some(Arc::new(predicate)), ..self }
    }

    /// The n-th of them, counted from 1 when the rule is made.
    pub fn nth(self, nth: u32) -> On {
        On { nth, ..self }
    }

    /// The n-th of them and every later one.
    pub fn nth_and_later(self, nth: u32) -> On {
        On { nth, and_later: true, ..self }
    }

    /// Before it is forwarded: the server knows nothing of it.
    pub fn before(self) -> On {
        On { after: false, ..self }
    }

    /// After the server has executed it, before the client gets the reply.
    pub fn after(self) -> On {
        On { after: true, ..self }
    }

    fn is_about(&self, command: &Command) -> bool {
        let name = self.name.as_ref().map_or(!command.background, |name| *name == command.name);
        let collection = self.collection.is_none() || self.collection.as_deref() == command.collection();
        name && collection && self.predicate.as_ref().is_none_or(|predicate| predicate(&command.body))
    }
}

impl Shared {
    pub fn new() -> Shared {
        Shared { state: Mutex::default(), changed: Condvar::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&'a self, state: MutexGuard<'a, State>, until: Instant) -> MutexGuard<'a, State> {
        let timeout = until.saturating_duration_since(Instant::now());
        self.changed.wait_timeout(state, timeout).unwrap_or_else(PoisonError::into_inner).0
    }

    pub fn journal(&self) -> Vec<Command> {
        self.state().journal.clone()
    }

    /// Its number; none when no connections are taken.
    pub fn admit(&self, streams: [TcpStream; 2]) -> Option<u64> {
        let mut state = self.state();
        if state.closed || state.refusing {
            return None;
        }
        let connection = state.next_id();
        state.connections.insert(connection, streams);
        Some(connection)
    }

    /// Closes both sides of a connection.
    pub fn close(&self, connection: u64) {
        let mut state = self.state();
        if let Some(streams) = state.connections.remove(&connection) {
            shut_down(&streams);
        }
        state.pending.retain(|(of, _), _| *of != connection);
        state.in_flight.retain(|(of, _)| *of != connection);
        self.changed.notify_all();
    }

    /// Closes everything; until `restore`, or for good.
    pub fn close_all(&self, for_good: bool) {
        let mut state = self.state();
        state.refusing = true;
        state.closed |= for_good;
        state.connections.values().for_each(shut_down);
        state.connections.clear();
        state.pending.clear();
        state.in_flight.clear();
        self.changed.notify_all();
    }

    pub fn restore(&self) {
        self.state().refusing = false;
    }

    /// Lets nothing more go on to the server, and waits until it has answered what it has got; false when it does not in time.
    pub fn halt(&self, timeout: Duration) -> bool {
        let end = Instant::now() + timeout;
        let mut state = self.state();
        state.halted = true;
        while !state.in_flight.is_empty() && Instant::now() < end {
            state = self.wait(state, end);
        }
        state.in_flight.is_empty()
    }

    pub fn go_on(&self) {
        self.state().halted = false;
        self.changed.notify_all();
    }

    /// Waits until a request may go on to the server; false when its connection was closed instead.
    pub fn depart(&self, connection: u64, request_id: i32) -> bool {
        let mut state = self.state();
        while state.halted && state.connections.contains_key(&connection) {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let is_open = state.connections.contains_key(&connection);
        if is_open {
            state.in_flight.insert((connection, request_id));
        }
        is_open
    }

    pub fn is_refusing(&self) -> bool {
        self.state().refusing
    }

    pub fn is_closed(&self) -> bool {
        self.state().closed
    }

    pub fn add(&self, on: On, action: Action) -> u64 {
        let mut state = self.state();
        let id = state.next_id();
        state.rules.insert(id, Rule { on, action, matched: 0, reached: 0, answered: 0, release: None });
        id
    }

    pub fn remove(&self, rule: u64) {
        let mut state = self.state();
        let removed = state.rules.remove(&rule);
        if removed.is_some_and(|rule| matches!(rule.release, Some(Release::Cut))) {
            state.cut.insert(rule);
        }
        drop(state);
        self.changed.notify_all();
    }

    pub fn release(&self, rule: u64, how: Release) {
        if let Some(rule) = self.state().rules.get_mut(&rule) {
            rule.release = Some(how);
        }
        self.changed.notify_all();
    }

    /// How often a rule was reached, and how often the server has answered there.
    pub fn progress(&self, rule: u64) -> (u32, u32) {
        self.state().rules.get(&rule).map_or((0, 0), |rule| (rule.reached, rule.answered))
    }

    /// Waits until `done` is true of a rule's progress; false when it is not in time.
    pub fn wait_for(&self, rule: u64, timeout: Duration, done: impl Fn((u32, u32)) -> bool) -> bool {
        let end = Instant::now() + timeout;
        let mut state = self.state();
        loop {
            if state.rules.get(&rule).is_some_and(|rule| done((rule.reached, rule.answered))) {
                return true;
            }
            if Instant::now() >= end {
                return false;
            }
            state = self.wait(state, end);
        }
    }

    /// Writes a request down, and tells which rule stops it.
    pub fn arrive(&self, command: Command, request_id: i32) -> Option<Stopped> {
        let mut state = self.state();
        let mut stopped = None;
        for (&id, rule) in &mut state.rules {
            if rule.on.is_about(&command) {
                rule.matched += 1;
                let chosen = rule.matched == rule.on.nth || (rule.on.and_later && rule.matched > rule.on.nth);
                if chosen && stopped.is_none() {
                    stopped = Some(Stopped { rule: id, after: rule.on.after });
                }
            }
        }
        if let Some(stopped) = stopped {
            state.pending.insert((command.connection, request_id), stopped);
        }
        state.journal.push(command);
        self.changed.notify_all();
        stopped
    }

    /// Whether the server gets the end of the transaction in place of what arrived.
    pub fn aborts(&self, rule: u64) -> bool {
        matches!(self.state().rules.get(&rule), Some(Rule { action: Action::AbortAndAnswer(_), .. }))
    }

    /// Tells which rule a reply belongs to.
    pub fn answered(&self, connection: u64, response_to: i32) -> Option<Stopped> {
        let mut state = self.state();
        if state.in_flight.remove(&(connection, response_to)) {
            self.changed.notify_all();
        }
        let stopped = state.pending.remove(&(connection, response_to))?;
        if let Some(rule) = state.rules.get_mut(&stopped.rule) {
            rule.answered += 1;
        }
        self.changed.notify_all();
        Some(stopped)
    }

    /// Waits until a held request, forwarded now, is answered: even if its client has gone, the connection stays open so long.
    pub fn wait_until_answered(&self, connection: u64, request_id: i32) {
        let mut state = self.state();
        while state.pending.contains_key(&(connection, request_id)) {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Does what the rule says, however long that takes.
    pub fn perform(&self, rule: u64) -> Verdict {
        let mut state = self.state();
        let Some(found) = state.rules.get_mut(&rule) else { return Verdict::Pass };
        found.reached += 1;
        self.changed.notify_all();
        match &found.action {
            Action::Hold => self.hold(state, rule),
            Action::Cut => Verdict::Close,
            Action::CutAll => {
                drop(state);
                self.close_all(false);
                Verdict::Close
            }
            Action::Answer(body) | Action::AbortAndAnswer(body) => Verdict::Answer(body.clone()),
            Action::Without(fields) => Verdict::Without(fields),
            Action::Delay(delay) => {
                let end = Instant::now() + *delay;
                while Instant::now() < end && !state.closed {
                    state = self.wait(state, end);
                }
                Verdict::Pass
            }
        }
    }

    fn hold(&self, mut state: MutexGuard<'_, State>, rule: u64) -> Verdict {
        loop {
            if state.closed {
                return Verdict::Close;
            }
            // A rule that was removed meanwhile holds nothing.
            let removed = if state.cut.contains(&rule) { Release::Cut } else { Release::Forward };
            match state.rules.get(&rule).map_or(Some(removed), |rule| rule.release) {
                Some(Release::Forward) => return Verdict::Pass,
                Some(Release::Cut) => return Verdict::Close,
                None => state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }
}

impl State {
    fn next_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }
}

fn shut_down(streams: &[TcpStream; 2]) {
    for stream in streams {
        let _ = stream.shutdown(Shutdown::Both);
    }
}
