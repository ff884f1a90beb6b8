// Gathers a batch from the images that lie on the device: four pixels a word, lowest byte first.
//
// One thread a word of an image: position in the order -> image -> (moved, mirrored) source pixels -> bytes -> values
// from 0 to 1.
// The CPU twin is `gather_changed` in src/training/augmentation.rs.

struct Params {
    // Where the batch begins in the order.
    start: u32,
    images: u32,
    channels: u32,
    height: u32,
    width: u32,
    // Workgroups in a row of the dispatch, which has rows because one may hold no more than 65,535.
    groups_in_row: u32,
}

// All are read_write although most are only read: several tensors may share one buffer, and a buffer must be bound in
// one way.
@group(0) @binding(0) var<storage, read_write> pixels: array<u32>;
@group(0) @binding(1) var<storage, read_write> all_labels: array<i32>;
@group(0) @binding(2) var<storage, read_write> order: array<i32>;
// One a position of the order: rows down in the lowest ten bits and columns right in the next ten, both with 512 added,
// then one bit for the mirror.
@group(0) @binding(3) var<storage, read_write> changes: array<u32>;
@group(0) @binding(4) var<storage, read_write> values: array<f32>;
@group(0) @binding(5) var<storage, read_write> labels: array<i32>;
// Its first number is added to `start`: where a recorded step is in its epoch.
@group(0) @binding(6) var<storage, read_write> position: array<i32>;
@group(0) @binding(7) var<uniform> params: Params;

// No shift, no mirror.
const UNCHANGED: u32 = 512u | (512u << 10u);
const SCALE: f32 = 1.0 / 255.0;

// A position outside 0..side, mirrored at the border pixel.
fn reflect(position: i32, side: i32) -> i32 {
    var inside = position;
    if position < 0 {
        inside = -position;
    } else if position >= side {
        inside = 2 * (side - 1) - position;
    }
    return clamp(inside, 0, side - 1);
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let plane = params.height * params.width;
    let image_size = params.channels * plane;
    let words_in_image = (image_size + 3u) / 4u;
    let index = (group.y * params.groups_in_row + group.x) * 256u + thread;
    let n = index / words_in_image;
    if n >= params.images {
        return;
    }
    let place = params.start + u32(position[0]) + n;
    let image = u32(order[place]);
    let word = index - n * words_in_image;
    if word == 0u {
        labels[n] = all_labels[image];
    }
    let first = 4u * word;
    let end = min(first + 4u, image_size);

    let change = changes[place];
    if change == UNCHANGED {
        var bytes = pixels[image * words_in_image + word];
        for (var pixel = first; pixel < end; pixel++) {
            values[n * image_size + pixel] = f32(bytes & 255u) * SCALE;
            bytes >>= 8u;
        }
        return;
    }

    let down = i32(change & 1023u) - 512;
    let right = i32((change >> 10u) & 1023u) - 512;
    for (var pixel = first; pixel < end; pixel++) {
        let channel = pixel / plane;
        let row = (pixel - channel * plane) / params.width;
        let column = pixel - channel * plane - row * params.width;
        let y = reflect(i32(row) - down, i32(params.height));
        var x = reflect(i32(column) - right, i32(params.width));
        if (change >> 20u) == 1u {
            x = i32(params.width) - 1 - x;
        }
        let source = channel * plane + u32(y) * params.width + u32(x);
        let bytes = pixels[image * words_in_image + source / 4u];
        values[n * image_size + pixel] = f32((bytes >> (8u * (source % 4u))) & 255u) * SCALE;
    }
}
