// SPDX-License-Identifier: Apache-2.0

//! The one source of randomness: a PCG generator, seeded from the run's seed and the layout's index.

use rand_core::{RngCore, SeedableRng};
use rand_pcg::Pcg64Mcg;

/// Integers that sit on the edges of what a double, an `isize` and a `u64` can hold. None of them lies
/// where adding a host address overflows on one machine and not on another.
const HUGE: [u64; 11] = [
    1 << 32,
    (1 << 53) - 1,
    1 << 53,
    (1 << 53) + 1,
    1 << 62,
    (1 << 63) - 1,
    1 << 63,
    u64::MAX - 4095,
    u64::MAX - 7,
    u64::MAX - 1,
    u64::MAX,
];

/// A seeded generator.
pub struct Rng(Pcg64Mcg);

impl Rng {
    /// The generator of one layout: layouts do not depend on one another.
    pub fn for_layout(seed: u64, layout: u64) -> Self {
        let mixed = seed
            .wrapping_mul(0x9E37_79B9_7F4A_7C15)
            .wrapping_add(layout.wrapping_mul(0xD1B5_4A32_D192_ED03));
        Rng(Pcg64Mcg::seed_from_u64(mixed))
    }

    pub fn u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// An integer in `[0, n)`; `n` must not be zero.
    pub fn below(&mut self, n: u64) -> u64 {
        ((u128::from(self.u64()) * u128::from(n)) >> 64) as u64
    }

    /// An integer in `[low, high]`.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    /// The same as [`Rng::between`] for sizes.
    pub fn size(&mut self, low: usize, high: usize) -> usize {
        self.between(low as u64, high as u64) as usize
    }

    /// True in `percent` of the cases.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    pub fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len() as u64) as usize]
    }

    /// The seed of a byte pattern: short in most cases, so that it is short in the trace as well.
    pub fn pattern_seed(&mut self) -> u32 {
        if self.chance(3) {
            self.u64() as u32
        } else {
            self.below(10_000) as u32
        }
    }

    /// A value between 2^32 and `u64::MAX`, on an edge.
    pub fn huge(&mut self) -> u64 {
        self.pick(&HUGE)
    }
}
