//! Proxies: which proxy a request takes, and its name in messages.
//!
//! Risk: two libraries choose differently. Drive's requests go through the proxy, the request for a token does not, and
//! the run fails on a machine on which a browser works. So one matcher (of hyper-util, which reqwest uses too) decides
//! for both, and for their messages. A password may have any character: it is encoded before anything parses the
//! address, so that no part of it is taken for the host.

use std::net::Ipv6Addr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use hyper_util::rt::TokioExecutor;
use percent_encoding::percent_decode_str;
use url::Url;
use yup_oauth2::CustomHyperClientBuilder;
use yup_oauth2::hyper::Uri;
use yup_oauth2::hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};

use crate::config::ProxyVariables;
use crate::failure::{Failure, Result};
use crate::plausible::{Implausible, check_line_end, is_likely_name};
use crate::secret::{conceal, percent_encoded};

/// How to write the address of a proxy.
const NEXT: &str =
    "write it like http://proxy.example.com:3128, with user:password@ before the host if the proxy asks for them";

/// A connection to the proxy with or without TLS, through it by CONNECT, and inside that TLS to the server.
pub type Tunnelled = HttpsConnector<Tunnel<HttpsConnector<HttpConnector>>>;

/// The proxies of this machine.
#[derive(Debug)]
pub struct Proxies(Matcher);

impl Proxies {
    /// Reads the proxy variables. A malformed one would be ignored, and the requests would leave another way.
    ///
    /// # Errors
    /// A configuration failure: a variable is malformed. Its value is not shown.
    pub fn new(variables: &ProxyVariables) -> Result<Proxies> {
        let ProxyVariables { https, http, all, no } = variables;
        for (name, value) in [("HTTPS_PROXY", https), ("HTTP_PROXY", http), ("ALL_PROXY", all), ("NO_PROXY", no)] {
            let wrong = |what, next| {
                let other = name.to_ascii_lowercase();
                Failure::configuration(format!("{name} (or {other}) is wrong: it {what}")).next(next)
            };
            check_line_end(value).map_err(|Implausible { what, next }| wrong(what, next))?;
            if name != "NO_PROXY" && !value.trim().is_empty() && !is_proxy(value.trim()) {
                return Err(wrong("is not the address of a proxy", NEXT));
            }
        }
        let matcher = Matcher::builder().https(encoded(https)).http(encoded(http)).all(encoded(all)).no(no.as_str());
        Ok(Proxies(matcher.build()))
    }

    /// The proxy that a request to this address takes, with user and password; `None` when it goes directly.
    pub fn address_for(&self, url: &Url) -> Option<Url> {
        let proxy = self.of(url.as_str())?;
        let mut address = Url::parse(&proxy.uri().to_string()).ok()?;
        let basic =
            proxy.basic_auth().and_then(|header| STANDARD.decode(header.to_str().ok()?.strip_prefix("Basic ")?).ok());
        if let Some((user, password)) =
            basic.as_deref().and_then(|bytes| std::str::from_utf8(bytes).ok()?.split_once(':'))
        {
            address.set_username(user).ok()?;
            address.set_password(Some(password)).ok()?;
        }
        Some(address)
    }

    fn of(&self, address: &str) -> Option<Intercept> {
        self.0.intercept(&address.parse::<Uri>().ok()?)
    }

    /// For the end of a message about a request to this address: ` through the proxy http://proxy:3128`, or nothing.
    pub fn through(&self, address: &str) -> String {
        let shown = |proxy: Intercept| format!(" through the proxy {}", proxy.uri().to_string().trim_end_matches('/'));
        self.of(address).map(shown).unwrap_or_default()
    }

    /// A client that tunnels to this address; `None` for a direct connection. An address without TLS belongs to this network (a test, a
    /// gateway): many proxies refuse to tunnel to it, so it is reached directly.
    ///
    /// # Errors
    /// When this machine has no certificates to check the server's certificate with.
    pub fn tunnel(&self, address: &str) -> std::io::Result<Option<CustomHyperClientBuilder<Tunnelled>>> {
        let Some(proxy) = self.of(address).filter(|_| address.starts_with("https:")) else { return Ok(None) };
        let to_proxy = HttpsConnectorBuilder::new().with_native_roots()?.https_or_http().enable_http1().build();
        let tunnel = Tunnel::new(proxy.uri().clone(), to_proxy);
        let tunnel = match proxy.basic_auth() {
            Some(credentials) => tunnel.with_auth(credentials.clone()),
            None => tunnel,
        };
        let through =
            HttpsConnectorBuilder::new().with_native_roots()?.https_only().enable_http1().wrap_connector(tunnel);
        let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(through);
        Ok(Some(CustomHyperClientBuilder::from(client)))
    }
}

/// Whether a value is the address of a proxy: a scheme or none, anything before the last `@`, a host, and a port or none.
/// A host that looks like a password is masked from now on.
fn is_proxy(value: &str) -> bool {
    let (scheme, rest) = value.split_once("://").unwrap_or(("http", value));
    let place = rest.rsplit_once('@').map_or(rest, |(_, place)| place).trim_end_matches('/');
    let (host, port) = match place.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port),
        Some(_) | None => (place, "0"),
    };
    if !is_likely_name(host) {
        conceal(host);
        conceal(&host.to_lowercase());
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let is_host = !host.is_empty() && host.chars().all(plain);
    let is_known = ["http", "https", "socks4", "socks4a", "socks5", "socks5h"].contains(&scheme);
    is_known && (is_host || address.is_some_and(|host| host.parse::<Ipv6Addr>().is_ok())) && port.parse::<u16>().is_ok()
}

/// The address of a proxy with user and password percent-encoded: everything before the last `@`.
fn encoded(value: &str) -> String {
    let (scheme, rest) = match value.find("://") {
        Some(at) => value.split_at(at + 3),
        None => ("", value),
    };
    let Some((user, host)) = rest.rsplit_once('@') else { return value.to_owned() };
    let part = |text: &str| percent_encoded(&percent_decode_str(text).decode_utf8_lossy());
    match user.split_once(':') {
        Some((user, password)) => format!("{scheme}{}:{}@{host}", part(user), part(password)),
        None => format!("{scheme}{}@{host}", part(user)),
    }
}
