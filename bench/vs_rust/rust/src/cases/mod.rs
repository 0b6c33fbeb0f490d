// SPDX-License-Identifier: Apache-2.0

//! The cases, named and shaped as the crate's own benchmarks are.

pub mod find_region;
pub mod guest_memory;
pub mod limits;
pub mod system_calls;
pub mod volatile_slice;

use vm_memory::{GuestAddress, GuestMemoryMmap};

/// What the cases of guest memory copy.
const ACCESS_SIZE: usize = 512;

/// Anonymous memory of `count` regions, each starting where the one before it ends.
fn adjacent_regions(count: u64, size: usize) -> GuestMemoryMmap<()> {
    let ranges: Vec<_> = (0..count)
        .map(|index| (GuestAddress(index * size as u64), size))
        .collect();
    GuestMemoryMmap::from_ranges(&ranges).expect("the regions should map")
}
