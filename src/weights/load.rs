//! Weights from the bytes of a file, in either of this program's formats.

use burn::tensor::Device;

use super::metadata::Metadata;
use super::{burnpack, safetensors};
use crate::error::{Error, Result};
use crate::network::Model;

/// What a file of weights, safetensors or burnpack, says of itself.
///
/// # Errors
/// Invalid data: neither safetensors nor burnpack, cut short, or from another program.
pub fn read_metadata(bytes: &[u8]) -> Result<Metadata> {
    let text = if is_burnpack(bytes) { burnpack::metadata(bytes) } else { safetensors::metadata(bytes) };
    let text = text?
        .ok_or_else(|| Error::invalid("does not say which network it is of: expected weights that tinderbox wrote"))?;
    Metadata::from_json(&text)
}

/// The model that a file's metadata describes, with the weights of the file, on a device.
///
/// # Errors
/// Invalid data: the file is cut short, or a tensor is missing, left over or of another shape.
pub fn load(metadata: &Metadata, bytes: Vec<u8>, device: &Device) -> Result<Model> {
    metadata.check_size(bytes.len())?;
    let fitted = load_bytes(metadata.model(device)?, bytes);
    fitted.map_err(|e| e.reword(|m| format!("these weights do not fit {}: {m}", metadata.recipe.network)))
}

/// `model` with the weights of a file of any precision: every tensor present, of the right shape, and none left over.
///
/// # Errors
/// Invalid data, naming the tensors that do not fit.
pub fn load_bytes(model: Model, bytes: Vec<u8>) -> Result<Model> {
    if is_burnpack(&bytes) { burnpack::read_into(model, bytes) } else { safetensors::read_into(model, bytes) }
}

fn is_burnpack(bytes: &[u8]) -> bool {
    bytes.starts_with(burnpack::MAGIC)
}

#[cfg(test)]
mod tests {
    use super::super::{to_burnpack, to_bytes, to_half_bytes};
    use super::*;
    use crate::data::ImageShape;
    use crate::recipe::Recipe;
    use ::safetensors::SafeTensors;
    use burn::module::Module;

    const SHAPE: ImageShape = ImageShape { channels: 1, height: 8, width: 8 };

    fn trained(layers: &str, seed: u64) -> (Metadata, Model) {
        let recipe = Recipe { network: layers.parse().unwrap(), seed, ..Recipe::preset("linear_v0-mse").unwrap() };
        let classes = ["a", "b", "c"].map(String::from);
        let model = recipe.model(SHAPE, 3, &Device::flex().autodiff()).unwrap().valid();
        (Metadata::new(&recipe, SHAPE, &classes), model)
    }

    const LAYERS: &str = "conv 4, norm, relu, residual [conv 4 bias off, norm], flatten, linear classes";

    #[test]
    fn weights_come_back_from_every_format_they_go_to() {
        let (metadata, model) = trained(LAYERS, 1);
        let plain = to_bytes(&model, "").unwrap();
        for format in [to_bytes, to_burnpack] {
            let bytes = format(&model, &metadata.to_json()).unwrap();
            assert_eq!(read_metadata(&bytes).unwrap(), metadata);
            let back = load(&metadata, bytes, &Device::flex()).unwrap();
            assert_eq!(to_bytes(&back, "").unwrap(), plain);
        }
        let half = to_half_bytes(&model, &metadata.to_json()).unwrap();
        assert!(load(&metadata, half, &Device::flex()).is_ok());
    }

    #[test]
    fn a_file_has_the_tensors_that_the_layers_say() {
        let (metadata, model) = trained(LAYERS, 1);
        let file = to_bytes(&model, "").unwrap();
        let file = SafeTensors::deserialize(&file).unwrap();
        let mut found: Vec<_> = file.tensors().into_iter().map(|(name, view)| (name, view.shape().to_vec())).collect();
        let network = metadata.network().unwrap();
        let mut expected: Vec<_> = network.tensors().map(|tensor| (tensor.name, tensor.dims)).collect();
        found.sort();
        expected.sort();
        assert_eq!(found, expected);
        assert!(found.iter().any(|(name, _)| name == "3.1.running_mean"), "{found:?}");
    }

    #[test]
    fn weights_of_another_network_are_refused_by_name() {
        let (metadata, _) = trained(LAYERS, 1);
        let (_, other) = trained("conv 4, norm, relu, flatten, linear classes", 1);
        let padded = [to_bytes(&other, "").unwrap(), vec![0; 8000]].concat();
        assert!(load(&metadata, padded, &Device::flex()).is_err(), "bytes behind the tensors");
        let error = load_bytes(trained(LAYERS, 2).1, to_bytes(&other, "").unwrap()).unwrap_err().to_string();
        assert!(error.contains("3.0.weight is missing") && error.contains("4.weight has no place"), "{error}");
        assert!(read_metadata(b"nonsense").is_err() && read_metadata(b"NRUBnonsense").is_err());
    }
}
