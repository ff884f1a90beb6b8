// The loss of a batch, its mean over the images, and its gradient with respect to the logits.
//
// One workgroup, each thread every 256th image, summed in an order that is always the same. The twin is `composed` in
// src/training/loss.rs.

struct Params {
    images: u32,
    classes: u32,
    // 0 cross-entropy, 1 cross-entropy of the probabilities, 2 mean squared error of the probabilities.
    loss: u32,
    // The share of the target that is spread over all classes, for cross-entropy.
    smoothing: f32,
}

@group(0) @binding(0) var<storage, read_write> logits: array<f32>;
@group(0) @binding(1) var<storage, read_write> labels: array<i32>;
@group(0) @binding(2) var<storage, read_write> loss: array<f32>;
@group(0) @binding(3) var<storage, read_write> gradient: array<f32>;
@group(0) @binding(4) var<uniform> params: Params;

var<workgroup> sums: array<f32, 256>;

// The loss of one image; leaves its gradient behind.
fn of_image(n: u32) -> f32 {
    let classes = params.classes;
    let first = n * classes;
    let label = u32(labels[n]);
    let images = f32(params.images);
    var highest = logits[first];
    for (var c = 1u; c < classes; c++) {
        highest = max(highest, logits[first + c]);
    }
    var sum = 0.0;
    for (var c = 0u; c < classes; c++) {
        sum += exp(logits[first + c] - highest);
    }
    if params.loss == 0u {
        let spread = params.smoothing / f32(classes);
        var value = 0.0;
        for (var c = 0u; c < classes; c++) {
            let log_probability = logits[first + c] - highest - log(sum);
            let wanted = spread + select(0.0, 1.0 - params.smoothing, c == label);
            if wanted != 0.0 {
                value -= wanted * log_probability;
            }
            gradient[first + c] = (exp(log_probability) - wanted) / images;
        }
        return value;
    }

    // The others are functions of the probabilities p: with d the derivative by p, that by the logits is p * (d - sum of d * p).
    var again = 0.0;
    var value = 0.0;
    if params.loss == 1u {
        for (var c = 0u; c < classes; c++) {
            again += exp(exp(logits[first + c] - highest) / sum);
        }
        value = log(again) - exp(logits[first + label] - highest) / sum;
    }
    var weighted = 0.0;
    for (var c = 0u; c < classes; c++) {
        let p = exp(logits[first + c] - highest) / sum;
        let hit = f32(c == label);
        if params.loss == 1u {
            weighted += p * (exp(p) / again - hit);
        } else {
            value += (p - hit) * (p - hit) / f32(classes);
            weighted += p * 2.0 * (p - hit) / f32(classes);
        }
    }
    for (var c = 0u; c < classes; c++) {
        let p = exp(logits[first + c] - highest) / sum;
        let hit = f32(c == label);
        var derivative = 2.0 * (p - hit) / f32(classes);
        if params.loss == 1u {
            derivative = exp(p) / again - hit;
        }
        gradient[first + c] = p * (derivative - weighted) / images;
    }
    return value;
}

@compute @workgroup_size(256)
fn main(@builtin(local_invocation_index) thread: u32) {
    var own = 0.0;
    for (var n = thread; n < params.images; n += 256u) {
        own += of_image(n);
    }
    sums[thread] = own;
    workgroupBarrier();
    for (var half = 128u; half > 0u; half /= 2u) {
        if thread < half {
            sums[thread] += sums[thread + half];
        }
        workgroupBarrier();
    }
    if thread == 0u {
        loss[0] = sums[0] / f32(params.images);
    }
}
