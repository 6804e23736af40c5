//! The checks of the database: reachable, with transactions, writable, and with the same time.

use chrono::{DateTime, Utc};
use futures_util::future::try_join;

use super::Check;
use crate::batch::{BatchId, FileFacts};
use crate::config::{Config, InvalidPolicy, Target};
use crate::entry::FieldList;
use crate::failure::{Explanation, Result};
use crate::layout::Layout;
use crate::pass::{DueCompared, compare_due};
use crate::store::{Deployment, Kind, QueueIndex, ServerFacts, Short, Store, StoreError, Trial, lacks};
use crate::totals::ControlTotals;

/// A clock difference from which a warning is given.
const CLOCK_WARNING_S: i64 = 5;
/// A clock difference from which the business date or the cut-off may be wrong.
const CLOCK_BAD_S: i64 = 60;
/// The checks that need a server.
const AFTER_REACHABLE: [&str; 11] = [
    "replica set",
    "version",
    ABILITIES,
    "rights",
    "majority",
    DUE,
    "index",
    "row expiry",
    COLLECTIONS,
    "queue",
    "clock",
];
/// The checks that need a replica set.
const AFTER_REPLICA_SET: [&str; 4] = [ABILITIES, "rights", "majority", DUE];
/// The comparison of entries with the layout.
const DUE: &str = "due entries";
/// The check of what the collections hold.
pub(super) const COLLECTIONS: &str = "collections";
/// What the server has to know.
const ABILITIES: &str = "abilities";
/// The versions of MongoDB that all tests ran with.
const TESTED_VERSIONS: [&str; 1] = ["6.0.5"];

/// The checks, and whether a batch was exported before.
pub(super) async fn checks(config: &Config) -> (Vec<Check>, bool) {
    let (store, facts) = match reach(config).await {
        Ok(reached) => reached,
        Err(failure) => {
            let fix = "check host and port in MONGODB_URI, and that the server runs";
            let mut checks = vec![Check::failed("mongodb", failure, fix)];
            checks.extend(AFTER_REACHABLE.map(|name| Check::skipped(name, "no server that can be used was found")));
            return (checks, false);
        }
    };
    // Before the slower checks, while the answer is fresh.
    let clock = clock(facts.now, config.clock.now());
    let mut checks = vec![Check::ok("mongodb", format!("answers; database {}", store.database_name()))];
    let fits = facts.deployment.check();
    let version = match facts.is_new_enough {
        true => Check::ok("version", version(&facts.version)),
        false => Check::bad(
            "version",
            format!("{}: it has no snapshot reads", facts.version),
            "upgrade the server to 5.0 or newer",
        ),
    };
    let name = facts.deployment.name();
    let without = |check| Check::skipped(check, "the server has no replica set");
    match fits {
        Ok(()) => {
            checks.extend([Check::ok("replica set", name), version]);
            let (able, fault) = abilities(&store).await;
            let (rights, due) = match fault {
                None => {
                    let compared = compare_due(config, &store).await;
                    (rights(&store, config, compared.as_ref().ok()).await, due_entries(compared))
                }
                Some(fault) => (vec![Check::skipped("rights", fault)], Check::skipped(DUE, fault)),
            };
            checks.push(able);
            checks.extend(rights);
            checks.extend([majority(&store).await, due]);
        }
        Err(failure) => {
            checks.extend([Check::failed("replica set", failure, "connect to a replica set or mongos"), version]);
            checks.extend(AFTER_REPLICA_SET.map(without));
        }
    }
    // A server that is not initiated refuses even reads.
    checks.extend(match facts.deployment {
        Deployment::ReplicaSet(_) | Deployment::Mongos | Deployment::Standalone => [
            prepared(&store).await,
            expiry(&store).await,
            collections(&store).await,
            queue(&store, facts.now, config).await,
        ],
        Deployment::Uninitiated => ["index", "row expiry", COLLECTIONS, "queue"].map(without),
    });
    checks.push(clock);
    let has_exported = store.ledger_now().await.is_ok_and(|ledger| ledger.number > 0);
    (checks, has_exported)
}

