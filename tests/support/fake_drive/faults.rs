//! Planned faults: which request is hit, how much of its effect happens, and which answer the client gets.
//!
//! The three are independent, because that is how networks fail: an answer is lost after the effect, a part is stored before a reset, an
//! error page stands in front of a success. The first plan that matches a request is the one that is spent.

use super::answer::Answer;
use super::hold::{Gate, Point};
use super::journal::Operation;
use std::sync::Arc;

/// Which requests are hit.
#[derive(Clone, Debug)]
pub struct On {
    operation: Operation,
    which: Which,
    /// How often, at most; `None` is always.
    limit: Option<usize>,
}

#[derive(Clone, Copy, Debug)]
enum Which {
    Nth(usize),
    Any,
    Byte(u64),
    LastChunk,
}

impl On {
    /// The n-th request of the operation since the fake started, counted from 1.
    pub fn nth(operation: Operation, n: usize) -> Self {
        On { operation, which: Which::Nth(n), limit: Some(1) }
    }

    /// Every request of the operation.
    pub fn every(operation: Operation) -> Self {
        On { operation, which: Which::Any, limit: None }
    }

    /// The first chunk that contains this byte of the file.
    pub fn byte(offset: u64) -> Self {
        On { operation: Operation::Chunk, which: Which::Byte(offset), limit: Some(1) }
    }

    /// The first chunk that would complete its upload.
    pub fn last_chunk() -> Self {
        On { operation: Operation::Chunk, which: Which::LastChunk, limit: Some(1) }
    }

    /// As often as it matches, but no more than `times`.
    pub fn times(mut self, times: usize) -> Self {
        self.limit = Some(times);
        self
    }
}

/// What is known of a request when its head has arrived.
pub(super) struct Arrival {
    pub operation: Operation,
    pub nth: usize,
    /// First byte, and the byte after the last, of a chunk.
    pub range: Option<(u64, u64)>,
    pub last_chunk: bool,
}

impl On {
    fn matches(&self, arrival: &Arrival) -> bool {
        self.operation == arrival.operation
            && match self.which {
                Which::Nth(n) => n == arrival.nth,
                Which::Any => true,
                Which::Byte(offset) => arrival.range.is_some_and(|(from, to)| (from..to).contains(&offset)),
                Which::LastChunk => arrival.last_chunk,
            }
    }
}

/// How much of the true effect happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    Nothing,
    /// So many bytes of the chunk are stored.
    Part(u64),
    Everything,
}

#[derive(Clone, Debug)]
pub(super) enum Action {
    Answer(Box<Answer>),
    Reset,
    Close,
    StallHeaders,
    StallBody,
    NoProgress,
    CorruptBytes,
    Tamper(Tamper),
}

/// A true answer with something wrong in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tamper {
    /// The start of a session answers 200 without `Location`.
    NoLocation,
    /// 200 with a body that ends in the middle.
    BadJson,
    /// A 308 whose `Range` says half of what is stored.
    RangeBackwards,
    /// A 308 whose `Range` is no range.
    RangeMalformed,
    /// A 308 whose `Range` ends far after what was sent.
    RangeBeyond,
    /// Metadata whose checksums are those of other bytes.
    ChecksumsWrong,
    /// Metadata without checksums.
    ChecksumsMissing,
    /// Metadata with `md5Checksum` only.
    ChecksumsMd5Only,
    /// Metadata whose checksums are in upper case.
    ChecksumsUpperCase,
    /// Metadata whose `size` is one byte more.
    SizeWrong,
    /// A list that says that only a part was searched, where that is asked for.
    SearchIncomplete,
}

/// One planned fault.
#[derive(Clone, Debug)]
pub struct Fault {
    pub(super) action: Action,
    pub(super) effect: Effect,
    pub(super) ends_session: bool,
}

impl Fault {
    fn new(action: Action, effect: Effect) -> Self {
        Fault { action, effect, ends_session: false }
    }

    /// This answer instead of the true one; nothing takes effect.
    pub fn answer(answer: Answer) -> Self {
        Fault::new(Action::Answer(Box::new(answer)), Effect::Nothing)
    }

    /// The connection is reset before the body is read; nothing takes effect.
    pub fn reset() -> Self {
        Fault::new(Action::Reset, Effect::Nothing)
    }

