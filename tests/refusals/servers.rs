//! What a server says once: a kind of collection that a run cannot use, writes that are locked, a primary that steps down, TLS on one side.

use mongodb::bson::doc;
use mongodb::bson::oid::ObjectId;

use super::{EVENING, doctor_says};
use crate::support::block;
use crate::support::browser::wait_until;
use crate::support::command::told;
use crate::support::day::{BATCH, BATCHES, Day, LOG};
use crate::support::mongod::Mongod;
use crate::support::proxy::{On, Proxy, error};
use crate::support::seed::{DATE, ENTRIES, Entry, QUEUE, create_index, seed, seed_day};
use crate::support::way_out::TlsFront;

#[test]
fn a_capped_queue_and_capped_entries_are_no_reason_to_wait() {
    for collection in [QUEUE, ENTRIES] {
        let day = Day::in_directory();
        day.db.command(doc! { "create": collection, "capped": true, "size": 1_000_000 });
        seed_day(&day.db, DATE, 3);
        create_index(&day.db);
        doctor_says(&day, &[collection, "capped"]);
        let told = told(&day.run().run().expect_code(30).json()["error"]);
        assert!(told.contains(collection) && told.contains("capped"), "{told}");
        assert_eq!(day.rows_with_status("queued"), 3);
    }
}

#[test]
fn a_rule_of_the_collections_of_a_large_batch_is_named_with_its_collection() {
    let capped = Day::in_directory();
    seed_day(&capped.db, DATE, 3);
    capped.command("init").run().expect_code(0);
    capped.db.command(doc! { "drop": "exportbatchentries" });
    capped.db.command(doc! { "create": "exportbatchentries", "capped": true, "size": 1_000_000 });
    let refused = told(&capped.run().run().expect_code(30).json()["error"]);
    assert!(refused.contains("exportbatchentries is a capped collection"), "{refused}");
    let ruled = Day::in_directory();
    seed_day(&ruled.db, DATE, 9);
    ruled.command("init").run().expect_code(0);
    let rule = doc! { "$jsonSchema": { "required": ["tenant"] } };
    ruled.db.command(doc! { "collMod": "exportbatchrows", "validator": rule });
    let refused = told(&ruled.run().args(&["--transaction-rows", "3"]).run().expect_code(30).json()["error"]);
    assert!(refused.contains("exportbatchrows: ") && refused.contains("tenant"), "{refused}");
}

#[test]
fn time_series_in_place_of_the_queue_are_named() {
    let day = Day::in_directory();
    seed_day(&day.db, DATE, 3);
    let series = doc! { "timeField": "scheduledFor" };
    day.db.command(doc! { "create": "series", "timeseries": series });
    let due = mongodb::bson::DateTime::from_millis(1_768_698_000_000);
    let row = doc! { "scheduledFor": due, "status": "queued", "exportPath": "scheduled", "entryId": ObjectId::new() };
    day.db.insert_many("series", vec![row]);
    let of_series = |name| day.command(name).env("BATCH_EXPORT_QUEUE_COLLECTION", "series");
    let sentence = told(&of_series("run").date(DATE).run().expect_code(30).json()["error"]);
    assert!(sentence.contains("series is a time-series collection"), "{sentence}");
    let doctor = of_series("doctor").run().expect_code(34).stdout;
    assert!(doctor.contains("series is a time-series collection") && !doctor.contains("lacks"), "{doctor}");
    let refused = |name| {
        let sentence = told(&of_series(name).run().expect_code(30).json()["error"]);
        assert!(sentence.contains("series is a time-series collection"), "{sentence}");
    };
    refused("init");
    // The rest of the database is ready, so that the rows are read.
    day.command("init").run().expect_code(0);
    let run = |more: &[&str]| of_series("run").date(DATE).args(more).run().expect_code(30).json();
    for result in [run(&["--now"]), run(&["--dry-run"])] {
        let sentence = told(&result["error"]);
        assert!(sentence.contains("series is a time-series collection"), "{result}");
        assert!(sentence.contains("recreate it as a plain collection"), "{result}");
        assert_eq!(result["error"]["stage"], "generate");
    }
    assert!(day.live_files().is_empty(), "nothing was stored for rows that cannot be marked");
}

