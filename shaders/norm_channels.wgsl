// How the kernels of batch normalization go through a tensor; each of them has a uniform `params` of this type.

// Threads in a workgroup. Sums over few threads cost less than they gain, even on a large GPU, and a GPU that is imitated by a CPU
// takes ten times as long for four times the threads.
const THREADS: u32 = 64u;

// Where values lie: `[images, channels, plane]`, gone through channel by channel, each in as many slices as workgroups.
struct Params {
    images: u32,
    channels: u32,
    plane: u32,
    slices: u32,
    epsilon: f32,
    momentum: f32,
}

// The slice's part of the channel's values: its first, and the one behind its last.
fn part(slice: u32) -> vec2<u32> {
    let all = params.images * params.plane;
    let size = (all + params.slices - 1u) / params.slices;
    return vec2(min(slice * size, all), min((slice + 1u) * size, all));
}

// Where the channel's value number `i` lies.
fn place(channel: u32, i: u32) -> u32 {
    let image = i / params.plane;
    return (image * params.channels + channel) * params.plane + (i - image * params.plane);
}
