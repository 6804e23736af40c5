//! Each kind of webhook takes what it is sent, however long it is, and says why when it does not.

use std::collections::BTreeSet;

use mongodb::bson::{DateTime, doc};
use serde_json::json;

use super::{WEBHOOK, telling};
use crate::support::command::BatchExport;
use crate::support::day::{BATCH, BATCHES, Day};
use crate::support::receiver::{Posted, Receiver, Reply};
use crate::support::seed::{DATE, Entry, seed, seed_day};
use crate::support::services::{CHAT, KINDS, TOKEN, reply, service};

/// A command that tells through a service that is as strict as the real one.
fn through(command: BatchExport, kind: &str, path: &str, service: &Receiver) -> BatchExport {
    command
        .env("BATCH_EXPORT_NOTIFY_URL", &service.url(path))
        .env("BATCH_EXPORT_NOTIFY_KIND", kind)
        .env("BATCH_EXPORT_NOTIFY_TOKEN", TOKEN)
        .env("BATCH_EXPORT_NOTIFY_TO", CHAT)
}

#[test]
fn each_service_takes_a_failure_and_a_success_however_long_their_texts_are() {
    let long = format!("@everyone <!channel> <users/all> {}", "ค่าเช่า 𠮷".repeat(700));
    for (kind, path) in KINDS {
        let (day, service) = (Day::in_directory(), Receiver::answering(service(kind)));
        seed(&day.db, &[Entry::numbered(DATE, 0).set("status", long.as_str()), Entry::numbered(DATE, 1)]);
        let command = through(day.run(), kind, path, &service);
        let finished = command.run().expect_code(32);
        assert!(finished.stderr.contains("the webhook was notified"), "{kind}: {}", finished.report());
        let finished = command.env("BATCH_EXPORT_INVALID", "hold").arg("--now").run().expect_code(0);
        assert!(finished.stderr.contains("the webhook was notified"), "{kind}: {}", finished.report());
        assert_eq!(service.complaints(), Vec::<String>::new(), "{kind}");
        assert_eq!(service.posted().len(), 2, "{kind}");
        assert!(service.posted()[1].body.contains("import batch_2026-01-18.csv"), "{kind}: {:?}", service.posted()[1]);
    }
}

#[test]
fn line_delivers_what_two_databases_say_of_one_day_and_drops_what_one_says_twice() {
    let line = Receiver::answering(service("line"));
    let days = [Day::in_directory(), Day::in_directory()];
    for day in &days {
        seed_day(&day.db, DATE, 2);
        let run = through(day.run(), "line", "/v2/bot/message/push", &line);
        let finished = run.run().expect_code(0);
        assert!(finished.stderr.contains("the webhook was notified\n"), "{}", finished.report());
    }
    let posted = line.posted();
    assert_eq!((posted.len(), line.complaints()), (2, Vec::new()));
    for (day, posted) in days.iter().zip(&posted) {
        assert!(posted.body.contains(&format!("\\nDatabase: {}\\n", day.db.name())), "{posted:?}");
    }
    // The answer was lost: the same event once more, and to another chat.
    let again = doc! { "event": "completed", "attempt": 1, "fence": 1_i64, "since": DateTime::now() };
    let tell_again = |chat: &str| {
        days[0].db.update_one(BATCHES, doc! { "_id": BATCH }, doc! { "$set": { "untold": &again } });
        let retry = through(days[0].retry(), "line", "/v2/bot/message/push", &line);
        retry.env("BATCH_EXPORT_NOTIFY_TO", chat).run().expect_code(0)
    };
    let finished = tell_again(CHAT);
    assert!(finished.stderr.contains("the webhook was notified: it answered 409"), "{}", finished.report());
    assert!(days[0].batch().get("untold").is_none());
    tell_again("C0000000000");
    let keys: BTreeSet<String> =
        line.posted().iter().filter_map(|posted| posted.header("x-line-retry-key").map(str::to_owned)).collect();
    assert_eq!((line.posted().len(), keys.len()), (4, 3));
}

