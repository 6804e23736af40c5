//! The situations, a function per section of the README that shows commands: what is the case, each line in its turn, what must come.
//!
//! What cannot be run from within `cargo test` (cargo itself, the scripts of the examples, what only a systemd can do) is run by
//! `.ci/run` or by a script that it runs; here it is seen that it stands there, word for word but for places and sizes.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use mongodb::bson::doc;

use super::Walk;
use super::desk::Desk;
use super::laptop::Laptop;
use crate::support::browser::{answer, way_back};
use crate::support::command::Finished;
use crate::support::day::{BATCHES, FILE, LOG};
use crate::support::fake_drive::{Answer, Fault, On, Operation};
use crate::support::receiver::Receiver;
use crate::support::seed::{DATE, ENTRIES, Entry, QUEUE, seed, seed_day};

const CI: &str = include_str!("../../.ci/run");
const SYSTEMD_REHEARSAL: &str = include_str!("../../examples/systemd/rehearsal.sh");

const PATIENCE: Duration = Duration::from_secs(60);
/// Half an hour after the cut-off of the day after the seeded one.
const NEXT_EVENING: &str = "2026-01-19T18:30:00+07:00";

/// What is prepared for the commands of a section.
pub fn situation(section: &str) -> Option<fn(&mut Walk)> {
    Some(match section {
        "Two commands" => two_commands,
        "Install" => install,
        "Configure" => configure,
        "The file" => own_layout,
        "Google set-up" => google,
        "Schedule it" => schedule,
        "Tell people" => tell_people,
        "Runbook" => runbook,
        "The credentials expired" => credentials_expired,
        "The database was down over the cut-off" => database_was_down,
        "An invalid entry blocks the batch" => invalid_entry,
        "How to correct an exported entry" => corrections,
        "The accountant imported the wrong file" => wrong_file,
        "Capacity" => capacity,
        _ => return None,
    })
}

/// Drive refuses every upload, until it is cured.
fn fill_drive(desk: &Desk) {
    let full = Fault::answer(Answer::error(403, "storageQuotaExceeded"));
    desk.day.drive().plan(On::every(Operation::Start), full);
}

/// Uses up every attempt.
fn exhaust(desk: &Desk) {
    fill_drive(desk);
    while desk.day.db.count(BATCHES, doc! { "state": "exhausted" }) == 0 {
        desk.day.retry().run();
        desk.day.let_time_pass();
    }
    desk.day.drive().cure();
}

/// What `init` makes is missing as long as that was not run.
fn all_checks_are_ok(finished: Finished) {
    let result = finished.expect_code(0).json();
    let mut checks = result["checks"].as_array().unwrap().iter();
    assert!(checks.all(|check| check["verdict"] == "ok" || check["fix"] == "run `batch-export init`"), "{result}");
}

/// Runs `auth` with a person who says yes.
fn consent(desk: &Desk, line: &str) {
    let running = desk.json(line).spawn();
    let question = desk.browser.question();
    answer(&question, &format!("code={}", desk.day.drive().consent_code()));
    assert_eq!(running.wait(PATIENCE).expect_code(0).json()["outcome"], "completed");
    the_consent_is_private(desk);
}

fn the_consent_is_private(desk: &Desk) {
    assert_eq!(fs::metadata(desk.credentials()).unwrap().permissions().mode() & 0o777, 0o600);
    let stored: serde_json::Value = serde_json::from_slice(&fs::read(desk.credentials()).unwrap()).unwrap();
    assert_eq!(stored["type"], "authorized_user");
}

fn the_consent_is_good_for_an_export(desk: &Desk) {
    seed_day(&desk.day.db, DATE, 5);
    desk.json("batch-export run").run().expect_code(0);
    desk.day.check_converged();
}

/// A line of the README without its comment.
fn command(line: &str) -> &str {
    line.split_once(" #").map_or(line, |(command, _)| command).trim_end()
}

/// A command that is a step of `.ci/run`, up to the word after which it differs.
#[track_caller]
fn step(line: &str, differs_after: Option<&str>) {
    let command = command(line);
    let command = differs_after.map_or(command, |word| {
        let end = command.find(word).unwrap_or_else(|| panic!("{line:?} has no {word}")) + word.len();
        &command[..end]
    });
    let is_it = |step: &str| {
        // Where it can, on a bare machine.
        let step = step.strip_prefix("$bare ").unwrap_or(step);
        step.strip_prefix(command).is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
    };
    let mut steps = CI.lines().filter_map(|line| line.trim_start().strip_prefix("step "));
    assert!(steps.any(is_it), "no step {command:?} in .ci/run");
}

