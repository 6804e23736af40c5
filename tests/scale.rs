//! What a large day costs, in figures that are exact on any machine: commands, documents looked at, plans; and that it ends at all on
//! a server with little cache. Speed is measured by `examples/load_test.rs`, not here.

use std::time::Duration;

use mongodb::bson::{Bson, Document, doc};

use crate::support::command::BatchExport;
use crate::support::day::{BATCH, BATCHES, Day, entry_ids};
use crate::support::db::TestDb;
use crate::support::mongod::Mongod;
use crate::support::proxy::{Command, On, Proxy};
use crate::support::seed::{DATE, ENTRIES, Entry, QUEUE, create_index, instant, seed_day};

const PATIENCE: Duration = Duration::from_secs(60);

/// The commands of a run over the proxy, by name.
fn commands(proxy: &Proxy) -> Vec<String> {
    proxy.commands().into_iter().map(|command| command.name).collect()
}

/// A run over so many entries whose commit went through at once: a server that is busy with other tests may ask to run it again.
fn undisturbed_run(entries: u32) -> (Proxy, Day) {
    for _ in 0..5 {
        let proxy = Proxy::before(Mongod::shared());
        let day = Day::in_directory().through(&proxy);
        seed_day(&day.db, DATE, entries);
        day.run().run().expect_code(0);
        // A pass also aborts one that was never begun, to see whether the server knows transactions.
        let was_begun = |sent: &Command| !sent.body.get_i64("txnNumber").is_ok_and(|number| number == i64::MAX);
        if !proxy.commands().iter().any(|sent| sent.name == "abortTransaction" && was_begun(sent)) {
            return (proxy, day);
        }
    }
    panic!("the server asked five times to run the commit again");
}

#[test]
fn ten_thousand_entries_cost_a_bounded_number_of_commands() {
    let (proxy, day) = undisturbed_run(10_000);
    let sent = commands(&proxy);
    let times = |name: &str| sent.iter().filter(|sent| *sent == name).count();
    // Three fetches to read the entries, two to see in the commit that they are still what was read, and two to see it once more after it.
    // And one or two that found out that the entries do not lie together in the order of the file.
    assert!((8..=9).contains(&entry_fetches(&proxy)), "{}", entry_fetches(&proxy));
    assert_eq!(times("commitTransaction"), 1);
    // Among them the collections of a first run, its looks whether the server has snapshots and transactions, whether a ledger was lost, whether rows are marked
    // and what `init` would have made, and the note that the file is sealed.
    assert!(sent.len() <= 51, "{} commands: {sent:?}", sent.len());
    day.check_converged();
}

#[test]
fn the_number_of_commands_does_not_follow_the_number_of_entries_of_a_small_day() {
    let [few, many] = [3, 4_000].map(|count| {
        let (proxy, _day) = undisturbed_run(count);
        let mut sent = commands(&proxy);
        // Some go side by side, and arrive in any order.
        sent.sort();
        sent
    });
    assert_eq!(few, many);
}

#[test]
fn a_first_run_and_a_later_one_scan_no_collection() {
    let day = Day::in_directory();
    for date in ["2026-01-17", DATE] {
        seed_day(&day.db, date, 20);
        day.db.command(doc! { "profile": 2 });
        day.command("run").date(date).now(&format!("{date}T18:00:05+07:00")).run().expect_code(0);
        day.db.command(doc! { "profile": 0 });
        let scans = day.db.find_all("system.profile", doc! { "planSummary": "COLLSCAN" });
        let application = [QUEUE, ENTRIES, "exportlogs"].map(|name| format!("{}.{name}", day.db.name()));
        let of_application = |scan: &&Document| application.iter().any(|name| scan.get_str("ns").ok() == Some(name));
        assert_eq!(scans.iter().find(of_application), None, "{date}");
        assert!(day.db.count("system.profile", doc! { "planSummary": { "$regex": "IXSCAN" } }) > 0, "nothing was seen");
        day.db.block(day.db.collection("system.profile").drop()).expect("to drop what was seen");
    }
}

