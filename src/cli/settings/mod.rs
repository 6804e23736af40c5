//! The settings: typed as text ([`Settings`]), then validated in one step ([`validate`]).
//!
//! Every command takes every setting, as text, and validates those that it reads. So a wrong setting ends with 30, whether it came from a
//! flag or a variable, and a flag may stand before or after the command's name.

mod secrets;
pub mod table;
mod telling;
mod validate;

use std::collections::BTreeMap;

use chrono_tz::Tz;
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command};

use super::environment;
use crate::calendar::parse_zone;
use crate::command::CommandName;
pub use secrets::conceal_secrets;
use table::{Default, GROUPS, Setting};
pub use validate::{duration_of, validate};

/// The settings as they were typed: flag, else environment variable, else default.
#[derive(Clone, Default)]
pub struct Settings {
    typed: BTreeMap<&'static str, (String, Source)>,
}

/// A setting and the text that was typed for it.
#[derive(Clone, Copy)]
pub struct Typed<'a> {
    setting: &'static Setting,
    text: &'a str,
    source: Source,
}

/// Where the text of a setting is from: people look for a mistake where they made it.
#[derive(Clone, Copy)]
enum Source {
    Flag,
    Variable,
    /// The variable `TMPDIR`, which names the system's temporary folder.
    Tmpdir,
    /// The default, or nothing at all.
    Default,
}

impl Settings {
    /// What was typed on this command line, and the variables and defaults beside it.
    pub fn typed(matches: &ArgMatches) -> Settings {
        let text = |setting: &Setting| {
            let source = match matches.value_source(setting.flag)? {
                ValueSource::CommandLine => Source::Flag,
                ValueSource::EnvVariable => Source::Variable,
                _ => Source::Default,
            };
            Some((setting.flag, (matches.get_one::<String>(setting.flag)?.clone(), source)))
        };
        Settings { typed: table::all().filter_map(text).collect() }
    }

    /// The settings that this command reads; the others have their defaults. So a setting that is wrong today, such as a layout file that
    /// is gone, stops only the commands that need it, and never `status` or `unlock`.
    #[must_use]
    pub fn of(self, command: CommandName) -> Settings {
        let (read, all) = (read_by(command), self.clone());
        let mut only = self.only(&read);
        // Two collections with one name would destroy each other: that stops whatever reads the batches.
        let name = |setting: &Setting| all.typed.get(setting.flag).map(|(text, _)| text);
        let is_shared =
            |setting: &Setting| table::COLLECTIONS.iter().filter(|other| name(other) == name(setting)).count() > 1;
        if read.iter().any(|setting| setting.flag == table::BATCH_COLLECTION.flag) {
            let shared = table::COLLECTIONS.iter().filter(|setting| is_shared(setting));
            only.typed.extend(shared.filter_map(|setting| Some((setting.flag, all.typed.get(setting.flag)?.clone()))));
        }
        only
    }

    /// Those that `init` reads in any case; the way to the files is read only when entries are missing.
    #[must_use]
    pub fn of_the_database(self) -> Settings {
        self.only(&[table::DATABASE_SETTINGS, &[&table::TIMEZONE, &table::CUTOFF]].concat())
    }

    /// These settings; the others have their defaults.
    #[must_use]
    pub fn only(mut self, read: &[&Setting]) -> Settings {
        for unread in table::all().filter(|setting| !read.iter().any(|one| one.flag == setting.flag)) {
            self.typed.remove(unread.flag);
            if let Default::Value(value) = unread.default {
                self.typed.insert(unread.flag, (value.to_owned(), Source::Default));
            }
        }
        if read.iter().any(|setting| setting.flag == table::SPOOL_DIR.flag) {
            let temporary = || (environment::temporary_folder().to_string_lossy().into_owned(), Source::Tmpdir);
            self.typed.entry(table::SPOOL_DIR.flag).or_insert_with(temporary);
        }
        self
    }

    /// The zone of the settings; `None` when the text is no zone.
    pub fn zone(&self) -> Option<Tz> {
        parse_zone(self.get(&table::TIMEZONE)?.text).ok()
    }

