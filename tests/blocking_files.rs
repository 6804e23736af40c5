//! Names that block: a FIFO, a link or a folder where the program looks for a file of its own.

use std::path::Path;
use std::time::Duration;

use rustix::fs::{CWD, FileType, Mode, mknodat};

use crate::support::command::{BatchExport, told};
use crate::support::day::{Day, FILE};
use crate::support::receiver::Receiver;
use crate::support::seed::{DATE, seed_day};

fn make_fifo(path: &Path) {
    mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("a FIFO");
}

#[test]
fn a_fifo_in_the_spool_folder_is_left_alone() {
    let day = Day::in_directory();
    seed_day(&day.db, DATE, 3);
    let folder = tempfile::tempdir().unwrap();
    let fifo = folder.path().join("batch-export-abc.spool");
    make_fifo(&fifo);
    let spool = folder.path().to_str().unwrap();
    day.run().args(&["--spool-dir", spool]).run().expect_code(0);
    assert!(fifo.exists());
    day.check_converged();
}

#[test]
fn what_is_no_file_under_the_batch_s_name_is_a_name_that_is_taken() {
    let day = Day::in_directory();
    seed_day(&day.db, DATE, 3);
    let name = day.directory().join(FILE);
    for make in [
        make_fifo,
        |path: &Path| std::os::unix::fs::symlink("/dev/zero", path).unwrap(),
        |path: &Path| {
            std::fs::create_dir(path).unwrap();
        },
    ] {
        make(&name);
        let refused = day.run().arg("--now").run().expect_code(31).json();
        assert!(told(&refused["error"]).contains("not a regular file"), "{refused}");
        let verified = day.command("verify").run().expect_code(34).stdout;
        assert!(verified.contains("is no regular file") && !verified.contains("another live file"), "{verified}");
        std::fs::remove_file(&name).or_else(|_| std::fs::remove_dir(&name)).unwrap();
    }
    day.run().arg("--now").run().expect_code(0);
    day.check_converged();
}

/// Its own name may be taken meanwhile, by whatever it is.
#[test]
fn an_official_file_that_was_renamed_in_its_folder_is_no_second_file() {
    let day = Day::in_directory();
    seed_day(&day.db, DATE, 3);
    day.run().run().expect_code(0);
    let (name, moved) = (day.directory().join(FILE), day.directory().join(format!("{FILE}.moved")));
    std::fs::rename(&name, &moved).unwrap();
    for make in [make_fifo, |path: &Path| std::fs::create_dir(path).unwrap()] {
        make(&name);
        let found = day.command("verify").run().expect_code(0).json();
        assert!(found["checked"][0]["notes"].to_string().contains(".moved"), "{found}");
        std::fs::remove_file(&name).or_else(|_| std::fs::remove_dir(&name)).unwrap();
    }
    std::fs::write(&name, "other").unwrap();
    let found = day.command("verify").run().expect_code(34).stdout;
    assert!(found.contains("batch_2026-01-18.csv has 5 bytes") && !found.contains("second_file"), "{found}");
    std::fs::remove_file(&name).unwrap();
    // A copy beside the file, wherever that is, stays one.
    std::fs::copy(&moved, day.directory().join("batch_2026-01-18 (1).csv")).unwrap();
    let found = day.command("verify").run().expect_code(34).json();
    assert_eq!((&found["problem_count"], &found["problems"][0]["kind"]), (&1.into(), &"second_file".into()), "{found}");
}

#[test]
fn a_fifo_in_place_of_a_manual_page_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("batch-export.1");
    make_fifo(&page);
    let command = BatchExport::command("man").arg(folder.path().to_str().unwrap());
    command.spawn().wait(Duration::from_secs(60)).expect_code(0);
    assert!(std::fs::symlink_metadata(&page).unwrap().is_file());
}

#[test]
fn a_fifo_in_place_of_the_metrics_file_does_not_hold_the_result() {
    let day = Day::in_directory();
    seed_day(&day.db, DATE, 3);
    let folder = tempfile::tempdir().unwrap();
    let fifo = folder.path().join("batch.prom");
    make_fifo(&fifo);
    let running = day.run().args(&["--metrics-file", fifo.to_str().unwrap()]).spawn();
    let ended = running.wait(Duration::from_secs(20)).expect_code(0);
    assert!(ended.stderr.contains("is no regular file, and is left as it is"), "{}", ended.report());
    assert!(!std::fs::metadata(&fifo).unwrap().is_file());
}

#[test]
fn what_is_no_metrics_file_is_not_replaced_by_one() {
    let day = Day::in_directory();
    seed_day(&day.db, DATE, 3);
    let folder = tempfile::tempdir().unwrap();
    let [other, link] = ["settings.conf", "link.prom"].map(|name| folder.path().join(name));
    std::fs::write(&other, "MONGODB_DATABASE=auto_acct\n").unwrap();
    std::os::unix::fs::symlink(&other, &link).unwrap();
    for (path, says) in [(&other, "holds no metrics of batch-export"), (&link, "is no regular file")] {
        let with = |command: BatchExport| command.args(&["--metrics-file", path.to_str().unwrap()]);
        let ended = with(day.run()).run().expect_code(0);
        assert!(ended.stderr.contains(says), "{}", ended.report());
        let checked = with(day.command("doctor")).run().expect_code(34).stdout;
        assert!(checked.contains(says), "{checked}");
    }
    assert!(link.is_symlink());
    assert_eq!(std::fs::read_to_string(&other).unwrap(), "MONGODB_DATABASE=auto_acct\n");
}

