//! The kinds of credentials, what each may do, and the message for what it may not do.

use batch_export::destination::DestinationError;
use batch_export::destination::drive::{Drive, DriveSettings, FolderState};
use batch_export::exit::Exit;

use super::{Bench, Landed};
use crate::support::block;
use crate::support::fake_drive::{
    Answer, FakeDrive, Fault, On, Operation, Role, SCOPE_DRIVE_FILE, SERVICE_ACCOUNT, USER,
};

fn bench(credentials: fn(&FakeDrive) -> String, change: fn(&mut DriveSettings, &FakeDrive)) -> Bench {
    let fake = FakeDrive::start();
    let credentials = credentials(&fake);
    Bench::with(fake, 1000, &credentials, change)
}

fn my_drive(settings: &mut DriveSettings, fake: &FakeDrive) {
    settings.folder = fake.my_drive_folder();
}

#[test]
fn each_kind_of_credentials_uploads_where_it_may() {
    let delegated: fn(&mut DriveSettings, &FakeDrive) = |settings, fake| {
        my_drive(settings, fake);
        settings.subject = Some(USER.to_owned());
    };
    for bench in [
        bench(FakeDrive::service_account, |_, _| {}),
        bench(FakeDrive::service_account, delegated),
        bench(FakeDrive::authorized_user, |_, _| {}),
        bench(FakeDrive::authorized_user, my_drive),
    ] {
        let landed = bench.land();
        bench.check(&landed, "a quiet upload");
        assert_eq!(landed, Landed::Stored);
        assert_eq!(bench.fake.journal().len(), 4, "token, id, start, one chunk");
        assert!(block(bench.drive.folder_facts()).expect("facts").check().is_ok());
    }
}

/// What an upload into an unfit place is told, and whether `doctor`'s facts say the same.
#[test]
fn an_unfit_folder_or_identity_is_explained() {
    let file_scope: fn(&FakeDrive) -> String = |fake| fake.authorized_user_for(SCOPE_DRIVE_FILE);
    let robot: fn(&FakeDrive) -> String = FakeDrive::service_account;
    let missing: fn(&mut DriveSettings, &FakeDrive) = |settings, fake| settings.folder = fake.missing_folder();
    let read_only: fn(&mut DriveSettings, &FakeDrive) = |settings, fake| settings.folder = fake.read_only_folder();
    let trashed: fn(&mut DriveSettings, &FakeDrive) = |settings, fake| settings.folder = fake.trashed_folder();
    for (name, bench, words) in [
        ("service account in My Drive", bench(robot, my_drive), "shared drive"),
        ("missing folder", bench(robot, missing), "does not exist, or the service account"),
        ("read-only folder", bench(robot, read_only), "Content manager"),
        ("folder in the trash", bench(robot, trashed), "in the trash"),
        ("scope drive.file", bench(file_scope, |_, _| {}), "grant access to all of Drive"),
    ] {
        let landed = bench.land();
        bench.check(&landed, name);
        assert!(matches!(&landed, Landed::Rejected(told) if told.contains(words)), "{name}: {landed:?}");
        let facts = block(bench.drive.folder_facts()).expect("facts");
        let Err(DestinationError::Rejected { message, next }) = facts.check() else { panic!("{name}: all well") };
        assert!(format!("{message}; {next}").contains(words), "{name}: {message}; {next}");
    }
}

#[test]
fn the_facts_are_what_drive_says() {
    let bench = bench(FakeDrive::service_account, |_, _| {});
    let facts = block(bench.drive.folder_facts()).expect("facts");
    assert_eq!(facts.email.as_deref(), Some(SERVICE_ACCOUNT));
    assert_eq!((facts.quota_limit_bytes, facts.quota_used_bytes), (Some(0), Some(0)));
    let shared_drive = Some(bench.fake.drive_id());
    assert_eq!(
        facts.state,
        FolderState::Found { name: "Exports".to_owned(), shared_drive, can_add: true, can_trash: Some(true) }
    );
}

#[test]
fn ended_consents_keys_and_storage_are_told_apart() {
    let consent = bench(FakeDrive::authorized_user, |_, _| {});
    consent.fake.revoke_consent();
    let key = bench(FakeDrive::service_account, |_, _| {});
    key.fake.revoke_key();
    let stranger =
        bench(FakeDrive::service_account, |settings, _| settings.subject = Some("eve@example.com".to_owned()));
    let full = bench(FakeDrive::authorized_user, my_drive);
    full.fake.fill_quota();
    for (bench, words) in [
        (consent, "dies after 7 days"),
        (key, "new JSON key"),
        (stranger, "Domain-wide delegation"),
        (full, "free some"),
    ] {
        let landed = bench.land();
        bench.check(&landed, words);
        assert!(matches!(&landed, Landed::Rejected(told) if told.contains(words)), "{landed:?}");
    }
}

