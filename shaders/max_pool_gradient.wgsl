// The gradient of a maximum goes to where it came from: to the first of equal values. One thread a pixel.

@group(0) @binding(1) var<storage, read_write> dy: array<f32>;
@group(0) @binding(2) var<storage, read_write> dx: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let i = (group.y * params.groups_in_row + group.x) * 256u + thread;
    let plane = params.height * params.width;
    let map = i / plane;
    if map >= params.maps {
        return;
    }
    let row = ((i % plane) / params.width) / params.size;
    let column = (i % params.width) / params.size;
    var gradient = 0.0;
    // Pixels behind the last whole window are in none.
    if row < params.output_height && column < params.output_width {
        let first = (map * params.height + row * params.size) * params.width + column * params.size;
        if first_maximum(first, params.size, params.width) == i {
            gradient = dy[(map * params.output_height + row) * params.output_width + column];
        }
    }
    dx[i] = gradient;
}
