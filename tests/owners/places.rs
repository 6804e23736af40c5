//! A destination that changes between two attempts: the old id is given up and its file discarded where it is, as soon as the settings
//! reach that place; until then it is listed.

use std::fs::{File, Permissions};
use std::os::unix::fs::PermissionsExt as _;

use batch_export::batch::FileFacts;
use batch_export::destination::directory::Directory;
use batch_export::destination::{Destination, Mark, Owner};
use rustix::fs::{XattrFlags, fgetxattr, fsetxattr};
use serde_json::json;

use super::*;
use crate::support::command::said;

fn voided(day: &Day) -> Vec<Document> {
    let batch = day.batch();
    batch.get_array("voided").into_iter().flatten().filter_map(Bson::as_document).cloned().collect()
}

fn out() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("out-").tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder")
}

fn address(folder: &Path) -> String {
    format!("file://{}", folder.display())
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).expect("the folder");
    entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect()
}

/// The same directory by another path is the same destination: nothing is given up, and nobody waits for itself.
#[test]
fn a_symbolic_link_to_the_directory_is_the_directory() {
    let day = Day::in_directory();
    seed_day(&day.db, DATE, 5);
    fail_in_the_commit(&day);
    let folder = out();
    let link = folder.path().join("link");
    std::os::unix::fs::symlink(day.directory(), &link).unwrap();
    day.let_time_pass();
    let result = day.retry().destination(&address(&link)).run().expect_code(0).json();
    assert_eq!(result["batches"][0]["adopted"], true, "{result}");
    assert!(voided(&day).is_empty(), "{}", day.batch());
    assert_eq!(names(day.directory()), [FILE]);
    day.command("verify").run().expect_code(0);
    day.command("verify").destination(&address(&link)).run().expect_code(0);
}

/// Before Drive has taken a byte, nothing can be there; no settings have to reach it again.
#[test]
fn a_directory_after_drive_has_nothing_to_look_for_where_no_byte_was_sent() {
    for (fault, code, attempts) in [
        (Fault::answer(Answer::error(403, "storageQuotaExceeded")), 31, 2),
        // The next attempt would take another id, and list the first one.
        (Fault::answer(Answer::error(400, "invalid")), 31, 1),
        (Fault::answer(Answer::error(503, "backendError")), 22, 2),
        (Fault::reset(), 22, 2),
    ] {
        let day = Day::on_drive();
        seed_day(&day.db, DATE, 5);
        day.drive().plan(On::every(Operation::Start), fault);
        for attempt in 1..=attempts {
            let command = if attempt == 1 { day.run() } else { day.retry() };
            command.run().expect_code(code);
            day.let_time_pass();
        }
        day.drive().cure();
        let folder = out();
        let there = address(folder.path());
        day.retry().destination(&there).run().expect_code(0);
        assert_eq!(names(folder.path()), [FILE]);
        assert!(voided(&day).is_empty(), "{}", day.batch());
        day.command("verify").destination(&there).run().expect_code(0);
        assert!(day.drive().files().is_empty());
    }
}

/// A refusal tells nothing of what an earlier attempt sent.
#[test]
fn an_id_under_which_bytes_were_sent_once_stays_listed_whatever_is_refused_later() {
    let day = Day::on_drive();
    seed_day(&day.db, DATE, 5);
    day.drive().plan(On::every(Operation::Chunk), Fault::answer(Answer::error(503, "backendError")));
    day.run().run().expect_code(22);
    day.drive().cure();
    day.drive().plan(On::every(Operation::Start), Fault::answer(Answer::error(403, "storageQuotaExceeded")));
    day.let_time_pass();
    day.retry().run().expect_code(31);
    day.drive().cure();
    let folder = out();
    let there = address(folder.path());
    day.let_time_pass();
    day.retry().destination(&there).run().expect_code(0);
    assert_eq!(voided(&day).len(), 1, "{}", day.batch());
    let verified = day.command("verify").destination(&there).run().expect_code(34).json();
    assert_eq!(verified["problems"][0]["kind"], "untrashed_voided", "{verified}");
}

