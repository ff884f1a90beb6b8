// The sums of a thread in a product of two matrices: of eight rows, eight columns each.

// Of each row eight columns, four and four.
struct Sums {
    a: array<vec4<f32>, 8>,
    b: array<vec4<f32>, 8>,
}

// Adds one summand: the products of eight values of the rows with eight of the columns.
fn add_summand(sums: ptr<function, Sums>, r: vec4<f32>, s: vec4<f32>, c: vec4<f32>, d: vec4<f32>) {
    (*sums).a[0] = fma(vec4(r.x), c, (*sums).a[0]);
    (*sums).b[0] = fma(vec4(r.x), d, (*sums).b[0]);
    (*sums).a[1] = fma(vec4(r.y), c, (*sums).a[1]);
    (*sums).b[1] = fma(vec4(r.y), d, (*sums).b[1]);
    (*sums).a[2] = fma(vec4(r.z), c, (*sums).a[2]);
    (*sums).b[2] = fma(vec4(r.z), d, (*sums).b[2]);
    (*sums).a[3] = fma(vec4(r.w), c, (*sums).a[3]);
    (*sums).b[3] = fma(vec4(r.w), d, (*sums).b[3]);
    (*sums).a[4] = fma(vec4(s.x), c, (*sums).a[4]);
    (*sums).b[4] = fma(vec4(s.x), d, (*sums).b[4]);
    (*sums).a[5] = fma(vec4(s.y), c, (*sums).a[5]);
    (*sums).b[5] = fma(vec4(s.y), d, (*sums).b[5]);
    (*sums).a[6] = fma(vec4(s.z), c, (*sums).a[6]);
    (*sums).b[6] = fma(vec4(s.z), d, (*sums).b[6]);
    (*sums).a[7] = fma(vec4(s.w), c, (*sums).a[7]);
    (*sums).b[7] = fma(vec4(s.w), d, (*sums).b[7]);
}

// Hands the sums to `put`, which the shader has. Every index is a constant, so that the sums stay in registers.
fn put_sums(sums: ptr<function, Sums>, row: u32, column: u32) {
    put_eight(row + 0u, column, (*sums).a[0], (*sums).b[0]);
    put_eight(row + 1u, column, (*sums).a[1], (*sums).b[1]);
    put_eight(row + 2u, column, (*sums).a[2], (*sums).b[2]);
    put_eight(row + 3u, column, (*sums).a[3], (*sums).b[3]);
    put_eight(row + 4u, column, (*sums).a[4], (*sums).b[4]);
    put_eight(row + 5u, column, (*sums).a[5], (*sums).b[5]);
    put_eight(row + 6u, column, (*sums).a[6], (*sums).b[6]);
    put_eight(row + 7u, column, (*sums).a[7], (*sums).b[7]);
}

fn put_eight(row: u32, column: u32, a: vec4<f32>, b: vec4<f32>) {
    put(row, column + 0u, a.x);
    put(row, column + 1u, a.y);
    put(row, column + 2u, a.z);
    put(row, column + 3u, a.w);
    put(row, column + 4u, b.x);
    put(row, column + 5u, b.y);
    put(row, column + 6u, b.z);
    put(row, column + 7u, b.w);
}
