//! The settings of the webhook and of the health check.
//!
//! Risk: a webhook accepts each message and shows it to nobody. So a kind that needs a chat or a token is refused without it,
//! before the first batch depends on it.

use super::secrets::{from_file, secret_address};
use super::table::Setting;
use super::{Settings, Typed, table};
use crate::config::{HealthCheck, NotifyKind, PingKind, Webhook};
use crate::failure::{Failure, Result};
use crate::secret::{Secret, holds_a_key};

pub(super) fn webhook(settings: &Settings) -> Result<Option<Webhook>> {
    let typed = settings.get(&table::NOTIFY_URL);
    let url = typed.map(secret_address).transpose()?;
    let kind = settings.get(&table::NOTIFY_KIND);
    let kind = kind.map(|kind| kind.one_of(&NotifyKind::NAMED)).transpose()?;
    let token = settings.get(&table::NOTIFY_TOKEN).map(token).transpose()?;
    let to = settings.get(&table::NOTIFY_TO).map(|typed| typed.text.to_owned());
    let Some(url) = url else { return Ok(None) };
    let address = url::Url::parse(url.expose()).ok();
    let host = address.as_ref().and_then(url::Url::host_str).unwrap_or_default();
    if let Some(typed) = typed.filter(|_| host.strip_suffix('.').unwrap_or(host) == "notify-api.line.me") {
        return Err(typed.wrong(
            "it is an address of LINE Notify, which has ended",
            "write https://api.line.me/v2/bot/message/push, the Messaging API's, and set --notify-to and --notify-token",
        ));
    }
    let kind = kind.unwrap_or_else(|| NotifyKind::of_host(host));
    if kind.needs_chat() && to.is_none() {
        return Err(missing(&table::NOTIFY_TO, &format!("{} needs to know the chat", kind.name())));
    }
    if kind.needs_token() && token.is_none() {
        let reason = format!("{} takes no message without the channel's access token", kind.name());
        return Err(missing(&table::NOTIFY_TOKEN, &reason));
    }
    Ok(Some(Webhook { url, kind, token, to }))
}

fn missing(setting: &'static Setting, reason: &str) -> Failure {
    let flag = setting.flag;
    Failure::configuration(format!("--{flag} is not set, and {reason}")).next(format!("set --{flag}"))
}

pub(super) fn health_check(settings: &Settings) -> Result<Option<HealthCheck>> {
    let url = settings.get(&table::PING_URL).map(secret_address).transpose()?;
    let kind = settings.get(&table::PING_KIND);
    let kind = kind.map(|kind| kind.one_of(&PingKind::NAMED)).transpose()?;
    Ok(url.map(|url| {
        let is_push = url.expose().contains("/api/push/");
        let known = if is_push { PingKind::Kuma } else { PingKind::Healthchecks };
        HealthCheck { url, kind: kind.unwrap_or(known) }
    }))
}

/// The token of the webhook, of the characters of a bearer token (RFC 6750). A password or an address has others.
fn token(typed: Typed<'_>) -> Result<Secret> {
    let token = Secret::new(from_file(typed)?);
    if holds_a_key(token.expose()) {
        return Err(typed.refused("it holds the content of a key, not the token of a webhook"));
    }
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte);
    let text = token.expose().trim_end_matches('=');
    match !text.is_empty() && text.bytes().all(plain) {
        true => Ok(token),
        false => Err(typed.refused("it is not a token of letters, digits and -._~+/")),
    }
}