/// Drive stores the file and its answer is lost; the operator turns to a directory.
#[test]
fn a_directory_after_drive_holds_the_named_file_and_the_one_on_drive_goes_when_it_is_reached() {
    let day = Day::on_drive();
    seed_day(&day.db, DATE, 5);
    day.drive().plan(On::last_chunk(), Fault::lost_answer().session_gone());
    day.drive().plan(On::every(Operation::Get), Fault::answer(Answer::error(503, "backendError")));
    day.run().run().expect_code(22);
    day.drive().cure();
    assert_eq!(day.drive().live(FILE).len(), 1, "it is left behind");
    let folder = out();
    let there = address(folder.path());
    day.let_time_pass();
    day.retry().destination(&there).run().expect_code(0);
    assert_eq!(names(folder.path()), [FILE]);
    let file = day.batch().get_document("file").unwrap().clone();
    assert_eq!(file.get_str("destination").unwrap(), there);
    let [old] = &voided(&day)[..] else { panic!("one id is given up: {}", day.batch()) };
    let drive = format!("gdrive://{}", day.drive().folder());
    assert_eq!((old.get_str("destination").unwrap(), old.get_bool("trashed").unwrap()), (&*drive, false));

    let status = day.command("status").destination(&there).date(DATE).run().expect_code(0).json();
    assert_eq!(status["voided"][0]["destination"], *drive, "{status}");
    assert_eq!(status["batches"][0]["void_files"], 1, "{status}");
    let verified = day.command("verify").destination(&there).run().expect_code(34).json();
    let problem = &verified["problems"][0];
    assert_eq!(problem["kind"], "untrashed_voided", "{verified}");
    assert!(said(problem).contains(&drive), "{verified}");

    day.retry().run().expect_code(0);
    assert_eq!(day.drive().live(FILE).len(), 0, "the file on Drive is in the trash");
    assert!(voided(&day)[0].get_bool("trashed").unwrap());
    day.command("verify").destination(&there).run().expect_code(0);
    let elsewhere = day.command("verify").run().expect_code(34).json();
    assert_eq!(elsewhere["problems"][0]["kind"], "elsewhere", "{elsewhere}");
}

#[test]
fn drive_after_a_directory_leaves_the_directory_to_settings_that_reach_it() {
    let day = Day::on_drive();
    seed_day(&day.db, DATE, 5);
    let folder = out();
    let there = address(folder.path());
    let point = day.db.fail_point("alwaysOn", doc! { "failCommands": ["insert"], "errorCode": 8000 });
    day.run().destination(&there).run().expect_code(20);
    drop(point);
    assert_eq!(names(folder.path()), [FILE]);
    day.let_time_pass();
    day.retry().run().expect_code(0);
    assert_eq!(day.drive().live(FILE).len(), 1);
    day.check_guarantees();
    day.retry().destination(&there).run().expect_code(0);
    assert!(names(folder.path()).is_empty());
    day.check_converged();
}

#[test]
fn another_folder_gets_a_file_of_its_own_and_the_first_one_is_trashed() {
    let day = Day::on_drive();
    seed_day(&day.db, DATE, 5);
    fail_in_the_commit(&day);
    let old = day.live_files().remove(0);
    let folder = day.drive().another_folder();
    day.let_time_pass();
    day.retry().destination(&format!("gdrive://{folder}")).run().expect_code(0);
    let live = day.drive().live(FILE);
    assert_eq!(live.len(), 1);
    assert_eq!(live[0].parents, [folder]);
    assert_ne!(live[0].id, old.id);
    day.check_converged();
}

