// SPDX-License-Identifier: Apache-2.0

//! What this machine gives a C program: the copies and fills of its C library, and reads that the
//! compiler may neither merge nor widen.

use std::hint::black_box;
use std::ptr;

use crate::harness::Suite;

const SIZES: [usize; 7] = [64, 512, 4 << 10, 64 << 10, 1 << 20, 16 << 20, 64 << 20];
const LARGEST: usize = SIZES[SIZES.len() - 1];

pub fn add_to(suite: &mut Suite) {
    let source = Mapping::new(LARGEST);
    let target = Mapping::new(LARGEST);

    // Lengths are boxed so that the calls reach the C library: a length the compiler knows would
    // become a few moves in place.
    for bytes in SIZES {
        suite.case(format!("memcpy_{bytes}"), || {
            // SAFETY: both mappings hold at least `bytes` bytes and are apart.
            unsafe { libc::memcpy(target.start, source.start, black_box(bytes)) }
        });
    }
    for bytes in SIZES {
        suite.case(format!("memset_{bytes}"), || {
            // SAFETY: the mapping holds at least `bytes` bytes.
            unsafe { libc::memset(target.start, black_box(0x5a), black_box(bytes)) }
        });
    }
    for bytes in SIZES {
        suite.case(format!("volatile_u32_{bytes}"), || {
            let words: *const u32 = source.start.cast();
            (0..black_box(bytes) / size_of::<u32>()).fold(0u32, |sum, index| {
                // SAFETY: the mapping is page aligned and holds at least `bytes` bytes.
                sum.wrapping_add(unsafe { words.add(index).read_volatile() })
            })
        });
    }
}

/// Anonymous private memory with every page present.
struct Mapping {
    start: *mut libc::c_void,
    length: usize,
}

impl Mapping {
    fn new(length: usize) -> Self {
        // SAFETY: a new mapping, placed by the kernel, takes no memory that is in use.
        let start = unsafe {
            libc::mmap(
                ptr::null_mut(),
                length,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        assert_ne!(start, libc::MAP_FAILED, "the mapping should be made");
        // Written, not only read: pages that were only read would all be the one zero page, and a
        // copy from them would never leave the first cache.
        // SAFETY: the mapping is `length` bytes and writable.
        unsafe { libc::memset(start, 0xa5, length) };
        Self { start, length }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: this is the mapping made in `new`, and nothing borrows from it any more.
        unsafe { libc::munmap(self.start, self.length) };
    }
}
