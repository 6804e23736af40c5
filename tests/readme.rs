//! The README against the program: its tables come from the exit-code enum and from the help, its commands exist.
//!
//! A table that is wrong is shown as it should be, to be copied.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use batch_export::exit::Exit;

use crate::support::command::BatchExport;

const README: &str = include_str!("../README.md");

#[test]
fn the_exit_codes_of_the_readme_are_those_of_the_program() {
    let mut expected = "| code | name | meaning | what happens next |\n|---|---|---|---|\n".to_owned();
    for exit in Exit::ALL {
        let _ = writeln!(
            expected,
            "| {} | {} | {} | {} |",
            exit.code(),
            exit.name(),
            exit.meaning(),
            what_happens_next(exit)
        );
    }
    assert!(README.contains(&expected), "README.md should have this table:\n{expected}");
}

/// What happens next, or who has to act, in a few words.
pub fn what_happens_next(exit: Exit) -> &'static str {
    match exit {
        Exit::Ok => "nothing",
        Exit::Unexpected => "look at the log",
        Exit::Usage => "fix it",
        Exit::LockHeld | Exit::NotDue => "wait",
        Exit::DatabaseUnavailable | Exit::GenerateTimeout | Exit::UploadFailed | Exit::CommitConflict => "`retry`",
        Exit::CommitUnknown => "`retry` finds out",
        Exit::LeaseLost => "nothing: the other one, or `retry`, goes on",
        Exit::Configuration | Exit::Exhausted | Exit::CheckFailed => "an operator",
        Exit::DriveRejected => "an operator; `retry` goes on meanwhile",
        Exit::InvalidEntries => "an operator; `retry` goes on once they are corrected",
        Exit::InterruptedInt | Exit::InterruptedTerm => "`retry`",
    }
}

#[test]
fn the_settings_of_the_readme_are_those_of_the_program() {
    let mut expected = "| flag | environment | default | what it is |\n|---|---|---|---|\n".to_owned();
    for setting in settings(&help("run")) {
        let or_none = |text: &Option<String>| text.as_ref().map_or("-".to_owned(), |text| format!("`{text}`"));
        let Setting { flag, environment, default, about } = &setting;
        let _ = writeln!(expected, "| `{flag}` | {} | {} | {about} |", or_none(environment), or_none(default));
    }
    assert!(README.contains(&expected), "README.md should have this table:\n{expected}");
}

#[test]
fn the_runbook_has_a_row_for_every_exit_code() {
    let (_, runbook) = README.split_once("\n## Runbook\n").expect("a runbook");
    for exit in Exit::ALL {
        let row = format!("\n| {} | {} | ", exit.code(), exit.name());
        assert!(runbook.contains(&row), "the runbook has no row for {} {}", exit.code(), exit.name());
    }
}

#[test]
fn the_readme_says_what_each_finding_of_verify_asks_for() {
    let schema: serde_json::Value = serde_json::from_str(include_str!("../examples/schema/verify.json")).unwrap();
    let kinds = schema["$defs"]["ProblemKind"].to_string();
    let named: Vec<&str> = kinds.split("\"const\":\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert!(named.len() >= 16, "{kinds}");
    for kind in named {
        assert!(README.contains(&format!("\n| {kind} | ")), "README.md does not tell what {kind} means");
    }
}

#[test]
fn every_command_of_the_readme_exists_with_its_flags() {
    let mut seen = BTreeSet::new();
    for line in command_lines(README) {
        let words: Vec<&str> = line.split_whitespace().skip(1).collect();
        let Some((command, rest)) = words.split_first() else { continue };
        if !command.starts_with('-') {
            // Those for packagers are not listed in the help, so the command itself is asked.
            let known = BatchExport::command(command).arg("--help").run().code == 0;
            assert!(known, "README.md shows {line:?}, and there is no command {command:?}");
            seen.insert((*command).to_owned());
        }
        let flags = words_of_help(if command.starts_with('-') { "" } else { command });
        for flag in rest.iter().chain([command]).filter(|word| word.starts_with('-')) {
            let flag = flag.split('=').next().unwrap_or_default();
            assert!(flags.contains(flag), "README.md shows {line:?}, and {command} has no {flag}");
        }
    }
    assert!(seen.contains("run") && seen.contains("retry"), "the README shows no command at all: {seen:?}");
}

#[test]
fn every_file_that_the_readme_names_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let named =
        README.split(|c: char| c.is_whitespace() || "`()[],;:|".contains(c)).map(|word| word.trim_end_matches('.'));
    let files: BTreeSet<&str> = named
        .filter(|word| word.starts_with("examples/") || word.starts_with("src/") || word.starts_with("tests/"))
        .collect();
    assert!(files.contains("examples/quickstart.sh"));
    for file in files {
        assert!(exists(&root.join(file)), "README.md names {file}, which does not exist");
    }
}

