//! The table, and the same figures as JSON.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::floor::Floor;
use super::peer::Peer;
use super::program::{Facts, Ran, To};
use super::server::{Counts, Slowest};

/// All that was measured.
#[derive(Serialize)]
pub struct Report {
    /// The binary.
    pub program: Facts,
    /// The server.
    pub server: String,
    /// Milliseconds that a round trip took more.
    pub rtt_ms: u64,
    /// One line per size and destination.
    pub lines: Vec<Line>,
}

/// A size and destination: the median run.
#[derive(Serialize)]
pub struct Line {
    /// Entries of the day.
    pub entries: u32,
    /// Where the file went.
    pub to: String,
    /// The layout's name.
    pub layout: String,
    /// Stages, by name, in seconds, as the program reports them.
    pub stages_s: BTreeMap<String, f64>,
    /// The whole process, from outside.
    pub total_s: f64,
    /// Entries per second of the whole process.
    pub rows_per_s: f64,
    /// The floor of generation without the look-up for entries of earlier files, measured just before.
    pub join_s: f64,
    /// The floor of generation, measured just before.
    pub floor_s: f64,
    /// Generation as a multiple of the floor.
    pub generate_per_floor: f64,
    /// Generation as a multiple of the floor without the look-up.
    pub generate_per_join: f64,
    /// Our own generation with and without the look-up.
    pub dry_run: Dry,
    /// The floor of the marking without the inserts of entries, measured just before.
    pub updates_s: f64,
    /// The floor of the marking, measured just before.
    pub marking_floor_s: f64,
    /// Commit and marking as a multiple of that floor.
    pub write_per_floor: f64,
    /// Commit and marking.
    pub write_s: f64,
    /// `mongoexport` of the same entries, without the join.
    pub mongoexport: Option<Peer>,
    /// `retry` afterwards.
    pub idle: Idle,
    /// Peak of resident memory, in MiB.
    pub peak_mib: f64,
    /// Processor time of the program.
    pub cpu_s: f64,
    /// Processor time of the server meanwhile.
    pub server_cpu_s: f64,
    /// Size of the file.
    pub file_bytes: u64,
    /// Commands by name.
    pub commands: BTreeMap<String, i64>,
    /// Transactions that committed.
    pub transactions: i64,
    /// Documents looked at by the server.
    pub examined: i64,
    /// Documents returned or updated.
    pub used: i64,
    /// Scans of whole collections.
    pub collection_scans: i64,
    /// Sent by the server.
    pub bytes_from_server: i64,
    /// Sent to the server.
    pub bytes_to_server: i64,
    /// The longest command.
    pub slowest: Option<Slowest>,
}

/// Generation in dry runs of the program, measured just before the run.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Dry {
    /// Seconds, with `--allow-reexport`.
    pub without_look_up_s: f64,
    /// Seconds.
    pub with_look_up_s: f64,
}

/// A `retry` that finds nothing to do.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Idle {
    /// The whole process.
    pub total_ms: f64,
    /// Commands to the database.
    pub commands: i64,
}

impl Idle {
    /// Puts the measurements together.
    pub fn new(ran: &Ran, cost: Counts) -> Idle {
        Idle { total_ms: ran.took.as_secs_f64() * 1e3, commands: cost.commands.values().sum() }
    }
}

/// What was measured around a run.
pub struct Beside {
    /// Just before it, without the look-up.
    pub joined: Floor,
    /// Just before it.
    pub floor: Floor,
    /// Just before it.
    pub dry: Dry,
    /// Just before it, without the inserts.
    pub updates: Duration,
    /// Just before it.
    pub marking: Duration,
    /// Just before it.
    pub peer: Option<Peer>,
    /// Just after it.
    pub idle: Idle,
}

impl Line {
    /// Puts the measurements of one run together.
    pub fn new(
        entries: u32,
        to: To,
        layout: &str,
        ran: &Ran,
        beside: Beside,
        cost: Counts,
        slowest: Option<Slowest>,
    ) -> anyhow::Result<Line> {
        let Beside { joined, floor, dry, updates, marking, peer, idle } = beside;
        let result = ran.result()?;
        let durations = result["durations_ms"].as_object();
        let stages_s: BTreeMap<String, f64> =
            durations.into_iter().flatten().filter_map(|(name, ms)| Some((name.clone(), ms.as_f64()? / 1e3))).collect();
        let (total_s, floor_s, marking_floor_s) =
            (ran.took.as_secs_f64(), floor.took.as_secs_f64(), marking.as_secs_f64());
        let stage = |name: &str| stages_s.get(name).copied().unwrap_or(0.0);
        // The part of the commit and after it that is neither of the other stages: marking goes on after the commit point.
        let write_s = stage("total") - stage("lock") - stage("generate") - stage("upload");
        Ok(Line {
            entries,
            to: to.to_string(),
            layout: layout.to_owned(),
            total_s,
            rows_per_s: f64::from(entries) / total_s,
            join_s: joined.took.as_secs_f64(),
            floor_s,
            generate_per_floor: stage("generate") / floor_s,
            generate_per_join: stage("generate") / joined.took.as_secs_f64(),
            dry_run: dry,
            updates_s: updates.as_secs_f64(),
            marking_floor_s,
            write_per_floor: write_s / marking_floor_s,
            write_s,
            stages_s,
            mongoexport: peer,
            idle,
            peak_mib: ran.peak_kib as f64 / 1024.0,
            cpu_s: ran.cpu_s,
            server_cpu_s: cost.cpu_us as f64 / 1e6,
            file_bytes: result["bytes"].as_u64().unwrap_or(0),
            commands: cost.commands,
            transactions: cost.transactions,
            examined: cost.examined,
            used: cost.used,
            collection_scans: cost.collection_scans,
            bytes_from_server: cost.bytes_out,
            bytes_to_server: cost.bytes_in,
            slowest,
        })
    }

