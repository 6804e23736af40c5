//! The bytes: chunks, questions how much is stored, the last chunk, and the look that decides when nothing else can.

use super::{Adopted, CHUNK_BYTES, Cell, Failed, Landed, QUIET, Rejected, Replaced, TRIES};
use super::{answer, check, first, html, twice};
use crate::support::fake_drive::{Answer, Fault, On, Operation, Tamper};

use Operation::{Chunk, Get, Status};

/// The second of three chunks.
fn middle() -> On {
    On::byte(CHUNK_BYTES + 7)
}

#[test]
fn chunks_survive_every_loss() {
    let reset = Fault::reset;
    let part = reset().after_storing(CHUNK_BYTES / 2);
    check(vec![
        Cell::new("no fault", [], Landed, QUIET),
        Cell::new("chunk: 503 before", [(middle(), html(503))], Landed, QUIET + 2),
        Cell::new("chunk: 500 after a part", [(middle(), html(500).after_storing(1000))], Landed, QUIET + 3),
        Cell::new("chunk: 502 after", [(middle(), html(502).after_effect())], Landed, QUIET + 1),
        Cell::new("chunk: first, 503", [(first(Chunk), html(503))], Landed, QUIET + 2),
        Cell::new("chunk: reset before", [(middle(), reset())], Landed, QUIET + 2),
        Cell::new("chunk: reset after a part", [(middle(), part)], Landed, QUIET + 3),
        Cell::new("chunk: reset after", [(middle(), reset().after_effect())], Landed, QUIET + 1),
        Cell::new("chunk: lost answer", [(middle(), Fault::lost_answer())], Landed, QUIET + 1),
        Cell::new("chunk: session gone, none", [(middle(), reset().session_gone())], Landed, QUIET + 7),
        Cell::new("chunk: session gone, all", [(middle(), Fault::lost_answer().session_gone())], Landed, QUIET + 7),
        Cell::new("chunk: session gone (410)", [(middle(), reset().session_gone())], Landed, QUIET + 7)
            .after(|day| day.drive().expire_sessions(410)),
        Cell::new(
            "session gone for ever",
            [(On::every(Chunk), reset().session_gone())],
            Failed("session 4 times"),
            3 + 24,
        ),
        Cell::new("chunk: reset for ever", [(On::every(Chunk), reset())], Failed("6 failed tries"), 4 + 2 * TRIES),
        Cell::new("chunk: 503 for ever", [(On::every(Chunk), html(503))], Failed("6 failed tries"), 4 + 2 * TRIES),
    ]);
}

