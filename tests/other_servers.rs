//! Servers that speak MongoDB's protocol and lack what a run needs: refused with what is missing, before anything is changed.

use mongodb::bson::doc;

use crate::support::command::{BatchExport, told};
use crate::support::day::{Day, LOG};
use crate::support::mongod::Mongod;
use crate::support::proxy::{On, Proxy};
use crate::support::seed::{DATE, seed_day};
use crate::support::stand_in::{AMAZON_DOCUMENTDB, COSMOS_DB, FERRETDB_1, FERRETDB_2, Profile, StandIn};

const PIPELINES: &str = "update pipelines with $$NOW";
const SNAPSHOTS: &str = "snapshot reads";
const TRANSACTIONS: &str = "transactions";

/// `init` and `doctor` name exactly these abilities, and the words of the server; nothing is left in it.
#[track_caller]
fn lacks(profile: Profile, missing: &[&str], words: &str) {
    let server = StandIn::start(profile);
    let folder = tempfile::tempdir().unwrap();
    let command = |name| {
        let destination = format!("file://{}", folder.path().display());
        let command = BatchExport::command(name).mongodb(&server.uri()).destination(&destination);
        command.env("BATCH_EXPORT_OUTPUT", "json")
    };
    let init = command("init").run().expect_code(30).json();
    let doctor = command("doctor").run().expect_code(34).json();
    let check = doctor["checks"].as_array().unwrap().iter().find(|check| check["name"] == "abilities").unwrap();
    assert_eq!(check["verdict"], "bad", "{check}");
    for text in [told(&init["error"]), check.to_string().replace("\\\"", "\"")] {
        for ability in [PIPELINES, SNAPSHOTS, TRANSACTIONS] {
            assert_eq!(text.contains(&format!("{ability}: ")), missing.contains(&ability), "{ability} in {text}");
        }
        assert!(text.contains(words) && text.contains("Amazon DocumentDB"), "{words:?} is not in {text}");
    }
    if missing.contains(&PIPELINES) {
        // The very first write of a run is refused, and the run finds out the rest.
        let run = command("run").date(DATE).run().expect_code(30).json();
        assert_eq!(run["error"]["message"], init["error"]["message"], "{run}");
    }
    assert!(server.kept().is_empty(), "{:?}", server.kept());
}

#[test]
fn amazon_documentdb_lacks_pipelines_and_passes_over_snapshots() {
    lacks(AMAZON_DOCUMENTDB, &[PIPELINES, SNAPSHOTS], "Failed to parse update: field must be of BSON type object");
}

#[test]
fn ferretdb_1_lacks_all_three_and_what_its_transaction_left_is_removed() {
    lacks(FERRETDB_1, &[PIPELINES, SNAPSHOTS, TRANSACTIONS], "an aborted transaction left what it wrote");
}

#[test]
fn ferretdb_2_lacks_snapshots() {
    lacks(FERRETDB_2, &[SNAPSHOTS], "'Snapshot' read concern is not supported");
}

#[test]
fn cosmos_db_lacks_transactions_and_passes_over_snapshots() {
    lacks(COSMOS_DB, &[SNAPSHOTS, TRANSACTIONS], "Transaction is not active");
}

#[test]
fn a_first_run_without_snapshot_reads_ends_before_it_makes_anything() {
    let proxy = Proxy::before(Mongod::shared());
    let day = Day::in_directory().through(&proxy);
    seed_day(&day.db, DATE, 3);
    let words = "'Snapshot' read concern is not supported";
    let at_snapshot = On::command("find").matching(|command| {
        command
            .get_document("readConcern")
            .is_ok_and(|concern| concern.get_str("level").is_ok_and(|level| level == "snapshot"))
    });
    let at_snapshot = at_snapshot.nth_and_later(1);
    let refusal = doc! { "ok": 0, "errmsg": words, "code": 115, "codeName": "CommandNotSupported" };
    let refused = proxy.answer(at_snapshot, refusal);
    let ended = day.run().run().expect_code(30).json();
    let told = told(&ended["error"]);
    assert!(told.contains("snapshot reads") && told.contains(words), "{told}");
    assert!(refused.times() > 0);
    assert_eq!((day.rows_with_status("queued"), day.log().len(), day.live_files().len()), (3, 0, 0));
    let made = day.db.block(day.db.database().list_collection_names()).unwrap();
    assert!(!made.iter().any(|name| name == "exportbatchrows" || name == LOG), "{made:?}");
}

/// A server that takes the fields of a transaction for nothing: what is written in one is there at once.
const OF_TRANSACTIONS: [&str; 5] = ["autocommit", "startTransaction", "txnNumber", "lsid", "readConcern"];

