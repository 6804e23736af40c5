//! The commands by their names. The command line ([`crate::cli`]) says what each takes.

use crate::named::named;

named! {
    /// The name of a command, as it is typed, and as results name it; in the order of the help.
    pub enum CommandName {
        /// Exports one business date.
        Run = "run",
        /// Finishes what is due and not done.
        Retry = "retry",
        /// Shows what happened.
        Status = "status",
        /// Compares files and records.
        Verify = "verify",
        /// Lists what changed after its export.
        Corrections = "corrections",
        /// Checks what a run needs.
        Doctor = "doctor",
        /// Makes collections and indexes.
        Init = "init",
        /// Gets the consent of a Google account.
        Auth = "auth",
        /// Exports several dates.
        Backfill = "backfill",
        /// Releases a batch by hand.
        Unlock = "unlock",
        /// Shows and checks layouts.
        Layout = "layout",
        /// Prints a completion script.
        Completions = "completions",
        /// Writes the manual pages.
        Man = "man",
    }
}
