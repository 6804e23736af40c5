//! The settings: where they may stand, and what is refused, by name, with the way to write it (30).

use chrono::NaiveDateTime;

use crate::support::command::BatchExport;
use crate::support::day::{Day, FILE};
use crate::support::seed::{DATE, seed_day};

/// What a setting with a wrong value is answered.
fn refusal(variable: &str, value: &str) -> (String, String) {
    let result =
        BatchExport::command("run").args(&["--output", "json"]).env(variable, value).run().expect_code(30).json();
    let text = |field: &str| result["error"][field].as_str().unwrap_or_default().to_owned();
    (text("message"), text("next"))
}

#[test]
fn a_value_that_is_none_of_a_closed_list_is_answered_with_the_list() {
    let refused = Day::in_directory().run().env("BATCH_EXPORT_ENCODING", "tis-620").run().expect_code(30).json();
    let text = |field: &str| refused["error"][field].as_str().unwrap_or_default().to_owned();
    let (message, next) = (text("message"), text("next"));
    assert!(message.contains("BATCH_EXPORT_ENCODING") && message.contains("tis-620"), "{message}");
    assert!(next.contains("utf-8-bom") && next.contains("windows-874"), "{next}");
}

#[test]
fn a_setting_may_stand_before_or_after_a_command_that_does_not_read_it() {
    let day = Day::in_directory();
    let uri = day.db.uri();
    let before = BatchExport::new().args(&["--mongodb-uri", &uri, "--lease", "5m", "status", "--output", "json"]);
    before.run().expect_code(0);
    let after = BatchExport::new().args(&["unlock", "--date", "2026-01-18", "--mongodb-uri", &uri, "--format=express"]);
    after.run().expect_code(0);
}

#[test]
fn a_wrong_setting_stops_only_the_commands_that_read_it() {
    let day = Day::in_directory();
    seed_day(&day.db, DATE, 5);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("own.toml");
    let shown = BatchExport::new().args(&["layout", "show", "journal"]).run().expect_code(0).stdout;
    std::fs::write(&path, shown).unwrap();
    let path = path.to_str().unwrap().to_owned();
    day.run().env("BATCH_EXPORT_FORMAT", &path).run().expect_code(0);
    // The file of the layout is lost, and other settings are wrong.
    drop(folder);
    let lost = |command: &str| {
        let settings = [("FORMAT", &*path), ("ENCODING", "latin1"), ("LEASE", "soon"), ("INVALID", "maybe")];
        let command = day.command(command);
        settings.iter().fold(command, |command, (name, value)| command.env(&format!("BATCH_EXPORT_{name}"), value))
    };
    for command in ["status", "verify", "corrections", "init"] {
        lost(command).run().expect_code(0);
    }
    lost("status").args(&["--check"]).run().expect_code(0);
    lost("unlock").args(&["--date", DATE]).run().expect_code(0);
    let copy = day.directory().join(FILE);
    lost("verify").args(&["--file", copy.to_str().unwrap()]).run().expect_code(0);
    for command in ["run", "retry", "doctor"] {
        lost(command).run().expect_code(30);
    }
}

#[test]
fn the_log_for_people_has_times_to_the_second_in_the_zone_of_the_settings() {
    for (zone, offset) in [("Asia/Bangkok", "+07:00"), ("Asia/Kathmandu", "+05:45"), ("UTC", "Z")] {
        let day = Day::in_directory();
        seed_day(&day.db, DATE, 1);
        let ended = day.run().now("2026-01-19T12:00:00Z").env("BATCH_EXPORT_TIMEZONE", zone).run().expect_code(0);
        let acquired = ended.stderr.lines().find(|line| line.contains("acquired")).expect("the log");
        let time = acquired.split(' ').next().unwrap_or_default();
        let local = time.strip_suffix(offset).unwrap_or_else(|| panic!("{zone}: {acquired}"));
        assert!(NaiveDateTime::parse_from_str(local, "%Y-%m-%dT%H:%M:%S").is_ok(), "{zone}: {acquired}");
    }
}

