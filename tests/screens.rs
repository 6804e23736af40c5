//! What an operator sees, as files in `tests/screens/`, to be read side by side: the language is judged there.
//!
//! A screen that changed fails; `INSTA_UPDATE=always cargo test --test suite screens` writes the new one, for `git diff` to show. What
//! differs from run to run (ids, times, addresses, checksums) is masked.

use std::time::Duration;

use batch_export::command::CommandName;
use mongodb::bson::doc;

use crate::support::command::{BatchExport, Finished};
use crate::support::day::Day;
use crate::support::fake_drive::{Answer, Fault, On, Operation, Point};
use crate::support::seed::{DATE, ENTRIES, Entry, QUEUE, seed, seed_day};

/// Longer than any wait of a test that succeeds.
const PATIENCE: Duration = Duration::from_secs(30);

/// What is masked: a pattern, and what stands in its place.
const MASKS: [(&str, &str); 18] = [
    (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "[uuid]"),
    (r"\b[0-9a-f]{64}\b", "[sha256]"),
    (r"https?://127\.0\.0\.1:\d+\S*", "[address]"),
    (r"127\.0\.0\.1:\d+", "[host]"),
    (r"\b20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", "[instant]"),
    (r"(20\d\d-\d\d-\d\d )?\b\d\d:\d\d\b, (in )?\d+ (second|minute|hour|day)s?( ago)?", "[time and distance]"),
    (r"(20\d\d-\d\d-\d\d )?\b\d\d:\d\d  attempt", "[time]  attempt"),
    (r"\S+ pid \d+", "[machine] pid [pid]"),
    (r"\S+ \(pid \d+", "[machine] (pid [pid]"),
    (r"(age +)\S.*; lease until \S+", "${1}[age]; lease until [time]"),
    (r"(file +batch_\S+) \S+ \(", "${1} [file id] ("),
    (r"/\S*/(spool|out)-[^/\s]+", "[folder]"),
    (r"(voided +)\S+", "${1}[file id]"),
    (r"gdrive://[A-Za-z0-9_-]{20,}", "gdrive://[folder]"),
    (r"(version +)\d+\.\d+\.\d+.*", "${1}[version]"),
    (r"(clock +|next cut-off +|replica set +)\S.*", "${1}[told]"),
    (r"\btest_[0-9a-z_]+\b", "[database]"),
    (r"\b\d+(\.\d+)? (ms|s|MiB|GiB|GB|MB)\b", "[amount]"),
];

#[track_caller]
fn screen(name: &str, text: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("screens");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    MASKS.iter().for_each(|(pattern, word)| settings.add_filter(pattern, *word));
    settings.bind(|| insta::assert_snapshot!(name, text));
}

#[track_caller]
fn shows(name: &str, finished: &Finished) {
    screen(name, &finished.stdout);
}

#[test]
fn the_help_of_each_command() {
    for command in CommandName::ALL {
        for (flag, kind) in [("--help", "help"), ("-h", "summary")] {
            let help = BatchExport::command(command.name()).arg(flag).run().expect_code(0);
            screen(&format!("{kind}-{}", command.name()), &help.stdout);
        }
    }
    screen("help", &BatchExport::new().arg("--help").run().expect_code(0).stdout);
}

#[test]
fn a_day_that_succeeds() {
    let day = Day::in_directory();
    seed_day(&day.db, DATE, 5);
    day.command("init").run().expect_code(0);
    let text = |command: BatchExport| command.args(&["--output", "text"]);
    shows("run-completed", &text(day.run()).run().expect_code(0));
    shows("run-already-completed", &text(day.run()).run().expect_code(0));
    shows("retry-nothing-due", &text(day.retry()).run().expect_code(0));
    shows("status", &text(day.command("status")).run().expect_code(0));
    shows("status-date", &text(day.command("status").date(DATE)).run().expect_code(0));
    shows("status-check", &text(day.command("status").arg("--check")).run().expect_code(0));
    let now = chrono::Utc::now().to_rfc3339();
    shows("doctor", &text(day.command("doctor").now(&now)).run().expect_code(0));
    shows("verify", &text(day.command("verify")).run().expect_code(0));
}

#[test]
fn a_layout_that_is_checked() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("own.toml").to_str().unwrap().to_owned();
    let check = |name: &str, text: &str, code| {
        std::fs::write(&path, text).unwrap();
        let shown = BatchExport::command("layout").args(&["check", &path]).run().expect_code(code).stdout;
        screen(name, &shown.replace(&path, "own.toml"));
        shown
    };
    let top = "name = \"own\"\ndelimiter = \"\\t\"\nrows_per_entry = 2\n";
    let columns = "[[columns]]\nheader = \"บัญชี\"\nvalue = \"account\"\n[[columns]]\nheader = \"เดบิต\"\nvalue = \"debit\"\n\
        [[columns]]\nheader = \"รายการ\"\nvalue = \"description\"\n";
    let shown = check("layout-check", &format!("{top}{columns}"), 0);
    assert!(shown.contains("บัญชี\tเดบิต\tรายการ\n") && !shown.contains(['\r', '\u{fffd}']), "{shown}");
    check("layout-check-errors", &format!("name = \"own\"\nquote = \"never\"\nvalue = 1\n{columns}{top}"), 30);
}

