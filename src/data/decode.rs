//! Picture files become a data set: decoded on all cores, resized, and, where they are many, kept as one
//! [packed](super::packed) file, so that they are decoded once and need not fit into memory.

use std::io::Cursor;

use tinderbox_kernels::threads;

use super::dataset::{Dataset, ImageShape, Label, Loaded, Split};
use super::listing::Listing;
use super::origin::Origin;
use super::packed::{self, Packing};
use super::picture::{coloured_on_paper, decode_image, middle, planes};
use super::pictures::Labelled;
use super::tree::Picture;
use crate::error::{Error, ErrorKind, Result};
use crate::notice::{Notice, Notices};

/// So many broken files are named; the rest is counted.
const NAMED: usize = 5;
/// So many files are read before they are decoded together.
const TOGETHER: usize = 64;
/// Pictures that take more bytes than this are packed into a file.
const PACKED_FROM: u64 = 64 << 20;

/// Decodes the pictures of a listing, or finds them decoded, with so many pixels a `side`. Files that are no image are left out,
/// and `notices` hears of them.
pub(super) fn load(listing: Listing<'_>, side: usize, notices: Notices<'_>) -> Result<Loaded> {
    let files = listing.train.len() + listing.test.len();
    let shape = ImageShape { channels: 3, height: side, width: side };
    let bytes = files as u64 * shape.len() as u64;
    let key = (bytes >= PACKED_FROM).then(|| packed::key(&listing, side));
    let done = |dataset| Ok(Loaded { dataset, origin: Origin::Folder(listing.from.into()) });
    let find = || key.as_deref().and_then(packed::open);
    let mut turn = None;
    let kept = find().or_else(|| {
        // Who has to decode takes the turn, and may find that another process has decoded meanwhile.
        turn = key.as_deref().and_then(|key| packed::turn(key, || notices(Notice::OthersDecode)));
        find()
    });
    if let Some((known, left_out)) = kept {
        tell_left_out(left_out.into_iter().map(Error::invalid).collect(), notices);
        return done(known);
    }
    let packing = match key.as_deref().map(|key| Packing::begin(key, bytes)).transpose() {
        Ok(packing) => packing,
        Err(why) => {
            notices(Notice::NotPacked(why));
            turn = None; // nobody else gains by waiting
            None
        }
    };
    let mut reading = Reading { shape, files, read: 0, colour: false, broken: Vec::new(), packing };
    let (train, test) = (reading.read(&listing.train, notices)?, reading.read(&listing.test, notices)?);
    let Reading { colour, broken, packing, .. } = reading;
    let (count, left_out) = (broken.len(), broken.iter().map(ToString::to_string).collect());
    // What the system refused once it may give the next time.
    let passes = broken.iter().any(|error| error.kind() == ErrorKind::Io);
    tell_left_out(broken, notices);
    check_counts([&train, &test], count, &listing)?;
    if let Some(packing) = packing {
        let labels = [train.labels, test.labels];
        let dataset = packing.finish(shape, colour, labels, listing.classes.clone(), left_out)?;
        drop(turn);
        match passes {
            true => packed::forget(key.as_deref().unwrap_or_default()),
            false => notices(Notice::Packed(files - count)),
        }
        return done(dataset);
    }
    let split = |Part { pixels, labels }: Part| match colour {
        true => Split { pixels: pixels.into(), labels, shape },
        false => {
            let grey = ImageShape { channels: 1, ..shape };
            let planes = pixels.chunks_exact(grey.len()).step_by(3);
            Split { pixels: planes.flatten().copied().collect(), labels, shape: grey }
        }
    };
    let dataset = Dataset::new(split(train), split(test), listing.classes.clone());
    done(dataset.map_err(|e| e.in_file(listing.from))?)
}

/// Makes sure that there are pictures to train on and to test with, where so many files could not be read.
fn check_counts([train, test]: [&Part; 2], unread: usize, listing: &Listing<'_>) -> Result<()> {
    if !train.labels.is_empty() && !test.labels.is_empty() {
        return Ok(());
    }
    let message = format!(
        "{} train and {} test images could be read, {unread} files could not: {}",
        train.labels.len(),
        test.labels.len(),
        listing.wanted
    );
    Err(Error::invalid_file(listing.from, message))
}

/// Names files that were left out.
fn tell_left_out(broken: Vec<Error>, notices: Notices<'_>) {
    let more = broken.len().saturating_sub(NAMED);
    broken.into_iter().take(NAMED).for_each(|error| notices(Notice::LeftOut(error)));
    if more > 0 {
        notices(Notice::LeftOutMore(more));
    }
}

/// Pictures that are being decoded.
struct Reading {
    shape: ImageShape,
    files: usize,
    read: usize,
    colour: bool,
    broken: Vec<Error>,
    packing: Option<Packing>,
}

/// What was read of a part of a data set; the pixels are in the file, where there is one.
#[derive(Default)]
struct Part {
    pixels: Vec<u8>,
    labels: Vec<Label>,
}

impl Reading {
    /// Decodes the pictures of a part.
    fn read(&mut self, pictures: &Labelled<Picture>, notices: Notices<'_>) -> Result<Part> {
        let mut part = Part::default();
        for pictures in pictures.chunks(TOGETHER) {
            for (decoded, label) in decode(pictures, self.shape) {
                let (pixels, has_colour) = match decoded {
                    Ok(decoded) => decoded,
                    Err(e) => {
                        self.broken.push(e);
                        continue;
                    }
                };
                self.colour |= has_colour;
                part.labels.push(label);
                match &mut self.packing {
                    Some(packing) => packing.push(&pixels)?,
                    None => part.pixels.extend(pixels),
                }
            }
            self.read += pictures.len();
            if self.files > TOGETHER {
                notices(Notice::Decoding { done: self.read, files: self.files });
            }
        }
        Ok(part)
    }
}

/// What becomes of a picture file: the planes of red, green and blue, and whether it had a colour.
type Decoded = Result<(Vec<u8>, bool)>;

/// Reads some files one after the other, and decodes them on all cores.
fn decode(pictures: &[(Picture, Label)], shape: ImageShape) -> Vec<(Decoded, Label)> {
    let read = |(picture, label): &(Picture, Label)| (picture.read(), picture.path().to_path_buf(), *label);
    threads::map(pictures.iter().map(read).collect(), |(bytes, path, label)| {
        let decoded = bytes.and_then(|bytes| decode_image(Cursor::new(bytes), &path)).map(|image| {
            let has_colour = image.color().has_color();
            (planes(&middle(coloured_on_paper(&image).into(), shape).to_rgb8()), has_colour)
        });
        (decoded, label)
    })
}
