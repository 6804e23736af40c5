//! Real MongoDB servers: one replica set of one node for the whole test binary, and private ones for tests that stop or starve theirs.
//!
//! Risk: a server that outlives its tests: it eats the developer's memory and disk, unseen. A `Drop` does not run when
//! a test binary is killed (nor for a static), so each server is the child of a small shell that reads a pipe held by
//! the test process. However that process ends, the kernel closes the pipe; the shell then kills the server and removes
//! its folder.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use mongodb::Client;
use mongodb::bson::{Document, doc};
use rustix::process::{Pid, Signal, kill_process};

use super::{block, target};

/// A small machine can be slow when every core is busy with the other tests.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// A dropped table keeps its file open for as long as a read may look back at it, 300 s by default, and a table that nobody uses for 600 s:
/// that long, the tests make and drop more of them than most machines let one process have open, and the server then answers nobody.
const HISTORY: &str = "minSnapshotHistoryWindowInSeconds=60";
const IDLE_TABLES: &str = "file_manager=(close_idle_time=10,close_scan_interval=5,close_handle_minimum=100)";

const FIRST_PORT: u16 = 20_000;
const PORTS: u16 = 10_000;

/// Reads orders from the test process, one a line; `$1` is the folder, the rest is the server's command line. The traps: an
/// interrupt at the terminal goes to everybody, and this shell has to be the last to go.
const WATCHDOG: &str = r#"
    trap '' HUP INT TERM
    folder=$1; shift
    server=
    end() { [ -z "$server" ] || { kill -9 "$server" && wait "$server"; } 2>/dev/null; server=; }
    while read -r order; do
        case $order in
            start) "$@" </dev/null >>"$folder/output" 2>&1 & server=$!; echo "$server" ;;
            stop) end; echo stopped ;;
        esac
    done
    end
    rm -rf "$folder"
"#;

/// A mongod, stopped when dropped. The shared one is never dropped: it goes with the test binary.
pub struct Mongod {
    port: u16,
    folder: PathBuf,
    watchdog: Mutex<Watchdog>,
    client: Client,
    fail_point: Mutex<()>,
}

struct Watchdog {
    shell: Child,
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    server: Option<Pid>,
}

