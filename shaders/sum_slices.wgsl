// The sum of slices that lie one behind the other, in an order that is always the same.

struct Params {
    // Values of a slice, and slices.
    count: u32,
    slices: u32,
    groups_in_row: u32,
}

@group(0) @binding(0) var<storage, read_write> parts: array<f32>;
@group(0) @binding(1) var<storage, read_write> sum: array<f32>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let i = (group.y * params.groups_in_row + group.x) * 256u + thread;
    if i >= params.count {
        return;
    }
    var total = 0.0;
    for (var slice = 0u; slice < params.slices; slice++) {
        total += parts[slice * params.count + i];
    }
    sum[i] = total;
}
