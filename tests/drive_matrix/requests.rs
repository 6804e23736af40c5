//! The small requests before the first byte: a token, an id, a session.

use super::{Cell, Failed, Landed, QUIET, Rejected, TRIES, answer, check, first, html, twice};
use crate::support::fake_drive::{Answer, Fault, On, Operation, Tamper};

use Operation::{GenerateIds, List, Start, Token, Update};

#[test]
fn tokens_survive_what_passes_and_stop_at_what_does_not() {
    let refused = |error, text| [(first(Token), Fault::answer(Answer::token_error(400, error, text)))];
    let text = |text: &str| Fault::answer(Answer::text(200, text));
    check(vec![
        Cell::new("token: 503 HTML", [(first(Token), html(503))], Landed, QUIET + 1),
        Cell::new("token: 500 twice", [(twice(Token), html(500))], Landed, QUIET + 2),
        Cell::new("token: reset", [(first(Token), Fault::reset())], Landed, QUIET + 1),
        Cell::new("token: lost answer", [(first(Token), Fault::lost_answer())], Landed, QUIET + 1),
        Cell::new("token: not JSON", [(first(Token), text("good morning"))], Landed, QUIET + 1),
        Cell::new("token: {}", [(first(Token), text("{}"))], Landed, QUIET + 1),
        Cell::new("token: bad JSON", [(first(Token), Fault::tamper(Tamper::BadJson))], Landed, QUIET + 1),
        Cell::new("token: their trouble", refused("internal_failure", ""), Landed, QUIET + 1),
        Cell::new("token: 503 for ever", [(On::every(Token), html(503))], Failed("the answer is not JSON"), TRIES),
        Cell::new("token: {} for ever", [(On::every(Token), text("{}"))], Failed("without a token"), TRIES),
        Cell::new("token: no account", refused("invalid_grant", "account not found"), Rejected("exists"), 1),
        Cell::new("token: clock", refused("invalid_grant", "a short-lived token"), Rejected("clock"), 1),
        Cell::new("token: key", refused("invalid_grant", "Invalid JWT Signature."), Rejected("new JSON key"), 1),
        Cell::new("token: not allowed", refused("unauthorized_client", ""), Rejected("delegation"), 1),
        Cell::new("token: scope", refused("invalid_scope", ""), Rejected("auth/drive"), 1),
    ]);
}

#[test]
fn the_look_for_the_name_survives_what_passes_and_stops_at_what_does_not() {
    check(vec![
        Cell::new("list: 503 HTML", [(first(List), html(503))], Landed, QUIET + 1),
        Cell::new("list: 500 twice", [(twice(List), answer(500, "internalError"))], Landed, QUIET + 2),
        Cell::new("list: reset", [(first(List), Fault::reset())], Landed, QUIET + 1),
        Cell::new("list: lost answer", [(first(List), Fault::lost_answer())], Landed, QUIET + 1),
        Cell::new("list: bad JSON", [(first(List), Fault::tamper(Tamper::BadJson))], Landed, QUIET + 1),
        Cell::new("list: rate", [(first(List), answer(403, "userRateLimitExceeded"))], Landed, QUIET + 1),
        Cell::new("list: 401 once", [(first(List), answer(401, "authError"))], Landed, QUIET + 2),
        Cell::new("list: 503 for ever", [(On::every(List), html(503))], Failed("6 failed tries"), 1 + TRIES),
        Cell::new("list: policy", [(first(List), answer(403, "domainPolicy"))], Rejected("administrator"), 2),
    ]);
}

#[test]
fn the_seal_survives_what_passes() {
    check(vec![
        Cell::new("seal: 503 HTML", [(first(Update), html(503))], Landed, QUIET + 1),
        Cell::new("seal: 500 twice", [(twice(Update), answer(500, "internalError"))], Landed, QUIET + 2),
        Cell::new("seal: reset", [(first(Update), Fault::reset())], Landed, QUIET + 1),
        Cell::new("seal: lost answer", [(first(Update), Fault::lost_answer())], Landed, QUIET + 1),
        Cell::new("seal: bad JSON", [(first(Update), Fault::tamper(Tamper::BadJson))], Landed, QUIET + 1),
        Cell::new("seal: rate", [(first(Update), answer(403, "userRateLimitExceeded"))], Landed, QUIET + 1),
        Cell::new("seal: 401 once", [(first(Update), answer(401, "authError"))], Landed, QUIET + 2),
        Cell::new("seal: no lock", [(first(Update), answer(403, "insufficientFilePermissions"))], Landed, QUIET + 1),
    ]);
}

