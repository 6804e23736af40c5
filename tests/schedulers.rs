//! The schedules that an operator copies: cron, systemd and Kubernetes each read theirs as we mean it.
//!
//! Risk: a schedule that is accepted but wrong: an hour of the wrong zone, a code of ours that an alert does not know,
//! a stop that cuts a commit short. So the programs concerned are asked themselves, and every number is compared with
//! its source.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use batch_export::COMMIT_LIMIT;
use batch_export::exit::Exit;
use chrono::{NaiveDate, TimeZone, Utc};
use serde_json::Value;

use crate::readme::what_happens_next;
use crate::support::command::BatchExport;
use crate::support::target;

const CRONTAB: &str = include_str!("../crontab.example");

/// The image of this version.
const IMAGE: &str = concat!("batch-export:", env!("CARGO_PKG_VERSION"));

/// Carries the schemas of Kubernetes, and a parser of YAML.
const KUBERNETES_VALIDATE: &str = "kubernetes-validate==1.37.0";

/// A line of the crontab that starts something; those behind a `#` are there to be chosen instead.
struct Job {
    active: bool,
    /// The value of CRON_TZ above it.
    zone: Option<String>,
    minutes: BTreeSet<u32>,
    hours: BTreeSet<u32>,
    command: String,
}

#[test]
fn every_line_of_the_crontab_is_a_schedule_and_a_command_that_exists() {
    let help = BatchExport::new().arg("--help").run().expect_code(0).stdout;
    let settings_help = BatchExport::command("run").arg("--help").run().expect_code(0).stdout;
    let jobs = jobs();
    assert_eq!(jobs.iter().filter(|job| job.active).count(), 2, "one run and one retry are active");
    assert_eq!(jobs.iter().filter(|job| job.command.contains(" corrections --tell ")).count(), 1);
    for job in &jobs {
        let (command, log) = job.command.split_once(" >>").expect("output that is appended to a log");
        let words: Vec<&str> = command.split_whitespace().collect();
        let ["batch-export", name, ref flags @ ..] = words[..] else { panic!("not a command of ours: {command}") };
        assert!(help.contains(&format!("\n  {name} ")), "no command {name:?}");
        let known = settings_of(name);
        let flags = flags.iter().filter(|word| word.starts_with("--"));
        flags.for_each(|flag| assert!(known.contains(&format!(" {flag} ")), "{name} has no {flag}"));
        assert!(log.ends_with(".log 2>&1") && !job.command.contains('%'), "{}", job.command);
    }
    let settings = CRONTAB.lines().filter(|line| line.starts_with(|c: char| c.is_ascii_uppercase()));
    for setting in settings {
        let (name, _) = setting.split_once('=').expect("a setting of the crontab");
        let known = ["SHELL", "PATH"].contains(&name) || settings_help.contains(&format!("[env: {name}]"));
        assert!(known, "{name} is no setting of the program");
    }
}

#[test]
fn every_run_of_the_crontab_is_at_the_cut_off_in_bangkok() {
    let runs: Vec<Job> = jobs().into_iter().filter(|job| job.command.contains(" run ")).collect();
    let day = NaiveDate::from_ymd_opt(2026, 1, 18).unwrap();
    let mut zones = BTreeSet::new();
    for run in runs {
        assert_eq!((run.minutes.len(), run.hours.len()), (1, 1), "once a day: {}", run.command);
        let (hour, minute) = (*run.hours.first().unwrap(), *run.minutes.first().unwrap());
        let time = day.and_hms_opt(hour, minute, 0).unwrap();
        // The active line is for a machine in UTC, the others say Bangkok, by CRON_TZ or because the machine is there.
        let instant = match (run.active, run.zone.as_deref()) {
            (true, None) => Utc.from_utc_datetime(&time),
            (false, None | Some("Asia/Bangkok")) => {
                chrono_tz::Asia::Bangkok.from_local_datetime(&time).unwrap().to_utc()
            }
            (_, zone) => panic!("a zone that nobody checked: {zone:?}"),
        };
        assert_eq!(instant.to_rfc3339(), "2026-01-18T11:00:00+00:00");
        zones.insert((run.active, run.zone));
    }
    assert_eq!(zones.len(), 3, "UTC, local time and CRON_TZ: {zones:?}");
}

#[test]
fn retry_comes_every_five_minutes_and_never_with_run() {
    let jobs = jobs();
    let retry = jobs.iter().find(|job| job.command.contains(" retry ")).unwrap();
    assert_eq!(retry.hours.len(), 24);
    let minutes: Vec<u32> = retry.minutes.iter().copied().collect();
    assert!(minutes.windows(2).all(|pair| pair[1] - pair[0] == 5) && minutes.len() == 12, "{minutes:?}");
    assert!(
        jobs.iter().filter(|job| !job.command.contains(" retry ")).all(|run| run.minutes.is_disjoint(&retry.minutes))
    );
}

