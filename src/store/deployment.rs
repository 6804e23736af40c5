//! The deployment that a server belongs to, and whether it has what a run needs: transactions and snapshot reads need a
//! replica set or mongos.
//!
//! Risk: a message that sends people the wrong way. A server that was started with `--replSet` but never initiated is
//! not standalone; it lacks one command. The driver does not use such a server and reports that no server was found. So
//! when no server is found, each host of the URI is asked once more, directly.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::future::join_all;
use mongodb::bson::{Document, doc};
use mongodb::error::ErrorKind;
use mongodb::event::EventHandler;
use mongodb::event::sdam::SdamEvent;
use mongodb::options::{ClientOptions, ServerAddress, Tls};
use mongodb::{Client, error};
use tokio::sync::watch;

use super::Store;
use super::document::{date, text};
use super::error::{API_VERSION_REQUIRED, Kind, Result, StoreError, describe, without_link};
use super::refusals::lacks;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::http::about_certificate;

/// How long a direct question to a host may take.
const DIRECT_TIMEOUT: Duration = Duration::from_secs(2);

/// In less time no server is found, even when all is well. More may be too short for a failover, which passes.
const SELECTION_MIN: Duration = Duration::from_millis(100);

/// What the driver says of a server that is too old or too new for it.
const OF_THE_DRIVER: &str = "but this version of the MongoDB Rust driver";
/// After a certificate of another authority than that in the URI, which overrides all others.
const OTHER_AUTHORITY: &str = "the file of tlsCAFile in MONGODB_URI does not hold the authority that signed the server's certificate: name one \
    that does; or remove tlsCAFile, if this machine trusts that authority by itself or by SSL_CERT_FILE";

/// The hosts that failed when they were last asked, each with the reason, and whether waiting does not help.
pub(super) type Unusable = watch::Receiver<BTreeMap<String, (String, bool)>>;

/// Lets the driver tell of such hosts.
pub(super) fn watch_hosts(options: &mut ClientOptions) -> Unusable {
    let (sender, unusable) = watch::channel(BTreeMap::new());
    options.sdam_event_handler = Some(EventHandler::callback(move |event| match event {
        SdamEvent::ServerHeartbeatFailed(failed) => {
            let lasting = lasting(&failed.failure);
            let does_last = lasting.is_some();
            let reason = lasting.unwrap_or_else(|| describe(&failed.failure));
            sender.send_modify(|all| drop(all.insert(failed.server_address.to_string(), (reason, does_last))));
        }
        SdamEvent::ServerHeartbeatSucceeded(answered) => {
            sender.send_modify(|all| drop(all.remove(&answered.server_address.to_string())));
        }
        _ => {}
    }));
    unusable
}

