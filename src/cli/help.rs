//! The help texts: the exit codes of each command, taken from the one enum.

use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;

use clap::{Args, CommandFactory};

use super::args::{self, Cli, OutputArgs};
use super::environment;
use super::settings::{self, Detail};
use crate::command::CommandName;
use crate::exit::Exit;

/// The whole command line, with an EXIT STATUS in the help of every command.
///
/// `-h` and `--help` show the same command line with different detail, because clap's own long form takes four lines
/// for each setting.
pub fn command(detail: Detail) -> clap::Command {
    let is_full = detail == Detail::Full;
    let program = Cli::command().after_help(exit_status(None, detail)).mut_args(|arg| arg.hide_env(!is_full));
    of_each(settings::add_to(program, &[], Detail::Full), |name, command| {
        let shown = settings::read_by(name);
        let mut command = settings::add_to(command, &shown, detail);
        // The commands for packagers read no variable, so their help names none. A summary has to fit a screen, so only that of the program
        // shows how result and log are printed.
        let is_packaging = PACKAGING.contains(&name.name());
        let has_csv = is_full && name == CommandName::Corrections;
        if is_packaging || has_csv || (!is_full && !shown.is_empty()) {
            let output = OutputArgs::augment_args(clap::Command::default());
            let changed = |(arg, at): (clap::Arg, usize)| match arg.get_id().as_str() {
                _ if is_packaging => arg.env(None::<&'static str>),
                // After the command's own, where the others have it.
                "result" if has_csv => arg.help("The result on stdout: text, json or csv").display_order(at),
                _ if has_csv => arg.display_order(at),
                _ => arg.hide(true),
            };
            command = command.args(output.get_arguments().cloned().zip(OWN_MAX..).map(changed));
        }
        let names: Vec<String> = command.get_subcommands().map(|own| own.get_name().to_owned()).collect();
        let command = names.into_iter().fold(command, |command, own| {
            command.mut_subcommand(own, |own| own.after_help(exit_status(Some(name), detail)))
        });
        command.after_help(exit_status(Some(name), detail)).next_line_help(is_full)
    })
}

/// Changes each command of the program.
fn of_each(program: clap::Command, change: impl Fn(CommandName, clap::Command) -> clap::Command) -> clap::Command {
    let change =
        |program: clap::Command, name: CommandName| program.mut_subcommand(name.name(), |own| change(name, own));
    CommandName::ALL.into_iter().fold(program, change)
}

/// The command line that parses these arguments. An empty variable counts as not set, because env files and manifests
/// leave a setting out that way. The commands for packagers read no variable, because their environment is a build
/// machine's.
pub fn command_for(arguments: &[OsString]) -> clap::Command {
    let is_empty = |name: &OsStr| environment::raw(name).is_some_and(|value| value.is_empty());
    let without_empty = |arg: clap::Arg| match arg.get_env().is_some_and(is_empty) {
        true => arg.env(None::<&'static str>),
        false => arg,
    };
    let is_packaging = |found: clap::ArgMatches| found.subcommand_name().is_some_and(|name| PACKAGING.contains(&name));
    let wants_all = arguments.iter().any(|word| word == "--help" || word == "help");
    let command = with_story(command(if wants_all { Detail::Full } else { Detail::Summary }), wants_all);
    if arguments.iter().any(|word| PACKAGING.iter().any(|name| word == name)) {
        let deaf = change_args(command.clone(), |arg| arg.env(None::<&'static str>));
        if deaf.clone().try_get_matches_from(arguments).is_ok_and(is_packaging) {
            return deaf;
        }
    }
    change_args(command, without_empty)
}

/// Changes each argument of the program and of its commands, which have settings of their own.
fn change_args(command: clap::Command, change: impl Fn(clap::Arg) -> clap::Arg) -> clap::Command {
    of_each(command.mut_args(&change), |_, own| own.mut_args(&change))
}

/// Puts the long description of each command above its usage, or leaves it out. Without a long description clap prints
/// every help in short form.
fn with_story(command: clap::Command, wanted: bool) -> clap::Command {
    let told = |command: clap::Command| match command.get_long_about().filter(|_| wanted).cloned() {
        Some(story) => command.before_help(story).help_template(TEMPLATE),
        None => command,
    };
    let told = |command: clap::Command| told(command).long_about(None::<&'static str>);
    of_each(told(command), |_, own| told(own))
}

/// clap's own template, with the long description in place of the first line.
const TEMPLATE: &str = "{before-help}{usage-heading} {usage}\n\n{all-args}{after-help}";

/// The commands that are made for packagers.
const PACKAGING: [&str; 2] = [CommandName::Completions.name(), CommandName::Man.name()];

/// More arguments than a command has of its own.
const OWN_MAX: usize = 100;

/// Codes on a line of the summary.
const NAMED_PER_LINE: usize = 4;

/// The codes that every command can end with.
const COMMON: [Exit; 5] = [Exit::Ok, Exit::Unexpected, Exit::Usage, Exit::InterruptedInt, Exit::InterruptedTerm];

/// The codes that a command can end with, ascending.
pub fn exits(command: CommandName) -> Vec<Exit> {
    use Exit::{
        CheckFailed, CommitConflict, Configuration, DatabaseUnavailable, DriveRejected, LockHeld, NotDue, UploadFailed,
    };
    let own: &[Exit] = match command {
        CommandName::Run | CommandName::Retry | CommandName::Backfill => {
            return Exit::ALL.into_iter().filter(|exit| *exit != CheckFailed).collect();
        }
        CommandName::Status => &[DatabaseUnavailable, Configuration, CheckFailed],
        CommandName::Verify | CommandName::Corrections => {
            &[DatabaseUnavailable, UploadFailed, Configuration, DriveRejected, CheckFailed]
        }
        CommandName::Doctor => &[Configuration, CheckFailed],
        CommandName::Init => &[DatabaseUnavailable, UploadFailed, CommitConflict, Configuration],
        CommandName::Auth => &[Configuration, DriveRejected],
        CommandName::Unlock => &[LockHeld, NotDue, DatabaseUnavailable, CommitConflict, Configuration],
        CommandName::Completions => &[],
        CommandName::Layout | CommandName::Man => &[Configuration],
    };
    Exit::ALL.into_iter().filter(|exit| COMMON.contains(exit) || own.contains(exit)).collect()
}

/// The meaning of 0 for a command that exports nothing.
fn well_done(command: CommandName) -> Option<&'static str> {
    match command {
        CommandName::Run | CommandName::Retry | CommandName::Backfill => None,
        CommandName::Status => Some("shown; with --check: nothing needs attention"),
        CommandName::Verify => Some("everything agrees"),
        CommandName::Corrections => Some("nothing has to be corrected"),
        CommandName::Doctor => Some("a run will do its work; warnings may remain"),
        CommandName::Init => Some("what is needed is there"),
        CommandName::Auth => Some("the consent is written"),
        CommandName::Unlock => Some("released, or there was nothing to release"),
        CommandName::Layout => Some("shown; with check: the layout is good"),
        CommandName::Completions | CommandName::Man => Some("written"),
    }
}

fn exit_status(command: Option<CommandName>, detail: Detail) -> String {
    let exits = command.map_or(Exit::ALL.to_vec(), exits);
    if detail == Detail::Summary {
        let names: Vec<String> = exits.iter().map(|exit| format!("{} {}", exit.code(), exit.name())).collect();
        let lines: Vec<String> = names.chunks(NAMED_PER_LINE).map(|line| line.join(", ")).collect();
        let lines = lines.join(",\n  ");
        return format!("EXIT STATUS:\n  {lines}\n`--help` shows every setting, and what each code means.");
    }
    let done = command.and_then(well_done);
    let mut text = "EXIT STATUS:\n".to_owned();
    for exit in exits {
        let meaning = done.filter(|_| exit == Exit::Ok).unwrap_or(exit.meaning());
        let _ = writeln!(text, "  {:>3}  {:21} {}", exit.code(), exit.name(), below(meaning));
    }
    // Only exports are retried by a schedule.
    let passing = if done.is_some() { "try again" } else { "retried by itself" };
    // A line that begins at the margin would be joined with the one above it in a manual page.
    let _ = write!(text, "  1x: wait. 2x: {passing}. 3x: a person has to act.");
    text
}

/// The meaning of a code in lines that fit a window of 80 columns, each below the first.
fn below(meaning: &str) -> String {
    const WIDTH: usize = 80 - MARGIN.len();
    const MARGIN: &str = "                             ";
    let mut lines = vec![String::new()];
    for word in meaning.split(' ') {
        match lines.last_mut() {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) if line.len() + word.len() < WIDTH => *line += &format!(" {word}"),
            _ => lines.push(word.to_owned()),
        }
    }
    lines.join(&format!("\n{MARGIN}"))
}

/// Whether the result is wanted as JSON, found in a command line that may be invalid.
pub fn asks_for_json(arguments: &[OsString]) -> bool {
    let words: Vec<_> = arguments.iter().map(|word| word.to_string_lossy()).collect();
    let flag = words.windows(2).any(|pair| pair[0] == "--output" && pair[1] == "json");
    let joined = words.iter().any(|word| word == "--output=json");
    flag || joined || environment::text(args::OUTPUT).is_some_and(|value| value == "json")
}
