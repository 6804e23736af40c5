//! What a day of any size costs: time, memory and database work of the real release binary, on this machine.
//!
//!     cargo run --release --example load_test -- --entries 50,500,5000,10000,100000,1000000
//!
//! It starts a mongod of its own in `target/`, fills a database per size, and runs the program to a directory and to the fake Drive of
//! the tests. Risk: a figure that means nothing elsewhere. So each run is preceded by two floors, the same join by bare cursors into a sink
//! and the same marking by bare updates, and the table shows the stages as multiples of them. Counts of commands and documents are the
//! server's own and exact.

#[path = "load_test/distance.rs"]
mod distance;
#[path = "../tests/support/fake_drive/mod.rs"]
#[expect(
    dead_code,
    unused_imports,
    reason = "shared with the tests, which plan faults and look at requests; here it only stores files"
)]
mod fake_drive;
#[path = "load_test/floor.rs"]
mod floor;
#[path = "load_test/marking_floor.rs"]
mod marking_floor;
#[path = "load_test/peer.rs"]
mod peer;
#[path = "load_test/picture.rs"]
mod picture;
#[path = "load_test/program.rs"]
mod program;
#[path = "load_test/report.rs"]
mod report;
#[path = "load_test/seed.rs"]
mod seed;
#[path = "load_test/server.rs"]
mod server;

use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use batch_export::layout::{self, Layout};
use clap::Parser;

use program::{Program, To};
use report::{Beside, Dry, Idle, Line, Report};
use server::Server;

/// Measures the release binary on days of several sizes.
#[derive(Parser)]
struct Arguments {
    /// Sizes of the day, in entries
    #[arg(long, value_delimiter = ',', default_value = "50,500,5000,10000,100000,1000000")]
    entries: Vec<u32>,
    /// Where the files go: directory, drive
    #[arg(long, value_delimiter = ',', value_enum, default_value = "directory,drive")]
    to: Vec<To>,
    /// Runs per size and destination; the median by total time is shown [default: 5 up to 10,000 entries, 3 up to 100,000, else 1]
    #[arg(long)]
    runs: Option<usize>,
    /// Cache of the server, in GB [default: what mongod takes by itself]
    #[arg(long)]
    cache_gb: Option<String>,
    /// `--transaction-rows` of the program
    #[arg(long)]
    transaction_rows: Option<u32>,
    /// Let a round trip to the server take so many milliseconds more
    #[arg(long, default_value = "0")]
    rtt_ms: u64,
    /// Queue in another order than that of the file
    #[arg(long)]
    no_order: bool,
    /// Draw time and memory over the number of entries into this file (SVG)
    #[arg(long, value_name = "FILE")]
    picture: Option<std::path::PathBuf>,
    /// `--format` of the program: built-in layouts, and paths of layout files such as examples/layouts/xero.toml
    #[arg(long, value_delimiter = ',', default_value = "journal")]
    format: Vec<String>,
    /// The program to measure [default: the one beside this example, built first]
    #[arg(long)]
    program: Option<std::path::PathBuf>,
    /// A mongoexport to measure beside it [default: the one on the path, if there is one]
    #[arg(long)]
    mongoexport: Option<std::path::PathBuf>,
    /// One JSON object on stdout in place of the table
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("load_test: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let program = Program::find(arguments.program.as_deref())?;
    let mut report = Report { program: program.facts()?, server: String::new(), rtt_ms: 0, lines: Vec::new() };
    runtime.block_on(async {
        let server = Server::start(arguments.cache_gb.as_deref()).await?;
        report.server = server.describe().await?;
        report.rtt_ms = arguments.rtt_ms;
        for &entries in &arguments.entries {
            measure(arguments, &server, &program, entries, &mut report).await?;
        }
        Ok::<_, anyhow::Error>(())
    })?;
    if let Some(file) = &arguments.picture {
        std::fs::write(file, picture::draw(&report)).with_context(|| format!("writing {}", file.display()))?;
    }
    if arguments.json {
        println!("{}", serde_json::to_string(&report)?);
    } else {
        print!("{report}");
    }
    Ok(())
}

async fn measure(
    arguments: &Arguments,
    server: &Server,
    program: &Program,
    entries: u32,
    report: &mut Report,
) -> Result<()> {
    let database = server.client.database(&format!("load_{entries}"));
    let began = Instant::now();
    seed::entries(&database, entries).await.context("storing the entries")?;
    eprintln!("{entries} entries: stored in {:.1} s", began.elapsed().as_secs_f64());
    let runs = arguments.runs.unwrap_or(match entries {
        0..=10_000 => 5,
        10_001..=100_000 => 3,
        _ => 1,
    });
    let each = arguments.format.iter().flat_map(|format| arguments.to.iter().map(move |&to| (format, to)));
    for (format, to) in each {
        let layout = layout(format)?;
        let shape = floor::Shape::of(&layout);
        let mut lines = Vec::new();
        // One more than is counted: the first one warms the caches of small days.
        let warm_up = usize::from(runs > 1);
        for turn in 0..runs + warm_up {
            seed::queue(&database, entries, arguments.no_order).await.context("queueing the entries")?;
            let updates = marking_floor::mark(&database, false).await.context("the floor of the updates")?;
            seed::queue(&database, entries, arguments.no_order).await.context("queueing the entries again")?;
            let marking = marking_floor::mark(&database, true).await.context("the floor of the marking")?;
            seed::queue(&database, entries, arguments.no_order).await.context("queueing the entries again")?;
            let uri = server.uri(database.name(), arguments.rtt_ms).await?;
            let job = program.job(&uri, to, format, arguments)?;
            job.init()?;
            seed::exported(&database, entries).await.context("recording the entries of an earlier day")?;
            let joined = floor::join(&database, &shape, false).await.context("the floor")?;
            let floor = floor::join(&database, &shape, true).await.context("the floor with the look-up")?;
            ensure!(floor.rows == u64::from(entries), "the floor found {} of {entries} rows", floor.rows);
            let peer = peer::find(arguments.mongoexport.as_deref());
            let peer = peer.map(|program| peer::export(&program, &uri)).transpose()?;
            let dry = Dry { without_look_up_s: job.generate(false)?, with_look_up_s: job.generate(true)? };
            let before = server.counts().await?;
            let ran = job.run()?;
            let after = server.counts().await?;
            let (cost, slowest) = (after.since(&before), server.slowest()?);
            let retry = job.retry()?;
            let idle = Idle::new(&retry, server.counts().await?.since(&after));
            let beside = Beside { joined, floor, dry, updates, marking, peer, idle };
            let line = Line::new(entries, to, &layout.name, &ran, beside, cost, slowest)?;
            eprintln!("{entries} entries to {to}, {}: run {turn} of {runs}: {}", layout.name, line.brief());
            if turn >= warm_up {
                lines.push(line);
            }
        }
        lines.sort_by(|a, b| a.total_s.total_cmp(&b.total_s));
        report.lines.push(lines.swap_remove(lines.len() / 2));
    }
    database.drop().await.context("dropping the database")?;
    Ok(())
}

/// The layout that the program will use.
fn layout(format: &str) -> Result<Layout> {
    if let Some(layout) = Layout::built_in(format) {
        return Ok(layout);
    }
    let text = std::fs::read_to_string(format).with_context(|| format!("reading {format}"))?;
    layout::parse(&text).map_err(|errors| anyhow::anyhow!("{format} is malformed: {errors:?}"))
}
