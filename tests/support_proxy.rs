//! The proxy before the server: that the driver does everything through it, and that each fault happens exactly where it was put.

use std::time::{Duration, Instant};

use futures_util::TryStreamExt;
use futures_util::future::abortable;
use mongodb::bson::{Document, doc};
use mongodb::error::{Result, TRANSIENT_TRANSACTION_ERROR};
use mongodb::{Client, Collection};

use crate::support::block;
use crate::support::db::TestDb;
use crate::support::mongod::Mongod;
use crate::support::proxy::{Command, On, Proxy, error};

const LONG: Duration = Duration::from_secs(60);

/// A proxy, and the test's database through it.
struct Through<'server> {
    proxy: Proxy,
    client: Client,
    db: TestDb<'server>,
}

impl Through<'static> {
    fn new(options: &str) -> Through<'static> {
        Through::to(TestDb::new(), options)
    }
}

impl<'server> Through<'server> {
    fn to(db: TestDb<'server>, options: &str) -> Through<'server> {
        let proxy = Proxy::before(db.server());
        let client = block(Client::with_uri_str(format!("{}{options}", proxy.uri(&db)))).unwrap();
        Through { proxy, client, db }
    }

    fn things(&self) -> Collection<Document> {
        self.client.database(self.db.name()).collection("things")
    }

    fn insert(&self, id: i32) -> Result<()> {
        block(self.things().insert_one(doc! {"_id": id})).map(|_| ())
    }

    /// Inserts in a thread, while the test goes on.
    fn insert_meanwhile(&self, id: i32) -> std::thread::JoinHandle<Result<()>> {
        let things = self.things();
        std::thread::spawn(move || block(things.insert_one(doc! {"_id": id})).map(|_| ()))
    }

    fn stored(&self) -> Vec<i32> {
        self.db.find_all("things", doc! {}).iter().map(|thing| thing.get_i32("_id").unwrap()).collect()
    }

    fn sent(&self, name: &str) -> Vec<Command> {
        self.proxy.commands().into_iter().filter(|command| command.name == name).collect()
    }
}

#[test]
fn transactions_work_through_it_on_a_direct_connection() {
    let through = Through::new("");
    block(async {
        let mut session = through.client.start_session().await?;
        session.start_transaction().await?;
        through.things().insert_one(doc! {"_id": 1}).session(&mut session).await?;
        through.things().insert_one(doc! {"_id": 2}).session(&mut session).await?;
        assert_eq!(through.db.collection("things").count_documents(doc! {}).await?, 0);
        session.commit_transaction().await
    })
    .unwrap();
    assert_eq!(through.stored(), [1, 2]);
    let names: Vec<String> = through.proxy.commands().into_iter().map(|command| command.name).collect();
    assert_eq!(names, ["insert", "insert", "commitTransaction"]);
    let inserts = through.sent("insert");
    assert!(inserts[0].body.get_bool("startTransaction").unwrap() && inserts[1].body.contains_key("txnNumber"));
    assert_eq!(inserts[0].collection(), Some("things"));
    assert!(through.proxy.journal().iter().any(|command| command.background && command.name != "insert"));
}

#[test]
fn snapshot_reads_work_through_it_on_a_direct_connection() {
    let through = Through::new("");
    through.db.insert_many("things", (0..10).map(|n| doc! {"_id": n}).collect());
    let seen = block(async {
        let mut session = through.client.start_session().snapshot(true).await?;
        let mut cursor = through.things().find(doc! {}).batch_size(2).session(&mut session).await?;
        through.db.collection("things").delete_many(doc! {}).await?;
        let all: Vec<Document> = cursor.stream(&mut session).try_collect().await?;
        let again = through.things().count_documents(doc! {}).session(&mut session).await?;
        Result::Ok((all.len(), again))
    });
    assert_eq!((seen.unwrap(), through.stored().len()), ((10, 10), 0));
    assert_eq!(through.sent("find")[0].body.get_document("readConcern").unwrap().get_str("level").unwrap(), "snapshot");
    assert!(through.sent("getMore").iter().all(|command| command.collection() == Some("things")));
}

#[test]
fn a_write_whose_reply_is_lost_is_retried_by_the_driver_and_done_once() {
    let through = Through::new("");
    let lost = through.proxy.cut(On::command("insert").after());
    through.insert(1).unwrap();
    let attempts = through.sent("insert");
    assert_eq!((lost.times(), attempts.len(), through.stored()), (1, 2, vec![1]));
    assert_eq!(attempts[0].body.get("txnNumber"), attempts[1].body.get("txnNumber"));
    assert!(attempts[0].body.contains_key("txnNumber") && attempts[0].connection != attempts[1].connection);
}

#[test]
fn a_connection_is_cut_before_or_after_the_server_has_executed() {
    let through = Through::new("&retryWrites=false");
    let before = through.proxy.cut(On::command("insert").nth(1));
    let after = through.proxy.cut(On::command("insert").nth(2).after());
    assert!(through.insert(1).is_err());
    assert!(through.insert(2).is_err());
    through.insert(3).unwrap();
    assert_eq!((before.times(), after.times(), through.stored()), (1, 1, vec![2, 3]));
}

#[test]
fn a_held_command_waits_and_the_others_go_on() {
    let through = Through::new("");
    let stop = through.proxy.hold(On::command("insert").matching(|command| {
        command.get_array("documents").is_ok_and(|all| all.iter().any(|one| *one == doc! {"_id": 1}.into()))
    }));
    let held = through.insert_meanwhile(1);
    stop.wait_until_reached(LONG);
    through.insert(2).unwrap();
    assert_eq!(through.stored(), [2]);
    stop.release();
    held.join().unwrap().unwrap();
    assert_eq!(through.stored(), [1, 2]);
}

#[test]
fn a_held_reply_means_that_the_server_has_executed() {
    let through = Through::new("");
    let stop = through.proxy.hold(On::any().collection("things").after());
    let held = through.insert_meanwhile(1);
    stop.wait_until_reached(LONG);
    assert_eq!(through.stored(), [1]);
    assert!(!held.is_finished());
    // A rule that goes lets go.
    drop(stop);
    held.join().unwrap().unwrap();
}

#[test]
fn a_command_held_over_the_death_of_its_client_is_executed_late_or_lost() {
    for lost in [false, true] {
        let through = Through::new("&retryWrites=false");
        let stop = through.proxy.hold(On::command("insert"));
        let things = through.things();
        let (call, give_up) = abortable(async move { things.insert_one(doc! {"_id": 1}).await });
        let calling = std::thread::spawn(move || block(call));
        stop.wait_until_reached(LONG);
        // Giving the call up closes its connection, as the kernel does for a killed program.
        give_up.abort();
        assert!(calling.join().unwrap().is_err());
        assert!(through.stored().is_empty());
        if lost {
            stop.cut();
            through.insert(2).unwrap();
            assert_eq!(through.stored(), [2]);
        } else {
            stop.release();
            stop.wait_until_answered(LONG);
            assert_eq!(through.stored(), [1]);
        }
    }
}

#[test]
fn nobody_is_connected_once_the_last_command_of_a_dead_client_is_executed() {
    let Through { proxy, client, db } = Through::new("&retryWrites=false");
    let stop = proxy.hold(On::command("insert"));
    let things = client.database(db.name()).collection("things");
    let (call, give_up) = abortable(async move { things.insert_one(doc! {"_id": 1}).await });
    let calling = std::thread::spawn(move || block(call));
    stop.wait_until_reached(LONG);
    give_up.abort();
    assert!(calling.join().unwrap().is_err());
    drop(client);
    let stored = std::thread::scope(|threads| {
        let waiting = threads.spawn(|| {
            db.wait_until_disconnected();
            db.count("things", doc! {})
        });
        stop.release();
        waiting.join().unwrap()
    });
    assert_eq!(stored, 1);
}

#[test]
fn what_comes_to_a_proxy_that_is_halted_is_executed_late_or_lost() {
    for lost in [false, true] {
        let through = Through::new("&retryWrites=false");
        let stop = through.proxy.hold(On::command("insert").after());
        let executed = through.insert_meanwhile(1);
        stop.wait_until_reached(LONG);
        through.proxy.halt();
        let late = through.insert_meanwhile(2);
        let end = Instant::now() + LONG;
        while through.sent("insert").len() < 2 {
            assert!(Instant::now() < end, "the second one does not come");
            std::thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(through.stored(), [1]);
        if lost {
            through.proxy.cut_off();
            assert!(executed.join().unwrap().is_err() && late.join().unwrap().is_err());
            through.db.wait_until_disconnected();
            assert_eq!(through.stored(), [1]);
        } else {
            through.proxy.go_on();
            stop.release();
            executed.join().unwrap().unwrap();
            late.join().unwrap().unwrap();
            assert_eq!(through.stored(), [1, 2]);
        }
    }
}

#[test]
fn an_error_with_labels_is_answered_in_the_servers_place() {
    let through = Through::new("");
    let labels = [TRANSIENT_TRANSACTION_ERROR];
    let on = On::command("commitTransaction").nth_and_later(2);
    let refusal = through.proxy.answer(on, error(112, "WriteConflict", &labels));
    let transaction = |id: i32| {
        block(async {
            let mut session = through.client.start_session().await?;
            session.start_transaction().await?;
            through.things().insert_one(doc! {"_id": id}).session(&mut session).await?;
            session.commit_transaction().await
        })
    };
    transaction(1).unwrap();
    for id in [2, 3] {
        let error = transaction(id).unwrap_err();
        assert!(error.contains_label(TRANSIENT_TRANSACTION_ERROR), "{error}");
    }
    assert_eq!((refusal.times(), through.stored()), (2, vec![1]));
}

#[test]
fn a_client_can_be_told_an_error_about_what_was_executed() {
    let through = Through::new("");
    let _lie =
        through.proxy.answer(On::command("insert").before().after(), error(11_600, "InterruptedAtShutdown", &[]));
    assert!(through.insert(1).is_err());
    assert_eq!(through.stored(), [1]);
}

#[test]
fn the_database_can_be_gone_until_it_is_restored() {
    let through = Through::new("&serverSelectionTimeoutMS=300&retryWrites=false");
    through.insert(1).unwrap();
    let outage = through.proxy.cut_all(On::command("insert"));
    assert!(through.insert(2).is_err());
    assert!(through.insert(3).is_err());
    assert_eq!(outage.times(), 1);
    through.proxy.restore();
    insert_eventually(&through, 4);
    through.proxy.cut_off();
    assert!(through.insert(5).is_err());
    through.proxy.restore();
    insert_eventually(&through, 6);
    assert_eq!(through.stored(), [1, 4, 6]);
}

#[test]
fn monitoring_is_held_up_only_when_it_is_named() {
    let through = Through::new("&heartbeatFrequencyMS=500");
    let any = through.proxy.hold(On::any().matching(|command| !command.contains_key("insert")));
    let greeting = through.proxy.delay(On::command("hello"), Duration::from_millis(100));
    let ping = through.proxy.hold(On::command("ping"));
    through.insert(1).unwrap();
    greeting.wait_until_reached(LONG);
    let admin = through.client.database("admin");
    let pinging = std::thread::spawn(move || block(admin.run_command(doc! {"ping": 1})));
    ping.wait_until_reached(LONG);
    ping.release();
    pinging.join().unwrap().unwrap();
    through.insert(2).unwrap();
    assert_eq!(any.times(), 0);
}

#[test]
fn a_server_that_is_started_again_is_behind_the_same_proxy() {
    let mongod = Mongod::start_with(&[]);
    let through = Through::to(TestDb::on(&mongod), "&serverSelectionTimeoutMS=60000");
    through.insert(1).unwrap();
    mongod.stop();
    mongod.start_again();
    insert_eventually(&through, 2);
    assert_eq!(through.stored(), [1, 2]);
}

/// The driver may first have to find out that its old connections are dead.
fn insert_eventually(through: &Through, id: i32) {
    let end = Instant::now() + LONG;
    while through.insert(id).is_err() {
        assert!(Instant::now() < end, "no insert within {LONG:?}");
    }
}
