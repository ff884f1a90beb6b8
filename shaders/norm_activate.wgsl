// Batch normalization, second half, and an activation: puts the moments of the slices together (Chan et al., 1979),
// normalizes, and blends the batch into the running statistics as PyTorch does.
// norm_channels.wgsl, and relu.wgsl or gelu.wgsl, are compiled with it.

@group(0) @binding(0) var<storage, read_write> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> moments: array<vec2<f32>>;
// One a channel: scale, offset, running mean, running variance.
@group(0) @binding(2) var<storage, read_write> gamma: array<f32>;
@group(0) @binding(3) var<storage, read_write> beta: array<f32>;
@group(0) @binding(4) var<storage, read_write> old_mean: array<f32>;
@group(0) @binding(5) var<storage, read_write> old_variance: array<f32>;
@group(0) @binding(6) var<storage, read_write> y: array<f32>;
// Of every channel: mean, inverse deviation, scale and offset, for the backward pass; then the new running mean and variance.
// Each begins at a multiple of 64 values, so that it can be bound by itself.
@group(0) @binding(7) var<storage, read_write> statistics: array<f32>;
@group(0) @binding(8) var<uniform> params: Params;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let c = group.y;
    let all = f32(params.images * params.plane);
    var mean = 0.0;
    for (var s = 0u; s < params.slices; s++) {
        let range = part(s);
        mean += moments[c * params.slices + s].x * f32(range.y - range.x) / all;
    }
    var squares = 0.0;
    for (var s = 0u; s < params.slices; s++) {
        let range = part(s);
        let of_slice = moments[c * params.slices + s];
        let distance = of_slice.x - mean;
        squares += of_slice.y + f32(range.y - range.x) * distance * distance;
    }
    let inverse = 1.0 / sqrt(squares / all + params.epsilon);
    if group.x == 0u && thread == 0u {
        let stride = (params.channels + 63u) / 64u * 64u;
        statistics[c] = mean;
        statistics[stride + c] = inverse;
        statistics[2u * stride + c] = gamma[c];
        statistics[3u * stride + c] = beta[c];
        let unbiased = squares / max(all - 1.0, 1.0);
        let kept = 1.0 - params.momentum;
        statistics[4u * stride + c] = kept * old_mean[c] + params.momentum * mean;
        statistics[5u * stride + c] = kept * old_variance[c] + params.momentum * unbiased;
    }
    let range = part(group.x);
    for (var i = range.x + thread; i < range.y; i += THREADS) {
        let at = place(c, i);
        let normalized = (x[at] - mean) * inverse * gamma[c] + beta[c];
        y[at] = activation(normalized);
    }
}
