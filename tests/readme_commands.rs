//! Every command of the README is run: taken from its text, in a situation in which the README says to use it.
//!
//! Risk: a command that somebody adds and nobody tries. So each section with commands is walked line by line, in the
//! order of the page, by the situation of that section; a section without a situation fails, and so does a line that
//! its situation does not run. A shell reads the lines, as it would the reader's; replaced are only the places, which
//! no test machine has.

mod desk;
mod laptop;
mod situations;

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};

use situations::situation;

const README: &str = include_str!("../README.md");

/// The commands of one section that are still to be run.
struct Walk {
    section: String,
    lines: VecDeque<String>,
}

impl Walk {
    /// The next line, which the situation expects to begin so.
    #[track_caller]
    fn next(&mut self, beginning: &str) -> String {
        let Some(line) = self.lines.pop_front() else {
            panic!("README.md, {}: it has no {beginning:?} any more", self.section)
        };
        assert!(
            line.starts_with(beginning),
            "README.md, {}: {line:?} stands where a situation for {beginning:?} is prepared: prepare one for it",
            self.section
        );
        line
    }

    /// The next lines that begin so; at least one.
    #[track_caller]
    fn all(&mut self, beginning: &str) -> Vec<String> {
        let mut lines = vec![self.next(beginning)];
        while self.lines.front().is_some_and(|line| line.starts_with(beginning)) {
            lines.extend(self.lines.pop_front());
        }
        lines
    }

    /// Runs the situation of the section, which has to run every line.
    fn go(mut self) {
        let Some(situation) = situation(&self.section) else {
            panic!("README.md, {}: nothing is prepared for its commands {:?}", self.section, self.lines)
        };
        situation(&mut self);
        assert!(self.lines.is_empty(), "README.md, {}: nothing is prepared for {:?}", self.section, self.lines);
    }
}

/// The sections that show commands, in the order of the page.
fn sections(readme: &str) -> Vec<Walk> {
    let mut sections: Vec<Walk> = Vec::new();
    let (mut heading, mut in_commands, mut in_block) = ("", false, false);
    for line in readme.lines() {
        if let Some(kind) = line.strip_prefix("```") {
            in_block = !in_block;
            in_commands = in_block && kind == "sh";
        } else if !in_block && line.starts_with('#') {
            heading = line.trim_start_matches('#').trim();
        } else if in_commands && !line.trim().is_empty() {
            if sections.last().is_none_or(|walk| walk.section != heading) {
                sections.push(Walk { section: heading.to_owned(), lines: VecDeque::new() });
            }
            sections.last_mut().expect("the section just made").lines.push_back(line.to_owned());
        }
    }
    sections
}

#[test]
fn every_command_of_the_readme_does_what_it_says() {
    let sections = sections(README);
    assert!(sections.len() >= 9, "the README shows hardly any command");
    // Each has a database and a destination of its own, so they can go at the same time.
    let failed: Vec<String> = std::thread::scope(|scope| {
        let walks = sections.into_iter().map(|walk| {
            let section = walk.section.clone();
            let named = std::thread::Builder::new().name(format!("README.md, {section}"));
            (section, named.spawn_scoped(scope, || walk.go()).expect("a thread"))
        });
        let walks: Vec<_> = walks.collect();
        walks.into_iter().filter_map(|(section, walk)| walk.join().err().map(|_| section)).collect()
    });
    assert!(failed.is_empty(), "these sections are told above: {failed:?}");
}

#[test]
fn a_command_for_which_no_situation_is_prepared_fails() {
    let complaint = |readme: &str| {
        let walk = sections(readme).pop().expect("a section with commands");
        let refused = catch_unwind(AssertUnwindSafe(|| walk.go())).expect_err("it passed");
        refused.downcast_ref::<String>().expect("words").clone()
    };
    let unknown = complaint("## News\n```sh\nbatch-export run\n```\n");
    assert!(unknown.contains("News: nothing is prepared for its commands"), "{unknown}");
    let (_, install) = README.split_once("\n## Install\n").expect("a section that needs no database");
    let (install, _) = install.split_once("\n## ").expect("its end");
    let more = complaint(&format!("## Install\n{install}```sh\nbatch-export doctor\n```\n"));
    assert!(more.contains("nothing is prepared for [\"batch-export doctor\"]"), "{more}");
    let other = complaint("## Install\n```sh\nbatch-export --version\n```\n");
    assert!(other.contains("stands where a situation for \"cargo install\""), "{other}");
}