#[test]
fn another_directory_gets_a_file_of_its_own_and_the_first_one_is_removed() {
    let day = Day::in_directory();
    seed_day(&day.db, DATE, 5);
    fail_in_the_commit(&day);
    let folder = out();
    let there = address(folder.path());
    day.let_time_pass();
    day.retry().destination(&there).run().expect_code(0);
    assert_eq!(names(folder.path()), [FILE]);
    assert!(is_empty(day.directory()));
    assert!(voided(&day)[0].get_bool("trashed").unwrap());
    day.command("verify").destination(&there).run().expect_code(0);
    // Of two directories the present one does not matter: the batch names its own.
    day.command("verify").run().expect_code(0);
}

/// An old destination that is gone may be the reason for the new one.
#[test]
fn a_destination_that_is_gone_keeps_nobody_from_another_one() {
    let day = Day::in_directory();
    seed_day(&day.db, DATE, 5);
    fail_in_the_commit(&day);
    std::fs::remove_dir_all(day.directory()).unwrap();
    let folder = out();
    day.let_time_pass();
    day.retry().destination(&address(folder.path())).run().expect_code(0);
    assert_eq!(names(folder.path()), [FILE]);
    assert!(!voided(&day)[0].get_bool("trashed").unwrap());
    std::fs::create_dir(day.directory()).unwrap();
}

/// Ids of an earlier version have no destination; their form tells which kind they are of.
#[test]
fn an_id_of_an_earlier_version_is_told_by_its_form() {
    let day = Day::on_drive();
    seed_day(&day.db, DATE, 5);
    fail_in_the_commit(&day);
    day.db.update_one(BATCHES, doc! { "_id": BATCH }, doc! { "$unset": { "file.destination": "" } });
    let folder = out();
    day.let_time_pass();
    day.retry().destination(&address(folder.path())).run().expect_code(0);
    assert_eq!(names(folder.path()), [FILE], "not a file that is called like an id");
    assert_eq!(day.drive().live(FILE).len(), 1);
}

#[test]
fn an_edited_id_decides_no_name() {
    let day = Day::in_directory();
    seed_day(&day.db, DATE, 3);
    fail_in_the_commit(&day);
    day.db.update_one(BATCHES, doc! { "_id": BATCH }, doc! { "$set": { "file.id": "payroll.csv#abc" } });
    day.let_time_pass();
    day.retry().run().expect_code(0);
    let names: Vec<String> = day.live_files().into_iter().map(|file| file.name).collect();
    assert_eq!(names, ["batch_2026-01-18.csv"]);
    day.check_converged();
}

#[test]
fn an_edited_document_does_not_give_up_the_official_file() {
    for day in days() {
        day.run().run().expect_code(0);
        let files = day.live_files();
        let file = stored(&day.db, BATCH).get_document("file").expect("its file").clone();
        let id = file.get_str("id").expect("an id");
        let voided = doc! { "id": id, "sha256": file.get_str("sha256").unwrap(), "reason": "evil", "trashed": false };
        let before_the_seal = doc! { "$set": { "voided": [voided], "file.sealed": false } };
        day.db.update_one(BATCHES, doc! { "_id": BATCH }, before_the_seal);
        let found = day.command("verify").run().expect_code(34).json();
        assert_eq!((&found["problem_count"], &found["problems"][0]["kind"]), (&1.into(), &"file_id".into()), "{found}");
        assert!(found.to_string().contains("remove that id from `voided`"), "{found}");
        day.retry().run().expect_code(0);
        assert_eq!(day.live_files(), files);
        assert_eq!(stored(&day.db, BATCH).get_array("voided").unwrap().len(), 1);
    }
}

