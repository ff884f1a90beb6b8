// A convolution with stride 1, or its gradient with respect to the images, which is a convolution with the kernel turned around.
//
// An implicit product of matrices: a row is an output channel, a column a pixel of the output, and the summands are all
// pixels of the kernel in all input channels. Nothing of it is laid out in memory. The twin is `conv2d` of burn.

// As in gather_batch.wgsl, bound to be written although most are only read.
@group(0) @binding(0) var<storage, read_write> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> weights: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

fn put(row: u32, column: u32, sum: f32) {
    let plane = params.output_height * params.output_width;
    let image = column / plane;
    if row < params.outputs && image < params.images {
        y[(image * params.outputs + row) * plane + column % plane] = sum;
    }
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let plane = params.output_height * params.output_width;
    let pixels = params.images * plane;
    let row_tiles = (params.outputs + TILE - 1u) / TILE;
    let tile = group.y * params.groups_in_row + group.x;
    if tile >= row_tiles * ((pixels + TILE - 1u) / TILE) {
        return;
    }
    let first_row = (tile % row_tiles) * TILE;
    let first_column = (tile / row_tiles) * TILE;
    let area = params.kernel * params.kernel;
    let summands = params.inputs * area;

    // Every thread loads a column of pixels, and of every fourth row one weight.
    let column = first_column + thread;
    let image = column / plane;
    let top = i32((column % plane) / params.output_width) - i32(params.padding);
    let left = i32(column % params.output_width) - i32(params.padding);
    let height = i32(params.input_height);
    let width = i32(params.input_width);
    let input_plane = params.input_height * params.input_width;
    let own = thread % DEPTH;
    // Where the next summand of the column is: its channel, and its pixel in the kernel.
    var channel = image * params.inputs * input_plane;
    var down = 0i;
    var right = 0i;

    var sums: Sums;
    for (var first = 0u; first < summands; first += DEPTH) {
        let summand = first + own;
        var at = summand;
        var step = summands;
        if params.turned == 1u {
            at = (summand / area) * params.outputs * area + area - 1u - summand % area;
            step = area;
        }
        for (var i = thread / DEPTH; i < TILE; i += TILE / DEPTH) {
            let row = first_row + i;
            var value = 0.0;
            if row < params.outputs && summand < summands {
                value = weights[at + row * step];
            }
            rows_tile[own * TILE + i] = value;
        }
        for (var k = 0u; k < DEPTH; k++) {
            let h = top + down;
            let w = left + right;
            var value = 0.0;
            if column < pixels && first + k < summands && h >= 0 && h < height && w >= 0 && w < width {
                value = x[channel + u32(h) * params.input_width + u32(w)];
            }
            columns_tile[k * TILE + thread] = value;
            right++;
            if right == i32(params.kernel) {
                right = 0;
                down++;
                if down == i32(params.kernel) {
                    down = 0;
                    channel += input_plane;
                }
            }
        }
        add_products(&sums, thread);
    }

    put_tile(&sums, first_row, first_column, thread);
}
