//! `metrics.csv`, a row an epoch, and `steps.csv`, a row a step.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::files::write_atomically;
use crate::training::metrics::EpochMetrics;
use crate::training::{Event, Observer};

const EPOCH_HEADER: &str = "epoch,train_loss,test_loss,test_accuracy,learning_rate,seconds,images_per_second";
const STEP_HEADER: &str = "step,train_loss";

fn format_epoch(m: &EpochMetrics) -> String {
    format!(
        "{},{},{},{},{},{:.3},{:.1}",
        m.epoch, m.train_loss, m.test_loss, m.test_accuracy, m.learning_rate, m.seconds, m.images_per_second
    )
}

/// Reads back a row of `metrics.csv`.
///
/// # Errors
/// Invalid data: how many fields were found, or which is no number.
pub fn parse_epoch(line: &str) -> Result<EpochMetrics> {
    let fields: Vec<&str> = line.split(',').collect();
    let [epoch, rest @ ..] = fields.as_slice() else { return Err(Error::invalid("an empty line")) };
    let numbers: Vec<f64> = rest
        .iter()
        .map(|field| field.parse().map_err(|_| Error::invalid(format!("'{field}' is no number"))))
        .collect::<Result<_>>()?;
    let [train_loss, test_loss, test_accuracy, learning_rate, seconds, images_per_second] = numbers[..] else {
        return Err(Error::invalid(format!("expected 7 fields, found {}", fields.len())));
    };
    let epoch = epoch.parse().map_err(|_| Error::invalid(format!("'{epoch}' is no epoch")))?;
    Ok(EpochMetrics { epoch, train_loss, test_loss, test_accuracy, learning_rate, seconds, images_per_second })
}

/// Writes both files. A resumed run's files are cut back to where it resumes.
pub struct Csv {
    epochs_path: PathBuf,
    steps_path: PathBuf,
    files: Option<(File, BufWriter<File>)>,
}

impl Csv {
    /// Writes into the folder of a run.
    pub fn new(folder: &Path) -> Self {
        Self { epochs_path: folder.join("metrics.csv"), steps_path: folder.join("steps.csv"), files: None }
    }
}

/// Opens a file that holds `header` and `rows`, for appending.
fn restart(path: &Path, header: &str, rows: impl Iterator<Item = String>) -> Result<File> {
    let text: String = std::iter::once(header.to_string()).chain(rows).map(|row| row + "\n").collect();
    write_atomically(path, text.as_bytes())?;
    File::options().append(true).open(path).map_err(|e| Error::io("append to", path, e))
}

impl Observer for Csv {
    fn notify(&mut self, event: &Event<'_>) -> Result<()> {
        if let Event::Started { state, steps, .. } = event {
            let done = state.progress.history.len() * steps + state.progress.losses.len();
            let old = fs::read_to_string(&self.steps_path).unwrap_or_default(); // a fresh run has none
            let kept = old.lines().skip(1).take(done).map(String::from);
            let epochs = restart(&self.epochs_path, EPOCH_HEADER, state.progress.history.iter().map(format_epoch))?;
            self.files = Some((epochs, BufWriter::new(restart(&self.steps_path, STEP_HEADER, kept)?)));
        }
        let Some((epochs, steps)) = &mut self.files else { return Ok(()) };
        match event {
            Event::Losses { first_step, losses } => losses
                .iter()
                .enumerate()
                .try_for_each(|(i, loss)| writeln!(steps, "{},{loss}", first_step + i))
                .and_then(|()| steps.flush())
                .map_err(|e| Error::io("write", &self.steps_path, e)),
            Event::Epoch { history, .. } => match history.last() {
                Some(metrics) => {
                    writeln!(epochs, "{}", format_epoch(metrics)).map_err(|e| Error::io("write", &self.epochs_path, e))
                }
                None => Ok(()),
            },
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_read_back() {
        let metrics = EpochMetrics {
            epoch: 3,
            train_loss: 0.1234567890123,
            test_loss: 0.2,
            test_accuracy: 97.53,
            learning_rate: 0.1,
            seconds: 1.5,
            images_per_second: 40000.5,
        };
        assert_eq!(parse_epoch(&format_epoch(&metrics)).unwrap(), metrics);
        assert!(parse_epoch("1,2,3").unwrap_err().to_string().contains("7 fields"));
        assert!(parse_epoch("1,x,3,4,5,6,7").unwrap_err().to_string().contains("'x'"));
    }
}
