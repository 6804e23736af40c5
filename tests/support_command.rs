//! The runner of the real binary, tried with a shell in its place: what it isolates, and that nothing outlives a test.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use rustix::process::{Signal, test_kill_process};

use crate::support::command::{BatchExport, DEFAULT_NOW};

const LONG: Duration = Duration::from_secs(60);

fn shell(script: &str) -> BatchExport {
    BatchExport::standing_in("/bin/sh").args(&["-c", script])
}

#[test]
fn the_binary_is_there() {
    let help = BatchExport::command("--help").run();
    assert_eq!(help.code, 0, "{}", help.report());
}

#[test]
fn only_what_the_test_says_reaches_the_program() {
    let command = shell("env; printf '%s ' \"$@\"")
        .args(&["name", "run"])
        .date("2026-01-17")
        .destination("file:///nowhere")
        .mongodb("mongodb://nowhere/")
        .env("MORE", "yes");
    let seen = command.run().expect_code(0);
    let names: Vec<&str> = seen.stdout.lines().filter_map(|line| Some(line.split_once('=')?.0)).collect();
    let given = ["BATCH_EXPORT_DESTINATION", "BATCH_EXPORT_NOW", "MONGODB_URI", "MORE", "PATH", "TMPDIR"];
    // What a shell sets by itself.
    let own = ["PWD", "OLDPWD", "SHLVL", "_"];
    assert!(names.iter().all(|name| given.contains(name) || own.contains(name)), "{names:?}");
    assert!(given.iter().all(|name| names.contains(name)), "{names:?}");
    assert!(seen.stdout.contains(DEFAULT_NOW) && seen.stdout.ends_with("run --date 2026-01-17 "), "{}", seen.stdout);
    assert!(command.now("2026-02-01T00:00:00Z").run().stdout.contains("BATCH_EXPORT_NOW=2026-02-01T00:00:00Z"));
}

#[test]
fn the_result_is_read_with_both_outputs_however_long() {
    let result = shell("head -c 300000 /dev/zero | tr '\\0' x >&2; echo '{\"exit_code\": 32}'; exit 32").run();
    assert_eq!((result.code, result.signal, result.stderr.len()), (32, None, 300_000));
    assert_eq!(result.json()["exit_code"], 32);
    let twice = shell("echo '{}'; echo '{}'").run();
    assert!(catch_unwind(AssertUnwindSafe(|| twice.json())).is_err(), "two objects are not one");
}

#[test]
fn signals_reach_the_program_and_a_kill_is_told_from_an_exit() {
    let stopped = shell("trap 'exit 143' TERM; echo > \"$TMPDIR/ready\"; while :; do sleep 0.02; done");
    let mut running = stopped.spawn();
    while stopped.spool_is_empty() {
        std::thread::sleep(Duration::from_millis(5));
    }
    running.signal(Signal::STOP);
    assert!(running.is_running());
    running.signal(Signal::TERM);
    running.signal(Signal::CONT);
    let clean = running.wait(LONG);
    assert_eq!((clean.code, clean.signal), (143, None), "{}", clean.report());
    let killed = shell("exec sleep 60").spawn().kill();
    assert_eq!((killed.code, killed.signal), (137, Some(9)));
}

#[test]
fn a_program_that_hangs_fails_the_test_and_is_gone() {
    let running = shell("echo so far; exec sleep 600").spawn();
    let pid = running.pid();
    let failure = catch_unwind(AssertUnwindSafe(|| running.wait(Duration::from_millis(300)))).err().unwrap();
    let message = failure.downcast_ref::<String>().unwrap();
    assert!(message.contains("so far"), "{message}");
    assert!(test_kill_process(pid).is_err());
    let dropped = shell("exec sleep 600").spawn();
    let pid = dropped.pid();
    drop(dropped);
    assert!(test_kill_process(pid).is_err());
}

#[test]
fn the_spool_folder_is_private_shared_by_clones_and_watched() {
    let (command, other) = (shell("echo > \"$TMPDIR/left\""), shell(":"));
    assert!(command.run().expect_code(0).stdout.is_empty());
    assert!(!command.spool_is_empty() && other.run().spool_is_empty());
    assert!(!command.clone().arg("again").run().spool_is_empty());
    std::fs::remove_file(command.spool_folder().join("left")).unwrap();
    assert!(command.spool_is_empty());
}

#[test]
fn peak_memory_is_the_programs_own_and_not_what_it_ends_with() {
    // This process is larger than the shell, and the shell's own peak is over when it ends.
    let ballast = vec![1_u8; 100 << 20];
    let small = shell(":; sleep 0.1").run();
    let large = shell("x=$(head -c 30000000 /dev/zero | tr '\\0' x); sleep 0.1; x=; sleep 0.1").run();
    assert!((100..20_000).contains(&small.peak_memory_kib), "{}", small.peak_memory_kib);
    assert!(large.peak_memory_kib > 30_000, "{}", large.peak_memory_kib);
    assert_eq!(ballast.last(), Some(&1));
}
