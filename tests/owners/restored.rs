//! A database that was restored from a backup finds the files of the days that it lost.

use mongodb::bson::doc;

use super::{
    Backup, LATER, NEXT, assert_refused, copied_after_a_failure, days, edit_all, let_time_pass, next_evening, stored,
};
use crate::support::command::told;
use crate::support::day::{BATCH, BATCHES, LOG};
use crate::support::seed::{DATE, seed_day};

#[test]
fn days_that_a_restored_database_lost_are_exported_again_in_order() {
    for day in days() {
        day.run().run().expect_code(0);
        seed_day(&day.db, NEXT, 4);
        seed_day(&day.db, LATER, 2);
        let backup = Backup::of(&day.db);
        let later = || day.command("run").date(LATER).now("2026-01-20T18:00:05+07:00");
        next_evening(&day).run().expect_code(0);
        later().run().expect_code(0);
        let files = day.live_files();
        backup.restore(&day.db);
        for (number, run) in [(2, next_evening(&day)), (3, later())] {
            let again = run.run().expect_code(0).json();
            assert_eq!((&again["adopted"], &again["number"]), (&true.into(), &number.into()), "{again}");
        }
        assert_eq!(day.live_files(), files);
    }
}

/// Its ledger is a new one, so its own files seem to be those of another installation.
#[test]
fn a_database_that_was_restored_to_before_its_first_batch_is_not_sent_to_another_folder() {
    for day in days() {
        let backup = Backup::of(&day.db);
        day.run().run().expect_code(0);
        let ledger = day.db.find_one(BATCHES, doc! { "_id": "ledger" }).expect("the ledger");
        let installation = ledger.get_str("installation").expect("a name");
        seed_day(&day.db, NEXT, 4);
        let later = Backup::of(&day.db);
        next_evening(&day).run().expect_code(0);
        let files = day.live_files();
        for (backup, same) in [(&later, false), (&backup, true)] {
            backup.restore(&day.db);
            day.db.delete_many(BATCHES, doc! {});
            day.db.delete_many(LOG, doc! {});
            day.db.delete_many("exportbatchentries", doc! {});
            if !same {
                let other = doc! { "$set": { "description": "another" } };
                day.db.update_many("journalentries", doc! {}, other);
                day.db.update_many("exportqueues", doc! {}, doc! { "$set": { "status": "queued", "metadata": {} } });
            }
            let refused = told(&day.run().run().expect_code(31).json()["error"]);
            let way_out = format!("set `installation` of the ledger to {installation}");
            assert!(refused.contains(&way_out) && refused.contains("another folder would export"), "{refused}");
            let is_known = refused.contains("it has the very content of this export");
            assert_eq!((is_known, refused.contains("use another folder")), (same, !same), "{refused}");
        }
        // The way out without a later backup, for both days.
        day.db.update_one(BATCHES, doc! { "_id": "ledger" }, doc! { "$set": { "installation": installation } });
        seed_day(&day.db, NEXT, 4);
        for (number, run) in [(1, day.run().arg("--now")), (2, next_evening(&day))] {
            let again = run.run().expect_code(0).json();
            assert_eq!((&again["adopted"], &again["number"]), (&true.into(), &number.into()), "{again}");
        }
        assert_eq!(day.live_files(), files);
    }
}

/// Nothing in the batch document tells that a copy of the database has made the file official: only the file itself does.
#[test]
fn the_official_file_of_a_copy_is_not_told_as_one_that_must_not_be_imported() {
    for day in days() {
        let copy = copied_after_a_failure(&day);
        day.let_time_pass();
        day.retry().run().expect_code(0);
        let verified = day.command("verify").mongodb(&copy.uri()).run().expect_code(34);
        let found = verified.json();
        assert_eq!((&found["problem_count"], &found["problems"][0]["kind"]), (&1.into(), &"second_file".into()));
        assert!(found.to_string().contains("was committed as number 1 by this installation"), "{found}");
        let status = day.command("status").args(&["--output", "text"]).mongodb(&copy.uri()).run().expect_code(0);
        assert!(
            status.stdout.contains("`batch-export verify --date 2026-01-18` has said whose it is"),
            "{}",
            status.stdout
        );
        for said in [verified.stdout, status.stdout] {
            assert!(!said.contains("not official") && !said.contains("must not be imported"), "{said}");
        }
    }
}

