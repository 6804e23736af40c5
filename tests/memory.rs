//! The peak of a run's memory: it follows neither the number of the entries nor their size.
//!
//! Risk: a test that passes because the server happened to answer in small pieces. Each day here holds far more bytes than the limit,
//! and more than one answer of a server takes.

use mongodb::bson::{Document, doc};

use crate::support::day::{Day, entry_ids};
use crate::support::db::TestDb;
use crate::support::mongod::Mongod;
use crate::support::proxy::Proxy;
use crate::support::seed::{DATE, ENTRIES, Entry, QUEUE, create_index, instant};

/// What any run may take, in KiB: 64 MiB, and 8 for the code of a program that is compiled for tests.
const LIMIT_KIB: u64 = (64 + 8) * 1024;

/// Entries of one size, in characters of their description; the first one is stored under `first`.
fn entries_of(first: u32, count: u32, characters: usize) -> Vec<Entry> {
    let text = "Consulting services of January. ".repeat(characters / 32 + 1);
    let numbers = first..first + count;
    numbers.map(|number| Entry::numbered(DATE, number).set("description", &text[..characters])).collect()
}

/// Stores entries and their rows, in pieces that one command takes.
fn store(day: &Day, entries: &[Entry]) {
    store_with_rows(day, entries, Entry::row);
}

fn store_with_rows(day: &Day, entries: &[Entry], row: impl Fn(&Entry) -> Document) {
    for some in entries.chunks(500) {
        day.db.insert_many(ENTRIES, some.iter().map(Entry::document).collect());
        day.db.insert_many(QUEUE, some.iter().map(&row).collect());
    }
}

fn run_within(limit_kib: u64, day: &Day, entries: usize) {
    let run = day.run().args(&["--generate-timeout", "5m"]).run().expect_code(0);
    assert!(run.peak_memory_kib < limit_kib, "peak memory {} KiB", run.peak_memory_kib);
    assert_eq!(run.json()["entries"], entries);
    assert_eq!(entry_ids(&day.live_files()[0].bytes).len(), entries);
}

#[test]
fn entries_of_20_kb_stay_within_64_mb_and_are_asked_for_in_portions() {
    let proxy = Proxy::before(Mongod::shared());
    let day = Day::in_directory().through(&proxy);
    create_index(&day.db);
    store(&day, &entries_of(0, 6_000, 20_000));
    run_within(LIMIT_KIB, &day, 6_000);
    let asked = proxy.commands().into_iter().filter_map(|sent| {
        let of_entries = sent.name == "find" && sent.collection() == Some(ENTRIES);
        of_entries.then(|| {
            sent.body.get_document("filter").ok()?.get_document("_id").ok()?.get_array("$in").ok().map(Vec::len)
        })?
    });
    let small = asked.filter(|ids| *ids < 300).count();
    assert!(small >= 30, "6,000 entries of 20 KB in 4 MB each: {small} fetches");
}

#[test]
fn entries_of_1_mb_stay_within_64_mb() {
    let day = Day::in_directory();
    create_index(&day.db);
    store(&day, &entries_of(0, 200, 1_000_000));
    run_within(LIMIT_KIB, &day, 200);
}

/// What was asked for as small comes as one full answer a command, 16 MB each, once.
#[test]
fn thousands_of_large_entries_after_thousands_of_small_ones_take_three_full_answers_at_most() {
    let day = Day::in_directory();
    create_index(&day.db);
    store(&day, &entries_of(0, 5_000, 30));
    store(&day, &entries_of(5_000, 6_000, 5_000));
    store(&day, &entries_of(11_000, 50, 1_000_000));
    store(&day, &entries_of(11_050, 1_000, 30));
    run_within(LIMIT_KIB + 32 * 1024, &day, 12_050);
    day.check_converged();
}

