//! Records of ours that make no sense: waiting does not correct them, and no invented value takes their place.

use mongodb::bson::{Bson, Document, doc};

use super::EVENING;
use crate::support::command::{said, told};
use crate::support::day::{BATCHES, Day};
use crate::support::seed::{DATE, seed_day};

/// A record of ours that somebody edited: told as such, by every command that would act on it, and never replaced by an invented value.
#[track_caller]
fn malformed(commands: &[&str], edit: Document, words: &[&str]) {
    let day = Day::in_directory();
    seed_day(&day.db, "2026-01-17", 2);
    day.command("run").now("2026-01-17T18:30:00+07:00").run().expect_code(0);
    seed_day(&day.db, DATE, 3);
    day.command("run").date(DATE).destination("file:///nowhere").now(EVENING).run().expect_code(31);
    day.db.command(edit);
    let before = day.db.find_all(BATCHES, doc! {});
    for command in commands {
        let command_line = day.command(command).date(DATE).now(EVENING);
        let command_line = if *command == "run" { command_line.arg("--now") } else { command_line };
        if *command == "status" {
            let shown = command_line.run().expect_code(0).json();
            assert_eq!(shown["batches"][0]["state"], "damaged", "{shown}");
            let told = said(&shown["problems"][0]);
            assert!(words.iter().all(|word| told.contains(word)), "{words:?}: {told}");
            continue;
        }
        let ended = command_line.run().expect_code(30).json();
        let error = if ended["error"].is_null() { &ended["batches"][0]["error"] } else { &ended["error"] };
        let told = told(error);
        for word in words.iter().chain(&["correct that document"]) {
            assert!(told.contains(word), "{command}: {word:?} is not in {told}");
        }
    }
    assert_eq!((day.rows_with_status("queued"), day.log().len()), (3, 1));
    let state = |documents: &[Document]| {
        documents.iter().map(|one| one.get_str("state").ok().map(str::to_owned)).collect::<Vec<_>>()
    };
    assert_eq!(state(&day.db.find_all(BATCHES, doc! {})), state(&before), "a malformed record led to a decision");
}

fn edit(id: &str, changes: Document) -> Document {
    doc! { "update": BATCHES, "updates": [{ "q": { "_id": id }, "u": changes }] }
}

#[test]
fn a_batch_without_its_window_is_no_empty_day_of_1970() {
    let id = format!("batch_{DATE}");
    let commands = ["run", "retry", "status", "unlock"];
    malformed(&commands, edit(&id, doc! { "$unset": { "window": "" } }), &[&id, "window"]);
    malformed(&commands, edit(&id, doc! { "$unset": { "window.cutoff": "" } }), &[&id, "window.cutoff"]);
    malformed(&commands, edit(&id, doc! { "$set": { "window.cutoff": "soon" } }), &[&id, "window.cutoff"]);
    malformed(&commands, edit(&id, doc! { "$set": { "window.timezone": "" } }), &[&id, "window.timezone"]);
}

#[test]
fn a_record_that_waiting_cannot_correct_is_30() {
    let id = format!("batch_{DATE}");
    malformed(&["run", "retry", "status"], edit(&id, doc! { "$set": { "state": "done" } }), &[&id, "done"]);
    for counter in ["fence", "attempt"] {
        for value in [Bson::from("x"), Bson::from(1.5), Bson::from(f64::NAN)] {
            let words = format!("{counter} of {id} is {value}, not a whole number");
            malformed(&["run", "retry", "status", "unlock"], edit(&id, doc! { "$set": { counter: value } }), &[&words]);
        }
    }
    for number in [Bson::from("x"), Bson::from(1.5)] {
        let words = format!("number of the ledger is {number}");
        malformed(&["run"], edit("ledger", doc! { "$set": { "number": number } }), &[&words]);
    }
    malformed(&["run"], edit("ledger", doc! { "$set": { "marking": "x" } }), &["ledger", "marking"]);
}
