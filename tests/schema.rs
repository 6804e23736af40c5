//! The JSON Schemas: they are those of this program, they are valid, and they can refuse.
//!
//! That the program keeps them is checked wherever a test runs it: every result, every line of a JSON log and every JSON message.

use std::collections::BTreeSet;
use std::fs;

use batch_export::cli::schemas::all;
use serde_json::json;

use crate::support::command::BatchExport;
use crate::support::schema::{check, check_result, folder};

/// Set to `write`, it writes the files anew.
const REFRESH: &str = "SCHEMAS";

#[test]
fn the_committed_schemas_are_those_of_the_types() {
    let refresh = std::env::var(REFRESH).is_ok_and(|value| value == "write");
    let mut names = BTreeSet::new();
    for (name, schema) in all() {
        let file = folder().join(format!("{name}.json"));
        let text = serde_json::to_string_pretty(&schema).expect("a schema as text") + "\n";
        if refresh {
            fs::create_dir_all(folder()).expect("the folder of the schemas");
            fs::write(&file, &text).expect("the file of a schema");
        }
        let committed = fs::read_to_string(&file).unwrap_or_default();
        assert!(
            committed == text,
            "{name}.json is not of this program; write it anew: {REFRESH}=write cargo test schema"
        );
        names.insert(format!("{name}.json"));
    }
    let files = fs::read_dir(folder()).expect("the folder of the schemas");
    let files: BTreeSet<String> =
        files.map(|file| file.expect("a file").file_name().into_string().expect("a name in UTF-8")).collect();
    assert_eq!(files, names, "files without a schema");
}

#[test]
fn a_schema_refuses_what_the_program_would_never_print() {
    let finished = BatchExport::command("layout").args(&["--output", "json"]).run().expect_code(0);
    let good = finished.json();
    check_result(&good).expect("a result of the program");
    let broken = |change: fn(&mut serde_json::Value)| {
        let mut value = good.clone();
        change(&mut value);
        check_result(&value).expect_err("a broken result");
    };
    broken(|value| value["format_version"] = json!("2.0"));
    broken(|value| value["exit_code"] = json!(35));
    broken(|value| value["outcome"] = json!("verified"));
    broken(|value| value["unknown"] = json!(1));
    broken(|value| value["layouts"][0]["unknown"] = json!(1));
    broken(|value| drop(value.as_object_mut().expect("an object").remove("format_version")));
    broken(|value| value["command"] = json!("run"));
}

#[test]
fn a_command_line_that_is_not_understood_gets_a_result_of_its_own() {
    let finished = BatchExport::new().args(&["--no-such-flag", "--output", "json"]).run().expect_code(2);
    assert_eq!(finished.json()["format_version"], "1.0");
    check("error", &finished.json()).expect("a result of the program");
}

#[test]
fn every_line_of_the_json_log_has_its_version() {
    let arguments = [
        "--log-format",
        "json",
        "-vv",
        "--mongodb-uri",
        "mongodb://127.0.0.1:9/x?compressors=zlib",
        "--destination",
        "file:///tmp",
    ];
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let finished = BatchExport::command("run").args(&arguments).env("TRACEPARENT", trace).run().expect_code(20);
    let lines: Vec<serde_json::Value> =
        finished.stderr.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect();
    assert!(!lines.is_empty());
    for line in lines {
        assert_eq!(line["format_version"], "1.0", "{line}");
        check("log", &line).unwrap_or_else(|wrong| panic!("{wrong}: {line}"));
    }
}
