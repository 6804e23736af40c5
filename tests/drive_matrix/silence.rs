//! Silence: a peer that says nothing is left after `BATCH_EXPORT_DRIVE_IDLE`, and the work goes on; the whole upload has its limit too.

use super::{Adopted, Cell, End, Failed, Landed, QUIET, TRIES, check, first};
use crate::support::fake_drive::{Fault, On, Operation};

use Operation::{Chunk, GenerateIds, Get, List, Start, Status, Token, Update};

/// More requests than the fault itself explains: on a busy machine a healthy answer may seem silent for a moment too.
const HICCUPS: usize = 6;

fn cell(name: &'static str, faults: impl Into<Vec<(On, Fault)>>, end: End, requests: usize) -> Cell {
    Cell::new(name, faults, end, requests + HICCUPS).with("BATCH_EXPORT_DRIVE_IDLE", "300ms")
}

#[test]
fn a_peer_that_is_silent_once_is_left_and_the_work_goes_on() {
    let headers = Fault::stall_headers;
    let lost = || (On::last_chunk(), Fault::lost_answer().session_gone());
    check(vec![
        cell("token: headers", [(first(Token), headers())], Landed, QUIET + 1),
        cell("token: body", [(first(Token), Fault::stall_body())], Landed, QUIET + 1),
        cell("list: headers", [(first(List), headers())], Landed, QUIET + 1),
        cell("list: body", [(first(List), Fault::stall_body())], Landed, QUIET + 1),
        cell("seal: headers", [(first(Update), headers())], Landed, QUIET + 1),
        cell("seal: after", [(first(Update), headers().after_effect())], Landed, QUIET + 1),
        cell("id: headers", [(first(GenerateIds), headers())], Landed, QUIET + 1),
        cell("id: body", [(first(GenerateIds), Fault::stall_body())], Landed, QUIET + 1),
        cell("start: before", [(first(Start), headers())], Landed, QUIET + 1),
        cell("start: after", [(first(Start), headers().after_effect())], Landed, QUIET + 1),
        cell("chunk: before", [(first(Chunk), headers())], Landed, QUIET + 2),
        cell("chunk: after", [(first(Chunk), headers().after_effect())], Landed, QUIET + 1),
        cell("last: before", [(On::last_chunk(), headers())], Landed, QUIET + 2),
        cell("last: after", [(On::last_chunk(), headers().after_effect())], Landed, QUIET + 1),
        cell("last: body", [(On::last_chunk(), Fault::stall_body())], Landed, QUIET + 1),
        cell("status", [(first(Chunk), Fault::lost_answer()), (first(Status), headers())], Landed, QUIET + 2),
        cell("look: headers", [lost(), (first(Get), headers())], Adopted, QUIET + 4),
        cell("look: body", [lost(), (first(Get), Fault::stall_body())], Adopted, QUIET + 4),
    ]);
}

#[test]
fn a_peer_that_stays_silent_ends_the_attempt() {
    let silent = |operation| (On::every(operation), Fault::stall_headers());
    check(vec![
        cell("token for ever", [silent(Token)], Failed("no token from Google within 300ms"), TRIES),
        cell("list for ever", [silent(List)], Failed("silent for 300ms"), 1 + TRIES),
        cell("id for ever", [silent(GenerateIds)], Failed("silent for 300ms"), 2 + TRIES),
        cell("start for ever", [silent(Start)], Failed("silent for 300ms"), 3 + TRIES),
        cell("upload for ever", [silent(Chunk), silent(Status)], Failed("silent for 300ms"), 4 + TRIES),
        Cell::new("the upload's own limit", [silent(Chunk)], Failed("the upload passed its limit of 1s"), 5)
            .with("BATCH_EXPORT_UPLOAD_TIMEOUT", "1s"),
        Cell::new("the limit, stored", [(On::last_chunk(), Fault::stall_body())], Failed("its limit of 3s"), QUIET)
            .with("BATCH_EXPORT_UPLOAD_TIMEOUT", "3s"),
    ]);
}