#[test]
fn the_official_file_of_another_day_is_told_as_its_own() {
    for day in days() {
        seed_day(&day.db, "2026-01-17", 2);
        day.command("run").date("2026-01-17").run().expect_code(0);
        let point = day.db.fail_point("alwaysOn", doc! { "failCommands": ["insert"], "errorCode": 8000 });
        day.run().run().expect_code(20);
        drop(point);
        let file = stored(&day.db, "batch_2026-01-17").get_document("file").expect("its file").clone();
        day.db.update_one(BATCHES, doc! { "_id": BATCH }, doc! { "$set": { "file": file } });
        let found = day.command("verify").date(DATE).run().expect_code(34).json();
        let kinds: Vec<&str> =
            found["problems"].as_array().unwrap().iter().filter_map(|one| one["kind"].as_str()).collect();
        assert!(kinds.contains(&"file_id"), "{found}");
        let said = found.to_string();
        assert!(said.contains("is the official file of batch_2026-01-17"), "{said}");
        assert!(!said.contains("not official") && !said.contains("must not be imported"), "{said}");
        let files = day.live_files();
        day.let_time_pass();
        let ended = day.retry().run().expect_code(31);
        assert_refused(
            &ended,
            &ended.json()["batches"][0],
            &["as number 1, which is not the number", "set it to null"],
        );
        assert_eq!(day.live_files(), files);
        // The way out.
        day.db.update_one(BATCHES, doc! { "_id": BATCH }, doc! { "$set": { "file": null } });
        day.let_time_pass();
        day.retry().run().expect_code(0);
        day.command("verify").run().expect_code(0);
    }
}

#[test]
fn a_copy_that_holds_the_file_of_a_failed_attempt_gets_a_folder_of_its_own() {
    for day in days() {
        let copy = copied_after_a_failure(&day);
        day.let_time_pass();
        day.retry().run().expect_code(0);
        let official = day.live_files();
        edit_all(&copy);
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let elsewhere = format!("file://{}", folder.path().display());
        let retry = || {
            let_time_pass(&copy);
            day.retry().mongodb(&copy.uri()).destination(&elsewhere).run()
        };
        if matches!(day.place, crate::support::day::Place::Directory(_)) {
            let ended = retry().expect_code(31);
            let says = ["committed as number 1", "use another folder, and set `file` of the batch document to null"];
            assert_refused(&ended, &ended.json()["batches"][0], &says);
        }
        copy.update_one(BATCHES, doc! { "_id": BATCH }, doc! { "$set": { "file": null } });
        retry().expect_code(0);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        assert_eq!(day.live_files(), official);
        day.check_converged();
    }
}

/// Nothing tells it but the files of its earlier life: those of the day that it begins with are not among them.
#[test]
fn a_database_without_a_record_gives_out_no_number_beside_its_own_committed_files() {
    for day in days() {
        seed_day(&day.db, NEXT, 4);
        let backup = Backup::of(&day.db);
        day.run().run().expect_code(0);
        next_evening(&day).run().expect_code(0);
        let files = day.live_files();
        let later = || day.command("run").date(LATER).now("2026-01-20T18:00:05+07:00").arg("--now");
        backup.restore(&day.db);
        let ended = later().run().expect_code(31);
        assert_refused(&ended, &ended.json(), &["was committed as number", "before its first batch", "--file-name"]);
        assert_eq!(day.live_files(), files);
        // The way out of another database: a file name of its own.
        let own = later().env("BATCH_EXPORT_FILE_NAME", "acme {date}.csv").run().expect_code(0).json();
        assert_eq!((&own["number"], &own["file"]["name"]), (&1.into(), &"acme 2026-01-20.csv".into()), "{own}");
    }
}