#[test]
fn the_services_of_the_tests_refuse_what_the_real_ones_refuse() {
    let card = |content: serde_json::Value| json!({ "type": "message", "attachments": [{ "contentType": "application/vnd.microsoft.card.adaptive", "content": content }] });
    for (kind, target, body) in [
        (
            "discord",
            "/",
            json!({ "embeds": [{ "title": "T", "description": "D", "fields": [] }], "allowed_mentions": {} }),
        ),
        ("slack", "/", json!({ "text": "T", "blocks": [{ "type": "header", "text": { "text": "x".repeat(151) } }] })),
        ("google-chat", "/", json!({ "text": "T", "id": "batch" })),
        ("google-chat", "/", json!({ "text": "x".repeat(4_097) })),
        (
            "teams",
            "/",
            card(json!({ "type": "AdaptiveCard", "version": "1.4", "body": [{ "type": "Text", "text": "T" }] })),
        ),
        ("teams", "/", json!({ "text": "T" })),
        ("telegram", "/bot123456:s3cret-token-of-the-webhook/sendMessage", json!({ "text": "T" })),
        ("telegram", "/bot123456:s3cret-token-of-the-webhook", json!({ "chat_id": CHAT, "text": "T" })),
        ("line", "/v2/bot/message/push", json!({ "to": CHAT, "messages": [{ "type": "text", "text": "T" }] })),
    ] {
        let posted =
            Posted { method: "POST".into(), target: target.into(), headers: Vec::new(), body: body.to_string() };
        assert_eq!(reply(kind, &posted).status, 400, "{kind} took {body}");
    }
}

#[test]
fn a_chat_service_without_a_chat_is_a_wrong_setting() {
    let day = Day::in_directory();
    seed_day(&day.db, DATE, 1);
    for kind in ["telegram", "line"] {
        let command =
            day.run().env("BATCH_EXPORT_NOTIFY_URL", "http://127.0.0.1:9/bot1").env("BATCH_EXPORT_NOTIFY_KIND", kind);
        let finished = command.run().expect_code(30);
        let error = finished.json()["error"].to_string();
        assert!(error.contains("--notify-to is not set") && error.contains(kind), "{error}");
    }
    day.run().env("BATCH_EXPORT_NOTIFY_URL", "https://api.telegram.org/bot1:x").run().expect_code(30);
    assert_eq!(day.rows_with_status("queued"), 1);
}

#[test]
fn line_without_a_token_is_a_wrong_setting() {
    let day = Day::in_directory();
    seed_day(&day.db, DATE, 1);
    for (url, kind) in [("http://127.0.0.1:9/push", Some("line")), ("https://api.line.me/v2/bot/message/push", None)] {
        let command = day.run().env("BATCH_EXPORT_NOTIFY_URL", url).env("BATCH_EXPORT_NOTIFY_TO", CHAT);
        let command = kind.map_or(command.clone(), |kind| command.env("BATCH_EXPORT_NOTIFY_KIND", kind));
        let error = command.run().expect_code(30).json()["error"].to_string();
        assert!(error.contains("--notify-token is not set") && error.contains("line"), "{error}");
    }
    assert_eq!(day.rows_with_status("queued"), 1);
}

#[test]
fn a_refusal_is_quoted_on_one_line_cut_and_without_what_is_secret() {
    let day = Day::in_directory();
    seed_day(&day.db, DATE, 1);
    let token = tempfile::NamedTempFile::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    std::fs::write(token.path(), format!("{TOKEN}\n")).unwrap();
    let people = Receiver::answering(|posted, _| {
        let sent = posted.header("authorization").unwrap_or_default().to_owned();
        let webhook = posted.target.rsplit('/').next().unwrap_or_default().to_owned();
        Reply::saying(400, format!("no such webhook:\n{webhook} {sent} {}", "xxx ".repeat(1_500)))
    });
    let command = telling(day.run(), &people)
        .env("BATCH_EXPORT_NOTIFY_TOKEN", &format!("file:{}", token.path().display()))
        .args(&["-v", "-v"]);
    let finished = command.run().expect_code(0);
    assert_eq!(people.posted()[0].header("authorization"), Some(format!("Bearer {TOKEN}").as_str()));
    let line = finished.stderr.lines().find(|line| line.contains("the webhook was not notified")).expect("a warning");
    assert!(line.contains("it answered 400 Bad Request: no such webhook: *** Bearer *** xxx"), "{line}");
    assert!(line.len() < 500, "{line}");
    assert!(!finished.report().contains("s3cret") && WEBHOOK.contains("s3cret"), "{}", finished.report());
}

