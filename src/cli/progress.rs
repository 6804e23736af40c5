//! Shows progress on stderr: a bar on a terminal, else a log line every few seconds. Never on stdout.
//!
//! It reads the counters in a task of its own, so a slow terminal does not slow the pass. It draws without colours.
//! Risk: two writers on one line of the terminal. So the log writes above the bar through [`Footer`], and one lock
//! protects drawing and clearing.

use std::io::IsTerminal;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::task::JoinHandle;

use crate::failure::Stage;
use crate::progress::Progress;
use crate::telemetry::{self, Footer};

/// The wait between two updates of a bar.
const REDRAW: Duration = Duration::from_millis(100);
/// The wait between two log lines.
const LINE: Duration = Duration::from_secs(5);

/// The frames of a bar without a known length.
const TO_AND_FRO: [&str; 8] =
    ["[<=>     ]", "[ <=>    ]", "[  <=>   ]", "[   <=>  ]", "[    <=> ]", "[     <=>]", "[   <=>  ]", "[ <=>    ]"];

/// Reports until it is dropped.
pub struct Reporter {
    task: JoinHandle<()>,
    screen: Option<Arc<Screen>>,
}

/// Begins to report.
pub fn report(progress: &Arc<Progress>) -> Reporter {
    let progress = Arc::clone(progress);
    if !takes_bars() {
        return Reporter { task: tokio::spawn(log(progress)), screen: None };
    }
    let screen = Arc::new(Screen { below: Mutex::new(Below::Nothing) });
    telemetry::set_footer(Some(screen.clone()));
    Reporter { task: tokio::spawn(draw(progress, screen.clone())), screen: Some(screen) }
}

impl Drop for Reporter {
    fn drop(&mut self) {
        self.task.abort();
        if let Some(screen) = &self.screen {
            telemetry::set_footer(None);
            screen.close();
        }
    }
}

/// Whether stderr is a terminal that can redraw a line.
fn takes_bars() -> bool {
    std::io::stderr().is_terminal() && !ProgressDrawTarget::stderr().is_hidden()
}

/// The line below the log.
struct Screen {
    below: Mutex<Below>,
}

enum Below {
    Nothing,
    /// What it shows: stage, done, total.
    Bar((Stage, u64, u64), ProgressBar),
    /// The reporter was dropped. A drawing task that is aborted may still finish its drawing, so the screen stays
    /// closed.
    Closed,
}

impl Screen {
    fn lock(&self) -> MutexGuard<'_, Below> {
        self.below.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn show(&self, now: (Stage, u64, u64)) {
        let (stage, done, total) = now;
        let mut below = self.lock();
        let bar = match &*below {
            Below::Closed => return,
            Below::Bar(shown, _) if *shown == now => return,
            Below::Bar(shown, bar) if shown.0 == stage && (shown.2 == 0) == (total == 0) => bar.clone(),
            Below::Bar(..) | Below::Nothing => {
                below.clear();
                new_bar(stage, total)
            }
        };
        bar.set_length(total.max(done));
        bar.set_position(done);
        bar.tick();
        *below = Below::Bar(now, bar);
    }

    fn clear(&self) {
        let mut below = self.lock();
        below.clear();
        if let Below::Bar(..) = *below {
            *below = Below::Nothing;
        }
    }

    fn close(&self) {
        let mut below = self.lock();
        below.clear();
        *below = Below::Closed;
    }
}

impl Below {
    fn clear(&self) {
        if let Below::Bar(_, bar) = self {
            bar.finish_and_clear();
        }
    }
}

impl Footer for Screen {
    fn make_way(&self, write: &mut dyn FnMut()) {
        match &*self.lock() {
            Below::Bar(_, bar) => bar.suspend(write),
            Below::Nothing | Below::Closed => write(),
        }
    }
}

/// A bar as wide as the terminal, so that it stays on one line. While the total is not known, as in most of a large
/// generation, the bar has no length.
fn new_bar(stage: Stage, total: u64) -> ProgressBar {
    let template = match (stage, total) {
        (Stage::Upload, _) => "{prefix:>8} [{wide_bar}] {bytes}/{total_bytes}",
        (Stage::Lock | Stage::Generate | Stage::Commit, 0) => "{prefix:>8} {spinner} {human_pos} rows",
        (Stage::Lock | Stage::Generate | Stage::Commit, _) => "{prefix:>8} [{wide_bar}] {human_pos}/{human_len} rows",
    };
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr())
        .with_style(style.progress_chars("=> ").tick_strings(&TO_AND_FRO))
        .with_prefix(stage.name())
}

async fn draw(progress: Arc<Progress>, screen: Arc<Screen>) {
    loop {
        tokio::time::sleep(REDRAW).await;
        match progress.read() {
            Some(now) if now.1 > 0 || now.2 > 0 => screen.show(now),
            Some(_) | None => screen.clear(),
        }
    }
}

async fn log(progress: Arc<Progress>) {
    loop {
        tokio::time::sleep(LINE).await;
        let Some((stage, done, total)) = progress.read().filter(|(_, done, total)| done + total > 0) else { continue };
        let unit = match stage {
            Stage::Upload => "bytes",
            Stage::Lock | Stage::Generate | Stage::Commit => "rows",
        };
        progress.span().in_scope(|| match total {
            0 => tracing::info!("{stage}: {done} {unit} so far"),
            _ => tracing::info!("{stage}: {done} of {total} {unit}"),
        });
    }
}
