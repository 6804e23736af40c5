//! The resumable upload session as a state machine: it decides the next step from the last answer, without any I/O.
//!
//! Risk: an upload that assumes too much: that sent bytes are stored, that a lost answer means a lost file, or that a
//! repeated answer is progress. So this machine relies only on the server's own count of stored bytes (`Range` of a
//! 308). When it does not know the count, it asks. It starts again only when the session is gone and the file does not
//! exist, always under the same id, so that a second start can never make a second file.

use std::sync::Arc;
use std::time::Duration;

use super::advice;
use super::fault::Fault;
use super::metadata::Metadata;
use super::patience::Patience;
use crate::failure::Explanation;
use crate::secret::Secret;

/// How often a session that is lost, or that answers 4xx, is started again before the attempt fails.
const MAX_RESTARTS: u32 = 3;

/// The address of a session; anybody who knows it can write to the session.
pub(super) type SessionUri = Arc<Secret>;

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Start,
    /// Send the bytes from `first` up to, but not including, `end`.
    Send {
        uri: SessionUri,
        first: u64,
        end: u64,
    },
    /// Ask how much is stored.
    Ask {
        uri: SessionUri,
    },
    /// The session is gone: see whether the file exists.
    Look,
}

#[derive(Clone, Debug)]
pub(super) enum Heard {
    /// A session is open.
    Opened(SessionUri),
    /// Bytes that are stored, from the beginning (308).
    Stored(u64),
    /// A 308 whose `Range` cannot be understood.
    Unclear(String),
    /// The file is complete (200, 201), with its metadata unless the answer was cut off.
    Complete(Option<Box<Metadata>>),
    /// The answer to [`Step::Look`].
    Exists(bool),
    /// Anything else.
    Fault(Fault),
}

/// What to do before the next step.
#[derive(Debug)]
pub(super) enum Then {
    /// Nothing.
    Go,
    /// Wait, because of this.
    Wait(Duration, String),
    /// Stop: this is the end.
    End(UploadEnd),
}

#[derive(Debug)]
pub(super) enum UploadEnd {
    /// Stored, but not yet verified.
    Complete(Option<Box<Metadata>>),
    Taken,
    /// The id is not accepted, and nothing is stored.
    Refused(Fault),
    Gave(Fault),
}

#[derive(Clone, Debug)]
enum SessionState {
    Starting,
    Sending {
        uri: SessionUri,
        stored: u64,
    },
    Asking {
        uri: SessionUri,
    },
    /// The session cannot be used any more, for this reason.
    Gone(Fault),
}

#[derive(Debug)]
pub(super) struct Session {
    total: u64,
    chunk: u64,
    state: SessionState,
    patience: Patience,
    /// The highest count stored in the present session: only a higher count is progress.
    best: u64,
    /// The bytes sent in the present session: the server cannot have stored more.
    sent: u64,
    restarts: u32,
    opened: bool,
    /// A token was refused since the last progress. The next one is fresh, and a second refusal is final.
    renewed: bool,
}

impl Session {
    /// An upload of `total` bytes in pieces of `chunk` bytes, a multiple of 256 KiB.
    pub(super) fn new(total: u64, chunk: u64, patience: Patience) -> Session {
        Session {
            total,
            chunk,
            state: SessionState::Starting,
            patience,
            best: 0,
            sent: 0,
            restarts: 0,
            opened: false,
            renewed: false,
        }
    }

    /// Whether a session was ever opened: before that, no byte can be sent.
    pub(super) fn was_opened(&self) -> bool {
        self.opened
    }

    pub(super) fn step(&mut self) -> Step {
        match &self.state {
            SessionState::Starting => Step::Start,
            SessionState::Sending { uri, stored } => {
                let end = self.total.min(stored + self.chunk);
                self.sent = self.sent.max(end);
                Step::Send { uri: Arc::clone(uri), first: *stored, end }
            }
            SessionState::Asking { uri } => Step::Ask { uri: Arc::clone(uri) },
            SessionState::Gone(_) => Step::Look,
        }
    }

    /// Handles the outcome of the last step.
    pub(super) fn heard(&mut self, heard: Heard) -> Then {
        match heard {
            Heard::Opened(uri) => {
                (self.best, self.sent, self.opened) = (0, 0, true);
                self.state = SessionState::Sending { uri, stored: 0 };
                Then::Go
            }
            Heard::Stored(stored) => self.stored(stored),
            Heard::Unclear(reason) => self.ask_again(Fault::passing(reason)),
            Heard::Complete(metadata) => Then::End(UploadEnd::Complete(metadata)),
            Heard::Exists(true) => Then::End(UploadEnd::Taken),
            Heard::Exists(false) => self.start_again(),
            Heard::Fault(fault) => self.fault(fault),
        }
    }

    fn stored(&mut self, stored: u64) -> Then {
        let (SessionState::Sending { uri, .. } | SessionState::Asking { uri }) = &self.state else {
            return Then::End(UploadEnd::Gave(Fault::passing("an upload session answered before it was opened")));
        };
        let uri = Arc::clone(uri);
        if stored > self.sent {
            return self
                .ask_again(Fault::passing(format!("Drive claims {stored} bytes of which {} were sent", self.sent)));
        }
        let progress = stored > self.best;
        let asked = matches!(self.state, SessionState::Asking { .. });
        self.best = self.best.max(stored);
        if progress {
            self.patience.progress();
            self.renewed = false;
        }
        if stored == self.total {
            // Every byte is stored but the file is not complete. Nothing is left to send, so asking again is all that
            // can help.
            self.state = SessionState::Asking { uri };
            return self.strike(Fault::passing("Drive stored every byte but did not complete the file"));
        }
        self.state = SessionState::Sending { uri, stored };
        // An answer to a question is not counted as a failure: the failure before the question was.
        if progress || asked {
            return Then::Go;
        }
        self.strike(Fault::passing(format!("Drive stores no more than {stored} of {} bytes", self.total)))
    }

