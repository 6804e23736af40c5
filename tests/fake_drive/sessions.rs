//! Resumable sessions: what is stored, what is said about it, and when a file appears.

use super::client::{Client, KIB_256, begin, content};
use crate::support::fake_drive::{FakeDrive, Operation};
use serde_json::json;
use std::io::Write;
use std::net::Shutdown;
use std::time::{Duration, Instant};

#[test]
fn a_file_appears_only_when_its_last_chunk_is_stored() {
    let drive = FakeDrive::start();
    let client = Client::sign_in(&drive);
    let id = client.generate_id();
    let session = client.session(&id);
    let bytes = content(2 * KIB_256 + 100);

    assert_eq!(client.status(&session, bytes.len()).header("range"), None, "nothing is stored, so there is no range");
    let first = client.chunk(&session, &bytes, 0, 2 * KIB_256).expect("an answer");
    assert_eq!((first.status, first.header("range")), (308, Some("bytes=0-524287")));
    assert_eq!(client.get(&format!("/drive/v3/files/{id}?supportsAllDrives=true")).status, 404);
    assert!(drive.files().is_empty());

    let last = client.chunk(&session, &bytes, 2 * KIB_256, bytes.len()).expect("an answer");
    assert_eq!(last.status, 200);
    assert_eq!(last.json()["size"], json!(bytes.len().to_string()));
    let [file] = &drive.live("day.csv")[..] else { panic!("one file") };
    assert!(file.bytes == bytes);
    assert_eq!(last.json()["sha256Checksum"], json!(file.sha256));
    assert_eq!((file.mime_type.as_str(), &file.id, &file.parents), ("text/csv", &id, &vec![drive.folder()]));

    let chunks = drive.requests(Operation::Chunk);
    assert_eq!(chunks.iter().map(|chunk| chunk.stored_bytes).collect::<Vec<_>>(), [524_288, 100]);
    assert_eq!(chunks[1].content_range.as_deref(), Some("bytes 524288-524387/524388"));
    assert_eq!((chunks[1].status, chunks[1].body_bytes, chunks[1].nth), (Some(200), 100, 2));
}

#[test]
fn the_status_of_a_complete_session_answers_the_file_again_and_again() {
    let drive = FakeDrive::start();
    let client = Client::sign_in(&drive);
    let session = client.session(&client.generate_id());
    let answer = client.chunk(&session, b"abc", 0, 3).expect("an answer");
    for _ in 0..2 {
        let status = client.status(&session, 3);
        assert_eq!((status.status, status.json()), (200, answer.json()));
    }
    assert_eq!(client.chunk(&session, b"abc", 0, 3).expect("an answer").json(), answer.json());
    assert_eq!(drive.files().len(), 1);
}

#[test]
fn an_unaligned_chunk_is_cut_to_whole_units() {
    let drive = FakeDrive::start();
    let client = Client::sign_in(&drive);
    let session = client.session(&client.generate_id());
    let bytes = content(3 * KIB_256);
    let cut = client.chunk(&session, &bytes, 0, KIB_256 + 5).expect("an answer");
    assert_eq!(cut.header("range"), Some("bytes=0-262143"));
    let nothing = client.chunk(&session, &bytes, KIB_256, KIB_256 + 7).expect("an answer");
    assert_eq!((nothing.status, nothing.header("range")), (308, Some("bytes=0-262143")));
}

#[test]
fn a_chunk_behind_a_gap_is_refused_in_plain_text_and_stores_nothing() {
    let drive = FakeDrive::start();
    let client = Client::sign_in(&drive);
    let session = client.session(&client.generate_id());
    let bytes = content(3 * KIB_256);
    client.chunk(&session, &bytes, 0, KIB_256);
    for _ in 0..2 {
        let refused = client.chunk(&session, &bytes, 2 * KIB_256, bytes.len()).expect("an answer");
        assert_eq!(refused.status, 503);
        assert_eq!(
            refused.text(),
            "Invalid request.  According to the Content-Range header, the upload offset is 524288 byte(s), which exceeds \
             already uploaded size of 262144 byte(s)."
        );
    }
    assert_eq!(client.status(&session, bytes.len()).header("range"), Some("bytes=0-262143"));
}

#[test]
fn an_overlap_is_skipped_without_a_comparison() {
    let drive = FakeDrive::start();
    let client = Client::sign_in(&drive);
    let session = client.session(&client.generate_id());
    let bytes = content(2 * KIB_256);
    client.chunk(&session, &bytes, 0, KIB_256);
    let other = vec![b'x'; 2 * KIB_256];
    assert_eq!(client.chunk(&session, &other, 0, other.len()).expect("an answer").status, 200);
    assert!(drive.files()[0].bytes == [&bytes[..KIB_256], &other[KIB_256..]].concat());
}

