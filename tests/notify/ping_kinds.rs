//! The health checks that are no Healthchecks.

use crate::support::day::Day;
use crate::support::receiver::Receiver;
use crate::support::seed::{DATE, seed_day};

/// What a failed run, a second trigger and a good run send to a health check of this kind.
fn pings(kind: Option<&str>, path: &str) -> Vec<(String, String)> {
    let (day, check) = (Day::in_directory(), Receiver::start(Some(200)));
    seed_day(&day.db, DATE, 3);
    let pinging = || {
        let command = day.run().env("BATCH_EXPORT_PING_URL", &check.url(path));
        kind.map_or(command.clone(), |kind| command.env("BATCH_EXPORT_PING_KIND", kind))
    };
    pinging().destination("file:///nowhere/at/all").run().expect_code(31);
    pinging().run().expect_code(11);
    pinging().arg("--now").run().expect_code(0);
    check.posted().into_iter().map(|posted| (posted.method, posted.target)).collect()
}

#[test]
fn a_plain_check_is_pinged_after_a_success_and_at_no_other_time() {
    assert_eq!(pings(Some("plain"), "/ping?key=abc"), [("GET".to_owned(), "/ping?key=abc".to_owned())]);
}

#[test]
fn uptime_kuma_is_told_up_or_down_and_why() {
    for kind in [None, Some("kuma")] {
        let sent = pings(kind, "/api/push/abc?status=up&msg=OK&ping=");
        let targets: Vec<&str> = sent.iter().map(|(_, target)| target.as_str()).collect();
        assert_eq!(targets.len(), 2, "{targets:?}");
        assert!(targets[0].starts_with("/api/push/abc?status=down&msg=drive_rejected"), "{targets:?}");
        assert!(targets[1].starts_with("/api/push/abc?status=up&msg=ok"), "{targets:?}");
        assert!(sent.iter().all(|(method, target)| method == "GET" && !target.contains("msg=OK")), "{sent:?}");
    }
}

#[test]
fn an_unknown_kind_is_a_wrong_setting() {
    let day = Day::in_directory();
    let finished = day.run().env("BATCH_EXPORT_PING_KIND", "cronitor").run().expect_code(30);
    assert!(finished.json()["error"].to_string().contains("healthchecks, plain, kuma"), "{}", finished.report());
}
