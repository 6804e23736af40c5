//! `TRACEPARENT`: what belongs to a scheduler's trace says so, and what was not set is not said.

use mongodb::bson::doc;
use serde_json::{Value, json};

use super::telling;
use crate::support::command::BatchExport;
use crate::support::day::Day;
use crate::support::receiver::Receiver;
use crate::support::seed::{DATE, ENTRIES, seed_day};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

#[test]
fn the_trace_is_in_every_line_of_the_log_in_the_result_and_in_the_message() {
    for format in ["json", "text"] {
        let (day, people) = (Day::in_directory(), Receiver::start(Some(204)));
        seed_day(&day.db, DATE, 3);
        let traced = telling(day.run(), &people).env("TRACEPARENT", PARENT).args(&["-v", "-v"]);
        let finished = traced.args(&["--log-format", format]).run().expect_code(0);
        assert_eq!(finished.json()["trace_id"], TRACE);
        assert_eq!(people.messages()[0]["trace_id"], TRACE);
        assert!(finished.stderr.lines().count() > 5, "{}", finished.report());
        for line in finished.stderr.lines() {
            let said = match format {
                "json" => serde_json::from_str::<Value>(line).expect("JSON")["trace_id"] == json!(TRACE),
                _ => line.ends_with(&format!(" trace_id={TRACE}")),
            };
            assert!(said, "{line}");
        }
    }
}

/// Of a summary of corrections, of a test, and of an event that another invocation delivers.
#[test]
fn the_trace_is_in_every_message_of_every_kind() {
    for kind in ["text", "slack", "json"] {
        let (day, people) = (Day::in_directory(), Receiver::start(Some(204)));
        let nobody = Receiver::start(Some(500));
        seed_day(&day.db, DATE, 3);
        let kind_is = |command: BatchExport| command.env("BATCH_EXPORT_NOTIFY_KIND", kind);
        let traced = |command: BatchExport| kind_is(command).env("TRACEPARENT", PARENT);
        traced(telling(day.run(), &nobody)).run().expect_code(0);
        day.let_time_pass();
        kind_is(telling(day.retry(), &people)).run().expect_code(0);
        day.db.update_many(ENTRIES, doc! {}, doc! { "$set": { "description": "edited" } });
        traced(telling(day.command("corrections"), &people)).arg("--tell").run().expect_code(34);
        traced(telling(day.command("doctor"), &people)).arg("--send").run();
        let messages = people.messages();
        assert_eq!(messages.len(), 3, "{kind}: {messages:?}");
        for message in messages {
            assert!(message.to_string().contains(TRACE), "{kind}: {message}");
        }
    }
}

/// Also in the result of a command line that is not understood.
#[test]
fn the_trace_is_taken_from_what_the_standard_allows_and_from_nothing_else() {
    let told = |parent: &str| {
        let command = BatchExport::command("run").args(&["--nonsense", "--output", "json"]).env("TRACEPARENT", parent);
        command.run().expect_code(2).json().get("trace_id").cloned()
    };
    for good in [PARENT, "cc-T-00f067aa0ba902b7-01-later"] {
        assert_eq!(told(&good.replace('T', TRACE)), Some(json!(TRACE)), "{good}");
    }
    for bad in [
        "",
        "00-T",
        "00-T-00f067aa0ba902b7-01-more",
        "ff-T-00f067aa0ba902b7-01",
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "00-T-0000000000000000-01",
        "00-T-00f067aa0ba902b7-1",
    ] {
        assert_eq!(told(&bad.replace('T', TRACE)), None, "{bad}");
    }
    assert_eq!(told(&format!("00-{}-00f067aa0ba902b7-01", TRACE.to_uppercase())), None);
}

#[test]
fn without_a_trace_or_with_a_malformed_one_nothing_is_said_of_it() {
    for parent in [None, Some("00-not-a-trace-01")] {
        let (day, people) = (Day::in_directory(), Receiver::start(Some(204)));
        seed_day(&day.db, DATE, 3);
        let command = telling(day.run(), &people);
        let command = parent.map_or(command.clone(), |parent| command.env("TRACEPARENT", parent));
        let finished = command.run().expect_code(0);
        assert_eq!(finished.json().get("trace_id"), None);
        assert!(!finished.stderr.contains("trace_id"), "{}", finished.report());
        assert_eq!(people.messages()[0].get("trace_id"), None);
    }
}