#[test]
fn an_impossible_content_range_is_400() {
    let drive = FakeDrive::start();
    let client = Client::sign_in(&drive);
    let session = client.session(&client.generate_id());
    for range in ["bytes 0-9/3", "bytes 0-1/3", "bytes 5-2/9", "0-2/3", "bytes 0-2", "bytes a-b/c"] {
        assert_eq!(client.put(&session, range, b"abc").expect("an answer").status, 400, "{range}");
    }
    client.chunk(&session, &content(2 * KIB_256), 0, KIB_256);
    assert_eq!(client.status(&session, 2 * KIB_256 + 1).status, 400, "the size changed");
    assert!(drive.files().is_empty());
}

#[test]
fn an_empty_file_and_a_file_without_content_range_are_uploads_too() {
    let drive = FakeDrive::start();
    let client = Client::sign_in(&drive);
    let empty = client.session(&client.generate_id());
    assert_eq!(client.status(&empty, 0).status, 200);
    let whole = client.session(&client.generate_id());
    assert_eq!(client.send("PUT", &whole, &[], Some(b"whole")).expect("an answer").status, 200);
    assert_eq!(drive.live("day.csv").iter().map(|file| file.bytes.len()).collect::<Vec<_>>(), [0, 5]);
}

#[test]
fn a_request_without_a_length_is_411_in_html() {
    let drive = FakeDrive::start();
    let client = Client::sign_in(&drive);
    let session = client.session(&client.generate_id());
    let refused = client.send("PUT", &session, &[("Content-Range", "bytes */3")], None).expect("an answer");
    assert_eq!(refused.status, 411);
    assert!(refused.text().contains("<!DOCTYPE html>"));
}

#[test]
fn a_body_in_http_chunks_is_understood() {
    let drive = FakeDrive::start();
    let client = Client::sign_in(&drive);
    let session = client.session(&client.generate_id());
    let bearer = format!("Bearer {}", client.bearer);
    let headers = [
        ("Authorization", bearer.as_str()),
        ("Transfer-Encoding", "chunked"),
        ("Content-Range", "bytes 0-4/5"),
        ("Expect", "100-continue"),
    ];
    let mut stream = begin(&drive, "PUT", &session, &headers, None);
    stream.write_all(b"2\r\nab\r\n3\r\ncde\r\n0\r\n\r\n").expect("a body sent");
    let reply = super::client::read_reply(&mut stream).expect("an answer");
    assert!(reply.head.starts_with("HTTP/1.1 100 Continue") && reply.text().contains("HTTP/1.1 200 OK"), "{reply:?}");
    assert_eq!(drive.files()[0].bytes, b"abcde");
}

#[test]
fn what_arrived_of_a_killed_client_stays_in_whole_units() {
    let drive = FakeDrive::start();
    let client = Client::sign_in(&drive);
    let session = client.session(&client.generate_id());
    let bytes = content(4 * KIB_256);
    let range = format!("bytes 0-{}/{}", bytes.len() - 1, bytes.len());
    let mut stream = begin(&drive, "PUT", &session, &[("Content-Range", &range)], Some(bytes.len()));
    stream.write_all(&bytes[..2 * KIB_256 + 1000]).expect("half a body sent");
    stream.shutdown(Shutdown::Both).expect("an end");
    let deadline = Instant::now() + Duration::from_secs(20);
    while drive.requests(Operation::Chunk).iter().all(|chunk| chunk.stored_bytes == 0) {
        assert!(Instant::now() < deadline, "nothing was kept");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(client.status(&session, bytes.len()).header("range"), Some("bytes=0-524287"));
    assert_eq!(drive.requests(Operation::Chunk)[0].status, None);
}

#[test]
fn an_expired_or_cancelled_session_is_gone() {
    let drive = FakeDrive::start();
    let client = Client::sign_in(&drive);
    let session = client.session(&client.generate_id());
    assert_eq!(client.send("DELETE", &session, &[], None).expect("an answer").status, 499);
    assert_eq!(client.status(&session, 3).status, 404);
    for status in [404, 410] {
        let session = client.session(&client.generate_id());
        drive.expire_sessions(status);
        assert_eq!(client.status(&session, 3).status, status);
        assert_eq!(client.chunk(&session, b"abc", 0, 3).expect("an answer").status, status);
    }
    assert!(drive.files().is_empty());
}

#[test]
fn of_two_sessions_with_one_id_the_slower_one_is_409_at_its_last_chunk() {
    let drive = FakeDrive::start();
    let client = Client::sign_in(&drive);
    let id = client.generate_id();
    let (one, other) = (client.session(&id), client.session(&id));
    assert_eq!(client.chunk(&one, b"one", 0, 3).expect("an answer").status, 200);
    assert_eq!(client.chunk(&other, b"two", 0, 3).expect("an answer").status, 409);
    assert_eq!(drive.live("day.csv").iter().map(|file| file.bytes.as_slice()).collect::<Vec<_>>(), [b"one"]);
}
