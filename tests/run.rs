//! `batch-export run`: the whole job on real parts, and the promises of the system that it replaces.

use std::time::Duration;

use mongodb::bson::{Bson, doc};

use crate::support::command::{BatchExport, Finished, told};
use crate::support::day::{BATCH, BATCHES, Day, FILE, entry_ids};
use crate::support::fake_drive::{Answer, Fault, On, Operation};
use crate::support::mongod::Mongod;
use crate::support::seed::{DATE, ENTRIES, Entry, QUEUE, seed, seed_day};

#[test]
fn csv_from_queued_entries_in_the_proper_format() {
    let day = Day::in_directory();
    seed(
        &day.db,
        &[
            Entry::numbered(DATE, 0).amount(123_450).kind("debit").set("description", "ค่าเช่า, \"สำนักงาน\""),
            Entry::numbered(DATE, 1)
                .amount(5)
                .kind("credit")
                .set("description", "=SUM(A1)")
                .set("accountCode", "2101-00"),
        ],
    );
    let result = day.run().run().expect_code(0).json();
    let live = day.live_files();
    let text = String::from_utf8(live[0].bytes.clone()).unwrap();
    let ids = entry_ids(&live[0].bytes);
    let expected = format!(
        "Entry ID,Date,Account,Debit,Credit,Description\r\n\
         {},2026-01-18,1101-00,1234.50,0.00,\"ค่าเช่า, \"\"สำนักงาน\"\"\"\r\n\
         {},2026-01-18,2101-00,0.00,0.05,'=SUM(A1)\r\n",
        ids[0], ids[1]
    );
    assert_eq!(text, expected);
    assert_eq!((live.len(), &*live[0].name), (1, FILE));
    assert_eq!(result["guarded_cells"], 1);
    assert_eq!((result["total_debit"].as_str(), result["total_credit"].as_str()), (Some("1234.50"), Some("0.05")));
}

#[test]
fn duplicate_runs_are_prevented() {
    let day = Day::on_drive();
    seed_day(&day.db, DATE, 20);
    let first = day.run().run().expect_code(0).json();
    let requests = day.drive().journal().len();
    let (batch, log) = (day.batch(), day.log());
    let second = day.run().run().expect_code(0).json();
    assert_eq!((first["outcome"].as_str(), second["outcome"].as_str()), (Some("completed"), Some("already_completed")));
    assert_eq!((&first["sha256"], &first["number"]), (&second["sha256"], &second["number"]));
    assert_eq!((day.batch(), day.log()), (batch, log), "the second run changed something");
    assert_eq!(day.drive().journal().len(), requests, "the second run asked Drive for something");
    day.check_converged();
}

#[test]
fn entries_are_marked_completed_after_a_successful_batch() {
    let day = Day::on_drive();
    let seeded = seed_day(&day.db, DATE, 12);
    day.db.update_one(QUEUE, doc! { "_id": seeded.rows[0] }, doc! { "$set": { "metadata": Bson::Null } });
    let result = day.run().run().expect_code(0).json();
    for row in day.db.find_all(QUEUE, doc! {}) {
        assert_eq!(row.get_str("status").unwrap(), "completed");
        let metadata = row.get_document("metadata").unwrap();
        assert_eq!(metadata.get_str("batchId").unwrap(), BATCH);
        assert_eq!(metadata.get_str("googleDriveFileId").ok(), result["file"]["id"].as_str());
        assert_eq!(metadata.get_str("googleDriveUrl").ok(), result["file"]["link"].as_str());
        let survives = row.get_object_id("_id").unwrap() == seeded.rows[0] || metadata.get_str("requestedBy").is_ok();
        assert!(survives, "the rest of metadata is gone: {row}");
        assert!(row.get_datetime("completedAt").is_ok() && row.get("completedAt") == row.get("updatedAt"));
    }
    day.check_converged();
}

