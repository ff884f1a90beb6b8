//! A build without a GPU: the names of what runs on one, of types that have no value.

use std::ops::Range;

use burn::tensor::{Device, Int, Tensor};

use super::terms::{Dropout, Normalized, Place, Rule, Way};
use crate::compute::LossKind;
use crate::compute::cpu::Activation;
use crate::data::ImageShape;

/// A device that runs our shaders, of which there is none.
#[derive(Debug, Clone, Copy)]
pub enum Wgsl {}

#[allow(missing_docs)] // as where there are GPUs
impl Wgsl {
    pub fn of(_device: &Device) -> Option<Self> {
        None
    }

    pub fn evaluate(
        self,
        _results: Tensor<2>,
        _logits: Tensor<2>,
        _labels: Tensor<1, Int>,
        _start: usize,
        _loss: LossKind,
    ) -> Tensor<2> {
        match self {}
    }

    pub fn gather_batch(
        self,
        _pixels: Tensor<2, Int>,
        _labels: Tensor<1, Int>,
        _order: [Tensor<1, Int>; 2],
        _position: Tensor<1, Int>,
        _range: Range<usize>,
        _shape: ImageShape,
    ) -> (Tensor<4>, Tensor<1, Int>) {
        match self {}
    }

    pub fn dropout<const D: usize>(self, _x: Tensor<D>, _progress: Tensor<1, Int>, _dropout: Dropout) -> Tensor<D> {
        match self {}
    }
}

/// The buffers of a run on a GPU, of which there are none.
pub enum Resident {}

#[allow(missing_docs)] // as where there are GPUs
impl Resident {
    pub fn new(
        _values: &Tensor<1>,
        _moments: [&Tensor<1>; 2],
        _progress: &Tensor<1, Int>,
        _losses: &Tensor<1>,
        _places: Vec<Place>,
        _rule: Rule,
    ) -> Option<Self> {
        None
    }

    pub fn view<const D: usize>(&self, _place: &Place, _dims: [usize; D]) -> Tensor<D> {
        match *self {}
    }

    pub fn fill(&self, _tensors: Vec<Tensor<1>>) -> Option<()> {
        match *self {}
    }

    pub fn update(&self, _sources: Vec<Tensor<1>>) -> Option<()> {
        match *self {}
    }

    pub fn advance(&self, _loss: Tensor<1>, _batch: usize) -> Option<()> {
        match *self {}
    }

    pub fn place_at(&self, _position: usize, _step: usize, _epoch: usize) {
        match *self {}
    }

    pub fn set_factors(&self, _step: usize, _rows: &[[f32; 4]]) {
        match *self {}
    }
}

/// A GPU that draws, of which there is none.
#[derive(Clone)]
pub enum Gpu {}

impl Gpu {
    /// How many submissions were made.
    pub fn submissions(&self) -> Option<u64> {
        match *self {}
    }
}

/// Images in the memory of a GPU, of which there are none.
pub enum Source {}

#[allow(missing_docs)] // as where there are GPUs
impl Source {
    pub fn packed(_words: Tensor<2, Int>, _shape: ImageShape) -> Option<Self> {
        None
    }

    pub fn values(_values: Tensor<2>, _shape: ImageShape, _range: [f32; 2]) -> Option<Self> {
        None
    }
}

/// Nothing is on a GPU, to be written to.
pub fn write(_tensor: &Tensor<1, Int>, _numbers: &[i32]) {}

/// Nothing is on a GPU, to be written to.
pub fn write_values(_tensor: &Tensor<1>, _values: &[f32]) {}

/// None.
pub fn loss(_logits: &Tensor<2>, _labels: &Tensor<1, Int>, _kind: LossKind, _smoothing: f64) -> Option<Tensor<1>> {
    None
}

/// None.
pub fn convolve(_x: &Tensor<4>, _weights: &Tensor<4>, _padding: usize, _way: Way) -> Option<Tensor<4>> {
    None
}

/// None.
pub fn product(_x: &Tensor<2>, _weights: &Tensor<2>) -> Option<Tensor<2>> {
    None
}

/// None.
pub fn max_pool(_x: &Tensor<4>, _size: usize) -> Option<Tensor<4>> {
    None
}

/// None.
pub fn drop_out<const D: usize>(_x: &Tensor<D>, _progress: &Tensor<1, Int>, _dropout: Dropout) -> Option<Tensor<D>> {
    None
}

/// None.
pub fn norm_train(
    _x: &Tensor<4>,
    _affine: [&Tensor<1>; 2],
    _running: [Tensor<1>; 2],
    _numbers: (f64, f64),
    _activation: Activation,
) -> Option<Normalized> {
    None
}
