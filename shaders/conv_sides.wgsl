// The sides of a convolution with stride 1.

struct Params {
    images: u32,
    inputs: u32,
    input_height: u32,
    input_width: u32,
    outputs: u32,
    output_height: u32,
    output_width: u32,
    kernel: u32,
    padding: u32,
    // In conv.wgsl 1 for the gradient: the weights are [inputs, outputs, kernel, kernel], to be turned around.
    turned: u32,
    // In conv_weights.wgsl the pixels in a slice, a multiple of DEPTH.
    slice: u32,
    groups_in_row: u32,
}