    /// For the progress on stderr.
    pub fn brief(&self) -> String {
        format!(
            "{:.3} s, generate {:.3} s, {:.2} x floor, write {:.2} x floor, {:.1} MiB",
            self.total_s,
            self.stage("generate"),
            self.generate_per_floor,
            self.write_per_floor,
            self.peak_mib
        )
    }

    /// Seconds of a stage.
    pub fn stage(&self, name: &str) -> f64 {
        self.stages_s.get(name).copied().unwrap_or(0.0)
    }
}

impl Report {
    /// What was measured around the runs.
    fn beside(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Line { entries, to, layout, join_s, floor_s, dry_run, updates_s, marking_floor_s, .. } in &self.lines {
            writeln!(
                f,
                "- {entries} to {to}, {layout}: join {join_s:.3} s, with the look-up {floor_s:.3} s; updates {updates_s:.3} s, with the inserts {marking_floor_s:.3} s"
            )?;
            let Dry { without_look_up_s: without, with_look_up_s: with } = dry_run;
            writeln!(
                f,
                "- {entries} to {to}, {layout}: our generation in a dry run without the look-up {without:.3} s, {:.2} x the join; with it {with:.3} s, {:.2} x the join with it",
                without / join_s,
                with / floor_s,
            )?;
        }
        for line in &self.lines {
            let Some(peer) = line.mongoexport else { continue };
            let Peer { total_s, peak_mib } = peer;
            writeln!(
                f,
                "- {} to {}, {}: mongoexport of the entries alone {total_s:.3} s, {peak_mib:.1} MiB; {:.1} x our generation",
                line.entries,
                line.to,
                line.layout,
                total_s / line.stage("generate"),
            )?;
        }
        for line in &self.lines {
            let Idle { total_ms, commands } = line.idle;
            writeln!(
                f,
                "- {} to {}, {}: retry with nothing due {total_ms:.0} ms, {commands} commands",
                line.entries, line.to, line.layout
            )?;
        }
        Ok(())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.server)?;
        if self.rtt_ms > 0 {
            writeln!(f, "a round trip to the server takes {} ms more", self.rtt_ms)?;
        }
        let mb = self.program.bytes as f64 / 1e6;
        writeln!(f, "binary {mb:.1} MB, --version in {:.1} ms\n", self.program.version_ms)?;
        writeln!(f, "seconds and memory (write = commit and marking)")?;
        writeln!(
            f,
            "| entries | to | layout | lock | generate | upload | write | total | rows/s | join | generate/join | floor | generate/floor | floor of write | write/floor | peak MiB | file MB |"
        )?;
        writeln!(f, "|--:|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|")?;
        for line in &self.lines {
            writeln!(
                f,
                "| {} | {} | {} | {:.3} | {:.3} | {:.3} | {:.3} | {:.3} | {:.0} | {:.3} | {:.2} | {:.3} | {:.2} | {:.3} | {:.2} | {:.1} | {:.2} |",
                line.entries,
                line.to,
                line.layout,
                line.stage("lock"),
                line.stage("generate"),
                line.stage("upload"),
                line.write_s,
                line.total_s,
                line.rows_per_s,
                line.join_s,
                line.generate_per_join,
                line.floor_s,
                line.generate_per_floor,
                line.marking_floor_s,
                line.write_per_floor,
                line.peak_mib,
                line.file_bytes as f64 / 1e6,
            )?;
        }
        self.beside(f)?;
        writeln!(f, "\nwhat it costs the database")?;
        writeln!(
            f,
            "| entries | to | layout | commands | transactions | examined | returned + updated | collection scans | MB out | MB in | CPU s, program | CPU s, server | longest command |"
        )?;
        writeln!(f, "|--:|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|---|")?;
        for line in &self.lines {
            let longest = line.slowest.as_ref();
            writeln!(
                f,
                "| {} | {} | {} | {} | {} | {} | {} | {} | {:.2} | {:.2} | {:.2} | {:.2} | {} |",
                line.entries,
                line.to,
                line.layout,
                line.commands.values().sum::<i64>(),
                line.transactions,
                line.examined,
                line.used,
                line.collection_scans,
                line.bytes_from_server as f64 / 1e6,
                line.bytes_to_server as f64 / 1e6,
                line.cpu_s,
                line.server_cpu_s,
                longest.map_or("< 5 ms".to_owned(), |slow| format!("{} ms, {}", slow.ms, slow.what)),
            )?;
        }
        writeln!(f, "\ncommands by name")?;
        for line in &self.lines {
            let names: Vec<String> = line.commands.iter().map(|(name, count)| format!("{name} {count}")).collect();
            writeln!(f, "- {} to {}, {}: {}", line.entries, line.to, line.layout, names.join(", "))?;
        }
        Ok(())
    }
}
