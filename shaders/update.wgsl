// One step of an optimizer over all parameters of a network, in place: PyTorch's SGD, Adam and AdamW.
//
// One thread a value. The gradients lie in as many buffers as there are tensors of parameters; their bindings, and the
// branches that find a value's gradient and its place, are put in for the network at hand. Running statistics
// are taken over as they are. The CPU twin is `in_place` in src/training/rule.rs.

struct Params {
    // Trained values before these, and how many these are.
    first: u32,
    count: u32,
    groups_in_row: u32,
    // 0 SGD, 1 Adam, 2 AdamW.
    rule: u32,
    momentum: f32,
    nesterov: u32,
    decay: f32,
    // On every gradient.
    scale: f32,
}

@group(0) @binding(0) var<storage, read_write> values: array<f32>;
@group(0) @binding(1) var<storage, read_write> first_moment: array<f32>;
@group(0) @binding(2) var<storage, read_write> second_moment: array<f32>;
// Where the run is: the position of the next batch, the step, two words unused; then of every step of the epoch the learning
// rate, the same over Adam's first correction, the root of its second, and 1 where the bias of a whitening layer is stepped.
@group(0) @binding(3) var<storage, read_write> progress: array<u32>;
{{ sources }}
@group(0) @binding({{ binding }}) var<uniform> params: Params;

const BETA_1: f32 = 0.9;
const BETA_2: f32 = 0.999;
const EPSILON: f32 = 1e-8;

fn is_whitening_trained() -> bool {
    return progress[4u + 4u * progress[1] + 3u] != 0u;
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let i = (group.y * params.groups_in_row + group.x) * 256u + thread;
    if i >= params.count {
        return;
    }
    var at = 0u;
    var value = 0.0;
    var trained = true;
    // The place of its moments, which trained values alone have.
    var k = params.first;
{{ pick }}
    if !trained {
        values[at] = value;
        return;
    }

    let row = 4u + 4u * progress[1];
    let rate = bitcast<f32>(progress[row]);
    let step_size = bitcast<f32>(progress[row + 1u]);
    let root_correction = bitcast<f32>(progress[row + 2u]);
    let weight = values[at];
    var gradient = value * params.scale;
    if params.rule != 2u {
        gradient += params.decay * weight;
    }
    if params.rule == 0u {
        var change = gradient;
        if params.momentum != 0.0 {
            let velocity = params.momentum * first_moment[k] + gradient;
            first_moment[k] = velocity;
            change = velocity;
            if params.nesterov == 1u {
                change = gradient + params.momentum * velocity;
            }
        }
        values[at] = weight - rate * change;
        return;
    }
    let first = BETA_1 * first_moment[k] + (1.0 - BETA_1) * gradient;
    let second = BETA_2 * second_moment[k] + (1.0 - BETA_2) * gradient * gradient;
    first_moment[k] = first;
    second_moment[k] = second;
    var kept = weight;
    if params.rule == 2u {
        kept = weight * (1.0 - rate * params.decay);
    }
    values[at] = kept - step_size * first / (sqrt(second) / root_correction + EPSILON);
}
