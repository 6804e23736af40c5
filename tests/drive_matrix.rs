//! The matrix: each operation on Drive x each fault x each moment, through the real binary.
//!
//! Every cell ends in one of two ways. Either exactly one live file has the right bytes and the result says so; or the run ends with
//! the code that fits, the rows stay queued, and once the fault is gone `retry` comes to the state of an undisturbed run. Whatever
//! happens, no secret is told, at the highest verbosity either, and Drive is not asked more often than a person would expect.

mod credentials;
mod earlier;
mod requests;
mod secrets;
mod sending;
mod silence;
mod voided;

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;

use crate::support::command::{BatchExport, Finished, told};
use crate::support::day::{BATCH, BATCHES, Day, FILE};
use crate::support::fake_drive::{Answer, Fault, On, Operation};
use crate::support::seed::{DATE, Entry, seed};

/// The smallest chunk that Google accepts; the commands below send nothing larger.
pub const CHUNK_BYTES: u64 = 256 * 1024;
/// Enough entries, with descriptions long enough, for three chunks.
const ENTRIES: u32 = 60;
const DESCRIPTION_BYTES: usize = 10_000;
/// Requests of an undisturbed run: token, the name in the folder, id, start, three chunks, the seal.
pub const QUIET: usize = 8;
/// A first try and five more: where patience ends.
pub const TRIES: usize = 6;
/// Cells of one table at a time. Most of a cell is waiting for another process.
const AT_A_TIME: usize = 4;

