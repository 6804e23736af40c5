//! The checks of the webhook, the health check and the Pushgateway: where notifications, pings and metrics go and, on
//! request, whether they arrive.
//!
//! Only the host is shown: the rest of such an address is a secret.

use super::Check;
use crate::config::Config;
use crate::failure::Failure;
use crate::http::certificates;
use crate::notify::{self, TestAnswer};
use crate::secret::Secret;

/// A receiver that may be set.
struct Receiver<'a> {
    name: &'static str,
    /// Its address and its kind.
    target: Option<(&'a Secret, &'static str)>,
    test: &'static str,
    /// What a person corrects when that does not arrive.
    settings: &'static str,
}

/// With `send`, one test message and one test ping, each marked as a test, and a push without metrics.
pub(super) async fn checks(config: &Config, send: bool) -> [Check; 3] {
    let certificates = certificates::check_file(config.certificate_file.as_deref()).err();
    let [message, ping, push] = if send { notify::test(config).await } else { [const { None }; 3] };
    let webhook = config.webhook.as_ref().map(|webhook| (&webhook.url, webhook.kind.name()));
    let health_check = config.health_check.as_ref().map(|check| (&check.url, check.kind.name()));
    let gateway = config.metrics_url.as_ref().map(|url| (url, "Pushgateway"));
    let (test, push_test) = ("a test", "a push without metrics");
    let all = [
        (
            Receiver { name: "notification", target: webhook, test, settings: "its address, kind, token or chat" },
            message,
        ),
        (Receiver { name: "ping", target: health_check, test, settings: "its address or kind" }, ping),
        (Receiver { name: "metrics push", target: gateway, test: push_test, settings: "its address" }, push),
    ];
    all.map(|(receiver, sent)| receiver.check(sent, certificates.as_ref()))
}

impl Receiver<'_> {
    /// `sent` is the result of the test; `None` when nothing was sent. `certificates` is what is wrong with their file.
    fn check(&self, sent: TestAnswer, certificates: Option<&Failure>) -> Check {
        let Receiver { name, target, test, settings } = *self;
        let Some((url, kind)) = target else { return Check::ok(name, "off") };
        let address = url::Url::parse(url.expose()).ok();
        let host = address.as_ref().and_then(url::Url::host_str).unwrap_or_default();
        let by_tls = address.as_ref().is_some_and(|address| address.scheme() == "https");
        match (sent, certificates.filter(|_| by_tls)) {
            (_, Some(failure)) => {
                let found = format!("to {host} ({kind}): nothing can be sent: {failure}");
                Check::warning(name, found, failure.next_step())
            }
            (None, None) => {
                Check::ok(name, format!("to {host} ({kind}); not tried: `batch-export doctor --send` sends {test}"))
            }
            (Some(Ok(answer)), None) => {
                Check::ok(name, format!("to {host} ({kind}): {test} was sent, and it answered {answer}"))
            }
            (Some(Err(why)), None) => {
                let fix = why.next.clone().unwrap_or_else(|| format!("correct {settings}, or the network"));
                let fix = format!("{fix}; then run `batch-export doctor --send`");
                Check::bad(name, format!("to {host} ({kind}): {test} did not arrive: {why}"), fix)
            }
        }
    }
}
