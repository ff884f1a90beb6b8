//! A network while somebody puts it together: what every layer makes of the images, up to the first that does not fit.

use serde::Serialize;

use super::layers::{AnyLayer, Layer, Parameter};
use super::{Architecture, Network, Shape};
use crate::data::ImageShape;

/// A network that need not fit yet.
#[derive(Debug, Serialize)]
pub struct Draft {
    /// Its layers, from input to output.
    pub layers: Vec<DraftLayer>,
    /// What is wrong with the network although every layer fits; nothing where it can be trained, or where a layer says what is
    /// wrong.
    pub error: Option<String>,
}

/// A layer of a network that need not fit yet.
#[derive(Debug, Serialize)]
pub struct DraftLayer {
    /// The layer as text.
    pub text: String,
    /// What comes out for one image, such as `16x28x28`; nothing from the first layer on that does not fit.
    pub output: Option<String>,
    /// The number of trained values.
    pub parameters: u64,
    /// Whether the text is that of a layer.
    pub readable: bool,
    /// Why it cannot be read, or does not fit, and what would.
    pub error: Option<String>,
}

impl Draft {
    /// Places layers, given as text, one behind the other, for images of this shape and so many classes.
    pub fn new(layers: &[String], images: ImageShape, classes: usize) -> Self {
        let mut shape = Some(Shape::Maps(images));
        let layers: Vec<_> = layers.iter().enumerate().map(|(i, text)| place(i, text, classes, &mut shape)).collect();
        let all_fit = layers.iter().all(|layer| layer.error.is_none());
        let texts = layers.iter().map(|layer| layer.text.as_str()).collect::<Vec<_>>().join(", ");
        let whole =
            || texts.parse::<Architecture>().and_then(|architecture| Network::new(&architecture, images, classes));
        let error = if all_fit { whole().err().map(|e| e.to_string()) } else { None };
        Self { layers, error }
    }
}

/// One layer; `shape` is what comes in, and then what comes out, as far as that is known.
fn place(i: usize, text: &str, classes: usize, shape: &mut Option<Shape>) -> DraftLayer {
    let layer = text.parse::<Layer>();
    let readable = layer.is_ok();
    let mut draft = DraftLayer { text: text.into(), output: None, parameters: 0, readable, error: None };
    let placed = layer.and_then(|layer| {
        let layer = layer.with_classes(classes);
        let Some(input) = *shape else { return Ok(None) };
        let output = layer.place(i, input)?;
        let trained = layer.parameters(input).iter().filter(|tensor| tensor.trained).map(Parameter::len).sum();
        Ok(Some((output, trained)))
    });
    *shape = match placed {
        Ok(Some((output, parameters))) => {
            (draft.output, draft.parameters) = (Some(output.to_string()), parameters);
            Some(output)
        }
        Ok(None) => None,
        Err(e) => {
            draft.error = Some(e.to_string());
            None
        }
    };
    draft
}

#[cfg(test)]
mod tests {
    use super::*;

    const GREY: ImageShape = ImageShape { channels: 1, height: 28, width: 28 };

    fn draft(layers: &[&str]) -> Draft {
        Draft::new(&layers.iter().map(ToString::to_string).collect::<Vec<_>>(), GREY, 10)
    }

    #[test]
    fn every_layer_says_what_comes_out_and_what_it_learns() {
        let found = draft(&["conv 4", "norm", "pool max 2", "flatten", "linear classes"]);
        let rows: Vec<_> = found.layers.iter().map(|layer| (layer.output.as_deref(), layer.parameters)).collect();
        let expected = [("4x28x28", 40), ("4x28x28", 8), ("4x14x14", 0), ("784", 0), ("10", 7850)];
        assert_eq!(rows, expected.map(|(output, parameters)| (Some(output), parameters)));
        assert_eq!(found.error, None);
    }

    #[test]
    fn the_first_layer_that_does_not_fit_says_why_and_those_behind_it_wait() {
        let found = draft(&["conv 4", "linear 8", "relu"]);
        assert!(found.layers[1].error.as_ref().is_some_and(|e| e.contains("put `flatten` before it")), "{found:?}");
        assert!(found.layers[0].error.is_none() && found.layers[2].error.is_none() && found.layers[2].output.is_none());
        assert!(found.layers.iter().all(|layer| layer.readable), "{found:?}");
        let unread = draft(&["conw 4", "relux", "flatten"]);
        assert_eq!(unread.layers.iter().map(|layer| layer.readable).collect::<Vec<_>>(), [false, false, true]);
        assert!(
            unread.layers[..2].iter().all(|l| l.error.as_ref().is_some_and(|e| e.contains("Did you mean"))),
            "{unread:?}"
        );
        assert_eq!(unread.error, None, "what is wrong is said once");
    }

    #[test]
    fn a_network_whose_layers_fit_may_still_be_none() {
        for (layers, words) in [
            (&[][..], "at least one layer"),
            (&["flatten", "linear 7"], "end with `linear classes`"),
            (&["relu", "normalize", "flatten", "linear classes"], "has to see the images"),
        ] {
            let error = draft(layers).error.unwrap();
            assert!(error.contains(words), "{error}");
        }
    }
}
