//! What a message may show of a refused value: typing errors, and no secret.

use batch_export::plausible::{
    Shown, check_path, check_word, shown_date, shown_instant, shown_number, shown_time, shown_word,
};
use batch_export::secret::redact;

const KEY: &str = "holds the content of a key, not the path of a file";
const ADDRESS: &str = "holds an address, not the path of a file";
const FILE_SCHEME: &str = "begins with file:";
const QUOTES: &str = "stands in quotation marks, which are a part of the value";
const LINE_END: &str = "ends with a line break";

fn refused_path(text: &str) -> Result<(), &'static str> {
    check_path(text).map_err(|misplaced| misplaced.what)
}

fn refused_word(text: &str) -> Result<(), &'static str> {
    check_word(text).map_err(|misplaced| misplaced.what)
}

#[test]
fn typing_errors_are_shown() {
    assert_eq!(shown_date("2026-13-01").to_string(), "\"2026-13-01\"");
    assert_eq!(shown_time("30 sm").to_string(), "\"30 sm\"");
    assert_eq!(shown_time("soon").to_string(), "\"soon\"");
    assert_eq!(shown_time("25:00").to_string(), "\"25:00\"");
    assert_eq!(shown_instant("2026-01-18T18:00:00").to_string(), "\"2026-01-18T18:00:00\"");
    assert_eq!(shown_number("-3").to_string(), "\"-3\"");
    assert_eq!(shown_time("11years").to_string(), "\"11years\"");
    assert_eq!(shown_time("1h30min").to_string(), "\"1h30min\"");
    assert_eq!(shown_word("Asia/Bangkog").to_string(), "\"Asia/Bangkog\"");
    assert_eq!(shown_word("windows-1252").to_string(), "\"windows-1252\"");
    assert_eq!(shown_word("credentails").to_string(), "\"credentails\"");
    assert_eq!(shown_word("").to_string(), "an empty value");
}

#[test]
fn secrets_are_not() {
    for secret in [
        "mongodb://user:Hunter2Secret@db/app",
        "Hunter2Secret",
        "GOCSPX-abcdefghijklmnop",
        "1//0gabcdefghijklmnopqrstuvw",
        "{\"type\":\"x\"}",
        "correct horse battery staple",
        "Hunter2Sec",
        "hunter2",
        "7hunt3r",
        "Tr0ub4dor&3-Needle",
    ] {
        for shown in [shown_date, shown_time, shown_instant, shown_number, shown_word] {
            assert_eq!(shown(secret), Shown::Hidden, "{secret}");
        }
    }
}

#[test]
fn a_path_whose_folder_exists_is_one() {
    let folder = tempfile::Builder::new().prefix("Odd&9Folder-").tempdir().unwrap();
    let path = folder.path().join("Key#Of2026").display().to_string();
    assert_eq!((check_path(&path), redact(&path).as_ref()), (Ok(()), path.as_str()));
}

#[test]
fn what_is_no_path_is_named_and_not_shown() {
    let key = r#"{"type":"service_account"}"#;
    let encoded = "eyJ0eXBlIjoic2VydmljZV9hY2NvdW50In0=";
    for text in [key, encoded, "a\nb", &"x".repeat(256), "dir/{\"a\":1}"] {
        assert_eq!(refused_path(text), Err(KEY), "{text}");
    }
    assert_eq!(refused_path("/run/key.json\r"), Err(LINE_END));
    assert_eq!(refused_path(&format!("{key}\n")), Err(KEY));
    assert_eq!(refused_path("https://hooks.example.com/x"), Err(ADDRESS));
    for text in ["file:///etc/own.toml", "file:/own.toml"] {
        assert_eq!(refused_path(text), Err(FILE_SCHEME));
    }
    assert_eq!((refused_path("'/etc/own.toml'"), refused_word("\"journal\"")), (Err(QUOTES), Err(QUOTES)));
    assert!(refused_word("'ya29.ExampleOfAToken7'").is_err_and(|what| what.contains("short name")));
    assert_eq!(refused_path(&format!("'{key}'")), Err(KEY));
    for path in [
        "Hunter2#Secret",
        "Xk7#Bare10!zz",
        "/Hunter2Secret-p",
        "user:Hunter2Secret-p@db1.example.com/app",
        "Hunter2Secret@db1.toml",
        "1//0gExampleOfAToken7",
        "refresh_token=0gExample-p",
        "9f86d081884c7d659a2feaa0c55ad015",
    ] {
        let told = format!("{path}, {path:?}");
        assert_eq!((refused_path(path), redact(&told).as_ref()), (Ok(()), "***, \"***\""), "{path}");
    }
    assert_eq!(redact("the folder user:Hunter2Secret-p@db1.example.com"), "the folder ***");
    for path in [
        "/run/secrets/google.json",
        "key.json",
        "C:\\keys\\google.json",
        "/data/ค่าเช่า/key 1.json",
        "GoogleKey2026.json",
        "/run/secrts/finance-31c0de7f4a2b.json",
        "~/keys (old)/google.json",
        "/data/a,b/own.toml",
        "own@v2.toml",
    ] {
        assert_eq!((refused_path(path), redact(path).as_ref()), (Ok(()), path), "{path}");
    }
}
