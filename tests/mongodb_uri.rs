//! The connection string as people have it: usually the application's own, and written for another driver.

use crate::support::command::{BatchExport, told};
use crate::support::day::Day;
use crate::support::mongod::Mongod;
use crate::support::seed::{DATE, seed_day};

#[test]
fn options_of_other_drivers_are_left_out_with_one_warning() {
    let day = Day::in_directory();
    seed_day(&day.db, DATE, 3);
    let uri = day.db.uri();
    let joined = if uri.contains('?') { "&" } else { "?" };
    let others = "compressors=zstd&socketTimeoutMS=1&timeoutMS=1&useNewUrlParser=true&useUnifiedTopology=true&\
                  uuidRepresentation=standard&keepAlive=true&family=4&zlibCompressionLevel=6&tz_aware=true&\
                  document_class=dict&connect=false&unicode_decode_error_handler=ignore&forceServerObjectId=true&\
                  pkFactory=x&checkKeys=true&bsonRegExp=true&useBigInt64=true&secondaryAcceptableLatencyMS=15&\
                  auto_reconnect=true&promiseLibrary=x&wtimeout=1000&guidRepresentation=standard&\
                  gssapiServiceName=mongodb&strictQuery=true&readConcern=majority&3t.uriVersion=3&3t.databases=a,b&\
                  autoCreate=true&ipv6=true&guids=Standard&connectTimeout=5s&waitQueueSize=9&streamType=netty&maxIdleTime=10s&\
                  maxLifeTime=1m&waitQueueTimeout=1s&localThreshold=15ms&heartbeatTimeout=10s&maxStaleness=90&\
                  heartbeatIntervalMS=9&zstdCompressionLevel=1&canonicalizeHostname=true&socketCheckIntervalMS=5&\
                  acceptableLatencyMS=15&minSize=1&useRecoveryToken=true&logger=x";
    // A pool without a limit is what other drivers mean by the last one.
    let ended = day.run().mongodb(&format!("{uri}{joined}{others}&family=6&maxPoolSize=0")).run().expect_code(0);
    let warnings: Vec<&str> = ended.stderr.lines().filter(|line| line.contains("other drivers")).collect();
    assert_eq!(warnings.len(), 1, "{}", ended.report());
    assert!(!warnings[0].contains("maxPoolSize"), "{}", warnings[0]);
    assert_eq!(warnings[0].matches("family").count(), 1, "{}", warnings[0]);
    for option in others.split('&').filter_map(|option| option.split('=').next()) {
        assert!(warnings[0].contains(option.trim()), "{option}: {}", warnings[0]);
    }
    day.check_converged();
}

#[test]
fn an_option_of_another_driver_hides_no_cause() {
    let port = Mongod::shared().port();
    for more in ["", "&useNewUrlParser=true", "&compressors=zlib", "&"] {
        for (options, code, words) in [
            ("replicaSet=wrong", 30, "MONGODB_URI asks for \"wrong\""),
            ("directConnection=true&tls=true", 20, "remove tls=true"),
        ] {
            let uri = format!("mongodb://localhost:{port}/x?serverSelectionTimeoutMS=2000&{options}{more}");
            let ended = BatchExport::command("status").arg("--output").arg("json").mongodb(&uri).run();
            let sentence = told(&ended.expect_code(code).json()["error"]);
            assert!(sentence.contains(words), "{options}{more}: {sentence}");
        }
    }
}

#[test]
fn a_search_that_may_take_no_time_is_the_cause_that_is_named() {
    let port = Mongod::shared().port();
    for limit in ["0", "1"] {
        let uri = format!("mongodb://localhost:{port}/x?serverSelectionTimeoutMS={limit}");
        let command = |name| BatchExport::command(name).args(&["--output", "json"]).mongodb(&uri);
        let sentence = told(&command("status").run().expect_code(30).json()["error"]);
        assert!(sentence.contains("serverSelectionTimeoutMS") && !sentence.contains("no primary"), "{sentence}");
    }
}

#[test]
fn a_load_balancer_that_is_not_there_is_no_reason_to_wait() {
    let day = Day::in_directory();
    let uri = format!("mongodb://127.0.0.1:{}/?loadBalanced=true", Mongod::shared().port());
    for command in ["run", "status"] {
        let error = day.command(command).mongodb(&uri).run().expect_code(30).json()["error"].clone();
        assert!(told(&error).contains("without loadBalanced"), "{error}");
    }
}

