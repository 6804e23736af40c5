//! The program under test: the real binary, in a scrubbed environment, with the peak of its memory as the kernel keeps it.

use std::fmt;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::Arguments;
use super::fake_drive::FakeDrive;
use super::seed::DATE;
use super::server::target_folder;

/// Where the file goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum To {
    /// A directory.
    Directory,
    /// The fake Drive, on the loopback interface.
    Drive,
}

/// The binary.
pub struct Program {
    path: PathBuf,
}

/// Its size and start-up.
#[derive(Debug, serde::Serialize)]
pub struct Facts {
    /// Size of the binary.
    pub bytes: u64,
    /// `--version`, the whole process, median of 11.
    pub version_ms: f64,
}

/// A day that the program exports to a destination of its own.
pub struct Job<'a> {
    program: &'a Program,
    uri: String,
    format: &'a str,
    arguments: &'a Arguments,
    drive: Option<FakeDrive>,
    scratch: tempfile::TempDir,
}

/// A program that ended well.
pub struct Ran {
    /// The whole process.
    pub took: Duration,
    /// Its `VmHWM`.
    pub peak_kib: u64,
    /// Processor time of the whole process.
    pub cpu_s: f64,
    /// What it printed on stdout.
    pub stdout: Vec<u8>,
}

impl Ran {
    /// The result of our own program.
    pub fn result(&self) -> Result<Value> {
        Ok(serde_json::from_slice(&self.stdout)?)
    }
}

impl fmt::Display for To {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            To::Directory => "directory",
            To::Drive => "drive",
        })
    }
}

impl Program {
    /// The given one, or the one of our own build, brought up to date first: cargo does not build it for an example.
    pub fn find(given: Option<&Path>) -> Result<Program> {
        if let Some(path) = given {
            return Ok(Program { path: path.to_owned() });
        }
        let example = std::env::current_exe()?;
        let folder = example.ancestors().nth(2).context("this example lies in target/PROFILE/examples")?;
        let profile = match folder.file_name().and_then(|name| name.to_str()) {
            Some("debug") | None => "dev",
            Some(name) => name,
        };
        eprintln!("building the program (profile {profile})");
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let built = Command::new(cargo)
            .args(["build", "--quiet", "--bin", "batch-export", "--profile", profile, "--manifest-path"])
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"))
            .env("CARGO_TARGET_DIR", target_folder()?)
            .status()?;
        ensure!(built.success(), "the program does not build");
        Ok(Program { path: folder.join("batch-export") })
    }

    /// Size and start-up time.
    pub fn facts(&self) -> Result<Facts> {
        let mut times_ms = Vec::new();
        for _ in 0..11 {
            let began = Instant::now();
            let status = Command::new(&self.path).arg("--version").env_clear().stdout(Stdio::null()).status()?;
            ensure!(status.success(), "--version failed");
            times_ms.push(began.elapsed().as_secs_f64() * 1e3);
        }
        times_ms.sort_by(f64::total_cmp);
        Ok(Facts { bytes: std::fs::metadata(&self.path)?.len(), version_ms: times_ms[5] })
    }

    /// A day to export.
    pub fn job<'a>(&'a self, uri: &str, to: To, format: &'a str, arguments: &'a Arguments) -> Result<Job<'a>> {
        let scratch = tempfile::Builder::new().prefix("load-run-").tempdir_in(target_folder()?)?;
        let drive = (to == To::Drive).then(FakeDrive::start);
        match &drive {
            Some(drive) => std::fs::write(scratch.path().join("key.json"), drive.service_account())?,
            None => std::fs::create_dir(scratch.path().join("out"))?,
        }
        Ok(Job { program: self, uri: uri.to_owned(), format, arguments, drive, scratch })
    }
}