#[test]
fn transactions_that_are_passed_over_are_refused_before_the_upload_also_with_a_ledger() {
    let (no_such, done) = (doc! { "ok": 0, "errmsg": "no such command", "code": 59 }, doc! { "ok": 1 });
    for (answer, is_large) in [(no_such, false), (done, true)] {
        let proxy = Proxy::before(Mongod::shared());
        let day = Day::in_directory();
        seed_day(&day.db, DATE, 3);
        day.command("init").run().expect_code(0);
        let day = day.through(&proxy);
        let _ends = ["commitTransaction", "abortTransaction"]
            .map(|name| proxy.answer(On::command(name).nth_and_later(1), answer.clone()));
        let in_one = On::any().matching(|command| command.contains_key("autocommit")).nth_and_later(1);
        let passed_over = proxy.without(in_one, &OF_TRANSACTIONS);
        let rows = if is_large { "1" } else { "100" };
        let ended = day.run().args(&["--transaction-rows", rows]).run().expect_code(30).json();
        let told = told(&ended["error"]);
        assert!(told.contains("lacks") && told.contains(TRANSACTIONS) && !told.contains(PIPELINES), "{told}");
        assert!(passed_over.times() > 0);
        assert_eq!((day.rows_with_status("queued"), day.log().len(), day.live_files().len()), (3, 0, 0));
        drop((passed_over, _ends));
        day.run().arg("--now").run().expect_code(0);
        day.check_converged();
    }
}

#[test]
fn snapshots_that_are_passed_over_are_refused_before_the_upload_also_with_a_ledger() {
    let proxy = Proxy::before(Mongod::shared());
    let day = Day::in_directory();
    seed_day(&day.db, DATE, 3);
    day.command("init").run().expect_code(0);
    let day = day.through(&proxy);
    let at_snapshot = On::any().matching(|command| {
        let level = command.get_document("readConcern").ok().and_then(|concern| concern.get_str("level").ok());
        level == Some("snapshot") && !command.contains_key("autocommit")
    });
    let passed_over = proxy.without(at_snapshot.nth_and_later(1), &["readConcern"]);
    let told = told(&day.run().run().expect_code(30).json()["error"]);
    assert!(told.contains("lacks") && told.contains(SNAPSHOTS) && !told.contains(TRANSACTIONS), "{told}");
    assert_eq!((day.rows_with_status("queued"), day.log().len(), day.live_files().len()), (3, 0, 0));
    drop(passed_over);
    day.run().arg("--now").run().expect_code(0);
    day.check_converged();
}

/// Amazon DocumentDB 3.6 and 4.0, Cosmos DB by request units; and servers that keep no sessions.
#[test]
fn an_old_protocol_and_a_server_without_sessions_are_no_reason_to_wait() {
    let old = |version: i32| StandIn::saying(AMAZON_DOCUMENTDB, doc! { "maxWireVersion": version });
    let without_sessions = StandIn::saying(AMAZON_DOCUMENTDB, doc! { "logicalSessionTimeoutMinutes": null });
    for (server, words) in [(old(5), "wire version 5"), (old(8), "wire version 8"), (without_sessions, "lacks")] {
        let folder = tempfile::tempdir().unwrap();
        let destination = format!("file://{}", folder.path().display());
        let command = |name| BatchExport::command(name).mongodb(&server.uri()).destination(&destination);
        let command = |name| command(name).args(&["--output", "json"]);
        let run = told(&command("run").date(DATE).run().expect_code(30).json()["error"]);
        assert!(run.contains(words) && run.contains("5.0"), "{run}");
        assert!(!run.contains("see whether"), "{run}");
        let doctor = command("doctor").run().expect_code(34).stdout;
        assert!(doctor.contains(words), "{doctor}");
        assert!(server.kept().is_empty(), "{:?}", server.kept());
    }
}

#[test]
fn a_field_that_the_server_does_not_know_is_a_missing_ability() {
    let words = "BSON field 'insert.autocommit' is an unknown field.";
    lacks(
        Profile { transactions: Some((40_415, "Location40415", words)), ..FERRETDB_2 },
        &[SNAPSHOTS, TRANSACTIONS],
        words,
    );
}