#[test]
fn systemd_accepts_the_units() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let mut units = Vec::new();
    for name in ["batch-export", "batch-export-retry", "batch-export-corrections"]
        .into_iter()
        .flat_map(|name| [format!("{name}.service"), format!("{name}.timer")])
    {
        let unit = example(&format!("systemd/{name}"));
        let unit = unit.replace("/usr/local/bin/batch-export", env!("CARGO_BIN_EXE_batch-export"));
        let path = folder.path().join(name);
        fs::write(&path, unit).unwrap();
        units.push(path);
    }
    let said = systemd_analyze(Command::new("systemd-analyze").args(["verify", "--man=no"]).args(&units));
    assert_eq!(said, "", "systemd-analyze verify has something to say");
    for service in ["batch-export.service", "batch-export-retry.service", "batch-export-corrections.service"] {
        // Of 100: what an attacker inside of the program could still reach.
        let security = ["security", "--no-pager", "--offline=yes", "--threshold=20"];
        systemd_analyze(Command::new("systemd-analyze").args(security).arg(folder.path().join(service)));
    }
}

#[test]
fn the_timers_of_systemd_start_at_the_cut_off_and_every_five_minutes() {
    let next = |timer: &str, count: usize| {
        let unit = example(&format!("systemd/{timer}"));
        let calendar = unit.lines().find_map(|line| line.strip_prefix("OnCalendar=")).expect("a calendar").to_owned();
        let iterations = format!("--iterations={count}");
        let base = "--base-time=2026-01-18 10:56:00 UTC";
        let mut command = Command::new("systemd-analyze");
        let said = systemd_analyze(command.env("TZ", "UTC").args(["calendar", &iterations, base, &calendar]));
        let instants = said
            .lines()
            .filter_map(|line| line.trim().strip_prefix("Next elapse: ").or(line.split_once(": Sun ").map(|x| x.1)));
        instants.map(|instant| instant.trim_start_matches("Sun ").to_owned()).collect::<Vec<String>>()
    };
    assert_eq!(next("batch-export.timer", 1), ["2026-01-18 11:00:00 UTC"]);
    assert_eq!(next("batch-export-retry.timer", 2), ["2026-01-18 10:57:00 UTC", "2026-01-18 11:02:00 UTC"]);
    assert_eq!(next("batch-export-corrections.timer", 1), ["2026-01-18 11:30:00 UTC"]);
}

#[test]
fn systemd_counts_waiting_as_no_failure_and_lets_a_commit_end() {
    let harmless = Exit::ALL.into_iter().filter(|exit| *exit != Exit::Ok);
    let harmless = harmless.filter(|exit| {
        let next = what_happens_next(*exit);
        next == "wait" || next.starts_with("nothing")
    });
    let codes: Vec<String> = harmless.map(|exit| exit.code().to_string()).collect();
    for name in ["systemd/batch-export.service", "systemd/batch-export-retry.service"] {
        let unit = example(name);
        assert!(unit.contains(&format!("\nSuccessExitStatus={}\n", codes.join(" "))), "{name}: {codes:?}");
        let stop = unit.lines().find_map(|line| line.strip_prefix("TimeoutStopSec=")).expect("a limit of the stop");
        assert!(stop.parse::<u64>().unwrap() > COMMIT_LIMIT.as_secs());
    }
    let same = |name: &str| example(name).replace("batch-export-retry", "batch-export");
    let (run, retry) = (same("systemd/batch-export.service"), same("systemd/batch-export-retry.service"));
    let settings = |unit: &str| unit.split_once("\nExecStart=").unwrap().1.split_once('\n').unwrap().1.to_owned();
    assert_eq!(settings(&run), settings(&retry), "the two services are equal but for the command");
    // The third one ends with 34 while there is anything to correct: people hear of it, so the unit did its work.
    let corrections =
        example("systemd/batch-export-corrections.service").replace("batch-export-corrections", "batch-export");
    assert!(corrections.contains("\nSuccessExitStatus=34\n"));
    let hardening = |unit: &str| unit.split_once("\nDynamicUser=").unwrap().1.to_owned();
    assert_eq!(hardening(&run), hardening(&corrections));
}

