//! The sizes of a convolution, and where its values lie.

/// A 3x3 convolution with stride 1 and padding 1 of images `[images, height, width, inputs]` to
/// `[images, height, width, outputs]`, both with their channels last in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    pub images: usize,
    pub height: usize,
    pub width: usize,
    pub inputs: usize,
    pub outputs: usize,
}

impl Sizes {
    /// Pixels of an image.
    pub fn pixels(&self) -> usize {
        self.height * self.width
    }

    /// Values of all images before the convolution.
    pub fn before(&self) -> usize {
        self.images * self.pixels() * self.inputs
    }

    /// Values of all images after the convolution.
    pub fn after(&self) -> usize {
        self.images * self.pixels() * self.outputs
    }

    /// The convolution that takes gradients back to the images.
    pub fn turned(self) -> Self {
        Self { inputs: self.outputs, outputs: self.inputs, ..self }
    }
}
