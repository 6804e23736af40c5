//! Every secret at every setting, argument and variable, in every command. Few of these commands get far: that is the point.
//!
//! The commands and their arguments are read from the command line itself, so that a new one is searched too.

use std::sync::atomic::{AtomicUsize, Ordering};

use batch_export::cli::args::Cli;
use batch_export::cli::settings::read_by;
use batch_export::cli::settings::table::{self, Setting};
use batch_export::command::CommandName;
use clap::{Arg, Command, CommandFactory};

use super::{A_SHORT_PASSWORD, Scene, SecretValue, secrets};
use crate::support::command::BatchExport;

/// At a time: most of a command is waiting, for its process and for servers that are not there.
const AT_A_TIME: usize = 32;

/// Variables beside the settings.
const OTHERS: [&str; 10] = [
    "HTTPS_PROXY",
    "http_proxy",
    "ALL_PROXY",
    "NO_PROXY",
    "TMPDIR",
    "BATCH_EXPORT_NOW",
    "BATCH_EXPORT_OUTPUT",
    "BATCH_EXPORT_LOG_FORMAT",
    "SSL_CERT_FILE",
    "TRACEPARENT",
];

/// Words that change what a command does; with each of them the settings are read by other code.
const VARIANTS: [&[&str]; 5] = [
    &["run", "--dry-run"],
    &["status", "--check"],
    &["corrections", "--tell"],
    &["verify", "--file", "/nowhere/copy.csv"],
    &["doctor", "--send"],
];

/// The commands that read no setting: beside the settings they get the secrets in turn.
const WITHOUT_SETTINGS: [&str; 3] = ["layout", "completions", "man"];

/// Settings that take any name: there a word of letters and digits is what was asked for.
const NAMES: [&str; 7] = [
    "database",
    "queue-collection",
    "entries-collection",
    "log-collection",
    "batch-collection",
    "contra-account",
    "notify-to",
];

/// A command of the command line, with the arguments that it cannot do without.
struct Leaf {
    path: Vec<String>,
    command: Command,
}

impl Leaf {
    /// Every command that does something, the last ones of each branch.
    fn all() -> Vec<Leaf> {
        let mut leaves = Vec::new();
        let mut branches = vec![(Vec::new(), Cli::command())];
        while let Some((path, command)) = branches.pop() {
            for below in command.get_subcommands() {
                branches.push(([path.clone(), vec![below.get_name().to_owned()]].concat(), below.clone()));
            }
            if !command.has_subcommands() {
                leaves.push(Leaf { path, command });
            }
        }
        leaves
    }

    /// The arguments that take a value.
    fn arguments(&self) -> impl Iterator<Item = &Arg> {
        self.command.get_arguments().filter(|arg| arg.get_action().takes_values())
    }

    /// The words of the command line, with another argument in place of its usual value.
    fn words(&self, but: Option<(&Arg, Vec<String>)>) -> Vec<String> {
        let is_but = |arg: &Arg| but.as_ref().is_some_and(|(other, _)| other.get_id() == arg.get_id());
        let mut words = self.path.clone();
        for arg in self.arguments().filter(|arg| arg.is_required_set() && !is_but(arg)) {
            words.extend(arg.get_long().map(|long| format!("--{long}")));
            words.push(usual(arg).to_owned());
        }
        words.extend(but.into_iter().flat_map(|(_, words)| words));
        words
    }
}

/// A good value for an argument.
fn usual(arg: &Arg) -> &'static str {
    match arg.get_id().as_str() {
        "date" | "from" | "to" => "2026-01-18",
        "name" => "journal",
        "shell" => "bash",
        _ => "/nowhere/file",
    }
}

/// One command line with one secret in one place.
struct Throw<'a> {
    command: BatchExport,
    secret: &'a SecretValue,
    place: String,
}

fn base(scene: &Scene, words: &[String], json: bool) -> BatchExport {
    let command = words[1..].iter().fold(scene.command(&words[0]), |command, word| command.arg(word));
    if json { command.env("BATCH_EXPORT_OUTPUT", "json").env("BATCH_EXPORT_LOG_FORMAT", "json") } else { command }
}

/// Whether a value is at home in a setting, or looks like one that is.
pub fn belongs(flag: &str, secret: &SecretValue) -> bool {
    // A token is sent to the webhook.
    let is_token = ["an access token", "a refresh token", A_SHORT_PASSWORD].contains(&secret.name);
    flag == table::NOTIFY_TOKEN.flag && is_token || NAMES.contains(&flag) && secret.name == A_SHORT_PASSWORD
}

/// The settings that a command does not read, all at once: none of them can hide another one.
fn unread<'a>(scene: &Scene, words: &[String], secret: &'a SecretValue) -> Throw<'a> {
    let unread = table::all().filter(|setting| !reads(&words[0], setting));
    let command = unread.fold(base(scene, words, false), |command, one| command.env(one.variable, &secret.value));
    Throw { command, secret, place: format!("{words:?}, the settings that it does not read") }
}