#[test]
fn no_query_of_a_run_scans_a_collection_or_looks_at_more_than_it_returns() {
    let proxy = Proxy::before(Mongod::shared());
    let day = Day::in_directory().through(&proxy);
    seed_day(&day.db, DATE, 2_000);
    // What is not due must not be looked at: later rows, and those of other states.
    day.db.update_many(
        QUEUE,
        doc! {"scheduledFor": {"$gte": instant(DATE, 17 * 3_600)}},
        doc! {"$set": {"status": "completed"}},
    );
    let due = day.db.count(QUEUE, doc! {"status": "queued"}) as i64;
    assert!(due > 500 && due < 2_000, "{due}");
    day.run().arg("--dry-run").run().expect_code(0);
    let finds: Vec<Document> =
        proxy.commands().into_iter().filter(|sent| sent.name == "find").map(|sent| sent.body).collect();
    let of = |collection: &str| {
        let found = finds.iter().find(|find| {
            // Of the queue, not the search for rows without a date.
            matches!(find.get_str("find"), Ok(name) if name == collection)
                && (collection != QUEUE || find.to_string().contains("$lte"))
        });
        explain(&day, found.unwrap_or_else(|| panic!("no find on {collection}")))
    };
    for collection in [QUEUE, ENTRIES] {
        let (stages, examined, returned) = of(collection);
        assert!(!stages.iter().any(|stage| stage == "COLLSCAN"), "{collection}: {stages:?}");
        assert_eq!(returned, due, "{collection}");
        assert!(examined <= returned + 1, "{collection}: {examined} examined for {returned}");
    }
}

#[test]
fn rows_that_were_queued_against_the_order_of_their_ids_come_out_in_order() {
    let proxy = Proxy::before(Mongod::shared());
    let day = Day::in_directory().through(&proxy);
    create_index(&day.db);
    // Far more than the window in which rows are sorted as they come, all due at one instant, the last one stored first.
    let mut entries: Vec<Entry> = (0..20_000).map(|number| Entry::numbered(DATE, number)).collect();
    entries.reverse();
    let row = |entry: &Entry| {
        let mut row = entry.row();
        row.insert("scheduledFor", instant(DATE, 9 * 3_600));
        row
    };
    day.db.insert_many(ENTRIES, entries.iter().map(Entry::document).collect());
    day.db.insert_many(QUEUE, entries.iter().map(row).collect());
    day.run().run().expect_code(0);
    // Not those that look, by id, whether the rows are still as they were.
    let searches = |sent: &&Command| {
        is_find(sent, QUEUE) && sent.body.to_string().contains("$lte") && {
            sent.body.get_document("filter").is_ok_and(|filter| !filter.contains_key("_id"))
        }
    };
    assert_eq!(
        proxy.commands().iter().filter(searches).count(),
        2,
        "that the order was wrong shows on the way; then all rows are read before any is written"
    );
    let ids = entry_ids(&day.live_files()[0].bytes);
    assert_eq!(ids.len(), 20_000);
    assert!(ids.is_sorted(), "where `scheduledFor` is the same, `_id` decides");
    day.check_converged();
}

