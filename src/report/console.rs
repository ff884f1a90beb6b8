//! The terminal: a progress bar on a TTY, one plain line an epoch everywhere.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::error::Result;
use crate::metrics::EpochMetrics;
use crate::recipe::Recipe;
use crate::train::{Event, Observer};
use crate::tuning::tuned;

/// Prints a line to standard output; a closed pipe is no reason to fail.
#[macro_export]
macro_rules! say {
    ($($arg:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stdout(), $($arg)*);
    }};
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
        let target = if terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(None, target);
        // `force_styling` is never set, so that NO_COLOR is respected.
        if let Ok(style) = ProgressStyle::with_template("{prefix} {bar:24} {percent:>3}%  {msg}  {eta} left") {
            bar.set_style(style);
        }
        Self { bar, terminal, steps: 0, recipe: recipe.clone(), unread: (0.0, 0), drawn: Instant::now() }
    }
}

/// An epoch in one line, with the learning rate where it changes.
pub fn epoch_line(m: &EpochMetrics, recipe: &Recipe) -> String {
    let (epochs, width) = (recipe.epochs, recipe.epochs.to_string().len());
    let rate =
        if recipe.schedule.is_constant() { String::new() } else { format!("lr {:<9}  ", short(m.learning_rate)) };
    format!(
        "epoch {:>width$}/{epochs}  train loss {:.5}  test loss {:.5}  accuracy {:>5.2} %  {rate}{:>6.2} s  {} images/s",
        m.epoch,
        m.train_loss,
        m.test_loss,
        m.test_accuracy,
        m.seconds,
        thousands(m.images_per_second as u64)
    )
}

/// At most four significant digits, without trailing zeros.
pub fn short(value: f64) -> String {
    if value == 0.0 {
        return "0".into();
    }
    let digits = (3 - value.abs().log10().floor() as i32).clamp(0, 12) as usize;
    let text = format!("{value:.digits$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_string() } else { text }
}

/// With a comma after every three digits.
pub fn thousands(value: u64) -> String {
    let digits = value.to_string();
    let parts: Vec<&str> = digits.as_bytes().rchunks(3).rev().filter_map(|c| std::str::from_utf8(c).ok()).collect();
    parts.join(",")
}

/// Seconds as people say them: `12.3 s`, `3:05`, `1:02:03`.
pub fn duration(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    match whole {
        0..100 => format!("{seconds:.1} s"),
        100..3600 => format!("{}:{:02}", whole / 60, whole % 60),
        _ => format!("{}:{:02}:{:02}", whole / 3600, whole / 60 % 60, whole % 60),
    }
}

impl Observer for Console {
    fn notify(&mut self, event: &Event<'_>) -> Result<()> {
        match event {
            Event::Started { recipe, state, steps, .. } => {
                self.steps = *steps;
                let done = state.progress.history.len() * steps + state.progress.losses.len();
                self.bar.set_length((recipe.epochs * steps) as u64);
                self.bar.set_position(done as u64);
                self.bar.reset_eta();
            }
            Event::Step { epoch, step, .. } if self.terminal => {
                // A bar that redraws at every step of 1 ms would be what one waits for.
                if self.drawn.elapsed() >= Duration::from_millis(100) {
                    self.drawn = Instant::now();
                    self.bar.set_prefix(format!("epoch {epoch}/{}", self.recipe.epochs));
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
            Event::Interrupted { .. } | Event::Finished { .. } => self.bar.finish_and_clear(),
            Event::Step { .. } | Event::MidEpoch { .. } => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!(thousands(1_234_567), "1,234,567");
        assert_eq!(thousands(12), "12");
        assert_eq!(short(0.1), "0.1");
        assert_eq!(short(0.00081), "0.00081");
        assert_eq!(short(1234.5), "1234");
        assert_eq!(duration(7.25), "7.2 s");
        assert_eq!(duration(1503.0), "25:03");
        assert_eq!(duration(3723.0), "1:02:03");
    }
}
