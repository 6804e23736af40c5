//! `batch-export doctor`: each fault is found and reported with its fix, and nothing is left behind.

use std::collections::BTreeSet;
use std::time::Duration;

use mongodb::bson::doc;
use serde_json::Value;

use crate::support::command::{BatchExport, Finished};
use crate::support::day::{BATCHES, Day, LOG};
use crate::support::fake_drive::{Answer, Fault, On, Operation, Point, Role, SCOPE_DRIVE_FILE};
use crate::support::mongod::Mongod;
use crate::support::proxy::{On as OnDatabase, Proxy, error};
use crate::support::seed::{DATE, ENTRIES, QUEUE, create_index, seed_day};

/// With the true time of day: the clock is one of the checks.
fn doctor(day: &Day) -> BatchExport {
    day.command("doctor").now(&chrono::Utc::now().to_rfc3339())
}

fn check<'a>(result: &'a Value, name: &str) -> &'a Value {
    let checks = result["checks"].as_array().expect("checks");
    checks.iter().find(|check| check["name"] == name).unwrap_or_else(|| panic!("no check {name}: {result}"))
}

/// The check is bad, and what it says (the fix included) contains the words.
#[track_caller]
fn assert_bad(result: &Value, name: &str, words: &str) {
    let check = check(result, name);
    assert_eq!(check["verdict"], "bad", "{check}");
    assert!(check["fix"].is_string(), "{check}");
    assert!(check.to_string().contains(words), "{words:?} is not in {check}");
}

#[test]
fn an_index_that_deletes_what_a_run_needs_is_told_and_one_that_deletes_the_rest_is_not() {
    let partial = |filter| Some(filter);
    for (collection, key, filter, verdict) in [
        (QUEUE, "createdAt", None, "warning"),
        (QUEUE, "completedAt", None, "ok"),
        (QUEUE, "createdAt", partial(doc! { "status": "completed" }), "ok"),
        (QUEUE, "createdAt", partial(doc! { "exportPath": "manual" }), "ok"),
        (QUEUE, "createdAt", partial(doc! { "exportPath": { "$eq": "manual" } }), "ok"),
        (QUEUE, "createdAt", partial(doc! { "status": { "$in": ["completed", "failed"] } }), "ok"),
        (QUEUE, "createdAt", partial(doc! { "completedAt": { "$exists": true } }), "ok"),
        (QUEUE, "createdAt", partial(doc! { "status": { "$in": ["queued", "failed"] } }), "warning"),
        (QUEUE, "createdAt", partial(doc! { "clientId": "x" }), "warning"),
        (QUEUE, "createdAt", partial(doc! { "status": "queued" }), "warning"),
        (ENTRIES, "createdAt", None, "warning"),
        (BATCHES, "createdAt", None, "warning"),
        (LOG, "createdAt", None, "warning"),
        (QUEUE, "updatedAt", partial(doc! { "$and": [{ "status": "completed" }, { "attempts": { "$gt": 3 } }] }), "ok"),
        (QUEUE, "updatedAt", partial(doc! { "completedAt": { "$type": "date" } }), "ok"),
        (QUEUE, "updatedAt", partial(doc! { "status": { "$gt": "queued" } }), "ok"),
        (QUEUE, "updatedAt", partial(doc! { "status": { "$type": "string", "$gte": "queued" } }), "warning"),
        (
            QUEUE,
            "updatedAt",
            partial(doc! { "$and": [{ "status": "queued" }, { "attempts": { "$gt": 3 } }] }),
            "warning",
        ),
        (QUEUE, "updatedAt", partial(doc! { "$or": [{ "status": "completed" }, { "status": "failed" }] }), "ok"),
        (
            QUEUE,
            "updatedAt",
            partial(doc! { "$or": [{ "status": "completed" }, { "exportPath": "scheduled" }] }),
            "warning",
        ),
        (LOG, "createdAt", partial(doc! { "action": "login" }), "ok"),
        ("exportbatchentries", "at", None, "warning"),
    ] {
        let day = Day::in_directory();
        seed_day(&day.db, DATE, 2);
        let mut index = doc! { "key": { key: 1 }, "name": "expiry", "expireAfterSeconds": 86_400 };
        index.extend(filter.clone().map(|filter| doc! { "partialFilterExpression": filter }).unwrap_or_default());
        day.db.command(doc! { "createIndexes": collection, "indexes": [index] });
        let result = doctor(&day).run().json();
        let check = check(&result, "row expiry");
        assert_eq!(check["verdict"], verdict, "{collection} {key} {filter:?}: {check}");
        assert!(verdict == "ok" || check.to_string().contains(&format!("expiry of {collection}")), "{check}");
        let advises = check["fix"].to_string().contains("completedAt");
        assert_eq!(advises, verdict == "warning" && collection == QUEUE, "{check}");
    }
}

