// Zeroes a share of the values at random, and scales up the others. Which ones depends on seed, epoch, step, layer and the
// place of a value alone.
//
// One thread for four values, which share the bits of one counter. The CPU twin is `mask` in src/network/noise.rs.

struct Params {
    // Values, and the place of the first one in the batch.
    count: u32,
    first: u32,
    groups_in_row: u32,
    layer: u32,
    seed: vec2<u32>,
    // A value is dropped where its random bits are below.
    threshold: u32,
    scale: f32,
}

@group(0) @binding(0) var<storage, read_write> x: array<f32>;
// Its second number is the step of the epoch, its third the epoch.
@group(0) @binding(1) var<storage, read_write> progress: array<u32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

// The product of two numbers: its high and its low half. WGSL has no 64 bits.
fn product(a: u32, b: u32) -> vec2<u32> {
    let low = (a & 0xffffu) * (b & 0xffffu);
    let crossed = vec2(a >> 16u, a & 0xffffu) * vec2(b & 0xffffu, b >> 16u);
    let carried = (low >> 16u) + (crossed.x & 0xffffu) + (crossed.y & 0xffffu);
    let high = (a >> 16u) * (b >> 16u) + (crossed.x >> 16u) + (crossed.y >> 16u) + (carried >> 16u);
    return vec2(high, a * b);
}

// Philox4x32-10, as `philox` in src/random.rs.
fn philox(counter: vec4<u32>, seed: vec2<u32>) -> vec4<u32> {
    var bits = counter;
    var key = seed;
    for (var round = 0; round < 10; round++) {
        let a = product(bits.x, 0xD2511F53u);
        let c = product(bits.z, 0xCD9E8D57u);
        bits = vec4(c.x ^ bits.y ^ key.x, c.y, a.x ^ bits.w ^ key.y, a.y);
        key += vec2(0x9E3779B9u, 0xBB67AE85u);
    }
    return bits;
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let four = params.first / 4u + (group.y * params.groups_in_row + group.x) * 256u + thread;
    let end = params.first + params.count;
    if four * 4u >= end {
        return;
    }
    let bits = philox(vec4(four, progress[1], progress[2], params.layer), params.seed);
    for (var i = 0u; i < 4u; i++) {
        let place = 4u * four + i;
        if place >= params.first && place < end {
            let value = place - params.first;
            y[value] = x[value] * select(params.scale, 0.0, bits[i] < params.threshold);
        }
    }
}
