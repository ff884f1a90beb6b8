//! Pictures, and sets of them.

use std::fs;
use std::io::Write;

use tinderbox::data::picture::{open_image, to_model_input};
use tinderbox::data::{Identity, ImageShape, Preprocessing, load};
use tinderbox::notice::silent;

use super::{DIGIT, Target, capped};

pub fn pictures() -> Target {
    let image = image::RgbImage::from_fn(24, 18, |x, y| image::Rgb([x as u8 * 9, y as u8 * 11, 77]));
    let formats =
        [image::ImageFormat::Png, image::ImageFormat::Jpeg, image::ImageFormat::WebP, image::ImageFormat::Bmp];
    let seeds = formats.map(|format| {
        let mut bytes = std::io::Cursor::new(Vec::new());
        image.write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    });
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("picture");
    Target::new(seeds.to_vec(), move |bytes| {
        let _keep = &dir;
        fs::write(&path, bytes).unwrap();
        let colour = ImageShape { channels: 3, height: 8, width: 8 };
        // Decoding, a copy in another format, and a margin.
        match capped(3 * (256 << 20), || open_image(&path)) {
            Ok(image) if u64::from(image.width()) * u64::from(image.height()) < 1 << 20 => {
                assert_eq!(
                    to_model_input(&image, colour, Preprocessing::Picture).map(|pixels| pixels.len()).ok(),
                    Some(colour.len())
                );
                match to_model_input(&image, DIGIT, Preprocessing::Digit) {
                    Ok(pixels) => assert_eq!(pixels.len(), DIGIT.len()),
                    Err(e) => assert!(e.to_string().contains("no digit"), "{e}"),
                }
            }
            Ok(_) => {}
            Err(e) => assert!(e.to_string().contains("picture"), "{e}"),
        }
    })
}

/// A CSV file of pictures, of which none is there.
pub fn picture_lists() -> Target {
    let seeds = ["path,label\na.png,x\n\"b, c.png\",y,test\n", "a.png,x\nb.png,y\n"];
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("list.csv");
    Target::new(seeds.map(|text| text.as_bytes().to_vec()).to_vec(), move |bytes| {
        let _keep = &dir;
        fs::write(&path, bytes).unwrap();
        let cap = 2000 * bytes.len() + (1 << 20);
        let error = capped(cap, || load(&Identity::Csv(path.clone()), None, &mut silent)).err().unwrap();
        assert!(error.to_string().contains("list.csv"), "{error}");
    })
}

/// Decoded pictures in one file, as the cache keeps them.
pub fn packed_pictures() -> Target {
    let description = br#"{"shape":{"channels":1,"height":2,"width":2},"train":[0,1],"test":[1],"classes":["a","b"]}"#;
    let end = [&description.len().to_le_bytes()[..], b"TBPIXEL1"].concat();
    let seed = [&[7; 12][..], description, &end].concat();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("some.pixels");
    Target::new(vec![seed], move |bytes| {
        let _keep = &dir;
        fs::write(&path, bytes).unwrap();
        match capped(64 * bytes.len() + (1 << 16), || tinderbox::data::packed::read(&path)) {
            Ok(dataset) => {
                let images = dataset.train.len() + dataset.test.len();
                assert!(images * dataset.shape().len() <= bytes.len());
            }
            Err(e) => assert!(e.to_string().contains("some.pixels"), "{e}"),
        }
    })
}

/// Two pictures of each of two classes, stored and packed.
pub fn zipped_pictures() -> Target {
    let picture = |value: u8| {
        let image = image::RgbImage::from_pixel(9, 7, image::Rgb([value, 3, 200]));
        let mut bytes = std::io::Cursor::new(Vec::new());
        image.write_to(&mut bytes, image::ImageFormat::Bmp).unwrap();
        bytes.into_inner()
    };
    let seeds = [zip::CompressionMethod::Stored, zip::CompressionMethod::Deflated].map(|method| {
        let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
        let options = zip::write::SimpleFileOptions::default().compression_method(method);
        for (i, name) in ["all/a/1.bmp", "all/a/2.bmp", "all/b/1.bmp", "all/b/2.bmp"].into_iter().enumerate() {
            writer.start_file(name, options).unwrap();
            writer.write_all(&picture(40 * i as u8)).unwrap();
        }
        writer.finish().unwrap().into_inner()
    });
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("pictures.zip");
    Target::new(seeds.to_vec(), move |bytes| {
        let _keep = &dir;
        fs::write(&path, bytes).unwrap();
        // What is packed may become a thousand times as large, once more while a vector grows; and pictures as above.
        let cap = 2 * 1100 * bytes.len() + 3 * (256 << 20);
        match capped(cap, || load(&Identity::Folder(path.clone()), None, &mut silent)) {
            Ok(loaded) => {
                assert!((2..=4).contains(&loaded.dataset.classes.len())); // names may have been damaged
                assert!(loaded.dataset.train.len() + loaded.dataset.test.len() <= 4);
            }
            Err(e) => assert!(e.to_string().contains("pictures.zip"), "{e}"),
        }
    })
}
