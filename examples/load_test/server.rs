//! A mongod of our own: a replica set of one node in `target/`, and the server's own account of what a run cost it.
//!
//! The danger is a server that outlives us. It is the child of a small shell that reads a pipe which we hold: however we end, the
//! kernel closes the pipe, and the shell kills the server and removes its folder.

use std::collections::BTreeMap;
use std::io::{Read, Seek, SeekFrom};
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use mongodb::Client;
use mongodb::bson::{Bson, Document, doc};

const WATCHDOG: &str = r#"
    trap '' HUP INT TERM
    folder=$1; shift
    "$@" </dev/null >"$folder/output" 2>&1 & server=$!
    read -r _
    { kill -9 "$server" && wait "$server"; } 2>/dev/null
    rm -rf "$folder"
"#;
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// Commands that take longer are in the server's log, where the longest one is looked up.
const SLOW_MS: i64 = 5;

/// A running server; dropping it removes it.
pub struct Server {
    /// A client of it.
    pub client: Client,
    port: u16,
    folder: PathBuf,
    watchdog: Child,
    log_read: AtomicU64,
}

/// What the server has done since it was started, or between two looks.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    /// Commands by name, without the driver's own and ours.
    pub commands: BTreeMap<String, i64>,
    /// Transactions that committed.
    pub transactions: i64,
    /// Documents and index keys that were looked at.
    pub examined: i64,
    /// Documents that were returned or updated.
    pub used: i64,
    /// Scans of whole collections.
    pub collection_scans: i64,
    /// Sent to clients.
    pub bytes_out: i64,
    /// Received from clients.
    pub bytes_in: i64,
    /// Microseconds of processor time.
    pub cpu_us: i64,
}

/// The longest command of a run.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Slowest {
    /// Milliseconds in the server.
    pub ms: i64,
    /// What it was.
    pub what: String,
}

