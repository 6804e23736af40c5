//! `batch-export completions` and `man` are for packagers: they need no setting, and work with wrong ones too.

use crate::support::command::BatchExport;

#[test]
fn a_script_names_the_commands_of_the_program() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = BatchExport::command("completions").arg(shell).run().expect_code(0).stdout;
        for name in ["unlock", "retry-delays", "backfill"] {
            assert!(script.contains(name), "{shell} has no {name}");
        }
    }
    BatchExport::command("completions").arg("tcsh").run().expect_code(2);
    let script = BatchExport::command("completions").args(&["bash", "--output", "json"]).run().expect_code(0).stdout;
    assert!(script.contains("complete "), "{script}");
}

/// What an interactive bash offers for the last of these words.
fn offered(words: &str) -> Vec<String> {
    let script = BatchExport::command("completions").arg("bash").run().expect_code(0).stdout;
    let last = if words.ends_with(' ') { "''" } else { "" };
    // As bash calls the function: with the program, the word that is completed, and the one before it.
    let asked = format!(
        r#"{script}
        COMP_WORDS=({words}{last})
        COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
        registered=($(complete -p batch-export))
        for i in "${{!registered[@]}}"; do [ "${{registered[i]}}" != -F ] || function=${{registered[i + 1]}}; done
        "$function" batch-export "${{COMP_WORDS[COMP_CWORD]}}" "${{COMP_WORDS[COMP_CWORD - 1]}}"
        printf '%s\n' "${{COMPREPLY[@]}}""#
    );
    let answer = std::process::Command::new("bash").args(["--norc", "-uc", &asked]).output().expect("bash");
    // Nobody completes anything in a script, so bash knows no options of a completion there.
    let said = String::from_utf8_lossy(&answer.stderr).into_owned();
    assert!(said.lines().all(|line| line.contains("compopt: ")), "{words}: {said}");
    String::from_utf8(answer.stdout).expect("UTF-8").lines().map(str::to_owned).collect()
}

#[test]
fn bash_completes_commands_and_flags() {
    for (words, expected) in [
        ("batch-export corr", &["corrections"][..]),
        ("batch-export run --inv", &["--invalid"]),
        ("batch-export --quiet run --inv", &["--invalid"]),
        ("batch-export status --c", &["--cutoff", "--check"]),
        ("batch-export status --check --gr", &["--grace"]),
        ("batch-export layout s", &["show"]),
    ] {
        let mut found = offered(words);
        let mut expected: Vec<String> = expected.iter().map(|word| (*word).to_owned()).collect();
        found.sort();
        expected.sort();
        assert_eq!(found, expected, "{words}");
    }
    let of_layout = offered("batch-export layout ");
    for action in ["list", "show", "check"] {
        assert!(of_layout.iter().any(|word| word == action), "{of_layout:?}");
    }
}

#[test]
fn bash_completes_the_values_of_settings() {
    for (words, expected) in [
        ("batch-export run --invalid ", &["fail", "hold"][..]),
        ("batch-export run --encoding u", &["utf-8", "utf-8-bom"]),
        ("batch-export run --output j", &["json"]),
        ("batch-export run --format ", &["journal", "express"]),
        ("batch-export run --drive-lock o", &["on", "off"]),
        ("batch-export doctor --notify-kind t", &["text", "teams", "telegram"]),
        ("batch-export layout show j", &["journal"]),
    ] {
        assert_eq!(offered(words), expected, "{words}");
    }
}

#[test]
fn no_shell_offers_what_the_help_hides() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = BatchExport::command("completions").arg(shell).run().expect_code(0).stdout;
        assert!(!script.contains("client-now"), "{shell} offers the clock of tests");
    }
    // `unlock` reads no setting of the destination.
    assert_eq!(offered("batch-export unlock --dest"), [""]);
    assert_eq!(offered("batch-export unlock --mongo"), ["--mongodb-uri"]);
}

#[test]
fn no_setting_however_wrong_stands_in_the_way_of_a_packager() {
    let wrong = [
        ("MONGODB_URI", "postgres://nobody"),
        ("BATCH_EXPORT_DESTINATION", "nowhere"),
        ("BATCH_EXPORT_LEASE", "never"),
        ("BATCH_EXPORT_OUTPUT", "xml"),
        ("BATCH_EXPORT_LOG_FORMAT", "xml"),
        ("BATCH_EXPORT_REQUIRE_BALANCED", "perhaps"),
        ("BATCH_EXPORT_NOW", "yesterday"),
    ];
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let dir = folder.path().display().to_string();
    for words in [&["completions", "bash"][..], &["man"], &["man", &dir], &["--quiet", "man"]] {
        let with = |command: BatchExport, (name, value): &(&str, &str)| command.env(name, value);
        let finished = wrong.iter().fold(BatchExport::new().args(words), with).run().expect_code(0);
        let plain = BatchExport::new().args(words).run().expect_code(0);
        assert_eq!(finished.stdout, plain.stdout, "it depends on the environment");
        assert_eq!(finished.stderr, "");
    }
    // Every one of them is wrong indeed, and others are told so.
    for (name, value) in wrong {
        let code = BatchExport::command("run").env(name, value).run().code;
        assert!(matches!(code, 2 | 30), "run took {name}={value}: {code}");
    }
}
