//! Planned faults: each strikes the request it was planned for, has exactly the planned effect, and shows the planned face.

use super::client::{Client, KIB_256, Reply, content, exchange_assertion};
use crate::support::fake_drive::{Answer, FakeDrive, Fault, On, Operation, Request, SCOPE_DRIVE, Tamper};
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

#[test]
fn a_fault_strikes_exactly_the_nth_request_of_its_operation() {
    let drive = FakeDrive::start();
    let client = Client::sign_in(&drive);
    drive.plan(On::nth(Operation::About, 3), Fault::answer(Answer::error(503, "backendError")));
    let statuses: Vec<u16> = (0..5)
        .map(|_| {
            client.generate_id();
            client.get("/drive/v3/about?fields=user").status
        })
        .collect();
    assert_eq!(statuses, [200, 200, 503, 200, 200]);
    let fired: Vec<usize> =
        drive.journal().iter().filter(|request| request.fault.is_some()).map(|request| request.nth).collect();
    assert_eq!(fired, [3]);
    drive.assert_all_faults_fired();
}

#[test]
fn a_fault_can_strike_the_first_few_or_every_request() {
    let drive = FakeDrive::start();
    let client = Client::sign_in(&drive);
    drive.plan(On::every(Operation::About).times(2), Fault::answer(Answer::empty(500)));
    drive.plan(On::every(Operation::Drive), Fault::answer(Answer::html(502)));
    let about = || client.get("/drive/v3/about?fields=user").status;
    assert_eq!([about(), about(), about()], [500, 500, 200]);
    let target = format!("/drive/v3/drives/{}", drive.drive_id());
    assert_eq!([client.get(&target).status, client.get(&target).status], [502, 502]);
    drive.assert_all_faults_fired();
}

#[test]
#[should_panic(expected = "planned, but never happened")]
fn a_fault_that_fires_less_often_than_planned_fails_its_test() {
    let drive = FakeDrive::start();
    let client = Client::sign_in(&drive);
    drive.plan(On::every(Operation::About).times(2), Fault::reset());
    assert!(client.send("GET", "/drive/v3/about?fields=user", &[], None).is_none());
    drive.assert_all_faults_fired();
}

#[test]
#[should_panic(expected = "RangeBackwards found nothing to alter")]
fn a_fault_that_changes_nothing_fails_its_test() {
    struck(Fault::tamper(Tamper::RangeBackwards));
}

#[test]
fn answers_come_in_each_of_googles_forms() {
    let drive = FakeDrive::start();
    let client = Client::sign_in(&drive);
    let about = |answer: Answer| -> Reply {
        drive.plan(drive.next(Operation::About), Fault::answer(answer));
        client.get("/drive/v3/about?fields=user")
    };
    let quota = about(Answer::error(403, "userRateLimitExceeded"));
    assert_eq!((quota.status, quota.reason().as_str()), (403, "userRateLimitExceeded"));
    assert_eq!(quota.json()["error"]["errors"][0]["domain"], json!("usageLimits"));
    assert_eq!(about(Answer::text(503, "try later")).text(), "try later");
    assert!(about(Answer::html(404)).header("content-type").is_some_and(|value| value.starts_with("text/html")));
    assert_eq!(about(Answer::json(200, &json!({}))).json(), json!({}));
    assert!(about(Answer::empty(500)).body.is_empty());
    assert_eq!(about(Answer::error(429, "rateLimitExceeded").retry_after_s(7)).header("retry-after"), Some("7"));
    assert_eq!(about(Answer::empty(429).header("Retry-After", "soon")).header("retry-after"), Some("soon"));
    let dated = about(Answer::empty(429).retry_after_date_in_s(30));
    assert!(dated.header("retry-after").is_some_and(|date| date.ends_with(" GMT")), "{dated:?}");
    drive.assert_all_faults_fired();
}

#[test]
fn the_token_endpoint_fails_as_planned() {
    let drive = FakeDrive::start();
    let claims = super::client::claims(&drive, SCOPE_DRIVE);
    drive.plan(
        On::nth(Operation::Token, 1),
        Fault::answer(Answer::token_error(400, "invalid_grant", "Invalid JWT Signature.")),
    );
    drive.plan(On::nth(Operation::Token, 2), Fault::answer(Answer::html(503)));
    drive.plan(On::nth(Operation::Token, 3), Fault::answer(Answer::text(200, "no JSON")));
    let ask = || exchange_assertion(&drive, &claims, URL_SAFE_NO_PAD);
    assert_eq!(ask().json()["error"], json!("invalid_grant"));
    assert_eq!(ask().status, 503);
    assert_eq!(ask().text(), "no JSON");
    assert_eq!(ask().status, 200);
    drive.assert_all_faults_fired();
}