#[test]
fn a_server_that_takes_no_writes_is_no_lost_majority_and_no_other_server_is_advised() {
    let proxy = Proxy::before(Mongod::shared());
    let day = Day::in_directory().through(&proxy);
    create_index(&day.db);
    // As under fsyncLock: each write waits.
    let locked = ["update", "findAndModify", "insert"]
        .map(|command| proxy.delay(OnDatabase::command(command).nth_and_later(1), Duration::from_secs(120)));
    let finished = doctor(&day).spawn().wait(Duration::from_secs(300)).expect_code(34);
    let result = finished.json();
    for name in ["abilities", "majority"] {
        assert_bad(&result, name, "fsyncLock");
    }
    assert_eq!(check(&result, "rights")["verdict"], "skipped");
    assert!(
        !finished.stdout.contains("another server") && !finished.stdout.contains("has to be up"),
        "{}",
        finished.stdout
    );
    drop(locked);
}

#[test]
fn a_directory_that_another_run_keeps_busy_is_no_file_system_that_does_not_answer() {
    let day = Day::in_directory();
    day.command("init").run().expect_code(0);
    let folder = std::fs::File::open(day.directory()).expect("the directory");
    rustix::fs::flock(&folder, rustix::fs::FlockOperation::LockExclusive).expect("the lock");
    let result = doctor(&day).run().expect_code(34).json();
    assert_bad(&result, "probe file", "another run kept the directory");
    assert!(!result.to_string().contains("dmesg"), "{result}");
}

fn verdicts(finished: &Finished) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let result = finished.json();
    result["checks"].as_array().unwrap().iter().map(|check| (text(&check["name"]), text(&check["verdict"]))).collect()
}

#[test]
fn all_is_well_and_nothing_is_left() {
    for day in [Day::on_drive(), Day::in_directory()] {
        seed_day(&day.db, DATE, 5);
        day.command("init").run().expect_code(0);
        let batches = day.db.find_all(BATCHES, doc! {});
        let (rows, entries) = (day.db.find_all(QUEUE, doc! {}), day.db.find_all(ENTRIES, doc! {}));
        let finished = doctor(&day).run().expect_code(0);
        assert!(verdicts(&finished).iter().all(|(_, verdict)| verdict == "ok"), "{}", finished.report());
        assert_eq!(finished.json()["outcome"], "ok");
        assert!(finished.spool_is_empty());
        assert_eq!(day.live_files(), []);
        assert_eq!((day.db.find_all(BATCHES, doc! {}), day.db.count(LOG, doc! {})), (batches, 0));
        assert_eq!(day.db.count("exportbatchrows", doc! {}), 0);
        assert_eq!((day.db.find_all(QUEUE, doc! {}), day.db.find_all(ENTRIES, doc! {})), (rows, entries));
        let text = doctor(&day).args(&["--output", "text"]).run().expect_code(0).stdout;
        assert!(text.ends_with("everything that a run needs is there\nnext: batch-export run --dry-run\n"), "{text}");
        assert!(text.contains("18:00 +07:00 in Asia/Bangkok"), "{text}");
        day.run().run().expect_code(0);
        day.check_converged();
    }
}

#[test]
fn the_probe_on_drive_is_stored_and_goes_to_the_trash() {
    let day = Day::on_drive();
    create_index(&day.db);
    doctor(&day).run().expect_code(0);
    let files = day.drive().files();
    assert_eq!((files.len(), files[0].trashed), (1, true));
    assert!(files[0].name.starts_with("batch-export-doctor-"), "{}", files[0].name);
    assert!(!files[0].bytes.is_empty());
    assert!(day.drive().count(Operation::Get) >= 2, "it was not looked at");
}