    /// What was typed, or the default value; `None` when there is neither.
    pub fn get(&self, setting: &'static Setting) -> Option<Typed<'_>> {
        self.typed.get(setting.flag).map(|(text, source)| Typed { setting, text, source: *source })
    }
}

/// Characters per line for the description of a setting in the help.
const HELP_WIDTH: usize = 90;

/// How much of the settings a help text shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// The common ones, a line each.
    Summary,
    /// The settings that the command reads, with variable and default.
    Full,
}

/// The settings that a command reads, in the order of the table.
pub fn read_by(command: CommandName) -> Vec<&'static Setting> {
    use table::*;
    const WAY_TO_FILES: &[&Setting] =
        &[&DESTINATION, &CREDENTIALS, &DRIVE_SUBJECT, &DRIVE_URL, &DRIVE_BACKOFF, &DRIVE_IDLE];
    let own: &[&[&Setting]] = match command {
        // `doctor` reports today what a run would refuse at the cut-off.
        CommandName::Run | CommandName::Retry | CommandName::Backfill | CommandName::Doctor => return all().collect(),
        CommandName::Status => &[
            &[&MONGODB_URI, &DATABASE, &QUEUE_COLLECTION, &LOG_COLLECTION, &BATCH_COLLECTION],
            &[&TIMEZONE, &CUTOFF, &METRICS_FILE, &METRICS_URL],
        ],
        CommandName::Verify => &[
            DATABASE_SETTINGS,
            WAY_TO_FILES,
            &[&FILE_NAME, &FORMAT, &ENCODING, &CONTRA_ACCOUNT, &TIMEZONE, &SPOOL_DIR],
        ],
        CommandName::Corrections => &[
            DATABASE_SETTINGS,
            WAY_TO_FILES,
            &[&FORMAT, &ENCODING, &CONTRA_ACCOUNT, &TIMEZONE, &SPOOL_DIR],
            &[&NOTIFY_URL, &NOTIFY_KIND, &NOTIFY_TOKEN, &NOTIFY_TO],
        ],
        CommandName::Init => &[DATABASE_SETTINGS, &[&TIMEZONE, &CUTOFF], WAY_TO_FILES, &[&FORMAT, &SPOOL_DIR]],
        CommandName::Auth => &[&[&CREDENTIALS]],
        CommandName::Unlock => &[&[&MONGODB_URI, &DATABASE, &LOG_COLLECTION, &BATCH_COLLECTION, &TIMEZONE]],
        CommandName::Layout | CommandName::Completions | CommandName::Man => &[],
    };
    own.concat()
}

/// Adds every setting to a command line; settings that are not in `shown` are hidden from the help.
pub fn add_to(command: Command, shown: &[&Setting], detail: Detail) -> Command {
    let with_heading = GROUPS.iter().flat_map(|(heading, settings)| settings.iter().map(move |one| (*heading, *one)));
    with_heading.fold(command, |command, (heading, setting)| {
        let is_shown = shown.iter().any(|one| one.flag == setting.flag);
        let is_shown = is_shown && (detail == Detail::Full || setting.common);
        command.arg(argument(setting, detail).help_heading(heading).hide(!is_shown))
    })
}

fn argument(setting: &'static Setting, detail: Detail) -> Arg {
    let mut arg = Arg::new(setting.flag).long(setting.flag).env(setting.variable).global(true).hide_env_values(true);
    arg = match setting.value {
        // A chat of Telegram is a negative number.
        Some(value) => arg.value_name(value).allow_negative_numbers(true),
        None => arg.value_name("on|off").num_args(0..=1).require_equals(true).default_missing_value("on"),
    };
    let mut notes = match detail {
        Detail::Summary => String::new(),
        Detail::Full => format!(" [env: {}]", setting.variable),
    };
    if let Default::Value(value) | Default::Words(value) = setting.default {
        notes += &format!(" [default: {value}]");
    }
    if let Default::Value(value) = setting.default {
        arg = arg.default_value(value);
    }
    // The note stays on one line, because people search for the name of a variable.
    if detail == Detail::Full && setting.about.len() + notes.len() > HELP_WIDTH {
        notes.replace_range(..1, "\n");
    }
    arg.help(format!("{}{notes}", setting.about)).hide_env(true).hide_default_value(true)
}