#[test]
fn export_log_is_written_with_metadata() {
    let day = Day::on_drive();
    let seeded = seed_day(&day.db, DATE, 10);
    let result = day.run().run().expect_code(0).json();
    let log = day.log();
    assert_eq!(log.len(), 1);
    assert_eq!(log[0].get("queueId"), Some(&Bson::Null));
    assert_eq!(
        (log[0].get_str("action").unwrap(), log[0].get_str("performedBy").unwrap()),
        ("csv_generated", "system")
    );
    assert!(log[0].get_datetime("createdAt").is_ok() && log[0].get_str("message").unwrap().contains("10 entries"));
    let expected = doc! {
        "batchDate": DATE,
        "batchId": BATCH,
        "number": 1_i64,
        "previousSha256": null,
        "attempt": 1,
        "filename": FILE,
        "fileId": result["file"]["id"].as_str(),
        "webViewLink": result["file"]["link"].as_str(),
        "entryCount": 10_i64,
        "rowCount": 10_i64,
        "csvSize": result["bytes"].as_i64(),
        "sha256": result["sha256"].as_str(),
        "totalDebit": seeded.total_debit,
        "totalCredit": seeded.total_credit,
    };
    assert_eq!(log[0].get_document("metadata").unwrap(), &expected);
}

#[test]
fn of_ten_concurrent_triggers_exactly_one_exports() {
    let day = Day::on_drive();
    seed_day(&day.db, DATE, 200);
    let running: Vec<_> = (0..10).map(|_| day.run().spawn()).collect();
    let ended: Vec<Finished> = running.into_iter().map(|run| run.wait(Duration::from_secs(60))).collect();
    let completed = ended.iter().filter(|run| run.json()["outcome"] == "completed").count();
    assert_eq!(completed, 1);
    assert!(
        ended.iter().all(|run| run.code == 0 || run.code == 10),
        "{:?}",
        ended.iter().map(|run| run.code).collect::<Vec<_>>()
    );
    for held in ended.iter().filter(|run| run.code == 10) {
        let message = held.json()["error"]["message"].as_str().unwrap().to_owned();
        assert!(message.contains("pid ") && message.contains("since "), "{message}");
    }
    day.check_converged();
}

#[test]
fn ten_thousand_entries_stay_far_below_100_mb() {
    let day = Day::in_directory();
    seed_day(&day.db, DATE, 10_000);
    let run = day.run().run().expect_code(0);
    assert_eq!(run.json()["entries"], 10_000);
    // 34 to 36 MiB are usual, some 10 of them the code of a program that is compiled for tests; the rest of the room is for a busy machine.
    assert!(run.peak_memory_kib < 48 * 1024, "peak memory {} KiB", run.peak_memory_kib);
    day.check_converged();
}

#[test]
fn a_failure_of_drive_leaves_rows_queued_no_log_and_a_recorded_attempt() {
    let day = Day::on_drive();
    seed_day(&day.db, DATE, 10);
    day.drive().plan(On::every(Operation::Start), Fault::answer(Answer::error(403, "storageQuotaExceeded")));
    let run = day.run().run().expect_code(31);
    let result = run.json();
    assert_eq!((&result["outcome"], &result["error"]["stage"]), (&"drive_rejected".into(), &"upload".into()));
    assert_eq!(day.rows_with_status("queued"), 10);
    assert!(day.log().is_empty() && day.live_files().is_empty() && run.spool_is_empty());
    let batch = day.batch();
    assert_eq!(batch.get_str("state").unwrap(), "failed");
    let due = batch.get_datetime("nextRetryAt").unwrap().timestamp_millis();
    let ended = batch.get_datetime("updatedAt").unwrap().timestamp_millis();
    assert_eq!(due - ended, 5 * 60 * 1000, "the first retry is after 5 minutes");
    let history = batch.get_array("history").unwrap();
    let attempt = history[0].as_document().unwrap();
    assert_eq!(attempt.get_str("class").unwrap(), "drive_rejected");
    assert_eq!(attempt.get_str("stage").unwrap(), "upload");
    day.check_guarantees();
}

#[test]
fn fifty_entries_become_one_file_one_log_and_a_second_run_changes_nothing() {
    let day = Day::in_directory();
    let seeded = seed_day(&day.db, DATE, 50);
    let result = day.run().run().expect_code(0).json();
    let live = day.live_files();
    let expected: Vec<String> = seeded.entries.iter().map(|id| id.to_hex()).collect();
    assert_eq!(entry_ids(&live[0].bytes), expected, "in the order of scheduledFor, then _id");
    assert_eq!(
        (result["entries"].as_u64(), result["number"].as_i64(), result["attempt"].as_i64()),
        (Some(50), Some(1), Some(1))
    );
    assert_eq!(day.rows_with_status("completed"), 50);
    let before = (day.batch(), day.log(), day.live_files(), day.db.find_all(QUEUE, doc! {}));
    day.run().run().expect_code(0);
    assert_eq!((day.batch(), day.log(), day.live_files(), day.db.find_all(QUEUE, doc! {})), before);
    day.check_converged();
}

