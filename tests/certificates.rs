//! Certificates of an authority that this machine does not know: a company's own CA, or a proxy that inspects TLS. With the authority named as
//! the README says, all that leaves goes through; without it, the message says so, and not that a server is down.

use crate::support::command::{BatchExport, told};
use crate::support::day::Day;
use crate::support::fake_drive::FakeDrive;
use crate::support::mongod::Mongod;
use crate::support::receiver::Receiver;
use crate::support::seed::{DATE, create_index, seed_day};
use crate::support::way_out::{AUTHORITY, DeadPort, EXPIRED, OWN_AUTHORITY, TlsFront};

fn front_of(port: u16) -> TlsFront {
    TlsFront::before(([127, 0, 0, 1], port).into())
}

/// A run that reaches the database by TLS only.
fn by_tls(day: &Day, front: &TlsFront, command: &str, options: &str) -> BatchExport {
    let host = front.url("localhost").replace("https://", "");
    let uri =
        format!("mongodb://{host}/{}?directConnection=true&serverSelectionTimeoutMS=2000&{options}", day.db.name());
    day.command(command).mongodb(&uri).now("2026-01-18T18:30:00+07:00")
}

#[test]
fn the_database_s_certificate_is_trusted_when_its_authority_is_named() {
    let front = front_of(Mongod::shared().port());
    let with_file = format!("tls=true&tlsCAFile={AUTHORITY}");
    for (options, variable) in [(with_file.as_str(), None), ("tls=true", Some(AUTHORITY))] {
        let day = Day::in_directory();
        seed_day(&day.db, DATE, 3);
        let mut run = by_tls(&day, &front, "run", options);
        if let Some(authority) = variable {
            run = run.env("SSL_CERT_FILE", authority);
        }
        run.run().expect_code(0);
        day.check_converged();
    }
}

#[test]
fn a_certificate_of_an_unknown_authority_is_a_setting_and_no_server_that_is_down() {
    let front = front_of(Mongod::shared().port());
    let day = Day::in_directory();
    create_index(&day.db);
    let refused = told(&by_tls(&day, &front, "run", "tls=true").run().expect_code(30).json()["error"]);
    let doctor = by_tls(&day, &front, "doctor", "tls=true").run().expect_code(34).json();
    let check = doctor["checks"][0].to_string();
    for text in [refused, check] {
        for word in ["invalid peer certificate", "tlsCAFile", "SSL_CERT_FILE"] {
            assert!(text.contains(word), "{word:?} is not in {text}");
        }
        assert!(!text.contains("server runs"), "{text}");
    }
}

/// The driver goes on for as long as it is told to look for a server.
#[test]
fn nobody_waits_for_a_server_that_is_there_and_not_trusted() {
    let front = front_of(Mongod::shared().port());
    let day = Day::in_directory();
    let host = front.url("localhost").replace("https://", "");
    let uri = format!("mongodb://{host}/{}?tls=true&serverSelectionTimeoutMS=600000", day.db.name());
    let refused = told(&day.run().mongodb(&uri).run().expect_code(30).json()["error"]);
    let words =
        format!("no server that accepts writes was found among {host} (invalid peer certificate: UnknownIssuer");
    assert!(refused.contains(&words) && refused.contains("SSL_CERT_FILE"), "{refused}");
    let doctor = day.command("doctor").mongodb(&uri).run().expect_code(34).json();
    assert!(doctor["checks"][0].to_string().contains("invalid peer certificate"), "{doctor}");
}

#[test]
fn nobody_waits_for_a_host_that_is_dead_beside_one_that_is_not_trusted() {
    let (front, dead) = (front_of(Mongod::shared().port()), DeadPort::new());
    let day = Day::in_directory();
    let host = front.url("localhost").replace("https://", "");
    let hosts = format!("127.0.0.1:{},{host}", dead.port());
    let uri = format!("mongodb://{hosts}/{}?tls=true&serverSelectionTimeoutMS=600000", day.db.name());
    let refused = told(&day.run().mongodb(&uri).run().expect_code(30).json()["error"]);
    assert!(refused.contains("UnknownIssuer") && refused.contains("Connection refused"), "{refused}");
    assert!(refused.contains("SSL_CERT_FILE"), "{refused}");
}

