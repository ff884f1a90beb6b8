//! From a device to the host, and back.

use burn::tensor::{Device, Tensor, TensorData};

use super::failure;
use crate::error::Result;

/// Waits for the device and brings a vector to the host.
///
/// # Errors
/// Device: the adapter failed or was lost.
pub async fn read(values: Tensor<1>) -> Result<Vec<f32>> {
    let data: TensorData = values.into_data_async().await.map_err(|e| failure::device(&e))?;
    data.convert::<f32>().try_into_vec().map_err(|e| failure::device(&e))
}

/// Brings values to a device, as a vector `[values]`.
pub fn write(values: Vec<f32>, device: &Device) -> Tensor<1> {
    let n = values.len();
    Tensor::from_data(TensorData::new(values, [n]), device)
}
