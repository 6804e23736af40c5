//! A log or a result that nobody takes: a collector that hangs, a supervisor or a pager that was stopped.
//!
//! Risk: a pipe that still has room, so that nothing is put to the test. So each one is filled to its last byte before the command begins.

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat};
use rustix::process::Signal;
use tempfile::TempDir;

use crate::support::command::{BatchExport, Running};
use crate::support::day::Day;
use crate::support::mongod::Mongod;
use crate::support::proxy::{On, Proxy};
use crate::support::seed::{DATE, ENTRIES, seed_day};

const PATIENCE: Duration = Duration::from_secs(60);

/// A pipe without room for one more byte.
struct Full {
    path: PathBuf,
    both_ends: OwnedFd,
    _folder: TempDir,
}

impl Full {
    fn new() -> Full {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("full");
        mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("a FIFO");
        let both_ends = rustix::fs::open(&path, OFlags::RDWR | OFlags::NONBLOCK, Mode::empty()).expect("both ends");
        for piece in [&[b'x'; 4096][..], b"x"] {
            while rustix::io::write(&both_ends, piece).is_ok() {}
        }
        Full { path, both_ends, _folder: folder }
    }

    /// Starts a command with its stderr (`2>`) or stdout (`>`) here.
    fn start(&self, command: BatchExport, arguments: &str, stream: &str) -> Running {
        let line = format!("exec {} {arguments} {stream}{}", env!("CARGO_BIN_EXE_batch-export"), self.path.display());
        command.in_place_of_the_binary("sh", &["-c", &line]).spawn()
    }

    /// Takes what is in the pipe: the program's words follow what filled it.
    fn take(&self) -> String {
        let (mut taken, mut piece) = (Vec::new(), [0; 4096]);
        while let Ok(count @ 1..) = rustix::io::read(&self.both_ends, &mut piece) {
            taken.extend_from_slice(&piece[..count]);
        }
        String::from_utf8(taken).expect("UTF-8")
    }
}

fn outcome(day: &Day) -> (String, i32) {
    let batch = day.batch();
    (batch.get_str("state").unwrap().to_owned(), batch.get_i32("attempt").unwrap())
}

#[test]
fn a_run_whose_log_nobody_reads_does_the_day_s_work() {
    let day = Day::in_directory();
    seed_day(&day.db, DATE, 3);
    let full = Full::new();
    let ended = full.start(day.command("run"), &format!("run --date {DATE} -vv"), "2>").wait(PATIENCE).expect_code(0);
    assert!(ended.stdout.contains("\"completed\""), "{}", ended.stdout);
    day.check_converged();
}

#[test]
fn the_limit_of_a_stage_holds_though_nobody_reads_the_log() {
    let proxy = Proxy::before(Mongod::shared());
    let day = Day::in_directory().through(&proxy);
    seed_day(&day.db, DATE, 3);
    let full = Full::new();
    let _held = proxy.hold(On::command("find").collection(ENTRIES));
    let line = format!("run --date {DATE} --generate-timeout 2s -vv");
    let ended = full.start(day.command("run"), &line, "2>").wait(PATIENCE).expect_code(21);
    assert!(ended.stdout.contains("generate_timeout"), "{}", ended.stdout);
    assert_eq!(outcome(&day), ("failed".to_owned(), 1));
    let last = day.batch().get_array("history").unwrap().last().cloned().unwrap();
    assert_eq!(last.as_document().unwrap().get_str("class").unwrap(), "generate_timeout");
}

#[test]
fn a_signal_is_recorded_though_nobody_reads_the_log() {
    let proxy = Proxy::before(Mongod::shared());
    let day = Day::in_directory().through(&proxy);
    seed_day(&day.db, DATE, 3);
    let full = Full::new();
    let held = proxy.hold(On::command("find").collection(ENTRIES));
    let run = full.start(day.command("run"), &format!("run --date {DATE} -vv"), "2>");
    held.wait_until_reached(PATIENCE);
    run.signal(Signal::TERM);
    let ended = run.wait(PATIENCE).expect_code(143);
    assert!(ended.stdout.contains("\"interrupted\""), "{}", ended.stdout);
    assert_eq!(outcome(&day), ("failed".to_owned(), 1));
    held.release();
    day.retry().run().expect_code(0);
    assert_eq!(day.batch().get_i32("attempt").unwrap(), 1, "an interruption costs no attempt");
    day.check_converged();
}

