//! Charts as SVG and PNG, drawn by the same code. Colours are those of Okabe and Ito, which colour-blind readers
//! tell apart.

use std::ops::Range;
use std::path::Path;
use std::sync::Once;

use image::{DynamicImage, ImageBuffer, RgbImage};
use plotters::coord::Shift;
use plotters::coord::ranged1d::{AsRangedCoord, ValueFormatter};
use plotters::prelude::*;
use plotters::style::{FontStyle, register_font};

use super::console::short;
use crate::error::{Error, ErrorKind, Result};
use crate::files::write_atomically;

/// Width and height of a chart.
pub const SIZE: (u32, u32) = (900, 480);
/// The bitmap is drawn larger and scaled down, for smooth lines.
const SUPERSAMPLING: u32 = 2;
const COLOURS: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(60, 60, 60),
];

/// A named line.
pub struct Series {
    /// In the legend.
    pub name: String,
    /// By x in epochs: at 1 the first is done.
    pub points: Vec<(f64, f64)>,
}

/// A chart, both ways.
pub struct Chart {
    /// Text of an SVG file.
    pub svg: String,
    /// Bytes of a PNG file.
    pub png: Vec<u8>,
}

impl Chart {
    /// Writes both forms into a folder, as `STEM.svg` and `STEM.png`.
    ///
    /// # Errors
    /// Io.
    pub fn write(&self, folder: &Path, stem: &str) -> Result<()> {
        write_atomically(&folder.join(format!("{stem}.svg")), self.svg.as_bytes())?;
        write_atomically(&folder.join(format!("{stem}.png")), &self.png)
    }
}

/// Makes the font known; every drawing function here calls it.
pub fn use_font() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // Fails only on a damaged font, and then the drawing that follows says so.
        let _ = register_font("sans-serif", FontStyle::Normal, include_bytes!("font/DejaVuSans-ascii.ttf"));
    });
}

/// Lines over epochs.
///
/// # Errors
/// Io: the drawing library failed.
pub fn lines(title: &str, y_label: &str, series: &[Series]) -> Result<Chart> {
    both(|root: &Area<'_, '_>| root.draw_lines(title, y_label, series))
}

/// A confusion matrix: `counts[label][prediction]`, shaded by the share of the row.
///
/// # Errors
/// Io: the drawing library failed.
pub fn confusion(title: &str, classes: &[String], counts: &[Vec<u64>]) -> Result<Chart> {
    both(|root: &Area<'_, '_>| root.draw_confusion(title, classes, counts))
}

/// Writes an image as PNG.
///
/// # Errors
/// Io: the encoder failed.
pub fn encode_png(image: &RgbImage) -> Result<Vec<u8>> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    image.write_to(&mut bytes, image::ImageFormat::Png).map_err(failed)?;
    Ok(bytes.into_inner())
}

/// An error of the drawing library.
pub fn failed(e: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Io, format!("a chart cannot be drawn: {e}"))
}

/// Where to draw, whatever it becomes, and by how much everything is enlarged.
enum Area<'a, 'b> {
    Svg(&'b DrawingArea<SVGBackend<'a>, Shift>),
    Bitmap(&'b DrawingArea<BitMapBackend<'a>, Shift>),
}

impl Area<'_, '_> {
    fn draw_lines(&self, title: &str, y_label: &str, series: &[Series]) -> Result<()> {
        match self {
            Self::Svg(root) => draw_lines(root, 1, title, y_label, series).map_err(failed),
            Self::Bitmap(root) => draw_lines(root, SUPERSAMPLING, title, y_label, series).map_err(failed),
        }
    }

    fn draw_confusion(&self, title: &str, classes: &[String], counts: &[Vec<u64>]) -> Result<()> {
        match self {
            Self::Svg(root) => draw_confusion(root, 1, title, classes, counts).map_err(failed),
            Self::Bitmap(root) => draw_confusion(root, SUPERSAMPLING, title, classes, counts).map_err(failed),
        }
    }
}

fn both(draw: impl Fn(&Area<'_, '_>) -> Result<()>) -> Result<Chart> {
    use_font();
    let mut svg = String::new();
    draw(&Area::Svg(&SVGBackend::with_string(&mut svg, SIZE).into_drawing_area()))?;
    let (width, height) = (SIZE.0 * SUPERSAMPLING, SIZE.1 * SUPERSAMPLING);
    let mut pixels = vec![0; (width * height * 3) as usize];
    draw(&Area::Bitmap(&BitMapBackend::with_buffer(&mut pixels, (width, height)).into_drawing_area()))?;
    let large = ImageBuffer::from_raw(width, height, pixels).ok_or_else(|| failed("the bitmap has another size"))?;
    let small = DynamicImage::ImageRgb8(large).thumbnail_exact(SIZE.0, SIZE.1);
    Ok(Chart { svg, png: encode_png(&small.into_rgb8())? })
}