#[test]
fn what_is_wrong_with_a_connection_string_is_said_without_a_part_of_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let empty = folder.path().join("ca.pem");
    std::fs::write(&empty, "nothing").expect("a file");
    let garbled = folder.path().join("garbled.pem");
    std::fs::write(&garbled, "-----BEGIN CERTIFICATE-----\nR0FSQkxFRA==\n-----END CERTIFICATE-----\n").expect("a file");
    let garbled = garbled.display().to_string();
    let authority = include_str!("support/tunnel/authority.pem");
    let cut = folder.path().join("cut.pem").display().to_string();
    let lines: Vec<&str> = authority.lines().filter(|line| !line.starts_with("MII")).collect();
    std::fs::write(&cut, lines.join("\n")).expect("a file");
    let marked = folder.path().join("marked.pem").display().to_string();
    std::fs::write(&marked, format!("\u{feff}{authority}")).expect("a file");
    let (missing, empty) = (folder.path().join("no.pem").display().to_string(), empty.display().to_string());
    for (uri, words) in [
        ("mongodb://clerk:Hunter2Secret?@db1,db2/app".to_owned(), "%3F"),
        ("mongodb://clerk:Hunter2Secret@more@db1/app".to_owned(), "%40"),
        ("mongodb://clerk:Hunter2Secret@mo/re@db1/app".to_owned(), "%40"),
        ("mongodb://clerk:Hunter2Secret%wo@db1/app".to_owned(), "% as %25"),
        ("mongodb://clerk:Hunter2Secret%@db1/app".to_owned(), "% as %25"),
        ("mongodb://clerk:dour@my/x?Hunter2Secret=9@db1/app?replicaSet=x".to_owned(), "%3F"),
        ("mongodb://clerk:dour@my?Hunter2Secret@db1/app".to_owned(), "%3F"),
        ("mongodb://clerk:Hunter2Secret/more@db1,db2/app".to_owned(), "%2F"),
        ("mongodb://clerk:Hunter2Secret#more@db1,db2/app".to_owned(), "%23"),
        ("mongodb://clerk:Hunter2Secret:more@db1,db2/app".to_owned(), "%3A"),
        ("mongodb://db1:port/app?Hunter2Secret=1".to_owned(), "option that does not exist"),
        ("mongodb://db1/app?replicaSte=Hunter2Secret".to_owned(), "replicaSte"),
        (
            "mongodb://db1/app?someVeryLongOptionNameOfSomebody=Hunter2Secret".to_owned(),
            "someVeryLongOptionNameOfSomebody",
        ),
        ("mongodb://db1/app?appName=a&appname=Hunter2Secret".to_owned(), "the option appname twice"),
        ("mongodb://db1/app?tlsCertificateKeyFilePassword=Hunter2Secret".to_owned(), "without its password"),
        ("mongodb://db1/app?tlsCRLFile=Hunter2Secret".to_owned(), "revoked"),
        ("mongodb://db1/app?sslValidate=Hunter2Secret".to_owned(), "checked always"),
        ("mongodb://db1/app?sslCA=Hunter2Secret".to_owned(), "write tlsCAFile="),
        ("mongodb://db1/app?sslKey=Hunter2Secret".to_owned(), "write tlsCertificateKeyFile="),
        ("mongodb://db1/app?sslClientCertificateKeyFile=Hunter2Secret".to_owned(), "write tlsCertificateKeyFile="),
        ("mongodb://db1/app?tlsPrivateKeyFile=Hunter2Secret".to_owned(), "write tlsCertificateKeyFile="),
        ("mongodb://db1/app?tlsCertificateFile=Hunter2Secret".to_owned(), "write tlsCertificateKeyFile="),
        ("mongodb://db1/app?sslPass=Hunter2Secret".to_owned(), "without its password"),
        ("mongodb://db1/app?ssl_pem_passphrase=Hunter2Secret".to_owned(), "without its password"),
        ("mongodb://db1/app?sslCRL=Hunter2Secret".to_owned(), "revoked"),
        ("mongodb://db1/app?ssl_crlfile=Hunter2Secret".to_owned(), "revoked"),
        ("mongodb://db1/app?sslInvalidHostNameAllowed=Hunter2Secret".to_owned(), "checked always"),
        ("mongodb://db1/app?sslVerifyCertificate=Hunter2Secret".to_owned(), "checked always"),
        ("mongodb://db1/app?sslAllowInvalidCertificates=Hunter2Secret".to_owned(), "checked always"),
        ("mongodb://db1/app?sslInsecure=Hunter2Secret".to_owned(), "checked always"),
        ("mongodb://127.0.0.1:99999/".to_owned(), "check the hosts: "),
        ("mongodb://".to_owned(), "check the hosts: "),
        ("mongodb://db1/Hunter2Secret%20b?replicaSet=rs0".to_owned(), "the database name in it"),
        (format!("mongodb://db1/app?tls=true&tlsCAFile={marked}"), "byte order mark"),
        ("mongodb://db1/app?proxyHost=Hunter2Secret".to_owned(), "SOCKS"),
        (format!("mongodb://db1/app?appName={}Hunter2Secret", "x".repeat(120)), "longer than the 128 bytes"),
        ("mongodb://db1/app?tls=true&tlsCAFile=".to_owned(), "tlsCAFile is empty"),
        ("mongodb://db1/app?tlsCAFile=-----BEGIN%20CERTIFICATE-----Hunter2Secret".to_owned(), "content of a key"),
        (format!("mongodb://db1/app?tls=true&tlsCAFile={garbled}"), "no certificate in PEM form"),
        (format!("mongodb://db1/app?tls=true&tlsCAFile={cut}"), "no certificate in PEM form"),
        ("mongodb://db1/app?maxPoolSize=Hunter2Secret".to_owned(), "values of maxPoolSize"),
        ("mongodb://db1:Hunter2Secret/app".to_owned(), "hosts"),
        (format!("mongodb://db1/app?tls=true&tlsCAFile={missing}"), "cannot be read"),
        (format!("mongodb://db1/app?tls=true&tlsCAFile={empty}"), "no certificate"),
    ] {
        let command = BatchExport::command("run").args(&["-vv", "--output", "json"]).destination("file:///tmp");
        let ended = command.mongodb(&uri).run().expect_code(30);
        let error = ended.json()["error"].to_string();
        assert!(error.contains(words), "{uri}: {error}");
        assert!(!format!("{}{}", ended.stdout, ended.stderr).contains("Hunter2Secret"), "{uri}: {}", ended.report());
    }
}