#[test]
fn a_server_that_is_its_own_authority_is_told_to_get_a_certificate_of_it() {
    let front = TlsFront::of_an_authority(([127, 0, 0, 1], Mongod::shared().port()).into());
    let day = Day::in_directory();
    let run = by_tls(&day, &front, "run", &format!("tls=true&tlsCAFile={OWN_AUTHORITY}"));
    let refused = told(&run.run().expect_code(30).json()["error"]);
    assert!(refused.contains("CaUsedAsEndEntity") && refused.contains("this authority signs"), "{refused}");
}

#[test]
fn a_wrong_file_of_the_authority_and_an_expired_certificate_are_told_apart() {
    let server = ([127, 0, 0, 1], Mongod::shared().port()).into();
    let day = Day::in_directory();
    let refused = |front: &TlsFront, authority: &str| {
        let status = by_tls(&day, front, "status", &format!("tls=true&tlsCAFile={authority}"));
        told(&status.run().expect_code(30).json()["error"])
    };
    let other = refused(&TlsFront::before(server), OWN_AUTHORITY);
    assert!(other.contains("the file of tlsCAFile in MONGODB_URI does not hold the authority"), "{other}");
    let expired = refused(&TlsFront::expired(server), EXPIRED);
    assert!(expired.contains("has expired: renew it") && !expired.contains("SSL_CERT_FILE"), "{expired}");
}

/// As a server does that demands a certificate: the client has nothing to say against the server's, and the server ends the connection.
#[test]
fn a_server_that_demands_a_certificate_of_its_clients_is_no_server_without_tls() {
    let dead = DeadPort::new();
    let front = front_of(dead.port());
    let day = Day::in_directory();
    let options = format!("tls=true&tlsCAFile={AUTHORITY}");
    let refused = told(&by_tls(&day, &front, "run", &options).run().expect_code(30).json()["error"]);
    assert!(refused.contains("demands a certificate") && refused.contains("tlsCertificateKeyFile"), "{refused}");
    assert!(!refused.contains("https:") && !refused.contains("has no TLS"), "{refused}");
}

#[test]
fn a_certificate_of_ours_that_the_server_does_not_trust_is_a_setting() {
    let front = TlsFront::strict(([127, 0, 0, 1], Mongod::shared().port()).into());
    let day = Day::in_directory();
    let folder = tempfile::tempdir().unwrap();
    let own = folder.path().join("own.pem");
    std::fs::write(
        &own,
        [include_str!("support/tunnel/server.pem"), include_str!("support/tunnel/server.key.pem")].concat(),
    )
    .unwrap();
    let options = format!("tls=true&tlsCAFile={AUTHORITY}&tlsCertificateKeyFile={}", own.display());
    let refused = told(&by_tls(&day, &front, "run", &options).run().expect_code(30).json()["error"]);
    assert!(refused.contains("does not accept the certificate of tlsCertificateKeyFile"), "{refused}");
    assert!(refused.contains("received fatal alert") && !refused.contains("server runs"), "{refused}");
}

