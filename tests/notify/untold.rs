//! At least once: whoever dies, is refused or cannot be reached in between, people are told in the end; twice only where nobody could
//! know, and then with the same id.

use std::collections::BTreeSet;
use std::sync::mpsc::channel;
use std::time::Duration;

use mongodb::bson::{DateTime, Document, doc};

use super::{telling, wait_for};
use crate::support::command::BatchExport;
use crate::support::day::{BATCH, BATCHES, Day, LOG};
use crate::support::mongod::Mongod;
use crate::support::proxy::{On, Proxy, Stop};
use crate::support::receiver::{Receiver, Reply};
use crate::support::seed::{DATE, ENTRIES, Entry, seed, seed_day};

const PATIENCE: Duration = Duration::from_secs(60);

/// A day of three entries, and a database that can be stopped.
fn day_behind_a_proxy() -> (Day, Proxy) {
    let proxy = Proxy::before(Mongod::shared());
    let day = Day::in_directory().through(&proxy);
    seed_day(&day.db, DATE, 3);
    (day, proxy)
}

/// Refuses until so many posts have come.
fn refusing(posts: usize) -> Receiver {
    Receiver::answering(move |_, before| Reply::of(if before < posts { 500 } else { 204 }))
}

/// What is written of the message that people have not received.
fn untold(day: &Day) -> Option<Document> {
    day.batch().get_document("untold").ok().cloned()
}

fn texts(people: &Receiver, field: &str) -> Vec<String> {
    people.messages().iter().map(|message| message[field].as_str().expect(field).to_owned()).collect()
}

#[test]
fn a_commit_that_nobody_could_be_told_of_is_told_by_retry_with_the_same_id() {
    let (day, people) = (Day::in_directory(), refusing(3));
    seed_day(&day.db, DATE, 3);
    let result = telling(day.run(), &people).run().expect_code(0).json();
    let left = untold(&day).expect("a message that is left");
    assert_eq!((left.get_str("event").unwrap(), left.get_i32("attempt").unwrap()), ("completed", 1));
    assert!(left.get_datetime("since").is_ok(), "{left}");
    let finished = telling(day.retry(), &people).run().expect_code(0);
    assert_eq!(finished.json()["batches"], serde_json::json!([]), "telling is no pass");
    assert_eq!(untold(&day), None, "{}", finished.report());
    telling(day.retry(), &people).run().expect_code(0);
    let told = people.messages();
    assert_eq!(told.len(), 4, "{told:?}");
    assert_eq!(texts(&people, "id").into_iter().collect::<BTreeSet<_>>().len(), 1);
    for field in ["entries", "rows", "total_debit", "total_credit", "sha256", "number", "attempt", "file"] {
        assert_eq!(told[3]["result"][field], result[field], "{field}");
    }
    assert_eq!((&told[3]["title"], &told[3]["next"]), (&told[0]["title"], &told[0]["next"]));
}

#[test]
fn the_newest_state_replaces_an_older_message_and_exhausted_is_told_in_the_end() {
    let (day, people) = (Day::in_directory(), refusing(6));
    seed_day(&day.db, DATE, 3);
    let broken = |name| {
        telling(day.command(name), &people).destination("file:///nowhere/at/all").env("BATCH_EXPORT_RETRY_DELAYS", "5m")
    };
    broken("run").date(DATE).run().expect_code(31);
    assert_eq!(untold(&day).unwrap().get_str("event").unwrap(), "failed");
    day.let_time_pass();
    broken("retry").run().expect_code(33);
    assert_eq!(untold(&day).unwrap().get_str("event").unwrap(), "exhausted");
    broken("retry").run().expect_code(33);
    broken("retry").run().expect_code(33);
    assert_eq!(
        texts(&people, "event")[5..],
        ["exhausted", "exhausted"],
        "once by the pass in vain, once by the next retry"
    );
    assert_eq!(texts(&people, "id")[5], texts(&people, "id")[6]);
    assert_eq!(untold(&day), None);
    let last = people.messages().pop().unwrap();
    assert_eq!(last["result"]["error"]["class"], "drive_rejected");
    assert!(last["next"].as_str().unwrap().contains("unlock --date 2026-01-18"), "{last}");
}

