//! What an earlier attempt left, and what appears under the id while an upload is under way: looked at, compared, adopted or given up,
//! never written over.

use std::time::Duration;

use mongodb::bson::doc;

use super::{answer, check_failed, check_result, html, outspoken};
use crate::support::command::told;
use crate::support::day::{Day, FILE};
use crate::support::fake_drive::{Answer, Fault, On, Operation, Planted, Point, StoredFile, Tamper};
use crate::support::seed::{DATE, ENTRIES, seed_day};

use Operation::{Chunk, GenerateIds, Get, Start};

/// Long enough for anything on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

fn small_day() -> Day {
    let day = Day::on_drive();
    seed_day(&day.db, DATE, 5);
    day
}

/// A day whose first attempt stored the file and never heard of it.
fn day_with_an_earlier_file() -> (Day, StoredFile) {
    let day = small_day();
    day.drive().plan(On::last_chunk(), Fault::lost_answer().session_gone());
    day.drive().plan(On::every(Get), html(503));
    let ended = outspoken(day.run()).run().expect_code(22);
    check_failed(&day, &ended, "6 failed tries");
    day.drive().assert_all_faults_fired();
    day.drive().cure();
    day.let_time_pass();
    let file = day.drive().live(FILE).remove(0);
    assert_eq!(day.batch().get_document("file").unwrap().get_str("id").unwrap(), file.id);
    (day, file)
}

fn voided(day: &Day) -> usize {
    day.batch().get_array("voided").map_or(0, Vec::len)
}

/// What happens to the file under an id: `plant` puts another one in its place.
type Change = fn(&Day, &StoredFile);

fn plant(day: &Day, file: &StoredFile, change: impl Fn(&mut Planted)) {
    let mut planted = day.drive().planted(&file.id, &file.name, &file.bytes);
    change(&mut planted);
    day.drive().put_file(planted);
}

const SAME: Change = |day, file| plant(day, file, |_| {});
const OTHER: Change = |day, file| plant(day, file, |planted| planted.bytes = b"other bytes".to_vec());
const CUT: Change = |day, file| plant(day, file, |planted| planted.bytes.truncate(100));
const TRASHED: Change = |day, file| plant(day, file, |planted| planted.trashed = true);
const HIDDEN: Change = |day, file| plant(day, file, |planted| planted.readable = false);

#[test]
fn an_earlier_file_that_is_the_same_is_adopted() {
    let once = || On::every(Get).times(1);
    for (name, fault) in [
        ("quiet", None),
        ("md5 only", Some((On::every(Get), Fault::tamper(Tamper::ChecksumsMd5Only)))),
        ("upper case", Some((On::every(Get), Fault::tamper(Tamper::ChecksumsUpperCase)))),
        ("503 first", Some((once(), html(503)))),
        ("401 first", Some((once(), answer(401, "authError")))),
        ("unreadable first", Some((once(), Fault::tamper(Tamper::BadJson)))),
    ] {
        let (day, file) = day_with_an_earlier_file();
        fault.into_iter().for_each(|(on, fault)| day.drive().plan(on, fault));
        // Lists are hints, and nothing here depends on them.
        day.drive().let_lists_lag();
        let (ids, starts) = (day.drive().count(GenerateIds), day.drive().count(Start));
        let retried = outspoken(day.retry()).run();
        assert_eq!(retried.code, 0, "{name}: {}", retried.report());
        let result = &retried.json()["batches"][0];
        check_result(&day, result, true);
        assert_eq!(result["file"]["id"], *file.id, "{name}");
        assert_eq!((day.drive().count(GenerateIds), day.drive().count(Start)), (ids, starts), "{name}");
        day.drive().assert_all_faults_fired();
    }
}

#[test]
fn an_earlier_file_that_is_not_the_same_is_given_up_and_replaced() {
    let edited: Change = |day, _| {
        day.db.update_many(ENTRIES, doc! {}, doc! { "$set": { "description": "corrected" } });
    };
    let joined: Change = |day, _| {
        seed_day(&day.db, DATE, 3);
    };
    let person: Change = |day, file| day.drive().trash(&file.id);
    let changes = [("other", OTHER), ("cut", CUT), ("edited", edited), ("joined", joined), ("trashed", person)];
    for (name, change) in changes {
        let (day, file) = day_with_an_earlier_file();
        change(&day, &file);
        let before = day.drive().files().remove(0);
        let retried = outspoken(day.retry()).run();
        assert_eq!(retried.code, 0, "{name}: {}", retried.report());
        let result = &retried.json()["batches"][0];
        check_result(&day, result, false);
        assert_ne!(result["file"]["id"], *file.id, "{name}");
        let old = day.drive().files().into_iter().find(|stored| stored.id == file.id).expect("the earlier file");
        assert_eq!((old.trashed, old.bytes), (true, before.bytes), "{name}: an id's content never changes");
        let batch = day.batch();
        let voided = batch.get_array("voided").unwrap();
        assert_eq!(voided.len(), 1, "{name}: {batch}");
        assert_eq!(voided[0].as_document().unwrap().get_str("id").unwrap(), file.id, "{name}");
    }
}

