// SPDX-License-Identifier: Apache-2.0

//! The cases, named and shaped as the crate's own benchmarks are.

pub mod find_region;
pub mod guest_memory;
pub mod limits;
pub mod volatile_slice;

use vm_memory::{GuestAddress, GuestMemoryMmap};

/// A buffer that starts on a cache line: where the stack happened to put it changes a 512-byte copy
/// by up to a fifth from run to run.
#[repr(align(64))]
struct Aligned<T>(T);

/// Anonymous memory of `count` regions, each starting where the one before it ends.
fn adjacent_regions(count: u64, size: usize) -> GuestMemoryMmap<()> {
    let ranges: Vec<_> = (0..count)
        .map(|index| (GuestAddress(index * size as u64), size))
        .collect();
    GuestMemoryMmap::from_ranges(&ranges).expect("the regions should map")
}
