//! A person's consent: the OAuth client's file in, an `authorized_user` file out.
//!
//! Risk: somebody else sends an answer to the open port, or uses a code that they caught. So `state` is random and
//! compared, and PKCE (S256) binds the code to this invocation: nobody else has the verifier. No error quotes a secret,
//! and the fields of the files are read one by one, because a derived parser would quote the value that it cannot
//! parse.

use std::path::Path;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::time::timeout;
use url::Url;

use super::auth::SCOPE;
use super::credentials::{json_of, refused};
use super::wire::read_body;
use crate::config::ProxyVariables;
use crate::exit::Exit;
use crate::failure::{Explanation, Failure, Result};
use crate::http::{Http, web_address};
use crate::secret::{Secret, redact};

/// How long Google may take to exchange the code.
const EXCHANGE_TIMEOUT: Duration = Duration::from_secs(30);

const NEXT_CLIENT: &str = "download the JSON of an OAuth client of the type \"Desktop app\" from the Google Cloud console, and give \
    it to --client";

/// The OAuth client that consent is given to.
#[derive(Debug)]
pub struct ConsentClient {
    client_id: String,
    client_secret: Secret,
    auth_uri: Url,
    token_uri: Url,
}

/// One request for consent, and the values that its answer is checked with.
#[derive(Debug)]
pub struct Question {
    /// The address that the person opens in a browser.
    pub address: Url,
    /// The value that the answer has to repeat.
    pub state: String,
    redirect_uri: String,
    verifier: Secret,
}

/// What Google granted.
#[derive(Debug)]
pub struct Consent {
    refresh_token: Secret,
}

impl ConsentClient {
    /// Reads the file that the Google Cloud console offers for download.
    ///
    /// # Errors
    /// A configuration failure that names the file and the field, never a value.
    pub fn read(path: &Path) -> Result<ConsentClient> {
        let refuse = |why: Explanation| refused("the OAuth client", path, why, NEXT_CLIENT);
        let wrong = |predicate: String| refuse(predicate.into());
        let bytes = crate::files::read_named(path).map_err(|error| wrong(format!("cannot be read: {error}")))?;
        let file = json_of(&bytes).map_err(refuse)?;
        if file.get("web").is_some() {
            return Err(wrong(
                "is of the type \"Web application\", to which Google sends no answer on this machine".to_owned(),
            ));
        }
        let client = file.get("installed").ok_or_else(|| wrong("has no field \"installed\"".to_owned()))?;
        let text = |name: &str| match client.get(name).and_then(Value::as_str) {
            Some(text) if !text.trim().is_empty() => Ok(text.to_owned()),
            Some(_) | None => Err(wrong(format!("has no text in the field {name:?}"))),
        };
        let address = |name: &str| {
            web_address(&text(name)?).ok_or_else(|| wrong(format!("has no web address in the field {name:?}")))
        };
        Ok(ConsentClient {
            client_id: text("client_id")?,
            client_secret: Secret::new(text("client_secret")?),
            auth_uri: address("auth_uri")?,
            token_uri: address("token_uri")?,
        })
    }

    /// A new request for consent, whose answer goes to a port of this machine.
    pub fn question(&self, port: u16) -> Question {
        let redirect_uri = format!("http://127.0.0.1:{port}");
        // Two random UUIDs are 64 characters; the protocol asks for 43 to 128.
        let random = || uuid::Uuid::new_v4().simple().to_string();
        let (state, verifier) = (random(), Secret::new(random() + &random()));
        let mut address = self.auth_uri.clone();
        address.query_pairs_mut().extend_pairs([
            ("response_type", "code"),
            ("client_id", &self.client_id),
            ("redirect_uri", &redirect_uri),
            ("scope", SCOPE),
            ("state", &state),
            ("code_challenge", &URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.expose()))),
            ("code_challenge_method", "S256"),
            // Without these two parameters Google sends no refresh token, or only the first time.
            ("access_type", "offline"),
            ("prompt", "consent"),
        ]);
        Question { address, state, redirect_uri, verifier }
    }

    /// Exchanges the code of an answer.
    ///
    /// # Errors
    /// `drive_rejected` when the exchange failed or the granted scope is too small; `configuration` when this machine
    /// has no certificates.
    pub async fn exchange(&self, question: &Question, code: &Secret, proxies: &ProxyVariables) -> Result<Consent> {
        let again = |what: String| Failure::new(Exit::DriveRejected, what).next("run `batch-export auth` again");
        let form = [
            ("grant_type", "authorization_code"),
            ("code", code.expose()),
            ("redirect_uri", &question.redirect_uri),
            ("client_id", &self.client_id),
            ("client_secret", self.client_secret.expose()),
            ("code_verifier", question.verifier.expose()),
        ];
        let http = Http::new(proxies)?;
        let asked = async {
            let mut answer = http.client.post(self.token_uri.clone()).form(&form).send().await?;
            Ok((answer.status(), read_body(&mut answer).await?))
        };
        let (status, body) = match timeout(EXCHANGE_TIMEOUT, asked).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => {
                return Err(again(http.failed("the code was not exchanged: ", error).message));
            }
            Err(_) => {
                return Err(again(format!(
                    "the code was not exchanged within {}",
                    humantime::format_duration(EXCHANGE_TIMEOUT)
                )));
            }
        };
        let answer: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
        let field = |name: &str| answer.get(name).and_then(Value::as_str);
        field("access_token").into_iter().for_each(crate::secret::conceal);
        if !status.is_success() {
            let (error, why) = (field("error").unwrap_or("no reason"), field("error_description").unwrap_or_default());
            return Err(again(
                redact(&format!("the code was not exchanged: {status}, {error} {why}")).trim().to_owned(),
            ));
        }
        let Some(refresh_token) = field("refresh_token").map(Secret::new) else {
            return Err(Failure::new(Exit::DriveRejected, "Google sent no refresh token").next(
                "remove the access of this application at https://myaccount.google.com/permissions, then run `batch-export auth` again",
            ));
        };
        if field("scope").is_some_and(|granted| !granted.split(' ').any(|scope| scope == SCOPE)) {
            return Err(again("the consent does not cover Drive: its box was not ticked".to_owned()));
        }
        Ok(Consent { refresh_token })
    }

    /// The text of the credentials file for this consent. It holds secrets.
    pub fn credentials(&self, consent: &Consent) -> String {
        let file = json!({
            "type": "authorized_user",
            "client_id": self.client_id,
            "client_secret": self.client_secret.expose(),
            "refresh_token": consent.refresh_token.expose(),
            "token_uri": self.token_uri.as_str(),
        });
        format!("{file:#}\n")
    }
}
