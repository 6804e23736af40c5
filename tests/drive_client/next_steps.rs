//! The next step after each refusal: refusals that need different acts have different advice.
//!
//! Risk: a wrong next step costs an operator an hour at night. So every row names the answer as Google gives it, and
//! words that only the right advice has.

use serde_json::json;

use super::{Bench, KIB_256, Landed};
use batch_export::destination::{Known, Mark};

use crate::support::block;
use crate::support::fake_drive::{Answer, FakeDrive, Fault, On, Operation, Tamper};

use Operation::{Chunk, GenerateIds, Get, List, Start, Token};

const ROBOT: fn(&FakeDrive) -> String = FakeDrive::service_account;
const PERSON: fn(&FakeDrive) -> String = FakeDrive::authorized_user;
/// Three chunks.
const BYTES: u64 = 2 * KIB_256 + 1000;

/// Google's errors of other services than Drive: the reason stands in `details` only.
fn detailed(status: u16, reason: &str, message: &str) -> Answer {
    let detail = json!({"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason});
    Answer::json(status, &json!({"error": {"code": status, "message": message, "details": [detail]}}))
}

fn token(error: &str, description: &str, subtype: &str) -> Answer {
    Answer::json(
        400,
        &json!({"error": error, "error_description": description, "error_subtype": subtype, "error_uri": ""}),
    )
}

#[track_caller]
fn land(credentials: fn(&FakeDrive) -> String, faults: Vec<(On, Answer)>, what: &str) -> (Landed, Bench) {
    let fake = FakeDrive::start();
    let credentials = credentials(&fake);
    let bench = Bench::with(fake, BYTES, &credentials, |_, _| {});
    for (on, answer) in faults {
        bench.fake.plan(on, Fault::answer(answer));
    }
    let landed = bench.land();
    bench.check(&landed, what);
    (landed, bench)
}

#[test]
fn each_refusal_asks_for_the_act_that_ends_it() {
    let deleted = || Answer::error_saying(403, "forbidden", "Project #1234567890 has been deleted.");
    for (who, on, answer, words) in [
        (ROBOT, Start, Answer::error(403, "parentNotAFolder"), "shortcut"),
        (ROBOT, Start, Answer::error(403, "myDriveHierarchyDepthLimitExceeded"), "move it up"),
        (ROBOT, Start, Answer::error(403, "activeItemCreationLimitExceeded"), "another account"),
        (ROBOT, Start, Answer::error(403, "teamDriveFileLimitExceeded"), "another folder"),
        (ROBOT, Start, Answer::error(403, "dailyLimitExceeded"), "daily limit"),
        (ROBOT, Start, Answer::error(403, "somethingNew"), "check what the service account"),
        (PERSON, Start, Answer::error(403, "appNotAuthorizedToFile"), "drive.file"),
        (PERSON, Start, detailed(403, "ACCESS_TOKEN_SCOPE_INSUFFICIENT", "m"), "the consent covers too little"),
        (ROBOT, GenerateIds, deleted(), "was deleted: restore it"),
        (ROBOT, GenerateIds, detailed(403, "CONSUMER_SUSPENDED", "Permission denied"), "is suspended"),
        (
            ROBOT,
            GenerateIds,
            Answer::error_saying(403, "forbidden", "Consumer 'project_number:1234' has been suspended."),
            "is suspended",
        ),
        (
            ROBOT,
            Start,
            Answer::error_saying(403, "forbidden", "Project 1234 has been scheduled for deletion and cannot be used."),
            "was deleted: restore it",
        ),
        (
            ROBOT,
            GenerateIds,
            Answer::error_saying(400, "badRequest", "Project not found or deleted"),
            "was deleted: restore it",
        ),
        (ROBOT, Token, token("restricted_client", "Unregistered scope(s)", ""), "trust its client id"),
        (ROBOT, Token, token("invalid_client", "The OAuth client was not found.", ""), "create a new JSON key"),
        (
            PERSON,
            Token,
            token("invalid_client", "The OAuth client was not found.", ""),
            "run `batch-export auth --client FILE` with its JSON file",
        ),
        (PERSON, Token, token("invalid_grant", "Bad Request", "rapt_required"), "session control"),
        (ROBOT, Start, Answer::error_saying(400, "invalid", "Invalid profile identity"), "this is a bug"),
        (ROBOT, Start, Answer::error(403, "insufficientPermissions"), "as Content manager"),
        (PERSON, Start, Answer::error(403, "insufficientPermissions"), "grant access to all of Drive"),
        (
            PERSON,
            Token,
            token("invalid_grant", "reauth related error (invalid_rapt)", "invalid_rapt"),
            "session control",
        ),
        (PERSON, Token, token("invalid_grant", "Bad Request", "invalid_rapt"), "session control"),
        (PERSON, Token, token("invalid_grant", "Token has been expired or revoked.", ""), "dies after 7 days"),
        (PERSON, Token, token("admin_policy_enforced", "", ""), "administrator"),
        (PERSON, Token, token("restricted_client", "Unregistered scope(s)", ""), "Data access"),
        (
            ROBOT,
            Start,
            Answer::error_saying(400, "invalid", "The provided file ID is not usable."),
            "takes another one",
        ),
        (
            ROBOT,
            Chunk,
            Answer::error_saying(400, "invalid", "The provided file ID is not usable."),
            "takes another one",
        ),
    ] {
        let (landed, _) = land(who, vec![(On::every(on), answer)], words);
        assert!(matches!(&landed, Landed::Rejected(told) if told.contains(words)), "{words}: {landed:?}");
    }
}

#[test]
fn what_passes_is_waited_for_and_what_lasts_is_explained() {
    let limits = [
        Answer::html(403),
        detailed(403, "USER_RATE_LIMIT_EXCEEDED", "Quota exceeded for quota metric 'Queries'"),
        detailed(403, "RATE_LIMIT_EXCEEDED", "Quota exceeded for quota metric 'Queries'"),
        Answer::error(403, "sharingRateLimitExceeded"),
        Answer::error(403, "userRateLimitExceeded"),
        Answer::empty(429),
        Answer::empty(403),
        Answer::text(403, "\u{feff}<html><title>Sorry</title></html>"),
        Answer::json(403, &json!({"error": {"code": 403, "message": "Quota", "status": "RESOURCE_EXHAUSTED"}})),
    ];
    for (number, answer) in limits.into_iter().enumerate() {
        for operation in [GenerateIds, Start, Chunk] {
            let what = format!("limit {number} at {operation:?}");
            let (landed, _) = land(ROBOT, vec![(On::nth(operation, 1), answer.clone())], &what);
            assert_eq!(landed, Landed::Stored, "{what}");
        }
        let (landed, _) = land(ROBOT, vec![(On::every(Start), answer)], "for ever");
        assert!(matches!(&landed, Landed::Failed(told) if told.contains("750 GB")), "limit {number}: {landed:?}");
    }
}

/// Google: "for any 4xx errors (including 403) during a resumable upload, restart the upload".
#[test]
fn a_session_that_answers_4xx_is_started_again_under_the_same_id_and_not_for_ever() {
    for status in [400, 402, 403, 404, 410, 412, 413, 416, 499] {
        let odd = || Answer::error(status, "somethingNew");
        for nth in [1, 3] {
            let (landed, bench) = land(ROBOT, vec![(On::nth(Chunk, nth), odd())], "once");
            assert_eq!(landed, Landed::Stored, "{status} at chunk {nth}");
            let ids: Vec<_> = bench.fake.requests(Start).into_iter().filter_map(|start| start.json).collect();
            assert!(ids.len() == 2 && ids[0]["id"] == ids[1]["id"], "{status}: {ids:?}");
        }
        let (landed, bench) = land(ROBOT, vec![(On::every(Chunk), odd())], "for ever");
        // Each time the file and its folder are looked at.
        assert_eq!(bench.counts([Start, Get, Chunk]), [4, 8, 4], "{status}: {landed:?}");
        match landed {
            Landed::Failed(told) if matches!(status, 404 | 410) => {
                assert!(told.contains("lost the upload session 4 times") && told.contains("somethingNew"), "{told}");
            }
            Landed::Rejected(told) => {
                assert!(told.contains(&format!("answered {status}")) && told.contains("started again 3"), "{told}");
                assert!(!told.contains("this is a bug"), "{told}");
            }
            other => panic!("{status}: {other:?}"),
        }
    }
}

#[test]
fn a_folder_that_is_refused_only_at_the_put_is_named_with_the_account() {
    for last in [false, true] {
        let gone = || Answer::error_saying(404, "notFound", "File not found: 1folder.");
        let at = if last { On::last_chunk() } else { On::nth(Chunk, 1) };
        let (landed, bench) = land(ROBOT, vec![(at, gone()), (On::every(Get), gone())], "folder gone");
        let Landed::Rejected(told) = landed else { panic!("{landed:?}") };
        let account = crate::support::fake_drive::SERVICE_ACCOUNT;
        assert!(told.contains(&bench.fake.folder()) && told.contains("does not exist, or"), "{told}");
        assert!(told.contains("your organization forbids sharing outside of its domain"), "{told}");
        let message = told.split("; ").next().unwrap_or_default();
        assert_eq!(message.matches(account).count(), 1, "the account, once: {message}");
        assert_eq!(bench.counts([Start]), [1], "the file is not sent again");
    }
}

/// Drive may say so by a page without JSON, and then only the folder tells a lost session from a lost folder.
#[test]
fn a_lost_session_in_a_lost_folder_is_not_started_again() {
    let gone = || Answer::error_saying(404, "notFound", "File not found: 1folder.");
    let faults = vec![(On::nth(Chunk, 1), Answer::html(404)), (On::every(Get), gone())];
    let (landed, bench) = land(ROBOT, faults, "a page at the PUT, and no folder");
    assert!(matches!(&landed, Landed::Rejected(told) if told.contains("does not exist, or")), "{landed:?}");
    assert_eq!(bench.counts([Start]), [1], "the file is not sent again");
}

#[test]
fn a_file_that_a_good_folder_refuses_is_sent_once() {
    for at in [Start, Chunk] {
        let refused = Answer::error_saying(404, "notFound", "File not found: 1folder.");
        let (landed, bench) = land(ROBOT, vec![(On::every(at), refused)], "a good folder");
        let Landed::Rejected(told) = landed else { panic!("{landed:?}") };
        assert!(told.contains("File not found") && told.contains("may add files there"), "{told}");
        assert_eq!(bench.counts([Start]), [1], "{told}");
    }
}

/// An empty list and no list are not the same: a file of another owner may have the name.
#[test]
fn a_folder_that_cannot_be_listed_is_refused_before_anything_is_sent() {
    for folder_is_there in [true, false] {
        let (_, bench) = land(ROBOT, Vec::new(), "quiet");
        let gone = || Fault::answer(Answer::error_saying(404, "notFound", "File not found: ."));
        bench.fake.plan(On::every(List), gone());
        if !folder_is_there {
            bench.fake.plan(On::every(Get), gone());
        }
        let words = if folder_is_there { "while listing the folder" } else { "does not exist, or" };
        let known = Known {
            mark: Mark { batch: "batch_2026-01-18".parse().ok(), installation: None },
            next: 1,
            file: None,
            voided: &[],
            file_name: None,
        };
        let named = block(bench.drive.named(super::NAME, bench.spool.digests(), &known));
        let listed = block(bench.drive.list_batch("batch_2026-01-18", super::NAME));
        for refused in [format!("{named:?}"), format!("{listed:?}")] {
            assert!(refused.contains("is_refusal: true") && refused.contains(words), "{refused}");
        }
    }
}

/// An administrator can make every upload visible to the whole domain by default.
#[test]
fn a_new_file_is_never_published_by_a_default_of_the_domain() {
    let (landed, bench) = land(ROBOT, Vec::new(), "quiet");
    assert_eq!(landed, Landed::Stored);
    let id = bench.fake.issue_id();
    block(bench.drive.trash(&id)).expect("a void id is taken");
    for operation in [Start, Operation::Create] {
        let made = bench.fake.requests(operation);
        assert!(!made.is_empty() && made.iter().all(|request| request.target.contains("ignoreDefaultVisibility=true")));
    }
}

#[test]
fn a_search_of_a_part_is_no_answer() {
    let (_, bench) = land(ROBOT, Vec::new(), "quiet");
    bench.fake.plan(On::every(List), Fault::tamper(Tamper::SearchIncomplete));
    let listed = block(bench.drive.list_batch("batch_2026-01-18", super::NAME));
    assert!(format!("{listed:?}").contains("only a part of the folder"), "{listed:?}");
    let asked = bench.fake.requests(List).remove(0).target;
    assert!(asked.contains("corpora=drive") && asked.contains(&bench.fake.drive_id()), "{asked}");
}