    fn fault(&mut self, fault: Fault) -> Then {
        match fault {
            Fault::Passing { .. } => self.ask_again(fault),
            Fault::Unauthorized { .. } if !self.renewed => {
                self.renewed = true;
                self.doubt();
                Then::Go
            }
            Fault::Taken => Then::End(UploadEnd::Taken),
            Fault::IdUnusable { .. } => Then::End(UploadEnd::Refused(fault)),
            // The text with which Drive refuses an id is not documented. While nothing is stored, another id does no
            // harm.
            Fault::Unexplained { status: 400, .. } if matches!(self.state, SessionState::Starting) => {
                Then::End(UploadEnd::Refused(fault))
            }
            // Google's rule: after any 4xx on a session, start the upload again.
            Fault::Missing { .. } | Fault::Unexplained { .. }
                if matches!(self.state, SessionState::Sending { .. } | SessionState::Asking { .. }) =>
            {
                self.state = SessionState::Gone(fault);
                Then::Go
            }
            Fault::Unauthorized { .. }
            | Fault::Missing { .. }
            | Fault::Unexplained { .. }
            | Fault::Refused(_)
            | Fault::Failed(_) => Then::End(UploadEnd::Gave(fault)),
        }
    }

    /// Goes from sending to asking, because it is not known how many bytes were stored.
    fn doubt(&mut self) {
        if let SessionState::Sending { uri, .. } = &self.state {
            self.state = SessionState::Asking { uri: Arc::clone(uri) };
        }
    }

    fn ask_again(&mut self, fault: Fault) -> Then {
        self.doubt();
        self.strike(fault)
    }

    fn start_again(&mut self) -> Then {
        match std::mem::replace(&mut self.state, SessionState::Starting) {
            SessionState::Gone(why) if self.restarts == MAX_RESTARTS => Then::End(UploadEnd::Gave(lost_too_often(why))),
            SessionState::Gone(_)
            | SessionState::Starting
            | SessionState::Sending { .. }
            | SessionState::Asking { .. } => {
                self.restarts += 1;
                Then::Go
            }
        }
    }

    fn strike(&mut self, fault: Fault) -> Then {
        let Fault::Passing { why, retry_after } = &fault else { return Then::End(UploadEnd::Gave(fault)) };
        match self.patience.strike(*retry_after) {
            Some(delay) => Then::Wait(delay, why.message.clone()),
            None => Then::End(UploadEnd::Gave(fault.after_tries(self.patience.tries()))),
        }
    }
}

/// The failure of an upload that was started again too often.
fn lost_too_often(why: Fault) -> Fault {
    match why {
        Fault::Missing { reason, .. } => {
            Fault::failed(format!("Drive lost the upload session {} times: {reason}", MAX_RESTARTS + 1))
        }
        Fault::Unexplained { status, why: Explanation { message, next } } => Fault::Refused(Explanation {
            message: format!("{message} (the upload was started again {MAX_RESTARTS} times)"),
            next: if status == 403 { next } else { Some(advice::SESSION_REFUSED.to_owned()) },
        }),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHUNK: u64 = 100;
    const TOTAL: u64 = 250;

    fn uri() -> SessionUri {
        SessionUri::new(Secret::new("https://session.example/unit-test"))
    }

    fn opened() -> Session {
        let mut session = Session::new(TOTAL, CHUNK, Patience::new(Duration::from_secs(1), 1));
        assert_eq!(session.step(), Step::Start);
        assert!(matches!(session.heard(Heard::Opened(uri())), Then::Go));
        session
    }

    fn failure() -> Heard {
        Heard::Fault(Fault::passing("no answer"))
    }

    fn ask() -> Step {
        Step::Ask { uri: uri() }
    }

    #[test]
    fn everything_stored_but_not_complete_is_asked_about() {
        let mut session = opened();
        for stored in [100, 200] {
            session.step();
            session.heard(Heard::Stored(stored));
        }
        session.step();
        assert!(matches!(session.heard(Heard::Stored(TOTAL)), Then::Wait(..)));
        assert_eq!(session.step(), ask());
    }

    #[test]
    fn no_answer_can_keep_it_going_for_ever() {
        let endless: [fn(u64) -> Heard; 5] = [
            |_| failure(),
            |_| Heard::Stored(0),
            |n| if n % 2 == 0 { failure() } else { Heard::Stored(0) },
            |n| if n % 2 == 0 { failure() } else { Heard::Stored(n) },
            |_| Heard::Unclear("bytes=7-".to_owned()),
        ];
        for (which, answer) in endless.into_iter().enumerate() {
            let mut session = opened();
            let end = (0..200).find_map(|n| {
                session.step();
                match session.heard(answer(n)) {
                    Then::End(ending) => Some(ending),
                    Then::Go | Then::Wait(..) => None,
                }
            });
            assert!(matches!(end, Some(UploadEnd::Gave(_))), "answers of kind {which}");
        }
    }

    #[test]
    fn a_refused_token_is_forgiven_once_until_there_is_progress() {
        let refused = || Heard::Fault(Fault::Unauthorized { reason: "401".to_owned() });
        let mut session = opened();
        session.step();
        assert!(matches!(session.heard(refused()), Then::Go));
        assert_eq!(session.step(), ask());
        session.heard(Heard::Stored(100));
        session.step();
        assert!(matches!(session.heard(refused()), Then::Go));
        session.step();
        assert!(matches!(session.heard(refused()), Then::End(UploadEnd::Gave(Fault::Unauthorized { .. }))));
    }
}
