//! A terminal: what a command writes to it as it comes, and what is left on its screen.
//!
//! `script` makes the pseudo-terminal, a shell in it sets the width. The screen is computed here, from the few signs that move the
//! cursor; one that is not known fails the test, because a real terminal might do anything with it.

use std::path::Path;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::command::{BatchExport, Finished, Running};

/// How long something may take to appear.
const PATIENCE: Duration = Duration::from_secs(60);

/// A command on a terminal.
pub struct Terminal {
    running: Running,
    folder: TempDir,
    columns: usize,
}

/// What a command left behind when it ended.
pub struct Left {
    /// How it ended.
    pub finished: Finished,
    /// All that was written to the terminal, in order.
    pub written: String,
    /// The lines on the screen at the end.
    pub screen: Vec<String>,
}

impl Terminal {
    /// Starts a line of shell in which `batch-export` is the program. The variables are those of `command`, whose arguments do not count.
    pub fn start(columns: usize, command: BatchExport, line: &str) -> Terminal {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder for the terminal");
        let typescript = folder.path().join("typescript");
        let binary = Path::new(env!("CARGO_BIN_EXE_batch-export")).parent().expect("its folder");
        let path = format!("{}:{}", binary.display(), std::env::var("PATH").unwrap_or_default());
        let line = format!("stty cols {columns} rows 24; {line}");
        let running = command
            .in_place_of_the_binary("script", &["-qefc", &line, &typescript.display().to_string()])
            .env("PATH", &path)
            .spawn();
        Terminal { running, folder, columns }
    }

    /// What came so far, without the heading of `script`.
    fn written(&self) -> String {
        let bytes = std::fs::read(self.folder.path().join("typescript")).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let text = text.split_once('\n').map(|(_, text)| text).unwrap_or_default();
        text.split("\nScript done on ").next().unwrap_or_default().to_owned()
    }

    /// Waits until these words are there.
    #[track_caller]
    pub fn wait_for(&mut self, words: &str) {
        let end = Instant::now() + PATIENCE;
        while !self.written().contains(words) {
            assert!(Instant::now() < end && self.running.is_running(), "no {words:?} in {:?}", self.written());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits for the end.
    pub fn end(self) -> Left {
        let Terminal { running, folder, columns } = self;
        let finished = running.wait(PATIENCE);
        // `script` copies to its stdout what it keeps.
        let written = finished.stdout.clone();
        drop(folder);
        Left { screen: screen(&written, columns), finished, written }
    }
}

/// What a terminal of so many columns shows in the end, without blank lines at its end.
fn screen(written: &str, columns: usize) -> Vec<String> {
    let mut lines: Vec<Vec<char>> = vec![Vec::new()];
    let (mut row, mut column) = (0, 0);
    let mut rest = written.chars();
    while let Some(c) = rest.next() {
        match c {
            '\r' => column = 0,
            '\n' => row += 1,
            '\u{1b}' => {
                assert_eq!(rest.next(), Some('['), "an unknown sequence in {written:?}");
                let mut number = String::new();
                let sign = rest.by_ref().find(|c| {
                    number.push(*c);
                    c.is_ascii_alphabetic()
                });
                number.pop();
                match (sign, number.as_str()) {
                    (Some('m'), _) => {}
                    (Some('K'), "2") => lines[row].clear(),
                    (Some('A'), count) => row -= count.parse::<usize>().expect("how far up").min(row),
                    (sign, _) => panic!("an unknown sequence {number}{sign:?} in {written:?}"),
                }
            }
            c => {
                if column == columns {
                    (row, column) = (row + 1, 0);
                }
                lines.resize(lines.len().max(row + 1), Vec::new());
                let line = &mut lines[row];
                line.resize(line.len().max(column + 1), ' ');
                line[column] = c;
                column += 1;
            }
        }
        lines.resize(lines.len().max(row + 1), Vec::new());
    }
    let mut lines: Vec<String> = lines.into_iter().map(|line| line.into_iter().collect()).collect();
    while lines.last().is_some_and(|line| line.trim().is_empty()) {
        lines.pop();
    }
    lines
}

#[test]
fn a_screen_shows_what_was_not_erased() {
    assert_eq!(screen("one\r\n[=> ] 1/2\r\u{1b}[2Ktwo\r\n[==>] 2/2\r\u{1b}[2K", 80), ["one", "two"]);
    assert_eq!(screen("abcdef\r\u{1b}[2Kgh", 4), ["abcd", "gh"]);
    assert_eq!(screen("\u{1b}[32mab\u{1b}[0m\r\ncd\u{1b}[1A\rx", 4), ["xb", "cd"]);
}
