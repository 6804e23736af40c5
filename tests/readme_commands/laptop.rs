//! The machine in front of the reader who sets up a server: a shell whose keyboard the test has, a browser, and an `ssh` to that server.
//!
//! Risk: a tunnel that nobody would miss: on one machine the browser reaches the program's port without it. So the
//! laptop is a network of its own, in which nothing but its own `ssh` listens, and the server, a real `sshd`, is in
//! that of the tests, where the fake Drive is. No network joins the two: `ssh` comes over a socket in the file system,
//! as it could come through any other proxy. Each machine has one account, whose home is a folder of the test, so
//! nobody's keys and settings count. All of this is namespaces that need no rights; each machine has its own processes,
//! and all of them go with its first one, however the test ends.

use std::collections::HashMap;
use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use url::Url;

use super::desk::Desk;
use crate::support::browser::fields;
use crate::support::command::{BatchExport, Finished, Running};

const PATIENCE: Duration = Duration::from_secs(60);
/// The port that the README names, in whose place a free one is used.
const PORT: &str = "8085";
/// It starts itself once more, for which it wants to be called by its whole path.
const SSHD: &str = "/usr/sbin/sshd";
const GREETING: &str = "welcome to the server";
/// With what a machine begins. It is gone with the thread that made it, also when that is killed: nothing of Rust runs then.
const MACHINE: [&str; 3] = ["--pdeathsig", "KILL", "unshare"];
const NAMESPACES: [&str; 6] = ["--user", "--map-root-user", "--mount", "--pid", "--fork", "--kill-child"];

/// The laptop, and the server that it knows as `server`.
pub struct Laptop {
    shell: Running,
    keyboard: Option<ChildStdin>,
    port: String,
    server: Server,
    folder: TempDir,
}

/// Answers each `ssh` with an `sshd` of its own.
struct Server {
    socket: PathBuf,
    closed: Arc<AtomicBool>,
    door: Option<JoinHandle<()>>,
    log: PathBuf,
}

impl Laptop {
    /// A laptop with the `client.json` that was downloaded on it. The desk is the server, which has no such file yet.
    pub fn with_the_client_of(desk: &Desk) -> Laptop {
        check_namespaces();
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder for the laptop");
        let home = folder.path();
        fs::rename(desk.folder().join("client.json"), home.join("client.json")).expect("the client's file");
        write_keys_and_settings(home);
        let server = Server::open(home, desk);
        let script = format!(
            "mount --bind '{home}/passwd' /etc/passwd; mount --bind /dev/null /etc/ssh/ssh_config
             ip link set lo up; cd '{home}'; exec sh -e",
            home = home.display()
        );
        let shell =
            BatchExport::standing_in("setpriv").args(&MACHINE).args(&NAMESPACES).args(&["--net", "sh", "-ec", &script]);
        let (shell, keyboard) = shell.spawn_with_keyboard();
        Laptop { shell, keyboard: Some(keyboard), port: free_port().to_string(), server, folder }
    }

    /// Types a line.
    pub fn enter(&mut self, line: &str) {
        let line = line.replace(PORT, &self.port) + "\n";
        // A shell that has ended tells why when it is waited for.
        let _ = self.keyboard.as_mut().expect("a terminal that is open").write_all(line.as_bytes());
    }

    /// Waits until the shell on the server is there. What is typed earlier, the shell of the laptop might read.
    #[track_caller]
    pub fn wait_for_the_server(&mut self) {
        self.wait_for(|logged| logged.contains(GREETING).then_some(()));
    }

    /// The fields of the address that is printed.
    #[track_caller]
    pub fn question(&mut self) -> HashMap<String, String> {
        let whole = |logged: &str| {
            let line = logged.split_inclusive('\n').find(|line| line.starts_with("https://"))?;
            line.ends_with('\n').then(|| fields(line.trim()))
        };
        self.wait_for(whole)
    }

    /// What the laptop's browser shows.
    #[track_caller]
    pub fn browse(&self, address: &Url) -> String {
        let laptop = self.shell.pid().as_raw_nonzero().to_string();
        let script = "import sys, urllib.request as web; print(web.urlopen(sys.argv[1], timeout=30).read().decode())";
        BatchExport::standing_in("nsenter")
            .args(&["--target", &laptop, "--user", "--preserve-credentials", "--net"])
            .args(&["python3", "-c", script, address.as_str()])
            .run()
            .expect_code(0)
            .stdout
    }

    /// Ends both shells, as soon as the command in them has ended.
    pub fn log_out(mut self) -> Finished {
        self.keyboard = None;
        let finished = self.shell.wait(PATIENCE);
        drop(self.server);
        drop(self.folder);
        finished
    }

