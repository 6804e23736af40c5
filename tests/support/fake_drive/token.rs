//! The token endpoint and the credentials that fit it: a service account with a real RSA key, and a user's refresh token.
//!
//! As strict as Google's about assertions, because a client that signs the wrong audience or asks for two hours works against a fake
//! that only looks at the grant type, and fails on the first day.

use super::answer::Answer;
use super::wire::Head;
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use base64::Engine;
use base64::alphabet::URL_SAFE;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};
use std::sync::OnceLock;
use std::time::{SystemTime, UNIX_EPOCH};

/// The person who owns the My Drive of the model, gave the refresh tokens, and whom the service account may act as.
pub const USER: &str = "accountant@example.com";
/// The service account.
pub const SERVICE_ACCOUNT: &str = "batch-export@example-project.iam.gserviceaccount.com";
/// Scope of everything in Drive.
pub const SCOPE_DRIVE: &str = "https://www.googleapis.com/auth/drive";
/// Scope of the files that the app itself made.
pub const SCOPE_DRIVE_FILE: &str = "https://www.googleapis.com/auth/drive.file";

const SERVICE_CLIENT: &str = "104718422222222222222";
const USER_CLIENT: &str = "407408718192-fake.apps.googleusercontent.com";
const USER_CLIENT_SECRET: &str = "GOCSPX-the-secret-of-the-fake-client";
const KEY_ID: &str = "5b1f6a1c0ffee0ddba11";
const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
/// Google's own libraries name this audience whatever address they post to, so it is as good as the address.
const GOOGLE_AUDIENCE: &str = "https://oauth2.googleapis.com/token";
const MAX_LIFETIME_S: u64 = 3600;
/// Clocks differ; Google allows some minutes.
const MAX_SKEW_S: u64 = 300;

/// Base64url with or without padding: libraries differ.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// For whom a token speaks, through which app, and how far.
#[derive(Clone, Debug)]
pub struct Identity {
    pub email: String,
    /// The OAuth client: `appProperties` and `drive.file` are private to it.
    pub app: String,
    pub scopes: Vec<String>,
}

impl Identity {
    pub fn has(&self, scope: &str) -> bool {
        self.scopes.iter().any(|held| held == scope)
    }

    pub fn is_service_account(&self) -> bool {
        self.email == SERVICE_ACCOUNT
    }
}

struct Token {
    identity: Identity,
    expires_at_s: u64,
}

#[derive(Default)]
pub struct Tokens {
    live: HashMap<String, Token>,
    refresh: HashMap<String, Identity>,
    /// What a consent page handed out and nobody has exchanged yet.
    codes: HashSet<String>,
    revoked_keys: HashSet<&'static str>,
    /// Every secret ever handed out, for tests that look for leaks.
    pub secrets: Vec<String>,
}

impl Tokens {
    pub fn expire_all(&mut self) {
        self.live.clear();
    }

    /// The service account's key is deleted: assertions are refused.
    pub fn revoke_key(&mut self) {
        self.revoked_keys.insert(KEY_ID);
    }

    /// The user takes the consent back, or it ran out.
    pub fn revoke_consent(&mut self) {
        self.refresh.clear();
    }

    pub fn service_account_json(&mut self, token_uri: &str) -> String {
        self.secrets.extend(key().pem.lines().filter(|line| !line.starts_with('-')).map(str::to_owned));
        json!({
            "type": "service_account", "project_id": "example-project", "private_key_id": KEY_ID, "private_key": key().pem,
            "client_email": SERVICE_ACCOUNT, "client_id": SERVICE_CLIENT, "token_uri": token_uri,
            "auth_uri": "https://accounts.google.com/o/oauth2/auth", "universe_domain": "googleapis.com",
        })
        .to_string()
    }

