//! Accounts and folders: each kind of credentials stores the file where it may. Where it may not, the message tells the
//! cases apart, and the next `retry` after the advice was followed stores the file.

use super::{check_failed, check_no_secret, check_result, outspoken};
use crate::support::command::{BatchExport, told};
use crate::support::day::Day;
use crate::support::fake_drive::{FakeDrive, Operation, Role, SCOPE_DRIVE_FILE, USER};
use crate::support::seed::{DATE, seed_day};

/// Credentials, the user to act as, and a folder.
#[derive(Clone, Copy)]
struct Setup {
    credentials: fn(&FakeDrive) -> String,
    subject: Option<&'static str>,
    folder: fn(&FakeDrive) -> String,
}

const ROBOT: Setup = Setup { credentials: FakeDrive::service_account, subject: None, folder: FakeDrive::folder };
const PERSON: Setup = Setup { credentials: FakeDrive::authorized_user, ..ROBOT };
const DELEGATED: Setup = Setup { subject: Some(USER), ..ROBOT };

impl Setup {
    fn into(self, folder: fn(&FakeDrive) -> String) -> Setup {
        Setup { folder, ..self }
    }

    fn prepare(&self, day: &Day) {
        std::fs::write(day.credentials(), (self.credentials)(day.drive())).expect("the credentials");
    }

    fn command(&self, day: &Day, command: BatchExport) -> BatchExport {
        let command = outspoken(command).destination(&format!("gdrive://{}", (self.folder)(day.drive())));
        match self.subject {
            Some(subject) => command.args(&["--drive-subject", subject]),
            None => command,
        }
    }
}

fn small_day() -> Day {
    let day = Day::on_drive();
    seed_day(&day.db, DATE, 5);
    day
}

#[test]
fn each_kind_of_credentials_lands_the_file_where_it_may() {
    for setup in
        [ROBOT, DELEGATED, DELEGATED.into(FakeDrive::my_drive_folder), PERSON, PERSON.into(FakeDrive::my_drive_folder)]
    {
        let day = small_day();
        setup.prepare(&day);
        let ended = setup.command(&day, day.run()).run().expect_code(0);
        check_result(&day, &ended.json(), false);
        check_no_secret(&day, &ended);
        assert_eq!(day.drive().files()[0].parents, [(setup.folder)(day.drive())]);
        assert_eq!(day.drive().journal().len(), 6, "token, newest files, id, start, one chunk, seal");
    }
}

#[test]
fn what_stands_in_the_way_is_told_and_the_advice_works() {
    let narrow: fn(&FakeDrive) -> String = |drive| drive.authorized_user_for(SCOPE_DRIVE_FILE);
    let (mine, missing) = (FakeDrive::my_drive_folder, FakeDrive::missing_folder);
    let stranger = Setup { subject: Some("eve@example.com"), ..ROBOT };
    let nothing: fn(&FakeDrive) = |_| {};
    for (name, wrong, trouble, words, right) in [
        ("no storage, then delegation", ROBOT.into(mine), nothing, "--drive-subject", DELEGATED.into(mine)),
        ("no storage, then consent", ROBOT.into(mine), nothing, "batch-export auth", PERSON.into(mine)),
        ("no storage, then a shared drive", ROBOT.into(mine), nothing, "folder in a shared drive", ROBOT),
        ("missing folder", ROBOT.into(missing), nothing, "does not exist, or the service account", ROBOT),
        ("read-only folder", ROBOT.into(FakeDrive::read_only_folder), nothing, "as Content manager", ROBOT),
        ("folder in the trash", ROBOT.into(FakeDrive::trashed_folder), nothing, "in the trash", ROBOT),
        ("scope", Setup { credentials: narrow, ..ROBOT }, nothing, "grant access to all of Drive", PERSON),
        ("consent ended", PERSON, FakeDrive::revoke_consent, "dies after 7 days", PERSON),
        ("key deleted", ROBOT, FakeDrive::revoke_key, "new JSON key", PERSON),
        ("not delegated", stranger, nothing, "Domain-wide delegation", DELEGATED),
        ("storage full", PERSON.into(mine), FakeDrive::fill_quota, "free some", PERSON),
    ] {
        let day = small_day();
        wrong.prepare(&day);
        trouble(day.drive());
        let ended = wrong.command(&day, day.run()).run().expect_code(31);
        check_failed(&day, &ended, words);
        check_no_secret(&day, &ended);
        assert!(day.drive().journal().len() <= 9, "{name}: {} requests", day.drive().journal().len());
        right.prepare(&day);
        day.let_time_pass();
        let retried = right.command(&day, day.retry()).run();
        assert_eq!(retried.code, 0, "{name}: {}", retried.report());
        check_result(&day, &retried.json()["batches"][0], false);
        check_no_secret(&day, &retried);
    }
}

/// A contributor adds files and cannot trash them: enough for every day on which nothing goes wrong.
#[test]
fn a_contributor_is_enough_while_nothing_goes_wrong() {
    let day = small_day();
    day.drive().set_role(Role::Contributor);
    check_result(&day, &day.run().run().expect_code(0).json(), false);
    assert_eq!(day.drive().count(Operation::Update), 1, "the seal");
}

#[test]
fn a_person_cannot_act_as_somebody_else() {
    let day = small_day();
    PERSON.prepare(&day);
    let ended = day.run().args(&["--drive-subject", USER]).run().expect_code(30);
    assert!(told(&ended.json()["error"]).contains("--drive-subject"), "{}", ended.report());
    assert!(day.drive().journal().is_empty());
}