#[test]
fn a_layout_in_quotes_or_with_a_scheme_is_told_as_such_and_a_likely_path_is_shown() {
    let day = Day::in_directory();
    let refused = |value: &str| {
        let error = day.run().env("BATCH_EXPORT_FORMAT", value).run().expect_code(30).json()["error"].clone();
        [&error["message"], &error["next"]].map(|text| text.as_str().unwrap_or_default().to_owned())
    };
    let is = "BATCH_EXPORT_FORMAT is wrong: it";
    for quoted in ["\"journal\"", "'/etc/own.toml'"] {
        let [message, next] = refused(quoted);
        assert_eq!(message, format!("{is} stands in quotation marks, which are a part of the value"));
        assert!(next.starts_with("remove them"), "{next}");
    }
    for (variable, value) in [
        ("BATCH_EXPORT_DESTINATION", "\"file:///srv/export\""),
        ("BATCH_EXPORT_FILE_NAME", "'{date}.csv'"),
        ("BATCH_EXPORT_TIMEZONE", "\"Asia/Bangkok\""),
    ] {
        let (message, _) = refusal(variable, value);
        assert_eq!(
            message,
            format!("{variable} is wrong: it stands in quotation marks, which are a part of the value")
        );
    }
    for scheme in ["file:/etc/own.toml", "file:///etc/own.toml"] {
        let [message, next] = refused(scheme);
        assert_eq!((&*message, &*next), (&*format!("{is} begins with file:"), "give the path without file:"));
    }
    for path in ["/nowhere/a,b/own.toml", "/nowhere/own@v2.toml"] {
        let [message, _] = refused(path);
        assert!(message.contains(&format!("BATCH_EXPORT_FORMAT \"{path}\" is neither a built-in layout")), "{message}");
    }
}

#[test]
fn a_wrong_setting_is_named_as_it_was_typed() {
    let refused = |args: &[&str], variable: (&str, &str)| {
        let run = BatchExport::command("run").args(&["--output", "json"]).args(args).env(variable.0, variable.1);
        let error = run.run().expect_code(30).json()["error"].clone();
        [&error["message"], &error["next"]].map(|text| text.as_str().unwrap_or_default().to_owned())
    };
    let none = ("BATCH_EXPORT_LEASE", "2m");
    assert_eq!(
        refused(&["--lease", "0s"], none),
        ["--lease is wrong: it must be greater than zero", "correct --lease"]
    );
    assert_eq!(
        refused(&[], ("BATCH_EXPORT_LEASE", "0s")),
        ["BATCH_EXPORT_LEASE is wrong: it must be greater than zero", "correct it, or give --lease"]
    );
    // As it stands in the files that the package brings.
    let [message, next] = refused(&[], ("BATCH_EXPORT_DESTINATION", "gdrive://FOLDER_ID"));
    assert!(message.contains("FOLDER_ID stands for the id of your folder"), "{message}");
    assert_eq!(next, "correct it, or give --destination: write the last part of the folder's address in the browser");
    let telegram = ["--notify-url", "https://api.telegram.org/bot1:a", "--notify-kind", "telegram"];
    assert_eq!(
        refused(&telegram, none),
        ["--notify-to is not set, and telegram needs to know the chat", "set --notify-to"]
    );
}

#[test]
fn a_duration_is_greater_than_zero_and_one_that_a_machine_can_wait_for() {
    for variable in ["LEASE", "GENERATE_TIMEOUT", "UPLOAD_TIMEOUT", "DRIVE_IDLE", "DRIVE_BACKOFF", "RETRY_DELAYS"] {
        let variable = format!("BATCH_EXPORT_{variable}");
        for zero in ["0s", "0ms"] {
            assert!(refusal(&variable, zero).0.contains("must be greater than zero"), "{variable}={zero}");
        }
        for long in
            ["18446744073709551615s", "18446744073709551615ms", "99999999999999999999s", "11years", "315576001s"]
        {
            let (message, next) = refusal(&variable, long);
            assert!(message.ends_with("is too long") && next.ends_with(": write at most 3652days"), "{message} {next}");
        }
        for wrong in [" ", "soon", "5", "-5m"] {
            let code = BatchExport::command("run").env(&variable, wrong).run().code;
            assert_eq!(code, 30, "{variable}={wrong:?}");
        }
    }
    let advised = BatchExport::command("run").env("BATCH_EXPORT_LEASE", "3652days").run().expect_code(30);
    assert!(!advised.stderr.contains("LEASE"), "{}", advised.report());
    let (message, next) = refusal("BATCH_EXPORT_LEASE", "11years");
    assert!(message.contains("BATCH_EXPORT_LEASE"), "{message}");
    assert!(next.contains("--lease") || message.contains("--lease"), "{next}");
    BatchExport::command("status").args(&["--check", "--grace", "18446744073709551615s"]).run().expect_code(2);
}

