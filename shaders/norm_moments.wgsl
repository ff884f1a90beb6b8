// Batch normalization, first half: mean and sum of squared distances from it, of every slice of every channel.

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
// Two a slice of a channel.
@group(0) @binding(1) var<storage, read_write> moments: array<vec2<f32>>;
@group(0) @binding(2) var<uniform> params: Params;

var<workgroup> shared_sums: array<vec2<f32>, 256>;

// The sum over all threads of the workgroup, in an order that is always the same.
fn sum_of_all(own: vec2<f32>, thread: u32) -> vec2<f32> {
    workgroupBarrier(); // the sum before was read by all
    shared_sums[thread] = own;
    workgroupBarrier();
    for (var half = 128u; half > 0u; half /= 2u) {
        if thread < half {
            shared_sums[thread] += shared_sums[thread + half];
        }
        workgroupBarrier();
    }
    return shared_sums[0];
}

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

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let range = part(group.x);
    let count = f32(max(range.y - range.x, 1u));
    var sum = 0.0;
    for (var i = range.x + thread; i < range.y; i += 256u) {
        sum += x[place(group.y, i)];
    }
    let mean = sum_of_all(vec2(sum, 0.0), thread).x / count;
    var squares = 0.0;
    for (var i = range.x + thread; i < range.y; i += 256u) {
        let distance = x[place(group.y, i)] - mean;
        squares += distance * distance;
    }
    let total = sum_of_all(vec2(0.0, squares), thread).y;
    if thread == 0u {
        moments[group.y * params.slices + group.x] = vec2(mean, total);
    }
}