#[test]
fn a_run_before_its_cut_off_waits_unless_early() {
    let day = Day::in_directory();
    seed_day(&day.db, DATE, 5);
    let noon = "2026-01-18T17:59:59+07:00";
    let refused = day.run().now(noon).run().expect_code(11);
    assert_eq!(refused.json()["outcome"], "not_due");
    assert!(day.db.find_one(BATCHES, doc! { "_id": BATCH }).is_none());
    day.run().now(noon).arg("--early").run().expect_code(0);
    day.check_converged();
}

#[test]
fn a_variable_that_is_set_to_nothing_counts_as_not_set() {
    let day = Day::in_directory();
    seed_day(&day.db, DATE, 5);
    let help = BatchExport::command("run").arg("--help").run().expect_code(0).stdout;
    let named = help.split("[env: ").skip(1).filter_map(|rest| rest.split(['=', ']']).next());
    let given = ["MONGODB_URI", "BATCH_EXPORT_DESTINATION", "BATCH_EXPORT_OUTPUT"];
    let others: Vec<&str> = named.filter(|name| !given.contains(name)).collect();
    assert!(others.len() > 25, "{others:?}");
    let run = others.iter().fold(day.run(), |run, name| run.env(name, ""));
    run.run().expect_code(0);
    day.check_converged();
    let refused = BatchExport::command("run").env("MONGODB_URI", "").env("BATCH_EXPORT_DESTINATION", "").run();
    // Both at once, each with its next step.
    let refused = refused.expect_code(30).stdout;
    assert!(refused.contains("no destination is set; no database is set"), "{refused}");
    assert!(refused.contains("set --destination to") && refused.contains("set MONGODB_URI to"), "{refused}");
}

#[test]
fn an_empty_day_is_recorded_and_may_be_run_again() {
    let day = Day::with_empty_queue();
    assert_eq!(day.run().run().expect_code(0).json()["outcome"], "empty");
    assert_eq!(day.batch().get_str("state").unwrap(), "empty");
    seed_day(&day.db, DATE, 3);
    assert_eq!(day.run().run().expect_code(0).json()["outcome"], "completed");
    day.check_converged();
}

#[test]
fn what_an_earlier_day_left_is_carried_over_and_counted() {
    let day = Day::in_directory();
    seed_day(&day.db, "2026-01-16", 4);
    seed_day(&day.db, DATE, 3);
    let result = day.run().run().expect_code(0).json();
    assert_eq!((result["entries"].as_u64(), result["carried_over"].as_u64()), (Some(7), Some(4)));
    day.check_converged();
}

#[test]
fn invalid_entries_stop_the_batch_and_are_all_listed() {
    let day = Day::in_directory();
    seed(
        &day.db,
        &[
            Entry::numbered(DATE, 0),
            Entry::numbered(DATE, 1).set("status", "draft"),
            Entry::numbered(DATE, 2).set("amount", 10.5),
            Entry::numbered(DATE, 3).without("date"),
        ],
    );
    day.db.delete_many(ENTRIES, doc! { "_id": Entry::numbered(DATE, 0).id() });
    let result = day.run().run().expect_code(32).json();
    assert_eq!(result["invalid"].as_array().unwrap().len(), 4);
    assert!(day.live_files().is_empty());
    assert_eq!(day.rows_with_status("queued"), 4);
    day.check_guarantees();
}

#[test]
fn a_queue_row_that_names_no_entry_is_told_by_its_own_id() {
    let day = Day::in_directory();
    let entry = Entry::numbered(DATE, 0);
    day.db.insert_many(ENTRIES, vec![entry.document()]);
    let mut row = entry.row();
    row.insert("entryId", "not an id");
    let id = row.get_object_id("_id").unwrap().to_hex();
    day.db.insert_many(QUEUE, vec![row]);
    let error = &day.run().run().expect_code(32).json()["error"];
    let message = error["message"].as_str().unwrap();
    assert!(message.starts_with(&format!("queue row {id} must not be exported: the queue row's entryId")), "{message}");
    // Nothing retries a dry run, and after the last retry nothing retries this either.
    assert!(!message.contains("retry"), "{message}");
}