/// The command ends at once and says that the file is none.
#[track_caller]
fn refused(command: BatchExport, name: &str) {
    let ended = command.spawn().wait(Duration::from_secs(60)).expect_code(30);
    let told = told(&ended.json()["error"]);
    assert!(told.contains(name) && told.contains("not a regular file"), "{told}");
}

#[test]
fn a_setting_that_names_a_pipe_or_a_device_is_refused_and_not_waited_for() {
    let day = Day::on_drive();
    let folder = tempfile::tempdir().unwrap();
    let fifo = folder.path().join("secret");
    make_fifo(&fifo);
    let uri = day.db.uri();
    let joined = if uri.contains('?') { "&" } else { "?" };
    for path in [fifo.to_str().unwrap(), "/dev/zero"] {
        let file = format!("file:{path}");
        refused(day.run().mongodb(&file), "MONGODB_URI");
        refused(day.run().env("BATCH_EXPORT_NOTIFY_URL", &file), "BATCH_EXPORT_NOTIFY_URL");
        refused(day.run().env("GOOGLE_APPLICATION_CREDENTIALS", path), path);
        refused(day.run().mongodb(&format!("{uri}{joined}tls=true&tlsCAFile={path}")), "tlsCAFile");
        refused(day.run().env("SSL_CERT_FILE", path), "SSL_CERT_FILE");
        refused(day.command("auth").args(&["--client", path]), path);
        refused(day.run().env("BATCH_EXPORT_FORMAT", path), path);
    }
}

/// Whoever tells of the refusal must not read the file again.
#[test]
fn people_are_told_that_the_file_of_certificates_never_ends() {
    let people = Receiver::start(Some(200));
    let folder = tempfile::tempdir().unwrap();
    let (fifo, endless) = (folder.path().join("fifo"), folder.path().join("endless"));
    make_fifo(&fifo);
    std::os::unix::fs::symlink("/dev/zero", &endless).unwrap();
    let day = Day::on_drive();
    let by_tls = "https://127.0.0.1:1/hook".to_owned();
    for (path, url) in
        [(&fifo, people.url("/hook")), (&endless, people.url("/hook")), (&fifo, by_tls.clone()), (&endless, by_tls)]
    {
        for command in [day.run(), day.retry()] {
            let command = command.env("SSL_CERT_FILE", path.to_str().unwrap()).env("BATCH_EXPORT_NOTIFY_URL", &url);
            refused(command.env("BATCH_EXPORT_PING_URL", &url), "SSL_CERT_FILE");
        }
    }
    let told = people.posted().iter().filter(|posted| posted.body.contains("SSL_CERT_FILE")).count();
    assert!(told >= 2, "{:?}", people.posted());
}

/// The file that a setting names is a loop of links, or no folder: nothing that waiting mends.
#[test]
fn a_destination_that_is_a_loop_of_links_or_a_file_waits_for_a_person() {
    let day = Day::in_directory();
    seed_day(&day.db, DATE, 3);
    let folder = tempfile::tempdir().unwrap();
    let (a, b, file) = (folder.path().join("a"), folder.path().join("b"), folder.path().join("file"));
    std::os::unix::fs::symlink(&a, &b).unwrap();
    std::os::unix::fs::symlink(&b, &a).unwrap();
    std::fs::write(&file, "x").unwrap();
    for path in [&a, &file] {
        let run = day.run().arg("--now").destination(&format!("file://{}", path.display()));
        let error = run.run().expect_code(31).json()["error"].clone();
        assert_eq!(error["next"], "correct --destination: it must be a directory", "{error}");
    }
}

#[test]
fn a_spool_folder_that_is_missing_or_a_file_is_told_once_and_with_the_way_out() {
    let day = Day::in_directory();
    seed_day(&day.db, DATE, 3);
    let folder = tempfile::tempdir().unwrap();
    let (missing, file) = (folder.path().join("missing"), folder.path().join("file"));
    std::fs::write(&file, "x").unwrap();
    for (path, next) in [(&missing, "create that folder, or set --spool-dir"), (&file, "set --spool-dir")] {
        let path = path.to_str().unwrap();
        let error = day.run().arg("--now").args(&["--spool-dir", path]).run().expect_code(30).json()["error"].clone();
        assert_eq!(error["message"].as_str().unwrap().matches(path).count(), 1, "{error}");
        assert!(error["next"].as_str().unwrap().starts_with(next), "{error}");
    }
}

#[test]
fn what_is_no_folder_at_the_destination_is_refused_and_not_waited_for() {
    let day = Day::in_directory();
    seed_day(&day.db, DATE, 3);
    let folder = tempfile::tempdir().unwrap();
    let fifo = folder.path().join("out");
    make_fifo(&fifo);
    let link = folder.path().join("link");
    std::os::unix::fs::symlink(&fifo, &link).unwrap();
    for path in [&fifo, &link] {
        let run = day.run().arg("--now").destination(&format!("file://{}", path.display()));
        let result = run.spawn().wait(Duration::from_secs(60)).expect_code(31).json();
        assert!(told(&result["error"]).contains("correct --destination"), "{result}");
    }
}

#[test]
fn what_took_the_name_of_a_committed_file_is_not_the_file() {
    let day = Day::in_directory();
    seed_day(&day.db, DATE, 3);
    day.run().run().expect_code(0);
    let name = day.directory().join(FILE);
    std::fs::remove_file(&name).unwrap();
    make_fifo(&name);
    let result = day.command("verify").spawn().wait(Duration::from_secs(60)).expect_code(34).json();
    assert_eq!(result["problems"][0]["kind"], "missing_file", "{result}");
    let result = day.command("corrections").spawn().wait(Duration::from_secs(60)).expect_code(34).json();
    assert!(result["problems"].to_string().contains("not at the destination"), "{result}");
}
