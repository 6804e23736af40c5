//! The connection string as people have it: usually the application's own, and written for another driver.

use crate::support::command::BatchExport;
use crate::support::day::Day;
use crate::support::seed::{DATE, seed_day};

#[test]
fn options_of_other_drivers_are_left_out_with_one_warning() {
    let day = Day::in_directory();
    seed_day(&day.db, DATE, 3);
    let uri = day.db.uri();
    let joined = if uri.contains('?') { "&" } else { "?" };
    let others = "compressors=zstd&socketTimeoutMS=1&timeoutMS=1&useNewUrlParser=true&useUnifiedTopology=true&\
                  uuidRepresentation=standard&keepAlive=true&family=4&zlibCompressionLevel=6";
    let ended = day.run().mongodb(&format!("{uri}{joined}{others}")).run().expect_code(0);
    let warnings: Vec<&str> = ended.stderr.lines().filter(|line| line.contains("other drivers")).collect();
    assert_eq!(warnings.len(), 1, "{}", ended.report());
    for option in others.split('&').filter_map(|option| option.split('=').next()) {
        assert!(warnings[0].contains(option.trim()), "{option}: {}", warnings[0]);
    }
    day.check_converged();
}

#[test]
fn what_is_wrong_with_a_connection_string_is_said_without_a_part_of_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let empty = folder.path().join("ca.pem");
    std::fs::write(&empty, "nothing").expect("a file");
    let (missing, empty) = (folder.path().join("no.pem").display().to_string(), empty.display().to_string());
    for (uri, words) in [
        ("mongodb://clerk:Hunter2Secret?@db1,db2/app".to_owned(), "%3F"),
        ("mongodb://clerk:Hunter2Secret@more@db1/app".to_owned(), "%40"),
        ("mongodb://db1:port/app?Hunter2Secret=1".to_owned(), "option that does not exist"),
        ("mongodb://db1/app?replicaSte=Hunter2Secret".to_owned(), "replicaSte"),
        ("mongodb://db1/app?maxPoolSize=Hunter2Secret".to_owned(), "values of maxPoolSize"),
        ("mongodb://db1:Hunter2Secret/app".to_owned(), "hosts"),
        (format!("mongodb://db1/app?tls=true&tlsCAFile={missing}"), "cannot be read"),
        (format!("mongodb://db1/app?tls=true&tlsCAFile={empty}"), "no certificate"),
        (format!("mongodb://db1/app?tls=true&tlsCertificateKeyFile={empty}"), "no private key"),
    ] {
        let command = BatchExport::command("run").args(&["-vv", "--output", "json"]).destination("file:///tmp");
        let ended = command.mongodb(&uri).run().expect_code(30);
        let error = ended.json()["error"].to_string();
        assert!(error.contains(words), "{uri}: {error}");
        assert!(!format!("{}{}", ended.stdout, ended.stderr).contains("Hunter2Secret"), "{uri}: {}", ended.report());
    }
}