#[test]
fn an_entry_that_is_queued_twice_is_never_in_the_file_twice() {
    let day = Day::in_directory();
    seed_day(&day.db, DATE, 3);
    let mut row = Entry::numbered(DATE, 1).row();
    row.insert("_id", mongodb::bson::oid::ObjectId::new());
    day.db.insert_many(QUEUE, vec![row]);
    let result = day.run().run().expect_code(32).json();
    assert_eq!(result["invalid"].as_array().unwrap().len(), 2, "both rows are named: {result}");
    day.check_guarantees();
}

#[test]
fn a_foreign_file_of_the_same_name_is_never_replaced() {
    let day = Day::in_directory();
    seed_day(&day.db, DATE, 3);
    std::fs::write(day.directory().join(FILE), "somebody else's").unwrap();
    day.run().run().expect_code(31);
    assert_eq!(std::fs::read_to_string(day.directory().join(FILE)).unwrap(), "somebody else's");
    assert_eq!(day.rows_with_status("queued"), 3);
}

#[test]
fn a_directory_that_a_stopped_run_holds_is_named_and_left_to_retry() {
    let day = Day::in_directory();
    seed_day(&day.db, DATE, 3);
    let folder = std::fs::File::open(day.directory()).unwrap();
    rustix::fs::flock(&folder, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let busy = day.run().args(&["--upload-timeout", "700ms"]).run().expect_code(22);
    let message = told(&busy.json()["error"]);
    assert!(message.contains(&format!("`fuser -v {}` names it", day.directory().display())), "{message}");
    assert!(busy.stderr.contains("waits for another run that works in the directory"), "{}", busy.stderr);
    drop(folder);
    day.let_time_pass();
    day.retry().run().expect_code(0);
    day.check_converged();
}

#[test]
fn a_dry_run_writes_nothing_anywhere() {
    let day = Day::on_drive();
    seed_day(&day.db, DATE, 30);
    let collections = |day: &Day| {
        let mut names = crate::support::block(day.db.database().list_collection_names()).unwrap();
        names.sort();
        names
    };
    let before = (collections(&day), day.db.find_all(QUEUE, doc! {}));
    let dry = day.run().arg("--dry-run").run().expect_code(0);
    let result = dry.json();
    assert_eq!(result["outcome"], "dry_run");
    assert_eq!((collections(&day), day.db.find_all(QUEUE, doc! {})), before);
    assert!(day.drive().journal().is_empty() && dry.spool_is_empty());
    let real = day.run().run().expect_code(0).json();
    assert_eq!(
        (&real["sha256"], &real["bytes"], &real["entries"]),
        (&result["sha256"], &result["bytes"], &result["entries"])
    );
}

#[test]
fn bad_input_gets_one_clear_sentence_and_its_code() {
    let day = Day::in_directory();
    let folder = day.directory().display().to_string();
    let uri = day.db.uri();
    let base = || BatchExport::command("run").mongodb(&uri).destination(&format!("file://{folder}"));
    let cases: [(BatchExport, i32, &str); 11] = [
        (base().date("2026-02-30"), 2, "2026-02-30"),
        (base().env("BATCH_EXPORT_TIMEZONE", "Mars/Olympus"), 30, "Mars/Olympus"),
        (base().env("BATCH_EXPORT_CUTOFF", "25:00"), 30, "25:00"),
        (base().mongodb("http://localhost"), 30, "MONGODB_URI"),
        (base().mongodb("mongodb://:@:x"), 30, "MONGODB_URI"),
        (base().destination("ftp://x"), 30, "BATCH_EXPORT_DESTINATION"),
        (base().destination("gdrive://abc"), 30, "set --credentials"),
        (
            base().destination("gdrive://abc").env("GOOGLE_APPLICATION_CREDENTIALS", "/nowhere/key.json"),
            30,
            "/nowhere/key.json",
        ),
        (base().env("BATCH_EXPORT_LEASE", "soon"), 30, "soon"),
        (base().env("BATCH_EXPORT_TRANSACTION_ROWS", "0"), 30, "TRANSACTION_ROWS"),
        (base().env("BATCH_EXPORT_RETRY_DELAYS", "5m,,45m"), 30, "RETRY_DELAYS"),
    ];
    for (command, code, named) in cases {
        let ended = command.run().expect_code(code);
        let said = format!("{}{}", ended.stdout, ended.stderr);
        assert!(said.contains(named), "{named} is not named: {}", ended.report());
        assert!(!said.contains("panicked"), "{}", ended.report());
    }
}

#[test]
fn a_wrong_setting_still_gives_the_whole_object() {
    let day = Day::with_empty_queue();
    let good = day.run().run().expect_code(0).json();
    let refused = day.run().env("BATCH_EXPORT_FORMAT", "xml").run().expect_code(30).json();
    let names = |result: &serde_json::Value| result.as_object().expect("an object").keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&refused), names(&good));
    assert_eq!((&refused["batch"], &refused["error"]["class"]), (&BATCH.into(), &"configuration".into()));
    let retry = day.retry().env("BATCH_EXPORT_FORMAT", "xml").run().expect_code(30).json();
    assert_eq!((&retry["command"], &retry["batches"]), (&"retry".into(), &serde_json::json!([])));
}