#[test]
fn a_relay_that_answers_302_after_its_work_has_told_people() {
    for (kind, told) in [("json", true), ("text", true), ("slack", false)] {
        let (day, people) = (
            Day::in_directory(),
            Receiver::answering(|_, _| {
                Reply::of(302).header("Location", "https://script.googleusercontent.com/macros/echo?k=1")
            }),
        );
        seed_day(&day.db, DATE, 1);
        let finished = telling(day.run(), &people).env("BATCH_EXPORT_NOTIFY_KIND", kind).run().expect_code(0);
        assert_eq!(
            finished.stderr.contains("the webhook was notified: it answered 302"),
            told,
            "{}",
            finished.report()
        );
        assert_eq!(finished.stderr.contains("the webhook was not notified"), !told, "{}", finished.report());
        assert_eq!(people.posted().len(), 1);
    }
}

#[test]
fn a_redirect_to_a_page_to_sign_in_or_to_the_same_place_elsewhere_has_told_nobody() {
    let day = Day::in_directory();
    let tells = |status: u16, location: &'static str| {
        let people = Receiver::answering(move |posted, _| {
            let (host, port) = posted.header("host").and_then(|host| host.rsplit_once(':')).unwrap_or_default();
            let location = location.replace("HOST:PORT", &format!("{host}:{port}")).replace("HOST", host);
            if location.is_empty() { Reply::of(status) } else { Reply::of(status).header("Location", &location) }
        });
        let doctor = through(day.command("doctor").arg("--send"), "json", "/macros/s/x/exec", &people);
        doctor.run().json()["checks"].to_string().contains("was sent, and it answered 302")
    };
    assert!(tells(302, "https://script.googleusercontent.com/macros/echo?user_content_key=k"));
    assert!(tells(302, ""));
    for location in [
        "https://accounts.google.com/ServiceLogin?continue=x",
        "https://login.microsoftonline.com/common/oauth2/authorize?client_id=x",
        "/login",
        "/users/sign_in?back=1",
        "http://HOST:PORT/Login.aspx",
        "https://HOST/macros/s/x/exec",
        "https://HOST/",
        "http://other.example/macros/s/x/exec",
    ] {
        assert!(!tells(302, location), "{location}");
    }
    assert!(!tells(301, "https://elsewhere.example/"));
}

#[test]
fn a_service_that_says_no_with_a_success_has_told_nobody() {
    for (kind, said) in [
        (
            "teams",
            "Webhook message delivery failed with error: Microsoft Teams endpoint returned HTTP error 429 with ...",
        ),
        ("json", "OK (rate limited)"),
    ] {
        let (day, people) = (Day::in_directory(), Receiver::answering(move |_, _| Reply::saying(200, said)));
        seed_day(&day.db, DATE, 1);
        let finished = telling(day.run(), &people).env("BATCH_EXPORT_NOTIFY_KIND", kind).run().expect_code(0);
        let warning = format!("the webhook was not notified: it answered 200 OK: {said}");
        assert!(finished.stderr.contains(&warning), "{}", finished.report());
        assert!(day.batch().get("untold").is_some());
    }
}

#[test]
fn a_group_of_telegram_is_a_negative_number_and_the_address_may_be_that_of_a_tutorial() {
    let (day, telegram) = (Day::in_directory(), Receiver::start(Some(200)));
    let copied = ["", "/", "/sendMessage", "/sendMessage/", "/sendMessage?chat_id=-1001234&text=hi", "?chat_id=-1"];
    for copied in copied {
        let doctor = through(day.command("doctor").arg("--send"), "telegram", &format!("/bot1:x{copied}"), &telegram);
        doctor.args(&["--notify-to", "-1001234567890"]).run();
        assert_eq!(telegram.posted().last().map(|posted| &*posted.target), Some("/bot1:x/sendMessage"), "{copied}");
    }
    assert!(telegram.messages().iter().all(|message| message["chat_id"] == "-1001234567890"));
    assert_eq!(telegram.messages().len(), copied.len());
}

