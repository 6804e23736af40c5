//! What the program writes on a real terminal: bars while it works, whole lines of the log, and nothing but those in the end.

use std::path::Path;

use crate::support::command::BatchExport;
use crate::support::day::Day;
use crate::support::fake_drive::{Answer, Fault, On as OnDrive, Operation, Point};
use crate::support::mongod::Mongod;
use crate::support::proxy::{On, Proxy};
use crate::support::seed::{DATE, ENTRIES, QUEUE, seed_day};
use crate::support::terminal::{Left, Terminal};

const ESCAPE: char = '\u{1b}';

/// On a terminal with the usual abilities, the result as text.
fn on_terminal(command: BatchExport) -> BatchExport {
    command.env("TERM", "xterm-256color").env("BATCH_EXPORT_OUTPUT", "text")
}

/// The pieces of a bar, as they were drawn.
fn bars(left: &Left) -> Vec<&str> {
    let pieces = left.written.split(['\r', '\n', ESCAPE]);
    pieces
        .map(|piece| piece.trim_start_matches("[2K"))
        .filter(|piece| piece.contains("] ") && piece.contains(" ["))
        .collect()
}

/// The result is alone in the file, and in no terminal's language.
fn only_result(path: &Path) -> String {
    let text = std::fs::read_to_string(path).expect("the result");
    assert!(!text.contains(ESCAPE), "{text:?}");
    assert!(text.starts_with("batch_2026-01-18  completed"), "{text}");
    assert!(!text.contains("acquired") && !text.contains('['), "{text}");
    text
}

/// An export of six rows, two in each transaction, of which two run at a time, that is held at each stage until its bar has been seen.
fn watched(columns: usize, no_colour: bool) -> (Day, Left) {
    let proxy = Proxy::before(Mongod::shared());
    let day = Day::on_drive().through(&proxy);
    seed_day(&day.db, DATE, 6);
    let result = tempfile::NamedTempFile::new_in(env!("CARGO_TARGET_TMPDIR")).expect("a file");
    let generating = proxy.hold(On::command("find").collection(ENTRIES).nth(1));
    let marking = proxy.hold(On::command("update").collection(QUEUE).nth(3));
    let uploading = day.drive().hold(OnDrive::nth(Operation::Chunk, 1), Point::Before);
    day.drive().plan(OnDrive::nth(Operation::Chunk, 1), Fault::answer(Answer::error(503, "backendError")));
    let command = on_terminal(day.run()).env("BATCH_EXPORT_TRANSACTION_ROWS", "2");
    let command = if no_colour { command.env("NO_COLOR", "1") } else { command };
    let line = format!("batch-export run --date {DATE} >'{}'", result.path().display());
    let mut terminal = Terminal::start(columns, command, &line);
    terminal.wait_for("generate [");
    generating.release();
    terminal.wait_for("  upload [");
    // The failure of the first chunk is a line of the log while the bar stands.
    uploading.release();
    terminal.wait_for("4/6 rows");
    marking.release();
    let left = terminal.end();
    assert_eq!(left.finished.code, 0, "{}", left.finished.report());
    only_result(result.path());
    (day, left)
}

#[test]
fn a_bar_of_each_stage_appears_and_nothing_of_them_remains() {
    for columns in [100, 40] {
        let (day, left) = watched(columns, true);
        let bars = bars(&left);
        for stage in ["generate [", "  upload [", "  commit ["] {
            assert!(bars.iter().any(|bar| bar.starts_with(stage)), "no {stage:?} in {bars:?}");
        }
        let broken = bars.iter().find(|bar| bar.chars().count() > columns);
        assert_eq!(broken, None, "a bar does not fit {columns} columns");
        // Lines of the log break at the edge: put together, they are whole, and they are all there is.
        let log = left.screen.concat();
        assert!(log.contains("acquired batch=batch_2026-01-18 attempt=1 fence=1"), "{:#?}", left.screen);
        assert!(log.contains("trying again wait_ms="), "{:#?}", left.screen);
        assert!(!log.contains(" [") && !log.contains("rows"), "something of a bar remains: {:#?}", left.screen);
        day.check_converged();
    }
}

#[test]
fn a_generation_whose_total_is_not_known_yet_says_how_far_it_is() {
    let proxy = Proxy::before(Mongod::shared());
    let day = Day::in_directory().through(&proxy);
    seed_day(&day.db, DATE, 30_000);
    let generating = proxy.hold(On::command("find").collection(ENTRIES).nth(2));
    let command = on_terminal(day.run()).env("NO_COLOR", "1");
    let mut terminal = Terminal::start(40, command, &format!("batch-export run --date {DATE} --dry-run"));
    terminal.wait_for(",000 rows");
    generating.release();
    let left = terminal.end();
    assert_eq!(left.finished.code, 0, "{}", left.finished.report());
    assert_eq!(bars(&left).into_iter().find(|bar| bar.chars().count() > 40), None, "a bar does not fit");
    assert!(left.screen[0].starts_with("batch_2026-01-18  dry_run"), "{:#?}", left.screen);
}

#[test]
fn colours_are_for_terminals_and_for_those_who_want_them() {
    let colours = |left: &Left| {
        left.written
            .split(ESCAPE)
            .skip(1)
            .any(|rest| rest[1..].trim_start_matches(|c: char| c.is_ascii_digit() || c == ';').starts_with('m'))
    };
    assert!(colours(&watched(100, false).1), "no colour on a terminal");
    assert!(!colours(&watched(100, true).1), "colour in spite of NO_COLOR");
}

#[test]
fn a_terminal_that_cannot_erase_gets_lines_only() {
    let day = Day::in_directory();
    seed_day(&day.db, DATE, 5);
    let command = on_terminal(day.run()).env("TERM", "dumb");
    let left = Terminal::start(100, command, &format!("batch-export run --date {DATE}")).end();
    assert_eq!(left.finished.code, 0, "{}", left.finished.report());
    assert!(!left.written.contains(ESCAPE), "{:?}", left.written);
    assert!(left.written.contains("acquired") && left.written.contains("batch_2026-01-18  completed"));
}

#[test]
fn a_log_in_a_file_has_lines_and_no_signs_for_a_terminal() {
    let day = Day::on_drive();
    seed_day(&day.db, DATE, 5);
    day.drive().plan(OnDrive::nth(Operation::Start, 1), Fault::stall_headers());
    let log = tempfile::NamedTempFile::new_in(env!("CARGO_TARGET_TMPDIR")).expect("a file");
    let command = on_terminal(day.run()).env("BATCH_EXPORT_DRIVE_IDLE", "6s");
    let line = format!("batch-export run --date {DATE} 2>'{}'", log.path().display());
    let left = Terminal::start(100, command, &line).end();
    assert_eq!(left.finished.code, 0, "{}", left.finished.report());
    let log = std::fs::read_to_string(log.path()).expect("the log");
    assert!(log.contains("upload: 0 of ") && !log.contains(ESCAPE), "{log:?}");
    assert!(
        !left.written.contains(ESCAPE) && left.screen[0].starts_with("batch_2026-01-18  completed"),
        "{:?}",
        left.screen
    );
}
