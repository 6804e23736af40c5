//! `batch-export completions`: the completion script of a shell, made from the command line itself.

use super::args::CompletionsArgs;
use super::settings::Detail;
use super::{help, render};
use crate::exit::Exit;

/// Prints the script: it is the result, whatever `--output` says.
pub fn execute(args: &CompletionsArgs) -> Exit {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut help::command(Detail::Full), "batch-export", &mut script);
    render::print_text(&String::from_utf8_lossy(&script));
    Exit::Ok
}
