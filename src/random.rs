//! Choices made from a seed: the same on every machine, and from version to version.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::Rng;

/// A number below `n` from 32 random bits, by Lemire's multiply-shift; its bias, below n / 2^32, is far smaller than an
/// epoch can show.
pub fn within(n: usize, bits: u32) -> usize {
    ((u64::from(bits) * n as u64) >> 32) as usize
}

/// A number below `n`, as [`within`].
pub fn below(n: usize, rng: &mut ChaCha8Rng) -> usize {
    within(n, rng.next_u32())
}

/// Shuffles by Fisher and Yates.
pub fn shuffle<T>(values: &mut [T], rng: &mut ChaCha8Rng) {
    for last in (1..values.len()).rev() {
        values.swap(last, below(last + 1, rng));
    }
}

/// Philox4x32-10: 128 random bits for every counter and seed, each by itself (Salmon et al., "Parallel Random Numbers: As Easy
/// as 1, 2, 3", 2011). Whoever knows the place of a value, on whatever device, knows its random bits:
/// `shaders/dropout.wgsl` has the same function.
pub fn philox(counter: [u32; 4], seed: u64) -> [u32; 4] {
    let ([mut a, mut b, mut c, mut d], mut key) = (counter, [seed as u32, (seed >> 32) as u32]);
    let halves = |product: u64| ((product >> 32) as u32, product as u32);
    for _ in 0..10 {
        let (high_a, low_a) = halves(u64::from(a) * 0xD251_1F53);
        let (high_c, low_c) = halves(u64::from(c) * 0xCD9E_8D57);
        (a, b, c, d) = (high_c ^ b ^ key[0], low_c, high_a ^ d ^ key[1], low_a);
        key = [key[0].wrapping_add(0x9E37_79B9), key[1].wrapping_add(0xBB67_AE85)];
    }
    [a, b, c, d]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn philox_gives_the_published_numbers() {
        // The known answers of the authors' library, Random123.
        for (counter, seed, answer) in [
            ([0; 4], 0, [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]),
            ([u32::MAX; 4], u64::MAX, [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]),
            (
                [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344],
                0x299f_31d0_a409_3822,
                [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1],
            ),
        ] {
            assert_eq!(philox(counter, seed), answer);
        }
    }
}
