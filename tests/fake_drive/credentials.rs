//! The token endpoint, the life of a token, and what a wrong assertion is told.

use super::client::{Client, claims, exchange, exchange_assertion, send, sign};
use crate::support::fake_drive::{FakeDrive, SCOPE_DRIVE, SCOPE_DRIVE_FILE, USER};
use base64::engine::general_purpose::{URL_SAFE, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

/// A bearer for the refresh token of an `authorized_user` file.
pub fn refreshed(drive: &FakeDrive, file: &str) -> String {
    let reply = refresh(drive, file);
    reply.json()["access_token"].as_str().expect("a token").to_owned()
}

fn refresh(drive: &FakeDrive, file: &str) -> super::client::Reply {
    let file: Value = serde_json::from_str(file).expect("a credentials file");
    let field = |name: &str| file[name].as_str().expect("a field of the credentials file");
    let form = [
        ("grant_type", "refresh_token"),
        ("client_id", field("client_id")),
        ("client_secret", field("client_secret")),
        ("refresh_token", field("refresh_token")),
    ];
    exchange(drive, &form)
}

#[test]
fn a_correct_assertion_is_granted_padded_or_not() {
    let drive = FakeDrive::start();
    for base64 in [URL_SAFE_NO_PAD, URL_SAFE] {
        let token = exchange_assertion(&drive, &claims(&drive, SCOPE_DRIVE), base64).json();
        assert_eq!((&token["token_type"], &token["expires_in"]), (&json!("Bearer"), &json!(3599)));
    }
}

#[test]
fn a_wrong_assertion_is_refused_with_googles_words() {
    let drive = FakeDrive::start();
    let refused = |name: &str, value: Value| {
        let mut claims = claims(&drive, SCOPE_DRIVE);
        claims[name] = value;
        let reply = exchange_assertion(&drive, &claims, URL_SAFE_NO_PAD);
        assert!((400..=401).contains(&reply.status), "{name}: {}", reply.text());
        let text = |field: &str| reply.json()[field].as_str().unwrap_or_default().to_owned();
        format!("{}: {}", text("error"), text("error_description"))
    };
    let now = claims(&drive, SCOPE_DRIVE)["iat"].as_u64().expect("a time");
    assert!(refused("aud", json!("https://www.googleapis.com/token")).contains("Failed audience check"));
    assert!(refused("exp", json!(now + 3700)).contains("short-lived token (60 minutes)"));
    assert!(refused("exp", json!(now - 3600)).contains("short-lived token (60 minutes)"));
    assert!(refused("iat", json!(now + 3600)).contains("short-lived token (60 minutes)"));
    assert!(refused("iss", json!("somebody@example.com")).contains("account not found"));
    assert!(refused("scope", json!("")).starts_with("invalid_scope"));
    assert!(refused("scope", json!("drive")).starts_with("invalid_scope"));
    assert!(refused("sub", json!("stranger@example.com")).starts_with("unauthorized_client"));
}

#[test]
fn a_forged_assertion_is_refused() {
    let drive = FakeDrive::start();
    let grant = |assertion: &str| {
        let form = [("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"), ("assertion", assertion)];
        exchange(&drive, &form).json()["error"].as_str().unwrap_or("granted").to_owned()
    };
    let claims = claims(&drive, SCOPE_DRIVE);
    let good = sign(&drive, &json!({"alg": "RS256"}), &claims, URL_SAFE_NO_PAD);
    assert_eq!(grant(&good), "granted");
    let (signed, signature) = good.rsplit_once('.').expect("a signature");
    let other = if signature.starts_with('A') { "B" } else { "A" };
    assert_eq!(grant(&format!("{signed}.{other}{}", &signature[1..])), "invalid_grant");
    assert_eq!(grant(signed), "invalid_grant");
    assert_eq!(grant(""), "invalid_grant");
    assert_eq!(grant(&sign(&drive, &json!({"alg": "none"}), &claims, URL_SAFE_NO_PAD)), "invalid_grant");
    let unknown_key = json!({"alg": "RS256", "kid": "another key"});
    assert_eq!(grant(&sign(&drive, &unknown_key, &claims, URL_SAFE_NO_PAD)), "invalid_grant");
    drive.revoke_key();
    assert_eq!(grant(&good), "invalid_grant");
    assert_eq!(exchange(&drive, &[("grant_type", "password")]).json()["error"], json!("unsupported_grant_type"));
}

#[test]
fn a_refresh_token_is_granted_until_the_consent_ends() {
    let drive = FakeDrive::start();
    let file = drive.authorized_user();
    let client = Client { drive: &drive, bearer: refreshed(&drive, &file) };
    assert_eq!(client.get("/drive/v3/about?fields=user/emailAddress").json(), json!({"user": {"emailAddress": USER}}));
    let narrow = drive.authorized_user_for(SCOPE_DRIVE_FILE);
    assert_eq!(refresh(&drive, &narrow).json()["scope"], json!(SCOPE_DRIVE_FILE));
    let mut wrong_client: Value = serde_json::from_str(&file).expect("a credentials file");
    wrong_client["client_secret"] = json!("guessed");
    assert_eq!(refresh(&drive, &wrong_client.to_string()).json()["error"], json!("invalid_client"));
    drive.revoke_consent();
    assert_eq!(refresh(&drive, &file).json()["error"], json!("invalid_grant"));
}

#[test]
fn a_request_without_a_live_bearer_is_401() {
    let drive = FakeDrive::start();
    let client = Client::sign_in(&drive);
    let target = "/drive/v3/about?fields=user";
    assert_eq!(client.get(target).status, 200);
    let anonymous = send(&drive, "GET", target, &[], None).expect("an answer");
    assert_eq!((anonymous.status, anonymous.reason().as_str()), (401, "authError"));
    assert!(anonymous.header("www-authenticate").is_some());
    let session = client.session(&client.generate_id());
    drive.expire_tokens();
    assert_eq!(client.get(target).status, 401);
    assert_eq!(
        client.chunk(&session, b"abc", 0, 3).expect("an answer").status,
        401,
        "a dead bearer, though a live session"
    );
    let bare = send(&drive, "PUT", &session, &[("Content-Range", "bytes 0-2/3")], Some(b"abc")).expect("an answer");
    assert_eq!(bare.status, 200, "the session URI itself is a credential");
    assert_eq!(Client::sign_in(&drive).get(target).status, 200);
}

#[test]
fn every_secret_handed_out_is_known() {
    let drive = FakeDrive::start();
    let client = Client::sign_in(&drive);
    let session = client.session(&client.generate_id());
    let user: Value = serde_json::from_str(&drive.authorized_user()).expect("a credentials file");
    let secrets = drive.secrets();
    let upload_id = session.rsplit_once("upload_id=").expect("an upload id").1;
    for secret in [client.bearer.as_str(), upload_id, user["refresh_token"].as_str().expect("a refresh token")] {
        assert!(secrets.iter().any(|known| known == secret), "{secret} is not known");
    }
    let key: Value = serde_json::from_str(&drive.service_account()).expect("a key file");
    let line = key["private_key"].as_str().and_then(|pem| pem.lines().nth(3)).expect("a line of the key");
    assert!(secrets.iter().any(|known| known == line));
}
