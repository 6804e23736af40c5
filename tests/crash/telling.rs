//! Killed at any message between a change of state and the note that people were told of it: they are told in the end, twice only where
//! nobody could know, and then with the same id.
//!
//! The stop points are read from an undisturbed command, as those of the matrix are.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use mongodb::bson::{DateTime, Document, doc};

use super::points::{Message, Point, points};
use crate::support::command::BatchExport;
use crate::support::day::{BATCHES, Day};
use crate::support::fake_drive::{Answer, Fault, On, Operation};
use crate::support::mongod::Mongod;
use crate::support::proxy::Proxy;
use crate::support::receiver::{Receiver, Reply};
use crate::support::seed::{DATE, seed_day};

/// Cells at a time.
const WORKERS: usize = 4;

/// A command that changes a state, or that tells of one, and is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum World {
    /// A run that commits.
    Commit,
    /// A run that commits, and marks its rows in three steps.
    Steps,
    /// A run that fails.
    Failure,
    /// A retry that tells what a run could not tell.
    Left,
}

/// A kill at a point; `late`: the message that is under way arrives all the same.
struct Cell<'a> {
    world: World,
    point: &'a Point,
    late: bool,
}

/// What came of a cell.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Told {
    Once,
    Twice,
}

impl World {
    /// Its day, at the moment before the command.
    fn day(self) -> Day {
        let day = Day::on_drive();
        seed_day(&day.db, DATE, 7);
        match self {
            World::Commit | World::Steps => {}
            World::Failure => {
                day.drive()
                    .plan(On::every(Operation::Start), Fault::answer(Answer::error(403, "storageQuotaExceeded")));
            }
            World::Left => {
                let refusing = Receiver::answering(|_, _| Reply::of(400));
                tell(day.run(), &refusing).run().expect_code(0);
                assert_eq!((refusing.posted().len(), left(&day).is_some()), (1, true));
            }
        }
        day
    }

    fn command(self, day: &Day, people: &Receiver) -> BatchExport {
        match self {
            World::Commit | World::Failure => tell(day.run(), people),
            World::Steps => tell(day.run(), people).args(&["--transaction-rows", "3"]),
            World::Left => tell(day.retry(), people),
        }
    }

    /// The messages of the command from the change of state on.
    fn points(self) -> Vec<Point> {
        let (day, people, proxy) = (self.day(), Receiver::start(Some(204)), Proxy::before(Mongod::shared()));
        let code = if self == World::Failure { 31 } else { 0 };
        self.command(&day, &people).mongodb(&proxy.uri(&day.db)).run().expect_code(code);
        assert_eq!((people.posted().len(), left(&day)), (1, None), "{self:?}");
        let all = points(&proxy, &day);
        let is =
            |point: &Point, wanted: &str| matches!(&point.message, Message::Command { name, .. } if name == wanted);
        let first = match self {
            World::Commit | World::Steps => all.iter().position(|point| is(point, "commitTransaction")),
            // The failure is recorded by the last one; the one before it is the other side of the same message.
            World::Failure => all.iter().rposition(|point| is(point, "findAndModify")).map(|last| last - 1),
            World::Left => Some(0),
        };
        let mut points = all[first.expect("a change of state")..].to_vec();
        let requests = points.iter().position(|point| !point.is_command()).unwrap_or(points.len());
        let requests = points.split_off(requests);
        // The number on the file is the last request, and the only one after a commit.
        if matches!(self, World::Commit | World::Steps) {
            points.extend_from_slice(&requests[requests.len() - 2..]);
        }
        points
    }

    fn cells(self, points: &[Point]) -> Vec<Cell<'_>> {
        let late = |point: &Point| if point.after { &[false][..] } else { &[false, true] };
        points.iter().flat_map(|point| late(point).iter().map(move |&late| Cell { world: self, point, late })).collect()
    }
}

