//! What a file of weights says of itself.

use burn::tensor::Device;
use serde::{Deserialize, Serialize};

use crate::data::{ImageShape, MAX_CLASSES, MAX_IMAGE_SIDE, Preprocessing};
use crate::error::{Error, Result};
use crate::network::{Model, Network};
use crate::recipe::Recipe;

/// The key under which a file keeps its [`Metadata`].
pub(super) const METADATA_KEY: &str = "tinderbox";

/// All that is needed to use weights, kept in their file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Metadata {
    /// What was trained, and how; its data set says whose pictures these are.
    pub recipe: Recipe,
    /// The shape of every image.
    pub shape: ImageShape,
    /// One name a class.
    pub classes: Vec<String>,
    /// How pictures are prepared for the network.
    pub preprocessing: Preprocessing,
    /// Bytes of an image times this are the network's input.
    pub pixel_scale: f64,
}

impl Metadata {
    /// The metadata of a model that was trained on images of this shape.
    pub fn new(recipe: &Recipe, shape: ImageShape, classes: &[String]) -> Self {
        Self {
            recipe: recipe.clone(),
            shape,
            classes: classes.to_vec(),
            preprocessing: recipe.dataset.preprocessing(),
            pixel_scale: 1.0 / 255.0,
        }
    }

    /// The metadata as the files keep it.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default() // plain data, which JSON always holds
    }

    /// Reads what [`to_json`](Self::to_json) wrote.
    ///
    /// # Errors
    /// Invalid data: it is of another program or version, or describes a network that cannot be.
    pub fn from_json(text: &str) -> Result<Self> {
        let metadata: Self = serde_json::from_str(text).map_err(|e| {
            let message = format!("does not say which network it is of, as this version reads it: {e}");
            Error::invalid(message).caused_by(e)
        })?;
        metadata.check()?;
        Ok(metadata)
    }

    /// Checks what was read from a file.
    ///
    /// # Errors
    /// Invalid data or usage: sizes that cannot be, or a network that does not fit them.
    pub fn check(&self) -> Result<()> {
        let ImageShape { channels, height, width } = self.shape;
        let classes = self.classes.len();
        let sides = [height, width].iter().all(|side| (1..=MAX_IMAGE_SIDE).contains(side));
        if !(1..=MAX_CLASSES).contains(&classes) || !matches!(channels, 1 | 3) || !sides {
            let message = format!("is of images of {} in {classes} classes, which cannot be", self.shape);
            return Err(Error::invalid(message));
        }
        self.recipe.validate()?;
        self.network().map(drop)
    }

    /// The network that the weights are of.
    ///
    /// # Errors
    /// Usage: its layers do not fit each other.
    pub fn network(&self) -> Result<Network> {
        self.recipe.network(self.shape, self.classes.len())
    }

    /// The network with fresh parameters, on a device.
    ///
    /// # Errors
    /// Usage: its layers do not fit each other.
    pub fn model(&self, device: &Device) -> Result<Model> {
        self.recipe.model(self.shape, self.classes.len(), device)
    }

    /// Checks that a file of `bytes` can hold the network's weights, before any are allocated.
    ///
    /// # Errors
    /// Invalid data: it is too small.
    pub fn check_size(&self, bytes: usize) -> Result<()> {
        // In half precision a weight has two bytes.
        if bytes as u64 >= 2 * self.network()?.values() {
            return Ok(());
        }
        Err(Error::invalid(format!("{bytes} bytes are too few for {}: the file is cut short", self.recipe.network)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata() -> Metadata {
        let classes: Vec<String> = (0..10).map(|c| c.to_string()).collect();
        let recipe = Recipe::preset("linear_v1-bn-ce").unwrap();
        Metadata::new(&recipe, ImageShape { channels: 1, height: 28, width: 28 }, &classes)
    }

    #[test]
    fn metadata_survives_json_and_says_how_pictures_are_prepared() {
        let metadata = metadata();
        assert_eq!(Metadata::from_json(&metadata.to_json()).unwrap(), metadata);
        assert_eq!(metadata.preprocessing, Preprocessing::Digit);
        assert_eq!(metadata.network().unwrap().values(), 109_770 + 2 * (128 + 64));
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for (from, to, words) in [
            ("\"channels\":1", "\"channels\":2", "which cannot be"),
            ("\"height\":28", "\"height\":0", "which cannot be"),
            ("\"epochs\":20", "\"epochs\":0", "epochs is 0"),
            ("\"dataset\":\"mnist\"", "\"dataset\":\"mnits\"", "Did you mean 'mnist'?"),
            ("\"name\":\"linear_v1\"", "\"name\":\"vgg11\"", "gets 512x1x1"),
            ("\"recipe\"", "\"other\"", "as this version reads it"),
        ] {
            let text = metadata().to_json().replacen(from, to, 1);
            let error = Metadata::from_json(&text).unwrap_err();
            assert!(error.to_string().contains(words), "{text}: {error}");
        }
        assert!(metadata().check_size(1000).unwrap_err().to_string().contains("too few for linear_v1"));
        metadata().check_size(4 * 110_154).unwrap();
    }
}
