//! Small parts by their public functions: no database, no destination, no process.

use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use batch_export::backoff::{Backoff, at_least};
use batch_export::batch::{BatchId, FileFacts, NotABatchId};
use batch_export::calendar::Day;
use batch_export::clock::Clock;
use batch_export::config::NotifyKind;
use batch_export::csv::List;
use batch_export::destination::Destination;
use batch_export::destination::directory::Directory;
use batch_export::exit::Exit;
use batch_export::files::{open_folder, open_regular, read_named};
use batch_export::http::retry_after;
use batch_export::id::Id;
use batch_export::layout::DateFormat;
use batch_export::reader::Reader;
use batch_export::spool::{Digesting, SpoolWriter};
use batch_export::totals::ControlTotals;
use chrono::NaiveDate;
use chrono_tz::Tz;
use md5::{Digest as _, Md5};
use reqwest::header::{DATE, RETRY_AFTER};
use rustix::fs::Mode;
use sha2::Sha256;

#[test]
fn delays_double_with_jitter_up_to_thirty_two_units() {
    for seed in 0..50 {
        let delays: Vec<f64> = Backoff::new(Duration::from_secs(1), seed).take(9).map(|d| d.as_secs_f64()).collect();
        for (n, delay) in delays.iter().enumerate() {
            let base = f64::from(1 << n.min(5));
            assert!((base..=(base + 1.0).min(32.0)).contains(delay), "delay {n} of seed {seed}: {delay}");
        }
    }
}

#[test]
fn two_runs_do_not_wait_in_step() {
    let delays = |seed| Backoff::new(Duration::from_secs(1), seed).take(3).collect::<Vec<_>>();
    assert_ne!(delays(1), delays(2));
    assert_eq!(delays(1), delays(1));
}

#[test]
fn progress_starts_over() {
    let mut backoff = Backoff::new(Duration::from_secs(1), 7);
    assert!(backoff.by_ref().take(4).last().unwrap() >= Duration::from_secs(8));
    backoff.reset();
    assert!(backoff.next().unwrap() <= Duration::from_secs(2));
}

#[test]
fn retry_after_is_a_floor_with_a_cap() {
    let seconds = Duration::from_secs;
    assert_eq!(at_least(seconds(2), None), seconds(2));
    assert_eq!(at_least(seconds(2), Some(seconds(7))), seconds(7));
    assert_eq!(at_least(seconds(9), Some(seconds(7))), seconds(9));
    assert_eq!(at_least(seconds(2), Some(seconds(86_400))), seconds(60));
}

#[test]
fn ids_and_dates_belong_together() {
    let id = BatchId::new(NaiveDate::from_ymd_opt(2026, 1, 18).unwrap());
    assert_eq!(id.file_name(None, "csv"), format!("{id}.csv"));
    assert_eq!(id.file_name(Some("ACME {date} #1.txt"), "csv"), "ACME 2026-01-18 #1.txt");
    for (pattern, name, is) in [
        (None, "batch_2026-01-18.csv", true),
        (None, "batch_2026-02-30.csv", false),
        (None, "batch_2026-01-1é.csv", false),
        (Some("ACME {date} #1.txt"), "ACME 2026-01-18 #1.txt", true),
        (Some("ACME {date} #1.txt"), "ACME 2026-01-18 #2.txt", false),
        (Some("{date}.csv"), "batch_2026-01-18.csv", false),
    ] {
        assert_eq!(BatchId::is_file_name(pattern, name), is, "{pattern:?} {name}");
    }
    assert_eq!("batch_2026-01-18".parse(), Ok(id));
    for other in ["ledger", "batch_", "batch_2026-1-18", "batch_2026-02-30", "batch_2026-01-18.csv", "2026-01-18"] {
        assert_eq!(other.parse::<BatchId>(), Err(NotABatchId), "{other}");
    }
}

#[test]
fn a_rehearsal_stands_still_at_its_instant() {
    let clock = Clock::from_env(Some("2026-01-18T18:00:00+07:00")).unwrap();
    assert_eq!(clock.now().to_rfc3339(), "2026-01-18T11:00:00+00:00");
    assert_eq!(clock.now(), clock.now());
}