/// What a cell must come to.
#[derive(Clone, Copy)]
pub enum End {
    /// The file is there, from this run.
    Landed,
    /// The file is there; only its answer had been lost.
    Adopted,
    /// A first file was given up, and a second one is there.
    Replaced,
    /// Code 22 with these words.
    Failed(&'static str),
    /// Code 31 with these words.
    Rejected(&'static str),
}

pub use End::{Adopted, Failed, Landed, Rejected, Replaced};

/// One cell of the matrix.
pub struct Cell {
    name: &'static str,
    faults: Vec<(On, Fault)>,
    end: End,
    /// The most requests of the first run, of all operations together.
    requests: usize,
    variables: Vec<(&'static str, &'static str)>,
    prepare: fn(&Day),
}

impl Cell {
    pub fn new(name: &'static str, faults: impl Into<Vec<(On, Fault)>>, end: End, requests: usize) -> Cell {
        Cell { name, faults: faults.into(), end, requests, variables: Vec::new(), prepare: |_| {} }
    }

    /// With one more setting of the command.
    pub fn with(mut self, variable: &'static str, value: &'static str) -> Cell {
        self.variables.push((variable, value));
        self
    }

    /// Does something to the fake first.
    pub fn after(mut self, prepare: fn(&Day)) -> Cell {
        self.prepare = prepare;
        self
    }

    fn command(&self, command: BatchExport) -> BatchExport {
        self.variables.iter().fold(outspoken(command), |command, (name, value)| command.env(name, value))
    }

    fn run(&self) {
        let day = day_of_three_chunks();
        (self.prepare)(&day);
        for (on, fault) in &self.faults {
            day.drive().plan(on.clone(), fault.clone());
        }
        let before = day.drive().journal().len();
        let ended = self.command(day.run()).run();
        // Without the list of the newest files, which number 1 costs.
        let journal = day.drive().journal();
        let requests = journal[before..].iter().filter(|request| !request.target.contains("orderBy")).count();
        assert!(requests <= self.requests, "{requests} requests: {}", ended.report());
        day.drive().assert_all_faults_fired();
        check_no_secret(&day, &ended);
        match self.end {
            Landed | Adopted | Replaced => self.check_success(&day, ended),
            Failed(words) => self.check_failure(&day, ended, 22, words),
            Rejected(words) => self.check_failure(&day, ended, 31, words),
        }
    }

    fn check_success(&self, day: &Day, ended: Finished) {
        let ended = ended.expect_code(0);
        check_result(day, &ended.json(), matches!(self.end, Adopted));
        let voided = day.batch().get_array("voided").map_or(0, Vec::len);
        assert_eq!(voided, usize::from(matches!(self.end, Replaced)), "{}", day.batch());
        assert!(ended.spool_is_empty());
    }

    fn check_failure(&self, day: &Day, ended: Finished, code: i32, words: &str) {
        let ended = ended.expect_code(code);
        check_failed(day, &ended, words);
        day.drive().cure();
        day.let_time_pass();
        let retried = self.command(day.retry()).run().expect_code(0);
        check_no_secret(day, &retried);
        let result = &retried.json()["batches"][0];
        check_result(day, result, result["adopted"] == true);
    }
}

/// Runs a table, a few cells at a time, and names every cell that went wrong.
pub fn check(cells: Vec<Cell>) {
    let next = AtomicUsize::new(0);
    let wrong = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(|| {
                while let Some(cell) = cells.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| cell.run())).is_err() {
                        wrong.lock().expect("no panic while it is held").push(cell.name);
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().expect("no panic while it was held");
    assert!(wrong.is_empty(), "{} of {} cells went wrong, see above: {wrong:#?}", wrong.len(), cells.len());
}

/// A day whose file takes three chunks.
pub fn day_of_three_chunks() -> Day {
    let day = Day::on_drive();
    let long = "รายการ ledger ".repeat(DESCRIPTION_BYTES / "รายการ ledger ".len());
    let entries: Vec<Entry> =
        (0..ENTRIES).map(|number| Entry::numbered(DATE, number).set("description", long.as_str())).collect();
    seed(&day.db, &entries);
    day
}

/// A command that sends small chunks and logs all that it can.
pub fn outspoken(command: BatchExport) -> BatchExport {
    command.env("BATCH_EXPORT_DRIVE_CHUNK", &CHUNK_BYTES.to_string()).env("BATCH_EXPORT_LOG_FORMAT", "json").arg("-vv")
}

/// One live file with the right bytes, and the result says so.
#[track_caller]
pub fn check_result(day: &Day, result: &Value, adopted: bool) {
    assert_eq!((&result["outcome"], &result["exit_code"]), (&"completed".into(), &0.into()), "{result}");
    assert_eq!(result["adopted"], adopted, "{result}");
    assert!(result["error"].is_null(), "{result}");
    day.check_converged();
    let live = day.drive().live(FILE);
    assert_eq!(live.len(), 1, "{live:?}");
    assert_eq!(result["file"]["id"], *live[0].id, "{result}");
    assert_eq!(result["sha256"], *live[0].sha256, "{result}");
    assert_eq!(result["bytes"], live[0].bytes.len(), "{result}");
    assert!(result["file"]["link"].as_str().is_some_and(|link| link.contains(&live[0].id)), "{result}");
    assert_eq!(day.rows_with_status("queued"), 0);
}

/// No success, nothing marked, and a message that says what to do; a code that `retry` follows says when.
#[track_caller]
pub fn check_failed(day: &Day, ended: &Finished, words: &str) {
    let result = ended.json();
    let message = told(&result["error"]);
    assert!(message.contains(words), "{}", ended.report());
    assert_eq!(result["error"]["stage"], "upload", "{result}");
    assert!(result["next_retry_at"].is_string(), "{result}");
    assert_eq!(day.rows_with_status("completed"), 0);
    assert!(day.drive().live(FILE).len() <= 1, "two live files");
    assert!(ended.spool_is_empty());
    day.check_guarantees();
}

/// Nothing secret in what a command said, nor in what it stored.
#[track_caller]
pub fn check_no_secret(day: &Day, ended: &Finished) {
    let stored = format!("{:?} {:?}", day.db.find_one(BATCHES, mongodb::bson::doc! { "_id": BATCH }), day.log());
    for secret in day.drive().secrets() {
        for (place, text) in [("stdout", &ended.stdout), ("stderr", &ended.stderr), ("the documents", &stored)] {
            assert!(!text.contains(&secret), "a secret ({secret}) in {place}: {}", ended.report());
        }
    }
}

pub fn first(operation: Operation) -> On {
    On::nth(operation, 1)
}

pub fn twice(operation: Operation) -> On {
    On::every(operation).times(2)
}

pub fn answer(status: u16, reason: &str) -> Fault {
    Fault::answer(Answer::error(status, reason))
}

pub fn html(status: u16) -> Fault {
    Fault::answer(Answer::html(status))
}
