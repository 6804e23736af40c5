//! A committed file carries its number, and `retry` writes a number that is missing.

use super::*;
use crate::support::day::Place;
use crate::support::mongod::Mongod;
use crate::support::proxy::{On as ProxyOn, Proxy};

fn file_of(day: &Day) -> Document {
    day.batch().get_document("file").unwrap().clone()
}

#[track_caller]
fn assert_seal(day: &Day, sealed: bool, restricted: bool) {
    let file = file_of(day);
    assert_eq!(
        (file.get_bool("sealed").unwrap(), file.get_bool("restricted").unwrap()),
        (sealed, restricted),
        "{file}"
    );
}

#[test]
fn a_committed_file_is_numbered_and_kept_from_change() {
    for day in days() {
        day.run().run().expect_code(0);
        assert_seal(&day, true, true);
        day.check_converged();
        if let Place::Drive(drive, _) = &day.place {
            assert!(drive.live(FILE)[0].locked);
            assert_eq!((drive.count(Operation::List), drive.count(Operation::Update)), (1, 1));
        }
    }
}

#[test]
fn an_account_that_may_not_lock_numbers_the_file_all_the_same() {
    let day = Day::on_drive();
    seed_day(&day.db, DATE, 3);
    day.drive().refuse_locks();
    day.run().run().expect_code(0);
    assert_seal(&day, true, false);
    assert!(!day.drive().live(FILE)[0].locked);
    day.check_converged();
}

#[test]
fn a_seal_that_failed_is_made_good_by_retry_and_then_costs_nothing() {
    let day = Day::on_drive();
    seed_day(&day.db, DATE, 3);
    day.drive().plan(On::every(Operation::Update), Fault::answer(Answer::error(503, "backendError")));
    let ended = day.run().run().expect_code(0);
    assert_eq!(ended.stderr.matches("not sealed yet").count(), 1, "{}", ended.report());
    assert_seal(&day, false, false);
    day.check_guarantees();
    day.drive().cure();
    let notes = day.command("verify").run().expect_code(0).json()["checked"][0]["notes"].to_string();
    assert!(notes.contains("is not sealed yet"), "{notes}");
    let status = day.command("status").args(&["--output", "text"]).run().expect_code(0).stdout;
    assert!(status.contains("the file is not sealed yet"), "{status}");
    day.retry().run().expect_code(0);
    assert_seal(&day, true, true);
    day.check_converged();
    let requests = day.drive().journal().len();
    day.retry().run().expect_code(0);
    assert_eq!(day.drive().journal().len(), requests, "an idle retry asks Drive nothing");
}

/// The answer to the seal is lost with the run: the next one finds the file sealed.
#[test]
fn a_run_that_is_killed_at_the_seal_leaves_it_to_retry() {
    for point in [Point::Before, Point::After] {
        let day = Day::on_drive();
        seed_day(&day.db, DATE, 3);
        let hold = day.drive().hold(On::nth(Operation::Update, 1), point);
        let run = day.run().spawn();
        hold.wait_until_reached(PATIENCE);
        assert_eq!(day.batch().get_str("state").unwrap(), "completed");
        run.kill();
        hold.release();
        assert_seal(&day, false, false);
        day.retry().run().expect_code(0);
        assert_seal(&day, true, true);
        day.check_converged();
    }
}

/// A day whose run was killed before it sealed the file.
fn killed_before_the_seal(day: &Day) {
    let proxy = Proxy::before(Mongod::shared());
    let (stop, seal) = match &day.place {
        // The answer to the commit.
        Place::Directory(_) => (Some(proxy.hold(ProxyOn::command("commitTransaction").after())), None),
        Place::Drive(drive, _) => (None, Some(drive.hold(On::nth(Operation::Update, 1), Point::Before))),
    };
    let run = day.run().mongodb(&proxy.uri(&day.db)).spawn();
    stop.iter().for_each(|stop| stop.wait_until_reached(PATIENCE));
    seal.iter().for_each(|seal| seal.wait_until_reached(PATIENCE));
    run.kill();
    assert_eq!(day.batch().get_str("state").unwrap(), "completed");
    assert_seal(day, false, false);
}

