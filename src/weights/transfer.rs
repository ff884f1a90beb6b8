//! Weights of another network as a beginning: those of its first layers, as far as they are the same.

use ::safetensors::SafeTensors;
use ::safetensors::tensor::TensorView;
use burn::module::Module;

use super::load::load_bytes;
use super::safetensors::to_bytes;
use crate::error::{Error, Result};
use crate::network::Model;

/// `model` with the weights of its first layers taken from a safetensors file, as far as the tensors of a layer have the same
/// names, sides and precision there; and how many layers with weights that are.
///
/// # Errors
/// Invalid data: the bytes are no safetensors file. Usage: not even the first layer with weights is the same.
pub fn transfer(model: Model, bytes: &[u8]) -> Result<(Model, usize)> {
    let invalid = |e: ::safetensors::SafeTensorError| {
        Error::invalid(format!("is no safetensors file, or is cut short: {e}")).caused_by(e)
    };
    let own = to_bytes(&model.valid(), "")?;
    let (own, other) =
        (SafeTensors::deserialize(&own).map_err(invalid)?, SafeTensors::deserialize(bytes).map_err(invalid)?);
    let layer = |name: &str| name.split('.').next().and_then(|number| number.parse::<usize>().ok());
    let mut layers: Vec<usize> = own.names().into_iter().filter_map(layer).collect();
    layers.sort_unstable();
    layers.dedup();
    let names = own.names();
    let of_layer = |at: usize| names.iter().filter(move |name| layer(name) == Some(at));
    // Why a tensor cannot be taken; none where it can.
    let differs = |name: &str| -> Option<String> {
        let mine = own.tensor(name).ok()?;
        let Ok(theirs) = other.tensor(name) else { return Some(format!("it has no tensor '{name}'")) };
        let sides = (mine.shape(), theirs.shape());
        (sides.0 != sides.1 || mine.dtype() != theirs.dtype()).then(|| {
            let (theirs, mine) = (theirs.dtype(), mine.dtype());
            format!("'{name}' is {:?} of {theirs:?} there, and {:?} of {mine:?} here", sides.1, sides.0)
        })
    };
    let mut taken = Vec::new();
    for &at in &layers {
        if let Some(why) = of_layer(at).find_map(|name| differs(name)) {
            if taken.is_empty() {
                let message = format!("no layer of these weights fits: layer {} is another one; {why}", at + 1);
                return Err(Error::usage(message));
            }
            break;
        }
        taken.push(at);
    }
    let from = |name: &str| if layer(name).is_some_and(|at| taken.contains(&at)) { &other } else { &own };
    let tensors: Vec<(&str, TensorView<'_>)> =
        names.iter().filter_map(|name| Some((*name, from(name).tensor(name).ok()?))).collect();
    let joined = ::safetensors::serialize(tensors, None).map_err(invalid)?;
    Ok((load_bytes(model, joined)?, taken.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::ImageShape;
    use crate::network::{Network, Precision};
    use burn::tensor::Device;

    const SHAPE: ImageShape = ImageShape { channels: 1, height: 8, width: 8 };

    fn model(layers: &str, classes: usize, seed: u64) -> Model {
        let network = Network::new(&layers.parse().unwrap(), SHAPE, classes).unwrap();
        network.build(seed, Precision::F32, &Device::flex().autodiff())
    }

    #[test]
    fn the_first_layers_that_are_the_same_are_taken() {
        const LAYERS: &str = "conv 4, norm, relu, residual [conv 4], flatten, linear classes";
        let other = to_bytes(&model(LAYERS, 3, 1).valid(), "").unwrap();
        let values =
            |bytes: &[u8], name: &str| SafeTensors::deserialize(bytes).unwrap().tensor(name).unwrap().data().to_vec();
        // The last layer is for other classes.
        let fresh = to_bytes(&model(LAYERS, 5, 2).valid(), "").unwrap();
        let (found, layers) = transfer(model(LAYERS, 5, 2), &other).unwrap();
        let found = to_bytes(&found.valid(), "").unwrap();
        assert_eq!(layers, 3);
        for name in ["0.weight", "0.bias", "1.running_var", "3.0.weight"] {
            assert_eq!(values(&found, name), values(&other, name), "{name}");
        }
        assert_eq!(values(&found, "5.weight"), values(&fresh, "5.weight"));
        let (_, layers) = transfer(model("conv 4, conv 5, flatten, linear classes", 3, 2), &other).unwrap();
        assert_eq!(layers, 1);
        let error = transfer(model("conv 6, flatten, linear classes", 3, 2), &other).unwrap_err();
        assert!(error.exit_code() == 2 && error.to_string().contains("layer 1 is another one"), "{error}");
        assert!(transfer(model(LAYERS, 3, 2), &other[..100]).is_err());
    }
}