/// Sends the whole of a file in one chunk that a fault strikes, and tells what the session holds afterwards.
fn struck(fault: Fault) -> (Option<Reply>, Option<String>, FakeDrive) {
    let drive = FakeDrive::start();
    let bytes = content(3 * KIB_256);
    drive.plan(On::last_chunk(), fault);
    let client = Client::sign_in(&drive);
    let session = client.session(&client.generate_id());
    let reply = client.chunk(&session, &bytes, 0, bytes.len());
    let status = client.status(&session, bytes.len());
    drive.assert_all_faults_fired();
    let held = match status.status {
        308 => status.header("range").map(str::to_owned),
        other => Some(other.to_string()),
    };
    (reply, held, drive)
}

#[test]
fn a_reset_stores_none_a_part_or_all_as_planned() {
    let (reply, held, drive) = struck(Fault::reset());
    assert!(reply.is_none() && held.is_none() && drive.requests(Operation::Chunk)[0].body_bytes == 0);
    let (reply, held, drive) = struck(Fault::reset().after_storing(43));
    assert!(reply.is_none() && drive.requests(Operation::Chunk)[0].stored_bytes == 43);
    assert_eq!(held.as_deref(), Some("bytes=0-42"));
    let (reply, held, drive) = struck(Fault::reset().after_effect());
    assert!(reply.is_none() && drive.files().len() == 1);
    assert_eq!(held.as_deref(), Some("200"));
    assert_eq!(drive.requests(Operation::Chunk)[0].status, None);
}

#[test]
fn an_error_comes_before_during_or_after_the_store_as_planned() {
    let error = || Fault::answer(Answer::error(503, "backendError"));
    let (reply, held, _) = struck(error());
    assert_eq!((reply.expect("an answer").status, held.as_deref()), (503, None));
    let (reply, held, _) = struck(error().after_storing(KIB_256 as u64));
    assert_eq!((reply.expect("an answer").status, held.as_deref()), (503, Some("bytes=0-262143")));
    let (reply, held, drive) = struck(error().after_effect());
    assert_eq!((reply.expect("an answer").status, held.as_deref()), (503, Some("200")));
    assert_eq!(drive.files().len(), 1);
}

#[test]
fn an_answer_is_lost_with_the_session_alive_or_gone() {
    let (reply, held, drive) = struck(Fault::lost_answer());
    assert_eq!((reply.is_none(), held.as_deref(), drive.files().len()), (true, Some("200"), 1));
    let (reply, held, drive) = struck(Fault::lost_answer().session_gone());
    assert_eq!((reply.is_none(), held.as_deref(), drive.files().len()), (true, Some("404"), 1));
}

#[test]
fn a_chunk_is_answered_without_progress_for_ever() {
    let drive = FakeDrive::start();
    let client = Client::sign_in(&drive);
    let session = client.session(&client.generate_id());
    let bytes = content(3 * KIB_256);
    client.chunk(&session, &bytes, 0, KIB_256);
    drive.plan(On::every(Operation::Chunk), Fault::no_progress());
    for _ in 0..3 {
        let reply = client.chunk(&session, &bytes, KIB_256, bytes.len()).expect("an answer");
        assert_eq!((reply.status, reply.header("range")), (308, Some("bytes=0-262143")));
    }
    assert!(drive.files().is_empty());
}

#[test]
fn a_fault_strikes_the_chunk_that_contains_its_byte() {
    let drive = FakeDrive::start();
    let client = Client::sign_in(&drive);
    let session = client.session(&client.generate_id());
    let bytes = content(4 * KIB_256);
    drive.plan(On::byte(KIB_256 as u64), Fault::answer(Answer::empty(500)));
    assert_eq!(client.chunk(&session, &bytes, 0, KIB_256).expect("an answer").status, 308);
    assert_eq!(client.chunk(&session, &bytes, KIB_256, 2 * KIB_256).expect("an answer").status, 500);
    assert_eq!(client.chunk(&session, &bytes, KIB_256, 2 * KIB_256).expect("an answer").status, 308);
    drive.assert_all_faults_fired();
}