/// Entries and rows are read by ranges of ids. Whatever else lies in a range is not exported, not marked, and may change at any time.
#[test]
fn strangers_between_the_entries_and_rows_of_a_day_are_left_alone() {
    for (of, strangers) in [(20, "few"), (2, "many")] {
        let proxy = Proxy::before(Mongod::shared());
        let day = Day::in_directory().through(&proxy);
        create_index(&day.db);
        let all: Vec<Entry> = (0..12_000).map(|number| Entry::numbered(DATE, number)).collect();
        // One of so many is a draft, or was queued for another way of export.
        let (drafts, ours): (Vec<(usize, &Entry)>, Vec<_>) = all.iter().enumerate().partition(|(at, _)| at % of == 0);
        let by_hand = |(_, entry): &(usize, &Entry)| {
            let mut row = entry.row();
            row.insert("exportPath", "manual");
            row
        };
        day.db.insert_many(ENTRIES, all.iter().map(Entry::document).collect());
        day.db.insert_many(QUEUE, ours.iter().map(|(_, entry)| entry.row()).collect());
        day.db.insert_many(QUEUE, drafts.iter().map(by_hand).collect());
        let before = day.db.find_all(QUEUE, doc! { "exportPath": "manual" });
        let draft = drafts[1].1.id();
        let stop = proxy.hold(On::command("update").collection(BATCHES));
        let running = day.run().args(&["--transaction-rows", "5000"]).spawn();
        stop.wait_until_reached(PATIENCE);
        day.db.update_one(ENTRIES, doc! { "_id": draft }, doc! { "$set": { "description": "edited" } });
        stop.release();
        let result = running.wait(PATIENCE).expect_code(0).json();
        assert_eq!(
            (result["entries"].as_u64(), &result["attempt"]),
            (Some(ours.len() as u64), &1.into()),
            "{strangers}"
        );
        let ids = entry_ids(&day.live_files()[0].bytes);
        assert!(ids.len() == ours.len() && !ids.contains(&draft.to_hex()), "{strangers}");
        assert_eq!(day.db.find_all(QUEUE, doc! { "exportPath": "manual" }), before, "{strangers}");
        assert_eq!(day.rows_with_status("completed"), ours.len() as u64, "{strangers}");
    }
}

/// Rows that lie together are marked by their range. A row that comes into it while its transaction is open is not of the file.
#[test]
fn a_row_that_is_queued_among_rows_that_are_being_marked_waits_for_the_next_day() {
    let proxy = Proxy::before(Mongod::shared());
    let day = Day::in_directory().through(&proxy);
    create_index(&day.db);
    let mut entries: Vec<Entry> = (0..6_000).map(|number| Entry::numbered(DATE, number)).collect();
    day.db.insert_many(ENTRIES, entries.iter().map(Entry::document).collect());
    let late = entries.remove(1_500);
    day.db.insert_many(QUEUE, entries.iter().map(Entry::row).collect());
    let stop = proxy.hold(On::command("update").collection(QUEUE));
    let running = day.run().args(&["--transaction-rows", "3000"]).spawn();
    stop.wait_until_reached(PATIENCE);
    day.db.insert_many(QUEUE, vec![late.row()]);
    stop.release();
    let result = running.wait(PATIENCE).expect_code(0).json();
    assert_eq!(result["entries"], 5_999);
    let by_range = |sent: &&Command| sent.name == "update" && sent.body.to_string().contains("$gte");
    assert_eq!(proxy.commands().iter().filter(by_range).count(), 2, "each piece is marked by its range");
    assert_eq!(day.rows_with_status("queued"), 1);
    assert!(!entry_ids(&day.live_files()[0].bytes).contains(&late.id().to_hex()));
    day.check_guarantees();
    day.command("run").date("2026-01-19").now("2026-01-19T18:00:05+07:00").run().expect_code(0);
    assert_eq!(day.rows_with_status("queued"), 0);
}

