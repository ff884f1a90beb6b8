// The gradient of a convolution with respect to its weights, as conv_weights.wgsl computes it, by threads that share nothing; for
// whom, says conv_alone.wgsl.
//
// Each thread has eight output channels and eight input channels of one pixel of the kernel, in one slice of the batch's pixels.

@group(0) @binding(0) var<storage, read_write> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> dy: array<f32>;
// Of every slice [outputs, inputs, kernel, kernel].
@group(0) @binding(2) var<storage, read_write> slices: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

// The slice, and the pixel of the kernel.
var<private> slice: u32;
var<private> tap: u32;

fn put(row: u32, channel: u32, sum: f32) {
    if row < params.outputs && channel < params.inputs {
        slices[((slice * params.outputs + row) * params.inputs + channel) * params.kernel * params.kernel + tap] = sum;
    }
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let plane = params.output_height * params.output_width;
    let pixels = params.images * plane;
    let area = params.kernel * params.kernel;
    let row_tiles = (params.outputs + 7u) / 8u;
    let channel_tiles = (params.inputs + 7u) / 8u;
    let index = (group.y * params.groups_in_row + group.x) * 64u + thread;
    let first_row = index % row_tiles * 8u;
    tap = index / row_tiles % area;
    let first_channel = index / row_tiles / area % channel_tiles * 8u;
    slice = index / row_tiles / area / channel_tiles;
    let start = slice * params.slice;
    if start >= pixels {
        return;
    }
    let end = min(start + params.slice, pixels);
    let height = i32(params.input_height);
    let width = i32(params.input_width);
    let top = i32(tap / params.kernel) - i32(params.padding);
    let left = i32(tap % params.kernel) - i32(params.padding);
    let rows = places(first_row, params.outputs, plane);
    let channels = places(first_channel, params.inputs, params.input_height * params.input_width);
    let x_size = params.inputs * params.input_height * params.input_width;
    let y_size = params.outputs * plane;

    // Where the next pixel is: its image in x and in dy, and its row and column.
    var of_x = start / plane * x_size;
    var of_y = start / plane * y_size;
    var down = start % plane / params.output_width;
    var right = start % params.output_width;
    var sums: Sums;
    for (var k = start; k < end; k++) {
        let h = top + i32(down);
        let w = left + i32(right);
        let is_inside = h >= 0 && h < height && w >= 0 && w < width;
        let at = of_x + u32(select(0, h * width + w, is_inside));
        let out = of_y + down * params.output_width + right;
        let r = vec4(dy[rows.a.x + out], dy[rows.a.y + out], dy[rows.a.z + out], dy[rows.a.w + out]);
        let s = vec4(dy[rows.b.x + out], dy[rows.b.y + out], dy[rows.b.z + out], dy[rows.b.w + out]);
        let c = vec4(x[channels.a.x + at], x[channels.a.y + at], x[channels.a.z + at], x[channels.a.w + at]);
        let d = vec4(x[channels.b.x + at], x[channels.b.y + at], x[channels.b.z + at], x[channels.b.w + at]);
        let nothing = vec4(0.0);
        add_summand(&sums, r, s, select(nothing, c, is_inside), select(nothing, d, is_inside));

        right++;
        let is_row_done = right == params.output_width;
        right = select(right, 0u, is_row_done);
        down += select(0u, 1u, is_row_done);
        let is_plane_done = down == params.output_height;
        down = select(down, 0u, is_plane_done);
        of_x += select(0u, x_size, is_plane_done);
        of_y += select(0u, y_size, is_plane_done);
    }

    put_sums(&sums, first_row, first_channel);
}
