//! The alert rules and the dashboard of `examples/monitoring/`: proved by Prometheus' own tool, and about metrics that exist.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use super::metrics::MetricsFile;
use crate::support::day::Day;
use crate::support::seed::{DATE, seed_day};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/monitoring")
}

fn read(name: &str) -> String {
    std::fs::read_to_string(folder().join(name)).expect(name)
}

/// Runs `promtool`, and fails the test with what it said unless it is content.
fn promtool(arguments: &[&str], input: &str) {
    let mut tool = Command::new("promtool")
        .args(arguments)
        .current_dir(folder())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool: Debian's package prometheus");
    tool.stdin.take().expect("its stdin").write_all(input.as_bytes()).expect("the input");
    let output = tool.wait_with_output().expect("its end");
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "promtool {arguments:?}: {}", String::from_utf8_lossy(&said));
}

#[test]
fn the_alert_rules_fire_when_they_should_and_at_no_other_time() {
    promtool(&["check", "rules", "alerts.yaml"], "");
    promtool(&["test", "rules", "alerts_test.yaml"], "");
    // Each alert has its test, and its row of the runbook.
    let (rules, tests, readme) = (read("alerts.yaml"), read("alerts_test.yaml"), include_str!("../../README.md"));
    let after = |mark: &'static str| rules.lines().filter_map(move |line| line.trim().strip_prefix(mark));
    let alerts: Vec<&str> = after("- alert: ").collect();
    assert!(alerts.len() >= 6, "{alerts:?}");
    for alert in &alerts {
        assert!(tests.contains(&format!("alertname: {alert}")), "{alert} has no test");
    }
    let runbook: Vec<&str> = after("runbook_url: 'README.md#").map(|anchor| anchor.trim_end_matches('\'')).collect();
    assert_eq!(runbook.len(), alerts.len());
    for (alert, anchor) in alerts.iter().zip(runbook) {
        let row = readme.lines().find(|line| line.contains(&format!("<a id=\"{anchor}\"></a>")));
        assert!(row.is_some_and(|row| row.contains(alert)), "the README has no row {anchor} for {alert}");
    }
}

#[test]
fn the_line_at_the_head_of_the_rules_makes_each_runbook_link_absolute() {
    let rules = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let copy = rules.path().join("alerts.yaml");
    std::fs::copy(folder().join("alerts.yaml"), &copy).expect("a copy");
    let text = read("alerts.yaml");
    let line = text.lines().find_map(|line| line.strip_prefix("#     sed ")).expect("the line");
    let edited = Command::new("sh").args(["-c", &format!("sed {line}")]).current_dir(rules.path()).status();
    assert!(edited.expect("sed").success());
    promtool(&["check", "rules", &copy.display().to_string()], "");
    let links =
        |text: &str| text.lines().filter(|line| line.contains("runbook_url: ")).map(str::to_owned).collect::<Vec<_>>();
    let absolute = links(&std::fs::read_to_string(&copy).expect("the copy"));
    assert_eq!(absolute.len(), links(&text).len());
    for link in absolute {
        assert!(link.contains("'https://wiki.example/batch-export/README.md#alert-"), "{link}");
    }
}

#[test]
fn the_metrics_are_well_formed_and_rules_and_dashboard_ask_for_no_others() {
    let (day, metrics) = (Day::in_directory(), MetricsFile::new());
    seed_day(&day.db, DATE, 3);
    metrics.of(day.run()).run().expect_code(0);
    let text = metrics.text();
    promtool(&["check", "metrics"], &text);
    let known: BTreeSet<&str> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    for name in ["alerts.yaml", "dashboard.json"] {
        let asked = names(&read(name));
        assert!(asked.len() > 3, "{name} asks for {asked:?}");
        let unknown: Vec<&String> = asked.iter().filter(|asked| !known.contains(asked.as_str())).collect();
        assert!(unknown.is_empty(), "{name} asks for {unknown:?}");
    }
}

#[test]
fn each_panel_of_the_dashboard_has_a_question_a_unit_and_a_place_of_its_own() {
    let dashboard: Value = serde_json::from_str(&read("dashboard.json")).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let mut taken = BTreeSet::new();
    for panel in panels {
        let title = panel["title"].as_str().expect("a title");
        assert!(panel["fieldConfig"]["defaults"]["unit"].is_string(), "{title} has no unit");
        assert!(panel["targets"].as_array().is_some_and(|targets| !targets.is_empty()), "{title} asks nothing");
        let at = |key: &str| panel["gridPos"][key].as_u64().expect("a place");
        for x in at("x")..at("x") + at("w") {
            for y in at("y")..at("y") + at("h") {
                assert!(x < 24 && taken.insert((x, y)), "{title} lies on another panel");
            }
        }
    }
}

/// The names of metrics in a text.
fn names(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("batch_export_")).map(str::to_owned).collect()
}
