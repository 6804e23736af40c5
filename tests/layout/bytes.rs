//! The built-in layouts give the bytes that the formats in code gave, which they replaced.
//!
//! The checksums and the files in `golden/` were made by that code.

use batch_export::layout::Layout;
use sha2::{Digest, Sha256};

use super::mixed::mixed;
use super::{options, write};

fn file(name: &str, entries: u32) -> Vec<u8> {
    let layout = Layout::built_in(name).unwrap();
    let mut options = options(&layout);
    options.contra_account = Some("9999".to_owned());
    let mixed: Vec<_> = (0..entries).map(|number| mixed(number, name == "journal")).collect();
    let entries: Vec<_> = mixed.iter().map(|mixed| mixed.entry()).collect();
    let (bytes, _, refused) = write(&options, &entries);
    assert!(refused.is_empty(), "{refused:?}");
    bytes
}

#[test]
fn the_built_in_layouts_give_the_golden_files() {
    assert_eq!(
        String::from_utf8_lossy(&file("journal", 200)),
        String::from_utf8_lossy(include_bytes!("golden/journal.csv"))
    );
    assert!(file("express", 200) == include_bytes!("golden/express.csv"));
}

#[test]
fn a_hundred_thousand_mixed_entries_give_the_same_bytes_as_before() {
    for (name, length, sha256) in [
        ("journal", 12_346_466, "005d8ab953bbe488c9cd9a82eae85d20f687181132e73d6a4393a23e82bce846"),
        ("express", 18_215_095, "67b9763ee9645e4f5f3caee99b27b5fabaf0ae42c2a20690d1fa7c15866adc80"),
    ] {
        let bytes = file(name, 100_000);
        let digest: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!((bytes.len(), &*digest), (length, sha256), "{name}");
    }
}
