//! Shows progress on stderr: a bar on a terminal, else a log line every few seconds. Never on stdout.
//!
//! It reads the counters in a task of its own, and [`STDERR`] draws, so a slow terminal does not slow the pass. It draws without colours.

use std::io::IsTerminal;
use std::sync::{Arc, Weak};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::failure::Stage;
use crate::progress::Progress;
use crate::streams::{Below, STDERR};

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
    /// What is drawn after its end is not shown: a task that is aborted may still finish its drawing.
    open: Option<Arc<()>>,
}

pub fn report(progress: &Arc<Progress>) -> Reporter {
    let progress = Arc::clone(progress);
    if !takes_bars() {
        return Reporter { task: tokio::spawn(log(progress)), open: None };
    }
    let open = Arc::new(());
    Reporter { task: tokio::spawn(draw(progress, Arc::downgrade(&open))), open: Some(open) }
}

impl Drop for Reporter {
    fn drop(&mut self) {
        self.task.abort();
        if self.open.take().is_some() {
            STDERR.in_turn(clear);
        }
    }
}

/// Whether stderr is a terminal that can redraw a line.
fn takes_bars() -> bool {
    std::io::stderr().is_terminal() && !ProgressDrawTarget::stderr().is_hidden()
}

fn clear(below: &mut Below) {
    if let Some(bar) = below.take() {
        bar.finish_and_clear();
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

async fn draw(progress: Arc<Progress>, open: Weak<()>) {
    let mut shown = None;
    loop {
        tokio::time::sleep(REDRAW).await;
        let now = progress.read().filter(|(_, done, total)| done + total > 0);
        if now == shown {
            continue;
        }
        let kind = |(stage, _, total): (Stage, u64, u64)| (stage, total == 0);
        let other = now.map(kind) != shown.map(kind);
        shown = now;
        let (open, (drawn, is_drawn)) = (open.clone(), oneshot::channel());
        STDERR.in_turn(move |below| {
            if other {
                clear(below);
            }
            if let Some((stage, done, total)) = now.filter(|_| open.strong_count() > 0) {
                let bar = below.get_or_insert_with(|| new_bar(stage, total));
                bar.set_length(total.max(done));
                bar.set_position(done);
                bar.tick();
            }
            let _ = drawn.send(());
        });
        // One at a time: a terminal that is held takes no more.
        let _ = is_drawn.await;
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