#[test]
fn chunks_survive_every_answer() {
    let throttled = |answer: Answer| [(middle(), Fault::answer(answer))];
    let denied = || answer(401, "authError");
    let seen = |tamper| [(middle(), Fault::tamper(tamper))];
    let for_ever = |tamper| [(On::every(Chunk), Fault::tamper(tamper)), (On::every(Status), Fault::tamper(tamper))];
    check(vec![
        Cell::new("chunk: 429", throttled(Answer::empty(429)), Landed, QUIET + 2),
        Cell::new("chunk: 429, 1 s", throttled(Answer::empty(429).retry_after_s(1)), Landed, QUIET + 2),
        Cell::new("chunk: 429, a date", throttled(Answer::empty(429).retry_after_date_in_s(-9)), Landed, QUIET + 2),
        Cell::new(
            "chunk: 429, absurd",
            throttled(Answer::empty(429).retry_after_s(u64::MAX)),
            Failed("limit of 2s"),
            6,
        )
        .with("BATCH_EXPORT_UPLOAD_TIMEOUT", "2s"),
        Cell::new("chunk: 408", [(middle(), html(408))], Landed, QUIET + 2),
        Cell::new("chunk: rate", [(middle(), answer(403, "rateLimitExceeded"))], Landed, QUIET + 2),
        Cell::new("chunk: 401 once", [(middle(), denied())], Landed, QUIET + 3),
        Cell::new(
            "chunk: 401, and 401",
            [(middle(), denied()), (first(Status), denied())],
            Rejected("key are enabled"),
            QUIET + 2,
        ),
        Cell::new("chunk: 400", [(middle(), html(400))], Landed, QUIET + 6),
        Cell::new("chunk: 400 for ever", [(On::every(Chunk), html(400))], Rejected("started again 3 times"), 3 + 20),
        Cell::new("chunk: quota", [(middle(), answer(403, "storageQuotaExceeded"))], Rejected("shared drive"), QUIET),
        Cell::new(
            "chunk: permission",
            [(middle(), answer(403, "insufficientFilePermissions"))],
            Rejected("Content manager"),
            QUIET,
        ),
        Cell::new("chunk: 308, nothing stored", [(middle(), Fault::no_progress())], Landed, QUIET + 1),
        Cell::new(
            "chunk: 308 for ever",
            [(On::every(Chunk), Fault::no_progress())],
            Failed("no more than 0"),
            4 + TRIES,
        ),
        Cell::new("chunk: range back", seen(Tamper::RangeBackwards), Landed, QUIET + 2),
        Cell::new("chunk: range none", seen(Tamper::RangeMalformed), Landed, QUIET + 2),
        Cell::new("chunk: range beyond", seen(Tamper::RangeBeyond), Landed, QUIET + 2),
        Cell::new("range none for ever", for_ever(Tamper::RangeMalformed), Failed("308 with the range"), 4 + TRIES),
        Cell::new("range beyond for ever", for_ever(Tamper::RangeBeyond), Failed("of which"), 4 + TRIES),
    ]);
}

#[test]
fn a_question_may_fail_too() {
    let lost = |fault| [(middle(), Fault::lost_answer()), (first(Status), fault)];
    check(vec![
        Cell::new("status: 503", lost(html(503)), Landed, QUIET + 2),
        Cell::new("status: reset", lost(Fault::reset()), Landed, QUIET + 2),
        Cell::new("status: lost answer", lost(Fault::lost_answer()), Landed, QUIET + 2),
        Cell::new("status: 429", lost(Fault::answer(Answer::empty(429))), Landed, QUIET + 2),
        Cell::new("status: 401", lost(answer(401, "authError")), Landed, QUIET + 3),
        Cell::new("status: session gone", lost(html(404).session_gone()), Landed, QUIET + 7),
        Cell::new("status: 404, but alive", lost(html(404)), Landed, QUIET + 7),
        Cell::new("status: range none", lost(Fault::tamper(Tamper::RangeMalformed)), Landed, QUIET + 2),
        Cell::new("status: range back", lost(Fault::tamper(Tamper::RangeBackwards)), Landed, QUIET + 2),
        Cell::new("status: quota", lost(answer(403, "storageQuotaExceeded")), Rejected("shared drive"), QUIET + 1),
        Cell::new(
            "status: 503 for ever",
            [(middle(), Fault::lost_answer()), (On::every(Status), html(503))],
            Failed("6 failed tries"),
            QUIET - 1 + TRIES,
        ),
    ]);
}