#[test]
fn a_database_that_does_not_answer_is_the_first_finding_and_the_destination_is_checked_all_the_same() {
    let day = Day::on_drive();
    let down = "mongodb://user:hush-hush@127.0.0.1:1/?replicaSet=rs&serverSelectionTimeoutMS=300";
    let finished = doctor(&day).mongodb(down).run().expect_code(34);
    let result = finished.json();
    assert_bad(&result, "mongodb", "MONGODB_URI");
    assert_eq!(check(&result, "clock")["verdict"], "skipped");
    assert_eq!(check(&result, "probe file")["verdict"], "ok");
    assert!(!finished.report().contains("hush-hush"));
    let nothing = BatchExport::command("doctor").env("BATCH_EXPORT_OUTPUT", "json").run().expect_code(34).json();
    assert_bad(&nothing, "mongodb", "set MONGODB_URI");
    assert_bad(&nothing, "destination", "set --destination");
}

#[test]
fn a_standalone_server_is_told_what_it_lacks() {
    let server = Mongod::start_standalone();
    let day = Day::in_directory();
    let uri = format!("mongodb://127.0.0.1:{}/?directConnection=true", server.port());
    let result = doctor(&day).mongodb(&uri).run().expect_code(34).json();
    assert_bad(&result, "replica set", "rs.initiate()");
    assert_eq!(check(&result, "rights")["verdict"], "skipped");
}

#[test]
fn a_replica_set_that_is_not_initiated_is_no_standalone_server() {
    let server = Mongod::start_uninitiated();
    let day = Day::in_directory();
    // By discovery the driver sees no server at all.
    let discovered = ["directConnection=false", "replicaSet=tests"].map(|query| (query, "mongodb"));
    for (query, name) in [("directConnection=true", "replica set")].into_iter().chain(discovered) {
        let uri = format!("mongodb://127.0.0.1:{}/?serverSelectionTimeoutMS=300&{query}", server.port());
        let finished = doctor(&day).mongodb(&uri).run().expect_code(34);
        let result = finished.json();
        assert_bad(&result, name, "not initiated");
        assert_bad(&result, name, "run rs.initiate() on that server once");
        assert!(!finished.stdout.contains("standalone"), "{}", finished.report());
        for skipped in ["rights", "majority", "index"] {
            assert_eq!(check(&result, skipped)["verdict"], "skipped", "{result}");
        }
        assert_eq!(check(&result, "probe file")["verdict"], "ok");
    }
}

#[test]
fn what_init_makes_is_missed_before_it_and_after_a_first_run_without_it() {
    let day = Day::in_directory();
    seed_day(&day.db, DATE, 3);
    let collections = ["exportlogs", "exportbatches", "exportbatchrows", "exportbatchentries", "the ledger"];
    let indexes = ["state of exportbatches", "voided_to_trash of exportbatches"];
    let look = |verdict: &str, missing: &[&str]| {
        let result = doctor(&day).run().expect_code(0).json();
        let index = check(&result, "index");
        assert_eq!(index["verdict"], verdict, "{index}");
        for name in missing {
            assert!(index["found"].as_str().unwrap().contains(name), "{name} is not in {index}");
        }
        (index["found"].as_str().unwrap().to_owned(), result["next"].as_str().unwrap().to_owned())
    };
    let (_, next) = look("warning", &[&collections[..], &["batch_export of exportlogs"], &indexes[..]].concat());
    assert_eq!(next, "batch-export init");
    let first = day.run().run().expect_code(0);
    assert!(indexes.iter().all(|index| first.stderr.contains(index)), "{}", first.report());
    let (found, _) = look("warning", &indexes);
    assert!(!collections.iter().any(|name| found.contains(&format!("collection {name}"))), "{found}");
    day.command("init").run().expect_code(0);
    // Nothing here can tell whether a schedule starts the next one.
    assert!(look("ok", &[]).1.starts_with("schedule `batch-export run` at the cut-off and"), "{:?}", look("ok", &[]).1);
}

#[test]
fn a_missing_index_and_a_wrong_clock_are_found() {
    let day = Day::in_directory();
    day.db.insert_many(QUEUE, vec![doc! { "status": "completed" }]);
    let result = day.command("doctor").run().expect_code(34).json();
    assert_bad(&result, "index", "batch-export init");
    assert_eq!(doctor(&day).run().expect_code(34).json()["next"], "batch-export init");
    assert_bad(&result, "clock", "NTP");
    day.command("init").run().expect_code(0);
    let text = doctor(&day).args(&["--output", "text"]).run().expect_code(0).stdout;
    assert!(text.contains("serves the query for due rows"), "{text}");
}

