//! Files that were given up: trashed at once where that works, and listed until it does.

use super::{
    Cell, Failed, QUIET, TRIES, answer, check, check_failed, check_no_secret, check_result, first, html, outspoken,
    twice,
};
use crate::support::command::Finished;
use crate::support::day::{Day, FILE};
use crate::support::fake_drive::{Fault, On, Operation, Role};
use crate::support::seed::{DATE, seed_day};

use Operation::{Chunk, Update};

/// A day whose first upload is damaged on its way, so that its file must go; `trouble` keeps it from going.
fn damaged_day(trouble: impl FnOnce(&Day)) -> (Day, Finished) {
    let day = Day::on_drive();
    seed_day(&day.db, DATE, 5);
    day.drive().plan(first(Chunk), Fault::corrupt_bytes());
    trouble(&day);
    let ended = outspoken(day.run()).env("BATCH_EXPORT_DRIVE_IDLE", "2s").run().expect_code(22);
    check_failed(&day, &ended, "not what was sent");
    check_no_secret(&day, &ended);
    day.drive().assert_all_faults_fired();
    (day, ended)
}

#[track_caller]
fn assert_voided(day: &Day, trashed: bool) {
    let batch = day.batch();
    let voided = batch.get_array("voided").unwrap();
    assert_eq!(voided.len(), 1, "{batch}");
    assert_eq!(voided[0].as_document().unwrap().get_bool("trashed").unwrap(), trashed, "{batch}");
}

#[test]
fn trashing_survives_what_passes() {
    let damaged = |on, fault| [(first(Chunk), Fault::corrupt_bytes()), (on, fault)];
    let end = Failed("not what was sent");
    // A look at the file and the trash, in place of the seal.
    let quiet = QUIET + 1;
    check(vec![
        Cell::new("trash: 503", damaged(first(Update), html(503)), end, quiet + 1),
        Cell::new("trash: 500 twice", damaged(twice(Update), html(500)), end, quiet + 2),
        Cell::new("trash: reset", damaged(first(Update), Fault::reset()), end, quiet + 1),
        Cell::new("trash: lost answer", damaged(first(Update), Fault::lost_answer()), end, quiet + 1),
        Cell::new("trash: rate", damaged(first(Update), answer(403, "userRateLimitExceeded")), end, quiet + 1),
        Cell::new("trash: 401", damaged(first(Update), answer(401, "authError")), end, quiet + 2),
        Cell::new("trash: 503 for ever", damaged(On::every(Update), html(503)), end, quiet + 2 * TRIES),
    ]);
}

#[test]
fn a_voided_file_that_cannot_be_trashed_stays_listed_and_goes_with_the_next_retry() {
    let faults = [html(503), Fault::reset(), answer(403, "insufficientFilePermissions"), answer(401, "authError")];
    let planned = |fault: Fault| move |day: &Day| day.drive().plan(On::every(Update), fault);
    for trouble in faults.map(planned) {
        let (day, ended) = damaged_day(trouble);
        assert!(ended.stderr.contains("not in the trash yet"), "{}", ended.report());
        assert_voided(&day, false);
        assert_eq!(day.drive().live(FILE).len(), 1);
        // Once when it is given up, once when the command ends.
        assert!(day.drive().count(Update) <= 2 * TRIES);
        day.drive().cure();
        day.let_time_pass();
        check_result(&day, &day.retry().run().expect_code(0).json()["batches"][0], false);
        assert_voided(&day, true);
    }
}

#[test]
fn a_contributor_cannot_trash_and_is_told_so() {
    let (day, ended) = damaged_day(|day| day.drive().set_role(Role::Contributor));
    assert!(ended.stderr.contains("Content manager"), "{}", ended.report());
    assert_voided(&day, false);
    day.drive().set_role(Role::ContentManager);
    day.let_time_pass();
    check_result(&day, &day.retry().run().expect_code(0).json()["batches"][0], false);
    assert_voided(&day, true);
}

/// The batch is completed meanwhile; whichever command comes next clears up.
#[test]
fn a_completed_batch_still_gets_its_voided_files_trashed() {
    for command in ["retry", "run"] {
        let (day, _) = damaged_day(|day| day.drive().plan(On::every(Update), html(503)));
        day.let_time_pass();
        assert_eq!(day.retry().run().expect_code(0).json()["batches"][0]["outcome"], "completed");
        day.check_guarantees();
        assert_voided(&day, false);
        assert_eq!(day.drive().live(FILE).len(), 2, "the official file, and the void one that could not be trashed");
        day.drive().cure();
        let uploads = day.drive().count(Chunk);
        match command {
            "run" => assert_eq!(day.run().run().expect_code(0).json()["outcome"], "already_completed"),
            _ => assert_eq!(day.retry().run().expect_code(0).json()["outcome"], "nothing_due"),
        }
        day.check_converged();
        assert_voided(&day, true);
        assert_eq!(day.drive().count(Chunk), uploads);
    }
}
