//! Runs the real binary, as cron would: a scrubbed environment, a private folder for temporary files, nothing on stdin.
//!
//! Risk: a test that passes because of the developer's own settings, or a child that outlives its test. So no variable
//! is inherited but PATH, and a running command is killed when it is dropped. Its output is read all the time: a full
//! pipe would stop it. Every exit code that the suite sees is compared with the codes that the help of its command
//! lists, and every JSON with its schema.

use std::io::{ErrorKind, Read};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use batch_export::cli::help::exits;
use batch_export::command::CommandName;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::peak::PeakMemory;
use super::schema::{check, check_result};

/// Far more than any command needs, even when every core is busy with other tests: it only ends a test that hangs.
const RUN_TIMEOUT: Duration = Duration::from_secs(120);

/// The client's clock unless a test sets another one: five seconds after the cut-off of the day that `seed` fills.
pub const DEFAULT_NOW: &str = "2026-01-18T18:00:05+07:00";

/// A command line and its environment. Clones share the spool folder, as two runs on one host do.
#[derive(Clone)]
pub struct BatchExport {
    program: String,
    arguments: Vec<String>,
    variables: Vec<(String, String)>,
    spool: Arc<TempDir>,
    /// It starts in the spool folder, so that a relative path leads there.
    starts_in_spool: bool,
}

/// A command that was started. Dropping it kills it.
pub struct Running {
    child: Child,
    /// The command, when the program is the real binary.
    command: Option<CommandName>,
    what: String,
    spool: Arc<TempDir>,
    peak: PeakMemory,
    stdout: Option<Pipe>,
    stderr: Option<Pipe>,
}

/// What came out of a command so far, and the thread that reads on.
struct Pipe {
    bytes: Arc<Mutex<Vec<u8>>>,
    reader: JoinHandle<()>,
}

/// A command that has ended.
pub struct Finished {
    /// The exit code; 128 + signal when it was killed by one, as a shell reports it.
    pub code: i32,
    /// The signal that killed it. Ending by itself after a signal leaves this empty.
    pub signal: Option<i32>,
    /// What it printed: the result.
    pub stdout: String,
    /// What it logged.
    pub stderr: String,
    /// The peak of its resident memory, in KiB.
    pub peak_memory_kib: u64,
    what: String,
    spool: Arc<TempDir>,
}

impl BatchExport {
    /// `batch-export` without arguments.
    pub fn new() -> BatchExport {
        BatchExport::standing_in(env!("CARGO_BIN_EXE_batch-export"))
    }

    /// `batch-export run`, `retry`, ...
    pub fn command(name: &str) -> BatchExport {
        BatchExport::new().arg(name)
    }

    /// Another program in the place of the binary, such as a wrapper around it.
    pub fn standing_in(program: &str) -> BatchExport {
        let spool = tempfile::Builder::new().prefix("spool-").tempdir_in(env!("CARGO_TARGET_TMPDIR"));
        let spool = Arc::new(spool.expect("a private folder for temporary files"));
        let command = BatchExport {
            program: program.to_owned(),
            arguments: Vec::new(),
            variables: Vec::new(),
            spool,
            starts_in_spool: false,
        };
        command.now(DEFAULT_NOW)
    }

    /// Another program with the variables of this command, such as a terminal around it.
    pub fn in_place_of_the_binary(mut self, program: &str, arguments: &[&str]) -> BatchExport {
        self.program = program.to_owned();
        self.arguments.clear();
        self.args(arguments)
    }

    /// Adds one argument.
    pub fn arg(mut self, argument: &str) -> BatchExport {
        self.arguments.push(argument.to_owned());
        self
    }

    /// Adds several arguments.
    pub fn args(self, arguments: &[&str]) -> BatchExport {
        arguments.iter().fold(self, |command, argument| command.arg(argument))
    }