#[test]
fn nothing_is_decided_about_an_earlier_file_that_cannot_be_looked_at() {
    for (fault, code, words) in [
        (html(503), 22, "6 failed tries"),
        (Fault::reset(), 22, "6 failed tries"),
        (Fault::tamper(Tamper::ChecksumsMissing), 22, "unverified"),
        (answer(403, "domainPolicy"), 31, "administrator"),
    ] {
        let (day, file) = day_with_an_earlier_file();
        day.drive().plan(On::every(Get), fault);
        let before = day.drive().files();
        let failed = outspoken(day.retry()).run().expect_code(code).json();
        let message = told(&failed["batches"][0]["error"]);
        assert!(message.contains(words), "{message}");
        assert_eq!(day.drive().files(), before);
        assert_eq!(voided(&day), 0, "{}", day.batch());
        day.check_guarantees();
        day.drive().assert_all_faults_fired();
        day.drive().cure();
        day.let_time_pass();
        let result = &day.retry().run().expect_code(0).json()["batches"][0];
        check_result(&day, result, true);
        assert_eq!(result["file"]["id"], *file.id);
    }
}

/// Drive says that the id is taken, and shows no file: making another one could make a second. A person finds out.
#[test]
fn a_file_that_exists_but_cannot_be_seen_ends_the_attempt() {
    let gone: Change = |day, file| day.drive().remove(&file.id);
    for (late, change) in [(false, HIDDEN), (true, HIDDEN), (false, gone)] {
        let (day, file) = day_with_an_earlier_file();
        if late {
            day.drive().refuse_taken_ids_late();
        }
        change(&day, &file);
        let before = (day.drive().files(), day.drive().journal().len());
        let failed = outspoken(day.retry()).run().expect_code(22).json();
        let message = told(&failed["batches"][0]["error"]);
        assert!(message.contains("does not show it"), "{message}");
        assert_eq!(day.drive().files(), before.0);
        // Token, name, newest files, look, start, perhaps one chunk, and one more look.
        assert!(day.drive().journal().len() - before.1 <= 7, "it goes round in circles");
        day.check_guarantees();
        SAME(&day, &file);
        day.let_time_pass();
        check_result(&day, &day.retry().run().expect_code(0).json()["batches"][0], true);
    }
}

#[test]
fn an_id_under_which_nothing_was_stored_is_used_again() {
    let day = small_day();
    day.drive().plan(On::every(Start), html(503));
    check_failed(&day, &outspoken(day.run()).run().expect_code(22), "6 failed tries");
    day.drive().cure();
    day.let_time_pass();
    seed_day(&day.db, DATE, 2);
    let result = &day.retry().run().expect_code(0).json()["batches"][0];
    check_result(&day, result, false);
    assert_eq!((day.drive().count(GenerateIds), day.drive().count(Chunk)), (1, 1));
    assert_eq!(voided(&day), 0, "{}", day.batch());
}

/// The credentials were changed after the id was stored, and Drive says so only at the end.
#[test]
fn an_id_that_is_refused_only_with_the_last_byte_is_replaced() {
    let day = small_day();
    day.drive().plan(On::every(Start), html(503));
    check_failed(&day, &outspoken(day.run()).run().expect_code(22), "6 failed tries");
    day.drive().cure();
    day.let_time_pass();
    let refused = Answer::error_saying(400, "invalid", "The provided file ID is not usable.");
    day.drive().plan(On::last_chunk(), Fault::answer(refused));
    let result = &day.retry().run().expect_code(0).json()["batches"][0];
    check_result(&day, result, false);
    assert_eq!((day.drive().count(GenerateIds), voided(&day)), (2, 1), "{}", day.batch());
}

/// Another request of ours, long in flight, stores something under the id between our look and our upload.
#[test]
fn what_appears_under_the_id_meanwhile_is_looked_at() {
    let bytes = {
        let day = small_day();
        day.run().run().expect_code(0);
        day.drive().live(FILE).remove(0)
    };
    for late in [false, true] {
        for (name, change, end) in [
            ("same", SAME, "adopted"),
            ("other", OTHER, "replaced"),
            ("cut", CUT, "replaced"),
            ("trashed", TRASHED, "replaced"),
            ("hidden", HIDDEN, "unseen"),
        ] {
            let day = small_day();
            if late {
                day.drive().refuse_taken_ids_late();
            }
            let hold = day.drive().hold(On::nth(Start, 1), Point::Before);
            let run = outspoken(day.run()).spawn();
            hold.wait_until_reached(PATIENCE);
            let start = day.drive().requests(Start).remove(0).json.expect("the metadata of the file");
            let id = start["id"].as_str().expect("an id").to_owned();
            change(&day, &StoredFile { id: id.clone(), ..bytes.clone() });
            hold.release();
            let ended = run.wait(PATIENCE);
            let what = format!("{name}, late {late}: {}", ended.report());
            assert_eq!(ended.code, if end == "unseen" { 22 } else { 0 }, "{what}");
            match end {
                "unseen" => check_failed(&day, &ended, "does not show it"),
                end => {
                    check_result(&day, &ended.json(), end == "adopted");
                    assert_eq!(ended.json()["file"]["id"] == *id, end == "adopted", "{what}");
                }
            }
        }
    }
}