/// The type of `metadata` decides whether a row can be marked. What is in it may be as large as it likes, at once or after many small ones.
#[test]
fn rows_with_20_kb_of_metadata_stay_within_64_mb() {
    let row = |entry: &Entry| {
        let mut row = entry.row();
        row.insert("metadata", doc! { "scan": "x".repeat(20_000) });
        row
    };
    for small in [0, 11_000] {
        let day = Day::in_directory();
        create_index(&day.db);
        store(&day, &entries_of(0, small, 30));
        // Due after the small ones.
        store_with_rows(&day, &entries_of(small, 1_000, 30), |entry| {
            let mut row = row(entry);
            row.insert("scheduledFor", instant(DATE, 18 * 3_600 - 1));
            row
        });
        run_within(LIMIT_KIB, &day, small as usize + 1_000);
        day.check_converged();
    }
}

/// All that is wrong is told of the first thousand; a wrong encoding refuses every entry.
#[test]
fn thousands_of_refused_entries_with_many_faults_each_stay_within_64_mb() {
    let day = Day::in_directory();
    create_index(&day.db);
    let text: String = ('一'..).take(60).collect();
    let entries = (0..8_000).map(|number| Entry::numbered(DATE, number).set("description", text.as_str()));
    store(&day, &entries.collect::<Vec<_>>());
    let run = day.run().args(&["--encoding", "windows-874", "--generate-timeout", "5m"]).run().expect_code(32);
    assert!(run.peak_memory_kib < LIMIT_KIB, "peak memory {} KiB", run.peak_memory_kib);
    let result = run.json();
    let reasons: Vec<&str> =
        result["invalid"].as_array().unwrap().iter().map(|one| one["reason"].as_str().unwrap()).collect();
    assert_eq!(reasons.len(), 8_000);
    assert!(reasons[..1_000].iter().all(|reason| reason.contains("and 10 others")), "{}", reasons[999]);
    assert!(
        reasons[1_000..].iter().all(|reason| reason.contains("U+4E00") && reason.ends_with('…')),
        "{}",
        reasons[1_000]
    );
}

/// An answer of the driver is there twice while it is read, so nothing else of that size may be. What is told of a cell is a part of it.
#[test]
fn every_command_over_entries_of_15_mb_stays_within_64_mb() {
    // A server of the usual size of cache refuses such an entry in a transaction.
    let server: &'static Mongod = Box::leak(Box::new(Mongod::start_with(&["--wiredTigerCacheSizeGB", "1"])));
    let day = Day::in_directory_with(TestDb::on(server));
    create_index(&day.db);
    for entry in entries_of(0, 8, 15_000_000) {
        store(&day, &[entry]);
    }
    let within = |command: &str, arguments: &[&str], code: i32| {
        // The C library keeps up to two buffers of this size that were given back, as it happens. With this it keeps none.
        let tuned = day.command(command).args(arguments).env("MALLOC_MMAP_THRESHOLD_", "1048576");
        let ended = tuned.run().expect_code(code);
        let peak = ended.peak_memory_kib;
        assert!(peak < 64 * 1024, "{command} {arguments:?}: peak memory {peak} KiB");
        ended.json()
    };
    within("init", &[], 0);
    // The clock of the tests is not that of the server.
    within("doctor", &[], 34);
    within("run", &["--date", DATE, "--dry-run"], 0);
    within("run", &["--date", DATE], 0);
    within("verify", &["--date", DATE], 0);
    within("corrections", &["--date", DATE], 0);
    // Far behind what is shown of a cell from its beginning on.
    let longer = doc! { "$set": { "description": { "$concat": ["$description", "!"] } } };
    day.db.command(doc! { "update": ENTRIES, "updates": [{ "q": {}, "u": [longer], "multi": true }] });
    assert_eq!(within("verify", &["--date", DATE], 34)["problem_count"], 8);
    let corrections = within("corrections", &["--date", DATE], 34);
    let shown = |side: &str| corrections["corrections"][0][side].as_str().unwrap().to_owned();
    let (exported, present) = (shown("exported"), shown("present"));
    assert!(exported.len() < 300 && exported.starts_with('…'), "{exported}");
    assert!(
        exported.contains("(15000000 bytes, sha256 ") && present.contains("! (15000001 bytes, sha256 "),
        "{present}"
    );
}
