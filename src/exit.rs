//! How the process ends: one enum, the only source of the exit codes.
//!
//! Schedulers, alerts and the Kubernetes `podFailurePolicy` act on these numbers, so they never change meaning. The
//! help of every command, the README and the manifests are tested against this file. 1x means wait, 2x is retried
//! automatically, 3x needs a person.

use std::process::ExitCode;

/// Makes the enum, with the name and the meaning of each code.
macro_rules! exits {
    ($($Name:ident = $code:literal $name:literal $meaning:literal;)+) => {
        /// The outcome of an invocation, as its exit status.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Exit {
            $(#[doc = $meaning] $Name = $code,)+
        }

        impl Exit {
            /// Every code, in ascending order.
            pub const ALL: [Exit; [$($code),+].len()] = [$(Exit::$Name),+];

            /// The name used in JSON results (`error.class`, `outcome`), documents and tables.
            pub fn name(self) -> &'static str {
                match self {
                    $(Exit::$Name => $name,)+
                }
            }

            /// What the code means, in one clause.
            pub fn meaning(self) -> &'static str {
                match self {
                    $(Exit::$Name => $meaning,)+
                }
            }
        }
    };
}

exits! {
    Ok = 0 "ok" "committed, already committed, empty day recorded, or nothing due";
    Unexpected = 1 "unexpected" "a bug";
    Usage = 2 "usage" "bad command line";
    LockHeld = 10 "lock_held" "a live run holds this batch (who, where, since when)";
    NotDue = 11 "not_due" "cut-off or back-off not reached (when)";
    DatabaseUnavailable = 20 "database_unavailable" "MongoDB unreachable or failing";
    GenerateTimeout = 21 "generate_timeout" "generation passed its limit";
    UploadFailed = 22 "upload_failed" "network, 5xx, rate limit, checksum mismatch";
    CommitConflict = 23 "commit_conflict" "rows kept changing under the batch";
    CommitUnknown = 24 "commit_unknown" "outcome of the commit not known yet";
    LeaseLost = 25 "lease_lost" "another run took over, or the database was away longer than the lease";
    Configuration = 30 "configuration"
        "missing or wrong setting, a server or collection that cannot be used, unreadable credentials, a wrong clock";
    DriveRejected = 31 "drive_rejected"
        "the destination refuses: credentials, permission, quota, missing folder, a name that is taken";
    InvalidEntries = 32 "invalid_entries" "entries that must not be exported as they are";
    Exhausted = 33 "exhausted" "all retries used";
    CheckFailed = 34 "check_failed" "`status --check`, `verify`, `corrections` or `doctor` found something";
    InterruptedInt = 130 "interrupted" "SIGINT, stopped cleanly";
    // SIGHUP too, when the terminal is closed.
    InterruptedTerm = 143 "interrupted" "SIGTERM, stopped cleanly";
}

impl Exit {
    /// The number that the shell sees.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// What a person does now, as a sentence for results. Used when a failure has no more exact advice.
    pub fn next_step(self) -> &'static str {
        match self {
            Exit::Ok => "nothing is left to do",
            Exit::Unexpected => "report this as a bug, with the log",
            Exit::Usage => "correct the command line; --help lists the options",
            Exit::LockHeld => "wait: the other run continues",
            Exit::NotDue => "wait until it is due",
            Exit::DatabaseUnavailable | Exit::GenerateTimeout | Exit::UploadFailed | Exit::CommitConflict => {
                "`batch-export retry` tries again"
            }
            Exit::CommitUnknown => "`batch-export retry` finds out whether the commit succeeded",
            Exit::LeaseLost => "do nothing: the other run, or `batch-export retry`, continues",
            Exit::Configuration | Exit::CheckFailed => "correct what the message names, then run the command again",
            Exit::DriveRejected | Exit::InvalidEntries => {
                "correct what the message names; `batch-export retry` then continues"
            }
            Exit::Exhausted => "fix the cause, then `batch-export unlock` and `batch-export run`",
            Exit::InterruptedInt | Exit::InterruptedTerm => "`batch-export retry` does the work",
        }
    }

    /// The same for a command that `retry` does not continue, such as `verify`.
    pub fn next_step_again(self) -> &'static str {
        if self.severity() == Exit::DatabaseUnavailable.severity() {
            return "run the command again";
        }
        if matches!(self, Exit::DriveRejected | Exit::InvalidEntries) {
            return Exit::CheckFailed.next_step();
        }
        self.next_step()
    }

    /// Whether nothing goes on before a person acts: 3x.
    pub fn needs_a_person(self) -> bool {
        self.severity() == Exit::Configuration.severity()
    }

    /// Order of severity among the results of several batches: a person (3x) before a retry (2x, interruptions) before waiting (1x)
    /// before success. A bug comes before everything.
    pub fn severity(self) -> u8 {
        match self {
            Exit::Unexpected | Exit::Usage => 4,
            Exit::Configuration | Exit::DriveRejected | Exit::InvalidEntries | Exit::Exhausted | Exit::CheckFailed => 3,
            Exit::DatabaseUnavailable
            | Exit::GenerateTimeout
            | Exit::UploadFailed
            | Exit::CommitConflict
            | Exit::CommitUnknown
            | Exit::LeaseLost
            | Exit::InterruptedInt
            | Exit::InterruptedTerm => 2,
            Exit::LockHeld | Exit::NotDue => 1,
            Exit::Ok => 0,
        }
    }

    /// The more severe of two; the first one when they are equal.
    pub fn worse(self, other: Exit) -> Exit {
        if other.severity() > self.severity() { other } else { self }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit.code())
    }
}
