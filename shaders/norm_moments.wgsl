// Batch normalization, first half: mean and sum of squared distances from it, of every slice of every channel.
// norm_channels.wgsl and workgroup_sum.wgsl are compiled with it.

@group(0) @binding(0) var<storage, read_write> x: array<f32>;
// Two a slice of a channel.
@group(0) @binding(1) var<storage, read_write> moments: array<vec2<f32>>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let range = part(group.x);
    let count = f32(max(range.y - range.x, 1u));
    var sum = 0.0;
    for (var i = range.x + thread; i < range.y; i += THREADS) {
        sum += x[place(group.y, i)];
    }
    let mean = sum_of_all(vec2(sum, 0.0), thread).x / count;
    var squares = 0.0;
    for (var i = range.x + thread; i < range.y; i += THREADS) {
        let distance = x[place(group.y, i)] - mean;
        squares += distance * distance;
    }
    let total = sum_of_all(vec2(0.0, squares), thread).y;
    if thread == 0u {
        moments[group.y * params.slices + group.x] = vec2(mean, total);
    }
}