/// Why no waiting helps: the host's certificate is not trusted, or it lets nobody in who declares no version of the API.
fn lasting(error: &error::Error) -> Option<String> {
    match &*error.kind {
        ErrorKind::Io(error) => Some(error.to_string()).filter(|reason| about_certificate(reason).is_some()),
        ErrorKind::Command(command) if command.code == API_VERSION_REQUIRED => Some(describe(error)),
        _ => None,
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deployment {
    /// A replica set of this name.
    ReplicaSet(String),
    /// A sharded cluster.
    Mongos,
    Standalone,
    /// A member without a replica set: never initiated, or removed from its set.
    Uninitiated,
}

impl Deployment {
    /// The deployment, from the answer to `hello`.
    pub(super) fn of(hello: &Document) -> Deployment {
        if let Some(name) = text(hello, "setName") {
            return Deployment::ReplicaSet(name);
        }
        match (hello.get_str("msg"), hello.get_bool("isreplicaset")) {
            (Ok("isdbgrid"), _) => Deployment::Mongos,
            (_, Ok(true)) => Deployment::Uninitiated,
            (_, _) => Deployment::Standalone,
        }
    }

    /// The replica set's name, or the kind of deployment.
    pub fn name(&self) -> &str {
        match self {
            Deployment::ReplicaSet(name) => name,
            Deployment::Mongos => "mongos",
            Deployment::Standalone => "standalone",
            Deployment::Uninitiated => "not initiated",
        }
    }

    /// Refuses a deployment without transactions.
    pub fn check(&self) -> Result<(), Failure> {
        match self {
            Deployment::ReplicaSet(_) | Deployment::Mongos => Ok(()),
            Deployment::Standalone => Err(Failure::configuration(
                "the MongoDB server is standalone: it has no transactions",
            )
            .next("start mongod with --replSet and run rs.initiate(), or connect to a replica set or mongos")),
            Deployment::Uninitiated => Err(Failure::configuration(
                "the MongoDB server was started with --replSet, but its replica set is not initiated",
            )
            .next(
                "run rs.initiate() on that server once, in mongosh; if it was a member before, check rs.status() on another member",
            )),
        }
    }
}

impl Store {
    /// The server's deployment, its wire version (13 is MongoDB 5.0), and its clock.
    ///
    /// # Errors
    /// `configuration` when the login is refused or no server that answers is initiated; `database_unavailable` when no
    /// server is found.
    pub(super) async fn deployment(&self) -> Result<(Deployment, i32, Option<DateTime<Utc>>), Failure> {
        match self.first_answer(doc! { "hello": 1 }).await {
            Ok(hello) => {
                let wire_version = hello.get_i32("maxWireVersion").unwrap_or(0);
                Ok((Deployment::of(&hello), wire_version, date(&hello, "localTime")))
            }
            Err(error) => Err(self.explain(error).await),
        }
    }

    /// The answer to the first command. The driver looks for a server until its limit, also when no host answers and waiting does not help at
    /// one of them.
    pub(super) async fn first_answer(&self, command: Document) -> Result<Document> {
        let (mut unusable, hosts) = (self.unusable.clone(), &self.options.hosts);
        let admin = self.client.database("admin");
        let is_in_vain = |all: &BTreeMap<String, (String, bool)>| {
            all.values().any(|(_, does_last)| *does_last)
                && hosts.iter().all(|host| all.contains_key(&host.to_string()))
        };
        tokio::select! {
            answer = self.bounded(admin.run_command(command)) => answer,
            Ok(all) = unusable.wait_for(is_in_vain) => {
                let reasons = all.iter().map(|(host, (reason, _))| format!("{host} ({})", without_link(reason)));
                Err(StoreError::no_server(reasons))
            }
        }
    }

    /// Why no server was found, if the servers themselves say it.
    pub(super) async fn explain(&self, error: StoreError) -> Failure {
        let failure = Failure::from(error.clone());
        if failure.exit != Exit::DatabaseUnavailable {
            return failure;
        }
        // The driver has no other form than words for the ways in which no server is found.
        let said = &*error.message;
        if let Some(next) = about_certificate(said) {
            let is_other = self.names_authority && said.contains("UnknownIssuer");
            return Failure { exit: Exit::Configuration, ..failure }.next(if is_other {
                OTHER_AUTHORITY
            } else {
                next
            });
        }
        if said.contains(&format!("Location{API_VERSION_REQUIRED}")) {
            return StoreError { kind: Kind::ApiVersion, message: said.to_owned() }.into();
        }
        if said.contains(OF_THE_DRIVER) {
            return lacks(&format!("the abilities of MongoDB 5.0 ({said})"));
        }
        let options = &*self.options;
        let asked = join_all(options.hosts.iter().map(|host| ask(options, host))).await;
        // A connection that ends so may look reset the next time: what the driver was told counts too.
        let refusals = asked.iter().flat_map(|answer| answer.as_ref().err()).map(describe);
        let closed = refusals.chain([said.to_owned()]).find(|said| wants_certificate(said));
        if let (Some(said), Some(Tls::Enabled(tls))) = (closed, &options.tls) {
            return refused_us(&said, tls.cert_key_file_path.is_some());
        }
        let answers: Vec<Document> = asked.into_iter().flatten().collect();
        let first = answers.first().map(Deployment::of);
        for unable in [Deployment::Uninitiated, Deployment::Standalone] {
            if first.is_some() && answers.iter().all(|hello| Deployment::of(hello) == unable) {
                return unable.check().err().unwrap_or(failure);
            }
        }
        let accepts_writes = answers.iter().any(|hello| hello.get_bool("isWritablePrimary").unwrap_or(false));
        match (first, &options.repl_set_name) {
            (Some(Deployment::ReplicaSet(name)), Some(wanted)) if name != *wanted => Failure::configuration(format!(
                "the replica set is called {name:?}, and MONGODB_URI asks for {wanted:?}"
            ))
            .next(format!("write replicaSet={name} in MONGODB_URI")),
            (Some(_), _) if accepts_writes && options.server_selection_timeout.is_some_and(|limit| limit < SELECTION_MIN) => {
                Failure::configuration("serverSelectionTimeoutMS in MONGODB_URI leaves no time to find the server, which answers")
                    .next("remove serverSelectionTimeoutMS from MONGODB_URI, or set it to 15000")
            }
            (Some(Deployment::ReplicaSet(_)), _) if accepts_writes => failure.next(
                "the primary answers under the name in MONGODB_URI: check that this machine reaches it under its name in rs.conf() too",
            ),
            // A host that knows its set shows that the set exists.
            (Some(Deployment::ReplicaSet(_)), _) => {
                failure.next("check rs.status(): the replica set answers, but has no primary")
            }
            (_, _) => {
                let by_tls = matches!(options.tls, Some(Tls::Enabled(_)));
                let next = unreached(said, by_tls, self.tls_option.as_deref());
                failure.next(next)
            }
        }
    }
}

/// What a server says of the certificate of a client, as the TLS library names it.
const OF_OUR_CERTIFICATE: [&str; 9] = [
    "CertificateRequired",
    "BadCertificate",
    "UnsupportedCertificate",
    "CertificateRevoked",
    "CertificateExpired",
    "CertificateUnknown",
    "UnknownCA",
    "AccessDenied",
    "DecryptError",
];

/// Whether a server ended a connection after its own certificate was accepted. The TLS library tells that only as text.
fn wants_certificate(said: &str) -> bool {
    let alert = said.split("fatal alert: ").nth(1).unwrap_or_default();
    said.contains("close_notify") || OF_OUR_CERTIFICATE.iter().any(|name| alert.starts_with(name))
}

/// The failure of a client that the server does not let in.
fn refused_us(said: &str, has_certificate: bool) -> Failure {
    let said = said.split(": https:").next().unwrap_or(said);
    match has_certificate {
        false => Failure::configuration(format!("the MongoDB server ends connections after its part of TLS: it demands a certificate of its clients ({said})"))
            .next(
                "add tlsCertificateKeyFile= and the path of a PEM file with a certificate for this program and its key to MONGODB_URI; if \
                 something else ends TLS before the server, see whether that reaches it",
            ),
        true => Failure::configuration(format!(
            "the MongoDB server does not accept the certificate of tlsCertificateKeyFile in MONGODB_URI ({said})"
        ))
        .next("name one that an authority of the server has signed, and that has not expired"),
    }
}

/// The next step when no host is reached. A connection that ends at once may be one in which only one side speaks TLS; the driver tells
/// that in no other form than in its words. `option` is what MONGODB_URI says of TLS, as it was written.
fn unreached(message: &str, by_tls: bool, option: Option<&str>) -> String {
    let ended = ["eof", "end of file", "reset by peer", "handshake", "corrupt message", "Broken pipe"];
    let ended = ended.iter().any(|words| message.contains(words));
    match (ended, by_tls, option) {
        (true, true, Some(option)) => format!(
            "if the server has no TLS, remove {option} from MONGODB_URI; else check that the server runs, and its host and port"
        ),
        // mongodb+srv:// asks for TLS by itself.
        (true, true, None) => "if the server has no TLS, add tls=false to MONGODB_URI; else check that the server runs, and its host and port".to_owned(),
        (true, false, Some(option)) => format!(
            "if the server asks for TLS, remove {option} from MONGODB_URI and add tls=true; else check that the server runs, and its host and port"
        ),
        (true, false, None) => {
            "if the server asks for TLS, add tls=true to MONGODB_URI; else check that the server runs, and its host and port".to_owned()
        }
        (false, ..) => "check that the server runs, and its host and port in MONGODB_URI".to_owned(),
    }
}

/// The `hello` of one host, asked directly.
async fn ask(options: &ClientOptions, host: &ServerAddress) -> error::Result<Document> {
    let mut options = options.clone();
    options.hosts = vec![host.clone()];
    options.direct_connection = Some(true);
    options.repl_set_name = None;
    options.server_selection_timeout = Some(DIRECT_TIMEOUT);
    options.connect_timeout = Some(DIRECT_TIMEOUT);
    let client = Client::with_options(options)?;
    let admin = client.database("admin");
    match tokio::time::timeout(DIRECT_TIMEOUT, admin.run_command(doc! { "hello": 1 })).await {
        Ok(answer) => answer,
        Err(_) => Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_told_by_its_hello() {
        let of = |hello: Document| Deployment::of(&hello);
        assert_eq!(of(doc! { "setName": "rs0", "secondary": true }), Deployment::ReplicaSet("rs0".to_owned()));
        assert_eq!(of(doc! { "msg": "isdbgrid" }), Deployment::Mongos);
        assert_eq!(of(doc! { "isreplicaset": true, "secondary": false }), Deployment::Uninitiated);
        assert_eq!(of(doc! { "isWritablePrimary": true }), Deployment::Standalone);
    }
}