#[test]
fn a_standalone_server_is_refused_with_the_remedy() {
    let server = Mongod::start_standalone();
    for query in ["", "?serverSelectionTimeoutMS=300&replicaSet=x"] {
        let uri = format!("mongodb://127.0.0.1:{}/{query}", server.port());
        let refused = BatchExport::command("run").mongodb(&uri).destination("file:///tmp").run().expect_code(30);
        assert!(refused.stdout.contains("--replSet"), "{}", refused.report());
    }
}

#[test]
fn a_replica_set_that_is_not_initiated_is_refused_with_the_remedy() {
    let server = Mongod::start_uninitiated();
    // Directly; by discovery, where the driver sees no server at all; and with the name of the set.
    for query in ["directConnection=true", "directConnection=false", "replicaSet=tests"] {
        let uri = format!("mongodb://127.0.0.1:{}/?serverSelectionTimeoutMS=300&{query}", server.port());
        let refused = BatchExport::command("run").mongodb(&uri).destination("file:///tmp").run().expect_code(30);
        let said = &refused.stdout;
        assert!(said.contains("rs.initiate()") && !said.contains("standalone"), "{query}: {}", refused.report());
    }
}

#[test]
fn an_unreachable_database_is_named_and_left_to_retry() {
    let uri = "mongodb://127.0.0.1:1/?replicaSet=rs&serverSelectionTimeoutMS=300";
    let ended = BatchExport::command("run").mongodb(uri).destination("file:///tmp").run().expect_code(20);
    assert!(ended.stdout.contains("database_unavailable"), "{}", ended.report());
    assert!(ended.stdout.contains("host and port in MONGODB_URI"), "{}", ended.report());
}

#[test]
fn a_wrong_name_of_the_replica_set_or_of_the_database_is_for_an_operator_to_correct() {
    let port = Mongod::shared().port();
    let wrong = format!("mongodb://127.0.0.1:{port}/?replicaSet=somewhere-else&serverSelectionTimeoutMS=300");
    let base = || BatchExport::command("run").destination("file:///tmp");
    let ended = base().mongodb(&wrong).run().expect_code(30);
    assert!(
        ended.stdout.contains("the replica set is called") && ended.stdout.contains("somewhere-else"),
        "{}",
        ended.report()
    );
    let direct = format!("mongodb://127.0.0.1:{port}/?directConnection=true");
    let ended = base().mongodb(&direct).env("MONGODB_DATABASE", "not.a.name").run().expect_code(30);
    assert!(ended.stdout.contains("correct --database"), "{}", ended.report());
}

#[test]
fn each_step_is_in_the_log_when_it_is_asked_for() {
    let day = Day::on_drive();
    seed_day(&day.db, DATE, 3);
    let ended = day.run().args(&["-v", "--log-format", "json"]).run().expect_code(0);
    let file = ended.json()["file"]["id"].as_str().unwrap().to_owned();
    let steps: Vec<serde_json::Value> = ended.stderr.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let step = |message: &str, field: &str| {
        let found = steps.iter().find(|step| step["message"] == message);
        found.unwrap_or_else(|| panic!("{message}: {}", ended.report()))[field].clone()
    };
    assert_eq!((step("generated", "entries"), step("committed", "number")), (3.into(), 1.into()));
    assert_eq!(step("stored", "id"), *file);
    assert!(
        ["lock", "generate", "upload", "commit"].iter().all(|stage| steps.iter().any(|step| step["stage"] == *stage))
    );
}

#[test]
fn a_password_never_appears() {
    let uri = "mongodb://app:s3cretpass@127.0.0.1:1/?serverSelectionTimeoutMS=300&authSource=admin";
    let ended = BatchExport::command("run").arg("-vv").mongodb(uri).destination("file:///tmp").run();
    assert!(!format!("{}{}", ended.stdout, ended.stderr).contains("s3cretpass"), "{}", ended.report());
}
