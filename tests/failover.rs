//! A failover of the database at every stage of a pass, on a real set of three servers: what was promised is kept, and `retry` ends it.
//!
//! In each cell the primary steps down, is killed or freezes while a pass is held at one stage; the pass itself goes on, or is killed at
//! the same time. In some cells the commit has been applied by the primary and by nobody else, so that the failover rolls it back.
//! Every failover serves three cells, because an election takes longer than a pass.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use mongodb::bson::{DateTime, Document, doc};
use mongodb::options::ReadConcern;

use crate::support::block;
use crate::support::command::{BatchExport, Finished, Running};
use crate::support::day::{BATCHES, Day, EXPORTED, LOG, entry_ids};
use crate::support::db::TestDb;
use crate::support::fake_drive::{Hold, On, Operation, Point};
use crate::support::mongod::Mongod;
use crate::support::replica_set::{ReplicaSet, wait_for};
use crate::support::seed::{DATE, QUEUE, seed_day};

const PATIENCE: Duration = Duration::from_secs(90);
/// Rows of a batch; a large batch marks [`PIECE`] of them per transaction.
const ROWS: u32 = 12;
const PIECE: &str = "3";
/// How long a command is held at a stage: longer than it takes to begin the failover.
const HOLD: Duration = Duration::from_millis(1_500);
/// How long each commit of a marking takes, so that the failover comes in its middle.
const SLOWLY: Duration = Duration::from_millis(250);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    /// The primary hands over.
    StepDown,
    /// The primary is killed, and started again later.
    Kill,
    /// The primary freezes, and wakes up when there is another one.
    Pause,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// At the acquisition of the batch.
    Lock,
    /// While rows and entries are read.
    Generate,
    /// While the file is on its way to Drive.
    Upload,
    /// In the transaction.
    Transaction,
    /// When the commit is sent and not applied yet.
    Commit,
    /// When the primary has applied the commit, and nobody else.
    OnlyOnPrimary,
    /// Between two pieces of a large batch.
    Marking,
    /// When the primary has marked a further piece of a large batch, and nobody else.
    PieceOnlyOnPrimary,
}

/// Every stage meets two kinds of failover.
const ROUNDS: [(Stage, [Event; 2]); 8] = [
    (Stage::Lock, [Event::StepDown, Event::Kill]),
    (Stage::Generate, [Event::Pause, Event::StepDown]),
    (Stage::Upload, [Event::Kill, Event::Pause]),
    (Stage::Transaction, [Event::StepDown, Event::Kill]),
    (Stage::Commit, [Event::Pause, Event::StepDown]),
    (Stage::OnlyOnPrimary, [Event::Kill, Event::Pause]),
    (Stage::Marking, [Event::StepDown, Event::Kill]),
    (Stage::PieceOnlyOnPrimary, [Event::Kill, Event::Pause]),
];
/// Of the passes that meet a failover, the first lives on, and the others are killed at the same time.
const CELLS: usize = 3;

/// A pass in a database of its own.
struct Cell {
    day: Day,
    arguments: &'static [&'static str],
    entries: BTreeSet<String>,
}

#[test]
fn whenever_the_primary_goes_the_day_converges() {
    // The databases of the cells live as long as the set; the servers are stopped below.
    let set: &'static ReplicaSet = Box::leak(Box::new(ReplicaSet::start()));
    let mut cells = 0;
    for (stage, events) in ROUNDS {
        for event in events {
            let began = Instant::now();
            set.wait_until_healthy();
            play(set, stage, event);
            cells += CELLS;
            println!("{event:?} at {stage:?}: {:?}", began.elapsed());
        }
    }
    for member in 0..3 {
        set.member(member).stop();
    }
    assert_eq!(cells, 48, "rounds are missing");
}