#[test]
fn an_instant_needs_a_date_a_time_and_an_offset() {
    for text in ["", "2026-01-18", "2026-01-18T18:00:00", "tomorrow", "2026-02-30T18:00:00Z"] {
        let error = Clock::from_env(Some(text)).unwrap_err().message;
        assert!(error.starts_with("BATCH_EXPORT_NOW is ") && error.contains("not an instant"), "{error}");
    }
}

#[test]
fn without_a_rehearsal_time_goes_on() {
    let clock = Clock::from_env(None).unwrap();
    let first = clock.now();
    std::thread::sleep(std::time::Duration::from_millis(2));
    assert!(clock.now() > first);
}

#[test]
fn dates_are_written_as_the_format_says() {
    let day = Day { year: 2026, month: 1, day: 8 };
    for (format, date) in [
        ("yyyy-mm-dd", "2026-01-08"),
        ("dd/mm/yyyy", "08/01/2026"),
        ("yyyymmdd", "20260108"),
        ("dd.mm.yy", "08.01.26"),
        ("mm/dd/bbbb", "01/08/2569"),
        ("yymm-dd", "2601-08"),
    ] {
        let parsed: DateFormat = format.parse().unwrap();
        assert_eq!(parsed.write(day).as_bytes(), date.as_bytes());
        assert_eq!(parsed.to_string(), format);
        assert_eq!(parsed.read(date), NaiveDate::from_ymd_opt(2026, 1, 8), "{format}");
        assert_eq!(parsed.read(&date[1..]), None);
        assert_eq!(parsed.read(&format!("{date}0")), None);
    }
    assert_eq!(DateFormat::ISO.to_string(), "yyyy-mm-dd");
    let last = Day { year: 9999, ..day };
    assert_eq!("bbbbmmdd".parse::<DateFormat>().unwrap().write(last).as_bytes(), b"105420108");
}

#[test]
fn a_format_is_a_year_a_month_and_a_day() {
    for format in
        ["", "yyyy", "yyyy-mm", "dd/mm", "yyyy-mm-dd-", "-yyyy-mm-dd", "yyyy--mm-dd", "yyyy-mm-mm", "yyyy-bbbb-dd"]
            .into_iter()
            .chain(["YYYY-MM-DD", "yyyy mm dd", "d/m/yyyy", "yyyy-dd-yy", "yyyy-mm-dd hh"])
    {
        assert!(format.parse::<DateFormat>().unwrap_err().contains("each once"), "{format}");
    }
}

#[test]
fn all_is_complete_and_ascending() {
    assert!(Exit::ALL.windows(2).all(|pair| pair[0].code() < pair[1].code()));
}

#[test]
fn a_command_that_retry_does_not_continue_is_run_again() {
    for exit in Exit::ALL.into_iter().filter(|exit| !matches!(exit, Exit::LeaseLost | Exit::Exhausted)) {
        assert!(!exit.next_step_again().contains("retry"), "{exit:?}");
    }
    assert_eq!(Exit::InterruptedTerm.next_step_again(), "run the command again");
}

#[test]
fn a_person_outranks_a_retry_outranks_waiting() {
    assert_eq!(Exit::UploadFailed.worse(Exit::Exhausted), Exit::Exhausted);
    assert_eq!(Exit::Exhausted.worse(Exit::UploadFailed), Exit::Exhausted);
    assert_eq!(Exit::Ok.worse(Exit::LockHeld).worse(Exit::CommitUnknown), Exit::CommitUnknown);
}