    /// The request takes effect; the connection is closed without an answer.
    pub fn lost_answer() -> Self {
        Fault::new(Action::Close, Effect::Everything)
    }

    /// Nothing is answered until `release_stalls` or until the client is gone; nothing takes effect before that.
    pub fn stall_headers() -> Self {
        Fault::new(Action::StallHeaders, Effect::Nothing)
    }

    /// The request takes effect and is answered, but only half of the body arrives until `release_stalls`.
    pub fn stall_body() -> Self {
        Fault::new(Action::StallBody, Effect::Everything)
    }

    /// A chunk is answered 308, and none of it was stored.
    pub fn no_progress() -> Self {
        Fault::new(Action::NoProgress, Effect::Nothing)
    }

    /// One bit of the chunk flips on its way into the store.
    pub fn corrupt_bytes() -> Self {
        Fault::new(Action::CorruptBytes, Effect::Everything)
    }

    /// The request takes effect, its true answer is altered.
    pub fn tamper(tamper: Tamper) -> Self {
        Fault::new(Action::Tamper(tamper), Effect::Everything)
    }

    /// The same trouble, after the request took effect.
    pub fn after_effect(mut self) -> Self {
        self.effect = Effect::Everything;
        self
    }

    /// The same trouble, after the first `bytes` of the chunk were stored.
    pub fn after_storing(mut self, bytes: u64) -> Self {
        self.effect = Effect::Part(bytes);
        self
    }

    /// The session is gone afterwards.
    pub fn session_gone(mut self) -> Self {
        self.ends_session = true;
        self
    }
}

struct Planned<T> {
    on: On,
    then: T,
    spent: usize,
    /// Why it changed nothing, each time that it did not.
    misfires: Vec<String>,
}

impl<T> Planned<T> {
    fn new(on: On, then: T) -> Self {
        Planned { on, then, spent: 0, misfires: Vec::new() }
    }

    fn take(&mut self, arrival: &Arrival) -> Option<&T> {
        if !self.on.matches(arrival) || self.on.limit.is_some_and(|limit| self.spent >= limit) {
            return None;
        }
        self.spent += 1;
        Some(&self.then)
    }
}

/// Everything that is planned.
#[derive(Default)]
pub(super) struct Plan {
    faults: Vec<Planned<Fault>>,
    holds: Vec<Planned<(Point, Arc<Gate>)>>,
}

impl Plan {
    pub fn add_fault(&mut self, on: On, fault: Fault) {
        self.faults.push(Planned::new(on, fault));
    }

    pub fn add_hold(&mut self, on: On, point: Point, gate: Arc<Gate>) {
        self.holds.push(Planned::new(on, (point, gate)));
    }

    /// From now on no fault strikes; what has struck stays known.
    pub fn cure(&mut self) {
        self.faults.iter_mut().for_each(|planned| planned.on.limit = Some(planned.spent));
    }

    /// The fault that strikes, and its number in the plan.
    pub fn take_fault(&mut self, arrival: &Arrival) -> Option<(usize, Fault)> {
        let mut faults = self.faults.iter_mut().enumerate();
        faults.find_map(|(at, planned)| planned.take(arrival).map(|fault| (at, fault.clone())))
    }

    pub fn take_hold(&mut self, arrival: &Arrival) -> Option<(Point, Arc<Gate>)> {
        self.holds.iter_mut().find_map(|planned| planned.take(arrival).cloned())
    }

    /// A fault that struck and changed nothing is as bad as one that never struck: its test tests something else.
    pub fn misfired(&mut self, at: usize, what: String) {
        self.faults[at].misfires.push(what);
    }

    /// The plans that did not fire as often as they were to.
    pub fn unfired(&self) -> Vec<String> {
        let fired = |planned: &Planned<Fault>| planned.spent - planned.misfires.len();
        let short = |planned: &&Planned<Fault>| fired(planned) < planned.on.limit.unwrap_or(1);
        let describe = |planned: &Planned<Fault>| {
            let Planned { on, then, misfires, .. } = planned;
            format!("{:?} fired {} times for {on:?}; in vain: {misfires:?}", then.action, fired(planned))
        };
        self.faults.iter().filter(short).map(describe).collect()
    }
}
