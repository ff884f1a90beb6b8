//! A grid of images as tiles: how it is laid out, and how the host draws it where there is no GPU.

use crate::data::{ImageShape, Split};

/// How a grid is laid out; colours are 0xRRGGBB.
#[derive(Debug, Clone, Copy)]
pub struct Layout {
    /// Tiles in a row.
    pub columns: u32,
    /// Pixels a side of a tile.
    pub tile: u32,
    /// Pixels between two tiles; the frame of a tile takes a quarter of it.
    pub gap: u32,
    /// What is behind the tiles.
    pub background: u32,
}

impl Layout {
    /// Width and height in pixels of a grid of `tiles`.
    pub fn size(&self, tiles: usize) -> [u32; 2] {
        let pitch = self.tile + self.gap;
        [self.columns * pitch, (tiles as u32).div_ceil(self.columns) * pitch]
    }
}

/// A tile: which image it shows, and the colour of its frame, 0xRRGGBB.
#[derive(Debug, Clone, Copy)]
pub struct Tile {
    /// The position of the image in the [`Source`](super::Source).
    pub image: u32,
    /// 0xRRGGBB.
    pub frame: u32,
}

/// Draws the grid from the host's memory, where there is no GPU: pixels 0xRRGGBB, row by row.
pub fn draw_on_cpu(split: &Split, layout: &Layout, tiles: &[Tile]) -> Vec<u32> {
    let ImageShape { channels, height, width } = split.shape;
    let [columns, rows] = layout.size(tiles.len());
    let (pitch, side, frame) = (layout.tile + layout.gap, layout.tile as i32, (layout.gap / 4) as i32);
    let pixel = |place: usize| {
        let (x, y) = (place as u32 % columns, place as u32 / columns);
        let Some(tile) = tiles.get((y / pitch * layout.columns + x / pitch) as usize) else { return layout.background };
        let within = [x % pitch, y % pitch].map(|n| n as i32 - (layout.gap / 2) as i32);
        if within.iter().any(|&n| n < -frame || n >= side + frame) {
            return layout.background;
        }
        let [Ok(x), Ok(y)] = within.map(u32::try_from) else { return tile.frame };
        let (true, Some(image)) = (x.max(y) < layout.tile, split.image(tile.image as usize)) else { return tile.frame };
        let at = |n: u32, of: usize| (n as usize * of) / layout.tile as usize;
        let value = |channel: usize| u32::from(image[(channel * height + at(y, height)) * width + at(x, width)]);
        let (last, middle) = (channels - 1, channels / 2);
        value(0) << 16 | value(middle) << 8 | value(last)
    };
    (0..(columns * rows) as usize).map(pixel).collect()
}
