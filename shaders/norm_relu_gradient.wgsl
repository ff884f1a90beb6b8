// Gradient of batch normalization and ReLU, second half.

// Where values lie: `[images, channels, plane]`, gone through channel by channel, each in as many slices as workgroups.
struct Params {
    images: u32,
    channels: u32,
    plane: u32,
    slices: u32,
    epsilon: f32,
    momentum: f32,
}

@group(0) @binding(0) var<storage, read_write> x: array<f32>;
// The gradient of what came out.
@group(0) @binding(1) var<storage, read_write> dy: array<f32>;
// Of every channel: mean, inverse deviation, scale and offset, each from a multiple of 64 values on.
@group(0) @binding(2) var<storage, read_write> statistics: array<f32>;
@group(0) @binding(3) var<storage, read_write> sums: array<vec2<f32>>;
@group(0) @binding(4) var<storage, read_write> dx: array<f32>;
// Of the scale and of the offset, each from a multiple of 64 values on.
@group(0) @binding(5) var<storage, read_write> affine: array<f32>;
@group(0) @binding(6) var<uniform> params: Params;

// The slice's part of the channel's values: its first, and the one behind its last.
fn part(slice: u32) -> vec2<u32> {
    let all = params.images * params.plane;
    let size = (all + params.slices - 1u) / params.slices;
    return vec2(min(slice * size, all), min((slice + 1u) * size, all));
}

// Where the channel's value number `i` lies.
fn place(channel: u32, i: u32) -> u32 {
    let image = i / params.plane;
    return (image * params.channels + channel) * params.plane + (i - image * params.plane);
}

// The normalized value, and the gradient where ReLU let it pass.
fn passed(channel: u32, at: u32) -> vec2<f32> {
    let stride = (params.channels + 63u) / 64u * 64u;
    let normalized = (x[at] - statistics[channel]) * statistics[stride + channel];
    let before = normalized * statistics[2u * stride + channel] + statistics[3u * stride + channel];
    return vec2(normalized, select(dy[at], 0.0, before <= 0.0));
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let c = group.y;
    var total = vec2(0.0, 0.0);
    for (var s = 0u; s < params.slices; s++) {
        total += sums[c * params.slices + s];
    }
    let stride = (params.channels + 63u) / 64u * 64u;
    if group.x == 0u && thread == 0u {
        affine[c] = total.y;
        affine[stride + c] = total.x;
    }
    let mean = total / f32(params.images * params.plane);
    let scale = statistics[2u * stride + c] * statistics[stride + c];
    let range = part(group.x);
    for (var i = range.x + thread; i < range.y; i += 256u) {
        let at = place(c, i);
        let here = passed(c, at);
        dx[at] = scale * (here.y - mean.x - here.x * mean.y);
    }
}
