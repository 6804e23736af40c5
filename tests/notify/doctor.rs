//! `doctor --send`: whether messages and pings arrive, before the first day that depends on them.

use serde_json::Value;

use crate::support::command::BatchExport;
use crate::support::day::Day;
use crate::support::receiver::{Receiver, Reply};
use crate::support::seed::{DATE, seed_day};
use crate::support::services::{CHAT, KINDS, TOKEN, service};

fn doctor(day: &Day) -> BatchExport {
    day.command("doctor").now(&chrono::Utc::now().to_rfc3339())
}

fn check(result: &Value, name: &str) -> (String, String) {
    let checks = result["checks"].as_array().expect("checks");
    let check = checks.iter().find(|check| check["name"] == name).expect(name);
    let text = |field: &str| check[field].as_str().unwrap_or_default().to_owned();
    (text("verdict"), text("found"))
}

#[test]
fn a_test_message_arrives_at_each_service_and_says_that_it_is_a_test() {
    let day = Day::in_directory();
    seed_day(&day.db, DATE, 1);
    for (kind, path) in KINDS {
        let service = Receiver::answering(service(kind));
        let command = doctor(&day)
            .env("BATCH_EXPORT_NOTIFY_URL", &service.url(path))
            .env("BATCH_EXPORT_NOTIFY_KIND", kind)
            .env("BATCH_EXPORT_NOTIFY_TOKEN", TOKEN)
            .env("BATCH_EXPORT_NOTIFY_TO", CHAT);
        let result = command.run().expect_code(0).json();
        let (verdict, found) = check(&result, "notification");
        assert!(verdict == "ok" && found.contains("not tried"), "{kind}: {found}");
        assert!(service.posted().is_empty());
        let result = command.arg("--send").run().expect_code(0).json();
        assert_eq!(service.complaints(), Vec::<String>::new(), "{kind}");
        let (verdict, found) = check(&result, "notification");
        assert!(verdict == "ok" && found.contains("a test was sent, and it answered 20"), "{kind}: {found}");
        let body = &service.posted()[0].body;
        assert!(body.contains("Test of batch-export") && body.contains("this is about no batch"), "{kind}: {body}");
    }
}

#[test]
fn a_test_that_does_not_arrive_is_a_finding_with_its_fix() {
    let day = Day::in_directory();
    let service = Receiver::answering(|_, _| Reply::saying(404, r#"{"message": "Unknown Webhook"}"#));
    let command = doctor(&day)
        .env("BATCH_EXPORT_NOTIFY_URL", &service.url("/hook/s3cret-token-of-the-webhook"))
        .env("BATCH_EXPORT_PING_URL", &service.url("/ping/s3cret-token-of-the-check"))
        .arg("--send");
    let finished = command.run().expect_code(34);
    for name in ["notification", "ping"] {
        let (verdict, found) = check(&finished.json(), name);
        assert!(verdict == "bad" && found.contains("404 Not Found: {\"message\": \"Unknown Webhook\"}"), "{found}");
    }
    assert!(!finished.report().contains("s3cret"), "{}", finished.report());
}

#[test]
fn a_test_ping_changes_no_state_where_the_kind_has_a_way_for_it_and_else_says_that_it_is_one() {
    for (kind, path, sent) in [
        ("healthchecks", "/ping/abc", "/ping/abc/log?rid="),
        ("kuma", "/api/push/abc", "/api/push/abc?status=up&msg=a+test+of+"),
        ("plain", "/ping/abc", "/ping/abc"),
    ] {
        let (day, health_check) = (Day::in_directory(), Receiver::start(Some(200)));
        seed_day(&day.db, DATE, 1);
        let command = doctor(&day)
            .env("BATCH_EXPORT_PING_URL", &health_check.url(path))
            .env("BATCH_EXPORT_PING_KIND", kind)
            .arg("--send");
        command.run().expect_code(0);
        let pings = health_check.posted();
        assert!(pings.len() == 1 && pings[0].target.starts_with(sent), "{kind}: {pings:?}");
    }
}

#[test]
fn a_health_check_that_does_not_exist_is_found_although_it_answers_200() {
    let day = Day::in_directory();
    let service = Receiver::answering(|_, _| Reply::saying(200, "OK (not found)"));
    let finished = doctor(&day).env("BATCH_EXPORT_PING_URL", &service.url("/no-such-uuid")).arg("--send").run();
    let result = finished.expect_code(34).json();
    let (verdict, found) = check(&result, "ping");
    assert!(verdict == "bad" && found.ends_with("it answered 200 OK: OK (not found)"), "{found}");
    let fixes = result["checks"].as_array().unwrap().iter().find(|check| check["name"] == "ping").unwrap();
    assert_eq!(fixes["fix"], "correct its address or kind, or the network; then run `batch-export doctor --send`");
}

#[test]
fn a_pushgateway_gets_a_push_without_metrics() {
    for (status, verdict, says) in
        [(200, "ok", "a push without metrics was sent, and it answered 200"), (401, "bad", "401")]
    {
        let (day, gateway) = (Day::in_directory(), Receiver::start(Some(status)));
        seed_day(&day.db, DATE, 1);
        let command = doctor(&day).env("BATCH_EXPORT_METRICS_URL", &gateway.url("/"));
        let (before, found) = check(&command.run().json(), "metrics push");
        assert!(before == "ok" && found.contains("not tried"), "{found}");
        let (after, found) = check(&command.arg("--send").run().json(), "metrics push");
        assert!(after == verdict && found.contains(says), "{found}");
        let pushed = gateway.posted();
        let target = format!("/metrics/job/batch_export/database/{}", day.db.name());
        assert_eq!((pushed.len(), pushed[0].target.as_str(), pushed[0].body.as_str()), (1, target.as_str(), ""));
    }
}

#[test]
fn a_metrics_file_that_cannot_be_written_is_found_before_a_run_warns_of_it() {
    let day = Day::in_directory();
    seed_day(&day.db, DATE, 1);
    let folder = tempfile::tempdir().unwrap();
    for (name, code, verdict, says) in [
        ("batch.prom", 0, "ok", "can be written"),
        ("batch.txt", 0, "warning", "node_exporter reads only names that end in .prom"),
        ("missing/batch.prom", 34, "bad", "No such file"),
        ("", 34, "bad", "is no regular file"),
    ] {
        let path = folder.path().join(name);
        let command = doctor(&day).args(&["--metrics-file", path.to_str().unwrap()]);
        let (is, found) = check(&command.run().expect_code(code).json(), "metrics file");
        assert!(is == verdict && found.contains(says), "{found}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "something is left behind");
    }
}
