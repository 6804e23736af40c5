//! The server and the databases that the other tests stand on: what they promise, tried on their own.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use mongodb::Client;
use mongodb::bson::doc;

use crate::support::block;
use crate::support::db::TestDb;
use crate::support::mongod::{Mongod, program};

#[test]
fn each_test_has_a_database_of_its_own_that_goes_with_it() {
    let (one, other) = (TestDb::new(), TestDb::new());
    one.insert_many("things", (0..10).map(|n| doc! {"_id": n, "even": n % 2 == 0}).collect());
    assert_eq!(other.count("things", doc! {}), 0);
    assert_eq!(one.count("things", doc! {"even": true}), 5);
    one.update_one("things", doc! {"_id": 3}, doc! {"$set": {"even": true}});
    assert_eq!(one.update_many("things", doc! {"even": false}, doc! {"$set": {"odd": true}}), 4);
    assert_eq!(one.find_one("things", doc! {"_id": 3}), Some(doc! {"_id": 3, "even": true}));
    let odd: Vec<i32> =
        one.find_all("things", doc! {"odd": true}).iter().filter_map(|d| d.get_i32("_id").ok()).collect();
    assert_eq!(odd, [1, 5, 7, 9]);
    assert_eq!(one.delete_many("things", doc! {"odd": true}), 4);

    let name = one.name().to_owned();
    assert!(database_exists(&name));
    drop(one);
    assert!(!database_exists(&name));
}

#[test]
fn a_killed_programs_transaction_does_not_hold_up_its_database() {
    let db = TestDb::new();
    db.insert_many("things", vec![doc! {"_id": 1}]);
    let client = block(Client::with_uri_str(db.uri())).unwrap();
    let things = client.database(db.name()).collection::<mongodb::bson::Document>("things");
    // The session stays open, as the server sees it when the program was killed.
    let _session = block(async {
        let mut session = client.start_session().await?;
        session.start_transaction().await?;
        things.update_one(doc! {"_id": 1}, doc! {"$set": {"held": true}}).session(&mut session).await?;
        mongodb::error::Result::Ok(session)
    })
    .unwrap();
    let write = |patience: i32| {
        let updates = vec![doc! {"q": {"_id": 1}, "u": {"$set": {"free": true}}}];
        doc! {"update": "things", "updates": updates, "maxTimeMS": patience}
    };
    let refused = db.block(db.database().run_command(write(100)));
    assert!(refused.is_err(), "the row is locked: {refused:?}");
    db.abort_open_transactions();
    db.command(write(30_000));
    assert_eq!(db.find_all("things", doc! {}), [doc! {"_id": 1, "free": true}]);
}

#[test]
fn a_fail_point_hits_the_programs_connections_only_and_ends_with_its_guard() {
    let db = TestDb::new();
    let client = block(Client::with_uri_str(db.uri())).unwrap();
    let insert = || {
        let things = client.database(db.name()).collection("things");
        block(async { things.insert_one(doc! {"x": 1}).await })
    };
    let fail_point = db.fail_point("alwaysOn", doc! {"failCommands": ["insert"], "errorCode": 13});
    assert!(insert().unwrap_err().to_string().contains("13"));
    db.insert_many("things", vec![doc! {}]);
    drop(fail_point);
    insert().unwrap();
    let _once = db.fail_point(doc! {"times": 1}, doc! {"failCommands": ["insert"], "errorCode": 13});
    assert!(insert().is_err());
    insert().unwrap();
    assert_eq!(db.count("things", doc! {}), 3);
}

#[test]
fn a_private_server_keeps_its_data_over_a_kill_and_can_be_frozen() {
    let mongod = Mongod::start_with(&["--setParameter", "transactionLifetimeLimitSeconds=3"]);
    let db = TestDb::on(&mongod);
    db.insert_many("things", vec![doc! {"_id": 1}]);
    let (port, folder, pid) = (mongod.port(), mongod.folder().to_owned(), mongod.pid());
    mongod.stop();
    assert_eq!(mongod.pid(), None);
    mongod.start_again();
    assert_ne!(mongod.pid(), pid);
    assert_eq!((db.server().port(), db.count("things", doc! {})), (port, 1));
    assert!(mongod.admin(doc! {"hello": 1}).contains_key("setName"));

    mongod.pause();
    let count = async { db.collection("things").count_documents(doc! {}).await };
    let frozen = db.block(async { tokio::time::timeout(Duration::from_millis(200), count).await });
    assert!(frozen.is_err(), "a frozen server answered: {frozen:?}");
    mongod.resume();
    assert_eq!(db.count("things", doc! {}), 1);
    drop(db);
    drop(mongod);
    assert!(!folder.exists());
}

