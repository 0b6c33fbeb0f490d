// SPDX-License-Identifier: Apache-2.0

//! Requests of a virtqueue by `Reader` and `Writer` of the `virtio-queue` crate, measured and
//! printed as the cases of `vm-memory` are.

mod harness;
// The options of `guest-memory-bench` are accepted, and change nothing here.
#[allow(dead_code)]
mod options;
mod program;
mod report;
// The other program has the other half.
#[allow(dead_code)]
#[path = "cases/virtqueue.rs"]
mod virtqueue;

use std::process::ExitCode;

fn main() -> ExitCode {
    program::run("virtio-queue 0.18.0", |suite, _| virtqueue::add_to(suite))
}