#[test]
fn a_batch_whose_last_attempt_crashed_is_told_as_exhausted() {
    let ((day, proxy), people) = (day_behind_a_proxy(), Receiver::start(Some(204)));
    let run = telling(day.run(), &people).env("BATCH_EXPORT_RETRY_DELAYS", "none");
    let stop = proxy.hold(On::command("commitTransaction"));
    let running = run.spawn();
    stop.wait_until_reached(PATIENCE);
    running.kill();
    stop.cut();
    day.db.abort_abandoned_transactions();
    day.let_time_pass();
    let retry = || telling(day.retry(), &people).env("BATCH_EXPORT_RETRY_DELAYS", "none").run().expect_code(33);
    retry();
    retry();
    assert_eq!(texts(&people, "event"), ["exhausted"]);
}

#[test]
fn a_kill_after_the_commit_leaves_nobody_untold() {
    // The first update that names it is that of the commit. Before the message, with the message sent and its answer
    // lost, and with the answer there and nothing noted yet.
    let removal =
        || On::command("update").collection(BATCHES).matching(|command| command.to_string().contains("untold")).nth(2);
    let points = [
        ("the commit is answered to nobody", Some(204), Some(On::command("commitTransaction").after()), 1),
        ("the message is not answered", None, None, 2),
        ("it is told, and that is not noted", Some(204), Some(removal()), 2),
        ("it is told and noted", Some(204), Some(removal().after()), 1),
    ];
    for (what, status, on, posts) in points {
        let (day, proxy) = day_behind_a_proxy();
        let first = Receiver::start(status);
        let stop: Option<Stop> = on.map(|on| proxy.hold(on));
        let running = telling(day.run(), &first).spawn();
        match &stop {
            Some(stop) => stop.wait_until_reached(PATIENCE),
            None => wait_for(|| !first.posted().is_empty()),
        }
        running.kill();
        if let Some(stop) = stop {
            stop.cut();
        }
        day.let_time_pass();
        let second = Receiver::start(Some(204));
        for _ in 0..3 {
            telling(day.retry(), &second).run().expect_code(0);
        }
        let ids = [texts(&first, "id"), texts(&second, "id")].concat();
        assert_eq!(ids.len(), posts, "{what}: {ids:?}");
        assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), 1, "{what}: {ids:?}");
        assert_eq!(untold(&day), None, "{what}");
        day.check_converged();
    }
}

#[test]
fn the_end_of_a_marking_that_nobody_could_be_told_of_is_told_by_retry() {
    for by_another_date in [false, true] {
        let ((day, proxy), refused) = (day_behind_a_proxy(), Receiver::answering(|_, _| Reply::of(400)));
        let stop = proxy.hold(On::command("findAndModify").collection("exportbatchrows").nth(2));
        let running = telling(day.run(), &refused).args(&["--transaction-rows", "1"]).spawn();
        stop.wait_until_reached(PATIENCE);
        running.kill();
        stop.cut();
        day.db.abort_abandoned_transactions();
        assert_eq!((day.batch().get_str("state").unwrap(), untold(&day)), ("marking", None));
        // The last piece is marked by whoever comes next; a run of another date tells of its own date alone.
        let result = if by_another_date {
            let next = day.command("run").date("2026-01-19").now("2026-01-19T18:00:05+07:00");
            telling(next, &refused).run().expect_code(0).json()["outcome"].clone()
        } else {
            telling(day.retry(), &refused).run().expect_code(0).json()["batches"][0]["outcome"].clone()
        };
        assert_eq!(result, if by_another_date { "empty" } else { "completed" });
        let left = untold(&day).expect("a message that is left");
        assert_eq!((left.get_str("event").unwrap(), left.get_i32("attempt").unwrap()), ("completed", 1));
        assert_eq!(refused.posted().len(), usize::from(!by_another_date));
        let people = Receiver::start(Some(204));
        telling(day.retry(), &people).run().expect_code(0);
        telling(day.retry(), &people).run().expect_code(0);
        assert_eq!((texts(&people, "event"), untold(&day)), (vec!["completed".to_owned()], None));
        assert_eq!(people.messages()[0]["result"]["entries"], 3);
        assert!(texts(&refused, "id").iter().all(|id| *id == texts(&people, "id")[0]));
        day.check_converged();
    }
}

