//! The help of each command: `-h` fits one screen, `--help` shows the settings that the command reads and the codes that it can end with.

use std::collections::BTreeSet;

use batch_export::cli::help::exits;
use batch_export::cli::settings::{read_by, table};
use batch_export::command::CommandName;
use batch_export::config::{InvalidPolicy, NotifyKind, PingKind};
use batch_export::exit::Exit;
use batch_export::layout::{BUILT_IN, Encoding};

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
fn each_meaning_of_a_code_stays_in_its_column_also_of_what_a_command_can_do() {
    let own = ["list", "show", "check"].map(|own| BatchExport::command("layout").args(&[own, "--help"]));
    let commands = CommandName::ALL.map(|name| BatchExport::command(name.name()).arg("--help"));
    for command in commands.into_iter().chain(own) {
        let help = command.env("COLUMNS", "80").run().expect_code(0).stdout;
        let (_, section) = help.split_once("EXIT STATUS:\n").unwrap_or_else(|| panic!("no codes in {help}"));
        for line in section.lines().filter(|line| !line.starts_with("  1x")) {
            let begins = line.trim_start().starts_with(|c: char| c.is_ascii_digit()) && line.len() > 29;
            assert!(begins || line.starts_with(&" ".repeat(29)), "{line:?} in {help}");
        }
    }
}

#[test]
fn a_setting_of_a_closed_list_names_each_of_its_words() {
    let formats: Vec<&str> = BUILT_IN.iter().map(|(name, _)| *name).collect();
    let encodings = Encoding::ALL.map(Encoding::name);
    let (notify, ping) = (NotifyKind::ALL.map(NotifyKind::name), PingKind::ALL.map(PingKind::name));
    let lists: [(&table::Setting, &[&str]); 5] = [
        (&table::FORMAT, &formats),
        (&table::ENCODING, &encodings),
        (&table::INVALID, &InvalidPolicy::ALL.map(InvalidPolicy::name)),
        (&table::NOTIFY_KIND, &notify),
        (&table::PING_KIND, &ping),
    ];
    for (setting, words) in lists {
        let told: Vec<&str> = setting.about.split([' ', ',', ':']).collect();
        assert!(words.iter().all(|word| told.contains(word)), "{} names not all of {words:?}", setting.flag);
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
        let summary = BatchExport::command(command.name()).arg("-h").env("COLUMNS", "80").run().expect_code(0).stdout;
        assert!(summary.lines().count() <= SCREEN_LINES, "{command:?} has {} lines", summary.lines().count());
        let (_, section) = summary.split_once("EXIT STATUS:\n").expect("the codes");
        for exit in exits(command) {
            assert!(
                section.contains(&format!("{} {}", exit.code(), exit.name())),
                "{command:?} lacks {exit:?}: {summary}"
            );
        }
    }
    let program = BatchExport::new().arg("-h").env("COLUMNS", "80").run().expect_code(0).stdout;
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