#[test]
fn a_duration_in_months_or_years_is_refused_because_minutes_are_meant() {
    for variable in ["LEASE", "GENERATE_TIMEOUT", "UPLOAD_TIMEOUT", "DRIVE_IDLE", "DRIVE_BACKOFF", "RETRY_DELAYS"] {
        let variable = format!("BATCH_EXPORT_{variable}");
        for wrong in ["2M", "1month", "2months", "1y", "1year", "2years", "5m 1M"] {
            let (message, next) = refusal(&variable, wrong);
            assert!(message.contains(&variable) && message.contains(" counts "), "{wrong}: {message}");
            assert!(next.ends_with(": write it like 2m"), "{variable}={wrong}: {next}");
        }
    }
    BatchExport::command("status").args(&["--check", "--grace", "15M"]).run().expect_code(2);
}

#[test]
fn four_collections_have_four_names() {
    for (variable, name) in [
        ("BATCH_EXPORT_QUEUE_COLLECTION", "journalentries"),
        ("BATCH_EXPORT_ENTRIES_COLLECTION", "exportlogs"),
        ("BATCH_EXPORT_LOG_COLLECTION", "exportbatches"),
        ("BATCH_EXPORT_BATCH_COLLECTION", "exportqueues"),
        ("BATCH_EXPORT_BATCH_COLLECTION", "exportbatchrows"),
        ("BATCH_EXPORT_LOG_COLLECTION", "exportbatchentries"),
    ] {
        let (message, _) = refusal(variable, name);
        let words = format!("{variable} is wrong: {name:?} is the name of another collection");
        assert!(message.contains(&words), "{variable}={name}: {message}");
    }
}

#[test]
fn a_destination_is_an_absolute_path_or_a_folder_of_drive() {
    for wrong in
        ["file:relative", "file:./relative", "file://relative/dir", "file:", "file:///", "/srv", "gdrive://", "s3://x"]
    {
        let (message, _) = refusal("BATCH_EXPORT_DESTINATION", wrong);
        assert!(message.contains("BATCH_EXPORT_DESTINATION"), "{wrong}: {message}");
    }
    assert!(refusal("BATCH_EXPORT_DESTINATION", "file:relative").0.contains("relative"));
}

#[test]
fn the_name_of_the_file_is_one_path_component_with_the_date_in_it() {
    let long = format!("{{date}}{}", "x".repeat(250));
    for wrong in
        ["batch.csv", "{day}.csv", "../{date}.csv", "a/{date}.csv", "/{date}.csv", "{date}\n.csv", long.as_str()]
    {
        let (message, _) = refusal("BATCH_EXPORT_FILE_NAME", wrong);
        assert!(message.contains("BATCH_EXPORT_FILE_NAME"), "{wrong:?}: {message}");
    }
}

#[test]
fn a_switch_is_on_or_off() {
    for variable in ["BATCH_EXPORT_DRIVE_LOCK", "BATCH_EXPORT_ALLOW_REEXPORT", "BATCH_EXPORT_REQUIRE_BALANCED"] {
        assert!(refusal(variable, "perhaps").0.contains("neither on nor off"), "{variable}");
    }
    // All of these are taken, so only the missing database is left to be complained of.
    for words in [
        &["--require-balanced", "--allow-reexport", "status"][..],
        &["status", "--require-balanced=off", "--drive-lock", "off"],
        &["status", "--drive-lock=on", "--file-name", "day-{date}.csv"],
    ] {
        let refused = BatchExport::new().args(words).run().expect_code(30);
        assert!(refused.stdout.contains("no database is set"), "{}", refused.report());
    }
}

#[test]
fn a_file_that_holds_more_than_the_value_is_told_plainly_and_not_shown() {
    let folder = tempfile::tempdir().unwrap();
    let uri = "mongodb://user:s3cret-of-the-file@db1/app";
    let utf_16: Vec<u8> = format!("\u{feff}{uri}").encode_utf16().flat_map(u16::to_le_bytes).collect();
    let cases = [
        (format!("\u{feff}{uri}").into_bytes(), "begins with a byte order mark"),
        (format!("\"{uri}\"\n").into_bytes(), "has quotes around its content"),
        (format!("'{uri}'").into_bytes(), "has quotes around its content"),
        (utf_16, "is in UTF-16"),
        ([uri.as_bytes(), b"\xff"].concat(), "is not a text in UTF-8"),
    ];
    for (content, words) in cases {
        let path = folder.path().join("uri");
        std::fs::write(&path, content).unwrap();
        let named = format!("file:{}", path.display());
        let ended = BatchExport::command("status").env("MONGODB_URI", &named).run().expect_code(30);
        assert!(ended.stdout.contains(words) && ended.stdout.contains("MONGODB_URI"), "{}", ended.report());
        assert!(!ended.report().contains("s3cret"), "{}", ended.report());
    }
}

