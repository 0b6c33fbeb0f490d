// SPDX-License-Identifier: Apache-2.0

//! Where accesses go: mostly into memory and around the places where something begins or ends.

use crate::rng::Rng;

/// A guest-physical range.
#[derive(Clone, Copy, Debug)]
pub struct Extent {
    pub base: u64,
    pub size: u64,
}

impl Extent {
    pub fn end(&self) -> u64 {
        self.base + self.size
    }

    pub fn contains(&self, addr: u64) -> bool {
        addr >= self.base && addr < self.end()
    }
}

/// An address in or around `extents`.
pub fn address(rng: &mut Rng, extents: &[Extent]) -> u64 {
    let extent = rng.pick(extents);
    match rng.below(100) {
        0..=27 => extent.base + rng.below(extent.size),
        28..=59 => extent.base + (rng.below(extent.size) & !7),
        60..=79 => extent.end().saturating_sub(rng.below(24)),
        80..=84 => extent.base.saturating_sub(rng.below(24)),
        85..=89 => extent.base,
        90..=92 => extent.end() + rng.below(64),
        93..=94 => extents[0].base.saturating_sub(rng.below(8192)),
        95 => rng.below(1 << 53),
        96 => 0,
        97 => rng.below(1 << 20),
        _ => rng.huge(),
    }
}

/// The bytes from `addr` to the end of its extent; some small number outside.
pub fn reach(extents: &[Extent], addr: u64) -> usize {
    extents
        .iter()
        .find(|e| e.contains(addr))
        .map_or(64, |e| (e.end() - addr) as usize)
}

/// An offset in or around `[0, len)`.
pub fn offset(rng: &mut Rng, len: u64) -> u64 {
    match rng.below(100) {
        0..=29 if len > 0 => rng.below(len),
        30..=61 if len > 0 => rng.below(len) & !7,
        62..=81 => len.saturating_sub(rng.below(20)),
        82..=86 => 0,
        87..=91 => len,
        92..=95 => len + rng.between(1, 64),
        96 => rng.below(1 << 20),
        97 => rng.huge(),
        _ => len / 2,
    }
}

/// The length of a buffer, given the bytes that are left up to the next boundary.
pub fn length(rng: &mut Rng, reach: usize) -> usize {
    let length = match rng.below(100) {
        0..=6 => 0,
        7..=36 => rng.size(1, 16),
        37..=57 => rng.size(17, 256),
        58..=68 => rng.size(257, 4096),
        69..=84 => (reach + rng.size(0, 16)).saturating_sub(8),
        85..=93 => reach + rng.size(0, 4096),
        94..=97 => rng.size(4097, 20_000),
        _ => reach / 2,
    };
    length.min(150_000)
}

/// A length that no buffer has to hold: sometimes enormous.
pub fn count(rng: &mut Rng, reach: usize) -> usize {
    if rng.chance(3) {
        rng.huge() as usize
    } else {
        length(rng, reach)
    }
}

/// The same for calls that change something: one that a double cannot hold might be refused elsewhere,
/// and then the states differ.
pub fn exact_count(rng: &mut Rng, reach: usize) -> usize {
    if rng.chance(2) {
        rng.pick(&[1 << 32, (1 << 53) - 1])
    } else {
        length(rng, reach)
    }
}