/// A command that an operator gives in the rehearsal under systemd.
#[track_caller]
fn under_systemd(line: &str) {
    let operator = format!("\noperator '{}'\n", command(line));
    assert!(SYSTEMD_REHEARSAL.contains(&operator), "the rehearsal under systemd has no {operator:?}");
}

fn two_commands(walk: &mut Walk) {
    step(&walk.next("examples/quickstart.sh"), None);
    step(&walk.next("cargo test"), None);
}

/// What is installed goes below the desk.
fn install(walk: &mut Walk) {
    step(&walk.next("cargo install"), Some("--locked"));
    let shown = Desk::new().line(&walk.next("batch-export --version")).run().expect_code(0).stdout;
    assert_eq!(shown, concat!("batch-export ", env!("CARGO_PKG_VERSION"), "\n"));
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder in the place of the system's");
    for beginning in ["install -d", "batch-export completions", "batch-export man"] {
        let line = walk.next(beginning).replace("/usr/local/share", &folder.path().display().to_string());
        Desk::new().line(&line).run().expect_code(0);
    }
    // bash-completion looks there.
    let completions = fs::read_to_string(folder.path().join("bash-completion/completions/batch-export")).unwrap();
    assert!(completions.contains("complete -F _batch__export"), "{completions}");
    assert!(folder.path().join("man/man1/batch-export-run.1").exists(), "no page for run");
}

fn capacity(walk: &mut Walk) {
    // The check measures the release build, but needs no second one for what measures it.
    let line = walk.next("cargo run --release --example load_test").replace("--release ", "");
    step(&line, Some("--entries"));
}

/// An application that has never been exported.
fn configure(walk: &mut Walk) {
    let desk = Desk::new();
    seed_day(&desk.day.db, DATE, 5);
    let settings = walk.all("export ");
    assert_eq!(settings.len(), 3, "three settings are said to be enough: {settings:?}");
    all_checks_are_ok(desk.now_truly(&walk.next("batch-export doctor")).run());
    let made = desk.json(&walk.next("batch-export init")).run().expect_code(0).json();
    assert_eq!((made["outcome"].as_str(), made["queue_index_created"].as_bool()), (Some("completed"), Some(false)));
    let dry = desk.json(&walk.next("batch-export run --dry-run")).run().expect_code(0).json();
    assert_eq!((dry["outcome"].as_str(), dry["entries"].as_u64()), (Some("dry_run"), Some(5)));
    assert_eq!((desk.day.rows_with_status("queued"), desk.day.live_files().len()), (5, 0));
    let batches = doc! { "_id": { "$ne": "ledger" } };
    assert_eq!((desk.day.db.count(BATCHES, batches), desk.day.db.count(LOG, doc! {})), (0, 0));
}

/// A webhook and a health check were set.
fn tell_people(walk: &mut Walk) {
    let (desk, people) = (Desk::new(), Receiver::start(Some(204)));
    seed_day(&desk.day.db, DATE, 5);
    let line = desk.now_truly(&walk.next("batch-export doctor --send"));
    let line = line.env("BATCH_EXPORT_NOTIFY_URL", &people.url("/hook"));
    all_checks_are_ok(line.env("BATCH_EXPORT_PING_URL", &people.url("/ping")).run());
    assert_eq!(people.posted().len(), 2);
}

/// A layout of one's own, from a built-in one to a day's totals.
fn own_layout(walk: &mut Walk) {
    let desk = Desk::new();
    seed_day(&desk.day.db, DATE, 5);
    desk.line(&walk.next("batch-export layout show")).run().expect_code(0);
    desk.line(&walk.next("sed -i")).run().expect_code(0);
    let checked = desk.line(&walk.next("batch-export layout check")).run().expect_code(0).stdout;
    assert!(checked.contains("Entry ID;Date;Account;Debit;Credit;Description"), "{checked}");
    let dry = desk.json(&walk.next("batch-export run --dry-run --format")).run().expect_code(0).json();
    assert_eq!((dry["outcome"].as_str(), dry["entries"].as_u64()), (Some("dry_run"), Some(5)));
}

/// A person gives consent for the first time, and it is good for an export: at a machine with a browser, then for a server.
fn google(walk: &mut Walk) {
    let desk = Desk::without_credentials();
    consent(&desk, &walk.next("batch-export auth"));
    the_consent_is_good_for_an_export(&desk);

    let desk = Desk::without_credentials();
    let mut laptop = Laptop::with_the_client_of(&desk);
    laptop.enter(&walk.next("scp client.json server:"));
    laptop.enter(&walk.next("ssh -L 8085:127.0.0.1:8085 server"));
    laptop.wait_for_the_server();
    laptop.enter(&desk.with_our_places(&walk.next("batch-export auth")));
    let question = laptop.question();
    let shown = laptop.browse(&way_back(&question, &format!("code={}", desk.day.drive().consent_code())));
    assert!(shown.starts_with("Thank you."), "{shown}");
    assert_eq!(laptop.log_out().expect_code(0).json()["outcome"], "completed");
    assert!(!desk.browser.was_opened(), "a browser was opened on the server");
    the_consent_is_private(&desk);
    the_consent_is_good_for_an_export(&desk);
}

