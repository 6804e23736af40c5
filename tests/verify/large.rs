//! A copy with a record of many megabytes.

use crate::support::command::told;
use crate::support::day::Day;
use crate::support::seed::{DATE, Entry, seed};

#[test]
fn a_description_of_many_megabytes_is_compared() {
    let day = Day::in_directory();
    seed(&day.db, &[Entry::numbered(DATE, 1).set("description", "x".repeat(15_000_000)), Entry::numbered(DATE, 2)]);
    day.run().run().expect_code(0);
    let official = String::from_utf8(day.live_files().remove(0).bytes).expect("UTF-8");
    let folder = tempfile::tempdir().expect("a folder");
    let copy = folder.path().join("copy.csv");
    let verify = |content: &str| {
        std::fs::write(&copy, content).expect("a copy");
        day.command("verify").args(&["--file", copy.to_str().expect("a path")]).run()
    };
    let verified = verify(&official.replacen(",x", ",y", 1)).expect_code(34);
    assert_eq!(
        (&verified.json()["file"]["verdict"], &verified.json()["file"]["changed"]),
        (&"different".into(), &1.into())
    );
    assert!(verified.peak_memory_kib < 128 * 1024, "{} KiB", verified.peak_memory_kib);
    let unclosed = verify(&(official + "\"" + &"a,b\r\n".repeat(8 << 20))).expect_code(30).json();
    assert!(told(&unclosed["error"]).contains("is a quotation mark not closed?"), "{unclosed}");
}