#[test]
fn the_temporary_folder_and_the_proxies_are_checked_like_settings() {
    let key = r#"'{"type":"authorized_user","refresh_token":"1//0gNeedleOfTheFolder"}'"#;
    let refused = |command: &str, variable: &str, value: &str| {
        let command = BatchExport::command(command).args(&["--output", "json", "--destination", "gdrive://1folder"]);
        let ended = command.env(variable, value).run().expect_code(30);
        assert!(!ended.report().contains("Needle"), "{}", ended.report());
        let error = ended.json()["error"].clone();
        format!("{}; {}", error["message"].as_str().unwrap_or_default(), error["next"].as_str().unwrap_or_default())
    };
    for command in ["run", "retry", "verify", "corrections", "doctor"] {
        let told = refused(command, "TMPDIR", key);
        assert!(told.contains("TMPDIR is wrong: it holds the content of a key"), "{command}: {told}");
        assert!(refused(command, "TMPDIR", "/tmp\r").contains("dos2unix"), "{command}");
        let told = refused(command, "HTTPS_PROXY", "http://proxy:3128\r");
        assert!(told.contains("HTTPS_PROXY") && told.contains("dos2unix"), "{command}: {told}");
        for wrong in ["http://clerk:S3cr3tNeedle", "Tr0ub4dor&3-Needle"] {
            let told = refused(command, "https_proxy", wrong);
            assert!(told.contains("https_proxy) is wrong: it is not the address of a proxy"), "{command}: {told}");
        }
    }
    // Neither is read there.
    for variable in ["TMPDIR", "HTTPS_PROXY"] {
        assert!(refused("status", variable, key).contains("no database is set"), "{variable}");
    }
}

/// The words that the command line and the settings show, and those that they do not.
#[test]
fn a_refused_value_is_quoted_only_if_it_looks_like_what_was_asked_for() {
    for (words, shown) in [
        (vec!["status", "--date", "2026-13-01"], true),
        (vec!["status", "--date", "Hunter2Sec"], false),
        (vec!["verify", "--last", "0"], true),
        (vec!["verify", "--last", "Hunter2Sec"], false),
        (vec!["auth", "--client", "/x", "--port", "99999"], true),
        (vec!["auth", "--client", "/x", "--port", "Hunter2Sec"], false),
        (vec!["layout", "show", "journl"], true),
        (vec!["layout", "show", "Tr0ub4dor&3-Needle"], false),
        (vec!["layout", "show", "https://p.logic.azure.com/workflows/x?sig=NeedleSig01"], false),
        (vec!["completions", "bish"], true),
        (vec!["completions", "hunter2"], false),
        (vec!["stauts"], true),
        (vec!["Hunter2Sec"], false),
    ] {
        let ended = BatchExport::new().args(&words).run();
        assert!([2, 30].contains(&ended.code), "{}", ended.report());
        let told = format!("{}{}", ended.stdout, ended.stderr);
        assert_eq!(told.contains(words[words.len() - 1]), shown, "{words:?}: {told}");
    }
}