#[test]
fn the_official_file_of_another_batch_that_is_listed_as_voided_is_told_as_an_edit() {
    for day in days() {
        day.run().run().expect_code(0);
        seed_day(&day.db, NEXT, 2);
        next_evening(&day).run().expect_code(0);
        let files = day.live_files();
        let file = stored(&day.db, BATCH).get_document("file").expect("its file").clone();
        let planted = doc! { "id": file.get("id"), "sha256": file.get("sha256"), "reason": "evil", "trashed": false };
        for batch in [BATCH, "batch_2026-01-19"] {
            let voided = doc! { "$set": { "voided": [planted.clone()] } };
            day.db.update_one(BATCHES, doc! { "_id": batch }, voided);
            let ended = day.retry().now(NEXT_EVENING).run().expect_code(0);
            let says = format!("the official file of {BATCH}: somebody edited it");
            let is_told = ended.stderr.contains(&says) && ended.stderr.contains("remove that id from `voided`");
            assert!(is_told && !ended.stderr.contains("restored"), "{batch}: {}", ended.report());
            day.db.update_one(BATCHES, doc! { "_id": batch }, doc! { "$set": { "voided": [] } });
        }
        assert_eq!(day.live_files(), files);
    }
}

#[test]
fn an_id_of_another_name_is_told_as_edited() {
    let day = Day::in_directory();
    seed_day(&day.db, DATE, 3);
    day.run().run().expect_code(0);
    for id in ["x.csv#..", "x.csv#abc", "batch_2026-01-17.csv#abc"] {
        day.db.update_one(BATCHES, doc! { "_id": BATCH }, doc! { "$set": { "file.id": id } });
        let found = day.command("verify").run().expect_code(34).json()["problems"].to_string();
        assert!(found.contains("\"file_id\"") && found.contains(id) && !found.contains("missing_file"), "{found}");
    }
}

#[test]
fn an_id_is_a_bare_file_name_or_refused() {
    let directory = Directory::new("/srv/accounting".into(), None);
    let id = "batch_2026-01-18.csv#0a1b2c";
    assert_eq!(directory.file(id).unwrap(), Path::new("/srv/accounting/batch_2026-01-18.csv"));
    for id in ["/etc/passwd#x", "../x#y", "..", ".", "", "#x", "a/b#c", "a/#c", "./a#c", "a\0b#c", "/"] {
        assert!(directory.file(id).is_err(), "{id:?}");
    }
}

const ATTRIBUTE: &str = "user.batch-export";

/// A directory with one file, and the facts of that file.
fn with_file(name: &str) -> (tempfile::TempDir, Destination, FileFacts) {
    let folder = out();
    std::fs::write(folder.path().join(name), "content").expect("the file");
    let destination = Destination::Directory(Directory::new(folder.path().to_owned(), None));
    let (id, sha256) = (format!("{name}#1"), sha256(b"content"));
    (folder, destination, FileFacts { id, name: name.to_owned(), sha256, bytes: 7, ..FileFacts::default() })
}

fn block<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(work)
}

#[test]
fn only_what_is_certainly_ours_and_not_committed_is_discarded() {
    let (ours, theirs, batch) = (Some("ours"), Some("theirs"), Some("batch_2026-01-18"));
    let may_go = |installation: Option<&str>, batch: Option<&str>, number: Option<i64>, name: &str| {
        let (folder, destination, file) = with_file(name);
        let owner = json!({ "installation": installation, "batchId": batch, "number": number }).to_string();
        let opened = File::open(folder.path().join(name)).expect("the file");
        fsetxattr(&opened, ATTRIBUTE, owner.as_bytes(), XattrFlags::empty()).expect("the attribute");
        let mark = Mark { batch: "batch_2026-01-18".parse().ok(), installation: ours };
        let discarded = block(destination.discard(&file.id, Some(&file.sha256), &mark)).is_ok();
        assert_eq!(folder.path().join(name).exists(), !discarded, "{name}");
        discarded
    };
    assert!(may_go(ours, batch, None, "any.csv"));
    assert!(may_go(None, batch, None, "any.csv"));
    assert!(may_go(ours, None, None, "any.csv"));
    assert!(may_go(None, None, None, "batch_2026-01-18.csv"));
    for name in ["payroll.csv", "bank 2026-01-18.pdf", "batch_2026-01-18", "copy of batch_2026-01-18.csv"] {
        assert!(!may_go(None, None, None, name), "{name}");
    }
    assert!(!may_go(theirs, batch, None, "batch_2026-01-18.csv"));
    assert!(!may_go(ours, Some("batch_2026-01-17"), None, "batch_2026-01-18.csv"));
    assert!(!may_go(ours, batch, Some(1), "batch_2026-01-18.csv"));
}

