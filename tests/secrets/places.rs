//! Every secret at every setting and argument. Few of these commands get far: that is the point.

use std::sync::atomic::{AtomicUsize, Ordering};

use batch_export::cli::settings::table::{GROUPS, NOTIFY_TOKEN};

use super::{Scene, SecretValue, secrets};
use crate::support::command::BatchExport;

/// At a time; most of a command is waiting for its process.
const AT_A_TIME: usize = 4;

/// The commands that read settings, with what each needs on its command line.
const COMMANDS: [&[&str]; 11] = [
    &["run"],
    &["run", "--dry-run"],
    &["retry"],
    &["status"],
    &["status", "--check"],
    &["verify"],
    &["doctor"],
    &["init"],
    &["auth", "--no-browser", "--client", "/nowhere/client.json"],
    &["backfill", "--from", "2026-01-17", "--to", "2026-01-18"],
    &["unlock", "--date", "2026-01-18"],
];

/// Arguments that take a value, by command.
const ARGUMENTS: [(&str, &str); 14] = [
    ("run", "--date"),
    ("retry", "--date"),
    ("status", "--date"),
    ("status", "--last"),
    ("status", "--grace"),
    ("verify", "--date"),
    ("verify", "--last"),
    ("auth", "--client"),
    ("auth", "--port"),
    ("backfill", "--from"),
    ("unlock", "--date"),
    ("man", "--dir"),
    ("run", "--output"),
    ("run", "--log-format"),
];

/// Variables beside the settings.
const OTHERS: [&str; 8] = [
    "HTTPS_PROXY",
    "http_proxy",
    "ALL_PROXY",
    "NO_PROXY",
    "BATCH_EXPORT_NOW",
    "BATCH_EXPORT_OUTPUT",
    "BATCH_EXPORT_LOG_FORMAT",
    "SSL_CERT_FILE",
];

/// One command line with one secret in one place.
struct Throw<'a> {
    command: BatchExport,
    secret: &'a SecretValue,
    place: String,
}

fn base(scene: &Scene, words: &[&str], json: bool) -> BatchExport {
    let command = scene.command(words[0]).args(&words[1..]);
    if json { command.env("BATCH_EXPORT_OUTPUT", "json").env("BATCH_EXPORT_LOG_FORMAT", "json") } else { command }
}

/// `run` gets every secret at every setting, by flag and by variable; each other command gets every setting, with secrets in turn.
fn settings<'a>(scene: &Scene, secrets: &'a [SecretValue]) -> Vec<Throw<'a>> {
    let mut throws = Vec::new();
    for (which, setting) in GROUPS.iter().flat_map(|(_, settings)| settings.iter()).enumerate() {
        for (number, words) in COMMANDS.iter().enumerate() {
            for (at, secret) in secrets.iter().enumerate() {
                if number > 0 && at != (which + number) % secrets.len() {
                    continue;
                }
                // A token is at home there: it is sent to the webhook.
                if setting.flag == NOTIFY_TOKEN.flag
                    && ["an access token", "a refresh token", "a password"].contains(&secret.name)
                {
                    continue;
                }
                let command = base(scene, words, (which + at).is_multiple_of(2));
                let by_flag = number == 0 && (which + at) % 4 < 2;
                let (command, how) = match by_flag {
                    true => (command.arg(&format!("--{}={}", setting.flag, secret.value)), "flag"),
                    false => (command.env(setting.variable, &secret.value), "variable"),
                };
                throws.push(Throw { command, secret, place: format!("{words:?}, {how} {}", setting.variable) });
            }
        }
    }
    throws
}

fn others<'a>(scene: &Scene, secrets: &'a [SecretValue]) -> Vec<Throw<'a>> {
    let mut throws = Vec::new();
    let mut throw = |command, secret, place: String| throws.push(Throw { command, secret, place });
    for (at, secret) in secrets.iter().enumerate() {
        let json = at.is_multiple_of(2);
        for variable in OTHERS {
            for words in [COMMANDS[0], COMMANDS[6]] {
                throw(base(scene, words, json).env(variable, &secret.value), secret, format!("{words:?}, {variable}"));
            }
        }
        for (command, argument) in ARGUMENTS {
            let base = base(scene, &[command], json);
            throw(base.clone().args(&[argument, &secret.value]), secret, format!("{command} {argument}"));
            throw(base.arg(&format!("{argument}={}", secret.value)), secret, format!("{command} {argument}="));
        }
        for words in [vec!["run"], vec!["doctor"], vec!["completions"], vec![]] {
            let command = words.iter().fold(BatchExport::new(), |command, word| command.arg(word));
            throw(command.arg(&secret.value), secret, format!("{words:?}, positional"));
        }
        throw(scene.command("run").arg(&format!("--{}", secret.value)), secret, "an unknown flag".to_owned());
        throw(scene.command("run").arg(&format!("--secret={}", secret.value)), secret, "--secret=".to_owned());
        // Bare passwords look like any other word of a reason.
        if secret.name != "a password" {
            let words = ["unlock", "--date", "2026-01-18", "--reason", secret.value.as_str()];
            throw(base(scene, &words, json), secret, "--reason".to_owned());
        }
        let from_file = format!("file:{}", secret.value);
        for variable in ["MONGODB_URI", "BATCH_EXPORT_NOTIFY_URL", "BATCH_EXPORT_PING_URL", "BATCH_EXPORT_DESTINATION"]
        {
            throw(base(scene, &["run"], json).env(variable, &from_file), secret, format!("{variable}=file:"));
        }
    }
    throws
}

#[test]
fn no_secret_leaves_from_any_place_on_the_command_line_or_in_the_environment() {
    let scene = Scene::new();
    let secrets = secrets();
    let throws: Vec<Throw<'_>> = settings(&scene, &secrets).into_iter().chain(others(&scene, &secrets)).collect();
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
