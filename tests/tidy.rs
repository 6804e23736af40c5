//! The rules of the house that no lint checks: what lives where, imports that go down, files that fit a head. The lints are in `Cargo.toml`
//! and `clippy.toml`: long functions, unsafe code, silenced lints, unfinished code, the clock, the environment, stdout.
//!
//! Only the code counts, not the comments: a comment may name what the code must not use. What a rule forbids is written in two
//! pieces here, so that this file keeps the rules too.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The longest file; most stay far below.
const FILE_LINES: usize = 500;
/// What may be used in one place only: the words, and the beginnings of the paths where they are at home.
const HOMES: [(&[&str], &[&str]); 4] = [
    (&["mongodb::", "bson::"], &["src/store/"]),
    (&["reqwest::", "yup_oauth2::", "hyper_util::"], &["src/http/", "src/destination/drive/", "src/notify"]),
    (&["clap::", "clap_complete::", "clap_mangen::"], &["src/cli/"]),
    (&["csv::"], &["src/csv/"]),
];

/// What may not be anywhere.
const FORBIDDEN: [&str; 3] = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("#[ig", "nore")];

#[test]
fn each_foreign_crate_has_one_home() {
    let mut strays = Vec::new();
    for file in files_below("src", "rs") {
        // Our own module of that name is not the crate.
        let code = file.code().replace("crate::csv::", "").replace("super::csv::", "");
        for (words, homes) in HOMES {
            let away = !homes.iter().any(|home| file.name.starts_with(home));
            let used = words.iter().filter(|word| away && uses(&code, word));
            strays.extend(used.map(|word| format!("{} uses {word}, which belongs to {}", file.name, homes.join(", "))));
        }
    }
    assert!(strays.is_empty(), "{}", strays.join("\n"));
}

#[test]
fn imports_go_down_by_the_map_of_the_library() {
    let library = File::read("src/lib.rs");
    let map: Vec<&str> = library
        .text
        .lines()
        .filter(|line| line.starts_with("//! - ["))
        .flat_map(|line| line.split("[`").skip(1).filter_map(|piece| piece.split('`').next()))
        .collect();
    let place = |module: &str| map.iter().position(|name| *name == module);
    let words = library.text.lines().filter_map(|line| line.strip_prefix("pub")?.strip_suffix(';')?.split_once("mod "));
    let modules = words.map(|(_, module)| module);
    let unmapped: Vec<&str> = modules.filter(|module| place(module).is_none()).collect();
    assert!(unmapped.is_empty(), "src/lib.rs has no place on its map for {unmapped:?}");
    let mut climbs = Vec::new();
    for file in files_below("src", "rs").filter(|file| file.name != "src/lib.rs" && file.name != "src/main.rs") {
        let module = file.name.trim_start_matches("src/").split(['/', '.']).next().unwrap_or_default();
        for import in imports(&file.code()) {
            if import != module && place(&import) > place(module) {
                climbs.push(format!("{} imports {import}, which stands above {module}", file.name));
            }
        }
    }
    assert!(climbs.is_empty(), "{}", climbs.join("\n"));
}

#[test]
fn every_file_opens_with_what_it_is_for() {
    let silent: Vec<String> = rust_files().filter(|file| !file.text.starts_with("//!")).map(|file| file.name).collect();
    assert!(silent.is_empty(), "they do not open with //!: {silent:?}");
    let scripts = files_below("examples", "sh").chain([File::read(".ci/run")]);
    let silent: Vec<String> = scripts
        .filter(|file| !file.text.lines().nth(1).is_some_and(|line| line.starts_with("# ")))
        .map(|file| file.name)
        .collect();
    assert!(silent.is_empty(), "no comment below their first line: {silent:?}");
}

#[test]
fn files_fit_a_head() {
    let mut long = Vec::new();
    for file in rust_files() {
        let lines = file.text.lines().count();
        if lines > FILE_LINES {
            long.push(format!("{} has {lines} lines", file.name));
        }
    }
    assert!(long.is_empty(), "{}", long.join("\n"));
}

