// Draws images that lie on the device as a grid of tiles, straight into a texture: no copy through the host.
//
// One triangle covers the texture; each of its pixels finds its tile, the frame around it or the gap between. The CPU
// twin is `draw_on_cpu` in src/gpu/tile_grid.rs.

struct Grid {
    columns: u32,
    tiles: u32,
    // Pixels a side of a tile, and of the gap around it, half of which is its frame.
    tile: u32,
    gap: u32,
    channels: u32,
    height: u32,
    width: u32,
    // 0 for bytes, four a word; 1 for f32 values, of which `low` is black and `high` white.
    format: u32,
    // Values from one image to the next, and from one pixel of an image to the next.
    image_stride: u32,
    pixel_stride: u32,
    low: f32,
    high: f32,
    background: u32,
}

// What a tile shows, and the colour of its frame, 0xRRGGBB.
struct Tile {
    image: u32,
    frame: u32,
}

@group(0) @binding(0) var<uniform> grid: Grid;
@group(0) @binding(1) var<storage, read> source: array<u32>;
@group(0) @binding(2) var<storage, read> tiles: array<Tile>;

fn colour(rgb: u32) -> vec4<f32> {
    return vec4(f32((rgb >> 16u) & 255u), f32((rgb >> 8u) & 255u), f32(rgb & 255u), 255.0) / 255.0;
}

fn value(image: u32, pixel: u32) -> f32 {
    let at = image * grid.image_stride + pixel * grid.pixel_stride;
    if grid.format == 0u {
        return f32((source[at / 4u] >> (8u * (at % 4u))) & 255u) / 255.0;
    }
    return clamp((bitcast<f32>(source[at]) - grid.low) / (grid.high - grid.low), 0.0, 1.0);
}

@vertex
fn vertex(@builtin(vertex_index) index: u32) -> @builtin(position) vec4<f32> {
    return vec4(f32(index & 1u) * 4.0 - 1.0, f32(index >> 1u) * 4.0 - 1.0, 0.0, 1.0);
}

@fragment
fn fragment(@builtin(position) position: vec4<f32>) -> @location(0) vec4<f32> {
    let pitch = grid.tile + grid.gap;
    let place = vec2<u32>(position.xy);
    let cell = place / pitch;
    let index = cell.y * grid.columns + cell.x;
    if cell.x >= grid.columns || index >= grid.tiles {
        return colour(grid.background);
    }
    // Half of the gap lies before a tile, half behind it.
    let within = vec2<i32>(place - cell * pitch) - i32(grid.gap / 2u);
    let side = i32(grid.tile);
    let frame = i32(grid.gap / 4u);
    if any(within < vec2(-frame)) || any(within >= vec2(side + frame)) {
        return colour(grid.background);
    }
    if any(within < vec2(0)) || any(within >= vec2(side)) {
        return colour(tiles[index].frame);
    }
    let y = u32(within.y) * grid.height / grid.tile;
    let x = u32(within.x) * grid.width / grid.tile;
    let pixel = y * grid.width + x;
    let plane = grid.height * grid.width;
    let image = tiles[index].image;
    let red = value(image, pixel);
    if grid.channels == 3u {
        return vec4(red, value(image, plane + pixel), value(image, 2u * plane + pixel), 1.0);
    }
    return vec4(red, red, red, 1.0);
}
