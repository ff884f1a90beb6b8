// The gradient of a convolution with stride 1 with respect to its weights, in slices of the batch's pixels that are to be added.
//
// An implicit product of matrices: a row is an output channel, a column a weight of the kernel of an input channel, and the
// summands are the pixels of the output. The twin is that of burn's `conv2d`.

@group(0) @binding(0) var<storage, read_write> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> dy: array<f32>;
// Of every slice [outputs, inputs, kernel, kernel].
@group(0) @binding(2) var<storage, read_write> slices: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

// Of every column of the tile the place of its channel in an image, and of its pixel in the kernel.
var<workgroup> taps: array<vec3<i32>, 64>;

// Where the slice of the workgroup begins.
var<private> slice_start: u32;

fn put(row: u32, column: u32, sum: f32) {
    let columns = params.inputs * params.kernel * params.kernel;
    if row < params.outputs && column < columns {
        slices[slice_start + row * columns + column] = sum;
    }
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let plane = params.output_height * params.output_width;
    let pixels = params.images * plane;
    let area = params.kernel * params.kernel;
    let columns = params.inputs * area;
    let row_tiles = (params.outputs + TILE - 1u) / TILE;
    let tiles = row_tiles * ((columns + TILE - 1u) / TILE);
    let index = group.y * params.groups_in_row + group.x;
    let slice = index / tiles;
    let start = slice * params.slice;
    if start >= pixels {
        return;
    }
    let end = min(start + params.slice, pixels);
    let tile = index % tiles;
    let first_row = (tile % row_tiles) * TILE;
    let first_column = (tile / row_tiles) * TILE;
    let height = i32(params.input_height);
    let width = i32(params.input_width);

    let tap = (first_column + thread) % area;
    let channel = (first_column + thread) / area;
    taps[thread] = vec3(
        i32(channel) * height * width,
        i32(tap / params.kernel) - i32(params.padding),
        i32(tap % params.kernel) - i32(params.padding),
    );
    workgroupBarrier();

    // Every thread loads one pixel of every fourth row and column.
    let own = thread % DEPTH;
    var sums: Sums;
    for (var first = start; first < end; first += DEPTH) {
        let pixel = first + own;
        let image = pixel / plane;
        let rest = pixel % plane;
        let top = i32(rest / params.output_width);
        let left = i32(rest % params.output_width);
        let of_image = i32(image * params.inputs) * height * width;
        for (var i = thread / DEPTH; i < TILE; i += TILE / DEPTH) {
            var gradient = 0.0;
            if first_row + i < params.outputs && pixel < end {
                gradient = dy[(image * params.outputs + first_row + i) * plane + rest];
            }
            rows_tile[own * TILE + i] = gradient;
            let place = taps[i];
            let h = top + place.y;
            let w = left + place.z;
            var value = 0.0;
            if first_column + i < columns && pixel < end && h >= 0 && h < height && w >= 0 && w < width {
                value = x[of_image + place.x + h * width + w];
            }
            columns_tile[own * TILE + i] = value;
        }
        add_products(&sums, thread);
    }

    slice_start = slice * params.outputs * columns;
    put_tile(&sums, first_row, first_column, thread);
}