#[test]
fn nothing_is_left_unfinished() {
    let mut found = Vec::new();
    for file in rust_files().chain(files_below("examples", "sh")) {
        let words = FORBIDDEN.iter().filter(|word| file.text.contains(**word));
        found.extend(words.map(|word| format!("{} has {word}", file.name)));
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn each_code_has_an_arm_of_its_own_and_no_text_glues_the_next_step() {
    let mut found = Vec::new();
    for file in files_below("src", "rs") {
        let code = file.code();
        let mut arm_of_the_rest = None;
        for line in code.lines() {
            let blanks = line.len() - line.trim_start().len();
            if line.contains("match ") && (line.ends_with("exit {") || line.ends_with("exit_code {")) {
                arm_of_the_rest = Some(" ".repeat(blanks + 4) + "_ =>");
            }
            let is_rest = arm_of_the_rest.as_ref().is_some_and(|arm| line.starts_with(&**arm));
            if is_rest || line.contains("; next: ") {
                found.push(format!("{}: {}", file.name, line.trim()));
            }
            if line == "}" {
                arm_of_the_rest = None;
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn names_say_what_a_thing_is() {
    let mut vague = Vec::new();
    for file in rust_files() {
        for line in file.code().lines().map(str::trim_start) {
            let line = line.strip_prefix("pub ").unwrap_or(line);
            let named = ["struct ", "enum ", "trait ", "mod "].iter().any(|kind| line.starts_with(kind));
            let lower = line.to_lowercase();
            if named && ["manager", "helper", "util"].iter().any(|word| lower.contains(word)) {
                vague.push(format!("{}: {line}", file.name));
            }
        }
    }
    assert!(vague.is_empty(), "{}", vague.join("\n"));
}

#[test]
fn the_top_level_holds_only_what_belongs_there() {
    const KNOWN: [&str; 11] = [
        "Cargo.toml",
        "Cargo.lock",
        "src",
        "tests",
        "examples",
        "crontab.example",
        "README.md",
        "LICENSE",
        "rustfmt.toml",
        "clippy.toml",
        "deny.toml",
    ];
    let root = fs::read_dir(root()).expect("the root of the project");
    let names = root.map(|entry| entry.expect("an entry of the root").file_name().to_string_lossy().into_owned());
    let strangers: Vec<String> = names
        .filter(|name| !name.starts_with('.') && !name.starts_with("target") && !KNOWN.contains(&name.as_str()))
        .collect();
    assert!(strangers.is_empty(), "{strangers:?}");
}

/// A file of the project.
struct File {
    /// Its path below the root.
    name: String,
    text: String,
}

impl File {
    fn read(name: &str) -> File {
        let text = fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        File { name: name.to_owned(), text }
    }

    /// Without the lines that are comments.
    fn code(&self) -> String {
        let code = self.text.lines().filter(|line| !line.trim_start().starts_with("//"));
        code.flat_map(|line| [line, "\n"]).collect()
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn rust_files() -> impl Iterator<Item = File> {
    ["src", "tests", "examples"].into_iter().flat_map(|folder| files_below(folder, "rs"))
}

/// The files below a folder whose names end so; at least one, or the test that asks checks nothing.
fn files_below(folder: &str, extension: &str) -> impl Iterator<Item = File> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of the project") {
            let path: PathBuf = entry.expect("an entry of a folder").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|found| found == extension) {
                let name = path.strip_prefix(root()).expect("a path below the root");
                found.push(File::read(name.to_str().expect("a path in UTF-8")));
            }
        }
    }
    assert!(!found.is_empty(), "no .{extension} below {folder}");
    found.into_iter()
}

/// Whether the word is there and is not the end of a longer one.
fn uses(code: &str, word: &str) -> bool {
    code.match_indices(word).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '"')
    })
}

/// The modules of this library that the code names.
fn imports(code: &str) -> BTreeSet<String> {
    let after = code.split("crate::").skip(1);
    let name = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    after
        .flat_map(|text| match text.strip_prefix('{') {
            Some(group) => {
                group.split('}').next().unwrap_or_default().split(',').map(|item| name(item.trim())).collect()
            }
            None => vec![name(text)],
        })
        .filter(|module| !module.is_empty())
        .collect()
}
