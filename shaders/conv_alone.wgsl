// A convolution as conv.wgsl computes it, bit for bit, by threads that share nothing: for a GPU that is imitated by a CPU, where a
// barrier and what it is for cost more than reading everything again.
//
// Each thread has eight output channels of one pixel in eight images, so that all of them are within the image, or in its padding.

@group(0) @binding(0) var<storage, read_write> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> weights: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

// The pixel of the output.
var<private> pixel: u32;

fn put(row: u32, image: u32, sum: f32) {
    if row < params.outputs && image < params.images {
        y[(image * params.outputs + row) * params.output_height * params.output_width + pixel] = sum;
    }
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let plane = params.output_height * params.output_width;
    let row_tiles = (params.outputs + 7u) / 8u;
    let index = (group.y * params.groups_in_row + group.x) * 64u + thread;
    pixel = index % plane;
    let first_row = (index / plane) % row_tiles * 8u;
    let first_image = index / plane / row_tiles * 8u;
    if first_image >= params.images {
        return;
    }
    let area = params.kernel * params.kernel;
    let summands = params.inputs * area;
    let top = i32(pixel / params.output_width) - i32(params.padding);
    let left = i32(pixel % params.output_width) - i32(params.padding);
    let height = i32(params.input_height);
    let width = i32(params.input_width);

    // The weights of a kernel lie in a row; for the gradient they are gone through from the last one on.
    let is_turned = params.turned == 1u;
    let rows = places(first_row, params.outputs, select(summands, area, is_turned));
    let of_channel = select(area, params.outputs * area, is_turned);
    let images = places(first_image, params.images, params.inputs * params.input_height * params.input_width);

    // Where the next summand is: its channel, and its pixel in the kernel. Counting without branches keeps the loop simple.
    var channel = 0i;
    var channel_weights = 0u;
    var down = 0i;
    var right = 0i;
    var sums: Sums;
    for (var k = 0u; k < summands; k++) {
        let h = top + down;
        let w = left + right;
        let is_inside = h >= 0 && h < height && w >= 0 && w < width;
        let at = u32(select(0, channel + h * width + w, is_inside));
        let tap = u32(down) * params.kernel + u32(right);
        let weight = channel_weights + select(tap, area - 1u - tap, is_turned);
        let r = vec4(weights[rows.a.x + weight], weights[rows.a.y + weight], weights[rows.a.z + weight], weights[rows.a.w + weight]);
        let s = vec4(weights[rows.b.x + weight], weights[rows.b.y + weight], weights[rows.b.z + weight], weights[rows.b.w + weight]);
        let c = vec4(x[images.a.x + at], x[images.a.y + at], x[images.a.z + at], x[images.a.w + at]);
        let d = vec4(x[images.b.x + at], x[images.b.y + at], x[images.b.z + at], x[images.b.w + at]);
        let nothing = vec4(0.0);
        add_summand(&sums, r, s, select(nothing, c, is_inside), select(nothing, d, is_inside));

        right++;
        let is_row_done = right == i32(params.kernel);
        right = select(right, 0, is_row_done);
        down += select(0, 1, is_row_done);
        let is_kernel_done = down == i32(params.kernel);
        down = select(down, 0, is_kernel_done);
        channel += select(0, height * width, is_kernel_done);
        channel_weights += select(0u, of_channel, is_kernel_done);
    }

    put_sums(&sums, first_row, first_image);
}