async fn reach(config: &Config) -> Result<(Store, ServerFacts)> {
    let store = Store::open(config).await?;
    let facts = store.server_facts().await?;
    Ok((store, facts))
}

/// A version in the words of the README, which says what is expected of the others.
fn version(version: &str) -> String {
    match TESTED_VERSIONS.contains(&version) {
        true => format!("{version}, with which the tests of this program ran"),
        false => format!("{version}; the tests of this program ran with {}", TESTED_VERSIONS.join(" and ")),
    }
}

/// With the reason why nothing more can be tried, if there is one.
async fn abilities(store: &Store) -> (Check, Option<&'static str>) {
    const LOOK: &str = "look at the server's log";
    match store.missing_abilities().await {
        Ok(missing) if missing.is_empty() => {
            let found = "update pipelines with $$NOW, snapshot reads and transactions (tried, and undone)";
            (Check::ok(ABILITIES, found), None)
        }
        Ok(missing) => (Check::failed(ABILITIES, lacks(&missing.join("; ")), LOOK), Some("a run needs another server")),
        Err(error) => (Check::failed(ABILITIES, error.into(), LOOK), Some("the database takes no writes now")),
    }
}

/// The writes of a run: rights, and the rules of the collections.
async fn rights(store: &Store, config: &Config, due: Option<&DueCompared>) -> Vec<Check> {
    let today = config.calendar.today(config.clock.now());
    let Ok(options) = config.sheet_options(today) else {
        return vec![Check::skipped("rights", "the layout decides what a run writes")];
    };
    let batches = match store.next_free(BatchId::new(today)).await {
        Ok(batches) => batches,
        Err(error) => return refused_writes(error),
    };
    let (rows, bad) = due.map_or((&[][..], &[][..]), |due| (&due.rows, &due.bad));
    let trial = Trial {
        batches: batches.map(|batch| (batch, file_of(config, batch, &options.layout, due))),
        settings: &options.to_settings(config.invalid.name()),
        fields: &FieldList::of(&options.layout),
        rows,
        exported: due.and_then(|due| due.exported),
        bad,
        holds: config.invalid == InvalidPolicy::Hold,
        cutoff: due.map_or(config.clock.now(), |due| due.cutoff),
        transaction_rows: config.transaction_rows,
    };
    let not_tried = match store.try_writes(&trial).await {
        Ok(marked) if marked < rows.len() => format!(
            "; the marks were tried on {marked} of {} rows, because another program was writing the others",
            rows.len()
        ),
        Ok(0) => "; the marks of rows were not tried: no row is queued".to_owned(),
        Ok(_) => String::new(),
        Err(mut error) => {
            if error.kind == Kind::Rule && rows.is_empty() {
                error.message.push_str(" (tried with a made-up size, count and total of the file)");
            }
            return refused_writes(error);
        }
    };
    let found = format!("may read and write what a run reads and writes (tried, and undone){not_tried}");
    vec![Check::ok("rights", found)]
}

/// A missing right is one cause among several: a rule or the kind of a collection, a server that takes no writes.
fn refused_writes(error: StoreError) -> Vec<Check> {
    // What is refused has a next step of its own.
    const FIX: &str = "look at the server's log";
    if error.kind == Kind::Denied {
        return vec![Check::failed("rights", error.into(), FIX)];
    }
    vec![
        Check::skipped("rights", "the writes of a run are refused for another reason"),
        Check::failed("writes", error.into(), FIX),
    ]
}

/// What a commit would store of a file at this destination: the file of the due rows, or one of two entries where none is due.
fn file_of(config: &Config, batch: BatchId, layout: &Layout, due: Option<&DueCompared>) -> FileFacts {
    let name = batch.file_name(config.file_name.as_deref(), &layout.ending);
    let rows = 2 * layout.rows_per_entry();
    let made_up = (ControlTotals { entries: 2, rows, total_debit: 123_450, total_credit: 123_450 }, 4_321);
    let (totals, bytes) = due.filter(|due| !due.rows.is_empty()).map_or(made_up, |due| due.file);
    let (total_debit, total_credit) = totals.as_int64().unwrap_or_default();
    let random = || uuid::Uuid::new_v4().simple().to_string();
    let (id, link, destination) = Target::example(config.destination.as_ref(), &name);
    FileFacts {
        id,
        name,
        destination,
        sha256: format!("{}{}", random(), random()),
        md5: random(),
        bytes,
        rows: totals.rows,
        entries: totals.entries,
        total_debit,
        total_credit,
        link,
        ..FileFacts::default()
    }
}

