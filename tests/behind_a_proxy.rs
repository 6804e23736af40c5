//! Behind a company's proxy: tokens and files leave by the same way, whatever the credentials, and a failing proxy is
//! named.
//!
//! The token endpoint is `localhost` here and Drive `127.0.0.1`, both with TLS, so that the requests to each can be
//! told apart, and `NO_PROXY` can name one of them. (The sessions of uploads are `localhost` too: the fake knows itself
//! by one name.)

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use batch_export::config::ProxyVariables;
use batch_export::exit::Exit;
use batch_export::http::causes;
use batch_export::http::proxy::Proxies;
use percent_encoding::percent_decode_str;
use url::Url;

use crate::drive_matrix::{check_failed, check_no_secret, check_result, outspoken};
use crate::support::command::{BatchExport, Finished};
use crate::support::day::Day;
use crate::support::fake_drive::FakeDrive;
use crate::support::seed::{DATE, seed_day};
use crate::support::way_out::{AUTHORITY, ConnectProxy, DeadPort, TlsFront};

const USER: &str = "clerk";
/// As it stands in the variable, and as it is.
const PASSWORD: [&str; 2] = ["gate%40keeper-7531", "gate@keeper-7531"];

const TOKEN_HOST: &str = "localhost";
const DRIVE_HOST: &str = "127.0.0.1";

/// For `NO_PROXY`: nothing goes through it.
const NOBODY: &str = "localhost, 127.0.0.0/8";

const KINDS: [fn(&FakeDrive) -> String; 2] = [FakeDrive::service_account, FakeDrive::authorized_user];

/// A day whose destination is reached by TLS only.
struct Outside {
    front: TlsFront,
    day: Day,
}

impl Outside {
    fn new(credentials: fn(&FakeDrive) -> String) -> Outside {
        let mut front = None;
        let drive = FakeDrive::known_as(|address| front.insert(TlsFront::before(address)).url(TOKEN_HOST));
        let credentials = credentials(&drive);
        let day = Day::on(drive);
        std::fs::write(day.credentials(), credentials).expect("the credentials");
        seed_day(&day.db, DATE, 5);
        Outside { front: front.expect("a front before the fake"), day }
    }

    /// The command, with the variables of a machine behind a proxy at this port.
    fn behind(&self, command: BatchExport, variable: &str, port: u16) -> BatchExport {
        let address = format!("http://{USER}:{}@127.0.0.1:{port}", PASSWORD[0]);
        let command = outspoken(command).env("BATCH_EXPORT_DRIVE_URL", &self.front.url(DRIVE_HOST));
        command.env("SSL_CERT_FILE", AUTHORITY).env(variable, &address)
    }

    /// `host:port` under one of the two names.
    fn target(&self, host: &str) -> String {
        self.front.url(host).replace("https://", "")
    }

    #[track_caller]
    fn check_untold(&self, ended: &Finished) {
        check_no_secret(&self.day, ended);
        let stored = format!("{:?}", self.day.batch());
        for secret in PASSWORD.map(str::to_owned).into_iter().chain([authorization()]) {
            let told = [&ended.stdout, &ended.stderr, &stored].into_iter().any(|text| text.contains(&secret));
            assert!(!told, "{secret} is told: {}", ended.report());
        }
    }
}

/// What the proxy wants to see.
fn authorization() -> String {
    STANDARD.encode(format!("{USER}:{}", PASSWORD[1]))
}

#[test]
fn behind_a_proxy_tokens_and_files_go_through_it() {
    for credentials in KINDS {
        for variable in ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"] {
            let (outside, proxy) = (Outside::new(credentials), ConnectProxy::start());
            let ended = outside.behind(outside.day.run(), variable, proxy.port()).run().expect_code(0);
            check_result(&outside.day, &ended.json(), false);
            outside.check_untold(&ended);
            let asked = proxy.asked();
            let targets: BTreeSet<_> = asked.iter().map(|asked| asked.target.clone()).collect();
            assert_eq!(targets, [TOKEN_HOST, DRIVE_HOST].map(|host| outside.target(host)).into(), "{variable}");
            assert_eq!(outside.front.arrived(), asked.len(), "{variable}: something found another way");
            let expected = Some(format!("Basic {}", authorization()));
            assert!(asked.iter().all(|asked| asked.authorization == expected), "{variable}: {asked:?}");
        }
    }
}

#[test]
fn what_no_proxy_names_is_asked_directly() {
    for credentials in KINDS {
        for (no_proxy, through) in [
            (TOKEN_HOST, &[DRIVE_HOST][..]),
            (DRIVE_HOST, &[TOKEN_HOST]),
            (NOBODY, &[]),
            ("example.com", &[TOKEN_HOST, DRIVE_HOST]),
        ] {
            let (outside, proxy) = (Outside::new(credentials), ConnectProxy::start());
            let command = outside.behind(outside.day.run(), "HTTPS_PROXY", proxy.port()).env("NO_PROXY", no_proxy);
            let ended = command.run().expect_code(0);
            check_result(&outside.day, &ended.json(), false);
            let targets: BTreeSet<_> = proxy.asked().into_iter().map(|asked| asked.target).collect();
            assert_eq!(targets, through.iter().map(|host| outside.target(host)).collect(), "NO_PROXY={no_proxy}");
        }
    }
}

