//! The checks of the webhook and the health check: where notifications and pings go and, on request, whether they
//! arrive.
//!
//! Only the host is shown: the rest of such an address is a secret.

use super::Check;
use crate::config::Config;
use crate::notify;
use crate::secret::Secret;

/// With `send`, one test message and one test ping, each marked as a test.
pub(super) async fn checks(config: &Config, send: bool) -> [Check; 2] {
    let (message, ping) = if send { notify::test(config).await } else { (None, None) };
    let webhook = config.webhook.as_ref().map(|webhook| (&webhook.url, webhook.kind.name()));
    let health_check = config.health_check.as_ref().map(|check| (&check.url, check.kind.name()));
    [check("notification", webhook, message), check("ping", health_check, ping)]
}

/// `sent` is the result of the test; `None` when nothing was sent.
fn check(name: &'static str, target: Option<(&Secret, &str)>, sent: Option<Result<String, String>>) -> Check {
    let Some((url, kind)) = target else { return Check::ok(name, "off") };
    let address = url::Url::parse(url.expose()).ok();
    let host = address.as_ref().and_then(url::Url::host_str).unwrap_or_default();
    match sent {
        None => Check::ok(name, format!("to {host} ({kind}); not tried: `batch-export doctor --send` sends a test")),
        Some(Ok(answer)) => Check::ok(name, format!("to {host} ({kind}): a test was sent, and it answered {answer}")),
        Some(Err(reason)) => {
            let fix = "correct its address, kind, token or chat, or the network; then run `batch-export doctor --send`";
            Check::bad(name, format!("to {host} ({kind}): the test did not arrive: {reason}"), fix)
        }
    }
}
