//! The help texts: the exit codes of each command, taken from the one enum.

use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;

use clap::CommandFactory;

use super::args::Cli;
use crate::exit::Exit;

/// The whole command line, with an EXIT STATUS in the help of every command.
pub fn command() -> clap::Command {
    let names: Vec<String> = Cli::command().get_subcommands().map(|command| command.get_name().to_owned()).collect();
    let all = Cli::command().after_help(exit_status("", &Exit::ALL));
    names
        .iter()
        .fold(all, |all, name| all.mut_subcommand(name, |command| command.after_help(exit_status(name, &exits(name)))))
}

/// What these arguments are parsed with. A variable that is set to nothing counts as not set, because that is how env files and manifests
/// leave a setting out. Packagers, whose environment may be anybody's, get no variable at all.
pub fn command_for(arguments: &[OsString]) -> clap::Command {
    let is_empty = |name: &OsStr| std::env::var_os(name).is_some_and(|value| value.is_empty());
    let without_empty = |arg: clap::Arg| match arg.get_env().is_some_and(is_empty) {
        true => arg.env(None::<&'static str>),
        false => arg,
    };
    let is_packaging = |found: clap::ArgMatches| found.subcommand_name().is_some_and(|name| PACKAGING.contains(&name));
    if arguments.iter().any(|word| PACKAGING.iter().any(|name| word == name)) {
        let deaf = command().mut_args(|arg| arg.env(None::<&'static str>));
        if deaf.clone().try_get_matches_from(arguments).is_ok_and(is_packaging) {
            return deaf;
        }
    }
    command().mut_args(without_empty)
}

/// The commands that are made for packagers.
const PACKAGING: [&str; 2] = ["completions", "man"];

/// What every command can end with.
const COMMON: [Exit; 5] = [Exit::Ok, Exit::Unexpected, Exit::Usage, Exit::InterruptedInt, Exit::InterruptedTerm];

/// The codes that a command can end with.
fn exits(command: &str) -> Vec<Exit> {
    let own: &[Exit] = match command {
        "auth" => &[Exit::Configuration, Exit::DriveRejected],
        "completions" => &[],
        "man" => &[Exit::Configuration],
        "doctor" => &[Exit::Configuration, Exit::CheckFailed],
        "init" => &[Exit::DatabaseUnavailable, Exit::Configuration],
        "status" => &[Exit::DatabaseUnavailable, Exit::Configuration, Exit::CheckFailed],
        "verify" => &[
            Exit::DatabaseUnavailable,
            Exit::UploadFailed,
            Exit::Configuration,
            Exit::DriveRejected,
            Exit::CheckFailed,
        ],
        "unlock" => &[Exit::LockHeld, Exit::NotDue, Exit::DatabaseUnavailable, Exit::Configuration],
        "run" | "retry" | "backfill" => {
            return Exit::ALL.into_iter().filter(|exit| *exit != Exit::CheckFailed).collect();
        }
        _ => &Exit::ALL,
    };
    Exit::ALL.into_iter().filter(|exit| COMMON.contains(exit) || own.contains(exit)).collect()
}

/// What 0 means for a command that exports nothing.
fn well_done(command: &str) -> Option<&'static str> {
    Some(match command {
        "status" => "shown; with --check: nothing wants attention",
        "verify" => "everything agrees",
        "doctor" => "a run will do its work; warnings may remain",
        "init" => "what is needed is there",
        "auth" => "the consent is written",
        "unlock" => "released, or there was nothing to release",
        "completions" | "man" => "written",
        _ => return None,
    })
}

fn exit_status(command: &str, exits: &[Exit]) -> String {
    let done = well_done(command);
    let mut text = "EXIT STATUS:\n".to_owned();
    for exit in exits {
        let meaning = done.filter(|_| *exit == Exit::Ok).unwrap_or(exit.meaning());
        let _ = writeln!(text, "  {:>3}  {:21} {meaning}", exit.code(), exit.name());
    }
    // Nothing but an export is scheduled to be tried again.
    let passing = if done.is_some() { "try again" } else { "retried by itself" };
    let _ = write!(text, "1x: wait. 2x: {passing}. 3x: a person has to act. Any other code is a failure.");
    text
}

/// Whether the result is wanted as JSON, told from a command line that may not be valid.
pub fn asks_for_json(arguments: &[OsString]) -> bool {
    let words: Vec<_> = arguments.iter().map(|word| word.to_string_lossy()).collect();
    let flag = words.windows(2).any(|pair| pair[0] == "--output" && pair[1] == "json");
    let joined = words.iter().any(|word| word == "--output=json");
    flag || joined || std::env::var("BATCH_EXPORT_OUTPUT").is_ok_and(|value| value == "json")
}
