//! A database that was restored from a backup finds the files of the days that it lost.

use super::{Backup, LATER, NEXT, days, next_evening};
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
