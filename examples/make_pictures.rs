//! Makes a folder of pictures to train on, where there are no photographs at hand: circles, squares, stars and triangles, from
//! 100 to 500 pixels a side.
//!
//!     cargo run --release --example make_pictures -- photos 500
//!     cargo run --release -- train photos

#[path = "../tests/common/shapes.rs"]
mod shapes;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let folder = args.next().unwrap_or_else(|| "photos".into());
    let of_each: u64 = args.next().map_or(Ok(500), |text| text.parse())?;
    shapes::write(folder.as_ref(), of_each, [100.0, 500.0])?;
    println!("{of_each} pictures of each of {} are in {folder}/", shapes::SHAPES.join(", "));
    Ok(())
}
