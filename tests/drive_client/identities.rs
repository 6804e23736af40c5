//! The kinds of credentials, what each may do, and the message for what it may not do.

use base64::Engine;
use batch_export::destination::DestinationError;
use batch_export::destination::drive::FolderState;
use batch_export::exit::Exit;

use super::{Bench, Landed, Settings};
use crate::support::block;
use crate::support::fake_drive::{
    Answer, FakeDrive, Fault, On, Operation, Role, SCOPE_DRIVE_FILE, SERVICE_ACCOUNT, USER,
};

fn bench(credentials: fn(&FakeDrive) -> String, change: fn(&mut Settings, &FakeDrive)) -> Bench {
    let fake = FakeDrive::start();
    let credentials = credentials(&fake);
    Bench::with(fake, 1000, &credentials, change)
}

fn my_drive(settings: &mut Settings, fake: &FakeDrive) {
    settings.folder = fake.my_drive_folder();
}

#[test]
fn each_kind_of_credentials_uploads_where_it_may() {
    let delegated: fn(&mut Settings, &FakeDrive) = |settings, fake| {
        my_drive(settings, fake);
        settings.how.subject = Some(USER.to_owned());
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
    let missing: fn(&mut Settings, &FakeDrive) = |settings, fake| settings.folder = fake.missing_folder();
    let read_only: fn(&mut Settings, &FakeDrive) = |settings, fake| settings.folder = fake.read_only_folder();
    let trashed: fn(&mut Settings, &FakeDrive) = |settings, fake| settings.folder = fake.trashed_folder();
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
        let Err(DestinationError { is_refusal: true, why }) = facts.check() else { panic!("{name}: all well") };
        assert!(why.lines("").contains(words), "{name}: {why:?}");
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
        bench(FakeDrive::service_account, |settings, _| settings.how.subject = Some("eve@example.com".to_owned()));
    let unknown =
        bench(FakeDrive::service_account, |settings, _| settings.how.subject = Some("ann@example.com".to_owned()));
    let nobody = Answer::token_error(400, "invalid_grant", "Invalid email or User ID");
    unknown.fake.plan(On::every(Operation::Token), Fault::answer(nobody));
    let full = bench(FakeDrive::authorized_user, my_drive);
    full.fake.fill_quota();
    for (bench, words) in [
        (consent, "dies after 7 days"),
        (key, "new JSON key"),
        (stranger, "Domain-wide delegation"),
        (unknown, "--drive-subject ann@example.com"),
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
    assert!(refused.is_err_and(|error| error.is_refusal && error.why.lines("").contains("Content manager")));
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
    let own = listed.iter().find(|file| file.owner.batch_id.is_some()).expect("the file");
    let mut content = Vec::new();
    bench.fake.plan(bench.fake.next(Operation::Download), Fault::answer(Answer::html(503)));
    assert_eq!(block(bench.drive.download(&own.id, &mut content)), Ok(Some(1000)));
    assert!(content == bench.content());
    assert_eq!(block(bench.drive.download("1nothing", &mut content)), Ok(None));
}

#[test]
fn unusable_credentials_are_a_configuration_failure_that_tells_each_form_apart_and_quotes_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let (path, settings) = (folder.path().join("key.json"), Settings::of(&FakeDrive::start()));
    let refused = |content: Option<&[u8]>, words: &str| {
        if let Some(content) = content {
            std::fs::write(&path, content).expect("the file");
        }
        let failure = settings.drive(&path).err().expect("a failure");
        assert_eq!(failure.exit, Exit::Configuration);
        let told = format!("{}; {}", failure.why.message, failure.why.next.as_deref().expect("a next step"));
        assert!(told.contains(words) && !told.contains("hush") && !told.contains("Hunter2"), "{words}: {told}");
    };
    let utf16 = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
    let base64 = |bytes: &[u8]| base64::engine::general_purpose::STANDARD.encode(bytes);
    let key = r#"{"type":"service_account","client_email":"a@b","private_key":"-----BEGIN PRIVATE KEY-----\nhush\n-----END PRIVATE KEY-----\n"}"#;
    let twice = key.replace("\\n", "\\\\n");
    let marked = [b"\xff\xfe".to_vec(), utf16(key)].concat();
    refused(None, "cannot read");
    for (content, words) in [
        (utf16(key), "save the file as UTF-8"),
        (base64(&marked).into_bytes(), "base64 -d"),
        (marked, "save the file as UTF-8"),
        (b"\x30\x82\x0a\x00hush\x02\x01\x03".to_vec(), "a P12 or DER file"),
        (b"hush\x00".to_vec(), "give --credentials the JSON key"),
        (b"\xffhush".to_vec(), "UTF-8"),
    ] {
        refused(Some(&content), words);
    }
    let user = r#"{"type":"authorized_user","client_id":"c","client_secret":"s3","refresh_token":["hush"]}"#;
    let elsewhere = r#"{"type":"service_account","client_email":"a@b","private_key":"k","token_uri":"not an address"}"#;
    for (content, words) in [
        (key, "key cannot be used"),
        // A byte order mark is no mistake.
        (&format!("\u{feff}{key}"), "key cannot be used"),
        (&base64(key.as_bytes()), "base64 -d"),
        (&format!("'{}'\n", base64(key.as_bytes())), "base64 -d"),
        (&base64(format!("\u{feff}{key}").as_bytes()), "base64 -d"),
        (&format!("'{key}'"), "remove the quotes"),
        (&twice, "copy it as it is"),
        (&twice.replace("hush\\\\n", "hush\\n"), "copy it as it is"),
        ("-----BEGIN PRIVATE KEY-----\nhush\n", "a private key alone"),
        (r#"{"type":"Hunter2Secret"}"#, "an unknown type"),
        (r#"{"type": tru"#, "not JSON (line 1"),
        (r#"{"type":"external_account"}"#, "external_account"),
        (r#"{"installed":{"client_id":"x"}}"#, "run `batch-export auth --client` with this file"),
        (r#"{"web":{"client_id":"x"}}"#, "create an OAuth client of the type \"Desktop app\""),
        (r#"{"a":1}"#, "\"type\""),
        (user, "refresh_token"),
        (elsewhere, "token_uri"),
    ] {
        refused(Some(content.as_bytes()), words);
    }
}