#[test]
fn an_event_that_comes_again_under_the_same_attempt_has_an_id_of_its_own() {
    let (day, people) = (Day::in_directory(), Receiver::start(Some(204)));
    seed_day(&day.db, DATE, 3);
    for _ in 0..2 {
        let run = telling(day.run(), &people).env("BATCH_EXPORT_RETRY_DELAYS", "none");
        run.destination("file:///nowhere/at/all").run().expect_code(33);
        day.command("unlock").date(DATE).run().expect_code(0);
    }
    let ids = texts(&people, "id");
    assert!(ids.len() == 2 && ids[0] != ids[1], "a receiver would drop the second one: {ids:?}");
    assert!(ids.iter().all(|id| id.starts_with("batch_2026-01-18/1/exhausted/")), "{ids:?}");
}

#[test]
fn a_message_is_kept_for_a_day_and_not_written_when_there_is_nobody_to_tell() {
    let day = Day::in_directory();
    seed_day(&day.db, DATE, 3);
    day.run().run().expect_code(0);
    assert_eq!(untold(&day), None);
    let people = Receiver::start(Some(204));
    for (hours, posts) in [(25, 0), (23, 1)] {
        let since = DateTime::from_millis(DateTime::now().timestamp_millis() - hours * 3_600_000);
        let left = doc! { "event": "completed", "attempt": 1, "since": since };
        day.db.update_one(BATCHES, doc! { "_id": BATCH }, doc! { "$set": { "untold": left } });
        let finished = telling(day.retry(), &people).run().expect_code(0);
        assert_eq!(people.posted().len(), posts, "{}", finished.report());
        assert_eq!(untold(&day), None, "{hours}");
    }
}

#[test]
fn two_retries_at_once_tell_once() {
    let (day, people) = (Day::in_directory(), refusing(3));
    seed_day(&day.db, DATE, 3);
    telling(day.run(), &people).run().expect_code(0);
    let retries: Vec<_> = (0..3).map(|_| telling(day.retry(), &people).spawn()).collect();
    for retry in retries {
        retry.wait(PATIENCE).expect_code(0);
    }
    assert_eq!(people.posted().len(), 4);
    assert_eq!(untold(&day), None);
}

#[test]
fn nothing_to_tell_costs_no_command_more() {
    let (day, proxy) = day_behind_a_proxy();
    let people = Receiver::start(Some(204));
    telling(day.run(), &people).run().expect_code(0);
    let before = proxy.commands().len();
    telling(day.retry(), &people).run().expect_code(0);
    let with = proxy.commands().len() - before;
    day.retry().run().expect_code(0);
    assert_eq!(with, proxy.commands().len() - before - with);
    assert_eq!(people.posted().len(), 1);
}

/// Refuses the first post for good, and takes the others.
fn refusing_once() -> Receiver {
    Receiver::answering(|_, before| Reply::of(if before == 0 { 400 } else { 204 }))
}

#[test]
fn a_retry_tells_nobody_while_a_run_waits_for_the_answer() {
    let day = Day::in_directory();
    seed_day(&day.db, DATE, 3);
    let ((reached, is_reached), (answer, may_answer)) = (channel(), channel());
    let slow = Receiver::answering(move |_, _| {
        reached.send(()).expect("a test that waits");
        may_answer.recv_timeout(PATIENCE).expect("a test that goes on");
        Reply::of(204)
    });
    let running = telling(day.run(), &slow).spawn();
    is_reached.recv_timeout(PATIENCE).expect("a message");
    let other = Receiver::start(Some(204));
    telling(day.retry(), &other).run().expect_code(0);
    assert_eq!(other.posted(), Vec::new());
    assert!(untold(&day).is_some(), "nobody has answered");
    answer.send(()).expect("a receiver that waits");
    running.wait(PATIENCE).expect_code(0);
    assert_eq!((slow.posted().len(), untold(&day)), (1, None));
    assert_eq!(day.batch().get("untoldDetails"), None);
}