#[test]
fn ids_survive_what_passes_and_stop_at_what_does_not() {
    let none = Fault::answer(Answer::json(200, &serde_json::json!({"ids": []})));
    let denied = answer(401, "authError");
    let throttled = Fault::answer(Answer::empty(429).retry_after_s(1));
    check(vec![
        Cell::new("id: 503 HTML", [(first(GenerateIds), html(503))], Landed, QUIET + 1),
        Cell::new("id: 500 twice", [(twice(GenerateIds), answer(500, "internalError"))], Landed, QUIET + 2),
        Cell::new("id: 503 after", [(first(GenerateIds), html(503).after_effect())], Landed, QUIET + 1),
        Cell::new("id: reset", [(first(GenerateIds), Fault::reset())], Landed, QUIET + 1),
        Cell::new("id: lost answer", [(first(GenerateIds), Fault::lost_answer())], Landed, QUIET + 1),
        Cell::new("id: bad JSON", [(first(GenerateIds), Fault::tamper(Tamper::BadJson))], Landed, QUIET + 1),
        Cell::new("id: none given", [(first(GenerateIds), none)], Landed, QUIET + 1),
        Cell::new("id: rate", [(first(GenerateIds), answer(403, "userRateLimitExceeded"))], Landed, QUIET + 1),
        Cell::new("id: 429 with seconds", [(first(GenerateIds), throttled)], Landed, QUIET + 1),
        Cell::new("id: 401 once", [(first(GenerateIds), denied.clone())], Landed, QUIET + 2),
        Cell::new("id: 401 twice", [(twice(GenerateIds), denied)], Rejected("key are enabled"), 5),
        Cell::new("id: 503 for ever", [(On::every(GenerateIds), html(503))], Failed("6 failed tries"), 2 + TRIES),
        Cell::new("id: 404", [(first(GenerateIds), html(404))], Rejected("--drive-url"), 3),
        Cell::new("id: 302", [(first(GenerateIds), html(302))], Rejected("redirect"), 3),
        Cell::new("id: no API", [(first(GenerateIds), answer(403, "accessNotConfigured"))], Rejected("enable the"), 3),
        Cell::new("id: daily", [(first(GenerateIds), answer(403, "dailyLimitExceeded"))], Rejected("midnight"), 3),
    ]);
}

#[test]
fn starts_survive_what_passes_and_stop_at_what_does_not() {
    let dated = Fault::answer(Answer::empty(429).retry_after_date_in_s(-5));
    let absurd = Fault::answer(Answer::empty(429).retry_after_s(1_000_000_000));
    let denied = answer(401, "authError");
    let taken = answer(409, "fileIdInUse");
    let refuse = |reason| [(first(Start), answer(403, reason))];
    check(vec![
        Cell::new("start: 503", [(first(Start), html(503))], Landed, QUIET + 1),
        Cell::new("start: 503 after", [(first(Start), html(503).after_effect())], Landed, QUIET + 1),
        Cell::new("start: reset", [(first(Start), Fault::reset())], Landed, QUIET + 1),
        Cell::new("start: reset after", [(first(Start), Fault::reset().after_effect())], Landed, QUIET + 1),
        Cell::new("start: lost answer", [(first(Start), Fault::lost_answer())], Landed, QUIET + 1),
        Cell::new("start: no Location", [(first(Start), Fault::tamper(Tamper::NoLocation))], Landed, QUIET + 1),
        Cell::new("start: 401 once", [(first(Start), denied.clone())], Landed, QUIET + 2),
        Cell::new("start: 401 twice", [(twice(Start), denied)], Rejected("key are enabled"), QUIET),
        Cell::new("start: rate", refuse("rateLimitExceeded"), Landed, QUIET + 1),
        Cell::new("start: 429 with a date", [(first(Start), dated)], Landed, QUIET + 1),
        Cell::new("start: 503 for ever", [(On::every(Start), html(503))], Failed("6 failed tries"), 3 + TRIES),
        Cell::new("start: absurd wait", [(first(Start), absurd)], Failed("its limit of 2s"), 4)
            .with("BATCH_EXPORT_UPLOAD_TIMEOUT", "2s"),
        Cell::new("start: 400", [(first(Start), answer(400, "invalid"))], Rejected("--destination"), 4),
        Cell::new("start: 411", [(first(Start), html(411))], Rejected("411"), 4),
        // The folder is fine when it is looked at: only a person can find out why Drive refuses it.
        Cell::new("start: 404 once", [(first(Start), answer(404, "notFound"))], Rejected("404"), 6),
        Cell::new("start: quota", refuse("storageQuotaExceeded"), Rejected("--drive-subject"), 4),
        Cell::new("start: policy", refuse("domainPolicy"), Rejected("administrator"), 4),
        Cell::new("start: parent", refuse("insufficientParentPermissions"), Rejected("Content manager"), 4),
        Cell::new("start: items", refuse("teamDriveFileLimitExceeded"), Rejected("limit of items"), 4),
        Cell::new("start: unheard of", refuse("somethingNew"), Rejected("check what the service account"), 4),
        Cell::new("start: 409, nothing to be seen", [(first(Start), taken)], Failed("does not show it"), 5),
    ]);
}
