//! Silence, waiting, cancellation and size: what an upload may cost, and that it stops when told.

use std::time::Duration;

use batch_export::progress::Progress;

use super::{Bench, KIB_256, Landed};
use crate::support::block;
use crate::support::fake_drive::{Answer, FakeDrive, Fault, On, Operation, Point};

use Operation::{Chunk, Get, Start, Status, Token};

fn impatient(fake: FakeDrive, credentials: &str) -> Bench {
    Bench::with(fake, KIB_256 + 1000, credentials, |settings, _| settings.how.idle = Duration::from_millis(600))
}

#[test]
fn a_silent_peer_is_left_and_the_work_goes_on() {
    for (operation, fault) in [
        (Token, Fault::stall_headers()),
        (Token, Fault::stall_body()),
        (Operation::GenerateIds, Fault::stall_headers()),
        (Start, Fault::stall_headers()),
        (Chunk, Fault::stall_headers()),
        (Chunk, Fault::stall_headers().after_effect()),
    ] {
        let fake = FakeDrive::start();
        let credentials = fake.service_account();
        let bench = impatient(fake, &credentials);
        bench.fake.plan(On::nth(operation, 1), fault);
        let landed = bench.land();
        bench.check(&landed, "a stall");
        assert_eq!(landed, Landed::Stored, "{operation:?}");
    }
    let fake = FakeDrive::start();
    let credentials = fake.authorized_user();
    let bench = impatient(fake, &credentials);
    bench.fake.plan(On::nth(Token, 1), Fault::stall_body());
    bench.fake.plan(On::last_chunk(), Fault::stall_body());
    let landed = bench.land();
    bench.check(&landed, "a stalled refresh and a stalled final answer");
    assert_eq!(landed, Landed::Stored);
}

#[test]
fn a_peer_that_stays_silent_ends_the_attempt() {
    let fake = FakeDrive::start();
    let credentials = fake.service_account();
    let bench = impatient(fake, &credentials);
    bench.fake.plan(On::every(Chunk), Fault::stall_headers());
    bench.fake.plan(On::every(Status), Fault::stall_headers());
    let landed = bench.land();
    assert!(matches!(&landed, Landed::Failed(told) if told.contains("silent for 600ms")), "{landed:?}");
    assert!(bench.fake.files().is_empty());
}

#[test]
fn a_long_wait_asked_for_by_the_server_is_respected_and_bounded() {
    let bench = Bench::new(1000);
    let date = Answer::empty(429).header("Date", "Sun, 18 Jan 2026 11:00:00 GMT");
    bench.fake.plan(On::nth(Chunk, 1), Fault::answer(date.header("Retry-After", "Sun, 18 Jan 2026 11:00:01 GMT")));
    let landed = bench.land();
    bench.check(&landed, "a date");
    assert_eq!(landed, Landed::Stored);
    let (chunk, status) = (&bench.fake.requests(Chunk)[0], &bench.fake.requests(Status)[0]);
    assert!(status.at - chunk.at >= Duration::from_secs(1));
}

/// A client that is dropped sends nothing more, wherever it is, and no file appears.
#[test]
fn a_dropped_upload_writes_nothing_more() {
    for operation in [Start, Chunk] {
        let bench = Bench::new(3 * KIB_256);
        let id = block(bench.drive.new_id()).expect("an id");
        let hold = bench.fake.hold(On::nth(operation, 1), Point::Before);
        let (file, progress) = (bench.file(&id), Progress::default());
        block(async {
            let upload = bench.drive.create(&file, &progress);
            let reached = async {
                while !hold.is_reached() {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            };
            tokio::select! {
                _ = upload => panic!("the upload ended while it was held"),
                () = reached => {}
            }
        });
        let before = bench.fake.journal().len();
        hold.release();
        std::thread::sleep(Duration::from_millis(200));
        assert_eq!(bench.fake.journal().len(), before);
        assert!(bench.fake.files().is_empty());
        assert_eq!(block(bench.land_as(&id)), Landed::Stored, "the id is still good");
    }
}

/// What the closing note states: requests for a small and a large file, and bytes sent twice after a reset inside a chunk.
#[test]
fn an_upload_costs_what_it_must() {
    let small = Bench::new(50_000);
    assert_eq!(small.land(), Landed::Stored);
    assert_eq!(small.counts([Token, Operation::GenerateIds, Start, Chunk, Status, Get]), [1, 1, 1, 1, 0, 0]);

    let large = Bench::new(20 * 1024 * 1024);
    let drive = large.client(|settings| settings.how.chunk_bytes = 8 * 1024 * 1024);
    let large = Bench { drive, ..large };
    large.fake.plan(On::byte(9 * 1024 * 1024), Fault::reset().after_storing(3 * 1024 * 1024));
    assert_eq!(large.land(), Landed::Stored);
    large.check(&Landed::Stored, "a reset inside a chunk");
    assert_eq!(large.counts([Start, Chunk, Status, Get]), [1, 4, 1, 0]);
    let read: u64 = large.fake.requests(Chunk).iter().map(|chunk| chunk.body_bytes).sum();
    assert_eq!(read, 20 * 1024 * 1024, "what was stored before the reset is not sent again");
}