#[test]
fn drive_and_a_webhook_that_are_their_own_authority_are_told_the_same() {
    let people = Receiver::start(Some(200));
    let port = people.url("").rsplit(':').next().unwrap().parse().unwrap();
    let webhook = TlsFront::of_an_authority(([127, 0, 0, 1], port).into());
    let mut front = None;
    let drive = FakeDrive::known_as(|address| front.insert(TlsFront::of_an_authority(address)).url("localhost"));
    let day = Day::on(drive);
    let front = front.expect("a front before the fake");
    seed_day(&day.db, DATE, 3);
    let command = |name: &str| {
        let command = day.command(name).env("BATCH_EXPORT_DRIVE_URL", &front.url("localhost"));
        let command = command.env("BATCH_EXPORT_NOTIFY_URL", &format!("{}/hook", webhook.url("localhost")));
        command.env("BATCH_EXPORT_NOTIFY_KIND", "json").env("SSL_CERT_FILE", OWN_AUTHORITY)
    };
    let refused = told(&command("run").date(DATE).run().json()["error"]);
    assert!(refused.contains("CaUsedAsEndEntity") && refused.contains("this authority signs"), "{refused}");
    let doctor = command("doctor").arg("--send").run().expect_code(34).json();
    let webhook =
        doctor["checks"].as_array().unwrap().iter().find(|check| check.to_string().contains("did not arrive"));
    assert!(webhook.is_some_and(|check| check.to_string().contains("this authority signs")), "{doctor:#}");
}

#[test]
fn drive_and_a_webhook_are_reached_when_their_authority_is_named() {
    let people = Receiver::start(Some(200));
    let port = people.url("").rsplit(':').next().unwrap().parse().unwrap();
    let webhook = front_of(port);
    let mut front = None;
    let drive = FakeDrive::known_as(|address| front.insert(TlsFront::before(address)).url("localhost"));
    let day = Day::on(drive);
    let front = front.expect("a front before the fake");
    seed_day(&day.db, DATE, 3);
    let run = || {
        let run = day.run().env("BATCH_EXPORT_DRIVE_URL", &front.url("127.0.0.1"));
        run.env("BATCH_EXPORT_NOTIFY_URL", &format!("{}/hook", webhook.url("localhost")))
            .env("BATCH_EXPORT_NOTIFY_KIND", "json")
    };
    let refused = run().run();
    assert!(refused.code >= 20, "{}", refused.report());
    let error = refused.json()["error"].clone();
    assert!(error["message"].as_str().unwrap().contains("UnknownIssuer"), "{error}");
    assert!(error["next"].as_str().unwrap().contains("SSL_CERT_FILE"), "{error}");
    assert_eq!(people.posted().len(), 0);
    assert!(refused.stderr.contains("UnknownIssuer"), "{}", refused.stderr);
    run().arg("--now").env("SSL_CERT_FILE", AUTHORITY).run().expect_code(0);
    assert_eq!(people.messages().len(), 1);
    day.check_converged();
}

#[test]
fn a_file_of_certificates_that_only_notifications_need_ends_no_run() {
    let people = Receiver::start(Some(200));
    let without = |url: &str, command: &str| {
        let day = Day::in_directory();
        seed_day(&day.db, DATE, 3);
        let ended =
            day.run().env("SSL_CERT_FILE", "/nowhere/ca.pem").env("BATCH_EXPORT_NOTIFY_URL", url).run().expect_code(0);
        day.check_converged();
        let other = day.command(command).env("SSL_CERT_FILE", "/nowhere/ca.pem").env("BATCH_EXPORT_NOTIFY_URL", url);
        (ended, other.run().json())
    };
    let (ended, _) = without(&people.url("/hook"), "status");
    assert_eq!((people.messages().len(), ended.stderr.contains("SSL_CERT_FILE")), (1, false), "{}", ended.stderr);
    let (ended, doctor) = without("https://127.0.0.1:1/hook", "doctor");
    assert!(
        ended.stderr.contains("SSL_CERT_FILE is wrong: the file /nowhere/ca.pem cannot be read"),
        "{}",
        ended.stderr
    );
    let check = doctor["checks"].as_array().unwrap().iter().find(|check| check["name"] == "notification").unwrap();
    assert_eq!(check["verdict"], "warning", "{check}");
    assert!(check.to_string().contains("SSL_CERT_FILE is wrong"), "{check}");
}