/// They are read by their ids alone.
#[test]
fn entries_that_are_time_series_are_no_finding() {
    let day = Day::in_directory();
    day.db.command(doc! { "create": ENTRIES, "timeseries": { "timeField": "createdAt" } });
    seed_day(&day.db, DATE, 3);
    day.command("init").run().expect_code(0);
    let doctor = day.command("doctor").run().stdout;
    assert!(!doctor.contains("time-series"), "{doctor}");
    day.run().run().expect_code(0);
}

/// The queries of a collection have its collation, and so has an index that is made in it.
#[test]
fn a_queue_with_a_collation_is_served_by_an_index_that_has_it_too() {
    let day = Day::in_directory();
    day.db.command(doc! { "create": QUEUE, "collation": { "locale": "en", "strength": 2 } });
    let made = day.command("init").run().expect_code(0).json();
    assert_eq!(made["queue_index_created"], true, "{made}");
    assert_eq!(day.command("init").run().expect_code(0).json()["queue_index_created"], false);
    seed_day(&day.db, DATE, 3);
    day.run().run().expect_code(0);
    day.check_converged();
}

/// Also one that no transaction can read.
#[test]
fn entries_that_are_a_view_are_no_finding() {
    for (of, pipeline) in [(ENTRIES, vec![]), ("earlier", vec![doc! { "$unionWith": ENTRIES }])] {
        let day = Day::in_directory();
        seed_day(&day.db, DATE, 3);
        day.db.command(doc! { "create": "approved", "viewOn": of, "pipeline": pipeline });
        let of_view = |name| day.command(name).env("BATCH_EXPORT_ENTRIES_COLLECTION", "approved");
        of_view("init").run().expect_code(0);
        of_view("doctor").now(&chrono::Utc::now().to_rfc3339()).run().expect_code(0);
        of_view("run").date(DATE).run().expect_code(0);
        day.check_converged();
    }
}

#[test]
fn a_server_that_refuses_queries_without_an_index_is_no_reason_to_wait() {
    let proxy = Proxy::before(Mongod::shared());
    let day = Day::in_directory();
    seed_day(&day.db, DATE, 3);
    day.run().run().expect_code(0);
    let day = day.through(&proxy);
    let by_number = On::command("find")
        .collection(BATCHES)
        .matching(|command| command.get_document("filter").is_ok_and(|filter| filter.contains_key("number")));
    let refused = proxy.answer(by_number.nth_and_later(1), error(291, "NoQueryExecutionPlans", &[]));
    let told = told(&day.command("verify").date(DATE).run().expect_code(30).json()["error"]);
    assert!(told.contains("notablescan: false"), "{told}");
    assert!(refused.times() > 0);
}

#[test]
fn a_view_in_place_of_the_queue_or_the_log_is_named() {
    let day = Day::in_directory();
    seed_day(&day.db, DATE, 3);
    create_index(&day.db);
    day.db.command(doc! { "create": "queueview", "viewOn": QUEUE, "pipeline": [] });
    day.db.command(doc! { "create": LOG, "viewOn": "logs", "pipeline": [] });
    let run = || day.run().arg("--now");
    let log = told(&run().run().expect_code(30).json()["error"]);
    assert!(log.contains(LOG) && log.contains("view"), "{log}");
    let other = run().env("BATCH_EXPORT_LOG_COLLECTION", "logs").env("BATCH_EXPORT_QUEUE_COLLECTION", "queueview");
    let queue = told(&other.run().expect_code(30).json()["error"]);
    assert!(queue.contains("queueview"), "{queue}");
    assert_eq!(day.rows_with_status("queued"), 3);
}

