// Where a thread that shares nothing with others finds the eight rows and eight columns of its sums.

// Eight numbers.
struct Places {
    a: vec4<u32>,
    b: vec4<u32>,
}

// Eight in a row from `first` on, times `step`; none is behind the last of `count`, which stands in for those that are not there.
fn places(first: u32, count: u32, step: u32) -> Places {
    let last = vec4(count - 1u);
    let four = vec4(first) + vec4(0u, 1u, 2u, 3u);
    return Places(min(four, last) * step, min(four + 4u, last) * step);
}