    /// Sets a variable; the last value counts.
    pub fn env(mut self, name: &str, value: &str) -> BatchExport {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Starts in its spool folder instead of that of the tests.
    pub fn in_spool_folder(mut self) -> BatchExport {
        self.starts_in_spool = true;
        self
    }

    /// `--date`, as 2026-01-18.
    pub fn date(self, date: &str) -> BatchExport {
        self.args(&["--date", date])
    }

    /// The client's clock, as RFC 3339. Leases and back-off never follow it.
    pub fn now(self, instant: &str) -> BatchExport {
        self.env("BATCH_EXPORT_NOW", instant)
    }

    /// The destination, by its variable, so that it may be given before the name of the command.
    pub fn destination(self, destination: &str) -> BatchExport {
        self.env("BATCH_EXPORT_DESTINATION", destination)
    }

    /// The database, by its variable: a command line is visible to everybody.
    pub fn mongodb(self, uri: &str) -> BatchExport {
        self.env("MONGODB_URI", uri)
    }

    /// Runs it to its end.
    pub fn run(&self) -> Finished {
        self.spawn().wait(RUN_TIMEOUT)
    }

    /// Starts it.
    pub fn spawn(&self) -> Running {
        self.spawn_reading(Stdio::null())
    }

    /// Starts it, and hands over what is typed into it: its stdin, which ends with the keyboard.
    pub fn spawn_with_keyboard(&self) -> (Running, ChildStdin) {
        let mut running = self.spawn_reading(Stdio::piped());
        let keyboard = running.child.stdin.take().expect("the pipe that was asked for");
        (running, keyboard)
    }

    fn spawn_reading(&self, stdin: Stdio) -> Running {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folder = if self.starts_in_spool { self.spool.path() } else { Path::new(".") };
        let mut child = Command::new(&self.program)
            .current_dir(folder)
            .args(&self.arguments)
            .env_clear()
            .env("PATH", path)
            .env("TMPDIR", self.spool.path())
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdin(stdin)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", self.program));
        Running {
            peak: PeakMemory::watch(child.id()),
            stdout: child.stdout.take().map(collect),
            stderr: child.stderr.take().map(collect),
            child,
            command: self.name(),
            what: format!("{} {}", self.program, self.arguments.join(" ")),
            spool: Arc::clone(&self.spool),
        }
    }

    /// Which command of the real binary this is.
    fn name(&self) -> Option<CommandName> {
        let is_ours = self.program == env!("CARGO_BIN_EXE_batch-export");
        let named = |argument: &String| CommandName::ALL.into_iter().find(|name| name.name() == argument);
        self.arguments.iter().find_map(named).filter(|_| is_ours)
    }

    /// Where its temporary files go.
    pub fn spool_folder(&self) -> &Path {
        self.spool.path()
    }

    /// Whether no temporary file is left.
    pub fn spool_is_empty(&self) -> bool {
        is_empty(&self.spool)
    }
}

impl Running {
    /// Its process id.
    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Sends a signal to it; one that has ended takes no notice.
    pub fn signal(&self, signal: Signal) {
        // Until `wait`, an ended child is still there as a zombie, so the id cannot be somebody else's.
        kill_process(self.pid(), signal).expect("a signal to our own child");
    }

    /// Sends SIGTERM to it, and waits until it has said that it received it.
    #[track_caller]
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
        let end = Instant::now() + Duration::from_secs(60);
        while !self.logged().contains("SIGTERM received, stopping") {
            assert!(Instant::now() < end, "it says nothing of the signal: {}", self.logged());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Whether it has not ended yet.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("the state of our own child").is_none()
    }

    /// What it has printed so far.
    pub fn printed(&self) -> String {
        self.stdout.as_ref().map(Pipe::text).unwrap_or_default()
    }

    /// What it has logged so far.
    pub fn logged(&self) -> String {
        self.stderr.as_ref().map(Pipe::text).unwrap_or_default()
    }

