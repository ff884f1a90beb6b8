// The end of a step that the device counts itself: keeps its loss, and goes on to the next batch.

struct Params {
    // Images in a batch.
    batch: u32,
}

// As in update.wgsl.
@group(0) @binding(0) var<storage, read_write> progress: array<u32>;
// One a step of the epoch.
@group(0) @binding(1) var<storage, read_write> losses: array<f32>;
@group(0) @binding(2) var<storage, read_write> loss: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(1)
fn main() {
    let step = progress[1];
    losses[step] = loss[0];
    progress[0] += params.batch;
    progress[1] = step + 1u;
}
