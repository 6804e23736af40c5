//! The matrix: stop point x what happens there x what follows, each cell with a database and a Drive of its own.
//!
//! Every point of a plain batch meets every kind of failure; a batch that is marked in steps meets them in turn, and so
//! do the reruns. After each cell the guarantees are checked at once, and after recovery that nothing is left over and
//! every entry is in the files as if nothing had happened.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::PATIENCE;
use super::points::{Point, Undisturbed, lines};
use crate::support::command::{BatchExport, Finished};
use crate::support::day::Day;
use crate::support::mongod::Mongod;
use crate::support::proxy::Proxy;
use crate::support::seed::{DATE, seed_day};

/// The day after [`DATE`], and a time after its cut-off.
const NEXT_DATE: &str = "2026-01-19";
const NEXT_NOW: &str = "2026-01-19T18:00:05+07:00";
/// Cells at a time.
const WORKERS: usize = 6;
/// Rows of a batch.
const ROWS: u32 = 7;
/// The least cells of each world. A marking has some more or fewer commands, by how its two pieces in flight take turns.
const PLAIN_CELLS: usize = 480;
const STEPS_CELLS: usize = 265;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// SIGKILL; a message that was under way is lost.
    Kill,
    /// SIGKILL; a message that was under way arrives all the same.
    KillLate,
    /// SIGTERM; the message is answered a moment later.
    Term,
    /// SIGSTOP until the lease has run out and what follows took over, then SIGCONT.
    Pause,
    /// An error is the answer.
    Refuse,
    /// The connection breaks.
    Cut,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Follow {
    Retry,
    Run,
    TwoRetries,
    /// A run for the next date, which also has rows of its own.
    NextDate,
}

const KINDS: [Kind; 6] = [Kind::Kill, Kind::KillLate, Kind::Term, Kind::Pause, Kind::Refuse, Kind::Cut];

/// What a cell works on.
struct World {
    name: &'static str,
    arguments: &'static [&'static str],
    follows: &'static [Follow],
    with_next_date: bool,
    /// A point meets every n-th of the kinds, in turns.
    every: usize,
}

/// One batch, committed in one transaction.
const PLAIN: World = World {
    name: "plain",
    arguments: &[],
    follows: &[Follow::Retry, Follow::Run, Follow::TwoRetries],
    with_next_date: false,
    every: 1,
};
/// A batch that is marked in three steps.
const STEPS: World = World {
    name: "steps",
    arguments: &["--transaction-rows", "3"],
    follows: &[Follow::NextDate, Follow::Retry, Follow::Run, Follow::NextDate, Follow::TwoRetries],
    with_next_date: true,
    every: 2,
};

struct Cell<'a> {
    world: &'static World,
    point: &'a Point,
    kind: Kind,
    follow: Follow,
}

impl World {
    fn day(&self) -> Day {
        let day = Day::on_drive();
        seed_day(&day.db, DATE, ROWS);
        if self.with_next_date {
            seed_day(&day.db, NEXT_DATE, 4);
        }
        day
    }

    /// The files as they are without any trouble: their lines.
    fn undisturbed(&self) -> Undisturbed {
        let day = self.day();
        let mut undisturbed = Undisturbed::pass(&day, self.arguments);
        if self.with_next_date {
            next_date(&day).args(self.arguments).run().expect_code(0);
            undisturbed.lines = lines(&day);
        }
        undisturbed
    }

    /// Every point with the kinds of the world; what follows takes turns, so that neighbours differ.
    fn cells<'a>(&'static self, points: &'a [Point]) -> Vec<Cell<'a>> {
        let mut cells = Vec::new();
        for (row, point) in points.iter().enumerate() {
            for (column, kind) in KINDS.into_iter().enumerate() {
                // After its effect a message cannot arrive late.
                let possible = kind != Kind::KillLate || !point.after;
                if possible && (row / 2 + row + column) % self.every == 0 {
                    let follow = self.follows[(row + column) % self.follows.len()];
                    cells.push(Cell { world: self, point, kind, follow });
                }
            }
        }
        cells
    }
}

#[test]
fn whatever_happens_at_any_message_of_a_pass_the_day_converges() {
    let undisturbed = PLAIN.undisturbed();
    play_all(&PLAIN.cells(&undisturbed.points), PLAIN_CELLS, &undisturbed);
}

#[test]
fn whatever_happens_at_any_command_of_a_marking_the_day_converges() {
    let undisturbed = STEPS.undisturbed();
    // Before the row list is stored it is the pass of the other table.
    let list = |point: &Point| format!("{point:?}").contains("exportbatchrows");
    let first = undisturbed.points.iter().position(list).expect("a row list");
    let commands: Vec<Point> = undisturbed.points[first..].iter().filter(|point| point.is_command()).cloned().collect();
    play_all(&STEPS.cells(&commands), STEPS_CELLS, &undisturbed);
}

