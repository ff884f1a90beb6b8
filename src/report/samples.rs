//! A grid of random images of a data set, each with its label.

use image::{ImageBuffer, RgbImage};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use super::plots::{failed, use_font};
use crate::data::Split;
use crate::data::picture::tile_of;
use crate::error::Result;
use crate::random::below;

/// Pixels a side of an image in the grid.
const TILE: u32 = 84;
/// Between tiles, and around the grid.
const GAP: u32 = 10;
/// Below a tile, for its label.
const LABEL: u32 = 20;

/// Draws `columns` x `rows` images of a split, picked by the seed, each above its class name.
///
/// # Errors
/// Io: the drawing library failed.
pub fn grid(split: &Split, classes: &[String], columns: u32, rows: u32, seed: u64) -> Result<RgbImage> {
    use_font();
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let (width, height) = (GAP + columns * (TILE + GAP), GAP + rows * (TILE + LABEL + GAP));
    let mut pixels = vec![0; (width * height * 3) as usize];
    let mut names = Vec::new();
    let mut tiles = Vec::new();
    for row in 0..rows {
        for column in 0..columns {
            let index = below(split.len(), &mut rng);
            let (x, y) = (GAP + column * (TILE + GAP), GAP + row * (TILE + LABEL + GAP));
            if let (Some(image), Some(&label)) = (split.image(index), split.labels.get(index)) {
                tiles.push((tile_of(image, split.shape, TILE), x, y));
                names.push((classes.get(usize::from(label)).cloned().unwrap_or_default(), x + TILE / 2, y + TILE + 4));
            }
        }
    }
    {
        let root = BitMapBackend::with_buffer(&mut pixels, (width, height)).into_drawing_area();
        root.fill(&RGBColor(250, 250, 250)).map_err(failed)?;
        for (name, x, y) in names {
            let style = ("sans-serif", 15).into_font().color(&BLACK).pos(Pos::new(HPos::Center, VPos::Top));
            root.draw(&Text::new(name, (x as i32, y as i32), style)).map_err(failed)?;
        }
        root.present().map_err(failed)?;
    }
    let mut grid: RgbImage = ImageBuffer::from_raw(width, height, pixels).ok_or_else(|| failed("wrong bitmap size"))?;
    for (tile, x, y) in tiles {
        image::imageops::replace(&mut grid, &tile, i64::from(x), i64::from(y));
    }
    Ok(grid)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::ImageShape;

    #[test]
    fn the_seed_picks_the_images() {
        let shape = ImageShape { channels: 3, height: 2, width: 2 };
        let split = Split { pixels: (0..240).collect(), labels: (0..20).map(|l| l % 10).collect(), shape };
        let classes: Vec<String> = (0..10).map(|c| format!("class {c}")).collect();
        let draw = |seed| grid(&split, &classes, 4, 3, seed).unwrap();
        assert_eq!(draw(1).dimensions(), (4 * 94 + 10, 3 * 114 + 10));
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
    }
}
