//! `batch-export man`: a page per command, with its exit status.

use crate::support::command::BatchExport;

#[test]
fn each_command_has_a_page_with_its_exit_status() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let dir = folder.path().display().to_string();
    let result = BatchExport::command("man").args(&[&dir, "--output", "json"]).run().expect_code(0).json();
    let pages: Vec<&str> = result["pages"].as_array().unwrap().iter().map(|page| page.as_str().unwrap()).collect();
    for page in [
        "batch-export.1",
        "batch-export-run.1",
        "batch-export-unlock.1",
        "batch-export-doctor.1",
        "batch-export-man.1",
        "batch-export-layout-check.1",
    ] {
        assert!(pages.contains(&page), "{page} is not in {pages:?}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), pages.len());
    for page in pages {
        let text = std::fs::read_to_string(folder.path().join(page)).unwrap();
        assert!(text.contains(".TH") && text.contains("EXIT STATUS"), "{page}: {text}");
    }
}

#[test]
fn the_page_of_the_program_goes_to_stdout() {
    let page = BatchExport::command("man").run().expect_code(0).stdout;
    assert!(page.contains(".TH batch-export 1") && page.contains("unlock"), "{page}");
    let refused = BatchExport::command("man").args(&["/nowhere", "--output", "json"]).run().expect_code(30);
    assert_eq!(refused.json()["outcome"], "configuration");
}