#[test]
fn a_misspelt_collection_is_told_because_its_days_would_all_be_empty() {
    let day = Day::in_directory();
    seed_day(&day.db, DATE, 3);
    let queue = doctor(&day).env("BATCH_EXPORT_QUEUE_COLLECTION", "exportqueue").run().expect_code(34);
    assert_eq!(check(&queue.json(), "collections")["verdict"], "warning");
    assert_eq!(queue.stderr.matches("has no collection exportqueue").count(), 1, "{}", queue.stderr);
    create_index(&day.db);
    let entries = doctor(&day).env("BATCH_EXPORT_ENTRIES_COLLECTION", "journalentry").run().expect_code(34).json();
    let told = check(&entries, "collections").to_string();
    assert!(told.contains("nothing at all is in journalentry") && told.contains("--entries-collection"), "{told}");
    assert_bad(&entries, "due entries", "has no entry in journalentry");
}

/// A run would end with 30 and the same words.
#[test]
fn records_of_earlier_batches_that_are_lost_are_told_with_the_way_out() {
    let day = Day::in_directory();
    seed_day(&day.db, DATE, 3);
    day.run().run().expect_code(0);
    assert_eq!(check(&doctor(&day).run().json(), "collections")["verdict"], "ok");
    let lost = |date: &str, what: &str, way_out: &str| {
        assert_bad(&doctor(&day).run().expect_code(34).json(), "collections", what);
        assert!(check(&doctor(&day).run().json(), "collections")["fix"].as_str().unwrap().contains(way_out));
        let run = day.command("run").date(date).now(&format!("{date}T18:00:05+07:00")).run().expect_code(30);
        let error = &run.json()["error"];
        assert!(error["message"].as_str().unwrap().contains(what), "{error}");
    };
    day.db.block(day.db.collection("exportbatchentries").drop()).expect("to drop the collection");
    lost(
        "2026-01-19",
        "exportbatchentries is missing, and the batches up to number 1 were exported",
        "batch-export init",
    );
    day.db.delete_many(BATCHES, doc! { "_id": "ledger" });
    lost("2026-01-20", "their ledger in exportbatches is lost", "batch-export init --adopt");
}

#[test]
fn a_user_without_rights_and_a_missing_majority_are_found() {
    let proxy = Proxy::before(Mongod::shared());
    let day = Day::in_directory().through(&proxy);
    create_index(&day.db);
    let denied = proxy.answer(OnDatabase::command("insert").collection(LOG), error(13, "Unauthorized", &[]));
    let late = doc! { "ok": 1, "n": 0, "nModified": 0, "writeConcernError": { "code": 64, "errmsg": "waiting" } };
    let alone =
        OnDatabase::command("update").collection(BATCHES).matching(|command| !command.contains_key("autocommit"));
    let slow = proxy.answer(alone, late);
    let result = doctor(&day).run().expect_code(34).json();
    assert_bad(&result, "rights", LOG);
    assert_bad(&result, "rights", "readWrite");
    assert_bad(&result, "majority", "rs.status()");
    assert_eq!((denied.times(), slow.times()), (1, 1));
    let failing = proxy.answer(OnDatabase::command("insert").collection(LOG), error(91, "ShutdownInProgress", &[]));
    let result = doctor(&day).run().expect_code(34).json();
    assert_bad(&result, "writes", "server's log");
    assert!(!result.to_string().contains("readWrite"), "rights are not the cause: {result}");
    assert_eq!(failing.times(), 1);
    assert_eq!(day.db.count(BATCHES, doc! {}), 0);
}

#[test]
fn what_is_wrong_with_the_folder_is_told_in_words() {
    let day = Day::on_drive();
    let drive = day.drive();
    for (folder, words) in [
        (drive.my_drive_folder(), "shared drive"),
        (drive.missing_folder(), "does not exist, or the service account"),
        (drive.read_only_folder(), "Content manager"),
        (drive.trashed_folder(), "in the trash"),
    ] {
        let result = doctor(&day).destination(&format!("gdrive://{folder}")).run().expect_code(34).json();
        assert_bad(&result, "folder", words);
        assert_eq!(check(&result, "probe file")["verdict"], "skipped");
    }
    std::fs::write(day.credentials(), drive.authorized_user_for(SCOPE_DRIVE_FILE)).unwrap();
    assert_bad(&doctor(&day).run().expect_code(34).json(), "folder", "grant access to all of Drive");
    assert_eq!(drive.files(), [], "a probe went where nothing may go");
}

