//! File systems that do not answer: a run ends within its limits, its lease with it, and the next one does the day's work.
//!
//! Risk: a stand-in that can be interrupted where the kernel cannot. The library that is loaded before libc puts the thread that calls it
//! to sleep in the kernel: no signal wakes it, and nothing in the program can take that thread back.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use rustix::process::Signal;

use crate::support::command::{BatchExport, told};
use crate::support::day::Day;
use crate::support::seed::{DATE, create_index, seed_day};

/// Long enough for anything on a busy machine.
const PATIENCE: Duration = Duration::from_secs(90);

/// The library, made once by the compiler that building the program needs anyway.
fn library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/frozen/hold.c");
        let made = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("hold-{}.so", std::process::id()));
        let status = Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&made).args([source, "-ldl"]).status();
        assert!(status.expect("cc, a C compiler").success());
        made
    })
}

/// A command for which a folder is frozen.
fn with_frozen(command: BatchExport, folder: &Path) -> BatchExport {
    std::fs::write(folder.join("frozen"), "").expect("the sign that it is frozen");
    let library = library().to_str().expect("a path in UTF-8");
    command.env("LD_PRELOAD", library).env("FROZEN_FOLDER", folder.to_str().expect("a path in UTF-8"))
}

/// Waits until a thread of the program waits for this folder in the kernel.
fn wait_until_held(folder: &Path) {
    while !folder.join("held").exists() {
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn thaw(folder: &Path) {
    std::fs::remove_file(folder.join("frozen")).expect("the sign that it is frozen");
    std::fs::remove_file(folder.join("held")).expect("the sign that somebody waited");
}

/// What the batch document has of the failure; the lease is gone.
fn recorded(day: &Day) -> (String, String) {
    let batch = day.batch();
    assert!(batch.get_datetime("leaseExpiresAt").is_err(), "the lease goes on: {batch}");
    let history = batch.get_array("history").unwrap().last().unwrap().as_document().unwrap().clone();
    (batch.get_str("state").unwrap().to_owned(), history.get_str("class").unwrap().to_owned())
}

#[test]
fn a_frozen_spool_folder_ends_the_generation_at_its_limit() {
    let day = Day::in_directory();
    seed_day(&day.db, DATE, 3);
    let spool = tempfile::tempdir().unwrap();
    let path = spool.path().to_str().unwrap();
    let run = day.run().args(&["--generate-timeout", "1s", "--spool-dir", path]);
    let ended = with_frozen(run, spool.path()).spawn().wait(PATIENCE).expect_code(21).json();
    let told = told(&ended["error"]);
    assert!(told.contains("limit of 1s") && told.contains("a file system does not answer"), "{told}");
    assert_eq!(recorded(&day), ("failed".to_owned(), "generate_timeout".to_owned()));
    thaw(spool.path());
    day.let_time_pass();
    day.retry().run().expect_code(0);
    day.check_converged();
}

#[test]
fn a_frozen_destination_ends_the_upload_at_its_limit() {
    let day = Day::in_directory();
    seed_day(&day.db, DATE, 3);
    let run = day.run().args(&["--upload-timeout", "1s"]);
    let ended = with_frozen(run, day.directory()).spawn().wait(PATIENCE).expect_code(22).json();
    assert!(told(&ended["error"]).contains("a file system does not answer"), "{ended}");
    assert_eq!(recorded(&day), ("failed".to_owned(), "upload_failed".to_owned()));
    thaw(day.directory());
    day.let_time_pass();
    day.retry().run().expect_code(0);
    day.check_converged();
}

#[test]
fn a_signal_ends_a_run_whose_file_system_is_frozen() {
    let day = Day::in_directory();
    seed_day(&day.db, DATE, 3);
    let run = with_frozen(day.run(), day.directory()).spawn();
    wait_until_held(day.directory());
    run.signal(Signal::TERM);
    let ended = run.wait(PATIENCE).expect_code(143).json();
    assert_eq!(ended["outcome"], "interrupted", "{ended}");
    assert_eq!(recorded(&day).0, "failed");
    thaw(day.directory());
    day.retry().run().expect_code(0);
    day.check_converged();
}

#[test]
fn a_second_signal_ends_a_run_whose_file_system_is_frozen_at_once() {
    let day = Day::in_directory();
    seed_day(&day.db, DATE, 3);
    let run = with_frozen(day.run(), day.directory()).spawn();
    wait_until_held(day.directory());
    run.terminate();
    run.signal(Signal::TERM);
    let ended = run.wait(PATIENCE).expect_code(143);
    assert!(ended.stderr.contains("SIGTERM received, ending at once"), "{}", ended.report());
    // As after a crash: nothing was recorded.
    assert_eq!(day.batch().get_str("state").unwrap(), "running");
    thaw(day.directory());
}

#[test]
fn a_signal_ends_a_doctor_whose_directory_is_frozen() {
    let day = Day::in_directory();
    create_index(&day.db);
    let doctor = with_frozen(day.command("doctor"), day.directory()).spawn();
    wait_until_held(day.directory());
    doctor.signal(Signal::TERM);
    assert_eq!(doctor.wait(PATIENCE).expect_code(143).json()["outcome"], "interrupted");
    thaw(day.directory());
}

#[test]
fn a_doctor_tells_a_frozen_directory_from_a_network_that_is_down() {
    let day = Day::in_directory();
    create_index(&day.db);
    let doctor = with_frozen(day.command("doctor"), day.directory()).spawn();
    let result = doctor.wait(PATIENCE).expect_code(34).json();
    let checks = result["checks"].as_array().unwrap();
    let found = checks.iter().find(|check| check["name"] == "probe file").unwrap().to_string();
    assert!(found.contains("the file system does not answer") && !found.contains("Google"), "{found}");
    thaw(day.directory());
}

#[test]
fn a_frozen_folder_of_the_metrics_does_not_hold_a_committed_run() {
    let day = Day::in_directory();
    seed_day(&day.db, DATE, 3);
    let folder = tempfile::tempdir().unwrap();
    let metrics = folder.path().join("batch.prom");
    let run = with_frozen(day.run().args(&["--metrics-file", metrics.to_str().unwrap()]), folder.path());
    let ended = run.spawn().wait(PATIENCE).expect_code(0).json();
    assert_eq!(ended["outcome"], "completed");
    thaw(folder.path());
    day.check_converged();
}

#[test]
fn a_frozen_folder_of_the_metrics_does_not_hold_the_check_and_is_named() {
    let day = Day::in_directory();
    seed_day(&day.db, DATE, 3);
    day.run().run().expect_code(0);
    let folder = tempfile::tempdir().unwrap();
    let metrics = folder.path().join("batch.prom");
    let check = day.command("status").now("2026-01-18T18:30:00+07:00");
    let check = with_frozen(check.args(&["--check", "--metrics-file", metrics.to_str().unwrap()]), folder.path());
    let ended = check.spawn().wait(PATIENCE).expect_code(0);
    assert!(ended.stderr.contains(&format!("maybe that of {}", metrics.display())), "{}", ended.report());
    thaw(folder.path());
}

#[test]
fn the_lease_of_a_run_that_waits_in_the_kernel_is_not_renewed_after_a_signal() {
    let day = Day::in_directory();
    seed_day(&day.db, DATE, 3);
    let run = with_frozen(day.run().args(&["--lease", "3s"]), day.directory()).spawn();
    wait_until_held(day.directory());
    run.terminate();
    // What was under way at the signal has arrived; two renewals later the run still waits.
    std::thread::sleep(Duration::from_millis(800));
    let lease = || day.batch().get_datetime("leaseExpiresAt").ok().copied();
    let at_signal = lease();
    std::thread::sleep(Duration::from_millis(2200));
    // Without a lease the run has ended meanwhile.
    assert!(lease().is_none_or(|later| Some(later) == at_signal), "renewed: {at_signal:?}, {:?}", lease());
    run.wait(PATIENCE).expect_code(143);
    thaw(day.directory());
}
