//! No secret is shown: not in the log at its highest level, not in the result, not in a document, and not when a server
//! says it to us.
//!
//! Every cell of the matrix is searched too; here are the text format, the other credentials, and servers that echo what they got.

use super::{check_failed, check_no_secret, check_result, day_of_three_chunks, first, html, outspoken};
use crate::support::command::BatchExport;
use crate::support::day::Day;
use crate::support::fake_drive::{Answer, Fault, On, Operation};
use crate::support::receiver::{Receiver, Reply};
use crate::support::seed::{DATE, seed_day};

use Operation::{Chunk, GenerateIds, Start, Status, Token};

fn in_text(command: BatchExport) -> BatchExport {
    outspoken(command).env("BATCH_EXPORT_LOG_FORMAT", "text")
}

fn in_json(command: BatchExport) -> BatchExport {
    outspoken(command)
}

#[test]
fn a_run_that_meets_trouble_everywhere_tells_no_secret() {
    for talk in [in_text, in_json] {
        for person in [false, true] {
            let day = day_of_three_chunks();
            if person {
                std::fs::write(day.credentials(), day.drive().authorized_user()).expect("the credentials");
            }
            for operation in [Token, GenerateIds, Start] {
                day.drive().plan(first(operation), Fault::reset());
            }
            day.drive().plan(first(Chunk), Fault::lost_answer());
            day.drive().plan(first(Status), html(503));
            day.drive().plan(day.drive().next(Token), html(503));
            let ended = talk(day.run()).run().expect_code(0);
            check_result(&day, &ended.json(), false);
            check_no_secret(&day, &ended);
            // What is looked for is there, and so is the log in which it is looked for.
            let secrets = day.drive().secrets();
            assert!(secrets.iter().any(|secret| secret.starts_with("ya29.")) && secrets.len() >= 4, "{secrets:?}");
            assert!(ended.stderr.lines().count() >= 6, "{}", ended.report());
        }
    }
}

#[test]
fn what_a_server_echoes_is_masked() {
    for talk in [in_text, in_json] {
        for (operation, code) in [(Token, 31), (GenerateIds, 31), (Start, 31), (Chunk, 22)] {
            let day = Day::on_drive();
            seed_day(&day.db, DATE, 3);
            std::fs::write(day.credentials(), day.drive().authorized_user()).expect("the credentials");
            let secrets = day.drive().secrets();
            let [.., refresh_token, client_secret] = &secrets[..] else { panic!("two secrets of a person") };
            let echo = format!("you sent {refresh_token} and {client_secret}");
            let answer = match operation {
                Token => Answer::token_error(400, "invalid_grant", &echo),
                Chunk => Answer::text(503, &echo),
                _ => Answer::text(403, &echo),
            };
            day.drive().plan(On::every(operation), Fault::answer(answer));
            let ended = talk(day.run()).run().expect_code(code);
            check_failed(&day, &ended, "you sent *** and ***");
            check_no_secret(&day, &ended);
        }
    }
}

/// The beginning of a secret would be enough to look for the rest.
#[test]
fn an_echo_that_is_cut_in_a_secret_shows_no_part_of_it() {
    let day = Day::on_drive();
    seed_day(&day.db, DATE, 3);
    std::fs::write(day.credentials(), day.drive().authorized_user()).expect("the credentials");
    let secrets = day.drive().secrets();
    let [.., refresh_token, client_secret] = &secrets[..] else { panic!("two secrets of a person") };
    for (at, operation) in [Token, GenerateIds, Start, Chunk].into_iter().cycle().take(16).enumerate() {
        // The quotation is cut at 300 characters.
        let echo = format!("{}{refresh_token} {client_secret}", "x".repeat(299 - 4 * at));
        let answer = match operation {
            Token => Answer::token_error(400, "invalid_grant", &echo),
            _ if at % 8 < 4 => Answer::error_saying(403, "domainPolicy", &echo),
            _ => Answer::text(503, &echo),
        };
        day.drive().plan(On::every(operation), Fault::answer(answer));
        let ended = outspoken(day.command("run").date(DATE).arg("--now")).run();
        day.drive().cure();
        assert_ne!(ended.code, 0, "{}", ended.report());
        let shown = format!("{}{}", ended.report(), day.batch());
        assert!(shown.contains("xxxxxxxx"), "nothing is quoted: {}", ended.report());
        for secret in [refresh_token, client_secret] {
            assert!(!shown.contains(&secret[..8]), "{secret} at {operation:?} {at}: {}", ended.report());
        }
    }
}

#[test]
fn a_signed_request_that_is_echoed_is_masked() {
    let parrot = Receiver::answering(|posted, _| {
        let body = serde_json::json!({"error": "invalid_grant", "error_description": format!("I do not like {}", posted.body)});
        Reply::saying(400, body.to_string()).header("content-type", "application/json")
    });
    let day = Day::on_drive();
    seed_day(&day.db, DATE, 3);
    let key = std::fs::read_to_string(day.credentials()).expect("the key");
    let mut key: serde_json::Value = serde_json::from_str(&key).expect("JSON");
    key["token_uri"] = parrot.url("/token").into();
    std::fs::write(day.credentials(), key.to_string()).expect("the key");
    let ended = outspoken(day.run()).run();
    assert_eq!(ended.code, 31, "{}", ended.report());
    let sent = parrot.posted();
    assert!(sent[0].body.contains("assertion=eyJ"), "{sent:?}");
    let shown = ended.report();
    assert!(shown.contains("I do not like ") && shown.contains("assertion=***"), "{shown}");
    assert!(!shown.contains("eyJ"), "{shown}");
}