#[test]
fn a_proxy_that_is_the_trouble_is_named_without_its_password() {
    let (dead, strict) = (DeadPort::new(), ConnectProxy::answering("407 Proxy Authentication Required"));
    for credentials in KINDS {
        for (port, words) in [(dead.port(), "refused"), (strict.port(), "authorization required")] {
            // The token's request fails; or, the token fetched directly, the first one to Drive.
            for no_proxy in ["example.com", TOKEN_HOST] {
                let outside = Outside::new(credentials);
                let command = outside.behind(outside.day.run(), "HTTPS_PROXY", port).env("NO_PROXY", no_proxy);
                let ended = command.run().expect_code(22);
                check_failed(&outside.day, &ended, &format!("through the proxy http://127.0.0.1:{port}"));
                check_failed(&outside.day, &ended, words);
                outside.check_untold(&ended);
                assert_eq!(outside.front.arrived(), usize::from(no_proxy == TOKEN_HOST), "{}", ended.report());
                outside.day.let_time_pass();
                let retried = outside.behind(outside.day.retry(), "HTTPS_PROXY", port).env("NO_PROXY", NOBODY).run();
                check_result(&outside.day, &retried.expect_code(0).json()["batches"][0], false);
            }
        }
    }
}

fn proxies(https: &str, all: &str, no: &str) -> Proxies {
    let text = str::to_owned;
    let variables = ProxyVariables { https: text(https), http: String::new(), all: text(all), no: text(no) };
    Proxies::new(&variables).expect("proxies")
}

#[test]
fn what_is_not_the_address_of_a_proxy_is_refused_and_not_shown() {
    for good in ["http://proxy:3128/", "proxy", "10.0.0.1:3128", "http://[::1]:3128", "socks5h://localhost:1080", " "] {
        assert!(Proxies::new(&ProxyVariables { all: good.to_owned(), ..ProxyVariables::default() }).is_ok(), "{good}");
    }
    for (wrong, next) in [
        ("http://clerk:S3cr3tWord", "http://proxy.example.com:3128"),
        ("clerk:S3cr3t/Word:3128", "http://proxy.example.com:3128"),
        ("Tr0ub4dor&3-Needle", "http://proxy.example.com:3128"),
        ("S3cr3t://proxy:3128", "http://proxy.example.com:3128"),
        ("http://proxy:99999", "http://proxy.example.com:3128"),
        ("http://proxy:3128\r", "dos2unix"),
    ] {
        let variables = ProxyVariables { https: wrong.to_owned(), ..ProxyVariables::default() };
        let failure = Proxies::new(&variables).expect_err(wrong);
        assert_eq!(failure.exit, Exit::Configuration);
        assert!(failure.why.next.as_deref().is_some_and(|told| told.contains(next)), "{wrong}: {failure:?}");
        assert!(failure.why.message.contains("HTTPS_PROXY") && !failure.why.message.contains("3cr3t"), "{failure:?}");
    }
    let no = ProxyVariables { no: "internal.example.com\r".to_owned(), ..ProxyVariables::default() };
    assert!(Proxies::new(&no).expect_err("a line break").why.message.contains("NO_PROXY"));
    let bare = proxies("Hunter2SecretQ", "", "").through("https://x.example/");
    assert_eq!(batch_export::secret::redact(&bare), " through the proxy http://***");
}

#[test]
fn only_what_has_a_proxy_and_tls_is_tunnelled() {
    let proxies = proxies("http://proxy:3128", "", "internal.example.com");
    let is_tunnelled = |address| proxies.tunnel(address).expect("certificates").is_some();
    assert!(is_tunnelled("https://oauth2.googleapis.com/token"));
    assert!(!is_tunnelled("https://internal.example.com/token"));
    assert!(!is_tunnelled("http://oauth2.googleapis.com/token"));
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
fn a_password_may_hold_any_character() {
    for password in ["S3cr3t@Word", "a/b", "a#b", "a?b", "a:b", "100%", "%40x", "ก[1]"] {
        let plain = proxies(&format!("http://clerk:{password}@127.0.0.1:1"), "", "");
        assert_eq!(plain.through("https://x.example/"), " through the proxy http://127.0.0.1:1", "{password}");
        let address = plain.address_for(&Url::parse("https://x.example/").unwrap()).unwrap();
        assert_eq!((address.host_str(), address.port()), (Some("127.0.0.1"), Some(1)), "{password}");
        let told = percent_decode_str(address.password().unwrap()).decode_utf8().unwrap().into_owned();
        assert_eq!(told, percent_decode_str(password).decode_utf8().unwrap(), "{password}");
    }
}

#[test]
fn a_cause_that_was_told_already_is_not_told_again() {
    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct Layer(&'static str, #[source] Option<Box<Layer>>);
    let layers = ["no connection: connect failed", "connect failed", "dns error: unknown host", "unknown host"];
    let error = layers.into_iter().rev().fold(None, |source, words| Some(Box::new(Layer(words, source))));
    assert_eq!(causes(&error.unwrap()), ": dns error: unknown host");
}
