//! The command line: arguments in, result and exit code out.
//!
//! One file per command. A command prints its result on stdout and ends with an exit code; the log is on stderr.

pub mod args;
mod auth;
mod backfill;
mod batch_line;
mod completions;
mod corrections;
mod doctor;
mod environment;
pub mod help;
mod init;
mod layout;
mod layout_file;
mod man;
mod progress;
mod render;
mod retry;
mod run;
pub mod schemas;
pub mod settings;
mod status;
mod table;
mod unlock;
mod verify;

use std::error::Error as _;
use std::ffi::OsString;
use std::io::IsTerminal;
use std::time::Duration;

use chrono::NaiveDate;
use clap::FromArgMatches;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::batch::BatchId;
use crate::command::CommandName;
use crate::config::Config;
use crate::destination::Destination;
use crate::exit::Exit;
use crate::failure::{Explanation, Failure, Result};
use crate::http::certificates;
use crate::notify::Listeners;
use crate::plausible::{Shown, shown_date, shown_number, shown_time, shown_word};
use crate::reader::counted;
use crate::secret::redact;
use crate::stop::Stop;
use crate::store::Store;
use crate::streams::{self, LAST_LINES, STDERR};
use crate::stuck;
use crate::telemetry::{self, Level};
use crate::trace;
use args::{Cli, Command, OutputArgs, OutputFormat, ResultFormat, RunArgs};
use render::{FailedCommand, RetryResult};
use settings::Settings;

/// The stack of the thread that does the work: as large as a main thread's.
const STACK_BYTES: usize = 8 * 1024 * 1024;
/// How long after a signal a command may go on: ten seconds, less the time of the last lines.
const SIGNAL_LIMIT: Duration = Duration::from_secs(8);

/// Parses the command line and runs the command.
///
/// Never panics over bad input, and prints exactly one result.
pub fn main(arguments: Vec<OsString>) -> Exit {
    let exit = carry_out(arguments);
    STDERR.flush(LAST_LINES);
    exit
}

fn carry_out(arguments: Vec<OsString>) -> Exit {
    settings::conceal_secrets(&arguments);
    if let Some(parent) = environment::text("TRACEPARENT") {
        trace::join(&parent);
    }
    let wants_json = help::asks_for_json(&arguments);
    let parsed = parse(help::command_for(&arguments), arguments);
    let cli = match parsed {
        Ok(cli) => cli,
        Err(error) => return refuse_command_line(without_values(error), wants_json),
    };
    start_log(&cli.output, &cli.settings);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    match runtime {
        Ok(runtime) => {
            let (name, output) = (cli.name.name(), of_failures(cli.output.result));
            stuck::set_last_words(move |failure| render::print_instead(name, failure, output));
            let handle = runtime.handle().clone();
            let exit = on_its_own_thread(name, output, move || handle.block_on(dispatch(cli)));
            // Do not wait for the driver's background tasks. Dropping them can panic, which is harmless once the result
            // is printed.
            std::panic::set_hook(Box::new(|_| {}));
            runtime.shutdown_background();
            exit
        }
        Err(error) => {
            tracing::error!("the runtime cannot be started: {error}");
            Exit::Unexpected
        }
    }
}

fn parse(command: clap::Command, arguments: Vec<OsString>) -> Result<Cli, clap::Error> {
    let matches = command.try_get_matches_from(arguments)?;
    let name = matches.subcommand_name().and_then(CommandName::from_name);
    let name = name.ok_or_else(|| clap::Error::new(ErrorKind::InvalidSubcommand))?;
    Ok(Cli { name, settings: Settings::typed(&matches), ..Cli::from_arg_matches(&matches)? })
}

/// Runs the work on a thread of its own, and turns a panic into a result with its own exit code. The panic message goes through the
/// masked log.
///
/// The kernel hands a signal to the main thread. If that thread waited for a frozen file system, it would take no signal; so it does
/// nothing but wait for the work.
fn on_its_own_thread(name: &'static str, output: OutputFormat, work: impl FnOnce() -> Exit + Send + 'static) -> Exit {
    std::panic::set_hook(Box::new(|panic| tracing::error!("this is a bug, please report it: {panic}")));
    let thread = std::thread::Builder::new().name("work".to_owned()).stack_size(STACK_BYTES).spawn(work);
    let failure = match thread.map(std::thread::JoinHandle::join) {
        Ok(Ok(exit)) => return exit,
        Ok(Err(_)) => Failure::new(Exit::Unexpected, "the program has a bug").next("look at the log"),
        Err(error) => Failure::new(Exit::Unexpected, format!("no thread can be started: {error}"))
            .next("look at the limits of processes and memory of this user, then run the command again"),
    };
    render::print(&FailedCommand::new(name, &failure), output);
    Exit::Unexpected
}