#[test]
fn a_sealed_file_in_a_directory_tells_whose_it_is_and_nobody_else_may_read_it() {
    let (folder, destination, file) = with_file("batch_2026-01-18.csv");
    let path = folder.path().join(&file.name);
    std::fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("the permissions");
    let (installation, batch_id) = (Some("ours".to_owned()), Some("batch_2026-01-18".to_owned()));
    let owner = Owner { installation, batch_id, number: Some(7), ..Owner::default() };
    assert!(block(destination.seal(&file, &owner, false)).expect("a seal").is_some_and(|sealed| sealed.restricted));
    let told = block(destination.owner(&file.id)).expect("the owner");
    assert_eq!(told, Some(Owner { sealed: true, restricted: true, ..owner }));
    let opened = File::open(&path).expect("the file");
    let mut written = [0; 256];
    let length = fgetxattr(&opened, ATTRIBUTE, &mut written[..]).expect("the attribute");
    let expected = json!({ "installation": "ours", "batchId": "batch_2026-01-18", "number": 7 });
    assert_eq!(serde_json::from_slice::<serde_json::Value>(&written[..length]).expect("JSON"), expected);
    assert_eq!(opened.metadata().expect("its facts").permissions().mode() & 0o777, 0o400);
}

/// The directory was not mounted when the batch was exported elsewhere, so the file seemed to be gone.
#[test]
fn a_voided_file_that_comes_back_is_told_and_trashed() {
    let day = Day::in_directory();
    seed_day(&day.db, DATE, 5);
    fail_in_the_commit(&day);
    let (mounted, folder) = (day.directory().with_extension("mounted"), out());
    let there = address(folder.path());
    std::fs::rename(day.directory(), &mounted).unwrap();
    std::fs::create_dir(day.directory()).unwrap();
    day.let_time_pass();
    day.retry().destination(&there).run().expect_code(0);
    assert!(voided(&day)[0].get_bool("trashed").unwrap(), "nothing was there");
    std::fs::remove_dir(day.directory()).unwrap();
    std::fs::rename(&mounted, day.directory()).unwrap();
    for verify in [day.command("verify").destination(&there), day.command("verify")] {
        let found = verify.run().expect_code(34).json();
        assert_eq!(
            (&found["problem_count"], &found["problems"][0]["kind"]),
            (&1.into(), &"untrashed_voided".into()),
            "{found}"
        );
    }
    // As its next step says.
    day.db.update_one(BATCHES, doc! { "_id": BATCH }, doc! { "$set": { "voided.0.trashed": false } });
    day.retry().destination(&there).run().expect_code(0);
    assert!(is_empty(day.directory()));
    day.command("verify").destination(&there).run().expect_code(0);
}

#[test]
fn an_id_that_is_no_text_is_refused_as_an_edit_and_not_as_a_run_that_took_over() {
    let day = Day::in_directory();
    seed_day(&day.db, DATE, 3);
    fail_in_the_commit(&day);
    day.db.update_one(BATCHES, doc! { "_id": BATCH }, doc! { "$set": { "file.id": 5 } });
    day.let_time_pass();
    let refused = day.retry().run().expect_code(31).json()["batches"][0]["error"].clone();
    assert!(refused["message"].as_str().unwrap().contains("somebody edited it"), "{refused}");
    assert!(refused["next"].as_str().unwrap().contains("set `file` to null"), "{refused}");
    day.db.update_one(BATCHES, doc! { "_id": BATCH }, doc! { "$set": { "file": null } });
    day.let_time_pass();
    day.retry().run().expect_code(0);
    day.check_converged();
}