#[test]
fn a_day_whose_entries_changed_after_the_export() {
    let day = Day::in_directory();
    seed_day(&day.db, DATE, 5);
    let text = |command: BatchExport| command.args(&["--output", "text"]);
    day.run().run().expect_code(0);
    shows("corrections-none", &text(day.command("corrections")).run().expect_code(0));
    let official = day.directory().join("batch_2026-01-18.csv");
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("copy.csv");
    let compared = |code| {
        let path = copy.to_str().unwrap();
        let shown = text(day.command("verify").args(&["--file", path])).run().expect_code(code).stdout;
        shown.replace(path, "copy.csv")
    };
    let bytes = std::fs::read(&official).unwrap();
    std::fs::write(&copy, &bytes).unwrap();
    screen("verify-file", &compared(0));
    let rewritten = String::from_utf8(bytes).unwrap().replacen(".00", "", 3);
    std::fs::write(&copy, rewritten).unwrap();
    screen("verify-file-differs", &compared(34));
    let set = |number, what| {
        day.db.update_one(ENTRIES, doc! { "_id": Entry::numbered(DATE, number).id() }, doc! { "$set": what });
    };
    set(0, doc! { "amount": 1_234_500 });
    set(1, doc! { "status": "cancelled" });
    day.db.delete_many(ENTRIES, doc! { "_id": Entry::numbered(DATE, 2).id() });
    shows("corrections", &text(day.command("corrections")).run().expect_code(34));
    shows("corrections-csv", &day.command("corrections").args(&["--output", "csv"]).run().expect_code(34));
    day.db.update_many(
        QUEUE,
        doc! { "entryId": Entry::numbered(DATE, 3).id() },
        doc! { "$set": { "status": "queued" } },
    );
    shows("verify-problems", &text(day.command("verify")).run().expect_code(34));
}

#[test]
fn entries_that_are_refused_and_a_folder_that_is_gone() {
    let day = Day::in_directory();
    seed(
        &day.db,
        &[
            Entry::numbered(DATE, 0),
            Entry::numbered(DATE, 1).set("status", "draft"),
            Entry::numbered(DATE, 2).set("description", "ค่าเช่า\u{7}"),
        ],
    );
    let text = |command: BatchExport| command.args(&["--output", "text"]);
    shows("run-dry-run-refused", &text(day.run().arg("--dry-run")).run().expect_code(32));
    shows("run-refused", &text(day.run()).run().expect_code(32));
    shows("run-held", &text(day.run().args(&["--now", "--invalid", "hold"])).run().expect_code(0));
    day.command("init").run().expect_code(0);
    let now = chrono::Utc::now().to_rfc3339();
    let gone = day.command("doctor").destination("file:///nowhere/at/all").now(&now);
    shows("doctor-bad", &text(gone).run().expect_code(34));
}

#[test]
fn the_layouts_that_are_built_in() {
    shows("layout-list", &BatchExport::command("layout").arg("list").run().expect_code(0));
    shows("layout-show-express", &BatchExport::command("layout").args(&["show", "express"]).run().expect_code(0));
}

#[test]
fn a_day_that_fails_until_a_person_acts() {
    let day = Day::on_drive();
    seed_day(&day.db, DATE, 5);
    day.drive().plan(On::every(Operation::Start), Fault::answer(Answer::error(403, "storageQuotaExceeded")));
    let text = |command: BatchExport| command.args(&["--output", "text"]);
    shows("run-failed", &text(day.run()).run().expect_code(31));
    shows("run-not-due", &text(day.run()).run().expect_code(11));
    shows("status-failed", &text(day.command("status")).run().expect_code(0));
    for _ in 0..2 {
        day.let_time_pass();
        day.retry().run().expect_code(31);
    }
    day.let_time_pass();
    shows("retry-exhausted", &text(day.retry()).run().expect_code(33));
    shows("status-date-exhausted", &text(day.command("status").date(DATE)).run().expect_code(0));
    shows("status-check-failed", &text(day.command("status").arg("--check")).run().expect_code(34));
    shows("run-exhausted", &text(day.run()).run().expect_code(33));
    shows("unlock", &text(day.command("unlock").date(DATE)).run().expect_code(0));
}

#[test]
fn a_database_that_does_not_answer() {
    let text = |command: &str| {
        let down = "mongodb://127.0.0.1:1/?replicaSet=rs&serverSelectionTimeoutMS=300";
        BatchExport::command(command).mongodb(down).destination("file:///tmp").args(&["--output", "text"])
    };
    shows("run-unreachable", &text("run").date(DATE).run().expect_code(20));
    shows("retry-unreachable", &text("retry").run().expect_code(20));
    shows("status-unreachable", &text("status").run().expect_code(20));
    shows("verify-unreachable", &text("verify").run().expect_code(20));
    shows("unlock-unreachable", &text("unlock").date(DATE).run().expect_code(20));
    shows("init-unreachable", &text("init").run().expect_code(20));
}

#[test]
fn a_day_that_another_run_holds() {
    let day = Day::on_drive();
    seed_day(&day.db, DATE, 5);
    let text = |command: BatchExport| command.args(&["--output", "text"]);
    shows("init", &text(day.command("init")).run().expect_code(0));
    shows("status-missing", &text(day.command("status").args(&["--check", "--grace", "1s"])).run().expect_code(34));
    let hold = day.drive().hold(On::nth(Operation::Chunk, 1), Point::After);
    let run = day.run().spawn();
    hold.wait_until_reached(PATIENCE);
    shows("run-lock-held", &text(day.run()).run().expect_code(10));
    shows("status-running", &text(day.command("status")).run().expect_code(0));
    shows("unlock-refused", &text(day.command("unlock").date(DATE)).run().expect_code(10));
    run.kill();
    hold.release();
}
