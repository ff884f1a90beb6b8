// Measures a batch: of every image the most probable class, its probability, and the loss.
//
// One thread an image; results are written behind those of the batches before, so that a whole test set is read back
// once. The CPU twin is `measure` in src/metrics.rs.

struct Params {
    // How many images were measured before this batch.
    start: u32,
    images: u32,
    classes: u32,
    // 0 cross-entropy, 1 cross-entropy of the probabilities, 2 mean squared error of the probabilities.
    loss: u32,
}

@group(0) @binding(0) var<storage, read_write> logits: array<f32>;
@group(0) @binding(1) var<storage, read_write> labels: array<i32>;
// Three a image: class, probability, loss.
@group(0) @binding(2) var<storage, read_write> results: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let n = id.x;
    if n >= params.images {
        return;
    }
    let first = n * params.classes;
    let label = u32(labels[n]);

    var best = 0u;
    var highest = logits[first];
    for (var c = 1u; c < params.classes; c++) {
        if logits[first + c] > highest {
            highest = logits[first + c];
            best = c;
        }
    }
    var sum = 0.0;
    for (var c = 0u; c < params.classes; c++) {
        sum += exp(logits[first + c] - highest);
    }

    var loss = log(sum) - (logits[first + label] - highest);
    if params.loss == 1u {
        // log-softmax once more, of the probabilities, none of which is above 1.
        var again = 0.0;
        for (var c = 0u; c < params.classes; c++) {
            again += exp(exp(logits[first + c] - highest) / sum);
        }
        loss = log(again) - exp(logits[first + label] - highest) / sum;
    } else if params.loss == 2u {
        var squares = 0.0;
        for (var c = 0u; c < params.classes; c++) {
            let error = exp(logits[first + c] - highest) / sum - f32(c == label);
            squares += error * error;
        }
        loss = squares / f32(params.classes);
    }

    let at = 3u * (params.start + n);
    results[at] = f32(best);
    results[at + 1u] = 1.0 / sum;
    results[at + 2u] = loss;
}
