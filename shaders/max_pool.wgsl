// The maximum of every window, the windows side by side. One thread a window. The CPU twin is `max_pool` in
// src/compute/cpu/max_pool.rs.

@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let i = (group.y * params.groups_in_row + group.x) * 256u + thread;
    let plane = params.output_height * params.output_width;
    let map = i / plane;
    if map >= params.maps {
        return;
    }
    let row = ((i % plane) / params.output_width) * params.size;
    let column = (i % params.output_width) * params.size;
    y[i] = x[first_maximum((map * params.height + row) * params.width + column, params.size, params.width)];
}
