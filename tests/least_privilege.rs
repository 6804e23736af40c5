//! The role of the README: everything runs under it, and nothing does its work when one of its rights is taken away.
//!
//! Risk: a list that is too long. It would pass every test of what runs, so each right is taken away once.

use mongodb::bson::{self, Document, doc};
use serde_json::Value;

use crate::support::command::{BatchExport, Finished, told};
use crate::support::day::{BATCH, Day};
use crate::support::seed::{DATE, QUEUE, create_index, seed_day};

const README: &str = include_str!("../README.md");
const NEXT_DATE: &str = "2026-01-19";
const EVENING: &str = "2026-01-20T18:30:00+07:00";

/// The privileges that the README grants, one for each collection.
fn privileges() -> Vec<Value> {
    let (_, role) = README.split_once("createRole(").expect("the README makes a role");
    let (role, _) = role.split_once("\n})").expect("its end");
    let role: Value = serde_json::from_str(&format!("{role}\n}}")).expect("JSON");
    role["privileges"].as_array().expect("privileges").clone()
}

/// A database that an administrator made ready, with rows of two dates; the commands are those of a user who has only these privileges.
fn day_of_a_user_with(privileges: &[Value]) -> Day {
    let day = Day::on_secured_server();
    create_index(&day.db);
    day.command("init").run().expect_code(0);
    seed_day(&day.db, DATE, 5);
    for_a_user_with(privileges, day)
}

fn for_a_user_with(privileges: &[Value], day: Day) -> Day {
    let name = day.db.name().to_owned();
    let privileges = privileges.iter().map(|privilege| {
        let mut privilege: Document = bson::serialize_to_document(privilege).expect("BSON");
        privilege.get_document_mut("resource").expect("a resource").insert("db", &name);
        privilege
    });
    let privileges: Vec<Document> = privileges.collect();
    day.db.command(doc! { "createRole": "batchExport", "privileges": privileges, "roles": [] });
    day.db.command(doc! { "createUser": "batchExport", "pwd": "of-the-test", "roles": ["batchExport"] });
    day.with_login("batchExport:of-the-test", &name)
}

/// Every command, each with the exit code of a user who has all the rights.
fn commands(day: &Day) -> Vec<(BatchExport, i32)> {
    let of = |name| day.command(name).now(EVENING);
    let nowhere = format!("file://{}/nowhere", day.directory().display());
    vec![
        (of("run").date(DATE).arg("--dry-run"), 0),
        // In pieces, so that the row lists are used, too.
        (of("run").date(DATE).args(&["--transaction-rows", "2"]), 0),
        // One retry is allowed, and fails: then a person has to come.
        (of("run").date(NEXT_DATE).destination(&nowhere).args(&["--retry-delays", "1ms"]), 31),
        (of("retry").date(NEXT_DATE).destination(&nowhere).args(&["--retry-delays", "1ms"]), 33),
        (of("unlock").date(NEXT_DATE), 0),
        (of("backfill").args(&["--from", NEXT_DATE, "--to", "2026-01-20"]), 0),
        (of("retry"), 0),
        (of("status"), 0),
        (of("verify"), 0),
        (of("corrections"), 0),
        // At the true time: it compares the clocks.
        (day.command("doctor").now(&chrono::Utc::now().to_rfc3339()), 0),
    ]
}

fn report(ended: &Finished) -> String {
    told(&ended.json()["error"])
}

#[test]
fn everything_runs_under_the_role_of_the_readme() {
    let day = day_of_a_user_with(&privileges());
    for (number, (command, code)) in commands(&day).into_iter().enumerate() {
        if number == 2 {
            seed_day(&day.db, NEXT_DATE, 3);
        }
        command.run().expect_code(code);
    }
    assert_eq!(day.log().len(), 2);
    assert_eq!(day.rows_with_status("completed"), 8);
}

#[test]
fn before_init_the_role_of_the_readme_is_told_who_has_to_run_it() {
    let day = Day::on_secured_server();
    seed_day(&day.db, DATE, 5);
    let day = for_a_user_with(&privileges(), day);
    let now = chrono::Utc::now().to_rfc3339();
    let found = || day.command("doctor").now(&now).run().json();
    let index = |result: &Value| {
        result["checks"].as_array().unwrap().iter().find(|check| check["name"] == "index").unwrap().clone()
    };
    // The second time some of it is there.
    for _ in 0..2 {
        let result = found();
        let index = index(&result);
        assert!(index["verdict"] == "bad" && index["found"].as_str().unwrap().contains("ledger"), "{index}");
        assert!(index["fix"].as_str().unwrap().contains("`batch-export init` as an administrator"), "{index}");
        assert_eq!(result["next"], "batch-export init");
        let ended = day.run().args(&["--now"]).run().expect_code(30);
        assert!(report(&ended).contains("let an administrator run `batch-export init`"), "{}", report(&ended));
    }
    let name = day.db.name().to_owned();
    let day = day.with_login("admin:admin", "admin");
    day.command("init").run().expect_code(0);
    let day = day.with_login("batchExport:of-the-test", &name);
    assert_ne!(index(&day.command("doctor").now(&now).run().expect_code(0).json())["verdict"], "bad");
    day.run().args(&["--now"]).run().expect_code(0);
    day.check_converged();
}