#[test]
fn kubernetes_accepts_the_cron_jobs() {
    let mut python = python();
    let output = python.args(["-m", "kubernetes_validate", "--strict"]).arg(example_path("kubernetes/cronjobs.yaml"));
    let output = output.output().expect("python3");
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.matches(" passed ").count() == 3, "{said}");
}

#[test]
fn kubernetes_acts_on_our_exit_codes() {
    let numbers = |severities: &[u8]| {
        let exits = Exit::ALL.into_iter().filter(|exit| severities.contains(&exit.severity()));
        exits.map(|exit| Value::from(exit.code())).collect::<Vec<Value>>()
    };
    for job in cron_jobs() {
        let rules = job["spec"]["jobTemplate"]["spec"]["podFailurePolicy"]["rules"].as_array().unwrap();
        let codes = |action: &str| {
            let rule = rules.iter().find(|rule| rule["action"] == action).expect("a rule");
            assert_eq!(
                (&rule["onExitCodes"]["operator"], &rule["onExitCodes"]["containerName"]),
                (&"In".into(), &"batch-export".into())
            );
            rule["onExitCodes"]["values"].as_array().unwrap().clone()
        };
        assert_eq!(codes("FailJob"), numbers(&[3, 4]), "these need a person");
        assert_eq!(codes("Count"), numbers(&[1, 2]), "these wait or are retried");
        let gone = rules.iter().find(|rule| rule["action"] == "Ignore").expect("a rule for a node that went away");
        assert_eq!(gone["onPodConditions"], serde_json::json!([{"type": "DisruptionTarget", "status": "True"}]));
    }
}

#[test]
fn kubernetes_starts_at_the_cut_off_and_never_cuts_a_commit_short() {
    let jobs = cron_jobs();
    let mut pods: Vec<Value> = Vec::new();
    assert_eq!(jobs.len(), 3);
    for (job, command) in jobs.iter().zip(["run", "retry", "corrections"]) {
        let spec = &job["spec"];
        assert_eq!((&spec["timeZone"], &spec["concurrencyPolicy"]), (&"Asia/Bangkok".into(), &"Forbid".into()));
        assert_eq!(spec["jobTemplate"]["spec"]["backoffLimit"], 0, "the pass has its own back-off");
        let mut pod = spec["jobTemplate"]["spec"]["template"]["spec"].clone();
        assert!(pod["terminationGracePeriodSeconds"].as_u64().unwrap() > COMMIT_LIMIT.as_secs());
        let args = pod["containers"][0]["args"].take();
        let expected = match command {
            "corrections" => serde_json::json!(["corrections", "--tell", "--last", "400"]),
            _ => serde_json::json!([command]),
        };
        assert_eq!(args, expected);
        assert_eq!(pod["containers"][0]["image"], IMAGE);
        let help = settings_of(command);
        for variable in pod["containers"][0]["env"].as_array().unwrap() {
            let name = variable["name"].as_str().unwrap();
            assert!(help.contains(&format!("[env: {name}]")), "{name} is no setting of the program");
        }
        pods.push(pod);
    }
    assert_eq!(
        (&jobs[0]["spec"]["schedule"], &jobs[1]["spec"]["schedule"]),
        (&"0 18 * * *".into(), &"2-59/5 * * * *".into())
    );
    assert_eq!(jobs[2]["spec"]["schedule"], "30 18 * * *");
    assert_eq!(pods[0], pods[1], "the two pods are equal but for the command");
    pods.iter_mut().for_each(|pod| drop(pod["containers"][0]["env"].take()));
    assert_eq!(pods[0], pods[2], "the third one is equal but for the command and whom it tells");
}

#[test]
fn the_container_examples_are_whole() {
    let compose = &yaml("docker/compose.yaml")[0];
    let service = &compose["services"]["batch-export"];
    assert_eq!(service["build"]["dockerfile"], "examples/docker/Dockerfile");
    let grace = service["stop_grace_period"].as_str().and_then(|text| text.strip_suffix('s'));
    assert!(grace.expect("seconds").parse::<u64>().unwrap() > COMMIT_LIMIT.as_secs());
    let mongod = compose["services"]["mongodb"]["command"].to_string();
    assert!(mongod.contains("--replSet"), "{mongod}");
    let file = example("docker/Dockerfile");
    let user = file.lines().find_map(|line| line.strip_prefix("USER ")).expect("a user");
    assert!(!user.starts_with('0') && !user.starts_with("root"));
    assert!(file.contains("\nENTRYPOINT [\"/usr/local/bin/batch-export\"]\n"), "a shell would keep the signals");
    assert!(file.contains("\nFROM scratch\n"), "the last stage should hold the program alone");
    assert_eq!(file.matches(" batch-export:").count(), file.matches(&format!(" {IMAGE} ")).count(), "another version");
    assert!(!file.starts_with("# syntax"), "one more image, which closed registries do not have");
    let stop = file.split_once(" --stop-timeout ").and_then(|(_, rest)| rest.split_whitespace().next());
    assert!(stop.expect("a limit of the stop").parse::<u64>().unwrap() > COMMIT_LIMIT.as_secs());
    assert!(file.contains(&format!("A commit may take {} s", COMMIT_LIMIT.as_secs())));
    let keeps_the_compiled = file.contains("target=/src/target");
    assert!(
        !keeps_the_compiled || file.contains("touch src/lib.rs src/main.rs && cargo build"),
        "older sources would not count"
    );
}

