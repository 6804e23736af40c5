//! `corrections --tell`: people hear of a list that they do not know, once, and only what they have received counts as told.

use mongodb::bson::doc;

use super::{change, exported, in_express};
use crate::support::command::{BatchExport, Finished};
use crate::support::day::{BATCH, BATCHES, Day, EXPORTED, FILE};
use crate::support::receiver::{Receiver, Reply};
use crate::support::seed::{ENTRIES, QUEUE, Seeded, seed_day};

fn tell(day: &Day, people: &Receiver) -> Finished {
    let command: BatchExport = day.command("corrections").arg("--tell");
    command.env("BATCH_EXPORT_NOTIFY_URL", &people.url("/hook/s3cret-token-of-the-webhook")).run()
}

fn tell_as(day: &Day, people: &Receiver, output: &str) -> Finished {
    let command = day.command("corrections").args(&["--tell", "--output", output]);
    command.env("BATCH_EXPORT_NOTIFY_URL", &people.url("/hook")).run()
}

fn noted(day: &Day) -> Option<String> {
    let batch = day.batch();
    let told = batch.get_document("correctionsTold").ok()?;
    assert!(told.get_datetime("at").is_ok(), "{told}");
    told.get_str("sha256").ok().map(str::to_owned)
}

#[test]
fn a_list_is_told_when_it_is_another_one_and_not_again() {
    let (day, people) = (Day::in_directory(), Receiver::start(Some(200)));
    let seeded = exported(&day);
    seed_day(&day.db, "2026-01-19", 2);
    day.command("run").date("2026-01-19").now("2026-01-19T18:00:05+07:00").run().expect_code(0);
    assert_eq!(tell(&day, &people).expect_code(0).json()["told"], "unchanged");
    assert_eq!((people.messages().len(), noted(&day)), (0, None));
    change(&day, &seeded, 2, doc! { "amount": 1_i64 });
    assert_eq!(tell(&day, &people).expect_code(34).json()["told"], "sent");
    let told = people.messages();
    assert_eq!((told.len(), &told[0]["event"]), (1, &"corrections".into()), "{told:?}");
    assert_eq!(told[0]["title"], "1 exported entry has to be corrected");
    assert!(told[0]["facts"].to_string().contains("batch_2026-01-18 (number 1): 1 entry"), "{told:?}");
    assert!(!told[0]["facts"].to_string().contains("2026-01-19"), "{told:?}");
    let first = noted(&day).expect("a note");
    assert_eq!(tell(&day, &people).expect_code(34).json()["told"], "unchanged");
    assert_eq!(people.messages().len(), 1);
    change(&day, &seeded, 4, doc! { "status": "cancelled" });
    tell(&day, &people).expect_code(34);
    assert_eq!((people.messages().len(), noted(&day) == Some(first)), (2, false));
    let ids = people.messages().iter().map(|told| told["id"].to_string()).collect::<std::collections::BTreeSet<_>>();
    assert_eq!(ids.len(), 2);
    change(&day, &seeded, 4, doc! { "status": "approved" });
    let third = tell(&day, &people).expect_code(34);
    assert_eq!(third.json()["told"], "sent");
    assert_eq!(people.messages().len(), 3);
}

#[test]
fn what_is_set_right_is_told_and_forgotten() {
    let (day, people) = (Day::in_directory(), Receiver::start(Some(204)));
    let seeded = exported(&day);
    change(&day, &seeded, 2, doc! { "status": "draft" });
    tell(&day, &people).expect_code(34);
    assert!(noted(&day).is_some());
    change(&day, &seeded, 2, doc! { "status": "approved" });
    tell(&day, &people).expect_code(0);
    assert_eq!(noted(&day), None);
    let told = people.messages();
    assert_eq!(told[1]["title"], "No exported entry has to be corrected any more");
    tell(&day, &people).expect_code(0);
    assert_eq!(people.messages().len(), 2);
    // The same edit again is another event: a receiver that drops repetitions must not drop it.
    change(&day, &seeded, 2, doc! { "status": "draft" });
    assert_eq!(tell(&day, &people).expect_code(34).json()["told"], "sent");
    let told = people.messages();
    assert_eq!((&told[2]["title"], told[2]["id"] == told[0]["id"]), (&told[0]["title"], false), "{told:?}");
}

#[test]
fn only_what_was_received_counts_as_told() {
    let day = Day::in_directory();
    let people = Receiver::answering(|_, before| Reply::of(if before == 0 { 404 } else { 200 }));
    let seeded = exported(&day);
    change(&day, &seeded, 2, doc! { "amount": 1_i64 });
    let refused = tell(&day, &people).expect_code(34);
    assert_eq!((&refused.json()["told"], noted(&day)), (&"failed".into(), None), "{}", refused.report());
    assert_eq!(tell(&day, &people).expect_code(34).json()["told"], "sent");
    assert!(noted(&day).is_some());
    let ids: Vec<_> = people.messages().iter().map(|told| told["id"].clone()).collect();
    assert_eq!(ids[0], ids[1], "a receiver can drop a repetition");
}

#[test]
fn a_batch_that_cannot_be_compared_is_told_once_with_the_reason() {
    let (day, people) = (Day::in_directory(), Receiver::start(Some(200)));
    let seeded = exported(&day);
    change(&day, &seeded, 2, doc! { "amount": 1_i64 });
    let path = day.directory().join(FILE);
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, "altered").unwrap();
    let text = |code| tell_as(&day, &people, "text").expect_code(code).stdout;
    assert!(text(34).contains("people were notified"));
    let told = people.messages();
    assert_eq!((told.len(), &told[0]["title"]), (1, &"1 exported file cannot be checked for corrections".into()));
    assert!(told[0]["facts"].to_string().contains("batch_2026-01-18 (number 1): cannot be checked: "), "{told:?}");
    assert!(told[0]["facts"].to_string().contains("is not the committed file"), "{told:?}");
    // The same reason is known by then; another one is not.
    assert!(text(34).contains("no message: nothing has changed since the last one"));
    assert_eq!(people.messages().len(), 1);
    std::fs::remove_file(&path).unwrap();
    assert_eq!(tell(&day, &people).expect_code(34).json()["told"], "sent");
    assert_eq!(people.messages().len(), 2);
    assert!(people.messages()[1]["facts"].to_string().contains("is not at the destination"));
}