#[test]
fn credentials_that_are_not_accepted_or_not_there_are_found() {
    let day = Day::on_drive();
    day.drive().revoke_key();
    let result = doctor(&day).run().expect_code(34).json();
    assert_eq!(check(&result, "credentials")["verdict"], "ok");
    assert_bad(&result, "account", "new JSON key");
    std::fs::write(day.credentials(), "{").unwrap();
    assert_bad(&doctor(&day).run().expect_code(34).json(), "destination", "key.json");
    std::fs::remove_file(day.credentials()).unwrap();
    assert_bad(&doctor(&day).run().expect_code(34).json(), "destination", "GOOGLE_APPLICATION_CREDENTIALS");
}

#[test]
fn a_role_that_may_store_but_not_trash_is_found() {
    let day = Day::on_drive();
    day.drive().set_role(Role::Contributor);
    let result = doctor(&day).run().expect_code(34).json();
    assert_bad(&result, "folder", "put none into the trash");
    assert_bad(&result, "folder", "Content manager");
    assert_eq!(check(&result, "probe file")["verdict"], "skipped");
    assert_eq!(day.drive().files(), [], "a probe was stored that cannot be put into the trash");

    // What the folder says and what happens are two things.
    let day = Day::on_drive();
    day.drive().plan(On::every(Operation::Update), Fault::answer(Answer::error(403, "insufficientFilePermissions")));
    let result = doctor(&day).run().expect_code(34).json();
    assert_bad(&result, "probe file", "not put into the trash");
    assert_bad(&result, "probe file", "Content manager");
}

/// Longer ago than any doctor is at its probe.
const LONG_AGO: Duration = Duration::from_secs(11 * 60);

/// Names that look like a probe's and are none; and a probe's.
fn similar_names() -> ([String; 5], String) {
    let probe = format!("batch-export-doctor-{}.txt", "0123456789abcdef".repeat(2));
    let (short, capital) = (probe.replace("f.txt", ".txt"), probe.replace("f.txt", "F.txt"));
    let notes = "batch-export-doctor-notes.txt".to_owned();
    ([notes, short, capital, format!("{probe}.bak"), format!("copy-of-{probe}")], probe)
}

#[test]
fn what_a_killed_doctor_left_on_drive_goes_with_the_next_one_and_nothing_else_does() {
    let day = Day::on_drive();
    create_index(&day.db);
    let drive = day.drive();
    let hold = drive.hold(On::nth(Operation::Update, 1), Point::Before);
    let killed = doctor(&day).spawn();
    hold.wait_until_reached(Duration::from_secs(60));
    killed.kill();
    // The request that was on its way is lost with it.
    drop(hold);
    let [left] = <[_; 1]>::try_from(day.live_files()).expect("its probe");
    let (similar, probe) = similar_names();
    for name in &similar {
        let id = drive.issue_id();
        drive.put_file(drive.planted(&id, name, b"a person's"));
        drive.make_older(&id, LONG_AGO);
    }
    let young = drive.issue_id();
    drive.put_file(drive.planted(&young, &probe, b"of a doctor that is at work"));
    // As far as anybody can tell, both are still wanted.
    assert_eq!(check(&doctor(&day).run().expect_code(0).json(), "probe file")["verdict"], "ok");
    assert_eq!(day.live_files().len(), similar.len() + 2);
    drive.make_older(&left.id, LONG_AGO);
    let result = doctor(&day).run().expect_code(0).json();
    assert!(check(&result, "probe file")["found"].as_str().unwrap().contains("that were killed: 1"), "{result}");
    let mut names: Vec<String> = day.live_files().into_iter().map(|file| file.name).collect();
    names.sort();
    let mut expected = [&similar[..], &[probe]].concat();
    expected.sort();
    assert_eq!(names, expected);
}

#[test]
fn what_a_killed_doctor_left_in_a_directory_goes_with_the_next_one_and_nothing_else_does() {
    let day = Day::in_directory();
    create_index(&day.db);
    let (similar, probe) = similar_names();
    let young = probe.replace('0', "f");
    for name in [&similar[..], &[probe.clone(), young.clone()]].concat() {
        let file = std::fs::File::create(day.directory().join(&name)).unwrap();
        if name != young {
            file.set_modified(std::time::SystemTime::from(chrono::Utc::now()) - LONG_AGO).unwrap();
        }
    }
    let result = doctor(&day).run().expect_code(0).json();
    assert!(check(&result, "probe file")["found"].as_str().unwrap().contains("that were killed: 1"), "{result}");
    let names: BTreeSet<String> = day.live_files().into_iter().map(|file| file.name).collect();
    assert_eq!(names, similar.into_iter().chain([young]).collect());
}