/// A spreadsheet has no shape for a failure: it is printed as text.
fn of_failures(wanted: ResultFormat) -> OutputFormat {
    match wanted {
        ResultFormat::Json => OutputFormat::Json,
        ResultFormat::Text | ResultFormat::Csv => OutputFormat::Text,
    }
}

/// Runs the command. A signal ends the process in time, also when nobody reads what it prints last.
async fn dispatch(mut cli: Cli) -> Exit {
    cli.settings = cli.settings.of(cli.name);
    let stop = match Stop::on_signals() {
        Ok(stop) => stop,
        Err(error) => {
            let failure = Failure::new(Exit::Unexpected, format!("signals cannot be handled: {error}"));
            refuse(&cli, &failure);
            return failure.exit;
        }
    };
    let late = stop.clone();
    let _guard = stuck::guard(async move { late.without_effect(SIGNAL_LIMIT).await });
    match execute(&cli, &stop).await {
        Ok(exit) => exit,
        Err(failure) => {
            refuse(&cli, &failure);
            if failure.exit == Exit::Configuration {
                notify_of_refusal(&cli, &failure, &stop).await;
            }
            failure.exit
        }
    }
}

async fn execute(cli: &Cli, stop: &Stop) -> Result<Exit> {
    let (command, wanted) = (&cli.command, cli.output.result);
    if wanted == ResultFormat::Csv && !matches!(command, Command::Corrections(_)) {
        let message = format!("--output csv is for corrections; {} prints text or json", cli.name.name());
        return Err(Failure::new(Exit::Usage, message).next("choose --output text or --output json"));
    }
    let output = of_failures(wanted);
    // Validated only for commands that need settings: the commands for packagers work with wrong ones too.
    let valid = |settings: &Settings| {
        let config = settings::validate(settings, cli.output.client_now.as_deref())?;
        certificates::check(&config)?;
        Ok::<_, Failure>(config)
    };
    let config = || {
        let config = valid(&cli.settings)?;
        refuse_dates(command, &config)?;
        Ok::<_, Failure>(config)
    };
    match command {
        Command::Run(args) => Ok(run::execute(args, &config()?, stop, output).await),
        Command::Retry(args) => Ok(retry::execute(args, &config()?, stop, output).await),
        Command::Status(args) => status::execute(args, &config()?, stop, output).await,
        Command::Verify(args) => verify::execute(args, &config()?, stop, output).await,
        Command::Corrections(args) => corrections::execute(args, &config()?, stop, wanted).await,
        Command::Doctor(args) => doctor::execute(args, &config()?, stop, output).await,
        Command::Init(args) => {
            let of_the_database = valid(&cli.settings.clone().of_the_database())?;
            init::execute(args, &of_the_database, config, stop, output).await
        }
        Command::Auth(args) => auth::execute(args, &config()?, stop, output).await,
        Command::Backfill(args) => Ok(backfill::execute(args, &config()?, stop, output).await),
        Command::Unlock(args) => unlock::execute(args, &config()?, stop, output).await,
        Command::Completions(args) => Ok(completions::execute(args)),
        Command::Layout(args) => layout::execute(args, output),
        Command::Man(args) => man::execute(args, output),
    }
}

/// Notifies of a scheduled command that a wrong setting stopped, if the settings of the notifications are right: at the cut-off nobody
/// looks at its output.
async fn notify_of_refusal(cli: &Cli, failure: &Failure, stop: &Stop) {
    use settings::table::{CUTOFF, DATABASE, MONGODB_URI, TELLING, TIMEZONE};
    if !matches!(cli.command, Command::Run(RunArgs { dry_run: false, .. }) | Command::Retry(_)) {
        return;
    }
    // Those that say which database and which day it is, too, without the one that is wrong.
    let others: [&[&_]; 5] = [
        &[&MONGODB_URI, &DATABASE, &TIMEZONE, &CUTOFF],
        &[&MONGODB_URI, &DATABASE, &TIMEZONE],
        &[&MONGODB_URI, &DATABASE],
        &[&DATABASE],
        &[],
    ];
    let client_now = cli.output.client_now.as_deref();
    let validate = |read: &[&_]| {
        let settings = cli.settings.clone().only(&[TELLING, read].concat());
        settings::validate(&settings, client_now).ok()
    };
    let Some(config) = others.into_iter().find_map(validate) else { return };
    let mut results = Vec::new();
    if let Command::Run(args) = &cli.command {
        let date = args.date.unwrap_or_else(|| config.calendar.today(config.clock.now()));
        results.push(run::could_not_begin(date, failure));
    }
    Listeners::begin(&config, stop).end(failure.exit, &results).await;
}

