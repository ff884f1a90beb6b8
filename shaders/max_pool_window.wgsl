// Maxima of windows that lie side by side.

struct Params {
    // Maps of all images, and their sides before and after.
    maps: u32,
    height: u32,
    width: u32,
    output_height: u32,
    output_width: u32,
    // Pixels a side of a window.
    size: u32,
    groups_in_row: u32,
}

// As in gather_batch.wgsl, bound to be written although it is only read.
@group(0) @binding(0) var<storage, read_write> x: array<f32>;

// Where the first maximum of the window is whose first pixel is there.
fn first_maximum(first: u32, size: u32, width: u32) -> u32 {
    var best = first;
    for (var row = 0u; row < size; row++) {
        for (var column = 0u; column < size; column++) {
            let at = first + row * width + column;
            if x[at] > x[best] {
                best = at;
            }
        }
    }
    return best;
}