#[test]
fn a_server_with_little_cache_takes_a_large_batch_in_bounded_transactions() {
    let proxy = Proxy::before(Mongod::shared());
    let day = Day::in_directory().through(&proxy);
    seed_day(&day.db, DATE, 30_000);
    let run: BatchExport = day.run().args(&["--transaction-rows", "5000"]);
    let result = run.spawn().wait(Duration::from_secs(300)).expect_code(0).json();
    assert_eq!((result["entries"].as_u64(), result["outcome"].as_str()), (Some(30_000), Some("completed")));
    // The transaction that marks rows records their entries with one command.
    let recorded = |sent: &Command| sent.body.get_array("documents").map_or(0, Vec::len);
    let records = |sent: &&Command| sent.name == "insert" && sent.collection() == Some("exportbatchentries");
    let largest = proxy.commands().iter().filter(records).map(recorded).max();
    assert_eq!(largest, Some(5_000), "no transaction marks more rows than it may");
    assert_eq!(day.batch().get_i64("marked").ok(), Some(30_000));
    assert!(day.db.find_one(BATCHES, doc! {"_id": "ledger", "marking": null}).is_some());
    assert_eq!(day.batch().get_str("_id").ok(), Some(BATCH));
    day.check_converged();
}

/// A server holds what a transaction changes in its cache, and refuses one that is larger.
#[test]
fn rows_that_are_too_large_for_the_servers_cache_are_marked_a_few_at_a_time() {
    let server: &'static Mongod = Box::leak(Box::new(Mongod::start_with(&[])));
    server.admin(doc! { "setParameter": 1, "wiredTigerEngineRuntimeConfig": "cache_size=64M" });
    // In the commit, and in the marking after it.
    for transaction_rows in ["10000", "30"] {
        let day = Day::on_drive_with(TestDb::on(server));
        create_index(&day.db);
        let entries: Vec<Entry> = (0..120).map(|number| Entry::numbered(DATE, number)).collect();
        day.db.insert_many(ENTRIES, entries.iter().map(Entry::document).collect());
        // Small ones follow the large ones, by their ids, too.
        for (number, entry) in entries.iter().enumerate() {
            let mut row = entry.row();
            row.insert("metadata", doc! { "scan": "x".repeat(if number < 60 { 1_000_000 } else { 10 }) });
            day.db.insert_many(QUEUE, vec![row]);
        }
        let run = day.run().args(&["--transaction-rows", transaction_rows]).run().expect_code(0);
        assert_eq!(run.json()["outcome"], "completed");
        assert_eq!(day.batch().get_i64("marked").ok(), Some(120), "{}", run.report());
        assert_eq!(day.db.count("exportbatchrows", doc! {}), 0);
        day.check_converged();
    }
    server.stop();
}

fn entry_fetches(proxy: &Proxy) -> usize {
    proxy.commands().iter().filter(|sent| is_find(sent, ENTRIES)).count()
}

fn is_find(sent: &Command, collection: &str) -> bool {
    sent.name == "find" && sent.collection() == Some(collection)
}

/// Stages of the plan that the server chooses for a find, documents examined and returned.
fn explain(day: &Day, find: &Document) -> (Vec<String>, i64, i64) {
    const QUERY: [&str; 3] = ["find", "filter", "projection"];
    let query: Document =
        find.iter().filter(|(key, _)| QUERY.contains(&key.as_str())).map(|(k, v)| (k.clone(), v.clone())).collect();
    let plan = day.db.command(doc! {"explain": query, "verbosity": "executionStats"});
    let stats = plan.get_document("executionStats").expect("statistics");
    let number = |key: &str| stats.get(key).and_then(|value| value.as_i64().or(value.as_i32().map(i64::from)));
    let mut stages = Vec::new();
    collect_stages(&Bson::from(stats.get_document("executionStages").expect("stages").clone()), &mut stages);
    assert!(!stages.is_empty());
    (stages, number("totalDocsExamined").expect("a number"), number("nReturned").expect("a number"))
}

fn collect_stages(value: &Bson, stages: &mut Vec<String>) {
    match value {
        Bson::Document(document) => {
            for (key, value) in document {
                if let ("stage", Bson::String(name)) = (key.as_str(), value) {
                    stages.push(name.clone());
                }
                collect_stages(value, stages);
            }
        }
        Bson::Array(values) => values.iter().for_each(|value| collect_stages(value, stages)),
        _ => {}
    }
}
