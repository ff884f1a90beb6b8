//! A picture in a window of its own.

use image::RgbImage;
use minifb::{Key, ScaleMode, Window, WindowOptions};

use crate::error::{Advice, Error, ErrorKind, Result};

/// Shows a picture until its window is closed, or Escape or Q is pressed.
///
/// # Errors
/// Device: there is no display to show it on.
pub fn show(title: &str, picture: &RgbImage) -> Result<()> {
    let unreachable = |e: minifb::Error| {
        Error::new(ErrorKind::Device, format!("no window can be opened ({e})")).advise(Advice::WriteToFile)
    };
    let (width, height) = (picture.width() as usize, picture.height() as usize);
    let options = WindowOptions { resize: true, scale_mode: ScaleMode::AspectRatioStretch, ..WindowOptions::default() };
    let mut window = Window::new(title, width, height, options).map_err(unreachable)?;
    window.set_target_fps(30);
    let buffer: Vec<u32> =
        picture.pixels().map(|p| u32::from(p.0[0]) << 16 | u32::from(p.0[1]) << 8 | u32::from(p.0[2])).collect();
    while window.is_open() && !window.is_key_down(Key::Escape) && !window.is_key_down(Key::Q) {
        window.update_with_buffer(&buffer, width, height).map_err(unreachable)?;
    }
    Ok(())
}
