// SPDX-License-Identifier: Apache-2.0

//! The least that a region can be: a range without memory behind it.

use vm_memory::{GuestAddress, GuestMemoryRegion, GuestMemoryRegionBytes, GuestUsize};

#[derive(Debug)]
pub struct BareRegion {
    pub start: u64,
    pub len: u64,
}

impl GuestMemoryRegion for BareRegion {
    type B = ();

    fn len(&self) -> GuestUsize {
        self.len
    }

    fn start_addr(&self) -> GuestAddress {
        GuestAddress(self.start)
    }

    fn bitmap(&self) {}
}

impl GuestMemoryRegionBytes for BareRegion {}
