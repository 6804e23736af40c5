//! A database that was restored from a backup finds the files of the days that it lost.

use mongodb::bson::doc;

use super::{Backup, LATER, NEXT, days, next_evening};
use crate::support::command::told;
use crate::support::day::{BATCHES, LOG};
use crate::support::seed::seed_day;

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
