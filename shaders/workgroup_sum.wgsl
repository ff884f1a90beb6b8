// A sum over the THREADS of a workgroup, in an order that is always the same. norm_channels.wgsl says how many these are.

// The first threads add up a share each.
const SHARES: u32 = 8u;

var<workgroup> own_sums: array<vec2<f32>, THREADS>;
var<workgroup> shares: array<vec2<f32>, SHARES>;

// The sum over all threads, in two steps: whoever waits at a barrier computes nothing, and a tree has seven of them.
fn sum_of_all(own: vec2<f32>, thread: u32) -> vec2<f32> {
    own_sums[thread] = own;
    workgroupBarrier();
    if thread < SHARES {
        var share = vec2(0.0, 0.0);
        for (var i = thread; i < THREADS; i += SHARES) {
            share += own_sums[i];
        }
        shares[thread] = share;
    }
    workgroupBarrier();
    var sum = vec2(0.0, 0.0);
    for (var i = 0u; i < SHARES; i++) {
        sum += shares[i];
    }
    return sum;
}