    /// The OAuth client, as the Cloud console offers it for download.
    pub fn client_json(&self, token_uri: &str) -> String {
        json!({"installed": {
            "client_id": USER_CLIENT, "client_secret": USER_CLIENT_SECRET, "token_uri": token_uri,
            "auth_uri": "https://accounts.google.com/o/oauth2/auth",
        }})
        .to_string()
    }

    /// The user consents: the code that the browser brings back, good for one exchange.
    pub fn consent_code(&mut self) -> String {
        let code = format!("4/{}", random_text(24));
        self.codes.insert(code.clone());
        self.secrets.push(code.clone());
        code
    }

    fn new_refresh_token(&mut self, scope: &str) -> String {
        let refresh_token = format!("1//{}", random_text(24));
        let identity = Identity { email: USER.to_owned(), app: USER_CLIENT.to_owned(), scopes: words(scope) };
        self.refresh.insert(refresh_token.clone(), identity);
        self.secrets.extend([refresh_token.clone(), USER_CLIENT_SECRET.to_owned()]);
        refresh_token
    }

    pub fn authorized_user_json(&mut self, token_uri: &str, scope: &str) -> String {
        let refresh_token = self.new_refresh_token(scope);
        json!({
            "type": "authorized_user", "client_id": USER_CLIENT, "client_secret": USER_CLIENT_SECRET,
            "refresh_token": refresh_token, "token_uri": token_uri,
        })
        .to_string()
    }

    /// The bearer of a request, if it is alive.
    pub fn identify(&self, head: &Head) -> Result<Identity, Answer> {
        let bearer = head.header("authorization").and_then(|value| value.strip_prefix("Bearer "));
        match bearer.and_then(|bearer| self.live.get(bearer)) {
            Some(token) if now_s() < token.expires_at_s => Ok(token.identity.clone()),
            _ => Err(Answer::error(401, "authError")
                .header("WWW-Authenticate", "Bearer realm=\"https://accounts.google.com/\"")),
        }
    }

    /// `POST /token`.
    pub fn grant(&mut self, token_uri: &str, body: &[u8]) -> Answer {
        let form: HashMap<String, String> = url::form_urlencoded::parse(body).into_owned().collect();
        let field = |name: &str| form.get(name).map(String::as_str).unwrap_or_default();
        let granted = match field("grant_type") {
            JWT_BEARER => self.check_assertion(token_uri, field("assertion")),
            "refresh_token" | "authorization_code"
                if (field("client_id"), field("client_secret")) != (USER_CLIENT, USER_CLIENT_SECRET) =>
            {
                Err(Answer::token_error(401, "invalid_client", "The OAuth client was not found."))
            }
            "authorization_code" if field("code_verifier").len() < 43 || !self.codes.remove(field("code")) => {
                Err(Answer::token_error(400, "invalid_grant", "Malformed auth code."))
            }
            "authorization_code" => {
                let refresh_token = self.new_refresh_token(SCOPE_DRIVE);
                return self.issue(self.refresh[&refresh_token].clone(), Some(&refresh_token));
            }
            "refresh_token" => self
                .refresh
                .get(field("refresh_token"))
                .cloned()
                .ok_or_else(|| Answer::token_error(400, "invalid_grant", "Token has been expired or revoked.")),
            other => Err(Answer::token_error(400, "unsupported_grant_type", &format!("Invalid grant_type: {other}"))),
        };
        match granted {
            Err(refusal) => refusal,
            Ok(identity) => self.issue(identity, None),
        }
    }

    fn issue(&mut self, identity: Identity, refresh_token: Option<&str>) -> Answer {
        let bearer = format!("ya29.{}", random_text(48));
        self.secrets.push(bearer.clone());
        let scope = identity.scopes.join(" ");
        self.live.insert(bearer.clone(), Token { identity, expires_at_s: now_s() + 3599 });
        let mut body = json!({"access_token": bearer, "expires_in": 3599, "token_type": "Bearer", "scope": scope});
        if let Some(refresh_token) = refresh_token {
            body["refresh_token"] = refresh_token.into();
        }
        Answer::json(200, &body)
    }