/// Refuses dates that nobody can mean, a range that ends before it begins, and `--early` for another day than today, before anything else is
/// done: they are typing errors. Commands that look at one date do it themselves ([`open_store_to_look`]).
fn refuse_dates(command: &Command, config: &Config) -> Result<()> {
    let dates = match command {
        Command::Run(args) => vec![args.date],
        Command::Retry(args) => vec![args.date],
        Command::Corrections(args) => vec![args.from, args.to],
        Command::Backfill(args) => vec![Some(args.from), Some(args.to)],
        Command::Status(_) | Command::Verify(_) | Command::Unlock(_) | Command::Doctor(_) | Command::Init(_) => {
            return Ok(());
        }
        Command::Auth(_) | Command::Layout(_) | Command::Completions(_) | Command::Man(_) => return Ok(()),
    };
    dates.iter().flatten().try_for_each(|date| refuse_date(*date, config))?;
    if let [Some(from), Some(to)] = dates[..]
        && from > to
    {
        let message = format!("--from {from} is after --to {to}");
        return Err(Failure::new(Exit::Usage, message).next("give the earlier date to --from"));
    }
    let today = config.calendar.today(config.clock.now());
    if let Command::Run(RunArgs { early: true, date: Some(date), .. }) = command
        && *date != today
    {
        let message = format!("--early is for today only, {today}, and not for {date}");
        let next = if *date < today { "leave --early out: that day is due" } else { "wait for that day" };
        return Err(Failure::new(Exit::Usage, message).next(next));
    }
    Ok(())
}

fn refuse_date(date: NaiveDate, config: &Config) -> Result<()> {
    let refused = config.calendar.refuse_unlikely(date, config.clock.now());
    refused.map_err(|why| Failure::of(Exit::Usage, why))
}

/// Prints a failure in the shape of the command's own result, if the command has one.
fn refuse(cli: &Cli, failure: &Failure) {
    let output = of_failures(cli.output.result);
    match &cli.command {
        Command::Run(args) => match args.date {
            Some(date) => render::print(&run::could_not_begin(date, failure), output),
            None => render::print(&FailedCommand::new("run", failure), output),
        },
        Command::Retry(_) => render::print(&RetryResult::could_not_begin(CommandName::Retry, failure), output),
        Command::Backfill(_) => render::print(&RetryResult::could_not_begin(CommandName::Backfill, failure), output),
        _ => render::print(&FailedCommand::new(cli.name.name(), &failure.clone().again()), output),
    }
}

/// Prints help or version; any other error is a bad command line.
fn refuse_command_line(error: clap::Error, wants_json: bool) -> Exit {
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        let _ = error.print();
        return Exit::Ok;
    }
    let explained = error.source().and_then(|why| why.downcast_ref::<Explanation>());
    let next = explained.and_then(|why| why.next.as_deref());
    if wants_json {
        let message = error.render().to_string();
        // Its lines are those of the parser.
        let mut failure = Failure::new(Exit::Usage, "").next(next.unwrap_or(Exit::Usage.next_step()));
        failure.why.message = redact(message.trim()).into_owned();
        render::print(&FailedCommand::new("batch-export", &failure), OutputFormat::Json);
    } else {
        let rendered = error.render();
        let mut text = if std::io::stderr().is_terminal() { rendered.ansi().to_string() } else { rendered.to_string() };
        text.extend(next.map(|next| format!("\nnext: {next}\n")));
        streams::write_stderr(redact(&text).into_owned());
    }
    Exit::Usage
}

