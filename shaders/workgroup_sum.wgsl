// A sum over the 256 threads of a workgroup.

var<workgroup> shared_sums: array<vec2<f32>, 256>;

// The sum over all threads of the workgroup, in an order that is always the same.
fn sum_of_all(own: vec2<f32>, thread: u32) -> vec2<f32> {
    workgroupBarrier(); // the sum before was read by all
    shared_sums[thread] = own;
    workgroupBarrier();
    for (var half = 128u; half > 0u; half /= 2u) {
        if thread < half {
            shared_sums[thread] += shared_sums[thread + half];
        }
        workgroupBarrier();
    }
    return shared_sums[0];
}