impl Cell<'_> {
    fn play(&self) -> Told {
        let (day, first, proxy) = (self.world.day(), Receiver::start(Some(204)), Proxy::before(Mongod::shared()));
        let held = self.point.hold(&proxy, &day, self.late);
        let running = self.world.command(&day, &first).mongodb(&proxy.uri(&day.db)).spawn();
        held.wait_until_reached();
        running.kill();
        if self.late {
            held.arrive_late()
        } else {
            held.lose()
        }
        day.db.abort_abandoned_transactions();
        day.check_guarantees();
        // Heard, and not noted: nobody can know that people have heard it.
        let unknown = !first.posted().is_empty() && left(&day).is_some();
        let second = Receiver::start(Some(204));
        for _ in 0..3 {
            let_others_try(&day);
            let code = if self.world == World::Failure && is_running(&day) { 31 } else { 0 };
            tell(day.retry(), &second).run().expect_code(code);
        }
        let told = [first.messages(), second.messages()].concat();
        assert_eq!(told.len(), if unknown { 2 } else { 1 }, "{told:?}");
        assert!(told.iter().all(|message| message["id"] == told[0]["id"]), "{told:?}");
        let event = if self.world == World::Failure { "failed" } else { "completed" };
        assert_eq!(told[0]["event"], event);
        assert_eq!(left(&day), None);
        if self.world != World::Failure {
            day.check_converged();
        }
        if unknown { Told::Twice } else { Told::Once }
    }
}

/// Whether the next retry makes an attempt, which fails: the one before it was not recorded.
fn is_running(day: &Day) -> bool {
    day.batch().get_str("state").ok() == Some("running")
}

fn tell(command: BatchExport, people: &Receiver) -> BatchExport {
    command.env("BATCH_EXPORT_NOTIFY_URL", &people.url("/hook"))
}

/// What people have not heard yet.
fn left(day: &Day) -> Option<Document> {
    day.batch().get_document("untold").ok().cloned()
}

/// Whoever was killed had its time: for its lease and for its message. A back-off goes on.
fn let_others_try(day: &Day) {
    let long_ago = DateTime::from_millis(0);
    day.db.update_many(BATCHES, doc! { "state": "running" }, doc! { "$set": { "leaseExpiresAt": long_ago } });
    let tried = doc! { "untold.triedAt": { "$exists": true } };
    day.db.update_many(BATCHES, tried, doc! { "$set": { "untold.triedAt": long_ago } });
}

/// Plays every cell of a world: how many told people twice.
fn play_all(world: World, cells_min: usize) -> usize {
    let points = world.points();
    let cells = world.cells(&points);
    assert!(cells.len() >= cells_min, "only {} cells of {world:?}", cells.len());
    let (next, twice, failed) = (AtomicUsize::new(0), AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|threads| {
        for _ in 0..WORKERS {
            threads.spawn(|| {
                while let Some(cell) = cells.get(next.fetch_add(1, Ordering::Relaxed)) {
                    match catch_unwind(AssertUnwindSafe(|| cell.play())) {
                        Ok(told) => drop(twice.fetch_add(usize::from(told == Told::Twice), Ordering::Relaxed)),
                        Err(_) => {
                            let name = format!("{world:?} killed at {:?}, late: {}", cell.point, cell.late);
                            failed.lock().expect("the list of failed cells").push(name);
                        }
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().expect("the list of failed cells");
    assert!(failed.is_empty(), "{} of {} cells failed: {failed:#?}", failed.len(), cells.len());
    twice.into_inner()
}

/// The one message that, when it is lost, leaves people told and the note unchanged, is the removal of the note.
#[test]
fn a_kill_anywhere_between_a_commit_and_the_note_that_it_was_told_leaves_nobody_untold() {
    assert_eq!(play_all(World::Commit, 9), 1);
}

#[test]
fn a_kill_anywhere_in_a_marking_and_until_it_was_told_leaves_nobody_untold() {
    assert_eq!(play_all(World::Steps, 24), 1);
}

#[test]
fn a_kill_anywhere_between_a_recorded_failure_and_the_note_that_it_was_told_leaves_nobody_untold() {
    assert_eq!(play_all(World::Failure, 6), 1);
}

#[test]
fn a_kill_anywhere_in_a_retry_that_tells_what_was_left_leaves_nobody_untold() {
    assert_eq!(play_all(World::Left, 9), 1);
}
