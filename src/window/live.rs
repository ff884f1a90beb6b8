//! A run in a window while it trains: curves, the batch at hand, test images with what the network says of them.
//!
//! The window belongs to the main thread, as some systems insist; the run tells it of its progress through a
//! [`Feed`], and neither waits for the other.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use minifb::{Key, ScaleMode, Window, WindowOptions};
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::compute::shaders::{Gpu, Layout, Source, Tile, TileGrid, draw_on_cpu};
use crate::data::{Dataset, Label, Split};
use crate::error::{Error, ErrorKind, Result};
use crate::report::plots::{Series, draw_lines, failed, use_font};
use crate::training::batches::DeviceSplit;
use crate::training::metrics::EpochMetrics;
use crate::training::{Event, Observer};

const WIDTH: u32 = 1000;
const HEIGHT: u32 = 640;
/// Height of the charts; the images are below.
const CHARTS: u32 = 380;
/// Pixels a side of an image, and images in a row.
const TILE: u32 = 70;
const GAP: u32 = 12;
const TILES: u32 = 12;
/// Drawing more often would take time from training on a CPU.
const REDRAW: Duration = Duration::from_millis(250);
/// More points than this do not show in a chart half the window wide.
const POINTS: usize = 400;

const GREEN_INK: RGBColor = RGBColor(0, 140, 80);
const RED_INK: RGBColor = RGBColor(200, 40, 20);
const GREY_INK: RGBColor = RGBColor(90, 90, 90);

/// What the window knows of the run.
#[derive(Clone, Default)]
struct State {
    headline: String,
    steps: usize,
    history: Vec<EpochMetrics>,
    /// (epoch, loss), one a step.
    losses: Vec<(f64, f64)>,
    /// Positions of the current batch in the train split.
    batch: Vec<i32>,
    /// The predicted class of every test image, after the last epoch.
    predictions: Vec<Label>,
    finished: bool,
    /// The run failed or was interrupted: there is nothing more to show.
    closing: bool,
    changed: bool,
    /// Where the images are on a GPU, they are drawn there.
    gpu: Option<Gpu>,
    pictures: Option<Arc<Pictures>>,
}

/// The images of both splits in the GPU's memory, and what draws them.
struct Pictures {
    grid: TileGrid,
    train: Source,
    test: Source,
}

impl Pictures {
    fn new(gpu: &Gpu, [train, test]: [&DeviceSplit; 2]) -> Option<Self> {
        let (train, test) = (train.source()?, test.source()?);
        Some(Self { grid: TileGrid::new(gpu, wgpu::TextureFormat::Rgba8Unorm), train, test })
    }
}

/// Tells the window; one clone goes to the run, one to [`show`].
#[derive(Clone, Default)]
pub struct Feed(Arc<Mutex<State>>);

impl Feed {
    /// A feed for a run on this GPU, or on none; `headline` says what is trained.
    pub fn new(gpu: Option<Gpu>, headline: String) -> Self {
        Self(Arc::new(Mutex::new(State { gpu, headline, ..State::default() })))
    }

    fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        // A drawing thread that panicked leaves the numbers as they were: they are still good.
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The run is over. The window of a run that went well stays; any other closes, so that its message is seen.
    pub fn finish(&self, well: bool) {
        self.with(|state| (state.finished, state.closing, state.changed) = (true, !well, true));
    }
}

impl Observer for Feed {
    fn notify(&mut self, event: &Event<'_>) -> Result<()> {
        self.with(|state| {
            match event {
                Event::Started { state: run, steps, splits } => {
                    state.pictures = state.gpu.as_ref().and_then(|gpu| Pictures::new(gpu, *splits)).map(Arc::new);
                    state.steps = *steps;
                    state.history.clone_from(&run.progress.history);
                }
                Event::Step { batch, .. } => {
                    state.batch.clear();
                    state.batch.extend(batch.iter().take(TILES as usize));
                }
                Event::Losses { first_step, losses } => {
                    let at = |i: usize| (first_step + i) as f64 / state.steps as f64;
                    state.losses.extend(losses.iter().enumerate().map(|(i, &loss)| (at(i), f64::from(loss))));
                }
                Event::Epoch { history, evaluation, .. } => {
                    state.history = history.to_vec();
                    state.predictions.clone_from(&evaluation.predictions);
                }
                Event::MidEpoch { .. } | Event::Interrupted { .. } | Event::Finished { .. } => {}
            }
            state.changed = true;
        });
        Ok(())
    }
}