/// The help of a command on one line: a long line of it is broken anywhere between two words.
fn settings_of(command: &str) -> String {
    let help = BatchExport::command(command).arg("--help").run().expect_code(0).stdout;
    help.split_whitespace().collect::<Vec<&str>>().join(" ")
}

fn jobs() -> Vec<Job> {
    let mut jobs = Vec::new();
    let mut zone = None;
    for line in CRONTAB.lines() {
        let text = line.strip_prefix('#').unwrap_or(line);
        if let Some(name) = text.strip_prefix("CRON_TZ=") {
            zone = Some(name.to_owned());
        } else if text.starts_with(|c: char| c.is_ascii_digit() || c == '*') {
            let fields: Vec<&str> = text.split_whitespace().take(5).collect();
            assert_eq!(fields[2..], ["*", "*", "*"], "every day: {line}");
            jobs.push(Job {
                active: !line.starts_with('#'),
                zone: zone.take(),
                minutes: field(fields[0], 59),
                hours: field(fields[1], 23),
                command: text.split_whitespace().skip(5).collect::<Vec<&str>>().join(" "),
            });
        }
    }
    jobs
}

/// A field of cron: `*`, `5`, `2-59`, each with `/step`.
fn field(text: &str, last: u32) -> BTreeSet<u32> {
    let (range, step) = text.split_once('/').unwrap_or((text, "1"));
    let (first, last) = match range.split_once('-') {
        Some((first, end)) => (first.parse().expect("a number"), end.parse().expect("a number")),
        None if range == "*" => (0, last),
        None => (range.parse().expect("a number"), range.parse().expect("a number")),
    };
    (first..=last).step_by(step.parse().expect("a number")).collect()
}

fn example_path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(name)
}

fn example(name: &str) -> String {
    fs::read_to_string(example_path(name)).unwrap_or_else(|error| panic!("examples/{name}: {error}"))
}

/// Runs it, and returns what it said; fails the test if it fails.
fn systemd_analyze(command: &mut Command) -> String {
    let output = command.output().expect("systemd-analyze, which need not run as the first process");
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}:\n{said}");
    said
}

fn cron_jobs() -> Vec<Value> {
    yaml("kubernetes/cronjobs.yaml")
}

/// The documents of a YAML file, as Python's parser reads it.
fn yaml(name: &str) -> Vec<Value> {
    let program = "import json, sys, yaml; print(json.dumps(list(yaml.safe_load_all(open(sys.argv[1])))))";
    let output = python().args(["-c", program]).arg(example_path(name)).output().expect("python3");
    assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// Python with the validator of Kubernetes' schemas, which is installed once, into target/.
fn python() -> Command {
    let target = target();
    let folder = target.join(KUBERNETES_VALIDATE.replace("==", "-"));
    let _turn = lock(&target.join("kubernetes-validate.lock"));
    if !folder.exists() {
        let fresh = tempfile::Builder::new().prefix("kubernetes-validate.").tempdir_in(target).unwrap();
        let install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary", ":all:"];
        let mut pip = Command::new("python3");
        let pip = pip.args(install).args([KUBERNETES_VALIDATE, "--target"]).arg(fresh.path());
        let output = pip.output().expect("python3 with pip");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{KUBERNETES_VALIDATE} cannot be installed from PyPI:\n{said}");
        // Complete or not there at all.
        fs::rename(fresh.keep(), &folder).expect("the installed validator");
    }
    let mut python = Command::new("python3");
    python.env("PYTHONPATH", folder).env("PYTHONDONTWRITEBYTECODE", "1");
    python
}

/// One installs while the others wait, in this process or in another.
fn lock(path: &Path) -> fs::File {
    let file = fs::File::create(path).expect("a lock file");
    rustix::fs::flock(&file, rustix::fs::FlockOperation::LockExclusive).expect("a lock");
    file
}
