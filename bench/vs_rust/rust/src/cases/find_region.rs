// SPDX-License-Identifier: Apache-2.0

//! Looking regions up: one iteration finds each of 256 regions once, by its first address.

use std::hint::black_box;

use vm_memory::{GuestAddress, GuestMemoryBackend, GuestMemoryMmap};

use super::adjacent_regions;
use crate::harness::Suite;

const REGION_COUNT: u64 = 256;
const REGION_SIZE: usize = 1 << 20;

pub fn add_to(suite: &mut Suite) {
    let memory = adjacent_regions(REGION_COUNT, REGION_SIZE);
    suite.case("find_region", || find_every_region(black_box(&memory)));
}

fn find_every_region(memory: &GuestMemoryMmap<()>) {
    for index in 0..REGION_COUNT {
        let start = GuestAddress(index * REGION_SIZE as u64);
        // Only that it was found is used, as upstream has it: boxing the reference too would add
        // a store to each look-up.
        let _ = memory.find_region(black_box(start)).unwrap();
    }
}