impl Job<'_> {
    /// Makes the collections and indexes, as is done once, before the first run.
    pub fn init(&self) -> Result<Ran> {
        measure(&mut self.bare("init"))
    }

    /// Exports the day.
    pub fn run(&self) -> Result<Ran> {
        let mut command = self.command("run");
        command.args(["--date", DATE]);
        measure(&mut command)
    }

    /// Seconds that generating the file takes, into a sink; with or without the look-up for entries of earlier files.
    pub fn generate(&self, look_up: bool) -> Result<f64> {
        let mut command = self.command("run");
        command.args(["--date", DATE, "--dry-run"]);
        if !look_up {
            command.arg("--allow-reexport");
        }
        let ms = measure(&mut command)?.result()?["durations_ms"]["generate"].as_f64();
        Ok(ms.context("a dry run says how long it generated")? / 1e3)
    }

    /// `retry`, when there is nothing to do.
    pub fn retry(&self) -> Result<Ran> {
        measure(&mut self.command("retry"))
    }

    /// A command with the database, which every command needs.
    fn bare(&self, name: &str) -> Command {
        let mut command = Command::new(&self.program.path);
        command
            .args([name, "--output", "json", "-q"])
            .env_clear()
            .env("TMPDIR", self.scratch.path())
            .env("MONGODB_URI", &self.uri);
        command
    }

    fn command(&self, name: &str) -> Command {
        let mut command = self.bare(name);
        command
            .args(["--format", self.format, "--contra-account", "1102-00"])
            .env("BATCH_EXPORT_NOW", format!("{DATE}T18:00:05+07:00"))
            // The largest days are there to be measured, not to be stopped.
            .env("BATCH_EXPORT_GENERATE_TIMEOUT", "10m");
        if let Some(rows) = self.arguments.transaction_rows {
            command.args(["--transaction-rows", &rows.to_string()]);
        }
        let path = |name| self.scratch.path().join(name);
        match &self.drive {
            Some(drive) => command
                .env("BATCH_EXPORT_DESTINATION", format!("gdrive://{}", drive.folder()))
                .env("BATCH_EXPORT_DRIVE_URL", drive.url())
                .env("GOOGLE_APPLICATION_CREDENTIALS", path("key.json")),
            None => command.env("BATCH_EXPORT_DESTINATION", format!("file://{}", path("out").display())),
        };
        command
    }
}

/// Runs a program to its end, and watches its memory and its processor time.
pub fn measure(command: &mut Command) -> Result<Ran> {
    let began = Instant::now();
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let status = File::open(format!("/proc/{}/status", child.id()))?;
    let stat = File::open(format!("/proc/{}/stat", child.id()))?;
    let (mut peak_kib, mut cpu_s) = (0, 0.0);
    // It prints one object or nothing and, being quiet, next to no log: neither pipe can fill.
    while child.try_wait()?.is_none() {
        peak_kib = high_water_mark(&status).unwrap_or(peak_kib);
        cpu_s = processor_time(&stat).unwrap_or(cpu_s);
        std::thread::sleep(Duration::from_millis(2));
    }
    let took = began.elapsed();
    let output = child.wait_with_output()?;
    if !output.status.success() {
        bail!(
            "the program failed:\n{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(Ran { took, peak_kib, cpu_s, stdout: output.stdout })
}

fn high_water_mark(status: &File) -> Option<u64> {
    read(status)?.lines().find_map(|line| line.strip_prefix("VmHWM:"))?.trim().strip_suffix("kB")?.trim().parse().ok()
}

/// User and system time: fields 14 and 15 of `stat`, in hundredths of a second. The second field may hold spaces, in parentheses.
fn processor_time(stat: &File) -> Option<f64> {
    let text = read(stat)?;
    let mut fields = text.rsplit(')').next()?.split_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<f64>().ok();
    Some((ticks()? + ticks()?) / 100.0)
}

fn read(file: &File) -> Option<String> {
    let mut text = [0; 4096];
    let length = file.read_at(&mut text, 0).ok()?;
    String::from_utf8(text[..length].to_vec()).ok()
}
