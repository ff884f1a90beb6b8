// A tile of a product of two matrices that are put together as they are read: 64 rows by 64 columns by one workgroup of 64
// threads, each with 8 by 8 of them, over DEPTH summands at a time.

const DEPTH: u32 = 16u;
const TILE: u32 = 64u;

// [summand][row], and [summand][column].
var<workgroup> rows_tile: array<f32, 1024>;
var<workgroup> columns_tile: array<f32, 1024>;

// The sums of a thread: of each row eight columns, four and four.
struct Sums {
    a: array<vec4<f32>, 8>,
    b: array<vec4<f32>, 8>,
}

fn rows_at(i: u32) -> vec4<f32> {
    return vec4(rows_tile[i], rows_tile[i + 1u], rows_tile[i + 2u], rows_tile[i + 3u]);
}

fn columns_at(i: u32) -> vec4<f32> {
    return vec4(columns_tile[i], columns_tile[i + 1u], columns_tile[i + 2u], columns_tile[i + 3u]);
}

// Adds the products of the summands that are in the tiles.
fn add_products(sums: ptr<function, Sums>, thread: u32) {
    workgroupBarrier();
    for (var k = 0u; k < DEPTH; k++) {
        let row = k * TILE + (thread / 8u) * 8u;
        let column = k * TILE + (thread % 8u) * 8u;
        let r = rows_at(row);
        let s = rows_at(row + 4u);
        let c = columns_at(column);
        let d = columns_at(column + 4u);
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
    workgroupBarrier();
}

// Hands a thread's sums to `put`, which the shader has. Every index is a constant, so that the sums stay in registers.
fn put_sums(sums: ptr<function, Sums>, first_row: u32, first_column: u32, thread: u32) {
    let row = first_row + (thread / 8u) * 8u;
    let column = first_column + (thread % 8u) * 8u;
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
