// A tile of a product of two matrices that are put together as they are read: 64 rows by 64 columns by one workgroup of 64
// threads, each with 8 by 8 of them, over DEPTH summands at a time. product_sums.wgsl is compiled with it.

const DEPTH: u32 = 16u;
const TILE: u32 = 64u;

// [summand][row], and [summand][column].
var<workgroup> rows_tile: array<f32, 1024>;
var<workgroup> columns_tile: array<f32, 1024>;

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
        add_summand(sums, rows_at(row), rows_at(row + 4u), columns_at(column), columns_at(column + 4u));
    }
    workgroupBarrier();
}

// Hands the sums of a thread of the tile to `put`.
fn put_tile(sums: ptr<function, Sums>, first_row: u32, first_column: u32, thread: u32) {
    put_sums(sums, first_row + (thread / 8u) * 8u, first_column + (thread % 8u) * 8u);
}
