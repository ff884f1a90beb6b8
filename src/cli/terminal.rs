//! The terminal: a progress bar where there is one, plain lines everywhere, and words for notices.

use std::io::IsTerminal;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::words;
use crate::compute::tuning::tuned;
use crate::error::Result;
use crate::notice::Notice;
use crate::recipe::Recipe;
use crate::report::console::{duration, epoch_line, thousands};
use crate::training::{Event, Observer, Observers, Plan};

/// Prints a line to standard output; a closed pipe is no reason to fail.
macro_rules! say {
    ($($arg:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stdout(), $($arg)*);
    }};
}
pub(super) use say;

/// All bars, so that they know of each other's lines; drawn only where standard error is a terminal.
static BARS: LazyLock<MultiProgress> = LazyLock::new(|| {
    let terminal = std::io::stderr().is_terminal();
    MultiProgress::with_draw_target(if terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() })
});

/// The line that shows that kernels are tuned, while they are.
static TUNING: Mutex<Option<ProgressBar>> = Mutex::new(None);

fn tuning_line() -> MutexGuard<'static, Option<ProgressBar>> {
    TUNING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Tells that an operation was tuned, `count` in all: once in words, and in a line that goes on moving.
pub fn tuning(count: usize) {
    let mut line = tuning_line();
    if count == 1 {
        eprintln!("notice: kernels are compiled and tuned for this adapter; the next start will know the best of them");
    }
    let line = line.get_or_insert_with(|| {
        let line = BARS.add(ProgressBar::new_spinner());
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}, {elapsed}") {
            line.set_style(style);
        }
        line.enable_steady_tick(Duration::from_millis(120));
        line
    });
    line.set_message(format!("tuning kernels: operation {count}"));
}

/// Takes the line of [`tuning`] away.
pub fn tuning_is_over() {
    if let Some(line) = tuning_line().take() {
        line.finish_and_clear();
    }
}

/// Whoever shows a run on the terminal.
pub fn observers(plan: &Plan) -> Observers<'static> {
    Observers::new(tell).with(Console::new(plan.recipe()))
}

/// Tells a notice; what has a place of its own goes to standard output, everything else to standard error.
pub fn tell(notice: Notice) {
    match notice {
        Notice::Download { name, received, total } => download(name, received, total),
        Notice::Decoding { done, files } => decoding(done, files),
        Notice::Resuming { epochs, steps } => say!("resuming after epoch {epochs}, step {steps}"),
        Notice::RunStarts(headline) => say!("{headline}"),
        Notice::AlreadyFinished => say!("already finished\n"),
        Notice::ClientAccepted(client, device) => say!("{client} uses device {device}"),
        Notice::ClientRefused(why) => say!("refused: {why}"),
        other => eprintln!("{}", words::notice(&other)),
    }
}

/// The bar of pictures that are decoded.
fn decoding(done: usize, files: usize) {
    static BAR: Mutex<Option<ProgressBar>> = Mutex::new(None);
    let mut bar = BAR.lock().unwrap_or_else(PoisonError::into_inner);
    let shown = bar.get_or_insert_with(|| {
        let bar = BARS.add(ProgressBar::new(files as u64)).with_message("decoding pictures");
        if let Ok(style) = ProgressStyle::with_template("{msg:28} {bar:30} {pos}/{len} {per_sec}, {eta} left") {
            bar.set_style(style);
        }
        bar
    });
    shown.set_position(done as u64);
    if done >= files {
        shown.finish_and_clear();
        *bar = None;
    }
}

/// The bar of the file that arrives.
fn download(name: &'static str, received: u64, total: u64) {
    thread_local! {
        static BAR: std::cell::RefCell<Option<(&'static str, ProgressBar)>> = const { std::cell::RefCell::new(None) };
    }
    BAR.with_borrow_mut(|current| {
        let fresh = || {
            let bar = BARS.add(ProgressBar::new(total)).with_message(name);
            if let Ok(style) = ProgressStyle::with_template("{msg:28} {bar:30} {bytes}/{total_bytes} {bytes_per_sec}") {
                bar.set_style(style);
            }
            (name, bar)
        };
        let (_, bar) = match current.take() {
            Some(same) if same.0 == name => current.insert(same),
            _ => current.insert(fresh()),
        };
        bar.set_position(received);
        if received >= total {
            bar.finish_and_clear();
        }
    });
}

/// Shows a run while it trains.
pub struct Console {
    bar: ProgressBar,
    terminal: bool,
    steps: usize,
    recipe: Recipe,
    unread: (f64, usize),
    drawn: Instant,
}

impl Console {
    /// For a run of `recipe`. Draws a bar only where standard error is a terminal.
    pub fn new(recipe: &Recipe) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let bar = BARS.add(ProgressBar::no_length());
        // `force_styling` is never set, so that NO_COLOR is respected.
        if let Ok(style) = ProgressStyle::with_template("{prefix} {bar:24} {percent:>3}%  {msg}  {eta} left") {
            bar.set_style(style);
        }
        Self { bar, terminal, steps: 0, recipe: recipe.clone(), unread: (0.0, 0), drawn: Instant::now() }
    }
}

impl Observer for Console {
    fn notify(&mut self, event: &Event<'_>) -> Result<()> {
        match event {
            Event::Started { state, steps, .. } => {
                self.steps = *steps;
                let done = state.progress.history.len() * steps + state.progress.losses.len();
                self.bar.set_length(self.recipe.steps(*steps) as u64);
                self.bar.set_position(done as u64);
                self.bar.reset_eta();
            }
            Event::Step { epoch, step, .. } if self.terminal => {
                // A bar that redraws at every step of 1 ms would be what one waits for.
                if self.drawn.elapsed() >= Duration::from_millis(100) {
                    self.drawn = Instant::now();
                    tuning_is_over();
                    self.bar.set_prefix(format!("epoch {epoch}/{}", self.recipe.epochs_begun()));
                    self.bar.set_position(((epoch - 1) * self.steps + step) as u64);
                    let rate = self.bar.per_sec() * self.recipe.batch_size as f64;
                    let loss = if self.unread.1 > 0 { format!("loss {:.4}  ", self.unread.0) } else { String::new() };
                    self.bar.set_message(format!("{loss}{} images/s", thousands(rate as u64)));
                }
            }
            Event::Losses { losses, .. } => {
                let sum: f64 = losses.iter().map(|&l| f64::from(l)).sum();
                self.unread = (sum / losses.len().max(1) as f64, losses.len());
            }
            Event::Epoch { history, .. } => {
                if let Some(metrics) = history.last() {
                    let line = epoch_line(metrics, &self.recipe);
                    self.bar.suspend(|| say!("{line}"));
                }
                // Measured against the second epoch, which tunes nothing.
                if let (2, [first, second, ..]) = (history.len(), &history[..])
                    && tuned() > 0
                {
                    let extra = duration((first.seconds - second.seconds).max(0.0));
                    self.bar.suspend(|| say!("tuning {} operations took about {extra} of the first epoch", tuned()));
                }
            }
            Event::Finished { evaluation, augmented, .. } => {
                self.bar.finish_and_clear();
                if let Some(augmented) = augmented {
                    let (views, plain) = (self.recipe.tta, evaluation.accuracy);
                    say!("test-time augmentation {views}: accuracy {:.2} % (without {plain:.2} %)", augmented.accuracy);
                }
            }
            Event::Interrupted { .. } => self.bar.finish_and_clear(),
            Event::Step { .. } | Event::MidEpoch { .. } => {}
        }
        Ok(())
    }
}