#[test]
fn a_person_s_refresh_survives_what_passes() {
    for fault in [
        Fault::answer(Answer::html(503)),
        Fault::answer(Answer::text(200, "{}")),
        Fault::answer(Answer::text(200, "good morning")),
        Fault::answer(Answer::token_error(503, "backend_error", "")),
        Fault::answer(Answer::token_error(429, "rate_limit_exceeded", "")),
        Fault::reset(),
    ] {
        let bench = bench(FakeDrive::authorized_user, |_, _| {});
        bench.fake.plan(On::nth(Operation::Token, 1), fault);
        let landed = bench.land();
        bench.check(&landed, "a refresh");
        assert_eq!(landed, Landed::Stored);
        assert_eq!(bench.fake.journal().len(), 5);
    }
}

#[test]
fn a_token_that_dies_in_between_is_renewed_once() {
    for credentials in [FakeDrive::service_account, FakeDrive::authorized_user] {
        let bench = bench(credentials, |_, _| {});
        let id = block(bench.drive.new_id()).expect("an id");
        bench.fake.expire_tokens();
        assert_eq!(block(bench.land_as(&id)), Landed::Stored);
        assert_eq!(bench.counts([Operation::Token, Operation::Start]), [2, 2]);
    }
}

#[test]
fn the_trash_takes_what_exists_and_what_does_not() {
    let bench = bench(FakeDrive::service_account, |_, _| {});
    assert_eq!(bench.land(), Landed::Stored);
    let id = bench.fake.files()[0].id.clone();
    bench.fake.set_role(Role::Contributor);
    let refused = block(bench.drive.trash(&id));
    assert!(matches!(refused, Err(DestinationError::Rejected { next, .. }) if next.contains("Content manager")));
    bench.fake.set_role(Role::ContentManager);
    bench.fake.plan(bench.fake.next(Operation::Update), Fault::lost_answer());
    assert!(block(bench.drive.trash(&id)).is_ok());
    assert!(bench.fake.files()[0].trashed);
    bench.fake.remove(&id);
    assert!(block(bench.drive.trash(&id)).is_ok());
    bench.fake.assert_all_faults_fired();
}

#[test]
fn a_voided_id_under_which_nothing_is_stored_can_never_be_used_by_a_late_creation() {
    let bench = bench(FakeDrive::service_account, |_, _| {});
    let id = bench.fake.issue_id();
    assert!(block(bench.drive.trash(&id)).is_ok());
    assert!(matches!(block(bench.land_as(&id)), Landed::Different(_)), "the id is taken for good");
    assert!(bench.fake.files().iter().all(|file| file.trashed), "something live is left");
}

#[test]
fn what_is_stored_is_listed_and_can_be_read_back() {
    let bench = bench(FakeDrive::service_account, |_, _| {});
    assert_eq!(bench.land(), Landed::Stored);
    bench.fake.put_file(bench.fake.planted(&bench.fake.issue_id(), super::NAME, b"of a stranger"));
    let listed = block(bench.drive.list_batch("batch_2026-01-18", super::NAME)).expect("a list");
    assert_eq!(listed.len(), 2);
    let own = listed.iter().find(|file| file.bytes == Some(1000)).expect("the file");
    assert_eq!(own.sha256.as_ref(), Some(&bench.spool.digests().sha256));
    let mut content = Vec::new();
    bench.fake.plan(bench.fake.next(Operation::Download), Fault::answer(Answer::html(503)));
    assert_eq!(block(bench.drive.download(&own.id, &mut content)), Ok(Some(1000)));
    assert!(content == bench.content());
    assert_eq!(block(bench.drive.download("1nothing", &mut content)), Ok(None));
}

#[test]
fn unusable_credentials_are_a_configuration_failure() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("key.json");
    let key = r#"{"type":"service_account","client_email":"a@b","private_key":"-----BEGIN PRIVATE KEY-----\nAAAAAAAA\n-----END PRIVATE KEY-----\n"}"#;
    for (content, words) in [(None, "cannot read"), (Some("{"), "not JSON"), (Some(key), "key cannot be used")] {
        if let Some(content) = content {
            std::fs::write(&path, content).expect("the file");
        }
        let failure = Drive::new(DriveSettings::new("folder", &path)).err().expect("a failure");
        assert_eq!(failure.exit, Exit::Configuration);
        assert!(failure.message.contains(words) && failure.next.is_some(), "{failure:?}");
        assert!(!format!("{failure:?}").contains("AAAAAAAA"));
    }
}