/// Also of a pattern such as `*.service`, of which the folder has to have something.
fn exists(path: &Path) -> bool {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str())) else {
        return false;
    };
    let Some(end) = name.strip_prefix('*') else { return path.exists() };
    fs::read_dir(folder).is_ok_and(|mut files| {
        files.any(|file| file.is_ok_and(|file| file.file_name().to_string_lossy().ends_with(end)))
    })
}

/// A setting as the help describes it.
struct Setting {
    flag: String,
    environment: Option<String>,
    default: Option<String>,
    about: String,
}

/// The settings in the help of a command, which has a line for the flag and then lines for what it is. Options of that command alone have
/// no variable; of the others only --verbose and --quiet have none.
fn settings(help: &str) -> Vec<Setting> {
    let (_, options) = help.split_once("\nOptions:\n").expect("options in the help");
    let (options, _) = options.split_once("\nEXIT STATUS:").expect("the exit status after the options");
    let mut settings: Vec<Setting> = Vec::new();
    let mut listed = Vec::new();
    for line in options.lines().filter(|line| line.starts_with("    ")) {
        match line.split_whitespace().find(|word| word.starts_with("--")).filter(|_| !line.starts_with("          ")) {
            Some(flag) => listed.push((flag.split(['[', '.']).next().unwrap_or_default().to_owned(), String::new())),
            None => {
                let (_, text) = listed.last_mut().expect("a flag before its description");
                let separator = if text.is_empty() { "" } else { " " };
                let _ = write!(text, "{separator}{}", line.trim());
            }
        }
    }
    // The general options come first in the help, and last in the table.
    let (general, grouped): (Vec<_>, Vec<_>) = listed
        .into_iter()
        .partition(|(flag, _)| ["--output", "--log-format", "--verbose", "--quiet"].contains(&&**flag));
    for (flag, text) in grouped.into_iter().chain(general) {
        let bracketed = |name: &str| {
            let (_, rest) = text.split_once(&format!("[{name}: "))?;
            Some(rest.split(']').next().unwrap_or_default().to_owned())
        };
        let (environment, default) = (bracketed("env"), bracketed("default"));
        if environment.is_some() || ["--verbose", "--quiet"].contains(&&*flag) {
            let about = text.split(" [").next().unwrap_or_default().to_owned();
            settings.push(Setting { flag, environment, default, about });
        }
    }
    settings
}

/// The help of a command, or of the program.
fn help(command: &str) -> String {
    let program = if command.is_empty() { BatchExport::new() } else { BatchExport::command(command) };
    program.arg("--help").run().expect_code(0).stdout
}

/// The commands and flags that a help text lists.
fn words_of_help(command: &str) -> BTreeSet<String> {
    let listed = |line: &str| -> Vec<String> {
        let words = line.split_whitespace().take(2).map(|word| word.trim_end_matches([',', '.']).to_owned());
        if line.starts_with("  ") { words.collect() } else { Vec::new() }
    };
    help(command).lines().flat_map(listed).collect()
}

/// The lines of the README's shell blocks that start the program, with what a shell would join.
fn command_lines(readme: &str) -> Vec<String> {
    let mut lines = Vec::new();
    for block in readme.split("```").skip(1).step_by(2).filter(|block| block.starts_with("sh\n")) {
        let block = block.replace("\\\n", " ");
        let commands = block.lines().map(|line| line.split(" #").next().unwrap_or_default().trim().to_owned());
        lines.extend(commands.filter(|line| line.starts_with("batch-export ")));
    }
    lines
}