/// Three passes meet one failover. After the second one a `retry` follows, after the third one two at once.
fn play(set: &'static ReplicaSet, stage: Stage, event: Event) {
    let cells = [(); CELLS].map(|()| Cell::new(set, stage));
    let primary = set.primary();
    let held: Vec<Hold> = cells.iter().filter_map(|cell| cell.hold_upload(stage)).collect();
    let before = hold_commands(set, primary, stage);
    let mut passes = cells.each_ref().map(|cell| Some(cell.command("run").date(DATE).spawn()));
    wait_until_there(set, primary, stage, &cells, &held, before);
    for victim in &mut passes[1..] {
        drop(victim.take());
    }
    happen(set, primary, event);
    drop(held);
    set.primary_but((event != Event::StepDown).then_some(primary));
    cells[1].recover(1);
    cells[2].recover(2);
    settle(set, primary, event);
    if let Some(survivor) = passes[0].take() {
        cells[0].survived(survivor);
    }
    cells[0].recover(1);
    set.wait_until_healthy();
    for cell in &cells {
        cell.check();
    }
}

/// Makes the commands of a stage wait on this server; how many were held before.
fn hold_commands(set: &ReplicaSet, primary: usize, stage: Stage) -> i64 {
    let (commands, skip, time): (&[&str], i32, Duration) = match stage {
        Stage::Upload => return 0,
        Stage::Lock => (&["findAndModify"], 0, HOLD),
        // Of all passes together; the first ones look at the deployment and the indexes.
        Stage::Generate => (&["find", "aggregate"], 6, HOLD),
        Stage::Transaction => (&["insert"], 0, HOLD),
        Stage::Commit | Stage::OnlyOnPrimary => (&["commitTransaction"], 0, HOLD),
        Stage::Marking | Stage::PieceOnlyOnPrimary => (&["commitTransaction"], 0, SLOWLY),
    };
    let data = doc! { "failCommands": commands, "blockConnection": true, "blockTimeMS": time.as_millis() as i64 };
    let order = doc! { "configureFailPoint": "failCommand", "mode": { "skip": skip }, "data": data };
    let answer = set.order(primary, &order);
    answer.get_i64("count").or(answer.get_i32("count").map(i64::from)).expect("the count of the fail point")
}

/// Waits until all passes are at their stage; or until the primary is none any more, because a busy machine made a failover of its own.
fn wait_until_there(set: &ReplicaSet, primary: usize, stage: Stage, cells: &[Cell; CELLS], held: &[Hold], before: i64) {
    let server = set.member(primary);
    let until = |what: &str, there: &dyn Fn() -> bool| {
        wait_for(what, || (there() || !set.is_primary(primary)).then_some(()));
    };
    let held_commands = |more: i64| {
        let look = doc! { "waitForFailPoint": "failCommand", "timesEntered": before + more, "maxTimeMS": 200 };
        let admin = server.client().database("admin");
        until("the commands", &|| block(admin.run_command(look.clone())).is_ok());
    };
    let all_marking = || until("a marking", &|| cells.iter().all(|cell| cell.logs_on(server) == 1));
    match stage {
        Stage::Upload => held.iter().for_each(|hold| hold.wait_until_reached(PATIENCE)),
        Stage::Lock | Stage::Transaction | Stage::Commit => held_commands(CELLS as i64),
        Stage::Generate => held_commands(1),
        Stage::OnlyOnPrimary => {
            held_commands(CELLS as i64);
            set.replicate(primary, false);
            until("the commits", &|| cells.iter().all(|cell| cell.logs_on(server) == 1));
        }
        Stage::Marking => all_marking(),
        Stage::PieceOnlyOnPrimary => {
            all_marking();
            set.replicate(primary, false);
            let marked = || cells.iter().map(|cell| cell.marked_on(server)).collect::<Vec<_>>();
            let before = marked();
            let done = vec![u64::from(ROWS); CELLS];
            until("a further piece", &|| marked() != before || before == done);
        }
    }
}

/// The primary goes.
fn happen(set: &ReplicaSet, primary: usize, event: Event) {
    let server = set.member(primary);
    match event {
        Event::StepDown => {
            // Long enough for the others to elect one of them. Its answer may get lost.
            let order = doc! { "replSetStepDown": 20, "secondaryCatchUpPeriodSecs": 0, "force": true };
            let _ = block(server.client().database("admin").run_command(order));
        }
        Event::Kill => server.stop(),
        Event::Pause => server.pause(),
    }
    if event == Event::StepDown {
        set.primary_but(Some(primary));
    }
    set.replicate(primary, true);
}

/// The old primary comes back.
fn settle(set: &ReplicaSet, primary: usize, event: Event) {
    let server = set.member(primary);
    match event {
        Event::StepDown => {}
        Event::Kill => set.start_again(primary),
        Event::Pause => server.resume(),
    }
    if event != Event::Kill {
        set.order(primary, &doc! { "configureFailPoint": "failCommand", "mode": "off" });
    }
}

