//! `--help` of each command: short, complete, and with the codes that this command can end with.

use batch_export::exit::Exit;

use crate::support::command::BatchExport;

/// The codes in the EXIT STATUS of a command's help.
fn codes(command: &str) -> Vec<u8> {
    let help = BatchExport::command(command).arg("--help").run().expect_code(0).stdout;
    let (_, section) = help.split_once("EXIT STATUS:\n").unwrap_or_else(|| panic!("{command} has none: {help}"));
    section.lines().filter_map(|line| line.split_whitespace().next()?.parse().ok()).collect()
}

#[test]
fn each_command_lists_the_codes_that_it_can_end_with() {
    use Exit::*;
    let common = [Ok, Unexpected, Usage, InterruptedInt, InterruptedTerm];
    for (command, own) in [
        ("auth", &[Configuration, DriveRejected][..]),
        ("doctor", &[Configuration, CheckFailed]),
        ("init", &[DatabaseUnavailable, Configuration]),
        ("status", &[DatabaseUnavailable, Configuration, CheckFailed]),
        ("completions", &[]),
        ("man", &[Configuration]),
        ("unlock", &[LockHeld, NotDue, DatabaseUnavailable, Configuration]),
    ] {
        let expected = Exit::ALL.into_iter().filter(|exit| common.contains(exit) || own.contains(exit));
        assert_eq!(codes(command), expected.map(Exit::code).collect::<Vec<_>>(), "{command}");
    }
    for command in ["run", "retry", "backfill"] {
        let expected = Exit::ALL.into_iter().filter(|exit| *exit != CheckFailed);
        assert_eq!(codes(command), expected.map(Exit::code).collect::<Vec<_>>(), "{command}");
    }
}

#[test]
fn commands_for_packagers_are_hidden_and_the_others_are_listed_in_the_order_of_use() {
    let help = BatchExport::new().arg("--help").run().expect_code(0).stdout;
    let (_, listed) = help.split_once("Commands:\n").expect("the commands");
    let (listed, _) = listed.split_once("\n\n").expect("their end");
    let names: Vec<&str> = listed.lines().filter_map(|line| line.split_whitespace().next()).collect();
    let in_order_of_use = ["run", "retry", "status", "verify", "doctor", "init", "auth", "backfill", "unlock", "help"];
    assert_eq!(names, in_order_of_use);
}

#[test]
fn no_command_says_of_itself_what_only_an_export_does() {
    for command in ["status", "verify", "doctor", "init", "auth", "unlock"] {
        let help = BatchExport::command(command).arg("--help").run().expect_code(0).stdout;
        let (_, section) = help.split_once("EXIT STATUS:\n").unwrap();
        assert!(!section.contains("committed") && !section.contains("retried by itself"), "{command}: {section}");
    }
}

#[test]
fn help_is_given_whatever_the_settings_are() {
    for words in [&["--help"][..], &["run", "--help"], &["help", "run"], &["--version"]] {
        let command =
            BatchExport::new().args(words).env("BATCH_EXPORT_OUTPUT", "xml").env("BATCH_EXPORT_LEASE", "never");
        command.run().expect_code(0);
    }
}
