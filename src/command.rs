//! The commands by their names. The command line ([`crate::cli`]) says what each takes.

use crate::named::named;

named! {
    /// The name of a command, as it is typed, and as results name it; in the order of the help.
    pub enum CommandName {
        Run = "run",
        Retry = "retry",
        Status = "status",
        Verify = "verify",
        Corrections = "corrections",
        Doctor = "doctor",
        Init = "init",
        Auth = "auth",
        Backfill = "backfill",
        Unlock = "unlock",
        Layout = "layout",
        Completions = "completions",
        Man = "man",
    }
}