#[test]
fn ranges_and_locations_lie_as_planned() {
    for (tamper, range) in [
        (Tamper::RangeBackwards, "bytes=0-262143"),
        (Tamper::RangeBeyond, "bytes=0-1099512152064"),
        (Tamper::RangeMalformed, "bytes=524288-, or so"),
    ] {
        let drive = FakeDrive::start();
        let client = Client::sign_in(&drive);
        drive.plan(On::nth(Operation::Chunk, 1), Fault::tamper(tamper));
        let session = client.session(&client.generate_id());
        let bytes = content(3 * KIB_256);
        let reply = client.chunk(&session, &bytes, 0, 2 * KIB_256).expect("an answer");
        assert_eq!((reply.status, reply.header("range")), (308, Some(range)));
        assert_eq!(client.status(&session, bytes.len()).header("range"), Some("bytes=0-524287"));
    }
    let drive = FakeDrive::start();
    let client = Client::sign_in(&drive);
    drive.plan(On::nth(Operation::Start, 1), Fault::tamper(Tamper::NoLocation));
    let reply = client.start(&json!({"name": "x", "parents": [drive.folder()]}));
    assert_eq!((reply.status, reply.header("location")), (200, None));
}

#[test]
fn metadata_lies_as_planned() {
    let answer = |fault: Fault| struck(fault).0.expect("an answer").json();
    let tampered = |tamper| answer(Fault::tamper(tamper));
    let honest = FakeDrive::start();
    let client = Client::sign_in(&honest);
    let truth = client.upload(&client.generate_id(), &content(3 * KIB_256)).json();
    let text = |json: &serde_json::Value, name: &str| json[name].as_str().map(str::to_owned);
    let sha256 = text(&truth, "sha256Checksum").expect("a checksum");
    let wrong = tampered(Tamper::ChecksumsWrong);
    assert!(text(&wrong, "sha256Checksum").is_some_and(|other| other != sha256 && other.len() == 64));
    assert_ne!(wrong["md5Checksum"], truth["md5Checksum"]);
    let missing = tampered(Tamper::ChecksumsMissing);
    assert!(missing.get("sha256Checksum").is_none() && missing.get("md5Checksum").is_none());
    let md5_only = tampered(Tamper::ChecksumsMd5Only);
    assert!(md5_only.get("sha256Checksum").is_none() && md5_only["md5Checksum"] == truth["md5Checksum"]);
    assert_eq!(text(&tampered(Tamper::ChecksumsUpperCase), "sha256Checksum"), Some(sha256.to_uppercase()));
    assert_eq!(tampered(Tamper::SizeWrong)["size"], json!("786433"));
    assert_eq!(tampered(Tamper::BadJson), serde_json::Value::Null);
    let (reply, _, drive) = struck(Fault::corrupt_bytes());
    assert_eq!(reply.expect("an answer").json()["sha256Checksum"], json!(drive.files()[0].sha256));
    assert_ne!(drive.files()[0].sha256, sha256, "the checksum is that of the stored bytes");
}

#[test]
fn a_taken_id_is_refused_at_the_start_or_at_the_last_chunk() {
    let drive = FakeDrive::start();
    let client = Client::sign_in(&drive);
    let id = client.generate_id();
    assert_eq!(client.upload(&id, b"first").status, 200);
    let again = client.start(&json!({"id": id, "name": "day.csv", "parents": [drive.folder()]}));
    assert_eq!(again.status, 409);
    drive.refuse_taken_ids_late();
    assert_eq!(client.upload(&id, b"second").status, 409);
    assert_eq!(drive.live("day.csv").len(), 1);
    assert_eq!(drive.files()[0].bytes, b"first");
}

#[test]
fn the_journal_tells_what_was_asked_when_and_how() {
    let drive = FakeDrive::start();
    let client = Client::sign_in(&drive);
    client.generate_id();
    client.upload(&client.generate_id(), b"abc");
    let journal = drive.journal();
    let told = |request: &Request| (request.operation, request.nth, request.method.clone(), request.status);
    assert_eq!(
        journal.iter().map(told).collect::<Vec<_>>(),
        [
            (Operation::Token, 1, "POST".to_owned(), Some(200)),
            (Operation::GenerateIds, 1, "GET".to_owned(), Some(200)),
            (Operation::GenerateIds, 2, "GET".to_owned(), Some(200)),
            (Operation::Start, 1, "POST".to_owned(), Some(200)),
            (Operation::Chunk, 1, "PUT".to_owned(), Some(200)),
        ]
    );
    assert_eq!(journal[1].target, "/drive/v3/files/generateIds?count=1&space=drive&type=files");
    assert_eq!(journal[4].header("content-length"), Some("3"));
    assert!(journal.is_sorted_by_key(|request| request.at));
}
