// SPDX-License-Identifier: Apache-2.0

//! The benchmark cases of the `vm-memory` crate under a light harness, so that another
//! implementation can be measured beside it in the same run. With `--limits` or `--system-calls` it
//! measures what the C library does on this machine instead. One JSON object goes to stdout.

mod cases;
mod harness;
mod options;
mod program;
mod report;

use std::process::ExitCode;

fn main() -> ExitCode {
    program::run("vm-memory 0.18.0", |suite, options| {
        if options.limits {
            cases::limits::add_to(suite);
        } else if options.system_calls {
            cases::system_calls::add_to(suite, options.threads);
        } else {
            cases::guest_memory::add_to(suite);
            cases::find_region::add_to(suite);
            cases::volatile_slice::add_to(suite);
        }
    })
}