    #[track_caller]
    fn wait_for<T>(&mut self, find: impl Fn(&str) -> Option<T>) -> T {
        let end = Instant::now() + PATIENCE;
        loop {
            let is_running = self.shell.is_running();
            let logged = self.shell.logged();
            if let Some(found) = find(&logged) {
                return found;
            }
            if !is_running || Instant::now() > end {
                let log = fs::read_to_string(&self.server.log).unwrap_or_default();
                panic!("it did not come:\n{}\n{logged}\n--- sshd\n{log}", self.shell.printed());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Server {
    fn open(folder: &Path, desk: &Desk) -> Server {
        fs::write(desk.folder().join(".profile"), format!("{}echo '{GREETING}' >&2\n", desk.profile())).unwrap();
        let passwd = folder.join("passwd-of-the-server");
        fs::write(&passwd, account(1000, desk.folder())).expect("the account on the server");
        // The account is not root's: for that `sshd` would want a folder and an account of the system.
        let script = format!(
            "mount --bind '{}' /etc/passwd; exec unshare --user --map-user=1000 --map-group=1000 {SSHD} -i -e -f '{}'",
            passwd.display(),
            folder.join("sshd_config").display()
        );
        let socket = folder.join("server");
        let listener = UnixListener::bind(&socket).expect("a socket for the server");
        let (closed, log) = (Arc::new(AtomicBool::new(false)), folder.join("sshd.log"));
        let (is_closed, kept) = (Arc::clone(&closed), log.clone());
        let door = std::thread::spawn(move || {
            let mut sessions = Vec::new();
            for stream in listener.incoming().flatten() {
                if is_closed.load(Ordering::SeqCst) {
                    break;
                }
                sessions.push(session(stream, &script, &kept));
            }
            for mut session in sessions {
                let _ = session.kill();
                let _ = session.wait();
            }
        });
        Server { socket, closed, door: Some(door), log }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.closed.store(true, Ordering::SeqCst);
        // The door sees it at the next knock.
        if UnixStream::connect(&self.socket).is_ok() {
            let _ = self.door.take().map(JoinHandle::join);
        }
    }
}

/// An `sshd` for one connection. With its end all that was started over it ends.
fn session(stream: UnixStream, script: &str, log: &Path) -> Child {
    let log = fs::File::options().create(true).append(true).open(log).expect("the server's log");
    Command::new("setpriv")
        .args(MACHINE)
        .args(NAMESPACES)
        .args(["sh", "-ec", script])
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .stdin(OwnedFd::from(stream.try_clone().expect("the other direction")))
        .stdout(Stdio::from(OwnedFd::from(stream)))
        .stderr(log)
        .spawn()
        .expect("setpriv")
}

/// A line of `/etc/passwd` before all others.
fn account(uid: u32, home: &Path) -> String {
    let others = fs::read_to_string("/etc/passwd").expect("the accounts of this machine");
    format!("reader:x:{uid}:{uid}::{}:/bin/sh\n{others}", home.display())
}

/// The laptop's account and its way to the server; both have the other one's public key.
fn write_keys_and_settings(home: &Path) {
    let ssh = home.join(".ssh");
    fs::create_dir(&ssh).expect("the folder of the keys");
    fs::set_permissions(&ssh, fs::Permissions::from_mode(0o700)).expect("a private folder");
    for key in [home.join("host_key"), ssh.join("id_ed25519")] {
        let made = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key).status();
        assert!(made.expect("ssh-keygen").success(), "no key {}", key.display());
    }
    let host_key = fs::read_to_string(home.join("host_key.pub")).expect("the server's public key");
    let home_text = home.display();
    let to_server = format!(
        "import socket\nserver = socket.socket(socket.AF_UNIX)\nserver.connect('{home_text}/server')\n\
         socket.send_fds(socket.socket(fileno=1), [b'.'], [server.fileno()])\n"
    );
    let sshd = format!(
        "HostKey {home_text}/host_key\nAuthorizedKeysFile {home_text}/.ssh/id_ed25519.pub\nStrictModes no\nUsePAM no\nPidFile none\n\
         PasswordAuthentication no\nPrintMotd no\nPrintLastLog no\nSubsystem sftp internal-sftp\n"
    );
    let config = format!("Host server\n    ProxyCommand python3 '{home_text}/to-server.py'\n    ProxyUseFdpass yes\n");
    for (file, text) in [
        ("passwd", account(0, home)),
        ("to-server.py", to_server),
        ("sshd_config", sshd),
        (".ssh/config", config),
        (".ssh/known_hosts", format!("server {host_key}")),
    ] {
        fs::write(home.join(file), text).expect("a file of the laptop");
    }
}

/// A free port below those that the system gives to whoever asks for any, so that no other test gets it meanwhile.
fn free_port() -> u16 {
    let mut ports = std::iter::repeat_with(|| rand::random_range(10_000..30_000));
    ports.find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()).expect("a free port")
}

/// A machine that allows no namespaces is told so at once.
fn check_namespaces() {
    let made = Command::new("unshare").args(NAMESPACES).args(["--net", "true"]).output().expect("unshare");
    let why = String::from_utf8_lossy(&made.stderr);
    assert!(made.status.success(), "this machine allows no namespaces to this user (unshare --user --net): {why}");
}
