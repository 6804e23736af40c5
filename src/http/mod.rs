//! HTTP: the one client that Drive, tokens, webhooks and pings share, and the reason of a failed request.
//!
//! Risk: an address may be a secret, and errors of the library contain it. So the address is removed from every error,
//! and messages name only the host and the proxy.

pub mod certificates;
pub mod proxy;

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use chrono::DateTime;
use reqwest::header::{DATE, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Client, ClientBuilder, Proxy};
use url::Url;

use crate::config::ProxyVariables;
use crate::failure::{Explanation, Failure, Result};
use crate::secret::redact;
use proxy::Proxies;

/// How long it may take to open a connection.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// The seconds that a server asks to wait: a number, or a date by the server's own clock, because ours may be wrong. Negative for a date of the
/// past.
pub fn retry_after(headers: &HeaderMap) -> Option<f64> {
    let header = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let date = |name| DateTime::parse_from_rfc2822(header(name)?.trim()).ok();
    let seconds = header(RETRY_AFTER).and_then(|text| text.trim().parse().ok());
    seconds.or_else(|| Some((date(RETRY_AFTER)? - date(DATE)?).num_milliseconds() as f64 / 1000.0))
}

/// The address of a web server, if the text is one.
pub fn web_address(text: &str) -> Option<Url> {
    Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
}

/// After a certificate that was refused.
const UNTRUSTED: &str = "this machine does not trust that certificate: name the authority that signed it, such as your company's CA or that of \
    a proxy that inspects TLS, with SSL_CERT_FILE, in a file that holds the usual ones too (for the database alone with tlsCAFile in \
    MONGODB_URI); if it is the name that is not valid, use a host name of the certificate";

/// After a certificate of an authority in the place of a server's own.
const OF_AN_AUTHORITY: &str = "the server's certificate is itself one of an authority (CA:TRUE), and must not be the server's: make the server \
    one that this authority signs (CA:FALSE, for its host name), and name the authority with SSL_CERT_FILE, or for the database alone with \
    tlsCAFile in MONGODB_URI";

/// After a certificate whose time is over.
const EXPIRED: &str =
    "the server's certificate has expired: renew it on the server; if it is valid still, set the clock of this machine";

/// What to do about a certificate, when a connection failed because of it. The TLS library reports that only as text.
pub fn about_certificate(reason: &str) -> Option<&'static str> {
    let next = match reason {
        _ if reason.contains("CaUsedAsEndEntity") => OF_AN_AUTHORITY,
        _ if reason.contains(": Expired") || reason.contains("certificate expired") => EXPIRED,
        _ => UNTRUSTED,
    };
    reason.contains("invalid peer certificate").then_some(next)
}

/// A failed connection: what failed, followed by the causes as the libraries name them, and what to do when a certificate is among them.
pub fn explained(what: &str, causes: &str) -> Explanation {
    let next = about_certificate(causes).map(str::to_owned);
    Explanation { next, ..Explanation::from(format!("{what}{causes}")) }
}

/// The client for every request of this program, and the proxies that it uses.
#[derive(Clone)]
pub struct Http {
    /// Makes the requests.
    pub client: Client,
    /// The proxies that it takes.
    pub proxies: Arc<Proxies>,
}

impl Http {
    /// The one HTTP client. It follows no redirects: a 308 is an answer of the upload protocol, and a client that
    /// follows it would send the bytes elsewhere. It repeats nothing on its own, so that callers count every try.
    ///
    /// # Errors
    /// A configuration failure: a proxy variable is malformed, or this machine has no certificates.
    pub fn new(proxies: &ProxyVariables) -> Result<Http> {
        Http::built_with(Client::builder(), proxies)
    }

    /// The client for addresses without TLS: it reads no certificates, and trusts none.
    ///
    /// # Errors
    /// A configuration failure: a proxy variable is malformed.
    pub fn without_certificates(proxies: &ProxyVariables) -> Result<Http> {
        Http::built_with(Client::builder().tls_certs_only([]), proxies)
    }

    fn built_with(builder: ClientBuilder, proxies: &ProxyVariables) -> Result<Http> {
        let proxies = Arc::new(Proxies::new(proxies)?);
        let way = Arc::clone(&proxies);
        let client = builder
            .user_agent(concat!("batch-export/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .connect_timeout(CONNECT_LIMIT)
            .http1_only()
            .proxy(Proxy::custom(move |url| way.address_for(url)))
            .build();
        client.map(|client| Http { client, proxies }).map_err(|error| {
            Failure::configuration(redact(&format!("cannot make connections: {error}{}", causes(&error))))
                .next("check that this machine has CA certificates (SSL_CERT_FILE names a file of them)")
        })
    }

    /// Why a request failed, with all causes, the host and the proxy, and without the address, which may be a secret. `what` failed begins
    /// the message.
    pub fn failed(&self, what: &str, error: reqwest::Error) -> Explanation {
        let way = |url: &Url| Some(format!(" ({}{})", url.host_str()?, self.proxies.through(url.as_str())));
        let way = error.url().and_then(way).unwrap_or_default();
        let error = error.without_url();
        explained(&format!("{what}{error}{way}"), &causes(&error))
    }
}

/// The causes of an error, each after a colon. A cause that the error's own message already contains is left out.
pub fn causes(error: &dyn Error) -> String {
    let mut said = error.to_string();
    let mut causes = String::new();
    for cause in std::iter::successors(error.source(), |&cause| cause.source()).map(ToString::to_string) {
        if !said.contains(&cause) {
            causes = causes + ": " + &cause;
            said = cause;
        }
    }
    causes
}