#[test]
fn a_file_that_people_brought_elsewhere_before_the_seal_is_sealed_there() {
    for day in days() {
        killed_before_the_seal(&day);
        let says = match &day.place {
            Place::Directory(folder) => {
                std::fs::create_dir(folder.path().join("imported")).expect("a folder");
                let to = folder.path().join("imported/january.csv");
                std::fs::rename(folder.path().join(FILE), &to).expect("moved");
                "it is imported/january.csv there; it is sealed there"
            }
            Place::Drive(drive, _) => {
                let id = drive.live(FILE).remove(0).id;
                drive.move_to(&id, &drive.another_folder());
                drive.rename(&id, "january.csv");
                "was moved to another folder; it is sealed there"
            }
        };
        let ended = day.retry().run().expect_code(0);
        assert!(ended.stderr.contains(says) && !ended.stderr.contains("not sealed yet"), "{}", ended.report());
        assert_seal(&day, true, true);
        match &day.place {
            Place::Directory(folder) => {
                let file = std::fs::metadata(folder.path().join("imported/january.csv")).expect("the file");
                assert_eq!(std::os::unix::fs::PermissionsExt::mode(&file.permissions()) & 0o777, 0o444);
            }
            Place::Drive(drive, _) => {
                let file = drive.live("january.csv").remove(0);
                assert_eq!((file.properties.get("number").map(String::as_str), file.locked), (Some("1"), true));
            }
        }
        day.command("verify").run().expect_code(0);
    }
}

#[test]
fn a_file_that_is_in_the_trash_or_removed_before_the_seal_is_told_as_that() {
    for is_trash in [true, false] {
        for day in days() {
            killed_before_the_seal(&day);
            match (&day.place, is_trash) {
                (Place::Directory(folder), true) => {
                    let trash = folder.path().join(".Trash-1000");
                    std::fs::create_dir(&trash).expect("a trash");
                    std::fs::rename(folder.path().join(FILE), trash.join(FILE)).expect("moved");
                }
                (Place::Directory(folder), false) => std::fs::remove_file(folder.path().join(FILE)).expect("removed"),
                (Place::Drive(drive, _), true) => drive.trash(&drive.live(FILE)[0].id),
                (Place::Drive(drive, _), false) => drive.remove(&drive.live(FILE)[0].id),
            }
            let ended = day.retry().run().expect_code(0);
            let says = if is_trash { "is in the trash" } else { "removed" };
            assert!(ended.stderr.contains(says), "{is_trash}: {}", ended.report());
            assert_eq!(ended.stderr.contains("restore it"), is_trash, "{}", ended.report());
            assert_seal(&day, false, false);
        }
    }
}

#[test]
fn a_file_that_was_changed_or_numbered_by_a_copy_before_the_seal_is_not_sealed() {
    for (changed, says) in
        [(true, "was changed before it was sealed"), (false, "number 9, and this batch has number 1")]
    {
        let day = Day::on_drive();
        seed_day(&day.db, DATE, 3);
        killed_before_the_seal(&day);
        let drive = day.drive();
        let mut file = drive.live(FILE).remove(0);
        let locked = file.locked;
        if changed {
            file.bytes.push(b' ');
        } else {
            file.properties.insert("number".to_owned(), "9".to_owned());
        }
        let planted = drive.planted(&file.id, FILE, &file.bytes);
        let (app_properties, properties) = (file.app_properties.clone(), file.properties.clone());
        drive.put_file(Planted { app_properties, properties, ..planted });
        let ended = day.retry().run().expect_code(0);
        assert!(ended.stderr.contains(says), "{}", ended.report());
        assert_seal(&day, false, false);
        let left = drive.live(FILE).remove(0);
        assert_eq!((left.locked, left.properties), (locked, file.properties));
    }
}

