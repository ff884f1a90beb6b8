// The gradient of a maximum goes to where it came from: to the first of equal values. One thread a window; those behind the last
// whole one of a row or a column are windows too, whose pixels get nothing.

@group(0) @binding(1) var<storage, read_write> dy: array<f32>;
@group(0) @binding(2) var<storage, read_write> dx: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let i = (group.y * params.groups_in_row + group.x) * 256u + thread;
    let size = params.size;
    let windows_down = (params.height + size - 1u) / size;
    let windows_across = (params.width + size - 1u) / size;
    let map = i / (windows_down * windows_across);
    if map >= params.maps {
        return;
    }
    let row = (i / windows_across) % windows_down;
    let column = i % windows_across;
    let first = (map * params.height + row * size) * params.width + column * size;
    var maximum = first;
    var gradient = 0.0;
    if row < params.output_height && column < params.output_width {
        maximum = first_maximum(first, size, params.width);
        gradient = dy[(map * params.output_height + row) * params.output_width + column];
    }
    let height = min(size, params.height - row * size);
    let width = min(size, params.width - column * size);
    for (var r = 0u; r < height; r++) {
        for (var c = 0u; c < width; c++) {
            let at = first + r * params.width + c;
            dx[at] = select(0.0, gradient, at == maximum);
        }
    }
}
