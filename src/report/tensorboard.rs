//! TensorBoard event files: TFRecord frames around protobuf `Event` messages.
//!
//! Sources: tensorflow/core/util/event.proto, framework/summary.proto and lib/io/record_writer.h. Only the fields
//! that are written are declared; their numbers are the published ones.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use prost::Message;

use super::plots::{self, encode_png};
use super::samples;
use crate::data::Dataset;
use crate::error::{Error, Result};
use crate::recipe::Recipe;
use crate::training::{Event, Observer};

#[derive(Clone, PartialEq, Message)]
struct TensorBoardEvent {
    #[prost(double, tag = "1")]
    wall_time: f64,
    #[prost(int64, tag = "2")]
    step: i64,
    #[prost(string, optional, tag = "3")]
    file_version: Option<String>,
    #[prost(message, optional, tag = "5")]
    summary: Option<Summary>,
    #[prost(message, optional, tag = "7")]
    session_log: Option<SessionLog>,
}

#[derive(Clone, PartialEq, Message)]
struct Summary {
    #[prost(message, repeated, tag = "1")]
    value: Vec<Value>,
}

#[derive(Clone, PartialEq, Message)]
struct Value {
    #[prost(string, tag = "1")]
    tag: String,
    #[prost(float, optional, tag = "2")]
    simple_value: Option<f32>,
    #[prost(message, optional, tag = "4")]
    image: Option<Image>,
    #[prost(message, optional, tag = "8")]
    tensor: Option<TensorProto>,
    #[prost(message, optional, tag = "9")]
    metadata: Option<Metadata>,
}

#[derive(Clone, PartialEq, Message)]
struct Image {
    #[prost(int32, tag = "1")]
    height: i32,
    #[prost(int32, tag = "2")]
    width: i32,
    /// 3 is RGB.
    #[prost(int32, tag = "3")]
    colorspace: i32,
    /// A PNG file.
    #[prost(bytes = "vec", tag = "4")]
    encoded: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct TensorProto {
    /// 7 is a string.
    #[prost(int32, tag = "1")]
    dtype: i32,
    #[prost(message, optional, tag = "2")]
    shape: Option<TensorShape>,
    #[prost(bytes = "vec", repeated, tag = "8")]
    string_val: Vec<Vec<u8>>,
}

#[derive(Clone, PartialEq, Message)]
struct TensorShape {
    #[prost(message, repeated, tag = "2")]
    dim: Vec<Dimension>,
}

#[derive(Clone, PartialEq, Message)]
struct Dimension {
    #[prost(int64, tag = "1")]
    size: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Metadata {
    #[prost(message, optional, tag = "1")]
    plugin: Option<Plugin>,
}

#[derive(Clone, PartialEq, Message)]
struct Plugin {
    #[prost(string, tag = "1")]
    name: String,
}

#[derive(Clone, PartialEq, Message)]
struct SessionLog {
    #[prost(int32, tag = "1")]
    status: i32,
}
/// `SessionLog.SessionStatus.START`: readers drop what earlier files of the run have from this step on.
const SESSION_START: i32 = 1;

/// Writes `<model>/Train_Loss` a step, `<model>/Test_Loss` and `<model>/Test_Accuracy` an epoch, as the reference
/// exercise names them; the recipe as text and random train images at the start, the confusion matrix at the end.
pub struct TensorBoard<'a> {
    path: PathBuf,
    file: Option<BufWriter<File>>,
    model: String,
    recipe: Recipe,
    dataset: &'a Dataset,
}

impl<'a> TensorBoard<'a> {
    /// Writes into a new event file in the folder of a run.
    pub fn new(folder: &Path, recipe: &Recipe, dataset: &'a Dataset) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        // TensorBoard reads the files of a folder in the order of their names.
        let name = format!("events.out.tfevents.{:010}.{:09}.tinderbox", now.as_secs(), now.subsec_nanos());
        let model = recipe.network.entry().map_or("custom", |entry| entry.name).to_string();
        Self { path: folder.join(name), file: None, model, recipe: recipe.clone(), dataset }
    }

    fn scalar(&mut self, what: &str, step: usize, value: f64) -> Result<()> {
        let value = Value { simple_value: Some(value as f32), ..Default::default() };
        self.value(what, step, value)
    }