#[test]
fn a_standalone_server_has_no_transactions() {
    let mongod = Mongod::start_standalone();
    let hello = mongod.admin(doc! {"hello": 1});
    assert!(!hello.contains_key("setName"), "{hello}");
}

/// Played by a second process of this binary: starts a server, says where, and waits to be killed.
#[test]
fn a_server_goes_with_a_test_process_that_is_killed() {
    const ROLE: &str = "BATCH_EXPORT_TEST_TO_BE_KILLED";
    if let Ok(answer) = std::env::var(ROLE) {
        let mongod = Mongod::start_standalone();
        let server = mongod.pid().unwrap().as_raw_nonzero();
        std::fs::write(&answer, format!("{server} {}\n", mongod.folder().display())).unwrap();
        std::thread::sleep(Duration::from_secs(600));
        return;
    }
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let answer = folder.path().join("answer");
    let mut victim = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "support_mongod::a_server_goes_with_a_test_process_that_is_killed"])
        .env(ROLE, &answer)
        .env("BATCH_EXPORT_TEST_MONGOD", program())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let said = eventually(|| std::fs::read_to_string(&answer).ok().filter(|said| said.ends_with('\n')));
    victim.kill().unwrap();
    victim.wait().unwrap();
    let (server, data) = said.trim_end().split_once(' ').unwrap();
    let server = format!("/proc/{server}");
    eventually(|| (!Path::new(&server).exists() && !Path::new(data).exists()).then_some(()));
}

#[test]
fn a_mongod_that_was_named_and_does_not_run_is_an_error_with_a_way_out() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/find-mongod.sh");
    for wrong in ["/bin/true", "/no/such/mongod"] {
        let output = Command::new("sh").arg(script).env("BATCH_EXPORT_TEST_MONGOD", wrong).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && output.stdout.is_empty(), "{said}");
        assert!(said.contains(wrong) && said.contains("BATCH_EXPORT_TEST_MONGOD"), "{said}");
    }
    let path = program();
    let output = Command::new("sh").arg(script).env("BATCH_EXPORT_TEST_MONGOD", path).output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), format!("{path}\n"));
}

#[test]
fn the_suite_runs_against_another_mongod_by_one_script() {
    use std::os::unix::fs::PermissionsExt;
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/compat.sh");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    // In the place of cargo: what the tests would be given.
    let cargo = folder.path().join("cargo");
    std::fs::write(&cargo, "#!/bin/sh\necho \"$BATCH_EXPORT_TEST_MONGOD $*\"\n").unwrap();
    std::fs::set_permissions(&cargo, std::fs::Permissions::from_mode(0o755)).unwrap();
    std::os::unix::fs::symlink(program(), folder.path().join("another")).unwrap();
    let run = |mongod: &str| {
        let with_cargo = format!("{path}:{}", std::env::var("PATH").unwrap());
        let mut command = Command::new("bash");
        command.args([script, mongod, "retry"]).env("PATH", with_cargo).current_dir(path).output().unwrap()
    };
    let output = run(&format!("{path}/another"));
    let said = String::from_utf8(output.stdout).unwrap();
    let expected =
        format!("{} test --locked --test suite -- retry\n", std::fs::canonicalize(program()).unwrap().display());
    assert!(said.starts_with("compat: db version v") && said.ends_with(&expected), "{said}");
    assert!(output.status.success());
    assert!(!run("/no/such/mongod").status.success());
}

fn database_exists(name: &str) -> bool {
    block(Mongod::shared().client().list_database_names()).unwrap().iter().any(|other| other == name)
}

fn eventually<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "it did not happen within a minute");
        std::thread::sleep(Duration::from_millis(10));
    }
}
