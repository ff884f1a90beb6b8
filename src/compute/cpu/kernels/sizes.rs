//! The sizes of a convolution, and where its values lie.

/// A convolution of images `[images, height, width, inputs]` to `[images, ..., outputs]`, both with their channels last in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    pub images: usize,
    /// Of an image before the convolution.
    pub height: usize,
    /// Of an image before the convolution.
    pub width: usize,
    pub inputs: usize,
    pub outputs: usize,
    pub kernel: Kernel,
}

/// A square of weights, the zeros around images, and how far it goes at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kernel {
    /// Pixels of a side, at least 1.
    pub side: usize,
    /// Zeros at each border, less than a side.
    pub padding: usize,
    /// Pixels from one place to the next, at least 1.
    pub stride: usize,
}

impl Kernel {
    /// Three pixels a side, at every pixel, and zeros so that images keep their size.
    pub const THREE: Self = Self { side: 3, padding: 1, stride: 1 };

    /// Weights for an input and an output.
    pub(crate) fn taps(self) -> usize {
        self.side * self.side
    }
}

impl Sizes {
    /// Pixels of an image before the convolution.
    pub fn pixels(&self) -> usize {
        self.height * self.width
    }

    /// Height and width of an image after the convolution; none where the kernel does not fit in.
    pub fn sides_after(&self) -> Option<[usize; 2]> {
        let Kernel { side, padding, stride } = self.kernel;
        let after = |before: usize| Some((before + 2 * padding).checked_sub(side)? / stride + 1);
        Some([after(self.height)?, after(self.width)?])
    }

    /// Pixels of an image after the convolution.
    pub(crate) fn pixels_after(&self) -> usize {
        self.sides_after().map_or(0, |[height, width]| height * width)
    }

    /// Values of all images before the convolution.
    pub fn before(&self) -> usize {
        self.images * self.pixels() * self.inputs
    }

    /// Values of all images after the convolution.
    pub fn after(&self) -> usize {
        self.images * self.pixels_after() * self.outputs
    }

    /// The convolution that takes gradients back to the images, where the stride is 1.
    pub fn turned(self) -> Self {
        let [height, width] = self.sides_after().unwrap_or_default();
        let Kernel { side, padding, stride } = self.kernel;
        let kernel = Kernel { side, padding: side - 1 - padding, stride };
        Self { height, width, inputs: self.outputs, outputs: self.inputs, kernel, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gradients_go_back_to_images_of_the_size_they_came_from() {
        for (side, padding) in [(3, 1), (2, 0), (2, 1), (5, 2), (5, 4), (1, 0)] {
            let kernel = Kernel { side, padding, stride: 1 };
            let sizes = Sizes { images: 2, height: 7, width: 9, inputs: 3, outputs: 4, kernel };
            assert_eq!((sizes.turned().turned(), sizes.turned().after()), (sizes, sizes.before()));
        }
    }
}
