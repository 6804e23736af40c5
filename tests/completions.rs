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
}

#[test]
fn bash_accepts_its_script() {
    let script = BatchExport::command("completions").arg("bash").run().expect_code(0).stdout;
    let file = tempfile::NamedTempFile::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    std::fs::write(file.path(), script).unwrap();
    let checked = std::process::Command::new("bash").arg("-n").arg(file.path()).status().expect("bash");
    assert!(checked.success());
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