#[test]
fn doctor_looks_at_the_indexes_of_a_user_who_may_list_them() {
    let verdicts = |privileges: &[Value]| {
        let result = day_of_a_user_with(privileges).command("doctor").now(EVENING).run().json();
        let of = |name| {
            result["checks"].as_array().unwrap().iter().find(|check| check["name"] == name).unwrap()["verdict"].clone()
        };
        [of("index"), of("row expiry")]
    };
    let mut all = privileges();
    assert_eq!(verdicts(&all), ["skipped", "skipped"]);
    for privilege in &mut all {
        privilege["actions"].as_array_mut().unwrap().push("listIndexes".into());
    }
    assert_eq!(verdicts(&all), ["ok", "ok"]);
}

#[test]
fn a_second_export_needs_the_one_right_that_the_readme_adds_for_it() {
    let mut all = privileges();
    for (code, action) in [(30, "find"), (0, "update")] {
        let recorded = all.iter_mut().find(|one| one["resource"]["collection"] == "exportbatchentries").unwrap();
        recorded["actions"].as_array_mut().unwrap().push(action.into());
        let day = day_of_a_user_with(&all);
        day.run().run().expect_code(0);
        let queued = doc! { "$set": { "status": "queued", "metadata": null } };
        day.db.update_one(QUEUE, doc! { "status": "completed" }, queued);
        let again = day.command("run").date(NEXT_DATE).now(EVENING).arg("--allow-reexport");
        again.run().expect_code(code);
    }
}

#[test]
fn time_series_in_place_of_the_queue_are_named_under_the_role_of_the_readme() {
    let day = day_of_a_user_with(&privileges());
    let row = day.db.find_all(QUEUE, doc! {}).remove(0);
    day.db.command(doc! { "drop": QUEUE });
    day.db.command(doc! { "create": QUEUE, "timeseries": { "timeField": "scheduledFor" } });
    day.db.insert_many(QUEUE, vec![row]);
    let words = format!("{QUEUE} is a time-series collection");
    let ended = day.command("run").now(EVENING).date(DATE).run().expect_code(30);
    assert!(report(&ended).contains(&words), "{}", report(&ended));
    assert!(day.live_files().is_empty(), "nothing was stored for rows that cannot be marked");
    let doctor = day.command("doctor").run().expect_code(34).stdout;
    assert!(doctor.contains(&words), "{doctor}");
}

#[test]
fn an_empty_queue_is_no_finding_and_a_missing_right_to_it_is_one() {
    let rights_of_doctor = |privileges: &[Value]| {
        let day = day_of_a_user_with(privileges);
        day.db.command(doc! { "delete": QUEUE, "deletes": [{ "q": {}, "limit": 0 }] });
        let result = day.command("doctor").now(EVENING).run().json();
        result["checks"].as_array().unwrap().iter().find(|check| check["name"] == "rights").unwrap().clone()
    };
    let mut all = privileges();
    let rights = rights_of_doctor(&all);
    assert!(rights["verdict"] == "ok" && rights.to_string().contains("marks of rows were not tried"), "{rights}");
    let queue = all.iter_mut().find(|privilege| privilege["resource"]["collection"] == QUEUE).expect("the queue");
    queue["actions"] = serde_json::json!(["find"]);
    let rights = rights_of_doctor(&all);
    assert!(rights["verdict"] == "bad" && rights.to_string().contains(QUEUE), "{rights}");
}

#[test]
fn a_right_that_only_the_marking_lacks_is_told_with_the_committed_file() {
    let mut less = privileges();
    let queue = less.iter_mut().find(|privilege| privilege["resource"]["collection"] == QUEUE).expect("the queue");
    queue["actions"] = serde_json::json!(["find"]);
    let day = day_of_a_user_with(&less);
    let error = report(&day.run().args(&["--transaction-rows", "2"]).run().expect_code(30));
    assert!(
        error.contains("not authorized") && error.contains(&format!("the file of {BATCH} is committed")),
        "{error}"
    );
    assert!(day.batch().get_str("state").unwrap() == "marking" && day.live_files().len() == 1);
}

#[test]
fn a_mistyped_collection_to_which_a_role_gives_no_right_is_told_with_the_settings_to_check() {
    let day = day_of_a_user_with(&privileges());
    for which in ["queue", "entries", "log", "batch"] {
        let option = format!("--{which}-collection");
        let ended = day.run().arg("--now").args(&[&option, "mistyped"]).run().expect_code(30);
        let told = report(&ended);
        assert!(told.contains("not authorized") && told.contains("mistyped") && told.contains(&option), "{told}");
    }
    day.run().arg("--now").run().expect_code(0);
    day.check_converged();
}

#[test]
fn each_right_of_the_role_is_needed() {
    let all = privileges();
    let mut tried = 0;
    for (at, privilege) in all.iter().enumerate() {
        let actions = privilege["actions"].as_array().expect("actions");
        for action in actions {
            let mut less = all.clone();
            let rest: Vec<&Value> = actions.iter().filter(|other| *other != action).collect();
            less[at]["actions"] = serde_json::to_value(rest).expect("JSON");
            less.retain(|privilege| privilege["actions"] != serde_json::json!([]));
            let day = day_of_a_user_with(&less);
            let collection = privilege["resource"]["collection"].as_str().expect("a name");
            let ended = commands(&day).into_iter().map(|(command, _)| command.run()).find(|ended| ended.code == 30);
            let doctor = day_of_a_user_with(&less).command("doctor").run().expect_code(34).stdout;
            assert!(
                doctor.contains("not authorized") && doctor.contains(collection),
                "{action} on {collection}: {doctor}"
            );
            let Some(ended) = ended else { panic!("nothing needs {action} on {collection}") };
            let told = report(&ended);
            assert!(told.contains("not authorized") && told.contains(collection), "{action} on {collection}: {told}");
            tried += 1;
        }
    }
    assert_eq!(tried, 13);
}
