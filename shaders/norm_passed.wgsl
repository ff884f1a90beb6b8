// What both halves of the gradient of batch normalization and an activation begin with.

@group(0) @binding(0) var<storage, read_write> x: array<f32>;
// The gradient of what came out.
@group(0) @binding(1) var<storage, read_write> dy: array<f32>;
// Of every channel: mean, inverse deviation, scale and offset, each from a multiple of 64 values on.
@group(0) @binding(2) var<storage, read_write> statistics: array<f32>;

// The normalized value, and the gradient before the activation.
fn passed(channel: u32, at: u32) -> vec2<f32> {
    let stride = (params.channels + 63u) / 64u * 64u;
    let normalized = (x[at] - statistics[channel]) * statistics[stride + channel];
    let before = normalized * statistics[2u * stride + channel] + statistics[3u * stride + channel];
    return vec2(normalized, back(before, dy[at]));
}