/// Shows the run until the window is closed or Escape is pressed; a finished run stays on show.
///
/// # Errors
/// Device: there is no display. The run goes on without a window.
pub fn show(feed: &Feed, dataset: &Dataset) -> Result<()> {
    let unreachable = |e: minifb::Error| Error::new(ErrorKind::Device, format!("no window can be opened ({e})"));
    let options = WindowOptions { resize: true, scale_mode: ScaleMode::AspectRatioStretch, ..WindowOptions::default() };
    let mut window = Window::new("tinderbox", WIDTH as usize, HEIGHT as usize, options).map_err(unreachable)?;
    window.set_target_fps(30);
    let mut frame = vec![0xff_ffff; (WIDTH * HEIGHT) as usize];
    let mut drawn: Option<Instant> = None;
    while window.is_open() && !window.is_key_down(Key::Escape) && !window.is_key_down(Key::Q) {
        if feed.with(|state| state.closing) {
            break;
        }
        if drawn.is_none_or(|at| at.elapsed() >= REDRAW) && feed.with(|state| std::mem::take(&mut state.changed)) {
            let state = feed.with(|state| state.clone()); // the run need not wait for the drawing
            frame = draw(&state, dataset)?;
            drawn = Some(Instant::now());
        }
        window.update_with_buffer(&frame, WIDTH as usize, HEIGHT as usize).map_err(unreachable)?;
    }
    Ok(())
}

/// One frame, as 0RGB words.
fn draw(state: &State, dataset: &Dataset) -> Result<Vec<u32>> {
    use_font();
    let mut pixels = vec![0; (WIDTH * HEIGHT * 3) as usize];
    {
        let root = BitMapBackend::with_buffer(&mut pixels, (WIDTH, HEIGHT)).into_drawing_area();
        root.fill(&WHITE).map_err(failed)?;
        let (charts, images) = root.split_vertically(CHARTS);
        let halves = charts.split_evenly((1, 2));
        if let [left, right] = &halves[..] {
            let curve = |value: fn(&EpochMetrics) -> f64| -> Vec<(f64, f64)> {
                state.history.iter().map(|m| (m.epoch as f64, value(m))).collect()
            };
            let losses = [
                Series { name: "train, a step".into(), points: thin(&state.losses) },
                Series { name: "test, an epoch".into(), points: curve(|m| m.test_loss) },
            ];
            draw_lines(left, 1, "Loss", "loss", &losses).map_err(failed)?;
            let accuracy = [Series { name: "test".into(), points: curve(|m| m.test_accuracy) }];
            draw_lines(right, 1, "Test accuracy", "percent", &accuracy).map_err(failed)?;
        }
        let status = match (state.history.last(), state.finished) {
            (None, false) => "the first epoch is under way".to_string(),
            (None, true) => "there was nothing left to train".to_string(),
            (Some(m), done) => format!(
                "epoch {}{}: test accuracy {:.2} %, {:.1} s an epoch",
                m.epoch,
                if done { ", finished" } else { "" },
                m.test_accuracy,
                m.seconds
            ),
        };
        text(&images, &format!("{}: {status}", state.headline), 12, 4, &BLACK, 15)?;
        let batch: Vec<usize> = state.batch.iter().map(|&i| i as usize).collect();
        text(&images, "training on", 12, 30, &GREY_INK, 13)?;
        let on_gpu = |of: fn(&Pictures) -> &Source| state.pictures.as_ref().map(|p| (&p.grid, of(p)));
        let train = (&dataset.train, on_gpu(|p| &p.train));
        row(&images, 48, train, &batch, |label, _| (name_of(dataset, label), GREY_INK))?;
        text(&images, "test images and what the network says", 12, 146, &GREY_INK, 13)?;
        let shown: Vec<usize> = spread(dataset.test.len(), TILES as usize);
        let test = (&dataset.test, on_gpu(|p| &p.test));
        row(&images, 164, test, &shown, |label, i| match state.predictions.get(i) {
            None => (name_of(dataset, label), GREY_INK),
            Some(&said) => (name_of(dataset, said), if said == label { GREEN_INK } else { RED_INK }),
        })?;
        root.present().map_err(failed)?;
    }
    Ok(pixels.chunks_exact(3).map(|p| u32::from(p[0]) << 16 | u32::from(p[1]) << 8 | u32::from(p[2])).collect())
}