#[test]
fn a_server_that_wants_a_version_of_its_api_declared_is_no_reason_to_wait() {
    let words = "The apiVersion parameter is required, please configure your MongoClient's API version";
    let refusal = doc! { "ok": 0, "errmsg": words, "code": 498_870, "codeName": "Location498870" };
    let server = StandIn::saying(FERRETDB_2, refusal.clone());
    let proxy = Proxy::before(Mongod::shared());
    let day = Day::in_directory().through(&proxy);
    let _refused = proxy.answer(On::any().nth_and_later(1), refusal);
    // From the start, and after the first connections.
    for uri in [format!("{}&serverSelectionTimeoutMS=600000", server.uri()), proxy.uri(&day.db)] {
        for (command, exit) in [("run", 30), ("init", 30), ("doctor", 34)] {
            let ended = day.command(command).mongodb(&uri).run().expect_code(exit).stdout;
            assert!(ended.contains(words) && ended.contains("requireApiVersion: false"), "{ended}");
        }
    }
}

/// MongoDB says the same of a capped collection.
#[test]
fn transactions_that_are_refused_as_of_a_collection_are_a_missing_ability() {
    let words = "Cannot run 'insert' in a multi-document transaction.";
    let refusal = Some((263, "OperationNotSupportedInTransaction", words));
    lacks(Profile { transactions: refusal, ..FERRETDB_2 }, &[SNAPSHOTS, TRANSACTIONS], words);
}

#[test]
fn commits_that_are_refused_are_a_missing_ability_for_doctor_and_init_before_a_run() {
    let proxy = Proxy::before(Mongod::shared());
    let day = Day::in_directory();
    seed_day(&day.db, DATE, 3);
    day.command("init").run().expect_code(0);
    let day = day.through(&proxy);
    let words = "no such command: 'commitTransaction'";
    let refusal = doc! { "ok": 0, "errmsg": words, "code": 59, "codeName": "CommandNotFound" };
    let refused = proxy.abort_and_answer(On::command("commitTransaction").nth_and_later(1), refusal);
    let doctor = day.command("doctor").run().expect_code(34).json();
    let check = doctor["checks"].as_array().unwrap().iter().find(|check| check["name"] == "abilities").unwrap();
    let init = told(&day.command("init").run().expect_code(30).json()["error"]);
    let run = day.run().run().expect_code(30);
    assert!(!run.stderr.contains("has to be run again"), "{}", run.report());
    for text in [check.to_string(), init, told(&run.json()["error"])] {
        assert!(text.contains(&format!("{TRANSACTIONS}: {words}")) && !text.contains(PIPELINES), "{text}");
    }
    assert_eq!((day.rows_with_status("queued"), day.log().len()), (3, 0));
    drop(refused);
    day.run().arg("--now").run().expect_code(0);
    day.check_converged();
}

#[test]
fn retryable_writes_are_named_where_they_alone_are_missing() {
    let proxy = Proxy::before(Mongod::shared());
    let day = Day::in_directory().through(&proxy);
    seed_day(&day.db, DATE, 3);
    let words = "Transaction numbers are only allowed on a replica set member or mongos";
    let retryable =
        On::any().matching(|command| command.contains_key("txnNumber") && !command.contains_key("autocommit"));
    let refusal = doc! { "ok": 0, "errmsg": words, "code": 20, "codeName": "IllegalOperation" };
    let _refused = proxy.answer(retryable.nth_and_later(1), refusal);
    let refused = told(&day.run().run().expect_code(30).json()["error"]);
    assert!(refused.contains("retryWrites=false") && !refused.contains(PIPELINES), "{refused}");
    day.run().mongodb(&format!("{}&retryWrites=false", proxy.uri(&day.db))).run().expect_code(0);
    day.check_converged();
}

/// As a standalone server answers each write with a number, whether or not the driver repeats writes.
#[test]
fn transactions_are_named_where_a_server_refuses_the_numbers_of_both() {
    let proxy = Proxy::before(Mongod::shared());
    let day = Day::in_directory().through(&proxy);
    seed_day(&day.db, DATE, 3);
    let numbered = On::any().matching(|command| command.contains_key("txnNumber")).nth_and_later(1);
    let words = "Transaction numbers are only allowed on a replica set member or mongos";
    let refusal = doc! { "ok": 0, "errmsg": words, "code": 20, "codeName": "IllegalOperation" };
    let refused = proxy.answer(numbered, refusal);
    for uri in [proxy.uri(&day.db), format!("{}&retryWrites=false", proxy.uri(&day.db))] {
        let run = day.run().arg("--now").mongodb(&uri).run().expect_code(30).json();
        let init = day.command("init").mongodb(&uri).run().expect_code(30).json();
        for ended in [run, init] {
            let message = ended["error"]["message"].as_str().expect("a message");
            assert!(message.starts_with("the MongoDB server lacks what a run needs: transactions: "), "{ended}");
            assert!(!message.contains("retryWrites=false") && !message.contains(PIPELINES), "{ended}");
        }
    }
    drop(refused);
    day.run().arg("--now").run().expect_code(0);
    day.check_converged();
}
