//! `batch-export completions`: scripts that name the commands and need no setting.

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
    let checked = std::process::Command::new("bash").args(["-n", "-c", &script]).status().expect("bash");
    assert!(checked.success());
}