impl Server {
    /// Starts it, and waits until it accepts writes.
    pub async fn start(cache_gb: Option<&str>) -> Result<Server> {
        let target = target_folder()?;
        let program = find_mongod(&target)?;
        let folder = tempfile::Builder::new().prefix("load-test-").tempdir_in(&target)?.keep();
        let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
        let line = [
            program.as_str(),
            "--port",
            &port.to_string(),
            "--dbpath",
            folder.to_str().context("a path in UTF-8")?,
            "--bind_ip",
            "127.0.0.1",
            "--nounixsocket",
            "--replSet",
            "load",
            "--oplogSize",
            "2048",
            "--setParameter",
            "diagnosticDataCollectionEnabled=false",
        ]
        .map(str::to_owned);
        let cache = cache_gb.map(|gb| ["--wiredTigerCacheSizeGB", gb]);
        let watchdog = Command::new("sh")
            .args(["-c", WATCHDOG, "mongod-watchdog"])
            .arg(&folder)
            .args(line)
            .args(cache.iter().flatten())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .process_group(0)
            .spawn()?;
        let uri = format!("mongodb://127.0.0.1:{port}/?directConnection=true&serverSelectionTimeoutMS=60000");
        let server =
            Server { client: Client::with_uri_str(uri).await?, port, folder, watchdog, log_read: AtomicU64::new(0) };
        let set = doc! {"_id": "load", "members": [{"_id": 0, "host": format!("127.0.0.1:{port}")}]};
        server.admin(doc! {"replSetInitiate": set}).await?;
        let end = Instant::now() + START_TIMEOUT;
        while !server.admin(doc! {"hello": 1}).await?.get_bool("isWritablePrimary").unwrap_or(false) {
            ensure!(Instant::now() < end, "mongod did not become writable within {START_TIMEOUT:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        server.admin(doc! {"profile": 0, "slowms": SLOW_MS}).await?;
        Ok(server)
    }

    /// Version and cache, for the report.
    pub async fn describe(&self) -> Result<String> {
        let version = self.admin(doc! {"buildInfo": 1}).await?.get_str("version")?.to_owned();
        let status = self.admin(doc! {"serverStatus": 1}).await?;
        let cache = at(&status, &["wiredTiger", "cache", "maximum bytes configured"]) / (1 << 20);
        Ok(format!("mongod {version}, a replica set of one node, {cache} MiB of cache"))
    }

    /// The connection string of a database, as the program gets it; a round trip takes `rtt_ms` more.
    pub async fn uri(&self, database: &str, rtt_ms: u64) -> Result<String> {
        if rtt_ms == 0 {
            return Ok(format!("mongodb://127.0.0.1:{}/{database}?replicaSet=load", self.port));
        }
        let port = super::distance::before(self.port, Duration::from_millis(rtt_ms)).await?;
        // Discovery would lead round the proxy.
        Ok(format!("mongodb://127.0.0.1:{port}/{database}?directConnection=true"))
    }

    /// What it has done so far.
    pub async fn counts(&self) -> Result<Counts> {
        let status = self.admin(doc! {"serverStatus": 1}).await?;
        // The driver's own commands, ours, and what a replica set asks of itself.
        const NOT_OURS: [&str; 8] = [
            "hello",
            "isMaster",
            "ismaster",
            "ping",
            "endSessions",
            "serverStatus",
            "replSetUpdatePosition",
            "<UNKNOWN>",
        ];
        let all = status.get_document("metrics")?.get_document("commands")?;
        let commands = all.iter().filter(|(name, _)| !NOT_OURS.contains(&name.as_str()));
        let commands = commands.filter_map(|(name, counts)| {
            Some((name.clone(), counts.as_document()?.get("total").and_then(whole).filter(|&total| total > 0)?))
        });
        Ok(Counts {
            commands: commands.collect(),
            transactions: at(&status, &["transactions", "totalCommitted"]),
            examined: at(&status, &["metrics", "queryExecutor", "scannedObjects"]),
            used: at(&status, &["metrics", "document", "returned"]) + at(&status, &["metrics", "document", "updated"]),
            collection_scans: at(&status, &["metrics", "queryExecutor", "collectionScans", "total"]),
            bytes_out: at(&status, &["network", "bytesOut"]),
            bytes_in: at(&status, &["network", "bytesIn"]),
            cpu_us: at(&status, &["extra_info", "user_time_us"]) + at(&status, &["extra_info", "system_time_us"]),
        })
    }

    /// The longest command of the program since the last call; `None` when none took 5 ms.
    pub fn slowest(&self) -> Result<Option<Slowest>> {
        let mut log = std::fs::File::open(self.folder.join("output"))?;
        log.seek(SeekFrom::Start(self.log_read.load(Ordering::Relaxed)))?;
        let mut text = Vec::new();
        self.log_read.fetch_add(log.read_to_end(&mut text)? as u64, Ordering::Relaxed);
        let text = String::from_utf8_lossy(&text);
        let lines = text.lines().filter(|line| line.contains("\"Slow query\"") && line.contains("batch-export"));
        Ok(lines.filter_map(|line| slow(&serde_json::from_str(line).ok()?)).max_by_key(|slow| slow.ms))
    }

    async fn admin(&self, command: Document) -> Result<Document> {
        Ok(self.client.database("admin").run_command(command).await?)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.watchdog.stdin.take());
        let _ = self.watchdog.wait();
    }
}

impl Counts {
    /// What was done since an earlier look.
    pub fn since(&self, before: &Counts) -> Counts {
        let commands = self.commands.iter().filter_map(|(name, total)| {
            let new = total - before.commands.get(name).unwrap_or(&0);
            (new > 0).then(|| (name.clone(), new))
        });
        Counts {
            commands: commands.collect(),
            transactions: self.transactions - before.transactions,
            examined: self.examined - before.examined,
            used: self.used - before.used,
            collection_scans: self.collection_scans - before.collection_scans,
            bytes_out: self.bytes_out - before.bytes_out,
            bytes_in: self.bytes_in - before.bytes_in,
            cpu_us: self.cpu_us - before.cpu_us,
        }
    }
}

fn slow(line: &serde_json::Value) -> Option<Slowest> {
    let about = &line["attr"];
    let collection = about["ns"].as_str()?.rsplit('.').next()?;
    let command = about["command"].as_object().and_then(|command| command.keys().next().cloned());
    let what = match about["type"].as_str()? {
        "command" => format!("{} {collection}", command.unwrap_or_default()),
        kind => format!("{kind} {collection}"),
    };
    Some(Slowest { ms: about["durationMillis"].as_i64()?, what })
}

fn at(document: &Document, path: &[&str]) -> i64 {
    let (last, inner) = path.split_last().expect("a path");
    let found = inner.iter().try_fold(document, |document, name| document.get_document(name));
    found.ok().and_then(|document| document.get(last)).and_then(whole).unwrap_or(0)
}

fn whole(value: &Bson) -> Option<i64> {
    value.as_i64().or(value.as_i32().map(i64::from)).or(value.as_f64().map(|value| value as i64))
}

/// The target folder of the build that this example belongs to.
pub fn target_folder() -> Result<PathBuf> {
    let example = std::env::current_exe()?;
    Ok(example.ancestors().nth(3).context("this example lies in target/PROFILE/examples")?.to_owned())
}

fn find_mongod(target: &Path) -> Result<String> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/find-mongod.sh");
    let found = Command::new("sh").arg(script).env("CARGO_TARGET_DIR", target).stderr(Stdio::inherit()).output()?;
    if !found.status.success() {
        bail!("the load test needs a mongod; examples/find-mongod.sh said above how to get one");
    }
    Ok(String::from_utf8(found.stdout)?.trim_end().to_owned())
}