/// One row of images, each in a frame and above a word of one colour. Drawn on the GPU if the split is there.
fn row(
    area: &DrawingArea<BitMapBackend<'_>, Shift>,
    top: u32,
    (split, on_gpu): (&Split, Option<(&TileGrid, &Source)>),
    indices: &[usize],
    caption: impl Fn(Label, usize) -> (String, RGBColor),
) -> Result<()> {
    let labelled = indices.iter().filter_map(|&index| Some((index, caption(*split.labels.get(index)?, index))));
    let labelled: Vec<(usize, (String, RGBColor))> = labelled.collect();
    if labelled.is_empty() {
        return Ok(());
    }
    let tiles: Vec<Tile> = labelled
        .iter()
        .map(|&(index, (_, c))| Tile {
            image: index as u32,
            frame: u32::from(c.0) << 16 | u32::from(c.1) << 8 | u32::from(c.2),
        })
        .collect();
    let layout = Layout { columns: TILES, tile: TILE, gap: GAP, background: 0xff_ffff };
    let [width, height] = layout.size(tiles.len());
    let pixels = match on_gpu {
        Some((grid, source)) => grid.picture(source, &layout, &tiles),
        None => Some(draw_on_cpu(split, &layout, &tiles)),
    };
    let pixels = pixels.ok_or_else(|| failed("the device drew no images"))?;
    let bytes = pixels.iter().flat_map(|p| [(p >> 16) as u8, (p >> 8) as u8, *p as u8]).collect();
    let left = 12 - GAP as i32 / 2;
    let picture = BitMapElement::with_owned_buffer((left, top as i32 - GAP as i32 / 2), (width, height), bytes);
    area.draw(&picture.ok_or_else(|| failed("the images have another size"))?).map_err(failed)?;
    for (column, (_, (word, colour))) in labelled.into_iter().enumerate() {
        let x = 12 + (column as u32 * (TILE + GAP) + TILE / 2) as i32;
        let style = ("sans-serif", 13).into_font().color(&colour).pos(Pos::new(HPos::Center, VPos::Top));
        area.draw(&Text::new(word, (x, (top + TILE) as i32 + 5), style)).map_err(failed)?;
    }
    Ok(())
}

fn text(
    area: &DrawingArea<BitMapBackend<'_>, Shift>,
    words: &str,
    x: i32,
    y: i32,
    colour: &RGBColor,
    size: u32,
) -> Result<()> {
    let style = ("sans-serif", size).into_font().color(colour);
    area.draw(&Text::new(words.to_string(), (x, y), style)).map_err(failed)
}

fn name_of(dataset: &Dataset, class: Label) -> String {
    dataset.classes.get(usize::from(class)).cloned().unwrap_or_default()
}

/// At most `POINTS` means of neighbouring points.
fn thin(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let mean = |part: &[(f64, f64)]| {
        let n = part.len() as f64;
        (part.iter().map(|p| p.0).sum::<f64>() / n, part.iter().map(|p| p.1).sum::<f64>() / n)
    };
    points.chunks(points.len().div_ceil(POINTS).max(1)).map(mean).collect()
}

/// `count` positions spread evenly over `n`.
fn spread(n: usize, count: usize) -> Vec<usize> {
    (0..count.min(n)).map(|k| k * n / count.min(n)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::ImageShape;

    #[test]
    fn a_frame_is_drawn_at_every_stage() {
        let shape = ImageShape { channels: 3, height: 4, width: 4 };
        let split = Split { pixels: vec![200; 20 * 48].into(), labels: (0..20).map(|i| i % 2).collect(), shape };
        let dataset = Dataset::new(split.clone(), split, vec!["a".into(), "b".into()]).unwrap();
        let mut state = State::default();
        let empty = draw(&state, &dataset).unwrap();
        assert_eq!(empty.len(), (WIDTH * HEIGHT) as usize);
        state.batch = vec![3, 19];
        state.losses = (1..2000).map(|i| (f64::from(i) / 100.0, 1.0 / f64::from(i))).collect();
        state.predictions = vec![0; 20];
        let full = draw(&state, &dataset).unwrap();
        let count = |frame: &[u32], c: RGBColor| {
            let word = u32::from(c.0) << 16 | u32::from(c.1) << 8 | u32::from(c.2);
            frame.iter().filter(|&&p| p == word).count()
        };
        assert_eq!((count(&empty, GREEN_INK), count(&empty, RED_INK)), (0, 0));
        assert!(count(&full, GREEN_INK) > 1000 && count(&full, RED_INK) > 1000, "right and wrong are framed");
    }

    #[test]
    fn thinning_keeps_the_mean() {
        let points: Vec<(f64, f64)> = (0..1000).map(|i| (f64::from(i), 2.0)).collect();
        let thinned = thin(&points);
        assert!(thinned.len() <= POINTS && thinned.iter().all(|p| p.1 == 2.0));
        assert_eq!(thin(&[]), []);
        assert_eq!(spread(100, 4), [0, 25, 50, 75]);
        assert_eq!(spread(2, 4), [0, 1]);
    }
}
