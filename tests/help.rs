//! The help of each command: `-h` fits one screen, `--help` shows the settings that the command reads and the codes that it can end with.

use std::collections::BTreeSet;

use batch_export::cli::help::exits;
use batch_export::cli::settings::{read_by, table};
use batch_export::command::CommandName;
use batch_export::exit::Exit;

use crate::support::command::BatchExport;

/// Lines of a terminal window.
const SCREEN_LINES: usize = 40;

fn help(command: CommandName, flag: &str) -> String {
    BatchExport::command(command.name()).arg(flag).run().expect_code(0).stdout
}

#[test]
fn each_command_lists_the_codes_that_it_can_end_with() {
    // That a command ends with no other code is checked at the end of every command of the suite, in `support::command`.
    for command in CommandName::ALL {
        let help = help(command, "--help");
        let (_, section) = help.split_once("EXIT STATUS:\n").unwrap_or_else(|| panic!("{command:?} has none: {help}"));
        let listed = section.lines().filter_map(|line| line.split_whitespace().next()?.parse::<u8>().ok());
        assert_eq!(listed.collect::<Vec<_>>(), exits(command).into_iter().map(Exit::code).collect::<Vec<_>>());
    }
}

#[test]
fn each_command_shows_the_settings_that_it_reads_and_no_others() {
    for command in CommandName::ALL {
        let help = help(command, "--help");
        let shown: BTreeSet<&str> = table::all()
            .filter(|setting| help.contains(&format!("[env: {}]", setting.variable)))
            .map(|one| one.flag)
            .collect();
        assert_eq!(shown, read_by(command).into_iter().map(|setting| setting.flag).collect(), "{command:?}");
    }
    let shown = help(CommandName::Run, "--help");
    for heading in ["Database:", "Destination:", "File:", "Run:", "Telling people:"] {
        assert!(shown.lines().any(|line| line == heading), "{heading} is not in {shown}");
    }
    assert!(help(CommandName::Unlock, "--help").lines().count() <= 60, "{}", help(CommandName::Unlock, "--help"));
}

#[test]
fn the_summary_of_each_command_fits_one_screen_and_has_the_codes_too() {
    for command in CommandName::ALL {
        let summary = help(command, "-h");
        assert!(summary.lines().count() <= SCREEN_LINES, "{command:?} has {} lines", summary.lines().count());
        let (_, section) = summary.split_once("EXIT STATUS:\n").expect("the codes");
        for exit in exits(command) {
            assert!(
                section.contains(&format!("{} {}", exit.code(), exit.name())),
                "{command:?} lacks {exit:?}: {summary}"
            );
        }
    }
    let program = BatchExport::new().arg("-h").run().expect_code(0).stdout;
    assert!(program.lines().count() <= SCREEN_LINES, "{program}");
}

#[test]
fn the_commands_are_listed_in_the_order_of_use() {
    let help = BatchExport::new().arg("--help").run().expect_code(0).stdout;
    let (_, listed) = help.split_once("Commands:\n").expect("the commands");
    let (listed, _) = listed.split_once("\n\n").expect("their end");
    let names =
        listed.lines().filter(|line| !line.starts_with("    ")).filter_map(|line| line.split_whitespace().next());
    let in_order_of_use = CommandName::ALL.iter().map(|name| name.name()).chain(["help"]);
    assert_eq!(names.collect::<Vec<_>>(), in_order_of_use.collect::<Vec<_>>());
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