type Drawn<B> = std::result::Result<(), DrawingAreaErrorKind<<B as DrawingBackend>::ErrorType>>;

/// Draws lines over epochs into an area, everything enlarged by `scale`; losses that span much get a logarithmic axis.
///
/// # Errors
/// What the drawing library says.
pub fn draw_lines<B: DrawingBackend>(
    root: &DrawingArea<B, Shift>,
    scale: u32,
    title: &str,
    y_label: &str,
    series: &[Series],
) -> Drawn<B> {
    let (x, y) = ranges(series);
    match positive_range(series) {
        // Losses of different kinds on one linear axis are a flat bundle at the bottom.
        Some(y) => draw_axes(root, scale, title, &format!("{y_label}, logarithmic"), series, x, y.log_scale(), &short),
        None => {
            let precision = match y.end - y.start {
                span if span > 20.0 => 0,
                span if span > 2.0 => 1,
                _ => 2,
            };
            let text = |value: f64| format!("{value:.precision$}");
            draw_axes(root, scale, title, y_label, series, x, y, &text)
        }
    }
}

#[allow(clippy::too_many_arguments)] // both kinds of axis are drawn with the same, once
fn draw_axes<B: DrawingBackend, Y>(
    root: &DrawingArea<B, Shift>,
    scale: u32,
    title: &str,
    y_label: &str,
    series: &[Series],
    x: Range<f64>,
    y: Y,
    y_text: &dyn Fn(f64) -> String,
) -> Drawn<B>
where
    Y: AsRangedCoord<Value = f64>,
    Y::CoordDescType: ValueFormatter<f64>,
{
    let font = |size: u32| ("sans-serif", size * scale).into_font();
    root.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(root)
        .caption(title, font(20).color(&BLACK))
        .margin(14 * scale)
        .x_label_area_size(44 * scale)
        .y_label_area_size(66 * scale)
        .build_cartesian_2d(x, y)?;
    chart
        .configure_mesh()
        .x_desc("epoch")
        .y_desc(y_label)
        .axis_desc_style(font(14))
        .label_style(font(13))
        .light_line_style(TRANSPARENT)
        .bold_line_style(RGBColor(225, 225, 225).stroke_width(scale))
        .axis_style(RGBColor(120, 120, 120).stroke_width(scale))
        .x_label_formatter(&|x| if x.fract() == 0.0 { format!("{x:.0}") } else { String::new() })
        .y_label_formatter(&|y| y_text(*y))
        .draw()?;
    for (i, line) in series.iter().enumerate() {
        let style = COLOURS[i % COLOURS.len()].stroke_width(2 * scale);
        let finite: Vec<(f64, f64)> = line.points.iter().copied().filter(|(_, y)| y.is_finite()).collect();
        if let [only] = finite[..] {
            chart.draw_series([Circle::new(only, 3 * scale, style.filled())])?;
        }
        chart
            .draw_series(LineSeries::new(finite, style))?
            .label(&line.name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 20 * scale as i32, y)], style));
    }
    chart
        .configure_series_labels()
        .position(if rises(series) { SeriesLabelPosition::LowerRight } else { SeriesLabelPosition::UpperRight })
        .margin(12 * scale)
        .legend_area_size(26 * scale)
        .label_font(font(13))
        .background_style(WHITE.mix(0.85))
        .border_style(RGBColor(200, 200, 200).stroke_width(scale))
        .draw()?;
    root.present()
}

/// What a logarithmic axis spans, where the values are positive and differ by more than a factor of 30.
fn positive_range(series: &[Series]) -> Option<Range<f64>> {
    let values = || series.iter().flat_map(|s| &s.points).map(|(_, y)| *y).filter(|y| y.is_finite());
    let (low, high) = (values().fold(f64::INFINITY, f64::min), values().fold(0.0, f64::max));
    (low > 0.0 && high > 30.0 * low).then_some(low / 1.2..high * 1.2)
}

/// What the axes span: all epochs, all values and a margin of a twentieth.
fn ranges(series: &[Series]) -> (Range<f64>, Range<f64>) {
    let points = || series.iter().flat_map(|s| &s.points).filter(|(_, y)| y.is_finite());
    let first = points().map(|(x, _)| *x).fold(1.0, f64::min);
    let last = points().map(|(x, _)| *x).fold(2.0, f64::max);
    let low = points().map(|(_, y)| *y).fold(f64::INFINITY, f64::min);
    let high = points().map(|(_, y)| *y).fold(f64::NEG_INFINITY, f64::max);
    if low > high {
        return (first..last, 0.0..1.0);
    }
    let margin = ((high - low) / 20.0).max(high.abs() * 1e-3).max(1e-9);
    (first..last, low - margin..high + margin)
}

