//! `batch-export completions`: the completion script of a shell, made from the command line itself.

use clap::builder::PossibleValuesParser;
use clap::{Arg, Command, ValueHint};
use clap_complete::Shell;

use super::args::CompletionsArgs;
use super::settings::{Detail, table};
use super::{help, render};
use crate::config::{InvalidPolicy, NotifyKind, PingKind};
use crate::exit::Exit;
use crate::layout::{BUILT_IN, Encoding};

/// Prints the script: it is the result, whatever `--output` says.
pub fn execute(args: &CompletionsArgs) -> Exit {
    let mut script = Vec::new();
    let mut command = offered(&help::command(Detail::Full), args.shell);
    clap_complete::generate(args.shell, &mut command, "batch-export", &mut script);
    // The generator for bash writes the hyphen of the program's name in two ways, and so finds none of the commands again.
    let script = String::from_utf8_lossy(&script).replace("batch__subcmd__export", "batch__export");
    render::print_text(&script);
    Exit::Ok
}

/// The command line with the words that its settings take, and without what its help hides: a shell would offer that, too.
fn offered(command: &Command, shell: Shell) -> Command {
    let shown = command.get_arguments().filter(|arg| !arg.is_hide_set()).map(|arg| with_words(arg.clone(), shell));
    // A name has to live as long as the program, which ends after the script.
    Command::new(&*command.get_name().to_owned().leak())
        .version(env!("CARGO_PKG_VERSION"))
        .about(command.get_about().cloned().unwrap_or_default())
        .hide(command.is_hide_set())
        .args(shown)
        .subcommands(command.get_subcommands().map(|command| offered(command, shell)))
}

/// An argument with the words that it takes, or with files or folders.
fn with_words(arg: Arg, shell: Shell) -> Arg {
    let id = arg.get_id().as_str();
    let layouts = BUILT_IN.map(|(name, _)| name).to_vec();
    let words = [
        (table::INVALID.flag, InvalidPolicy::ALL.map(InvalidPolicy::name).to_vec()),
        (table::ENCODING.flag, Encoding::ALL.map(Encoding::name).to_vec()),
        (table::NOTIFY_KIND.flag, NotifyKind::ALL.map(NotifyKind::name).to_vec()),
        (table::PING_KIND.flag, PingKind::ALL.map(PingKind::name).to_vec()),
        (table::DRIVE_LOCK.flag, vec!["on", "off"]),
        ("name", layouts.clone()),
        (table::FORMAT.flag, layouts),
    ];
    // A layout may also be a file: of the shells only bash goes on to files when no word fits.
    let of_this = |flag: &str| flag == id && (flag != table::FORMAT.flag || shell == Shell::Bash);
    if let Some((_, words)) = words.into_iter().find(|(flag, _)| of_this(flag)) {
        return arg.value_parser(PossibleValuesParser::new(words));
    }
    match arg.get_value_names().and_then(|names| names.first()).map(|name| name.as_str()) {
        Some("FILE" | "PATH") => arg.value_hint(ValueHint::FilePath),
        Some("DIR") => arg.value_hint(ValueHint::DirPath),
        Some(_) | None => arg,
    }
}
