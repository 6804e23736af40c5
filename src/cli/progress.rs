//! How far it is, on stderr: a bar on a terminal, else a line in the log every few seconds. Never on stdout.
//!
//! It reads the counters from beside the pass, so a slow terminal slows nothing. It draws without colours.

use std::io::IsTerminal;
use std::sync::Arc;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::task::JoinHandle;

use crate::failure::Stage;
use crate::progress::Progress;

/// Between two looks at the counters, for a bar.
const REDRAW: Duration = Duration::from_millis(100);
/// Between two lines in the log.
const LINE: Duration = Duration::from_secs(5);

/// Reports until it is dropped.
pub struct Reporter {
    task: JoinHandle<()>,
    bar: Option<ProgressBar>,
}

/// Begins to report.
pub fn report(progress: &Arc<Progress>) -> Reporter {
    let progress = Arc::clone(progress);
    let bar = std::io::stderr().is_terminal().then(|| {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        let style = ProgressStyle::with_template("{prefix:>9} [{bar:40}] {pos}/{len} {msg}");
        bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> "))
    });
    let task = match bar.clone() {
        Some(bar) => tokio::spawn(draw(progress, bar)),
        None => tokio::spawn(log(progress)),
    };
    Reporter { task, bar }
}

impl Drop for Reporter {
    fn drop(&mut self) {
        self.task.abort();
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

async fn draw(progress: Arc<Progress>, bar: ProgressBar) {
    loop {
        tokio::time::sleep(REDRAW).await;
        let Some((stage, done, total)) = progress.read() else { continue };
        bar.set_length(total.max(done));
        bar.set_position(done);
        bar.set_prefix(stage.name());
        bar.set_message(unit(stage));
    }
}

async fn log(progress: Arc<Progress>) {
    loop {
        tokio::time::sleep(LINE).await;
        let Some((stage, done, total)) = progress.read() else { continue };
        progress.span().in_scope(|| tracing::info!("{stage}: {done} of {total} {}", unit(stage)));
    }
}

/// What the counters count.
fn unit(stage: Stage) -> &'static str {
    match stage {
        Stage::Upload => "bytes",
        Stage::Lock | Stage::Generate | Stage::Commit => "rows",
    }
}