#[test]
fn what_is_wrong_with_the_file_of_the_own_certificate_is_told_apart() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("client.pem");
    let uri = format!("mongodb://db1/app?tls=true&tlsCertificateKeyFile={}", path.display());
    let (certificate, key) = (include_str!("support/tunnel/server.pem"), include_str!("support/tunnel/server.key.pem"));
    let authority = include_str!("support/tunnel/authority.pem");
    let locked = key.replace(" PRIVATE", " ENCRYPTED PRIVATE");
    let old = key.replace("KEY-----\n", "KEY-----\nProc-Type: 4,ENCRYPTED\n");
    let encrypted = format!("tlsCertificateKeyFile, {}, is encrypted", path.display());
    let both = "name one PEM file that holds both";
    for (parts, words, next) in [
        (&["nothing"][..], "holds neither a certificate nor a private key", both),
        (&[key], "holds no certificate", both),
        (&[certificate], "holds no private key", both),
        (&[key, authority, certificate], "the key is not that of the first certificate", "into one PEM file"),
        (&[&locked, certificate], &encrypted, "without a password"),
        (&[&old, certificate], &encrypted, "without a password"),
    ] {
        std::fs::write(&path, parts.concat()).expect("a file");
        let run = BatchExport::command("run").args(&["--output", "json"]).destination("file:///tmp").mongodb(&uri);
        let error = &run.run().expect_code(30).json()["error"];
        assert!(error["message"].as_str().unwrap().contains(words), "{error}");
        assert!(error["next"].as_str().unwrap().contains(next), "{error}");
    }
    let own = format!("mongodb://db1/app?tls=true&tlsCAFile={}", path.display());
    std::fs::write(&path, key).expect("a file");
    let run = BatchExport::command("run").args(&["--output", "json"]).destination("file:///tmp").mongodb(&own);
    let error = &run.run().expect_code(30).json()["error"];
    assert!(error["next"].as_str().unwrap().contains("the certificate of the authority"), "{error}");
}

#[test]
fn a_file_or_a_variable_that_holds_more_than_the_connection_string_says_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("uri");
    let file = format!("file:{}", path.display());
    for (content, words) in [
        ("", "is empty"),
        ("\n", "is empty"),
        ("\"mongodb://clerk:Hunter2Secret@db1/app\"", "quot"),
        ("MONGODB_URI=mongodb://clerk:Hunter2Secret@db1/app\n", "the variable's name before the value"),
        ("export MONGODB_URI=mongodb://clerk:Hunter2Secret@db1/app\n", "the variable's name before the value"),
        ("mongodb://db1/app?authSource=admin\nHunter2Secret\n", "more than one line"),
    ] {
        std::fs::write(&path, content).expect("a file");
        for value in [&file, content] {
            let ended = BatchExport::command("run").args(&["--output", "json"]).mongodb(value).run().expect_code(30);
            let error = ended.json()["error"].to_string();
            // An empty variable is one that is not set, and a line break at the end is told apart.
            assert!(value.trim().is_empty() || value.ends_with('\n') || error.contains(words), "{content:?}: {error}");
            assert!(!ended.report().contains("Hunter2Secret"), "{}", ended.report());
        }
    }
}