/// The timers are installed; a day that is done, and one that nobody started; then both rehearsals.
fn schedule(walk: &mut Walk) {
    under_systemd(&walk.next("cp examples/systemd/"));
    walk.all("systemctl ").iter().for_each(|line| under_systemd(line));
    let desk = Desk::new();
    seed_day(&desk.day.db, DATE, 5);
    desk.day.run().run().expect_code(0);
    let line = walk.next("batch-export status --check");
    let good = desk.line(&line).run().expect_code(0).stdout;
    assert_eq!(good, "ok: batch_2026-01-18 completed\n");
    let bad = desk.line(&line).now(NEXT_EVENING).run().expect_code(34).stdout;
    // The line of the check, and the next step.
    let next = "next: run `batch-export run --date 2026-01-19`";
    assert_eq!(bad, format!("check_failed: batch_2026-01-19 is missing (exit 34)\n{next}\n"));
    walk.all("examples/").iter().for_each(|line| step(line, None));
}

/// A batch that failed, as it is looked at; then one that has used up its attempts.
fn runbook(walk: &mut Walk) {
    let desk = Desk::new();
    seed_day(&desk.day.db, DATE, 5);
    fill_drive(&desk);
    desk.json("batch-export run").run().expect_code(31);
    let table = desk.line(&walk.next("batch-export status")).run().expect_code(0).stdout;
    let row = table.lines().find(|line| line.starts_with(DATE)).unwrap_or_else(|| panic!("no row: {table}"));
    assert!(row.contains("failed") && row.contains("drive_rejected, again at "), "{table}");
    let history = desk.line(&walk.next("batch-export status --date")).run().expect_code(0).stdout;
    assert!(history.contains("attempt 1  failed (drive_rejected) at upload"), "{history}");
    let doctor = desk.now_truly(&walk.next("batch-export doctor")).run().expect_code(34);
    assert!(doctor.stdout.contains("storageQuotaExceeded"), "{}", doctor.report());
    desk.day.drive().cure();
    desk.json("batch-export run --now").run().expect_code(0);
    let verify = walk.next("batch-export verify --date");
    assert_eq!(desk.json(&verify).run().expect_code(0).json()["outcome"], "verified");
    desk.day.drive().trash(&desk.day.live_files()[0].id);
    assert_ne!(desk.json(&verify).run().expect_code(34).json()["problems"].as_array().unwrap().len(), 0);

    let desk = Desk::new();
    seed_day(&desk.day.db, DATE, 5);
    exhaust(&desk);
    let unlocked = desk.json(&walk.next("batch-export unlock --date")).run().expect_code(0).json();
    assert_eq!((unlocked["outcome"].as_str(), unlocked["state"].as_str()), (Some("unlocked"), Some("exhausted")));
    assert_eq!(unlocked["reason"], "quota raised", "the shell's words have not arrived");
    let result = desk.json(&walk.next("batch-export retry --date")).run().expect_code(0).json();
    assert_eq!((&result["batches"][0]["outcome"], &result["batches"][0]["attempt"]), (&"completed".into(), &1.into()));
    desk.day.check_converged();
}

/// The consent of a person has ended.
fn credentials_expired(walk: &mut Walk) {
    let desk = Desk::without_credentials();
    desk.put_credentials(&desk.day.drive().authorized_user());
    seed_day(&desk.day.db, DATE, 5);
    desk.day.drive().revoke_consent();
    let refused = desk.json("batch-export run").run().expect_code(31).json();
    assert!(refused["error"]["message"].as_str().unwrap().contains("invalid_grant"), "{refused}");
    consent(&desk, &walk.next("batch-export auth"));
    all_checks_are_ok(desk.now_truly(&walk.next("batch-export doctor")).run());
    let result = desk.json(&walk.next("batch-export run --date")).run().expect_code(0).json();
    assert_eq!((result["outcome"].as_str(), result["attempt"].as_i64()), (Some("completed"), Some(2)));
    desk.day.check_converged();
}