impl Cell {
    fn new(set: &'static ReplicaSet, stage: Stage) -> Cell {
        let large = matches!(stage, Stage::Marking | Stage::PieceOnlyOnPrimary);
        let arguments: &[&str] = if large { &["--transaction-rows", PIECE] } else { &[] };
        let day = Day::on_drive_with(TestDb::in_set(set));
        let seeded = seed_day(&day.db, DATE, ROWS);
        let entries = seeded.entries.iter().map(|entry| entry.to_hex()).collect();
        Cell { day, arguments, entries }
    }

    fn command(&self, name: &str) -> BatchExport {
        self.day.command(name).args(self.arguments)
    }

    fn hold_upload(&self, stage: Stage) -> Option<Hold> {
        (stage == Stage::Upload).then(|| self.day.drive().hold(On::nth(Operation::Chunk, 1), Point::InFlight))
    }

    /// What one server has, whether or not the others have it too.
    fn count_on(&self, server: &Mongod, collection: &str, filter: Document) -> u64 {
        let collection = server.client().database(self.day.db.name()).collection::<Document>(collection);
        block(collection.count_documents(filter).read_concern(ReadConcern::local())).unwrap_or_default()
    }

    fn logs_on(&self, server: &Mongod) -> u64 {
        self.count_on(server, LOG, doc! {})
    }

    fn marked_on(&self, server: &Mongod) -> u64 {
        self.count_on(server, QUEUE, doc! { "status": "completed" })
    }

    /// The pass that lived through it ended orderly: done, or with a code that `retry` goes by.
    fn survived(&self, running: Running) {
        let ended = running.wait(PATIENCE);
        assert!([0, 20, 22, 23, 24, 25].contains(&ended.code), "{}", ended.report());
        assert!(ended.spool_is_empty(), "the spool file is still there: {}", ended.report());
    }

    /// Makes what waits due, as soon as there is a primary to tell.
    fn let_time_pass(&self) {
        let batches = self.day.db.collection(BATCHES);
        let past = DateTime::from_millis(0);
        for (states, field) in [(["failed", "failed"], "nextRetryAt"), (["running", "marking"], "leaseExpiresAt")] {
            let of = doc! { "state": { "$in": states.to_vec() } };
            let write = || block(batches.update_many(of.clone(), doc! { "$set": { field: past } })).ok();
            wait_for("a write", write);
        }
    }

    /// Retries until nothing is due, with several at once. A retry may meet the end of the failover.
    fn recover(&self, at_once: usize) {
        for _ in 0..12 {
            self.let_time_pass();
            let retries: Vec<Running> = (0..at_once).map(|_| self.command("retry").spawn()).collect();
            let ended: Vec<Finished> = retries.into_iter().map(|retry| retry.wait(PATIENCE)).collect();
            for retry in &ended {
                assert!([0, 10, 20, 22, 23, 24, 25].contains(&retry.code), "{}", retry.report());
            }
            if ended.iter().all(|retry| retry.code == 0 && retry.json()["outcome"] == "nothing_due") {
                return;
            }
        }
        panic!("something is still due after 12 retries: {}", self.day.batch());
    }

    /// File, entries, rows and log say the same, and it is what was seeded.
    fn check(&self) {
        self.day.check_converged();
        let files = self.day.live_files();
        assert_eq!(files.len(), 1, "not exactly one file");
        let exported = entry_ids(&files[0].bytes);
        assert_eq!(exported.len(), self.entries.len(), "an entry is in the file twice, or not");
        assert_eq!(exported.into_iter().collect::<BTreeSet<_>>(), self.entries);
        assert_eq!(self.day.rows_with_status("completed"), u64::from(ROWS));
        assert_eq!(self.day.log().len(), 1, "not exactly one log");
        let recorded = self.day.db.find_all(EXPORTED, doc! {});
        let recorded = recorded.iter().map(|entry| entry.get_object_id("_id").expect("an entry").to_hex());
        assert_eq!(recorded.collect::<BTreeSet<_>>(), self.entries, "{EXPORTED} does not have the entries of the file");
    }
}
