//! `batch-export auth`: a person's consent, given once, ends in a private file, and nobody else's answer is taken for it.

use std::collections::HashMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use url::Url;

use crate::support::browser::{Browser, answer, get, wait_until};
use crate::support::command::{BatchExport, Running, told};

const PATIENCE: Duration = Duration::from_secs(30);
const CLIENT_SECRET: &str = "GOCSPX-a-client-secret";
const REFRESH_TOKEN: &str = "1//a-refresh-token";
const SCOPE: &str = "https://www.googleapis.com/auth/drive";

/// A token endpoint that answers one exchange, a folder with the client's file, and a browser that writes down what it is to open.
struct Desk {
    folder: TempDir,
    browser: Browser,
    forms: Receiver<HashMap<String, String>>,
    token_uri: String,
}

impl Desk {
    fn answering(status: u16, body: Value) -> Desk {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let token_uri = format!("http://{}/token", listener.local_addr().expect("its port"));
        let (sender, forms) = channel();
        std::thread::spawn(move || {
            let Ok((mut stream, _)) = listener.accept() else { return };
            let form = read_form(&mut stream);
            let body = body.to_string();
            let head = format!("HTTP/1.1 {status} x\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
            let _ = stream.write_all((head + &body).as_bytes());
            let _ = sender.send(form);
        });
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
        let client = json!({"installed": {
            "client_id": "123-abc.apps.googleusercontent.com", "client_secret": CLIENT_SECRET,
            "auth_uri": "https://accounts.google.com/o/oauth2/auth", "token_uri": token_uri,
        }});
        fs::write(folder.path().join("client.json"), client.to_string()).expect("the client's file");
        Desk { folder, browser: Browser::new(), forms, token_uri }
    }

    fn granting() -> Desk {
        let body = json!({"access_token": "ya29.an-access-token", "refresh_token": REFRESH_TOKEN, "scope": SCOPE});
        Desk::answering(200, body)
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("consent.json")
    }

    fn command(&self) -> BatchExport {
        let folder = self.folder.path().display();
        BatchExport::command("auth")
            .args(&["--client", &format!("{folder}/client.json"), "--credentials", &self.file().display().to_string()])
            .args(&["--output", "json"])
            .env("PATH", &format!("{}:/usr/bin:/bin", self.browser.folder()))
    }
}

fn read_form(stream: &mut TcpStream) -> HashMap<String, String> {
    let mut request = Vec::new();
    loop {
        let mut part = [0; 4096];
        let length = stream.read(&mut part).unwrap_or(0);
        request.extend_from_slice(&part[..length]);
        let text = String::from_utf8_lossy(&request).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let lower = head.to_ascii_lowercase();
        let wanted = lower.lines().find_map(|line| line.strip_prefix("content-length: ")?.trim().parse().ok());
        if length == 0 || body.len() >= wanted.unwrap_or(usize::MAX) {
            return url::form_urlencoded::parse(body.as_bytes()).into_owned().collect();
        }
    }
}

fn start(desk: &Desk) -> (Running, HashMap<String, String>) {
    let running = desk.command().spawn();
    let asked = desk.browser.question();
    (running, asked)
}

#[test]
fn a_consent_becomes_a_private_authorized_user_file() {
    let desk = Desk::granting();
    let (running, asked) = start(&desk);
    assert_eq!((&*asked["scope"], &*asked["access_type"], &*asked["prompt"]), (SCOPE, "offline", "consent"));
    let thanks = answer(&asked, "code=4/a-code&scope=x");
    assert!(thanks.starts_with("HTTP/1.1 200"), "{thanks}");
    let finished = running.wait(PATIENCE).expect_code(0);
    assert_eq!(finished.json()["outcome"], "completed");
    assert!(finished.json()["warning"].as_str().unwrap().contains("7 days"));
    let form = desk.forms.recv_timeout(PATIENCE).unwrap();
    assert_eq!((&*form["grant_type"], &*form["code"]), ("authorization_code", "4/a-code"));
    assert_eq!(form["redirect_uri"], asked["redirect_uri"]);
    assert_eq!(asked["code_challenge_method"], "S256");
    assert_eq!(URL_SAFE_NO_PAD.encode(Sha256::digest(&form["code_verifier"])), asked["code_challenge"]);
    let file: Value = serde_json::from_slice(&fs::read(desk.file()).unwrap()).unwrap();
    let expected = json!({
        "type": "authorized_user", "client_id": "123-abc.apps.googleusercontent.com", "client_secret": CLIENT_SECRET,
        "refresh_token": REFRESH_TOKEN, "token_uri": desk.token_uri,
    });
    assert_eq!(file, expected);
    assert_eq!(fs::metadata(desk.file()).unwrap().permissions().mode() & 0o777, 0o600);
    for secret in [CLIENT_SECRET, REFRESH_TOKEN, "ya29.an-access-token", "4/a-code", &form["code_verifier"]] {
        assert!(!finished.report().contains(secret), "{secret} was told: {}", finished.report());
    }
    assert!(finished.stderr.contains(&asked["code_challenge"]), "the address is not on stderr: {}", finished.report());
}

#[test]
fn an_answer_without_our_state_is_turned_away_and_the_wait_goes_on() {
    let desk = Desk::granting();
    let (running, asked) = start(&desk);
    let base = Url::parse(&asked["redirect_uri"]).unwrap();
    for path in ["/?code=4/evil", "/?state=guessed&code=4/evil", "/favicon.ico", "/?error=access_denied"] {
        let shown = get(&base, path);
        assert!(shown.starts_with("HTTP/1.1 400"), "{path}: {shown}");
    }
    answer(&asked, "code=4/a-code");
    running.wait(PATIENCE).expect_code(0);
    assert_eq!(desk.forms.recv_timeout(PATIENCE).unwrap()["code"], "4/a-code");
}

#[test]
fn a_consent_that_is_refused_or_too_small_writes_nothing() {
    let no_token = json!({"access_token": "ya29.an-access-token", "scope": SCOPE});
    let small = json!({"refresh_token": REFRESH_TOKEN, "scope": "https://www.googleapis.com/auth/drive.file"});
    let refused = json!({"error": "invalid_grant", "error_description": "Bad Request"});
    for (desk, query, words) in [
        (Desk::granting(), "error=access_denied", "access_denied"),
        (Desk::answering(200, no_token), "code=4/a-code", "no refresh token"),
        (Desk::answering(200, small), "code=4/a-code", "its box was not ticked"),
        (Desk::answering(400, refused), "code=4/a-code", "invalid_grant Bad Request"),
    ] {
        let (running, asked) = start(&desk);
        answer(&asked, query);
        let finished = running.wait(PATIENCE).expect_code(31);
        let message = told(&finished.json()["error"]);
        assert!(message.contains(words) && message.contains("auth"), "{message}");
        assert!(!desk.file().exists());
    }
}

#[test]
fn only_another_consent_is_replaced() {
    let desk = Desk::granting();
    for other in [r#"{"type":"service_account","private_key":"x"}"#, "notes"] {
        fs::write(desk.file(), other).unwrap();
        let refused = desk.command().run().expect_code(30).json();
        assert!(refused["error"]["message"].as_str().unwrap().contains("is not a person's consent"), "{refused}");
        assert_eq!(fs::read_to_string(desk.file()).unwrap(), other);
    }
    fs::write(desk.file(), r#"{"type":"authorized_user"}"#).unwrap();
    let (running, asked) = start(&desk);
    answer(&asked, "code=4/a-code");
    running.wait(PATIENCE).expect_code(0);
    assert!(fs::read_to_string(desk.file()).unwrap().contains(REFRESH_TOKEN));
    assert_eq!(fs::metadata(desk.file()).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn without_a_browser_the_address_is_printed_and_a_signal_ends_the_wait() {
    let desk = Desk::granting();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let running = desk.command().args(&["--no-browser", "--quiet", "--port", &port.to_string()]).spawn();
    wait_until(|| TcpStream::connect(("127.0.0.1", port)).is_ok());
    running.signal(rustix::process::Signal::TERM);
    let finished = running.wait(PATIENCE).expect_code(143);
    assert!(finished.stderr.contains(&format!("127.0.0.1%3A{port}")), "{}", finished.report());
    assert!(!desk.browser.was_opened(), "a browser was opened");
    assert!(!desk.file().exists());
}

#[test]
fn a_client_file_that_is_none_is_refused_without_quoting_it() {
    let desk = Desk::granting();
    let client = desk.folder.path().join("client.json");
    for (text, words) in [
        ("{", "not JSON (line 1"),
        (r#"{"type":"service_account"}"#, "Desktop app"),
        (r#"{"installed":{"client_id":"c","client_secret":["hush"],"auth_uri":"x"}}"#, "client_secret"),
    ] {
        fs::write(&client, text).unwrap();
        let finished = desk.command().run().expect_code(30);
        assert!(finished.stdout.contains(words) && !finished.report().contains("hush"), "{}", finished.report());
    }
}

#[test]
fn the_challenge_is_the_one_of_the_standard() {
    // RFC 7636, appendix B.
    let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"));
    assert_eq!(challenge, "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
}