#[test]
fn when_the_file_is_back_its_corrections_are_told() {
    let (day, people) = (Day::in_directory(), Receiver::start(Some(200)));
    let seeded = exported(&day);
    let (path, content) = (day.directory().join(FILE), std::fs::read(day.directory().join(FILE)).unwrap());
    change(&day, &seeded, 2, doc! { "amount": 1_i64 });
    std::fs::remove_file(&path).unwrap();
    tell(&day, &people).expect_code(34);
    std::fs::write(&path, content).unwrap();
    assert_eq!(tell(&day, &people).expect_code(34).json()["told"], "sent");
    assert_eq!(people.messages()[1]["title"], "1 exported entry has to be corrected");
    // A day without a batch has nothing that could be told, and that is not called known.
    let absent = day.command("corrections").args(&["--tell", "--date", "2026-01-02"]);
    let absent = absent.env("BATCH_EXPORT_NOTIFY_URL", &people.url("/hook")).run().expect_code(34);
    assert_eq!((&absent.json()["told"], people.messages().len()), (&"nothing".into(), 2));
}

/// Exports a second day, of which two entries are exported.
fn second_day(day: &Day) -> Seeded {
    let seeded = seed_day(&day.db, "2026-01-19", 2);
    day.command("run").date("2026-01-19").now("2026-01-19T18:00:05+07:00").run().expect_code(0);
    seeded
}

#[test]
fn what_still_has_to_be_corrected_is_not_forgotten_because_it_was_told_before() {
    let (day, people) = (Day::in_directory(), Receiver::start(Some(200)));
    let (first, second) = (exported(&day), second_day(&day));
    change(&day, &first, 3, doc! { "status": "cancelled" });
    let both = |status: &str| {
        day.db.update_many(ENTRIES, doc! { "_id": { "$in": &second.entries } }, doc! { "$set": { "status": status } });
    };
    both("draft");
    tell(&day, &people).expect_code(34);
    both("approved");
    let text = tell_as(&day, &people, "text").expect_code(34).stdout;
    assert!(text.contains("batch_2026-01-19  number 2  2 entries  as exported"), "{text}");
    let told = people.messages();
    assert_eq!((told.len(), &told[0]["title"]), (2, &"3 exported entries have to be corrected".into()));
    assert_eq!(told[1]["title"], "1 exported entry has to be corrected");
    let (facts, next) = (told[1]["facts"].to_string(), told[1]["next"].to_string());
    assert!(facts.contains("batch_2026-01-19 (number 2): nothing to correct any more"), "{facts}");
    assert!(facts.contains("Told before") && facts.contains("batch_2026-01-18 (number 1): 1 entry"), "{facts}");
    assert!(next.contains("batch-export corrections --date 2026-01-18 "), "{next}");
    // News of one batch: the title counts both, and so does the list that is named.
    change(&day, &second, 1, doc! { "status": "draft" });
    tell(&day, &people).expect_code(34);
    let told = people.messages();
    assert_eq!(told[2]["title"], "2 exported entries have to be corrected");
    assert!(told[2]["next"].to_string().contains("--from 2026-01-18 --to 2026-01-19"), "{told:?}");
}

#[test]
fn the_step_fits_the_reason_why_a_batch_cannot_be_compared() {
    let (day, people) = (Day::in_directory(), Receiver::start(Some(200)));
    let seeded = in_express(&day);
    day.db.delete_many(QUEUE, doc! { "_id": { "$in": [seeded.rows[4], seeded.rows[5]] } });
    day.db.delete_many(ENTRIES, doc! { "_id": { "$in": [seeded.entries[4], seeded.entries[5]] } });
    // As an earlier version left it: nothing else tells which line was which entry's.
    day.db.update_many(EXPORTED, doc! {}, doc! { "$unset": { "row": 1, "place": 1 } });
    let next = |at: usize| people.messages()[at]["next"].as_str().expect("a step").to_owned();
    assert_eq!(tell(&day, &people).expect_code(34).json()["told"], "sent");
    assert!(
        next(0).contains("compare the named lines by hand") && !next(0).contains("put the official file back"),
        "{}",
        next(0)
    );
    let (path, aside) = (day.directory().join(FILE), day.directory().with_extension("aside"));
    std::fs::rename(&path, &aside).unwrap();
    tell(&day, &people).expect_code(34);
    assert!(next(1).contains("put the official file back") && !next(1).contains("by hand"), "{}", next(1));
    std::fs::rename(&aside, &path).unwrap();
    day.db.update_one(BATCHES, doc! { "_id": BATCH }, doc! { "$set": { "settings.layout": "name = \"other\"" } });
    tell(&day, &people).expect_code(34);
    assert!(
        next(2).contains("restore `settings` of the batch document") && !next(2).contains("official file back"),
        "{}",
        next(2)
    );
}

#[test]
fn with_nobody_to_tell_it_is_a_wrong_setting() {
    let day = Day::in_directory();
    exported(&day);
    let result = day.command("corrections").arg("--tell").run().expect_code(30).json();
    assert!(result["error"]["next"].as_str().unwrap().contains("--notify-url"), "{result}");
}
