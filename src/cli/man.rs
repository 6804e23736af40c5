//! `batch-export man`: the manual pages, made from the command line itself.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use schemars::JsonSchema;
use serde::Serialize;

use super::args::{ManArgs, OutputFormat};
use super::help;
use super::render::{self, Head, Render};
use super::settings::Detail;
use crate::command::CommandName;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::outcome::Done;
use crate::plausible::check_path;

/// The result of `man`.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct ManResult {
    #[serde(flatten)]
    head: Head,
    /// Names of the pages, in order.
    pages: Vec<String>,
}

impl Render for ManResult {
    fn text(&self) -> String {
        self.pages.iter().map(|page| format!("{page}\n")).collect()
    }
}

/// Writes a page per command into a folder, or prints the page of the program.
pub fn execute(args: &ManArgs, output: OutputFormat) -> Result<Exit> {
    let Some(folder) = &args.dir else {
        let mut page = Vec::new();
        let rendered = page_of(help::command(Detail::Full)).render(&mut page);
        rendered.map_err(|error| Failure::new(Exit::Unexpected, format!("the page cannot be made: {error}")))?;
        render::print_text(&String::from_utf8_lossy(&page));
        return Ok(Exit::Ok);
    };
    check_path(&folder.to_string_lossy()).map_err(|misplaced| misplaced.failure("DIR"))?;
    let pages = write(folder).map_err(|error| {
        Failure::configuration(format!("cannot write the pages to {}: {error}", folder.display()))
            .next("name a folder that exists and may be written to")
    })?;
    render::print(&ManResult { head: Head::new(CommandName::Man, Done::Completed, Exit::Ok), pages }, output);
    Ok(Exit::Ok)
}

fn write(folder: &Path) -> std::io::Result<Vec<String>> {
    let mut program = help::command(Detail::Full).disable_help_subcommand(true);
    program.build();
    let mut pages = Vec::new();
    let shown = |command: &clap::Command| {
        let below = command.get_subcommands().filter(|command| !command.is_hide_set());
        below.cloned().collect::<Vec<_>>()
    };
    // The page of a command with commands of its own refers to theirs.
    let commands = shown(&program).into_iter().flat_map(|command| [vec![command.clone()], shown(&command)].concat());
    for command in std::iter::once(program.clone()).chain(commands) {
        let page = page_of(command);
        // Renamed into its place: what has the name already may be a FIFO, which would never take the page.
        let open_to_all = Permissions::from_mode(0o666);
        let mut part = tempfile::Builder::new().permissions(open_to_all).tempfile_in(folder)?;
        page.render(&mut part)?;
        part.persist(folder.join(page.get_filename()))?;
        pages.push(page.get_filename());
    }
    Ok(pages)
}

/// The page of one command. At its foot stand the program's name and version, and its authors.
fn page_of(command: clap::Command) -> clap_mangen::Man {
    let authors = env!("CARGO_PKG_AUTHORS");
    clap_mangen::Man::new(command.author(authors)).source(concat!("batch-export ", env!("CARGO_PKG_VERSION")))
}