/// The parser quotes the text that it does not understand, which may be a secret in the wrong place. So only text that
/// looks like a word of a command line stays in its message.
fn without_values(mut error: clap::Error) -> clap::Error {
    let typed = match error.kind() {
        ErrorKind::UnknownArgument => ContextKind::InvalidArg,
        ErrorKind::InvalidSubcommand => ContextKind::InvalidSubcommand,
        _ => ContextKind::InvalidValue,
    };
    let Some(ContextValue::String(value)) = error.get(typed) else { return error };
    let argument = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(argument)) if typed == ContextKind::InvalidValue => argument.as_str(),
        _ => "",
    };
    // The placeholder of an argument says what it takes.
    let shown = match argument.split_once('<').map_or("", |(_, placeholder)| placeholder.trim_end_matches('>')) {
        "YYYY-MM-DD" => shown_date(value),
        "N" | "PORT" => shown_number(value),
        "DURATION" => shown_time(value),
        _ => shown_word(value.trim_start_matches('-')),
    };
    if !matches!(shown, Shown::Quoted(_)) {
        error.insert(typed, ContextValue::String("(not shown)".to_owned()));
        // A suggestion repeats the word.
        error.remove(ContextKind::Suggested);
        error.remove(ContextKind::TrailingArg);
    }
    error
}

fn start_log(output: &OutputArgs, settings: &Settings) {
    let level = match (output.quiet, output.verbose) {
        (true, _) => Level::Quiet,
        (false, 0) => Level::Normal,
        (false, 1) => Level::Verbose,
        (false, _) => Level::Everything,
    };
    let is = |name: &str, wanted: fn(&str) -> bool| environment::text(name).is_some_and(|value| wanted(&value));
    let no_colour = is("NO_COLOR", |value| !value.is_empty()) || is("TERM", |value| value == "dumb");
    let colour = std::io::stderr().is_terminal() && !no_colour;
    // A text that is no zone is refused later, by the commands that read it.
    let zone = settings.zone().unwrap_or(chrono_tz::UTC);
    telemetry::start(level, output.log == OutputFormat::Json, colour, zone);
}

/// What a command reports that could not begin. A layout that a person has to correct is not hidden by a database that is
/// away for a time.
fn could_not_begin_for(config: &Config, failure: Failure) -> Failure {
    let is_away = failure.exit == Exit::DatabaseUnavailable;
    config.format().err().filter(|_| is_away).unwrap_or(failure)
}

/// Opens the destination and the database of the settings. What both lack is said at once.
async fn open_both(config: &Config, stop: &Stop) -> Result<(Destination, Store)> {
    match (Destination::open(config), Store::uri(config)) {
        (Ok(destination), Ok(_)) => Ok((destination, open_store(config, stop).await?)),
        (Err(one), Err(other)) => Err(Failure::of(Exit::Configuration, one.why.and(other.why))),
        (Err(failure), Ok(_)) | (Ok(_), Err(failure)) => Err(failure),
    }
}

/// Opens the database of the settings; can be stopped while it waits for a server.
async fn open_store(config: &Config, stop: &Stop) -> Result<Store> {
    stop.until_signal(Store::connect(config)).await
}

/// Opens the database for a command that looks at a date or unlocks its batch. A date that nobody can mean is refused,
/// unless it has a batch: version 0.1 could make one.
async fn open_store_to_look(config: &Config, stop: &Stop, date: Option<NaiveDate>) -> Result<Store> {
    let store = open_store(config, stop).await?;
    let refused = date.and_then(|date| Some((date, refuse_date(date, config).err()?)));
    match refused {
        Some((date, refused)) if stop.until_signal(store.batch(BatchId::new(date))).await?.is_none() => Err(refused),
        Some(_) | None => Ok(store),
    }
}

/// Batches that a command looks at.
struct Chosen {
    /// Oldest first.
    batches: Vec<BatchId>,
    /// How many older ones it leaves alone; `None` where dates were asked for.
    older: Option<u64>,
}

impl Chosen {
    /// Those that were asked for by their dates.
    fn named(batches: Vec<BatchId>) -> Chosen {
        Chosen { batches, older: None }
    }

    /// The latest ones, at most `count`.
    async fn latest(store: &Store, count: u32) -> Result<Chosen> {
        let batches = store.batch_ids(BatchId::FIRST..=BatchId::LAST, i64::from(count)).await?;
        let older = match batches.first() {
            Some(first) => store.older_batches(*first).await?,
            None => 0,
        };
        Ok(Chosen { batches, older: Some(older) })
    }
}

/// Said of a batch without settings of its own.
const TODAYS_SETTINGS: &str =
    "no settings are stored with it (an earlier version exported it, or its document was rebuilt): today's were taken";

/// Says that a command left batches alone: nothing is known of them.
fn left_alone(older: Option<u64>) -> String {
    match older {
        None | Some(0) => String::new(),
        Some(older) => {
            counted(older, "older batch was", "older batches were") + " not looked at; --last takes more of them\n"
        }
    }
}