#[test]
fn the_last_chunk_is_never_ambiguous_in_the_end() {
    let last = |fault| [(On::last_chunk(), fault)];
    let seen = |tamper| [(On::last_chunk(), Fault::tamper(tamper))];
    let bare = || Fault::tamper(Tamper::ChecksumsMissing);
    check(vec![
        Cell::new("last: lost answer", last(Fault::lost_answer()), Landed, QUIET + 1),
        Cell::new("last: reset before", last(Fault::reset()), Landed, QUIET + 2),
        Cell::new("last: reset after a part", last(Fault::reset().after_storing(1000)), Landed, QUIET + 2),
        Cell::new("last: reset after", last(Fault::reset().after_effect()), Landed, QUIET + 1),
        Cell::new("last: 503 after", last(html(503).after_effect()), Landed, QUIET + 1),
        Cell::new("last: 401 after", last(answer(401, "authError").after_effect()), Landed, QUIET + 2),
        Cell::new("last: 409 after", last(answer(409, "fileIdInUse").after_effect()), Adopted, QUIET + 1),
        Cell::new("last: 409, nothing to be seen", last(answer(409, "x")), Failed("does not show it"), QUIET + 1),
        Cell::new("last: lost, session gone", last(Fault::lost_answer().session_gone()), Adopted, QUIET + 3),
        Cell::new("last: none, session gone", last(Fault::reset().session_gone()), Landed, QUIET + 8),
        Cell::new("last: bad JSON", seen(Tamper::BadJson), Landed, QUIET + 1),
        Cell::new("last: checksums missing", seen(Tamper::ChecksumsMissing), Landed, QUIET + 1),
        Cell::new("last: md5 only", seen(Tamper::ChecksumsMd5Only), Landed, QUIET),
        Cell::new("last: upper case", seen(Tamper::ChecksumsUpperCase), Landed, QUIET),
        Cell::new("last: checksums wrong", seen(Tamper::ChecksumsWrong), Failed("not what was sent"), QUIET + 1),
        Cell::new("last: size wrong", seen(Tamper::SizeWrong), Failed("bytes, expected"), QUIET + 1),
        Cell::new("a bit flips", [(middle(), Fault::corrupt_bytes())], Failed("not what was sent"), QUIET + 1),
        Cell::new(
            "last: no checksum anywhere",
            [(On::last_chunk(), bare()), (On::every(Get), bare())],
            Failed("unverified"),
            QUIET + 1,
        ),
        Cell::new(
            "last: lost, and two questions fail",
            [(On::last_chunk(), Fault::lost_answer()), (twice(Status), html(503))],
            Landed,
            QUIET + 3,
        ),
    ]);
}

/// The answer to the last chunk and the session are both lost: only a look at the file tells.
#[test]
fn a_look_may_fail_too() {
    let lost = |fault| [(On::last_chunk(), Fault::lost_answer().session_gone()), (first(Get), fault)];
    let for_ever = |fault| [(On::last_chunk(), Fault::lost_answer().session_gone()), (On::every(Get), fault)];
    check(vec![
        Cell::new("look: 503", lost(html(503)), Adopted, QUIET + 4),
        Cell::new("look: reset", lost(Fault::reset()), Adopted, QUIET + 4),
        Cell::new("look: bad JSON", lost(Fault::tamper(Tamper::BadJson)), Adopted, QUIET + 4),
        Cell::new("look: rate", lost(answer(403, "rateLimitExceeded")), Adopted, QUIET + 4),
        Cell::new("look: 401", lost(answer(401, "authError")), Adopted, QUIET + 5),
        // The first look finds nothing, so the upload starts again; Drive says that the id is taken; the second look finds it.
        Cell::new("look: 404 once", lost(answer(404, "notFound")), Adopted, QUIET + 6),
        // The folder is not to be seen either.
        Cell::new("look: 404 for ever", for_ever(answer(404, "notFound")), Rejected("does not exist"), QUIET + 4),
        Cell::new("look: 503 for ever", for_ever(html(503)), Failed("6 failed tries"), QUIET + 1 + TRIES),
        Cell::new("look: forbidden", lost(answer(403, "domainPolicy")), Rejected("administrator"), QUIET + 2),
        Cell::new(
            "look: no checksum",
            for_ever(Fault::tamper(Tamper::ChecksumsMissing)),
            Failed("unverified"),
            QUIET + 3,
        ),
        // Twice: the session asks whether there is a file, the pass which one it is.
        Cell::new("look: another content", for_ever(Fault::tamper(Tamper::ChecksumsWrong)), Replaced, QUIET + 11),
    ]);
}
