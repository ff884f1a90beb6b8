// Gradient of batch normalization and an activation, first half: sums of every slice of every channel.
// norm_channels.wgsl, norm_passed.wgsl, workgroup_sum.wgsl, and relu.wgsl or gelu.wgsl, are compiled with it.

// Two a slice of a channel: the gradient summed, and times the normalized value.
@group(0) @binding(3) var<storage, read_write> sums: array<vec2<f32>>;
@group(0) @binding(4) var<uniform> params: Params;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let range = part(group.x);
    var own = vec2(0.0, 0.0);
    for (var i = range.x + thread; i < range.y; i += THREADS) {
        let here = passed(group.y, place(group.y, i));
        own += vec2(here.y, here.y * here.x);
    }
    let total = sum_of_all(own, thread);
    if thread == 0u {
        sums[group.y * params.slices + group.x] = total;
    }
}
