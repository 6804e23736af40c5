//! The network behind the notifications: few tries, short limits, and addresses that never show, because they are secrets.

use std::error::Error as _;
use std::time::Duration;

use reqwest::Client;
use reqwest::header::CONTENT_TYPE;

use crate::secret::redact;

/// Tries of one message.
const TRIES: u32 = 3;
/// Limit of one try.
const LIMIT: Duration = Duration::from_secs(10);
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(500);

#[derive(Clone)]
pub(super) struct Wire {
    client: Client,
}

impl Wire {
    pub(super) fn new() -> Result<Wire, String> {
        let client = Client::builder()
            .user_agent(concat!("batch-export/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .timeout(LIMIT)
            .http1_only()
            .build();
        client.map(|client| Wire { client }).map_err(reason)
    }

    /// Posts until it is taken; gives up at an answer that will not change.
    pub(super) async fn post(&self, url: &str, content_type: &str, body: String) -> Result<(), String> {
        let mut last = String::new();
        for attempt in 0..TRIES {
            tokio::time::sleep(PAUSE * attempt).await;
            let request = self.client.post(url).header(CONTENT_TYPE, content_type).body(body.clone());
            match request.send().await {
                Ok(answer) if answer.status().is_success() => return Ok(()),
                Ok(answer) => {
                    let status = answer.status();
                    last = format!("it answered {status}");
                    if !status.is_server_error() && status.as_u16() != 429 {
                        return Err(last);
                    }
                }
                Err(error) => last = reason(error),
            }
        }
        Err(last)
    }
}

fn reason(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut reason = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        reason.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    redact(&reason).into_owned()
}