/// Parts of an address are masked where an answer is quoted, and nowhere else: many are words.
#[test]
fn the_words_of_an_address_stay_in_results_messages_and_documents() {
    let (day, people) = (Day::in_directory(), Receiver::start(Some(200)));
    seed_day(&day.db, DATE, 1);
    let folder = day.directory().join("accounting");
    let address = people.url("/automations/direct/accounting/completed/export?threadKey=batch-export&name=directory");
    let run = || {
        let run =
            day.run().destination(&format!("file://{}", folder.display())).env("BATCH_EXPORT_NOTIFY_URL", &address);
        run.env("BATCH_EXPORT_NOTIFY_KIND", "json")
    };
    let refused = run().run().expect_code(31);
    std::fs::create_dir(&folder).unwrap();
    let done = run().arg("--now").run().expect_code(0);
    let messages = people.messages();
    let texts =
        [refused.stdout, done.stdout, day.batch().to_string(), messages[0].to_string(), messages[1].to_string()];
    for text in texts {
        assert!(!text.contains("***"), "{text}");
    }
    let link = messages[1]["result"]["file"]["link"].as_str().unwrap();
    assert!(messages[1]["event"] == "completed" && link.contains("/accounting/batch_"), "{}", messages[1]);
}

#[test]
fn an_address_of_line_notify_is_refused_with_the_way_on() {
    let day = Day::in_directory();
    let run = day.run().env("BATCH_EXPORT_NOTIFY_URL", "https://notify-api.line.me/api/notify");
    let error = run.run().expect_code(30).json()["error"].to_string();
    for word in ["BATCH_EXPORT_NOTIFY_URL", "LINE Notify, which has ended", "https://api.line.me/v2/bot/message/push"] {
        assert!(error.contains(word), "{error}");
    }
}

#[test]
fn each_part_of_an_address_is_masked_where_a_receiver_repeats_it_and_words_stay() {
    let day = Day::in_directory();
    let words = "accounting in the directory: batch-export, completed, services";
    for (path, said, shown) in [
        ("/bot123456:AAe-t0ken-tg/sendMessage", "no bot 123456:AAe-t0ken-tg, nor AAe-t0ken-tg", "no bot ***, nor ***"),
        (
            "/workflows/w0rkfl0w/invoke?sp=%2Frun&sig=q7/Z%2Bk_9x",
            "q7/Z%2Bk_9x, q7/Z+k_9x, w0rkfl0w and sp=%2Frun&sig=q7/Z%2Bk_9x",
            "***, ***, *** and ***",
        ),
        ("/in/h4nd-made", "POST /in/h4nd-made: h4nd-made is unknown", "POST /***: *** is unknown"),
        ("/hooks/s3cr/x9", "Cannot POST /hooks/s3cr/x9: s3cr", "Cannot POST /***: ***"),
        ("/services/accounting/batch-export/direct?wait=true&kind=completed", words, words),
    ] {
        let receiver = Receiver::answering(move |_, _| Reply::saying(404, said));
        let doctor = through(day.command("doctor").arg("--send"), "json", path, &receiver);
        let checks = doctor.run().json()["checks"].to_string();
        assert!(checks.contains(&format!("it answered 404 Not Found: {shown}\"")), "{path}: {checks}");
    }
}

/// What is read of an answer is cut before it can be masked.
#[test]
fn an_answer_that_breaks_off_in_a_secret_shows_no_part_of_it() {
    let day = Day::in_directory();
    for at in (4_060..4_100).step_by(8) {
        let receiver = Receiver::answering(move |posted, _| {
            let token = posted.header("authorization").unwrap_or_default().to_owned();
            Reply::saying(404, format!("no{}{token} at {}", " ".repeat(at - 9), posted.target))
        });
        let doctor = through(day.command("doctor").arg("--send"), "json", "/hooks/H00kPathS3cretXYZ987", &receiver);
        let finished = doctor.run();
        let shown = finished.report();
        assert!(shown.contains("404 Not Found: no"), "{shown}");
        assert!(!shown.contains(&TOKEN[..4]) && !shown.contains("H00k"), "{at}: {shown}");
    }
}