#[test]
fn what_is_told_late_says_as_much_as_in_time() {
    for kind in ["text", "json"] {
        for rows in ["10000", "1"] {
            let day = Day::in_directory();
            let entries = [
                Entry::numbered(DATE, 0).set("status", "draft"),
                Entry::numbered(DATE, 1).set("status", "draft"),
                Entry::numbered(DATE, 2),
                Entry::numbered(DATE, 3),
                Entry::numbered("2026-01-16", 4),
            ];
            seed(&day.db, &entries);
            let in_words = |command: BatchExport, people: &Receiver| {
                telling(command, people).env("BATCH_EXPORT_NOTIFY_KIND", kind).args(&["--transaction-rows", rows])
            };
            let compare = |people: &Receiver, says: &[&str]| {
                let [first, second] = &people.messages()[..] else { panic!("{:?}", people.posted()) };
                for word in says {
                    assert!(first.to_string().contains(word), "{word}: {first}");
                }
                match kind {
                    "text" => assert_eq!(first, second),
                    _ => {
                        for path in ["/id", "/title", "/next", "/installation", "/database", "/result/error"] {
                            assert_eq!(first.pointer(path), second.pointer(path), "{path}");
                        }
                        for path in ["held", "invalid", "carried_over", "entries", "sha256", "next_retry_at"] {
                            assert_eq!(first["result"][path], second["result"][path], "{path}");
                        }
                    }
                }
            };
            let text = kind == "text";
            let delays = "5m";
            // A failure, the last one, and a success.
            let people = refusing_once();
            let refused = |command| in_words(command, &people).env("BATCH_EXPORT_RETRY_DELAYS", delays);
            refused(day.run()).run().expect_code(32);
            refused(day.retry()).run().expect_code(0);
            compare(&people, if text { &["Entries refused: 2", "--invalid hold"] } else { &["--invalid hold"] });
            day.let_time_pass();
            let people = refusing_once();
            let refused = |command| in_words(command, &people).env("BATCH_EXPORT_RETRY_DELAYS", delays);
            refused(day.retry()).run().expect_code(33);
            refused(day.retry()).run().expect_code(33);
            compare(&people, if text { &["Entries refused: 2", "that was the last retry"] } else { &[] });
            day.command("unlock").date(DATE).run().expect_code(0);
            let people = refusing_once();
            in_words(day.run(), &people).env("BATCH_EXPORT_INVALID", "hold").run().expect_code(0);
            in_words(day.retry(), &people).run().expect_code(0);
            let says = ["Correct and queue again what was held back"];
            compare(&people, if text { &["Held back: 2", "Carried over: 1"] } else { &says });
            assert_eq!((untold(&day), day.batch().get("untoldDetails")), (None, None));
        }
    }
}

#[test]
fn an_edit_during_the_commit_is_in_the_message_in_time_and_late() {
    let ((day, proxy), people) = (day_behind_a_proxy(), refusing_once());
    let stop = proxy.hold(On::command("insert").collection(LOG));
    let in_words = |command| telling(command, &people).env("BATCH_EXPORT_NOTIFY_KIND", "text");
    let running = in_words(day.run()).spawn();
    stop.wait_until_reached(PATIENCE);
    let entry = Entry::numbered(DATE, 1).id();
    day.db.update_one(ENTRIES, doc! { "_id": entry }, doc! { "$set": { "description": "edited in between" } });
    stop.release();
    running.wait(PATIENCE).expect_code(0);
    in_words(day.retry()).run().expect_code(0);
    let told = texts(&people, "text");
    let line = "\nEdited during the commit: the file lacks the edits of: 1\n";
    assert!(told.len() == 2 && told[0].contains(line) && told[0] == told[1], "{told:?}");
}

#[test]
fn status_shows_what_nobody_was_notified_of() {
    let (day, people) = (Day::in_directory(), refusing_once());
    seed_day(&day.db, DATE, 3);
    telling(day.run(), &people).run().expect_code(0);
    let status = |arguments: &[&str]| day.command("status").args(arguments).run();
    for arguments in [&[][..], &["--date", DATE]] {
        let seen = status(arguments).expect_code(0).json();
        assert_eq!((&seen["batches"][0]["untold"], &seen["problems"]), (&"completed".into(), &serde_json::json!([])));
    }
    let text = day.command("status").args(&["--output", "text"]).run().stdout;
    assert!(
        text.contains("(nobody was notified yet that it is completed: `batch-export retry` tries again)"),
        "{text}"
    );
    let long_ago = DateTime::from_millis(DateTime::now().timestamp_millis() - 5 * 3_600_000);
    day.db.update_one(BATCHES, doc! { "_id": BATCH }, doc! { "$set": { "untold.since": long_ago } });
    for arguments in [&["--check"][..], &["--check", "--date", DATE]] {
        let problems = status(arguments).expect_code(34).json()["problems"].clone();
        assert_eq!((problems.as_array().map(Vec::len), &problems[0]["kind"]), (Some(1), &"untold".into()));
    }
    telling(day.retry(), &people).run().expect_code(0);
    let seen = status(&["--check"]).expect_code(0).json();
    assert_eq!(seen["batches"][0]["untold"], serde_json::Value::Null);
}
