//! A receiver that asks for a pause gets it, within a bound.

use std::time::Duration;

use mongodb::bson::doc;

use super::{telling, wait_for};
use crate::support::command::BatchExport;
use crate::support::day::Day;
use crate::support::fake_drive::{Operation, Point};
use crate::support::receiver::{Receiver, Reply};
use crate::support::seed::{DATE, ENTRIES, seed_day};

/// Long enough for anything on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn a_receiver_that_names_a_time_to_wait_is_asked_again_after_it() {
    let by_header = |status| move || Reply::of(status).header("Retry-After", "1");
    let by_body =
        || Reply::saying(429, r#"{"message": "You are being rate limited.", "retry_after": 0.6, "global": false}"#);
    let by_parameters = || Reply::saying(429, r#"{"ok": false, "parameters": {"retry_after": 1}}"#);
    let busy: [Box<dyn Fn() -> Reply + Send>; 4] =
        [Box::new(by_header(429)), Box::new(by_header(503)), Box::new(by_body), Box::new(by_parameters)];
    for busy in busy {
        // More often than an answer without a time is asked again.
        let people = Receiver::answering(move |_, before| if before < 4 { busy() } else { Reply::of(204) });
        let day = Day::in_directory();
        seed_day(&day.db, DATE, 1);
        let finished = telling(day.run(), &people).run().expect_code(0);
        assert!(finished.stderr.contains("the webhook was notified"), "{}", finished.report());
        assert_eq!(people.posted().len(), 5);
        let bodies: std::collections::BTreeSet<String> =
            people.posted().into_iter().map(|posted| posted.body).collect();
        assert_eq!(bodies.len(), 1, "it is not the same message each time");
    }
}

#[test]
fn after_a_signal_nobody_is_waited_for_longer_than_five_seconds_and_the_message_is_left_for_retry() {
    let (day, people) = (Day::on_drive(), Receiver::start(None));
    seed_day(&day.db, DATE, 1);
    let stop = day.drive().hold(day.drive().next(Operation::Start), Point::Before);
    let running = telling(day.run(), &people).spawn();
    stop.wait_until_reached(PATIENCE);
    running.signal(rustix::process::Signal::TERM);
    let ended = running.wait(PATIENCE).expect_code(143);
    assert!(ended.stderr.contains("not notified within 5 s after the signal: the webhook"), "{}", ended.report());
    assert_eq!(people.messages()[0]["event"], "interrupted");
    let left = day.batch().get_document("untold").expect("a message that is left").clone();
    assert_eq!(left.get_str("event").unwrap(), "interrupted");
    // The day is due at once: what was done then is the newest event, and replaces it.
    let people = Receiver::start(Some(204));
    telling(day.retry(), &people).run().expect_code(0);
    assert_eq!((people.posted().len(), &people.messages()[0]["event"]), (1, &"completed".into()));
    assert!(day.batch().get("untold").is_none());
}

#[test]
fn a_signal_while_people_are_notified_leaves_them_five_seconds_and_does_not_change_the_result() {
    for ping in [false, true] {
        let (day, receiver) = (Day::in_directory(), Receiver::start(None));
        seed_day(&day.db, DATE, 1);
        let refusing = Receiver::answering(|_, _| Reply::of(400));
        telling(day.run(), &refusing).run().expect_code(0);
        seed_day(&day.db, "2026-01-19", 1);
        let slow = |command: BatchExport| match ping {
            true => command.env("BATCH_EXPORT_PING_URL", &receiver.url("/ping")).env("BATCH_EXPORT_PING_KIND", "plain"),
            false => telling(command, &receiver),
        };
        let next = || day.command("run").date("2026-01-19").now("2026-01-19T18:00:05+07:00");
        let commands = if ping { vec![slow(next())] } else { vec![slow(next()), slow(day.retry())] };
        for command in commands {
            let before = receiver.posted().len();
            let running = command.spawn();
            wait_for(|| receiver.posted().len() > before);
            running.signal(rustix::process::Signal::TERM);
            let ended = running.wait(PATIENCE).expect_code(0);
            let named = if ping { "the health check" } else { "the webhook" };
            let warning = format!("not notified within 5 s after the signal: {named}\n");
            assert!(ended.stderr.contains(&warning), "{}", ended.report());
        }
    }
}

#[test]
fn corrections_that_a_signal_stops_while_they_are_told_are_told_by_the_same_command() {
    let (day, people) = (Day::in_directory(), Receiver::start(None));
    seed_day(&day.db, DATE, 1);
    day.run().run().expect_code(0);
    day.db.update_many(ENTRIES, doc! {}, doc! { "$set": { "description": "edited afterwards" } });
    let running = telling(day.command("corrections"), &people).arg("--tell").spawn();
    wait_for(|| !people.posted().is_empty());
    running.signal(rustix::process::Signal::TERM);
    let error = running.wait(PATIENCE).expect_code(143).json()["error"].clone();
    assert_eq!(error["next"], "run the command again");
}

#[test]
fn a_receiver_that_wants_a_longer_pause_than_there_is_time_is_left_alone() {
    let day = Day::in_directory();
    seed_day(&day.db, DATE, 1);
    // What is no time to wait asks for none.
    for nonsense in ["1e300", "soon"] {
        let people = Receiver::answering(move |_, _| Reply::of(429).header("Retry-After", nonsense));
        telling(day.command("doctor").arg("--send"), &people).run().expect_code(34);
        assert_eq!(people.posted().len(), 3, "{nonsense}");
    }
    let people = Receiver::answering(|_, _| Reply::of(429).header("Retry-After", "60"));
    let finished = telling(day.run(), &people).run().expect_code(0);
    assert_eq!(people.posted().len(), 1);
    assert!(
        finished.stderr.contains("it asks for a pause of 60 s, and all tries may take 15 s"),
        "{}",
        finished.report()
    );
}