    fn check_assertion(&self, token_uri: &str, assertion: &str) -> Result<Identity, Answer> {
        let grant = |why: &str| Answer::token_error(400, "invalid_grant", why);
        let (header, claims) = read_jwt(assertion).ok_or_else(|| grant("Invalid JWT Signature."))?;
        if header["alg"] != "RS256"
            || header.get("kid").is_some_and(|kid| kid != KEY_ID)
            || self.revoked_keys.contains(KEY_ID)
        {
            return Err(grant("Invalid JWT Signature."));
        }
        if claims["iss"] != SERVICE_ACCOUNT {
            return Err(grant("Invalid grant: account not found"));
        }
        if claims["aud"] != token_uri && claims["aud"] != GOOGLE_AUDIENCE {
            return Err(grant("Invalid JWT: Failed audience check."));
        }
        let (issued_at, expires_at) = (claims["iat"].as_u64().unwrap_or(0), claims["exp"].as_u64().unwrap_or(0));
        let now = now_s();
        if issued_at > now + MAX_SKEW_S || expires_at + MAX_SKEW_S < now || expires_at > issued_at + MAX_LIFETIME_S {
            return Err(grant(
                "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. \
                 Check your iat and exp values in the JWT claim.",
            ));
        }
        let scopes = words(claims["scope"].as_str().unwrap_or_default());
        if scopes.is_empty() || !scopes.iter().all(|scope| scope.starts_with("https://www.googleapis.com/auth/")) {
            return Err(Answer::token_error(
                400,
                "invalid_scope",
                "Invalid OAuth scope or ID token audience provided.",
            ));
        }
        let email = match claims.get("sub").and_then(Value::as_str) {
            None | Some(SERVICE_ACCOUNT) => SERVICE_ACCOUNT,
            Some(USER) => USER,
            Some(_) => {
                let why = "Client is unauthorized to retrieve access tokens using this method, or client not authorized \
                           for any of the scopes requested.";
                return Err(Answer::token_error(401, "unauthorized_client", why));
            }
        };
        Ok(Identity { email: email.to_owned(), app: SERVICE_CLIENT.to_owned(), scopes })
    }
}

/// Header and claims of an assertion whose signature is the service account's.
fn read_jwt(assertion: &str) -> Option<(Value, Value)> {
    let (signed, signature) = assertion.rsplit_once('.')?;
    let (header, claims) = signed.split_once('.')?;
    let verifier = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, &key().public_der);
    verifier.verify(signed.as_bytes(), &LENIENT.decode(signature).ok()?).ok()?;
    let parse = |part: &str| serde_json::from_slice(&LENIENT.decode(part).ok()?).ok();
    Some((parse(header)?, parse(claims)?))
}

struct Key {
    pem: String,
    public_der: Vec<u8>,
}

/// One key per process: making it is the slowest thing that a fake does.
fn key() -> &'static Key {
    static KEY: OnceLock<Key> = OnceLock::new();
    KEY.get_or_init(|| {
        let pair = KeyPair::generate(KeySize::Rsa2048).expect("a new RSA key");
        let der: Pkcs8V1Der = pair.as_der().expect("the key as PKCS#8");
        let base64 = STANDARD.encode(der.as_ref());
        let lines: Vec<&str> = (0..base64.len()).step_by(64).map(|at| &base64[at..base64.len().min(at + 64)]).collect();
        let pem = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", lines.join("\n"));
        Key { pem, public_der: pair.public_key().as_ref().to_vec() }
    })
}

/// Random base64url text from so many bytes.
pub fn random_text(bytes: usize) -> String {
    let random: Vec<u8> = (0..bytes).map(|_| rand::random()).collect();
    URL_SAFE_NO_PAD.encode(random)
}

fn words(scope: &str) -> Vec<String> {
    scope.split_whitespace().map(str::to_owned).collect()
}

fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970").as_secs()
}