async fn majority(store: &Store) -> Check {
    let fix = "check rs.status(): a majority of the members has to be up";
    match store.confirms_majority().await {
        Ok(true) => Check::ok("majority", "a majority of the members confirms writes"),
        Ok(false) => Check::bad("majority", "no majority of the members confirms writes in time", fix),
        Err(error) => Check::failed("majority", error.into(), fix),
    }
}

/// Whether the layout asks for what no due entry has: then the run would refuse all of them.
fn due_entries(compared: Result<DueCompared>) -> Check {
    match compared {
        Ok(DueCompared { in_vain: Some(failure), .. }) => Check::failed(DUE, failure, "correct the layout"),
        Ok(DueCompared { without_field: Some(why), .. }) => Check::warned(DUE, why),
        Ok(DueCompared { rows, bad, .. }) => Check::ok(
            DUE,
            match rows.len() + bad.len() {
                0 => "none so far, so the layout was compared with no entry".to_owned(),
                all => format!("compared with the layout: {all}; it asks for nothing that all of them lack"),
            },
        ),
        Err(failure) => Check::skipped(DUE, &failure.why.message),
    }
}

/// What `init` makes. A first run makes what it cannot do without, where its user may.
async fn prepared(store: &Store) -> Check {
    const NAME: &str = "index";
    let mut missing = match store.missing_collections().await {
        Ok(missing) => missing,
        Err(error) => return Check::failed(NAME, error.into(), "look at the server's log"),
    };
    let may_create = store.may_create_indexes().await;
    let mut is_bad = !missing.is_empty() && !may_create;
    let serving = match try_join(store.missing_indexes(), store.queue_index()).await {
        Ok((_, QueueIndex::Hidden(name))) => {
            let found =
                format!("{name} would serve the query for due rows, and is hidden: the whole queue would be read");
            return Check::bad(NAME, found, format!("unhide it in mongosh: unhideIndex({name:?}) of the queue"));
        }
        Ok((indexes, QueueIndex::Missing)) => {
            is_bad = true;
            missing.extend(indexes);
            missing.push("an index that serves the query for due rows: the whole queue would be read".to_owned());
            String::new()
        }
        Ok((indexes, QueueIndex::Serves(name))) => {
            missing.extend(indexes);
            format!("{name} serves the query for due rows")
        }
        Err(error) if error.kind == Kind::Denied && !missing.is_empty() => String::new(),
        Err(error) => return not_listed(NAME, error),
    };
    let fix = match may_create {
        true => "run `batch-export init`",
        false => "run `batch-export init` as an administrator: the user of MONGODB_URI may create no indexes",
    };
    match missing.join(", ") {
        none if none.is_empty() => Check::ok(NAME, serving),
        missing if is_bad => Check::bad(NAME, format!("missing: {missing}"), fix).for_init(),
        missing => Check::warning(NAME, format!("missing: {missing}"), fix).for_init(),
    }
}

/// A TTL index may delete rows before their export.
async fn expiry(store: &Store) -> Check {
    const NAME: &str = "row expiry";
    match store.expiring_indexes().await {
        Ok((indexes, _)) if indexes.is_empty() => Check::ok(NAME, "no index deletes what a run needs"),
        Ok((indexes, of_queue)) => Check::warning(
            NAME,
            format!("TTL indexes delete documents after a time, exported or not: {}", indexes.join(", ")),
            match of_queue {
                true => "drop them; one of the queue may count from completedAt instead, which only exported rows have",
                false => "drop them: a run needs these documents for as long as its batches are kept",
            },
        ),
        Err(error) => not_listed(NAME, error),
    }
}

/// A run does not need that right.
fn not_listed(name: &'static str, error: StoreError) -> Check {
    if error.kind == Kind::Denied {
        return Check::skipped(name, "the user of MONGODB_URI may not list the indexes");
    }
    Check::failed(name, error.into(), "look at the server's log")
}

