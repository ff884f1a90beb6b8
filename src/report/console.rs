//! Numbers and lines as people read them on a terminal.

use crate::recipe::Recipe;
use crate::training::metrics::EpochMetrics;

/// An epoch in one line, with the learning rate where it changes.
pub fn epoch_line(m: &EpochMetrics, recipe: &Recipe) -> String {
    let epochs = recipe.epochs_begun();
    let width = epochs.to_string().len();
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

/// How many epochs, as people say it: `1 epoch`, `3 epochs`.
pub fn epochs(count: usize) -> String {
    format!("{count} epoch{}", if count == 1 { "" } else { "s" })
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
        assert_eq!((epochs(1), epochs(20)), ("1 epoch".into(), "20 epochs".into()));
    }
}