#[test]
fn a_second_signal_ends_a_commit_though_nobody_reads_the_log() {
    let proxy = Proxy::before(Mongod::shared());
    let day = Day::in_directory().through(&proxy);
    seed_day(&day.db, DATE, 3);
    let full = Full::new();
    let held = proxy.hold(On::command("commitTransaction"));
    let mut run = full.start(day.command("run"), &format!("run --date {DATE} -vv"), "2>");
    held.wait_until_reached(PATIENCE);
    // Nothing tells when it has received the first one, and those that came before that count as one.
    let end = Instant::now() + PATIENCE;
    while run.is_running() {
        assert!(Instant::now() < end, "it takes no notice");
        run.signal(Signal::TERM);
        std::thread::sleep(Duration::from_millis(50));
    }
    run.wait(PATIENCE).expect_code(143);
    held.release();
}

/// The words of each line, without its time and without what differs from run to run.
fn words(log: &str) -> Vec<String> {
    let of_line = |line: &str| line.split(' ').skip(1).filter(|word| !word.contains('=')).collect::<Vec<_>>().join(" ");
    log.lines().map(of_line).collect()
}

#[test]
fn a_log_that_is_read_late_is_whole_and_in_order() {
    let (other, day) = (Day::in_directory(), Day::in_directory());
    seed_day(&other.db, DATE, 3);
    seed_day(&day.db, DATE, 3);
    let in_time = other.run().arg("-v").run().expect_code(0).stderr;
    let full = Full::new();
    let mut run = full.start(day.command("run"), &format!("run --date {DATE} -v"), "2>");
    // Stopped for longer than a run takes, and read before its last lines are given up.
    std::thread::sleep(Duration::from_millis(500));
    let mut late = full.take();
    while run.is_running() {
        late.push_str(&full.take());
        std::thread::sleep(Duration::from_millis(10));
    }
    run.wait(PATIENCE).expect_code(0);
    late.push_str(&full.take());
    assert!(in_time.contains("acquired") && in_time.lines().count() > 5, "{in_time}");
    assert_eq!(words(late.trim_start_matches('x')), words(&in_time));
}

#[test]
fn a_result_that_nobody_takes_does_not_hold_the_command_for_ever() {
    let day = Day::in_directory();
    seed_day(&day.db, DATE, 3);
    let full = Full::new();
    let ended = full.start(day.command("run"), &format!("run --date {DATE}"), ">").wait(3 * PATIENCE).expect_code(0);
    assert!(ended.stderr.contains("nobody reads stdout"), "{}", ended.stderr);
    day.check_converged();
}

/// A list that was cut short would pass for a whole one.
#[test]
fn a_result_that_finds_no_room_is_an_error_in_the_log() {
    let day = Day::in_directory();
    seed_day(&day.db, DATE, 3);
    day.run().run().expect_code(0);
    for arguments in ["status", "corrections --output csv", "layout show journal"] {
        let line = format!("exec {} {arguments} >/dev/full", env!("CARGO_BIN_EXE_batch-export"));
        let ended = day.command("status").in_place_of_the_binary("sh", &["-c", &line]).run().expect_code(0);
        assert_eq!(ended.stderr.matches("the result was not printed to its end").count(), 1, "{}", ended.stderr);
    }
}

#[test]
fn a_signal_ends_a_command_whose_words_nobody_reads() {
    let day = Day::in_directory();
    seed_day(&day.db, DATE, 3);
    let full = Full::new();
    // The last one is refused at once, the one before when the signal comes.
    let waiting = "status --mongodb-uri 'mongodb://127.0.0.1:1/x?replicaSet=x'";
    let refused = "status --timezone Nowhere/X";
    let commands = ["status", waiting, refused].map(|line| full.start(day.command("status"), line, ">"));
    std::thread::sleep(Duration::from_secs(3));
    commands.iter().for_each(|command| command.signal(Signal::TERM));
    for command in commands {
        command.wait(PATIENCE).expect_code(143);
    }
}

/// After the commit, 143 would say that `retry` has work to do.
#[test]
fn a_signal_while_nobody_takes_the_result_leaves_the_code_of_the_work() {
    let day = Day::in_directory();
    seed_day(&day.db, DATE, 3);
    let full = Full::new();
    let run = full.start(day.command("run"), &format!("run --date {DATE}"), ">");
    while day.rows_with_status("completed") < 3 {
        std::thread::sleep(Duration::from_millis(50));
    }
    std::thread::sleep(Duration::from_secs(2));
    run.signal(Signal::TERM);
    let ended = run.wait(PATIENCE).expect_code(0);
    assert!(ended.stderr.contains("the work did not end") || ended.stderr.contains("nobody reads"), "{}", ended.stderr);
    day.check_converged();
}