/// A misspelt name causes no error: every day is simply empty.
async fn collections(store: &Store) -> Check {
    let look = async {
        store.check_records().await?;
        let lost = store.lost().await?;
        if let Some(marked) = &lost.marked {
            return Ok(Check::warned(COLLECTIONS, marked.into()));
        }
        if let Some(failure) = lost.failures().next() {
            return Err(failure.clone());
        }
        let short = store.short_batches().await?;
        if !short.is_empty() {
            return Ok(unrecorded(COLLECTIONS, &short));
        }
        if let Some(damaged) = store.damaged_batches().await?.first() {
            return Err(damaged.clone().into());
        }
        Ok(match store.empty_collections().await?.join(" and ") {
            none if none.is_empty() => Check::ok(COLLECTIONS, "there are queue rows and journal entries"),
            empty => Check::warning(
                COLLECTIONS,
                format!("nothing at all is in {empty} of the database {}", store.database_name()),
                "unless the application is new, correct --database, --queue-collection or --entries-collection",
            ),
        })
    };
    look.await.unwrap_or_else(|failure| Check::failed(COLLECTIONS, failure, "look at the server's log"))
}

/// Entries that a run would not know as exported. A warning, because `init` may have said that they cannot be recorded.
fn unrecorded(name: &'static str, short: &[Short]) -> Check {
    const NAMED: usize = 5;
    let mut found: Vec<String> =
        short.iter().take(NAMED).map(|short| format!("{} of {}", short.missing, short.batch.id)).collect();
    if short.len() > NAMED {
        found.push(format!("and some of {} more batches", short.len() - NAMED));
    }
    Check::warning(
        name,
        format!("entries are not on record as exported, and could be exported again: {}", found.join(", ")),
        "run `batch-export init`: it records them, or says why it cannot",
    )
    .for_init()
}

/// Rows that no run will ever take, and that a run does not report.
async fn queue(store: &Store, facts_now: Option<DateTime<Utc>>, config: &Config) -> Check {
    const NAME: &str = "queue";
    match store.never_due(facts_now.unwrap_or(config.clock.now())).await {
        Ok(rows) => {
            let found = rows.explained(&config.calendar).into_iter().reduce(Explanation::and);
            let fine = || Check::ok(NAME, "no row is stuck, without a date or due more than a year ahead");
            found.map_or_else(fine, |why| Check::warned(NAME, why))
        }
        Err(error) => Check::failed(NAME, error.into(), "look at the server's log"),
    }
}

fn clock(server: Option<DateTime<Utc>>, ours: DateTime<Utc>) -> Check {
    let Some(server) = server else { return Check::skipped("clock", "the server does not tell its time") };
    let difference_s = (ours - server).num_seconds();
    let direction = if difference_s < 0 { "behind" } else { "ahead of" };
    let found = format!("{} s {direction} the database's", difference_s.abs());
    let fix = "set this machine's clock (NTP): business dates and cut-offs depend on it";
    match difference_s.abs() {
        ..CLOCK_WARNING_S => Check::ok("clock", found),
        CLOCK_WARNING_S..CLOCK_BAD_S => Check::warning("clock", found, fix),
        CLOCK_BAD_S.. => Check::bad("clock", found, fix),
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::super::Verdict;
    use super::*;

    #[test]
    fn a_wrong_clock_is_told_with_its_direction() {
        let server = DateTime::from_timestamp(1_768_734_000, 0).unwrap();
        let at = |seconds| clock(Some(server), server + TimeDelta::seconds(seconds));
        assert_eq!((at(4).verdict, at(-4).verdict), (Verdict::Ok, Verdict::Ok));
        assert_eq!((at(5).verdict, at(-59).verdict), (Verdict::Warning, Verdict::Warning));
        assert_eq!((at(60).verdict, at(-3600).verdict), (Verdict::Bad, Verdict::Bad));
        assert!(at(-3600).found.starts_with("3600 s behind"), "{}", at(-3600).found);
        assert_eq!(clock(None, server).verdict, Verdict::Skipped);
    }
}