pub fn reads(command: &str, setting: &Setting) -> bool {
    let name = CommandName::ALL.into_iter().find(|name| name.name() == command).expect("a command");
    read_by(name).iter().any(|read| read.flag == setting.flag)
}

/// Each command gets every secret at every setting and variable. The variants of a command get the secrets in turn.
fn settings<'a>(scene: &Scene, secrets: &'a [SecretValue]) -> Vec<Throw<'a>> {
    let variants = VARIANTS.map(|words| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>());
    let leaves = Leaf::all().into_iter().map(|leaf| leaf.words(None));
    let commands: Vec<(bool, Vec<String>)> =
        leaves.map(|words| (true, words)).chain(variants.into_iter().map(|words| (false, words))).collect();
    assert!(commands.len() >= 20, "{commands:?}");
    let settings = table::all().map(|setting| (setting.variable, Some(setting)));
    let mut throws = Vec::new();
    for (_, words) in commands.iter().filter(|(all, _)| *all) {
        throws.extend(secrets.iter().map(|secret| unread(scene, words, secret)));
    }
    for (which, (variable, setting)) in settings.chain(OTHERS.map(|variable| (variable, None))).enumerate() {
        let flag = setting.map(|setting| setting.flag);
        let asked = |words: &[String]| setting.is_none_or(|setting| reads(&words[0], setting));
        for (number, (all, words)) in commands.iter().enumerate().filter(|(_, (_, words))| asked(words)) {
            for (at, secret) in secrets.iter().enumerate() {
                let in_turn = at == (which + number) % secrets.len();
                let all = *all && (flag.is_some() || !WITHOUT_SETTINGS.contains(&words[0].as_str()));
                if !all && !in_turn || flag.is_some_and(|flag| belongs(flag, secret)) {
                    continue;
                }
                let command = base(scene, words, (which + at).is_multiple_of(2));
                let (command, how) = match flag {
                    Some(flag) if (number + which + at) % 4 < 2 => {
                        (command.arg(&format!("--{flag}={}", secret.value)), "flag")
                    }
                    Some(_) | None => (command.env(variable, &secret.value), "variable"),
                };
                throws.push(Throw { command, secret, place: format!("{words:?}, {how} {variable}") });
            }
        }
    }
    throws
}

/// Every secret at every argument, in either spelling.
fn arguments<'a>(scene: &Scene, secrets: &'a [SecretValue]) -> Vec<Throw<'a>> {
    let leaves = Leaf::all();
    let mut throws = Vec::new();
    for (at, secret) in secrets.iter().enumerate() {
        let mut throw = |words: Vec<String>| {
            let place = format!("{words:?}");
            throws.push(Throw { command: base(scene, &words, at.is_multiple_of(2)), secret, place });
        };
        for leaf in &leaves {
            for arg in leaf.arguments() {
                // Any word may stand in a reason.
                if arg.get_id() == "reason" && secret.name.contains("password") && !secret.name.contains("database") {
                    continue;
                }
                match arg.get_long() {
                    None => throw(leaf.words(Some((arg, vec![secret.value.clone()])))),
                    Some(long) if at.is_multiple_of(2) => {
                        throw(leaf.words(Some((arg, vec![format!("--{long}"), secret.value.clone()]))));
                    }
                    Some(long) => throw(leaf.words(Some((arg, vec![format!("--{long}={}", secret.value)])))),
                }
            }
            throw([leaf.words(None), vec![secret.value.clone()]].concat());
        }
        let run = |word: String| vec!["run".to_owned(), word];
        let root = Cli::command();
        let others = root.get_arguments().filter_map(Arg::get_long);
        for long in others.filter(|long| table::all().all(|setting| setting.flag != *long)) {
            throw(run(format!("--{long}={}", secret.value)));
        }
        throw(run(format!("--{}", secret.value)));
        throw(run(format!("--secret={}", secret.value)));
        throw(vec![secret.value.clone()]);
        let of_files = |value: &str| ["URI", "URL", "TOKEN", "FILE", "DIR"].contains(&value);
        for setting in table::all().filter(|setting| setting.value.is_some_and(of_files)) {
            let from_file = format!("file:{}", secret.value);
            if !belongs(setting.flag, secret) {
                throw(run(format!("--{}={from_file}", setting.flag)));
            }
        }
    }
    throws
}

#[test]
fn no_secret_leaves_from_any_place_on_the_command_line_or_in_the_environment() {
    let scene = Scene::new();
    let secrets = secrets();
    let throws: Vec<Throw<'_>> = settings(&scene, &secrets).into_iter().chain(arguments(&scene, &secrets)).collect();
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(|| {
                while let Some(throw) = throws.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let ended = throw.command.run();
                    assert_ne!(ended.code, 1, "a bug at {}: {}", throw.place, throw.secret.name);
                    scene.search(&ended, throw.secret, &throw.place);
                }
            });
        }
    });
    scene.finish(2 * throws.len());
}
