//! Somebody's own pictures as a data set: how large they become, and which of them are kept for testing. The same for a
//! folder on the disk and for pictures in a page.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use super::dataset::{Dataset, ImageShape, Label, MAX_CLASSES, Split};
use crate::error::{Error, Result};
use crate::random::shuffle;

/// Height and width that pictures are resized to where nothing else is said: those of CIFAR-10.
pub const PICTURE_SIDE: usize = 32;
/// One picture in this many is kept for testing.
const TEST_SHARE: usize = 5;
/// The seed of the splitting, so that it is the same in every run.
const SPLIT_SEED: u64 = 0;

/// Pictures, or where they are, each with its class.
pub type Labelled<T> = Vec<(T, Label)>;

/// Keeps one in five of the pictures of every class for testing, at least one where there are two; the first part is for
/// training. The pictures of a class lie one behind the other.
pub fn divide<T>(labelled: Labelled<T>) -> (Labelled<T>, Labelled<T>) {
    let mut rng = ChaCha8Rng::seed_from_u64(SPLIT_SEED);
    let (mut train, mut test) = (Vec::new(), Vec::new());
    let mut rest = labelled.into_iter().peekable();
    while let Some(first) = rest.next() {
        let label = first.1;
        let mut class = vec![first];
        class.extend(std::iter::from_fn(|| rest.next_if(|other| other.1 == label)));
        shuffle(&mut class, &mut rng);
        let kept = if class.len() < 2 { 0 } else { (class.len() / TEST_SHARE).max(1) };
        test.extend(class.drain(..kept));
        train.extend(class);
    }
    (train, test)
}

/// The shape of pictures: with colours if any of them has some.
pub fn shape_of(colour: bool) -> ImageShape {
    ImageShape { channels: if colour { 3 } else { 1 }, height: PICTURE_SIDE, width: PICTURE_SIDE }
}

/// A data set of pictures with red, green and blue planes of [`PICTURE_SIDE`] pixels a side and their classes, the pictures
/// of a class one behind the other. Where none has a colour, one plane is kept.
///
/// # Errors
/// Usage: there are fewer than two classes, a class with fewer than two pictures, or too many classes. Invalid data: a
/// picture of another size, or a label without a class.
pub fn dataset(pictures: Labelled<Vec<u8>>, classes: Vec<String>) -> Result<Dataset> {
    if !(2..=MAX_CLASSES).contains(&classes.len()) {
        let message = format!(
            "expected 2 to {MAX_CLASSES} classes, found {}: a network has something to tell apart",
            classes.len()
        );
        return Err(Error::usage(message));
    }
    let shape = shape_of(true);
    if let Some((picture, _)) = pictures.iter().find(|(picture, _)| picture.len() != shape.len()) {
        return Err(Error::invalid(format!(
            "expected pictures of {} bytes, found one of {}",
            shape.len(),
            picture.len()
        )));
    }
    for (label, class) in classes.iter().enumerate() {
        let found = pictures.iter().filter(|(_, of)| usize::from(*of) == label).count();
        if found < 2 {
            return Err(Error::usage(format!(
                "the class '{class}' has {found} pictures: it needs two or more, to train on and to test with"
            )));
        }
    }
    let plane = PICTURE_SIDE * PICTURE_SIDE;
    let is_grey = |(picture, _): &(Vec<u8>, Label)| {
        picture[..plane] == picture[plane..2 * plane] && picture[..plane] == picture[2 * plane..]
    };
    let shape = shape_of(!pictures.iter().all(is_grey));
    let (train, test) = divide(pictures);
    let split = |part: Labelled<Vec<u8>>| Split {
        labels: part.iter().map(|(_, label)| *label).collect(),
        pixels: part.into_iter().flat_map(|(picture, _)| picture.into_iter().take(shape.len())).collect(),
        shape,
    };
    Dataset::new(split(train), split(test), classes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pictures(classes: &[usize], colour: bool) -> Vec<(Vec<u8>, Label)> {
        let picture = |label: Label, i: usize| {
            let value = move |at: usize| label as u8 * 40 + i as u8 + u8::from(colour && at < 1024);
            ((0..3 * 1024).map(value).collect(), label)
        };
        (0..).zip(classes).flat_map(|(label, &n)| (0..n).map(move |i| picture(label, i))).collect()
    }

    fn names(n: usize) -> Vec<String> {
        (0..n).map(|i| format!("class {i}")).collect()
    }

    #[test]
    fn one_in_five_is_kept_for_testing_and_at_least_one_of_every_class() {
        let (train, test) = divide((0..10).map(|i| (i, 0)).chain([(10, 1), (11, 1), (12, 2)]).collect());
        let count = |part: &[(i32, Label)], label| part.iter().filter(|(_, of)| *of == label).count();
        assert_eq!([0, 1, 2].map(|label| (count(&train, label), count(&test, label))), [(8, 2), (1, 1), (1, 0)]);
        let mut all: Vec<i32> = train.iter().chain(&test).map(|(i, _)| *i).collect();
        all.sort_unstable();
        assert_eq!(all, (0..13).collect::<Vec<_>>());
    }

    #[test]
    fn pictures_without_a_colour_have_one_channel() {
        let data = dataset(pictures(&[10, 5], false), names(2)).unwrap();
        assert_eq!((data.shape(), data.train.len(), data.test.len()), (shape_of(false), 12, 3));
        assert!(
            data.train.pixels.len() == 12 * 1024
                && data.train.pixels.chunks(1024).all(|p| p.iter().all(|v| *v == p[0]))
        );
        assert_eq!(dataset(pictures(&[10, 5], true), names(2)).unwrap().shape(), shape_of(true));
    }

    #[test]
    fn what_is_missing_is_said() {
        for (pictures, classes, words) in [
            (pictures(&[5], true), 1, "expected 2 to 1024 classes, found 1"),
            (pictures(&[5, 1], true), 2, "the class 'class 1' has 1 pictures"),
            (vec![(vec![0; 7], 0)], 2, "expected pictures of 3072 bytes, found one of 7"),
        ] {
            let error = dataset(pictures, names(classes)).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }
}