    /// Waits until it has ended by itself. If it does not, kills it and fails the test with what it said.
    pub fn wait(mut self, timeout: Duration) -> Finished {
        let end = Instant::now() + timeout;
        let mut pause = Duration::from_millis(1);
        loop {
            if let Some(status) = self.child.try_wait().expect("the state of our own child") {
                return self.finish(status);
            }
            if Instant::now() > end {
                break;
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let status = self.child.wait().expect("the end of our own child");
        panic!("it had not ended after {timeout:?}: {}", self.finish(status).report());
    }

    /// Kills it, as the kernel does when memory is short, and waits until it is gone.
    pub fn kill(mut self) -> Finished {
        let _ = self.child.kill();
        let status = self.child.wait().expect("the end of our own child");
        self.finish(status)
    }

    fn finish(&mut self, status: ExitStatus) -> Finished {
        let signal = status.signal();
        let command = self.command.take();
        let finished = Finished {
            code: status.code().or(signal.map(|signal| 128 + signal)).expect("an exit code or a signal"),
            signal,
            stdout: text(self.stdout.take()),
            stderr: text(self.stderr.take()),
            peak_memory_kib: self.peak.kib(),
            what: std::mem::take(&mut self.what),
            spool: Arc::clone(&self.spool),
        };
        if let Some(command) = command.filter(|_| signal.is_none()) {
            let listed = exits(command).into_iter().any(|exit| i32::from(exit.code()) == finished.code);
            assert!(listed, "the help of {command:?} does not list its code: {}", finished.report());
        }
        if let Err(wrong) = finished.check_json() {
            panic!("{wrong}\n{}", finished.report());
        }
        finished
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Finished {
    /// What is wrong with the JSON that it printed or logged. A killed command may have stopped in the middle of a line.
    fn check_json(&self) -> Result<(), String> {
        let object = |text: &str| serde_json::from_str(text).ok().filter(serde_json::Value::is_object);
        if let Some(result) = object(&self.stdout).filter(|result| result.get("command").is_some()) {
            check_result(&result)?;
        }
        let is_ours = |line: &serde_json::Value| line.get("timestamp").is_some() && line.get("level").is_some();
        self.stderr.lines().filter_map(object).filter(is_ours).try_for_each(|line| check("log", &line))
    }

    /// The result of `--output json`: exactly one object, alone on stdout.
    pub fn json(&self) -> serde_json::Value {
        match serde_json::from_str(&self.stdout) {
            Ok(value @ serde_json::Value::Object(_)) => value,
            Ok(_) => panic!("not an object on stdout: {}", self.report()),
            Err(error) => panic!("not one JSON value on stdout ({error}): {}", self.report()),
        }
    }

    /// Whether no temporary file is left.
    pub fn spool_is_empty(&self) -> bool {
        is_empty(&self.spool)
    }

    /// Fails the test, with everything the command said, unless it ended with this code.
    #[track_caller]
    pub fn expect_code(self, code: i32) -> Finished {
        assert_eq!(self.code, code, "{}", self.report());
        self
    }

    /// Everything about it, for the message of a failing test.
    pub fn report(&self) -> String {
        format!("{}\ncode {}\n--- stdout\n{}--- stderr\n{}---", self.what, self.code, self.stdout, self.stderr)
    }
}

fn is_empty(folder: &TempDir) -> bool {
    std::fs::read_dir(folder.path()).expect("the spool folder").next().is_none()
}

fn collect(mut pipe: impl Read + Send + 'static) -> Pipe {
    let bytes = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&bytes);
    let reader = std::thread::spawn(move || {
        let mut part = [0; 8192];
        loop {
            match pipe.read(&mut part) {
                Ok(0) => break,
                Ok(length) => kept.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(&part[..length]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
    });
    Pipe { bytes, reader }
}

impl Pipe {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }
}

fn text(pipe: Option<Pipe>) -> String {
    let Some(Pipe { bytes, reader }) = pipe else { return String::new() };
    let _ = reader.join();
    let bytes = std::mem::take(&mut *bytes.lock().unwrap_or_else(PoisonError::into_inner));
    String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

/// All that a problem says, as people read it in one line: what is wrong, and what to do about it where there is something to do.
pub fn said(problem: &serde_json::Value) -> String {
    let message = problem["message"].as_str().unwrap_or_else(|| panic!("no message in {problem}"));
    problem["next"].as_str().map_or(message.to_owned(), |next| format!("{message}; {next}"))
}

/// All that a result's `error` says: what failed, and on a line of its own what to do next.
pub fn told(error: &serde_json::Value) -> String {
    let text = |field: &str| error[field].as_str().unwrap_or_else(|| panic!("no {field} in {error}")).to_owned();
    assert!(!text("next").is_empty(), "an error without a next step: {error}");
    format!("{}\n{}", text("message"), text("next"))
}