#[test]
fn what_is_no_regular_file_is_refused_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("file"), "abc").unwrap();
    let mut content = String::new();
    open_regular(&path("file")).unwrap().read_to_string(&mut content).unwrap();
    assert_eq!(content, "abc");
    rustix::fs::mknodat(rustix::fs::CWD, path("fifo"), rustix::fs::FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    std::os::unix::fs::symlink(path("file"), path("link")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(path("socket")).unwrap();
    for name in ["fifo", "link", "socket", "."] {
        assert_eq!(open_regular(&path(name)).unwrap_err().kind(), ErrorKind::InvalidInput, "{name}");
    }
    assert!(open_folder(folder.path()).is_ok());
    for name in ["fifo", "file", "link", "socket"] {
        assert_eq!(open_folder(&path(name)).unwrap_err().kind(), ErrorKind::NotADirectory, "{name}");
    }
    assert_eq!(open_regular(&path("nothing")).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(read_named(&path("link")).unwrap(), b"abc");
    for name in [path("fifo"), path("socket"), path("."), "/dev/zero".into()] {
        assert_eq!(read_named(&name).unwrap_err().to_string(), "it is not a regular file", "{name:?}");
    }
}

#[test]
fn a_file_that_a_setting_names_is_small() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    std::fs::write(&path, vec![b'x'; 1024 * 1024]).unwrap();
    assert_eq!(read_named(&path).unwrap().len(), 1024 * 1024);
    std::fs::write(&path, vec![b'x'; 1024 * 1024 + 1]).unwrap();
    assert_eq!(read_named(&path).unwrap_err().to_string(), "it is larger than 1 MiB");
}

#[test]
fn an_id_is_shown_as_24_hexadecimal_digits() {
    let id = Id([0x65, 0, 0xff, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    assert_eq!(id.to_string(), "6500ff010203040506070809");
    assert_eq!(Id::from_hex("6500ff010203040506070809"), Some(id));
    assert_eq!(Id::from_hex("6500ff0102030405060708"), None);
}

#[test]
fn texts_are_guarded_and_figures_are_not() {
    let mut out = Vec::new();
    let mut list = List::new(&mut out, &["a", "b"]).unwrap();
    list.push(["=1+1", "-12.50"]).unwrap();
    list.push(["-x", "ค่า, \"เช่า\""]).unwrap();
    list.finish().unwrap();
    assert_eq!(String::from_utf8(out).unwrap(), "\u{feff}a,b\r\n'=1+1,-12.50\r\n'-x,\"ค่า, \"\"เช่า\"\"\"\r\n");
}

#[test]
fn a_place_has_one_normal_form_and_owns_the_ids_that_were_stored_with_it() {
    let here = Destination::Directory(Directory::new("/srv/the books".into(), None));
    assert_eq!(here.location(), "file:///srv/the%20books");
    let reached = |location| here.reach(location).map(|reached| reached.location());
    for location in [None, Some("file:///srv/the%20books")] {
        assert_eq!(reached(location).as_deref(), Some("file:///srv/the%20books"));
    }
    assert_eq!(reached(Some("file:///srv/other")).as_deref(), Some("file:///srv/other"));
    assert!(["gdrive://folder", "", "/srv"].map(|other| reached(Some(other))).iter().all(Option::is_none));
    let file = |id: &str, destination: Option<&str>| FileFacts {
        id: id.to_owned(),
        destination: destination.map(str::to_owned),
        ..FileFacts::default()
    };
    assert!(here.owns(&file("a.csv#1", Some("file:///srv/the%20books"))));
    assert!(!here.owns(&file("a.csv#1", Some("file:///srv/other"))));
    assert!(!here.owns(&file("1abc", Some("gdrive://folder"))));
    assert!(here.owns(&file("a.csv#1", None)));
    assert!(!here.owns(&file("1abc_-", None)), "an id of Drive, in a document of an earlier version");
}

#[test]
fn a_time_to_wait_is_seconds_or_a_date_by_the_clock_of_the_server() {
    let date = (DATE, "Wed, 21 Oct 2026 07:28:00 GMT");
    for (after, date, seconds) in [
        (Some("7"), None, Some(7.0)),
        (Some("-5"), None, Some(-5.0)),
        (Some("Wed, 21 Oct 2026 07:28:05 GMT"), Some(&date), Some(5.0)),
        (Some("Wed, 21 Oct 2026 07:27:00 GMT"), Some(&date), Some(-60.0)),
        (Some("Wed, 21 Oct 2026 07:28:05 GMT"), None, None),
        (Some("soon"), Some(&date), None),
        (None, Some(&date), None),
    ] {
        let headers = after.map(|after| (RETRY_AFTER, after)).into_iter().chain(date.cloned());
        let headers = headers.map(|(name, value)| (name, value.parse().unwrap())).collect();
        assert_eq!(retry_after(&headers), seconds, "{after:?} {date:?}");
    }
}

#[test]
fn a_spool_file_is_private_and_goes_with_its_owner() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = SpoolWriter::create(folder.path()).unwrap();
    writer.write_all(b"abc").unwrap();
    let spool = writer.into_spool().unwrap();
    assert_eq!(spool.digests().bytes, 3);
    assert_eq!(spool.digests().sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_eq!(spool.digests().md5, "900150983cd24fb0d6963f7d28e17f72");
    let path = spool.path().to_owned();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    drop(spool);
    assert!(!path.exists());
}

/// A large file is hashed in parts, whatever the sizes of the writes.
#[test]
fn the_checksums_are_those_of_everything_written() {
    let bytes: Vec<u8> = (0..1_000_003_u32).map(|number| (number.wrapping_mul(number) >> 7) as u8).collect();
    for of_a_write in [bytes.len(), 64 * 1024, 64 * 1024 - 1, 8_191] {
        let mut writer = Digesting::new(Vec::new());
        bytes.chunks(of_a_write).for_each(|bytes| writer.write_all(bytes).unwrap());
        let (out, digests) = writer.finish();
        assert!(out == bytes && digests.bytes == 1_000_003);
        assert_eq!(digests.sha256, hex::encode(Sha256::digest(&bytes)));
        assert_eq!(digests.md5, hex::encode(Md5::digest(&bytes)));
    }
}

#[test]
fn leftovers_that_nobody_holds_are_removed_and_others_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let alive = SpoolWriter::create(folder.path()).unwrap();
    let [dead, foreign] = ["batch-export-abc.spool", "notes.spool"].map(|name| folder.path().join(name));
    for path in [&dead, &foreign] {
        std::fs::write(path, "x").unwrap();
    }
    SpoolWriter::create(folder.path()).unwrap();
    assert!(!dead.exists() && foreign.exists());
    assert!(alive.into_spool().unwrap().path().exists());
}

fn reader() -> Reader {
    Reader::new(Tz::Asia__Bangkok, "2026-01-18T11:01:00Z".parse().unwrap())
}

#[test]
fn a_time_is_in_the_zone_of_the_batch_and_names_its_day_only_when_it_is_another() {
    let at = |text: &str| reader().at(text.parse().unwrap());
    assert_eq!(at("2026-01-18T11:05:00.123Z"), "18:05");
    assert_eq!(at("2026-01-17T17:00:00Z"), "00:00");
    assert_eq!(at("2026-01-18T17:00:00Z"), "2026-01-19 00:00");
}

#[test]
fn a_distance_is_one_unit_rounded_up() {
    let ahead = |text: &str| reader().ahead(text.parse().unwrap());
    assert_eq!(ahead("2026-01-18T11:04:30Z"), "18:04, in 4 minutes");
    assert_eq!(ahead("2026-01-18T11:01:01Z"), "18:01, in 1 second");
    assert_eq!(ahead("2026-01-18T11:46:00Z"), "18:46, in 45 minutes");
    assert_eq!(ahead("2026-01-18T12:31:00Z"), "19:31, in 2 hours");
    assert_eq!(ahead("2026-01-21T11:01:00Z"), "2026-01-21 18:01, in 3 days");
    assert_eq!(reader().back("2026-01-18T11:00:00Z".parse().unwrap()), "18:00, 1 minute ago");
}

#[test]
fn totals_say_when_they_do_not_fit_the_stored_type() {
    let mut totals = ControlTotals::default();
    totals.add_row(i64::MAX, 0);
    totals.add_row(0, 5);
    assert_eq!(totals.as_int64(), Ok((i64::MAX, 5)));
    assert_eq!(totals.difference(), i128::from(i64::MAX) - 5);
    totals.add_row(1, 0);
    assert_eq!(
        totals.as_int64().unwrap_err(),
        "the debit total 92233720368547758.08 does not fit in a 64-bit number of satang"
    );
}

#[test]
fn a_webhook_is_known_by_its_host() {
    for (host, kind) in [
        ("discord.com", NotifyKind::Discord),
        ("ptb.discord.com", NotifyKind::Discord),
        ("hooks.slack.com", NotifyKind::Slack),
        ("hooks.slack-gov.com", NotifyKind::Slack),
        ("discord.com.", NotifyKind::Discord),
        ("chat.googleapis.com", NotifyKind::GoogleChat),
        ("prod-12.southeastasia.logic.azure.com", NotifyKind::Teams),
        ("finance.webhook.office.com", NotifyKind::Teams),
        ("api.telegram.org", NotifyKind::Telegram),
        ("api.line.me", NotifyKind::Line),
        ("example.com", NotifyKind::Json),
        ("notdiscord.com", NotifyKind::Json),
    ] {
        assert_eq!(NotifyKind::of_host(host), kind, "{host}");
    }
}
