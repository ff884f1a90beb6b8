// Gradient of batch normalization and an activation, second half.
// norm_channels.wgsl, norm_passed.wgsl, and relu.wgsl or gelu.wgsl, are compiled with it.

@group(0) @binding(3) var<storage, read_write> sums: array<vec2<f32>>;
@group(0) @binding(4) var<storage, read_write> dx: array<f32>;
// Of the scale and of the offset, each from a multiple of 64 values on.
@group(0) @binding(5) var<storage, read_write> affine: array<f32>;
@group(0) @binding(6) var<uniform> params: Params;

@compute @workgroup_size(THREADS)
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
    for (var i = range.x + thread; i < range.y; i += THREADS) {
        let at = place(c, i);
        let here = passed(c, at);
        dx[at] = scale * (here.y - mean.x - here.x * mean.y);
    }
}