/// Restored to before the commit, while the file was not sealed yet: the same bytes are adopted, others are refused.
#[test]
fn a_file_that_was_committed_and_not_sealed_is_still_of_this_installation() {
    for edited in [false, true] {
        let day = Day::on_drive();
        seed_day(&day.db, DATE, 3);
        day.run().run().expect_code(0);
        seed_day(&day.db, NEXT, 4);
        let backup = Backup::of(&day.db);
        let hold = day.drive().hold(day.drive().next(Operation::Update), Point::Before);
        let run = next_evening(&day).spawn();
        hold.wait_until_reached(PATIENCE);
        run.kill();
        // Released only now: the request of a killed run is not performed.
        drop(hold);
        let files = day.live_files();
        backup.restore(&day.db);
        if edited {
            edit_all(&day.db);
            let ended = next_evening(&day).run().expect_code(31);
            assert_refused(&ended, &ended.json(), &["by this installation", "another content"]);
            assert_eq!(day.live_files(), files);
        } else {
            assert_eq!(next_evening(&day).run().expect_code(0).json()["adopted"], true);
            assert_eq!(day.live_files(), files);
            day.check_converged();
        }
    }
}

/// A copy of the database takes the file for a leftover, between its upload and its seal.
#[test]
fn a_run_whose_file_was_removed_before_the_seal_does_not_say_that_all_is_well() {
    for day in days() {
        let proxy = Proxy::before(Mongod::shared());
        let stop = proxy.hold(ProxyOn::command("commitTransaction"));
        let run = day.run().mongodb(&proxy.uri(&day.db)).spawn();
        stop.wait_until_reached(PATIENCE);
        let copy = TestDb::new();
        Backup::of(&day.db).restore(&copy);
        let past = doc! { "$set": { "leaseExpiresAt": DateTime::from_millis(0) } };
        copy.update_one(BATCHES, doc! { "_id": BATCH }, past);
        edit_all(&copy);
        day.retry().mongodb(&copy.uri()).run().expect_code(0);
        stop.release();
        let ended = run.wait(PATIENCE).expect_code(0);
        let gone = match day.place {
            Place::Directory(_) => "no file there or in a subfolder has its content",
            Place::Drive(..) => "batch_2026-01-18.csv is in the trash",
        };
        for words in ["ERROR", gone, "the batch is committed, and no entry is exported again"] {
            assert!(ended.stderr.contains(words), "{words:?} is not in {}", ended.report());
        }
        assert_eq!(ended.stderr.matches("not sealed yet").count(), 1, "{}", ended.report());
        assert_eq!(ended.json()["number"], 1);
        assert_eq!(day.batch().get_str("state").unwrap(), "completed");
        for _ in 0..2 {
            day.retry().run().expect_code(0);
            assert!(!file_of(&day).get_bool("sealed").unwrap());
        }
        let shown = day.command("status").args(&["--output", "text"]).run().expect_code(0).stdout;
        assert!(shown.contains("not sealed yet: `batch-export retry` seals it, or says why it cannot"), "{shown}");
        let found = day.command("verify").run().expect_code(34).stdout;
        assert!(found.contains("seals it, or says why it cannot"), "{found}");
    }
}

/// The file keeps the name of the installation that stored it, and the rebuilt ledger takes that name.
#[test]
fn a_file_that_was_not_sealed_when_the_ledger_was_lost_is_sealed_under_the_rebuilt_one() {
    let day = Day::on_drive();
    seed_day(&day.db, DATE, 3);
    let hold = day.drive().hold(On::nth(Operation::Update, 1), Point::Before);
    let run = day.run().spawn();
    hold.wait_until_reached(PATIENCE);
    run.kill();
    drop(hold);
    let ledger = || day.db.find_one(BATCHES, doc! { "_id": "ledger" }).expect("the ledger");
    let before = ledger();
    day.db.delete_many(BATCHES, doc! { "_id": "ledger" });
    let made = day.command("init").args(&["--adopt", "--output", "text"]).run().expect_code(0).stdout;
    assert!(made.contains("the ledger was rebuilt") && !made.contains("new name"), "{made}");
    assert_eq!(ledger().get("installation"), before.get("installation"));
    day.retry().run().expect_code(0);
    assert_seal(&day, true, true);
    day.check_converged();
}