#[test]
fn a_left_over_file_that_cannot_be_removed_is_no_reason_not_to_run() {
    let day = Day::on_drive();
    create_index(&day.db);
    let drive = day.drive();
    let id = drive.issue_id();
    drive.put_file(drive.planted(&id, &similar_names().1, b"left"));
    drive.make_older(&id, LONG_AGO);
    drive.plan(On::nth(Operation::Update, 1), Fault::answer(Answer::error(403, "insufficientFilePermissions")));
    let result = doctor(&day).run().expect_code(0).json();
    assert_eq!(check(&result, "probe file")["verdict"], "warning", "{result}");
    assert!(check(&result, "probe file")["fix"].as_str().unwrap().contains("batch-export-doctor-*.txt"), "{result}");
    assert_eq!(day.live_files().len(), 1, "its own probe is left over");
}

#[test]
fn a_directory_and_a_spool_folder_that_are_not_there_are_found() {
    let day = Day::in_directory();
    let absent = day.directory().join("absent");
    let result = doctor(&day).destination(&format!("file://{}", absent.display())).run().expect_code(34).json();
    assert_bad(&result, "directory", "create the directory");
    let result = doctor(&day).env("BATCH_EXPORT_SPOOL_DIR", &absent.display().to_string()).run().expect_code(34).json();
    assert_bad(&result, "spool", "--spool-dir");
    assert_eq!(check(&result, "probe file")["verdict"], "skipped");
}

#[test]
fn the_layout_is_a_finding_of_its_own_and_the_other_checks_go_on() {
    let day = Day::in_directory();
    let layout = |text: &str| {
        std::fs::write(day.directory().join("own.toml"), text).expect("a layout");
        let path = day.directory().join("own.toml").display().to_string();
        (doctor(&day).args(&["--format", &path]).run(), path)
    };
    let good = "name = \"own\"\nencoding = \"utf-8-bom\"\n[[columns]]\nheader = \"วันที่\"\nvalue = \"date\"\n";
    let result = layout(good).0.json();
    assert_eq!(check(&result, "layout")["verdict"], "ok", "{result}");
    let found = check(&result, "layout")["found"].as_str().unwrap();
    let sha256 = found.strip_prefix("own (utf-8-bom; sha256 ").and_then(|rest| rest.strip_suffix("): วันที่"));
    assert!(sha256.is_some_and(|digits| digits.len() == 12), "{found}");
    let (finished, path) = layout(&good.replace("\"date\"", "\"dat\""));
    let result = finished.expect_code(34).json();
    assert_bad(&result, "layout", &format!("`batch-export layout check {path}`"));
    let found = check(&result, "layout")["found"].as_str().unwrap();
    assert!(found.contains(&path) && found.contains("line 5: value is \"dat\"; expected one of"), "{found}");
    assert_eq!(check(&result, "rights")["found"], "not checked: the layout decides what a run writes", "{result}");
    let others = ["mongodb", "clock", "directory", "probe file", "spool"];
    assert!(others.iter().all(|name| check(&result, name)["verdict"] == "ok"), "{result}");
}

#[test]
fn of_a_webhook_only_the_host_is_shown() {
    let day = Day::in_directory();
    let command = doctor(&day).env("BATCH_EXPORT_NOTIFY_URL", "https://hooks.example.com/services/s3cr3t-path");
    let finished = command.env("BATCH_EXPORT_PING_URL", "https://ping.example.com/s3cr3t-uuid").run();
    let result = finished.json();
    let found = |name| check(&result, name)["found"].as_str().unwrap().to_owned();
    assert!(found("notification").starts_with("to hooks.example.com (json); not tried"), "{result}");
    assert!(found("ping").starts_with("to ping.example.com (healthchecks); not tried"), "{result}");
    assert!(!finished.report().contains("s3cr3t"));
}

#[test]
fn the_probe_of_drive_sends_no_empty_properties() {
    let day = Day::on_drive();
    day.command("doctor").run();
    let probes = day.drive().requests(crate::support::fake_drive::Operation::Start);
    assert!(!probes.is_empty());
    for probe in probes {
        let metadata = probe.json.expect("the metadata of the probe");
        assert!(metadata.get("properties").is_none_or(|some| !some.is_null()), "{metadata}");
    }
}
