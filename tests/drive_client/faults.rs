//! The matrix: operation x fault x moment.

use super::{Bench, KIB_256, Landed};
use crate::support::fake_drive::{Answer, Fault, On, Operation, Tamper};

use Operation::{Chunk, GenerateIds, Get, Start, Status, Token};

/// What a scenario must come to.
enum Expected {
    Stored,
    /// Stored or adopted: what was lost was only an answer.
    Adopted,
    Mismatch(&'static str),
    Failed(&'static str),
    Rejected(&'static str),
}

use Expected::{Adopted, Failed, Mismatch, Rejected, Stored};

struct Scenario {
    name: &'static str,
    faults: Vec<(On, Fault)>,
    expected: Expected,
    /// The most requests, of all operations together.
    requests: usize,
}

/// A file of two and a half units: three chunks.
const BYTES: u64 = 2 * KIB_256 + 1000;

/// Token, id, start, three chunks.
const QUIET: usize = 6;

/// A first try and five more.
const TRIES: usize = 6;

fn run(scenarios: Vec<Scenario>) {
    for Scenario { name, faults, expected, requests } in scenarios {
        let bench = Bench::new(BYTES);
        for (on, fault) in faults {
            bench.fake.plan(on, fault);
        }
        let landed = bench.land();
        bench.check(&landed, name);
        let fits = match (&expected, &landed) {
            (Stored, Landed::Stored) | (Adopted, Landed::Adopted) => true,
            (Mismatch(words), Landed::Mismatch(told)) => told.contains(words),
            (Failed(words), Landed::Failed(told)) => told.contains(words),
            (Rejected(words), Landed::Rejected(told)) => told.contains(words),
            _ => false,
        };
        assert!(fits, "{name}: {landed:?}");
        let made = bench.fake.journal().len();
        assert!(made <= requests, "{name}: {made} requests");
    }
}

fn scenario(name: &'static str, on: On, fault: Fault, expected: Expected, requests: usize) -> Scenario {
    Scenario { name, faults: vec![(on, fault)], expected, requests }
}

fn first(operation: Operation) -> On {
    On::nth(operation, 1)
}

fn answer(status: u16, reason: &str) -> Fault {
    Fault::answer(Answer::error(status, reason))
}

fn html(status: u16) -> Fault {
    Fault::answer(Answer::html(status))
}

#[test]
fn small_requests_survive_what_passes_and_stop_at_what_does_not() {
    let twice = |operation| On::every(operation).times(2);
    run(vec![
        scenario("no fault", On::every(Token).times(0), Fault::reset(), Stored, QUIET),
        scenario("id: 503 HTML", first(GenerateIds), html(503), Stored, QUIET + 1),
        scenario("id: 500 twice", twice(GenerateIds), answer(500, "internalError"), Stored, QUIET + 2),
        scenario("id: reset", first(GenerateIds), Fault::reset(), Stored, QUIET + 1),
        scenario("id: lost answer", first(GenerateIds), Fault::lost_answer(), Stored, QUIET + 1),
        scenario("id: bad JSON", first(GenerateIds), Fault::tamper(Tamper::BadJson), Stored, QUIET + 1),
        scenario("id: rate limit", first(GenerateIds), answer(403, "userRateLimitExceeded"), Stored, QUIET + 1),
        scenario("id: 429 empty", first(GenerateIds), Fault::answer(Answer::empty(429)), Stored, QUIET + 1),
        scenario("id: 401 once", first(GenerateIds), answer(401, "authError"), Stored, QUIET + 2),
        scenario("id: 401 twice", twice(GenerateIds), answer(401, "authError"), Rejected("key are enabled"), 4),
        scenario("id: 503 for ever", On::every(GenerateIds), html(503), Failed("6 failed tries"), 1 + TRIES),
        scenario("id: 404", first(GenerateIds), html(404), Rejected("--drive-url"), 2),
        scenario("id: 302", first(GenerateIds), html(302), Rejected("redirect"), 2),
        scenario("id: no API", first(GenerateIds), answer(403, "accessNotConfigured"), Rejected("enable the"), 2),
        scenario("start: 503", first(Start), html(503), Stored, QUIET + 1),
        scenario("start: reset", first(Start), Fault::reset(), Stored, QUIET + 1),
        scenario("start: lost answer", first(Start), Fault::lost_answer(), Stored, QUIET + 1),
        scenario("start: no Location", first(Start), Fault::tamper(Tamper::NoLocation), Stored, QUIET + 1),
        scenario("start: 401 once", first(Start), answer(401, "authError"), Stored, QUIET + 2),
        scenario("start: 401 twice", twice(Start), answer(401, "authError"), Rejected("enabled"), 6),
        scenario("start: rate limit", first(Start), answer(403, "rateLimitExceeded"), Stored, QUIET + 1),
        scenario("start: 503 for ever", On::every(Start), html(503), Failed("6 failed tries"), 2 + TRIES),
        scenario("start: 400", first(Start), answer(400, "invalid"), Rejected("--destination"), 3),
        scenario("start: quota", first(Start), answer(403, "storageQuotaExceeded"), Rejected("--drive-subject"), 3),
        scenario("start: policy", first(Start), answer(403, "domainPolicy"), Rejected("administrator"), 3),
        scenario("start: 411", first(Start), html(411), Rejected("411"), 3),
    ]);
}

#[test]
fn tokens_survive_what_passes_and_stop_at_what_does_not() {
    let refused = |error, text| Fault::answer(Answer::token_error(400, error, text));
    let json = |text: &str| Fault::answer(Answer::text(200, text));
    run(vec![
        scenario("token: 503 HTML", first(Token), html(503), Stored, QUIET + 1),
        scenario("token: reset", first(Token), Fault::reset(), Stored, QUIET + 1),
        scenario("token: not JSON", first(Token), json("good morning"), Stored, QUIET + 1),
        scenario("token: {}", first(Token), json("{}"), Stored, QUIET + 1),
        scenario("token: 503 for ever", On::every(Token), html(503), Failed("no token"), TRIES),
        scenario("token: trouble of theirs", first(Token), refused("internal_failure", ""), Stored, QUIET + 1),
        scenario("token: account", first(Token), refused("invalid_grant", "account not found"), Rejected("exists"), 1),
        scenario("token: clock", first(Token), refused("invalid_grant", "a short-lived token"), Rejected("clock"), 1),
        scenario("token: client", first(Token), refused("unauthorized_client", ""), Rejected("delegation"), 1),
    ]);
}

#[test]
fn chunks_survive_what_passes_and_stop_at_what_does_not() {
    let middle = || On::byte(KIB_256 + 7);
    let part = || Fault::reset().after_storing(KIB_256 / 2);
    let ended = Fault::reset().session_gone();
    run(vec![
        scenario("chunk: 503 before it is stored", middle(), html(503), Stored, QUIET + 2),
        scenario("chunk: 503 after a part", middle(), html(503).after_storing(1000), Stored, QUIET + 3),
        scenario("chunk: 503 after it is stored", middle(), html(503).after_effect(), Stored, QUIET + 1),
        scenario("chunk: reset before it is stored", middle(), Fault::reset(), Stored, QUIET + 2),
        scenario("chunk: reset after a part", middle(), part(), Stored, QUIET + 3),
        scenario("chunk: reset after it is stored", middle(), Fault::reset().after_effect(), Stored, QUIET + 1),
        scenario("chunk: lost answer", middle(), Fault::lost_answer(), Stored, QUIET + 1),
        scenario(
            "chunk: 429 with seconds",
            middle(),
            Fault::answer(Answer::empty(429).retry_after_s(0)),
            Stored,
            QUIET + 2,
        ),
        scenario("chunk: 408", middle(), html(408), Stored, QUIET + 2),
        scenario("chunk: rate limit", middle(), answer(403, "rateLimitExceeded"), Stored, QUIET + 2),
        scenario("chunk: 401 once", middle(), answer(401, "authError"), Stored, QUIET + 3),
        scenario("chunk: quota", middle(), answer(403, "storageQuotaExceeded"), Rejected("shared drive"), QUIET),
        scenario("chunk: 308, nothing stored", middle(), Fault::no_progress(), Stored, QUIET + 1),
        scenario("chunk: 308 for ever", On::every(Chunk), Fault::no_progress(), Failed("no more than 0"), 3 + TRIES),
        scenario("chunk: range goes back", middle(), Fault::tamper(Tamper::RangeBackwards), Stored, QUIET + 2),
        scenario("chunk: range is none", middle(), Fault::tamper(Tamper::RangeMalformed), Stored, QUIET + 2),
        scenario("chunk: range beyond", middle(), Fault::tamper(Tamper::RangeBeyond), Stored, QUIET + 2),
        scenario("chunk: session gone, no file", middle(), ended, Stored, QUIET + 7),
        scenario("chunk: a bit flips", middle(), Fault::corrupt_bytes(), Mismatch("sha256 is"), QUIET),
        scenario("chunk: 503 for ever", On::every(Chunk), html(503), Failed("6 failed tries"), 3 + 2 * TRIES),
    ]);
}

#[test]
fn the_last_chunk_is_never_ambiguous_in_the_end() {
    let last = On::last_chunk;
    let gone = |fault: Fault| fault.session_gone();
    let seen = |tamper| Fault::tamper(tamper);
    run(vec![
        scenario("last: lost answer", last(), Fault::lost_answer(), Stored, QUIET + 1),
        scenario("last: reset after", last(), Fault::reset().after_effect(), Stored, QUIET + 1),
        scenario("last: 503 after", last(), html(503).after_effect(), Stored, QUIET + 1),
        scenario("last: reset before", last(), Fault::reset(), Stored, QUIET + 2),
        scenario("last: lost, session gone", last(), gone(Fault::lost_answer()), Adopted, QUIET + 3),
        scenario("last: nothing stored, session gone", last(), gone(Fault::reset()), Stored, QUIET + 8),
        scenario("last: bad JSON", last(), seen(Tamper::BadJson), Stored, QUIET + 1),
        scenario("last: checksums wrong", last(), seen(Tamper::ChecksumsWrong), Mismatch("expected"), QUIET),
        scenario("last: checksums missing", last(), seen(Tamper::ChecksumsMissing), Stored, QUIET + 1),
        scenario("last: md5 only", last(), seen(Tamper::ChecksumsMd5Only), Stored, QUIET),
        scenario("last: upper case", last(), seen(Tamper::ChecksumsUpperCase), Stored, QUIET),
        scenario("last: size wrong", last(), seen(Tamper::SizeWrong), Mismatch("bytes"), QUIET),
        Scenario {
            name: "last: no checksum anywhere",
            faults: vec![(last(), seen(Tamper::ChecksumsMissing)), (first(Get), seen(Tamper::ChecksumsMissing))],
            expected: Failed("unverified"),
            requests: QUIET + 1,
        },
        Scenario {
            name: "last: lost, and the question fails twice",
            faults: vec![(last(), Fault::lost_answer()), (On::every(Status).times(2), html(503))],
            expected: Stored,
            requests: QUIET + 3,
        },
        Scenario {
            name: "last: lost, session gone, and the look is refused",
            faults: vec![(last(), gone(Fault::lost_answer())), (On::every(Get).times(2), html(503))],
            expected: Adopted,
            requests: QUIET + 5,
        },
        Scenario {
            name: "session gone again and again",
            faults: vec![(On::every(Chunk), gone(Fault::reset()))],
            expected: Failed("lost the upload session 4 times"),
            requests: 2 + 4 * 6,
        },
    ]);
}

#[test]
fn a_taken_id_is_looked_at_and_never_written_to() {
    type Plant = fn(&Bench, &str);
    let same: Plant = |bench, id| bench.fake.put_file(bench.fake.planted(id, super::NAME, &bench.content()));
    let other: Plant = |bench, id| bench.fake.put_file(bench.fake.planted(id, super::NAME, b"other bytes"));
    let trashed: Plant = |bench, id| {
        bench.fake.put_file(bench.fake.planted(id, super::NAME, &bench.content()));
        bench.fake.trash(id);
    };
    let hidden: Plant = |bench, id| {
        let planted = bench.fake.planted(id, super::NAME, &bench.content());
        bench.fake.put_file(crate::support::fake_drive::Planted { readable: false, ..planted });
    };
    for late in [false, true] {
        for (name, plant, expected) in [
            ("same", same, "Adopted"),
            ("other", other, "11 bytes"),
            ("trashed", trashed, "in the trash"),
            ("hidden", hidden, "taken, and absent"),
        ] {
            let bench = Bench::new(BYTES);
            if late {
                bench.fake.refuse_taken_ids_late();
            }
            let id = bench.fake.issue_id();
            plant(&bench, &id);
            let before = bench.fake.files();
            let landed = crate::support::block(bench.land_as(&id));
            assert!(format!("{landed:?}").contains(expected), "{name}, late {late}: {landed:?}");
            assert_eq!(bench.fake.files(), before, "{name}, late {late}: nothing was written");
            assert!(bench.fake.journal().len() <= 1 + 1 + 3 + 1);
        }
    }
}

#[test]
fn any_body_of_an_answer_becomes_one_line() {
    let long = "x".repeat(9_999);
    let cut = "x".repeat(300) + "…";
    for (body, said) in [
        ("", "no details"),
        ("{}", "no details"),
        ("  upload offset is\n 7 byte(s)", "upload offset is 7 byte(s)"),
        ("<html><head><title>Error 411\n(x)</title></head><p>more", "Error 411 (x)"),
        ("<p>Not <b>found</b></p>", "Not found"),
        (&long, &cut),
    ] {
        let bench = Bench::new(1000);
        bench.fake.plan(On::nth(Start, 1), Fault::answer(Answer::text(302, body)));
        let landed = bench.land();
        let expected = format!("Drive answered 302 while opening the upload: {said}");
        assert!(matches!(&landed, Landed::Rejected(told) if told.contains(&expected)), "{landed:?}");
        assert!(!matches!(&landed, Landed::Rejected(told) if told.contains("more")), "{landed:?}");
    }
}
