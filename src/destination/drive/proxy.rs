//! The way out of this network: which proxy a request takes, and what it is called where people read of it.
//!
//! The danger is two libraries that go two ways: Drive's requests leave through the proxy, the one for a token does not, and the run
//! fails on a machine on which a browser works. reqwest reads the variables of proxies by itself; here they are read by the very
//! code that it uses (the matcher of hyper-util), for the library of the tokens, which knows no proxies, and for the messages of
//! both. A password of the proxy is in nothing that is formatted here.

use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use hyper_util::rt::TokioExecutor;
use yup_oauth2::CustomHyperClientBuilder;
use yup_oauth2::hyper::Uri;
use yup_oauth2::hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};

use crate::config::ProxyVariables;

/// To the proxy with or without TLS, through it by CONNECT, and in that TLS to the other end.
pub(super) type Tunnelled = HttpsConnector<Tunnel<HttpsConnector<HttpConnector>>>;

/// The proxies of this machine.
#[derive(Debug)]
pub(super) struct Proxies(Matcher);

impl Proxies {
    pub(super) fn new(variables: &ProxyVariables) -> Proxies {
        let ProxyVariables { https, http, all, no } = variables;
        let matcher = Matcher::builder().https(https.as_str()).http(http.as_str()).all(all.as_str()).no(no.as_str());
        Proxies(matcher.build())
    }

    fn of(&self, address: &str) -> Option<Intercept> {
        self.0.intercept(&address.parse::<Uri>().ok()?)
    }

    /// For the end of a message about a request to this address: ` through the proxy http://proxy:3128`, or nothing.
    pub(super) fn through(&self, address: &str) -> String {
        let shown = |proxy: Intercept| format!(" through the proxy {}", proxy.uri().to_string().trim_end_matches('/'));
        self.of(address).map(shown).unwrap_or_default()
    }

    /// A client that tunnels to this address, which is known beforehand; `None` where it is asked directly. An address without TLS is
    /// one of this network (a test, a gateway): many proxies refuse to tunnel to it, and it is asked directly too.
    ///
    /// # Errors
    /// When this machine has no certificates to check the other end's with.
    pub(super) fn tunnel(&self, address: &str) -> std::io::Result<Option<CustomHyperClientBuilder<Tunnelled>>> {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(https: &str, all: &str, no: &str) -> Proxies {
        let text = str::to_owned;
        Proxies::new(&ProxyVariables { https: text(https), http: String::new(), all: text(all), no: text(no) })
    }

    #[test]
    fn a_proxy_is_named_without_its_password() {
        let token = "https://oauth2.googleapis.com/token";
        let told = |https: &str, all: &str, no: &str| proxies(https, all, no).through(token);
        assert_eq!(told("http://clerk:s3cret@proxy:3128", "", ""), " through the proxy http://proxy:3128");
        assert_eq!(told("clerk:s3cret@proxy:3128", "", ""), " through the proxy http://proxy:3128");
        assert_eq!(told("", "https://proxy", ""), " through the proxy https://proxy");
        assert_eq!(told("http://proxy:3128", "", "example.com,.googleapis.com"), "");
        assert_eq!(told("", "", ""), "");
        assert!(!format!("{:?}", proxies("http://clerk:s3cret@proxy:3128", "", "")).contains("s3cret"));
    }

    #[test]
    fn only_what_has_a_proxy_and_tls_is_tunnelled() {
        let tunnelled = |proxies: &Proxies, address| proxies.tunnel(address).expect("certificates").is_some();
        let proxies = proxies("http://proxy:3128", "", "internal.example.com");
        assert!(tunnelled(&proxies, "https://oauth2.googleapis.com/token"));
        assert!(!tunnelled(&proxies, "https://internal.example.com/token"));
        assert!(!tunnelled(&proxies, "http://oauth2.googleapis.com/token"));
    }
}