impl Mongod {
    /// The replica set of one node that all tests of this binary share; started by the first who asks.
    pub fn shared() -> &'static Mongod {
        static SHARED: OnceLock<Mongod> = OnceLock::new();
        let shared = SHARED.get_or_init(|| Mongod::start_with(&[]));
        shared.answer_or_end();
        shared
    }

    /// Ends the test binary when the server that all tests share is gone. Otherwise each test that is left waits for it for minutes, and
    /// nobody reads why.
    fn answer_or_end(&self) {
        if let Err(error) = block(self.client.database("admin").run_command(doc! {"ping": 1})) {
            let last = self.log_tail();
            // Past the harness, which keeps what a test prints for later.
            let _ =
                writeln!(std::io::stderr(), "the server that the tests share is gone: {error}; it said last:\n{last}");
            std::process::exit(1);
        }
    }

    /// A private replica set of one node. `arguments` are added to the server's command line and win over ours, for example
    /// `["--setParameter", "transactionLifetimeLimitSeconds=3"]` or `["--wiredTigerCacheSizeGB", "1"]`.
    pub fn start_with(arguments: &[&str]) -> Mongod {
        let mongod = Mongod::launch(&[&["--replSet", "tests"], arguments].concat());
        let member = format!("127.0.0.1:{}", mongod.port);
        let set = doc! {"_id": "tests", "members": [{"_id": 0, "host": member}]};
        mongod.admin(doc! {"replSetInitiate": set});
        mongod.wait_until_writable();
        mongod
    }

    /// The one server that asks for a login; started by the first who asks. Its client is that of an administrator.
    pub fn secured() -> &'static Mongod {
        static SECURED: OnceLock<Mongod> = OnceLock::new();
        SECURED.get_or_init(Mongod::start_secured)
    }

    fn start_secured() -> Mongod {
        // Read once, at the start.
        let mut key = tempfile::NamedTempFile::new_in(env!("CARGO_TARGET_TMPDIR")).expect("a key file");
        key.write_all(b"the members of a set know each other by this").expect("a key file");
        let mut mongod = Mongod::start_with(&["--keyFile", key.path().to_str().expect("a path in UTF-8")]);
        // As long as there is no user, a connection from this machine may make the first one.
        mongod.admin(doc! {"createUser": "admin", "pwd": "admin", "roles": ["root"]});
        let uri = format!("mongodb://admin:admin@127.0.0.1:{}/?directConnection=true", mongod.port);
        mongod.client = block(Client::with_uri_str(uri)).expect("a client of the new mongod");
        mongod
    }

    /// A private server that is no replica set: it has neither transactions nor snapshot reads.
    pub fn start_standalone() -> Mongod {
        let mongod = Mongod::launch(&[]);
        mongod.wait_until_writable();
        mongod
    }

    /// A private server that was told the name of a replica set and nothing more: `rs.initiate()` is still to come.
    pub fn start_uninitiated() -> Mongod {
        Mongod::launch(&["--replSet", "tests"])
    }

    /// A private server for a replica set that the caller initiates.
    pub(super) fn start_member(set: &str) -> Mongod {
        Mongod::launch(&["--replSet", set])
    }

    /// Its TCP port on 127.0.0.1; the same one after `start_again`.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// A client of the server itself, without the fault injection of the test's own connections.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Runs a command on the database `admin`.
    pub fn admin(&self, command: Document) -> Document {
        let name = command.keys().next().cloned().unwrap_or_default();
        block(self.client.database("admin").run_command(command))
            .unwrap_or_else(|error| panic!("{name} on port {}: {error}\n{}", self.port, self.log_tail()))
    }

    /// Kills the server, as a power cut would: what was acknowledged by a majority is in its journal, nothing else is certain.
    pub fn stop(&self) {
        let mut watchdog = self.watchdog();
        if watchdog.server.take().is_some() {
            watchdog.order("stop");
        }
    }

    /// Starts a stopped server again, on the same port and data, and waits until it accepts writes.
    pub fn start_again(&self) {
        self.start_process_again();
        self.wait_until_writable();
    }

    /// Starts a stopped server again, and waits for nothing.
    pub(super) fn start_process_again(&self) {
        let mut watchdog = self.watchdog();
        assert!(watchdog.server.is_none(), "start_again of a server that runs");
        watchdog.start();
    }

    /// Freezes the server: connections stay open and nothing is answered. Returns when each of its threads has stopped, which on a busy
    /// machine is a while after the signal.
    pub fn pause(&self) {
        self.signal(Signal::STOP);
        let server = self.pid().expect("a server that runs").as_raw_nonzero();
        let end = Instant::now() + START_TIMEOUT;
        while !all_threads_stopped(server.get()) {
            assert!(Instant::now() < end, "mongod did not stop");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Ends a `pause`.
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    /// The process id of the server while it runs.
    pub fn pid(&self) -> Option<Pid> {
        self.watchdog().server
    }

    /// Where its data is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The turn to use the server's one `failCommand` fail point. Only one configuration of it is active in a server at a time.
    pub(super) fn fail_point_turn(&self) -> MutexGuard<'_, ()> {
        self.fail_point.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn signal(&self, signal: Signal) {
        let server = self.pid().expect("a server that runs");
        kill_process(server, signal).expect("a signal to our own server");
    }

    fn watchdog(&self) -> MutexGuard<'_, Watchdog> {
        self.watchdog.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a server that answers. A free port can be taken by somebody else between our look and the server's: then try again.
    fn launch(arguments: &[&str]) -> Mongod {
        for _ in 0..5 {
            let mongod = Mongod::launch_once(arguments);
            if mongod.answers() {
                return mongod;
            }
            let ended = mongod.log_tail();
            assert!(mongod.log().contains("Address already in use"), "mongod did not start:\n{ended}");
        }
        panic!("no free port for mongod in five attempts");
    }

    fn launch_once(arguments: &[&str]) -> Mongod {
        let folder = tempfile::Builder::new()
            .prefix("mongod-")
            .tempdir_in(env!("CARGO_TARGET_TMPDIR"))
            .expect("a folder for mongod")
            .keep();
        let port = free_port();
        let mut watchdog = Watchdog::new(&folder, &command_line(port, &folder, arguments));
        watchdog.start();
        // A fresh server refuses at first, and a killed one is expected back: ask often, for long.
        let uri = format!("mongodb://127.0.0.1:{port}/?directConnection=true&serverSelectionTimeoutMS=60000");
        let client = block(Client::with_uri_str(uri)).expect("a client of the new mongod");
        Mongod { port, folder, watchdog: Mutex::new(watchdog), client, fail_point: Mutex::new(()) }
    }

    /// Waits until the server accepts connections. False when its process ended instead.
    fn answers(&self) -> bool {
        let end = Instant::now() + START_TIMEOUT;
        while Instant::now() < end {
            // Asked first: another process may be answering on this port.
            let alive = self.watchdog().server_lives();
            if !alive {
                return false;
            }
            if self.log().contains("Waiting for connections") {
                return true;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("mongod did not answer within {START_TIMEOUT:?}:\n{}", self.log_tail());
    }

    fn wait_until_writable(&self) {
        let end = Instant::now() + START_TIMEOUT;
        while Instant::now() < end {
            assert!(self.watchdog().server_lives(), "mongod ended:\n{}", self.log_tail());
            let hello = block(self.client.database("admin").run_command(doc! {"hello": 1}));
            if hello.is_ok_and(|hello| matches!(hello.get_bool("isWritablePrimary"), Ok(true))) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("mongod did not become writable within {START_TIMEOUT:?}:\n{}", self.log_tail());
    }

    fn log(&self) -> String {
        let log = std::fs::read(self.folder.join("output")).unwrap_or_default();
        String::from_utf8_lossy(&log).into_owned()
    }

    /// The end of what the server said, for the message of a failing test.
    fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

impl Drop for Mongod {
    fn drop(&mut self) {
        let mut watchdog = self.watchdog();
        watchdog.orders = None;
        let _ = watchdog.shell.wait();
    }
}

impl Watchdog {
    fn new(folder: &Path, command_line: &[String]) -> Watchdog {
        let mut shell = Command::new("sh")
            .args(["-c", WATCHDOG, "mongod-watchdog"])
            .arg(folder)
            .args(command_line)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            // Its own group: an interrupt at the terminal must not reach the server before the tests are through with it.
            .process_group(0)
            .spawn()
            .expect("sh, to watch over mongod");
        let orders = shell.stdin.take();
        let answers = BufReader::new(shell.stdout.take().expect("a pipe was asked for"));
        Watchdog { shell, orders, answers, server: None }
    }

    fn order(&mut self, order: &str) -> String {
        let orders = self.orders.as_mut().expect("a watchdog that was not dismissed");
        writeln!(orders, "{order}").expect("the watchdog reads its orders");
        let mut answer = String::new();
        self.answers.read_line(&mut answer).expect("the watchdog answers");
        answer.trim().to_owned()
    }

    fn start(&mut self) {
        let pid = self.order("start").parse().expect("the process id of mongod");
        self.server = Pid::from_raw(pid);
    }

    /// Whether the server's process is there and not just waiting to be buried.
    fn server_lives(&self) -> bool {
        let Some(server) = self.server else { return false };
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", server.as_raw_nonzero())).unwrap_or_default();
        stat.rsplit(") ").next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with('Z'))
    }
}

/// Whether every thread of a process is in the state T of `/proc`.
fn all_threads_stopped(process: i32) -> bool {
    let threads = std::fs::read_dir(format!("/proc/{process}/task")).expect("the threads of our own server");
    threads.flatten().all(|thread| {
        // The name of a thread may contain anything, even `) T`; the state follows the last bracket.
        let stat = std::fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
        stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with('T'))
    })
}

/// The server's command line. Small, silent, reachable from this machine only; and nothing outside its folder (no socket in /tmp).
fn command_line(port: u16, folder: &Path, arguments: &[&str]) -> Vec<String> {
    let port = port.to_string();
    let folder = folder.to_str().expect("a path in UTF-8");
    let mut line = vec![program().to_owned()];
    for [name, value] in [["--port", &port], ["--dbpath", folder], ["--bind_ip", "127.0.0.1"]] {
        line.extend([name.to_owned(), value.to_owned()]);
    }
    for parameter in ["enableTestCommands=1", "diagnosticDataCollectionEnabled=false", HISTORY] {
        line.extend(["--setParameter".to_owned(), parameter.to_owned()]);
    }
    line.push("--nounixsocket".to_owned());
    for [name, value] in
        [["--wiredTigerCacheSizeGB", "0.25"], ["--oplogSize", "256"], ["--wiredTigerEngineConfigString", IDLE_TABLES]]
    {
        if !arguments.contains(&name) {
            line.extend([name.to_owned(), value.to_owned()]);
        }
    }
    line.extend(arguments.iter().map(|&argument| argument.to_owned()));
    line
}

/// The mongod to run, asked of `examples/find-mongod.sh` once. Public so that a test can say which one it is.
pub fn program() -> &'static str {
    static PROGRAM: OnceLock<String> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let output = Command::new("sh")
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/find-mongod.sh"))
            .env("CARGO_TARGET_DIR", target())
            .stderr(Stdio::inherit())
            .output()
            .expect("sh, to run examples/find-mongod.sh");
        assert!(output.status.success(), "the tests need a mongod; examples/find-mongod.sh said above how to get one");
        String::from_utf8(output.stdout).expect("a path in UTF-8").trim_end().to_owned()
    })
}

/// A port that nobody listens on. Not one of those that the kernel gives to outgoing connections (from 32768 on): one of the many
/// connections of the tests could sit on it when a stopped server wants it back.
fn free_port() -> u16 {
    static NEXT: OnceLock<AtomicU16> = OnceLock::new();
    let next = NEXT.get_or_init(|| AtomicU16::new(rand::random()));
    let mut candidates = (0..PORTS).map(|_| FIRST_PORT + next.fetch_add(1, Ordering::Relaxed) % PORTS);
    candidates.find(|&port| TcpListener::bind(("127.0.0.1", port)).is_ok()).expect("a free port")
}