/// Whether most lines end higher than they start, so that the legend has room below them.
fn rises(series: &[Series]) -> bool {
    let rising = series.iter().filter(|s| match (s.points.first(), s.points.last()) {
        (Some(first), Some(last)) => last.1 > first.1,
        _ => false,
    });
    2 * rising.count() > series.len()
}

fn draw_confusion<B: DrawingBackend>(
    root: &DrawingArea<B, Shift>,
    scale: u32,
    title: &str,
    classes: &[String],
    counts: &[Vec<u64>],
) -> Drawn<B> {
    use plotters::style::text_anchor::{HPos, Pos, VPos};
    let s = |value: f64| (value * f64::from(scale)) as i32;
    let text = |size: f64, colour: &RGBColor, h, v| {
        ("sans-serif", size * f64::from(scale)).into_font().color(colour).pos(Pos::new(h, v))
    };
    root.fill(&WHITE)?;
    root.draw(&Text::new(title.to_string(), (s(450.0), s(26.0)), text(20.0, &BLACK, HPos::Center, VPos::Center)))?;
    let (left, top, side) = (250.0, 52.0, 380.0 / classes.len().max(1) as f64);
    let small = (side * 0.36).min(13.0);
    // Of many classes only the pattern can be seen.
    let readable = side > 8.0;
    let gap = if readable { 1.0 } else { 0.0 };
    for (row, (class, counts)) in classes.iter().zip(counts).enumerate() {
        let total = counts.iter().sum::<u64>().max(1) as f64;
        let y = top + row as f64 * side;
        if readable {
            let label = text(small.max(8.0), &BLACK, HPos::Right, VPos::Center);
            root.draw(&Text::new(class.clone(), (s(left - 8.0), s(y + side / 2.0)), label))?;
        }
        for (column, &count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
            let (x, share) = (left + column as f64 * side, count as f64 / total);
            // The square root lets a handful of mistakes be seen beside a thousand hits.
            let colour = if row == column { COLOURS[0] } else { COLOURS[1] }.mix(share.sqrt());
            let end = |start: f64| (s(start + side) - s(gap)).max(s(start) + 1); // a pixel at least
            let corners = [(s(x), s(y)), (end(x), end(y))];
            root.draw(&Rectangle::new(corners, colour.filled()))?;
            if readable {
                let ink = if share > 0.3 { WHITE } else { BLACK };
                let style = text(small, &ink, HPos::Center, VPos::Center);
                root.draw(&Text::new(count.to_string(), (s(x + side / 2.0), s(y + side / 2.0)), style))?;
            }
        }
    }
    for (column, class) in classes.iter().enumerate().filter(|_| readable) {
        let style = text(small.max(8.0), &BLACK, HPos::Center, VPos::Top);
        root.draw(&Text::new(class.clone(), (s(left + (column as f64 + 0.5) * side), s(top + 386.0)), style))?;
    }
    let caption = text(14.0, &BLACK, HPos::Center, VPos::Center);
    root.draw(&Text::new("predicted", (s(left + 190.0), s(466.0)), caption.clone()))?;
    root.draw(&Text::new("label", (s(left - 110.0), s(top + 190.0)), caption))?;
    root.present()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chart_has_its_title_legend_and_a_png_of_its_size() {
        let series = [
            Series { name: "rising".into(), points: vec![(1.0, 0.5), (2.0, 0.9), (3.0, f64::NAN)] },
            Series { name: "one point".into(), points: vec![(1.0, 0.2)] },
        ];
        let chart = lines("Test accuracy", "percent", &series).unwrap();
        for text in ["<svg", "Test accuracy", "rising", "one point", "epoch"] {
            assert!(chart.svg.contains(text), "{text}");
        }
        let png = image::load_from_memory(&chart.png).unwrap().to_rgb8();
        assert_eq!(png.dimensions(), SIZE);
        assert!(png.pixels().any(|p| p.0 == [0, 114, 178]), "the first line is drawn in its colour");
    }

    #[test]
    fn no_data_and_flat_data_draw() {
        lines("empty", "y", &[]).unwrap();
        lines("flat", "y", &[Series { name: "a".into(), points: vec![(1.0, 3.0), (2.0, 3.0)] }]).unwrap();
        let nan = Series { name: "a".into(), points: vec![(1.0, f64::NAN)] };
        lines("nan", "y", &[nan]).unwrap();
        confusion("none", &[], &[]).unwrap();
        confusion("two", &["a".into(), "b".into()], &[vec![9, 1], vec![0, 0]]).unwrap();
        let many = |n: usize| confusion("many", &vec!["class".into(); n], &vec![vec![1; n]; n]).unwrap().svg;
        assert!(many(20).contains("class") && !many(60).contains("class"), "what cannot be read is not written");
    }
}
