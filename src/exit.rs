//! How the process ends: one enum, the only source of the exit codes.
//!
//! Schedulers, alerts and the Kubernetes `podFailurePolicy` act on these numbers, so they never change meaning. The
//! help of every command, the README and the manifests are tested against this file. 1x means wait, 2x is retried
//! automatically, 3x needs a person.

use std::process::ExitCode;

/// The outcome of an invocation, as its exit status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Exit {
    /// Committed, already committed, an empty day recorded, or nothing due.
    Ok = 0,
    /// A bug.
    Unexpected = 1,
    /// Bad command line.
    Usage = 2,
    /// A live run holds this batch.
    LockHeld = 10,
    /// The cut-off or the back-off is not reached.
    NotDue = 11,
    /// MongoDB is unreachable or failing.
    DatabaseUnavailable = 20,
    /// Generation passed its limit.
    GenerateTimeout = 21,
    /// Network, 5xx, rate limit, checksum mismatch.
    UploadFailed = 22,
    /// Rows kept changing under the batch.
    CommitConflict = 23,
    /// The outcome of the commit is not known yet.
    CommitUnknown = 24,
    /// Another run took over, or the database was away longer than the lease.
    LeaseLost = 25,
    /// Missing or wrong setting, a server or collection that cannot be used, unreadable credentials, a wrong clock.
    Configuration = 30,
    /// The destination refuses: credentials, permission, quota, missing folder, a name that is taken.
    DriveRejected = 31,
    /// Entries that must not be exported as they are.
    InvalidEntries = 32,
    /// All retries used.
    Exhausted = 33,
    /// `status --check`, `verify`, `corrections` or `doctor` found something.
    CheckFailed = 34,
    /// SIGINT, stopped cleanly.
    InterruptedInt = 130,
    /// SIGTERM, or SIGHUP when the terminal is closed; stopped cleanly.
    InterruptedTerm = 143,
}

impl Exit {
    /// Every code, in ascending order.
    pub const ALL: [Exit; 18] = [
        Exit::Ok,
        Exit::Unexpected,
        Exit::Usage,
        Exit::LockHeld,
        Exit::NotDue,
        Exit::DatabaseUnavailable,
        Exit::GenerateTimeout,
        Exit::UploadFailed,
        Exit::CommitConflict,
        Exit::CommitUnknown,
        Exit::LeaseLost,
        Exit::Configuration,
        Exit::DriveRejected,
        Exit::InvalidEntries,
        Exit::Exhausted,
        Exit::CheckFailed,
        Exit::InterruptedInt,
        Exit::InterruptedTerm,
    ];

    /// The number that the shell sees.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// The name used in JSON results (`error.class`, `outcome`), documents and tables.
    pub fn name(self) -> &'static str {
        match self {
            Exit::Ok => "ok",
            Exit::Unexpected => "unexpected",
            Exit::Usage => "usage",
            Exit::LockHeld => "lock_held",
            Exit::NotDue => "not_due",
            Exit::DatabaseUnavailable => "database_unavailable",
            Exit::GenerateTimeout => "generate_timeout",
            Exit::UploadFailed => "upload_failed",
            Exit::CommitConflict => "commit_conflict",
            Exit::CommitUnknown => "commit_unknown",
            Exit::LeaseLost => "lease_lost",
            Exit::Configuration => "configuration",
            Exit::DriveRejected => "drive_rejected",
            Exit::InvalidEntries => "invalid_entries",
            Exit::Exhausted => "exhausted",
            Exit::CheckFailed => "check_failed",
            Exit::InterruptedInt | Exit::InterruptedTerm => "interrupted",
        }
    }

    /// What the code means, in one clause.
    pub fn meaning(self) -> &'static str {
        match self {
            Exit::Ok => "committed, already committed, empty day recorded, or nothing due",
            Exit::Unexpected => "a bug",
            Exit::Usage => "bad command line",
            Exit::LockHeld => "a live run holds this batch (who, where, since when)",
            Exit::NotDue => "cut-off or back-off not reached (when)",
            Exit::DatabaseUnavailable => "MongoDB unreachable or failing",
            Exit::GenerateTimeout => "generation passed its limit",
            Exit::UploadFailed => "network, 5xx, rate limit, checksum mismatch",
            Exit::CommitConflict => "rows kept changing under the batch",
            Exit::CommitUnknown => "outcome of the commit not known yet",
            Exit::LeaseLost => "another run took over, or the database was away longer than the lease",
            Exit::Configuration => {
                "missing or wrong setting, a server or collection that cannot be used, unreadable credentials, a wrong clock"
            }
            Exit::DriveRejected => {
                "the destination refuses: credentials, permission, quota, missing folder, a name that is taken"
            }
            Exit::InvalidEntries => "entries that must not be exported as they are",
            Exit::Exhausted => "all retries used",
            Exit::CheckFailed => "`status --check`, `verify`, `corrections` or `doctor` found something",
            Exit::InterruptedInt => "SIGINT, stopped cleanly",
            Exit::InterruptedTerm => "SIGTERM, stopped cleanly",
        }
    }

    /// What happens next, or who has to act, in a few words for the table of exit codes.
    pub fn next(self) -> &'static str {
        match self {
            Exit::Ok => "nothing",
            Exit::Unexpected => "look at the log",
            Exit::Usage => "fix it",
            Exit::LockHeld | Exit::NotDue => "wait",
            Exit::DatabaseUnavailable | Exit::GenerateTimeout | Exit::UploadFailed | Exit::CommitConflict => "`retry`",
            Exit::CommitUnknown => "`retry` finds out",
            Exit::LeaseLost => "nothing: the other one, or `retry`, goes on",
            Exit::Configuration | Exit::Exhausted | Exit::CheckFailed => "an operator",
            Exit::DriveRejected => "an operator; `retry` goes on meanwhile",
            Exit::InvalidEntries => "an operator; `retry` goes on once they are corrected",
            Exit::InterruptedInt | Exit::InterruptedTerm => "`retry`",
        }
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

#[cfg(test)]
mod tests {
    use super::Exit;

    #[test]
    fn all_is_complete_and_ascending() {
        assert!(Exit::ALL.windows(2).all(|pair| pair[0].code() < pair[1].code()));
    }

    #[test]
    fn a_command_that_retry_does_not_continue_is_run_again() {
        for exit in Exit::ALL.into_iter().filter(|exit| !matches!(exit, Exit::LeaseLost | Exit::Exhausted)) {
            assert!(!exit.next_step_again().contains("retry"), "{exit:?}");
        }
        assert_eq!(Exit::InterruptedTerm.next_step_again(), "run the command again");
    }

    #[test]
    fn a_person_outranks_a_retry_outranks_waiting() {
        assert_eq!(Exit::UploadFailed.worse(Exit::Exhausted), Exit::Exhausted);
        assert_eq!(Exit::Exhausted.worse(Exit::UploadFailed), Exit::Exhausted);
        assert_eq!(Exit::Ok.worse(Exit::LockHeld).worse(Exit::CommitUnknown), Exit::CommitUnknown);
    }
}