/// What a word processor, a chat or an editor puts around a value. Nothing of it is shown: it may be a secret.
#[test]
fn what_stands_around_a_value_is_named() {
    let uri = "mongodb://clerk:Hunter2Secret@db1/app";
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        format!("file:{}", path.display())
    };
    let quoted_path = format!("file:\"{}\"", folder.path().join("uri").display());
    for (variable, value, says) in [
        ("MONGODB_URI", format!("\u{feff}{uri}"), "begins with a byte order mark"),
        ("MONGODB_URI", format!("“{uri}”"), "stands in quotation marks"),
        ("MONGODB_URI", format!("{uri}”"), "stands in quotation marks"),
        ("MONGODB_URI", quoted_path, "stands in quotation marks"),
        ("MONGODB_URI", file("curly", &format!("‘{uri}’\n")), "has quotes around its content"),
        ("MONGODB_URI", file("marked", &format!("\u{feff}{uri}")), "begins with a byte order mark"),
        ("MONGODB_DATABASE", "\u{feff}auto_acct".to_owned(), "begins with a byte order mark"),
        ("MONGODB_DATABASE", "“auto_acct”".to_owned(), "stands in quotation marks"),
        ("BATCH_EXPORT_DESTINATION", "\"file:///srv/accounting\"".to_owned(), "stands in quotation marks"),
        ("BATCH_EXPORT_NOTIFY_URL", "“https://hooks.example.com/x”".to_owned(), "stands in quotation marks"),
        ("BATCH_EXPORT_NOTIFY_TOKEN", "‘Hunter2Secret-of-a-channel’".to_owned(), "stands in quotation marks"),
        ("BATCH_EXPORT_SPOOL_DIR", "'/var/spool/batch-export'".to_owned(), "stands in quotation marks"),
        ("BATCH_EXPORT_LEASE", "“2m”".to_owned(), "stands in quotation marks"),
    ] {
        let (message, next) = refusal(variable, &value);
        assert!(message.contains(says) && message.contains(variable), "{variable}: {message}");
        assert!(!format!("{message}{next}").contains("Hunter2Secret"), "{message}");
    }
}

#[test]
fn a_database_that_a_server_keeps_for_itself_is_refused() {
    let day = Day::in_directory();
    let refused = |command: BatchExport| command.run().expect_code(30).json()["error"].to_string();
    for name in ["admin", "config", "local", "Admin"] {
        let told = refused(day.run().args(&["--database", name]));
        assert!(told.contains("the server's own") && told.contains("--database"), "{told}");
    }
    let uri = day.db.uri().replace(day.db.name(), "admin");
    let told = refused(day.command("run").mongodb(&uri));
    assert!(told.contains("the database admin") && told.contains("authSource=admin"), "{told}");
    let doctor = day.command("doctor").mongodb(&uri).run().expect_code(34).stdout;
    assert!(doctor.contains("the database admin is the server's own"), "{doctor}");
}

#[test]
fn a_destination_with_a_character_that_no_path_has_is_refused() {
    for value in ["file:///srv/a%00b", "file:///%00"] {
        let (message, _) = refusal("BATCH_EXPORT_DESTINATION", value);
        assert!(message.contains("%00"), "{value}: {message}");
    }
}

#[test]
fn a_character_that_would_end_or_change_the_path_of_the_destination_is_refused() {
    for (destination, says) in [
        ("file:///srv/acc#2", "write it as %23"),
        ("file:///srv/acc?x=1", "write it as %3F"),
        ("file:///srv/a\\b", "write it as %5C"),
        ("file:///srv/a\tb", "write it as %09"),
        ("file://tmp/x", "write file:///dir, with three"),
        (" file:///srv/acc", "begins or ends with a blank"),
        ("file:///srv/acc ", "begins or ends with a blank"),
    ] {
        let (message, next) = refusal("BATCH_EXPORT_DESTINATION", destination);
        assert!(message.contains(says) || next.contains(says), "{destination:?}: {message}; {next}");
    }
    let day = Day::in_directory();
    seed_day(&day.db, DATE, 3);
    let folder = tempfile::tempdir().unwrap();
    let long = folder.path().join("ค่าเช่า".repeat(8)).join("x/".repeat(120) + "a#b");
    std::fs::create_dir_all(&long).unwrap();
    let address = url::Url::from_file_path(&long).unwrap();
    day.run().destination(address.as_str()).run().expect_code(0);
    assert!(long.join(FILE).exists());
}

#[test]
fn two_collections_with_one_name_stop_each_command_that_reads_the_batches() {
    let day = Day::in_directory();
    for (command, arguments) in [("status", &[][..]), ("unlock", &["--date", DATE]), ("corrections", &[])] {
        let command = day.command(command).args(arguments).env("BATCH_EXPORT_LOG_COLLECTION", "journalentries");
        let message = command.run().expect_code(30).json()["error"]["message"].to_string();
        assert!(message.contains("BATCH_EXPORT_LOG_COLLECTION is wrong") && message.contains("another"), "{message}");
    }
}

#[test]
fn a_negative_grace_is_told_as_no_duration() {
    let ended = BatchExport::command("status").args(&["--check", "--grace", "-1s"]).run();
    assert!(ended.stderr.contains("is not a duration"), "{}", ended.report());
}