/// Three cut-offs have passed without a batch.
fn database_was_down(walk: &mut Walk) {
    let desk = Desk::new();
    for date in ["2026-01-16", "2026-01-17", DATE] {
        seed_day(&desk.day.db, date, 3);
    }
    let result = desk.json(&walk.next("batch-export backfill")).run().expect_code(0).json();
    let batches = result["batches"].as_array().unwrap().iter();
    let batches: Vec<_> =
        batches.map(|batch| (batch["date"].as_str().unwrap(), batch["entries"].as_u64().unwrap())).collect();
    assert_eq!(batches, [("2026-01-16", 3), ("2026-01-17", 3), (DATE, 3)], "a file per day");
    desk.day.check_converged();
}

/// One entry of five must not be exported.
fn invalid_entry(walk: &mut Walk) {
    let desk = Desk::new();
    let entries: Vec<Entry> = (0..5).map(|number| Entry::numbered(DATE, number)).collect();
    seed(&desk.day.db, &[&entries[..4], &[entries[4].clone().set("status", "draft")]].concat());
    desk.json("batch-export run").run().expect_code(32);
    let rows = desk.day.db.find_all(QUEUE, doc! {});
    let batch = desk.day.batch();
    let seen = desk.line(&walk.next("batch-export run --date")).run().expect_code(32).json();
    let invalid = seen["invalid"].as_array().unwrap();
    assert_eq!((invalid.len(), invalid[0]["entry_id"].as_str()), (1, Some(&*entries[4].id().to_hex())));
    assert!(invalid[0]["reason"].as_str().unwrap().contains("draft"), "{seen}");
    assert_eq!((desk.day.db.find_all(QUEUE, doc! {}), desk.day.batch()), (rows, batch), "it changed something");
    let held = desk.json(&walk.next("batch-export run --date")).run().expect_code(0).json();
    assert_eq!((held["entries"].as_u64(), held["held"].as_array().unwrap().len()), (Some(4), 1));
    let failed = desk.day.db.find_one(QUEUE, doc! { "status": "failed" }).expect("the row that is held back");
    assert!(failed.get_str("lastError").unwrap().contains("draft"), "{failed}");
    desk.day.check_converged();

    let exhausted = Desk::new();
    seed(&exhausted.day.db, &[&entries[..4], &[entries[4].clone().set("status", "draft")]].concat());
    while exhausted.day.db.count(BATCHES, doc! { "state": "exhausted" }) == 0 {
        exhausted.day.retry().run();
        exhausted.day.let_time_pass();
    }
    exhausted.line(&walk.next("batch-export unlock")).run().expect_code(0);
    let held = exhausted.json(&walk.next("batch-export run --date")).run().expect_code(0).json();
    assert_eq!((held["entries"].as_u64(), held["held"].as_array().unwrap().len()), (Some(4), 1));
}

/// A batch that is done, and the file that was imported in the accountant's folder.
fn corrections(walk: &mut Walk) {
    let desk = Desk::new();
    let seeded = seed_day(&desk.day.db, DATE, 5);
    desk.day.run().run().expect_code(0);
    let edited = doc! { "$set": { "accountCode": "9999" } };
    desk.day.db.update_one(ENTRIES, doc! { "_id": seeded.entries[2] }, edited);
    let text = desk.line(&walk.next("batch-export corrections --date")).run().expect_code(34).stdout;
    assert!(text.contains("edited") && text.contains("9999"), "{text}");
    desk.line(&walk.next("batch-export corrections --from")).run().expect_code(34);
    let csv = fs::read_to_string(desk.folder().join("corrections.csv")).unwrap();
    assert!(csv.lines().count() == 2 && csv.contains(&seeded.entries[2].to_hex()), "{csv}");
}

fn wrong_file(walk: &mut Walk) {
    let desk = Desk::new();
    seed_day(&desk.day.db, DATE, 5);
    desk.day.run().run().expect_code(0);
    let status = desk.line(&walk.next("batch-export status --date")).run().expect_code(0).json();
    let batch = &status["batches"][0];
    assert_eq!(batch["file"]["id"].as_str(), Some(&*desk.day.live_files()[0].id));
    assert!(batch["total_debit"].is_string() && batch["total_credit"].is_string(), "{status}");
    assert_eq!(status["voided"], serde_json::json!([]));
    desk.json(&walk.next("batch-export verify --date")).run().expect_code(0);
    fs::write(desk.folder().join(FILE), &desk.day.live_files()[0].bytes).unwrap();
    let copy = desk.json(&walk.next("batch-export verify --date")).run().expect_code(0).json();
    assert_eq!((&copy["file"]["verdict"], &copy["file"]["sha256"]), (&serde_json::json!("same"), &batch["sha256"]));
}
