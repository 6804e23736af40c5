//! The set-up of a bare machine: what is missing is found at once, installed by root, and told to anybody else in one line to paste.
//!
//! The machine is a folder of links to the few programs that the script itself uses; `id` and `apt-get` are stand-ins.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::support::command::{BatchExport, Finished};

/// What the script itself uses.
const TOOLS: [&str; 3] = ["sh", "cat", "grep"];

/// A machine with hardly any program.
struct Machine {
    folder: TempDir,
}

impl Machine {
    fn new(user: u32, has_apt: bool) -> Machine {
        let machine = Machine { folder: tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder") };
        for tool in TOOLS {
            if let Some(path) = on_this_machine(tool) {
                symlink(path, machine.path(tool)).expect("a link to a program");
            }
        }
        machine.program("id", &format!("echo {user}"));
        if has_apt {
            machine.program("apt-get", &format!("echo \"$@\" >>'{}'", machine.path("installed").display()));
        }
        machine
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn program(&self, name: &str, script: &str) {
        fs::write(self.path(name), format!("#!/bin/sh\n{script}\n")).expect("a program");
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o755)).expect("an executable file");
    }

    fn needs(&self, group: &str) -> Finished {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/needs.sh");
        let shell = BatchExport::standing_in("/bin/sh").args(&[script, group]);
        shell.env("PATH", &self.folder.path().display().to_string()).run()
    }
}

fn on_this_machine(program: &str) -> Option<PathBuf> {
    let path = std::env::var("PATH").unwrap_or_default();
    let mut folders = path.split(':').chain(["/usr/sbin", "/sbin"]).map(|folder| Path::new(folder).join(program));
    folders.find(|path| path.is_file())
}

#[test]
fn whoever_may_not_install_gets_one_line_to_paste() {
    let finished = Machine::new(1000, true).needs("tests").expect_code(1);
    assert_eq!(finished.stdout, "");
    let line = finished.stderr.strip_suffix('\n').expect("a line");
    assert!(!line.contains('\n'), "more than one line: {line}");
    let (command, missing) = line.split_once("   # missing: ").expect("a comment that says what for");
    assert!(command.starts_with("sudo apt-get update && sudo apt-get install -y --no-install-recommends "), "{line}");
    for (package, what) in
        [("openssh-client", "ssh, scp and ssh-keygen"), ("iproute2", "ip"), ("systemd", "systemd-analyze")]
    {
        assert!(command.split(' ').any(|word| word == package) && missing.contains(what), "{package}: {line}");
    }
}

#[test]
fn root_gets_what_is_missing_and_is_told_before() {
    let machine = Machine::new(0, true);
    let finished = machine.needs("rehearsal").expect_code(0);
    assert_eq!(finished.stdout, "");
    assert!(finished.stderr.starts_with("installing ") && finished.stderr.contains("faketime"), "{}", finished.stderr);
    let calls = fs::read_to_string(machine.path("installed")).expect("calls of apt-get");
    let install = calls.lines().find(|line| line.contains(" install ")).expect("an installation");
    assert!(
        calls.starts_with("update")
            && install.contains("-y --no-install-recommends")
            && install.contains(" cron faketime"),
        "{calls}"
    );
}

#[test]
fn what_is_there_already_costs_no_word() {
    let machine = Machine::new(0, true);
    for program in ["dbus-daemon", "cron", "faketime", "unshare", "nsenter"] {
        machine.program(program, "exit 1");
    }
    let finished = machine.needs("rehearsal").expect_code(0);
    assert_eq!((finished.stdout.as_str(), finished.stderr.as_str()), ("", ""));
    assert!(!machine.path("installed").exists(), "apt-get was called for nothing");
}

#[test]
fn an_installation_that_fails_is_told_with_its_own_words() {
    let machine = Machine::new(0, true);
    machine.program("apt-get", "echo 'E: no network' >&2; exit 100");
    let finished = machine.needs("rehearsal").expect_code(1);
    assert!(finished.stderr.contains("E: no network") && finished.stderr.contains("# failed"), "{}", finished.stderr);
}

#[test]
fn another_system_is_told_what_to_look_for() {
    let finished = Machine::new(1000, false).needs("tests").expect_code(1);
    assert!(
        finished.stderr.starts_with("missing: ") && finished.stderr.contains("openssh-client"),
        "{}",
        finished.stderr
    );
}
