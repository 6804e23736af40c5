//! The parts of an address that are secrets of their own.
//!
//! Risk: a receiver repeats a part of its address in its answer, and the answer is quoted in the log. So the path, the
//! query and each of their parts are masked, decoded and as they were sent. Words that many addresses have in common
//! are not: masked, they would be missing from all other text too.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode_str;
use url::Url;

use crate::secret::conceal;

/// Parts of a path that tell nobody anything.
const WORDS: [&str; 40] = [
    "alerts",
    "batch-export",
    "batch_export",
    "channels",
    "database",
    "entries",
    "exports",
    "finance",
    "healthchecks",
    "incoming",
    "incoming-webhook",
    "incomingwebhook",
    "integrations",
    "invoke",
    "macros",
    "manual",
    "message",
    "messages",
    "metrics",
    "monitoring",
    "notification",
    "notifications",
    "notify",
    "powerautomate",
    "prometheus",
    "publish",
    "pushgateway",
    "receive",
    "result",
    "results",
    "retry",
    "sendmessage",
    "services",
    "spaces",
    "status",
    "triggers",
    "webhook",
    "webhookb2",
    "webhooks",
    "workflows",
];

/// Masks, from now on, the parts of an address that are secrets of their own.
pub(super) fn conceal_parts(address: &str) {
    let Ok(url) = Url::parse(address) else { return };
    // As it was typed: the parser encodes some characters.
    let typed = address.split_once("://").map_or(address, |(_, rest)| rest);
    let typed = typed.split_once('/').map_or("", |(_, path)| path);
    for text in [typed, &format!("{}?{}", url.path(), url.query().unwrap_or_default())] {
        let text = text.split('#').next().unwrap_or_default();
        let (path, query) = text.split_once('?').unwrap_or((text, ""));
        path.trim_matches('/').split('/').for_each(conceal_segment);
        query.split('&').filter_map(|pair| pair.split_once('=')).for_each(|(_, value)| conceal_value(value));
        conceal(query);
        if path.trim_matches('/').contains('/') {
            conceal(path.trim_matches('/'));
        }
    }
    if let Some(password) = url.password() {
        let decoded = |text| percent_decode_str(text).decode_utf8_lossy();
        let user = format!("{}:{}", decoded(url.username()), decoded(password));
        conceal(&STANDARD.encode(&user));
        conceal(&user);
        conceal(&decoded(password));
    }
}

/// A part of a path: Telegram's has the token behind `bot`, and other services some id before a colon.
fn conceal_segment(segment: &str) {
    if WORDS.contains(&&*segment.to_lowercase()) {
        return;
    }
    conceal_value(segment);
    if let Some(token) = segment.strip_prefix("bot") {
        conceal_value(token);
        if let Some((_, secret)) = token.split_once(':') {
            conceal_value(secret);
        }
    }
}

/// A value as it was sent, decoded as a path is, and decoded as a query is.
fn conceal_value(value: &str) {
    conceal(value);
    conceal(&percent_decode_str(value).decode_utf8_lossy());
    conceal(&percent_decode_str(&value.replace('+', " ")).decode_utf8_lossy());
}

#[cfg(test)]
mod tests {
    use super::conceal_parts;
    use crate::secret::redact;

    #[test]
    fn each_part_of_an_address_is_masked_as_it_was_sent_and_decoded() {
        conceal_parts("https://api.telegram.org/bot123456:AAe-t0ken-tg/sendMessage");
        assert_eq!(redact("no bot 123456:AAe-t0ken-tg, nor AAe-t0ken-tg"), "no bot ***, nor ***");
        conceal_parts("https://flows.example/workflows/w0rkfl0w/invoke?sp=%2Frun&sig=q7/Z%2Bk_9x");
        for said in ["q7/Z%2Bk_9x", "q7/Z+k_9x", "sp=%2Frun&sig=q7/Z%2Bk_9x", "q7%2FZ%2Bk_9x", "w0rkfl0w"] {
            assert_eq!(redact(said), "***", "{said}");
        }
        conceal_parts("https://relay.example/in/h4nd-made");
        assert_eq!(redact("POST /in/h4nd-made: h4nd-made is unknown"), "POST /***: *** is unknown");
        conceal_parts("https://push-user:p%40ss-w0rd@gateway.example/pushgateway");
        assert_eq!(redact("Basic cHVzaC11c2VyOnBAc3MtdzByZA== p@ss-w0rd"), "Basic *** ***");
    }

    #[test]
    fn words_stay() {
        conceal_parts("https://finance.example/services/webhooks/batch-export/metrics?wait=true");
        let text = "batch-export retry: services, webhooks and metrics";
        assert_eq!(redact(text), text);
    }
}
