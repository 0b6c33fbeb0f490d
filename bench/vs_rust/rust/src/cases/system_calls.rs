// SPDX-License-Identifier: Apache-2.0

//! The system calls of the cases with files, by the C library's `read` and `write` alone, in a
//! process with as many threads as is asked for: in a process with more than one, the kernel counts
//! references to the descriptor, and the C library allows for cancellation of the thread.

use std::fs::{File, OpenOptions};
use std::hint::black_box;
use std::os::fd::AsRawFd;
use std::sync::Barrier;
use std::thread;

use super::ACCESS_SIZE;
use crate::harness::{Aligned, Suite};

pub fn add_to(suite: &mut Suite, threads: u64) {
    let measured = Barrier::new(threads as usize);
    thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(|| measured.wait());
        }
        add_calls(suite);
        measured.wait();
    });
}

fn add_calls(suite: &mut Suite) {
    let zeros = File::open("/dev/zero").expect("/dev/zero should open");
    let null = OpenOptions::new()
        .write(true)
        .open("/dev/null")
        .expect("/dev/null should open");
    let (zeros, null) = (zeros.as_raw_fd(), null.as_raw_fd());
    let Aligned(buffer) = &mut Aligned([0x5au8; ACCESS_SIZE]);
    let bytes = buffer.as_mut_ptr().cast();

    suite.case("read_from_file", || {
        // SAFETY: `buffer` is writable and of this length.
        let count = unsafe { libc::read(zeros, bytes, black_box(ACCESS_SIZE)) };
        assert_eq!(count, ACCESS_SIZE as isize);
    });
    suite.case("write_to_file", || {
        // SAFETY: `buffer` is readable and of this length.
        let count = unsafe { libc::write(null, bytes, black_box(ACCESS_SIZE)) };
        assert_eq!(count, ACCESS_SIZE as isize);
    });
}
