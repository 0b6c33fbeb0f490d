// SPDX-License-Identifier: Apache-2.0

//! File descriptors to read from and write to.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// An anonymous file that holds `content`.
pub fn file(content: &[u8]) -> File {
    // SAFETY: the name is a C string; the descriptor is new and nobody else's.
    let mut file = unsafe {
        let fd = libc::memfd_create(c"trace".as_ptr(), libc::MFD_CLOEXEC);
        assert!(fd >= 0, "memfd_create: {}", io::Error::last_os_error());
        File::from_raw_fd(fd)
    };
    file.write_all(content).expect("write to a memfd");
    file
}

/// `(read end, write end)` of a pipe whose read end does not block.
pub fn pipe() -> (OwnedFd, OwnedFd) {
    let mut ends = [0; 2];
    // SAFETY: `ends` has room for two descriptors, which are new and nobody else's.
    unsafe {
        let status = libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC | libc::O_NONBLOCK);
        assert_eq!(status, 0, "pipe2: {}", io::Error::last_os_error());
        (OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1]))
    }
}

/// Bytes that a pipe still holds.
pub fn unread(pipe: &OwnedFd) -> usize {
    let mut bytes: libc::c_int = 0;
    // SAFETY: FIONREAD writes one int.
    let status = unsafe { libc::ioctl(pipe.as_raw_fd(), libc::FIONREAD, &mut bytes) };
    assert_eq!(status, 0, "FIONREAD: {}", io::Error::last_os_error());
    bytes as usize
}