    fn image(&mut self, what: &str, step: usize, size: (u32, u32), png: Vec<u8>) -> Result<()> {
        let image = Image { height: size.1 as i32, width: size.0 as i32, colorspace: 3, encoded: png };
        self.value(what, step, Value { image: Some(image), ..Default::default() })
    }

    /// Markdown, for TensorBoard's text plugin.
    fn text(&mut self, what: &str, text: String) -> Result<()> {
        let shape = Some(TensorShape { dim: vec![Dimension { size: 1 }] });
        let tensor = Some(TensorProto { dtype: 7, shape, string_val: vec![text.into_bytes()] });
        let metadata = Some(Metadata { plugin: Some(Plugin { name: "text".into() }) });
        self.value(what, 0, Value { tensor, metadata, ..Default::default() })
    }

    fn value(&mut self, what: &str, step: usize, value: Value) -> Result<()> {
        let value = Value { tag: format!("{}/{what}", self.model), ..value };
        let summary = Some(Summary { value: vec![value] });
        self.write(TensorBoardEvent { step: step as i64, summary, ..Default::default() })
    }

    fn write(&mut self, mut event: TensorBoardEvent) -> Result<()> {
        event.wall_time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        let frame = frame(&event.encode_to_vec());
        match &mut self.file {
            Some(file) => file.write_all(&frame).map_err(|e| Error::io("write", &self.path, e)),
            None => Ok(()),
        }
    }
}

/// Length, its masked CRC-32C, the data, its masked CRC-32C; all little-endian.
fn frame(data: &[u8]) -> Vec<u8> {
    let masked = |bytes: &[u8]| crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8).to_le_bytes();
    let length = (data.len() as u64).to_le_bytes();
    [&length[..], &masked(&length), data, &masked(data)].concat()
}

impl Observer for TensorBoard<'_> {
    fn notify(&mut self, event: &Event<'_>) -> Result<()> {
        match event {
            Event::Started { state, steps, .. } => {
                let file = File::create(&self.path).map_err(|e| Error::io("create", &self.path, e))?;
                self.file = Some(BufWriter::new(file));
                let file_version = Some("brain.Event:2".into());
                self.write(TensorBoardEvent { file_version, ..Default::default() })?;
                let done = state.progress.history.len() * steps + state.progress.losses.len();
                if done > 0 {
                    let session_log = Some(SessionLog { status: SESSION_START });
                    self.write(TensorBoardEvent { step: done as i64 + 1, session_log, ..Default::default() })?;
                } else {
                    let toml = toml::to_string_pretty(&self.recipe).unwrap_or_default();
                    self.text("Recipe", format!("```\n{toml}```\n\n`{}`", self.recipe.command(None)))?;
                    let grid = samples::grid(&self.dataset.train, &self.dataset.classes, 8, 4, self.recipe.seed)?;
                    self.image("Samples", 0, grid.dimensions(), encode_png(&grid)?)?;
                }
            }
            Event::Losses { first_step, losses } => {
                for (i, &loss) in losses.iter().enumerate() {
                    self.scalar("Train_Loss", first_step + i, f64::from(loss))?;
                }
            }
            Event::Epoch { history, .. } => {
                if let Some(metrics) = history.last() {
                    self.scalar("Test_Loss", metrics.epoch, metrics.test_loss)?;
                    self.scalar("Test_Accuracy", metrics.epoch, metrics.test_accuracy)?;
                }
            }
            Event::Finished { evaluation, state, .. } => {
                let title = format!("Test accuracy {:.2} %", evaluation.accuracy);
                let chart = plots::confusion(&title, &self.dataset.classes, &evaluation.confusion)?;
                self.image("Confusion", state.progress.history.len(), plots::SIZE, chart.png)?;
            }
            _ => {}
        }
        match &mut self.file {
            Some(file) if !matches!(event, Event::Step { .. }) => {
                file.flush().map_err(|e| Error::io("write", &self.path, e))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_a_tfrecord() {
        // The first frame of every event file that TensorFlow writes, with the wall time set to zero.
        let event = TensorBoardEvent { file_version: Some("brain.Event:2".into()), ..Default::default() };
        let frame = frame(&event.encode_to_vec());
        assert_eq!(&frame[..8], 15u64.to_le_bytes());
        assert_eq!(&frame[12..14], [0x1a, 13]);
        assert_eq!(&frame[14..27], b"brain.Event:2");
        assert_eq!(frame.len(), 8 + 4 + 15 + 4);
    }
}