#[test]
fn a_row_that_the_application_holds_in_a_transaction_is_a_conflict_and_no_server_that_is_down() {
    let day = Day::in_directory();
    seed_day(&day.db, DATE, 3);
    let mut session = block(async {
        let mut session = day.db.database().client().start_session().await.unwrap();
        session.start_transaction().await.unwrap();
        let queue = day.db.database().collection::<mongodb::bson::Document>(QUEUE);
        queue.update_one(doc! {}, doc! { "$set": { "touched": true } }).session(&mut session).await.unwrap();
        session
    });
    let told = told(&day.run().run().expect_code(23).json()["error"]);
    assert!(told.contains("other programs keep writing"), "{told}");
    block(session.abort_transaction()).unwrap();
    day.run().arg("--now").run().expect_code(0);
    day.check_converged();
}

#[test]
fn an_index_that_is_built_behind_such_a_transaction_is_a_conflict_too() {
    let day = Day::in_directory();
    day.command("init").run().expect_code(0);
    seed_day(&day.db, DATE, 3);
    let queue = day.db.database().collection::<mongodb::bson::Document>(QUEUE);
    let mut session = block(async {
        let mut session = day.db.database().client().start_session().await.unwrap();
        session.start_transaction().await.unwrap();
        queue.update_one(doc! {}, doc! { "$set": { "touched": true } }).session(&mut session).await.unwrap();
        session
    });
    let name = day.db.name().to_owned();
    std::thread::scope(|scope| {
        let build = scope.spawn(|| {
            day.db.command(doc! { "createIndexes": QUEUE, "indexes": [{ "key": { "k": 1 }, "name": "k" }] });
        });
        let waits = doc! { "currentOp": true, "ns": { "$regex": format!("^{name}\\.") }, "waitingForLock": true };
        wait_until(|| {
            let admin = day.db.database().client().database("admin");
            !block(admin.run_command(waits.clone())).unwrap().get_array("inprog").unwrap().is_empty()
        });
        let told = told(&day.run().run().expect_code(23).json()["error"]);
        assert!(told.contains("other programs keep writing") && told.contains("db.currentOp()"), "{told}");
        block(session.abort_transaction()).unwrap();
        build.join().unwrap();
    });
    day.run().arg("--now").run().expect_code(0);
    day.check_converged();
}

/// The server ends an acquisition that waits, before the process does: else it would be done later, by nobody.
#[test]
fn a_batch_document_that_the_application_holds_in_a_transaction_is_not_acquired_after_the_end_of_the_run() {
    let day = Day::in_directory();
    day.command("init").run().expect_code(0);
    seed(&day.db, &[Entry::numbered(DATE, 0).amount(0)]);
    day.run().run().expect_code(32);
    let before = day.batch();
    let mut session = hold_batch(&day);
    let told = told(&day.run().arg("--now").run().expect_code(23).json()["error"]);
    assert!(
        told.contains("holds the batch document in exportbatches") && told.contains("within two minutes"),
        "{told}"
    );
    block(session.abort_transaction()).unwrap();
    assert_eq!(day.batch(), before);
}

#[test]
fn unlock_says_that_the_application_holds_the_batch_document() {
    let day = Day::in_directory();
    day.command("init").run().expect_code(0);
    seed(&day.db, &[Entry::numbered(DATE, 0).amount(0)]);
    day.run().run().expect_code(32);
    day.db.update_one("exportbatches", doc! { "_id": BATCH }, doc! { "$set": { "state": "exhausted" } });
    let mut session = hold_batch(&day);
    let told = told(&day.command("unlock").date(DATE).run().expect_code(23).json()["error"]);
    assert!(told.contains("holds the batch document in exportbatches"), "{told}");
    block(session.abort_transaction()).unwrap();
    day.command("unlock").date(DATE).run().expect_code(0);
}

/// A transaction of the application that holds the document of the batch.
fn hold_batch(day: &Day) -> mongodb::ClientSession {
    block(async {
        let mut session = day.db.database().client().start_session().await.unwrap();
        session.start_transaction().await.unwrap();
        let batches = day.db.database().collection::<mongodb::bson::Document>("exportbatches");
        let touched = doc! { "$set": { "touched": true } };
        batches.update_one(doc! { "_id": BATCH }, touched).session(&mut session).await.unwrap();
        session
    })
}

