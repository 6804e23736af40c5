//! Hold points and stalls: where a request waits, what is in effect by then, and that nothing waits for ever.

use super::client::{Client, begin, content, read_reply};
use crate::support::fake_drive::{FakeDrive, Fault, Hold, On, Operation, Point};
use serde_json::json;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

const TIMEOUT: Duration = Duration::from_secs(20);

/// Sends the last chunk of a three-byte file, and returns without an answer.
fn send_last_chunk(client: &Client, session: &str) -> TcpStream {
    let bearer = format!("Bearer {}", client.bearer);
    let headers = [("Authorization", bearer.as_str()), ("Content-Range", "bytes 0-2/3")];
    let mut stream = begin(client.drive, "PUT", session, &headers, Some(3));
    stream.write_all(b"abc").expect("a body sent");
    stream
}

fn wait_for(what: &str, mut reached: impl FnMut() -> bool) {
    let deadline = Instant::now() + TIMEOUT;
    while !reached() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn a_request_held_before_its_effect_takes_effect_when_released() {
    let drive = FakeDrive::start();
    let client = Client::sign_in(&drive);
    let session = client.session(&client.generate_id());
    let hold: Hold = drive.hold(On::nth(Operation::Chunk, 1), Point::Before);
    assert!(!hold.is_reached());
    let mut stream = send_last_chunk(&client, &session);
    hold.wait_until_reached(TIMEOUT);
    assert!(hold.is_reached());
    assert!(drive.files().is_empty());
    assert_eq!(drive.requests(Operation::Chunk)[0].status, None);
    hold.release();
    assert_eq!(read_reply(&mut stream).expect("an answer").status, 200);
    assert_eq!(drive.files().len(), 1);
}

#[test]
fn a_request_held_after_its_effect_has_taken_effect_unanswered() {
    let drive = FakeDrive::start();
    let client = Client::sign_in(&drive);
    let session = client.session(&client.generate_id());
    let hold = drive.hold(On::last_chunk(), Point::After);
    let mut stream = send_last_chunk(&client, &session);
    hold.wait_until_reached(TIMEOUT);
    assert_eq!(drive.files().len(), 1);
    assert_eq!(
        (drive.requests(Operation::Chunk)[0].status, drive.requests(Operation::Chunk)[0].stored_bytes),
        (None, 3)
    );
    drop(hold);
    assert_eq!(read_reply(&mut stream).expect("an answer").status, 200);
}

#[test]
fn a_client_killed_at_a_hold_before_leaves_no_effect() {
    let drive = FakeDrive::start();
    let client = Client::sign_in(&drive);
    let session = client.session(&client.generate_id());
    let hold = drive.hold(On::last_chunk(), Point::Before);
    let stream = send_last_chunk(&client, &session);
    hold.wait_until_reached(TIMEOUT);
    drop(stream);
    hold.release();
    assert_eq!(client.status(&session, 3).status, 308);
    assert!(drive.files().is_empty());
}

#[test]
fn a_request_in_flight_outlives_its_client() {
    let drive = FakeDrive::start();
    let client = Client::sign_in(&drive);
    let session = client.session(&client.generate_id());
    let hold = drive.hold(On::last_chunk(), Point::InFlight);
    let stream = send_last_chunk(&client, &session);
    hold.wait_until_reached(TIMEOUT);
    stream.shutdown(Shutdown::Both).expect("an end");
    drop(stream);
    assert!(drive.files().is_empty());
    hold.release();
    wait_for("the request took no effect", || drive.files().len() == 1);
}

#[test]
fn only_the_request_that_was_named_is_held() {
    let drive = FakeDrive::start();
    let client = Client::sign_in(&drive);
    let hold = drive.hold(drive.next(Operation::GenerateIds), Point::After);
    std::thread::scope(|scope| {
        let held = scope.spawn(|| client.generate_id());
        hold.wait_until_reached(TIMEOUT);
        client.generate_id();
        client.generate_id();
        hold.release();
        held.join().expect("an id");
    });
    assert_eq!(drive.count(Operation::GenerateIds), 3);
}

#[test]
#[should_panic(expected = "the client did not reach Before of On")]
fn a_hold_that_nobody_reaches_fails_its_test() {
    let drive = FakeDrive::start();
    drive.hold(On::every(Operation::Chunk), Point::Before).wait_until_reached(Duration::from_millis(1));
}

#[test]
fn a_stall_before_the_answer_lasts_until_it_is_released() {
    let drive = FakeDrive::start();
    let client = Client::sign_in(&drive);
    let session = client.session(&client.generate_id());
    drive.plan(On::last_chunk(), Fault::stall_headers());
    let mut stream = send_last_chunk(&client, &session);
    wait_for("the chunk did not arrive", || drive.requests(Operation::Chunk).iter().any(|chunk| chunk.body_bytes == 3));
    assert!(drive.files().is_empty());
    // Again and again: between the arrival and the stall there is a moment in which a release finds nothing to release.
    let reply = std::thread::scope(|scope| {
        let reply = scope.spawn(|| read_reply(&mut stream));
        wait_for("the stall was not released", || {
            drive.release_stalls();
            drive.files().len() == 1
        });
        reply.join().expect("a reader")
    });
    assert_eq!(reply.expect("an answer").status, 200);
    drive.assert_all_faults_fired();
}

#[test]
fn a_stall_may_come_after_the_effect() {
    let drive = FakeDrive::start();
    let client = Client::sign_in(&drive);
    let session = client.session(&client.generate_id());
    drive.plan(On::last_chunk(), Fault::stall_headers().after_effect());
    let stream = send_last_chunk(&client, &session);
    wait_for("the chunk took no effect", || drive.files().len() == 1);
    drop(stream);
    assert_eq!(client.status(&session, 3).status, 200);
    drive.assert_all_faults_fired();
}

#[test]
fn a_stalled_body_arrives_by_half() {
    let drive = FakeDrive::start();
    let client = Client::sign_in(&drive);
    let session = client.session(&client.generate_id());
    drive.plan(On::last_chunk(), Fault::stall_body());
    let mut stream = send_last_chunk(&client, &session);
    let mut bytes = [0; 4096];
    let mut read = 0;
    while !bytes[..read].windows(4).any(|window| window == b"\r\n\r\n") || bytes[..read].ends_with(b"\r\n\r\n") {
        read += stream.read(&mut bytes[read..]).expect("half an answer");
    }
    let text = String::from_utf8_lossy(&bytes[..read]).into_owned();
    assert!(text.starts_with("HTTP/1.1 200 OK") && !text.ends_with('}'), "{text}");
    drive.release_stalls();
    drive.assert_all_faults_fired();
}

#[test]
fn a_dropped_fake_ends_what_is_held_and_stalled() {
    let drive = FakeDrive::start();
    let client = Client::sign_in(&drive);
    let (one, other) = (client.session(&client.generate_id()), client.session(&client.generate_id()));
    let hold = drive.hold(On::nth(Operation::Chunk, 1), Point::InFlight);
    drive.plan(On::nth(Operation::Chunk, 2), Fault::stall_headers());
    let mut held = send_last_chunk(&client, &one);
    hold.wait_until_reached(TIMEOUT);
    let mut stalled = send_last_chunk(&client, &other);
    wait_for("the second chunk did not arrive", || drive.count(Operation::Chunk) == 2);
    drop(drive);
    assert!(read_reply(&mut held).is_none());
    assert!(read_reply(&mut stalled).is_none());
    assert!(hold.is_reached());
}

#[test]
fn several_clients_at_once_are_served_apart() {
    let drive = FakeDrive::start();
    let client = Client::sign_in(&drive);
    std::thread::scope(|scope| {
        for length in 1..=8 {
            let client = &client;
            scope.spawn(move || {
                assert_eq!(
                    client.upload(&client.generate_id(), &content(length)).json()["size"],
                    json!(length.to_string())
                )
            });
        }
    });
    let mut lengths: Vec<usize> = drive.files().iter().map(|file| file.bytes.len()).collect();
    lengths.sort_unstable();
    assert_eq!(lengths, [1, 2, 3, 4, 5, 6, 7, 8]);
}