/// Plays the cells, several at a time, and tells of every one that failed. With fewer than `least` of them the pass lost stop points.
fn play_all(cells: &[Cell], least: usize, undisturbed: &Undisturbed) {
    assert!(cells.len() >= least, "only {} cells", cells.len());
    let began = Instant::now();
    let (next, failed) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|threads| {
        for _ in 0..WORKERS {
            threads.spawn(|| {
                while let Some(cell) = cells.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if catch_unwind(AssertUnwindSafe(|| cell.play(undisturbed))).is_err() {
                        let name = cell.name();
                        eprintln!("^^^ failed: {name}");
                        failed.lock().expect("the list of failed cells").push(name);
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().expect("the list of failed cells");
    println!("{} cells in {:?}", cells.len(), began.elapsed());
    assert!(failed.is_empty(), "{} of {} cells failed: {failed:#?}", failed.len(), cells.len());
}

impl Cell<'_> {
    fn name(&self) -> String {
        format!("{}: {:?} at {:?}, then {:?}", self.world.name, self.kind, self.point, self.follow)
    }

    fn play(&self, undisturbed: &Undisturbed) {
        let day = self.world.day();
        let proxy = Proxy::before(Mongod::shared());
        let first = day.run().args(self.world.arguments).mongodb(&proxy.uri(&day.db));
        match self.kind {
            Kind::Kill | Kind::KillLate => self.kill(&day, &proxy, &first),
            Kind::Term => self.terminate(&day, &proxy, &first),
            Kind::Pause => self.pause(&day, &proxy, &first),
            Kind::Refuse => {
                let _rule = self.point.refuse(&proxy, &day);
                orderly(&first.run(), &[0, 20, 22, 24, 31]);
            }
            Kind::Cut => {
                let _rule = self.point.cut(&proxy, &day);
                orderly(&first.run(), &[0, 20, 22, 24]);
            }
        }
        day.db.wait_until_disconnected();
        day.check_guarantees();
        if self.kind != Kind::Pause {
            day.db.abort_abandoned_transactions();
            day.let_time_pass();
            self.follow(&day);
            day.check_guarantees();
        }
        recover(&day, self.world);
        assert!(lines(&day) == undisturbed.lines, "not the same entries as without the trouble");
    }

    fn kill(&self, day: &Day, proxy: &Proxy, first: &BatchExport) {
        let late = self.kind == Kind::KillLate;
        let held = self.point.hold(proxy, day, late);
        let running = first.spawn();
        held.wait_until_reached();
        running.kill();
        if late { held.arrive_late() } else { held.lose() }
    }

    fn terminate(&self, day: &Day, proxy: &Proxy, first: &BatchExport) {
        let held = self.point.hold(proxy, day, false);
        let running = first.spawn();
        held.wait_until_reached();
        running.signal(Signal::TERM);
        std::thread::sleep(Duration::from_millis(20));
        held.release();
        orderly(&running.wait(PATIENCE), &[0, 143]);
    }

    fn pause(&self, day: &Day, proxy: &Proxy, first: &BatchExport) {
        let held = self.point.hold(proxy, day, false);
        let running = first.spawn();
        held.wait_until_reached();
        running.signal(Signal::STOP);
        // What is under way beside it arrives late. The server aborts what it has begun by itself when that is a minute old.
        proxy.halt();
        day.db.abort_open_transactions();
        day.let_time_pass();
        self.follow(day);
        day.check_guarantees();
        proxy.go_on();
        held.release();
        running.signal(Signal::CONT);
        orderly(&running.wait(PATIENCE), &[0, 10, 20, 22, 23, 25]);
    }

    fn follow(&self, day: &Day) {
        let arguments = self.world.arguments;
        match self.follow {
            Follow::Retry => drop(day.retry().args(arguments).run().expect_code(0)),
            Follow::Run => drop(day.run().args(arguments).run().expect_code(0)),
            Follow::NextDate => drop(next_date(day).args(arguments).run().expect_code(0)),
            Follow::TwoRetries => {
                let both = [(); 2].map(|()| day.retry().args(arguments).spawn());
                for one in both {
                    one.wait(PATIENCE).expect_code(0);
                }
            }
        }
    }
}

/// It ended with one of these codes, and left nothing on this machine.
#[track_caller]
fn orderly(ended: &Finished, codes: &[i32]) {
    assert!(codes.contains(&ended.code), "{}", ended.report());
    assert!(ended.spool_is_empty(), "the spool file is still there: {}", ended.report());
}

fn next_date(day: &Day) -> BatchExport {
    day.command("run").date(NEXT_DATE).now(NEXT_NOW)
}

/// Retries until nothing is due; then nothing may be left over.
fn recover(day: &Day, world: &World) {
    for _ in 0..8 {
        day.let_time_pass();
        let retry = day.retry().args(world.arguments);
        let retry = if world.with_next_date { retry.now(NEXT_NOW) } else { retry };
        if retry.run().expect_code(0).json()["outcome"] == "nothing_due" {
            if world.with_next_date {
                // A date that never had a run is not the latest any more.
                day.run().args(world.arguments).run().expect_code(0);
                next_date(day).args(world.arguments).run().expect_code(0);
            }
            day.check_converged();
            return;
        }
    }
    panic!("something is still due after 8 retries");
}