#[test]
fn a_server_that_refuses_all_writes_is_for_an_operator() {
    let proxy = Proxy::before(Mongod::shared());
    let day = Day::in_directory().through(&proxy);
    seed_day(&day.db, DATE, 3);
    create_index(&day.db);
    let _refused = ["findAndModify", "update", "insert"]
        .map(|command| proxy.answer(On::command(command).nth_and_later(1), error(371, "UserWritesBlocked", &[])));
    let told = told(&day.run().run().expect_code(30).json()["error"]);
    assert!(told.contains("setUserWriteBlockMode"), "{told}");
    let doctor = day.command("doctor").now(EVENING).run().expect_code(34).stdout;
    assert!(doctor.contains("setUserWriteBlockMode") && !doctor.contains("another server"), "{doctor}");
}

#[test]
fn a_primary_that_steps_down_during_the_lock_is_told_in_words() {
    let proxy = Proxy::before(Mongod::shared());
    let day = Day::in_directory().through(&proxy);
    seed_day(&day.db, DATE, 3);
    let late =
        doc! { "code": 11602, "codeName": "InterruptedDueToReplStateChange", "errmsg": "operation was interrupted" };
    let answer = doc! { "ok": 1, "value": null, "lastErrorObject": { "n": 0, "updatedExisting": false }, "writeConcernError": late };
    let _stepped_down = proxy.answer(On::command("findAndModify").nth_and_later(1), answer);
    let told = told(&day.run().run().expect_code(20).json()["error"]);
    assert!(told.contains("operation was interrupted (InterruptedDueToReplStateChange)"), "{told}");
    assert!(!told.contains("WriteConcernError(") && !told.contains("Some("), "{told}");
}

#[test]
fn a_server_that_is_not_the_primary_is_told_with_the_way_to_find_it() {
    let proxy = Proxy::before(Mongod::shared());
    let day = Day::in_directory().through(&proxy);
    seed_day(&day.db, DATE, 3);
    let _secondary =
        proxy.answer(On::command("findAndModify").nth_and_later(1), error(10_107, "NotWritablePrimary", &[]));
    let told = told(&day.run().run().expect_code(20).json()["error"]);
    assert!(told.contains("NotWritablePrimary") && told.contains("If MONGODB_URI has directConnection"), "{told}");
}

#[test]
fn tls_on_one_side_only_is_named() {
    let day = Day::in_directory();
    let front = TlsFront::before(([127, 0, 0, 1], Mongod::shared().port()).into());
    let with_tls: u16 = front.url("localhost").rsplit(':').next().unwrap().parse().unwrap();
    let plain = Mongod::shared().port();
    for (port, option, words) in [
        (plain, "tls=true", "remove tls=true"),
        (plain, "ssl=true", "remove ssl=true from"),
        (with_tls, "tls=false", "remove tls=false from MONGODB_URI and add tls=true"),
        (with_tls, "ssl=false", "remove ssl=false from MONGODB_URI and add tls=true"),
        (with_tls, "appName=x", "add tls=true"),
    ] {
        let uri = format!("mongodb://localhost:{port}/x?directConnection=true&serverSelectionTimeoutMS=2000&{option}");
        let told = told(&day.run().mongodb(&uri).run().expect_code(20).json()["error"]);
        assert!(told.contains(words), "{option}: {told}");
    }
}

#[test]
fn a_missing_right_is_told_without_the_whole_command() {
    let day = Day::on_secured_server();
    create_index(&day.db);
    day.command("init").run().expect_code(0);
    let name = day.db.name().to_owned();
    day.db.command(doc! { "createUser": "reader", "pwd": "of-the-test", "roles": [{ "role": "read", "db": &name }] });
    seed_day(&day.db, DATE, 3);
    let day = day.with_login("reader:of-the-test", &name);
    let error = day.run().run().expect_code(30).json()["error"].clone();
    let message = error["message"].as_str().unwrap();
    assert!(
        message.contains("not authorized") && message.contains("exportbatches") && message.len() < 200,
        "{message}"
    );
    let init = told(&day.command("init").run().expect_code(30).json()["error"]);
    assert!(init.contains("administrator"), "{init}");
}
