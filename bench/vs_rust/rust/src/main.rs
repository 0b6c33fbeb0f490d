// SPDX-License-Identifier: Apache-2.0

//! The benchmark cases of the `vm-memory` crate under a light harness, so that another
//! implementation can be measured beside it in the same run. With `--limits` it measures what the
//! C library does on this machine instead. One JSON object goes to stdout.

mod cases;
mod harness;
mod options;
mod report;

use std::process::ExitCode;

use harness::{Mode, Suite};
use options::Options;

fn main() -> ExitCode {
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(message) => {
            eprintln!("{message}\n\n{}", options::USAGE);
            return ExitCode::from(2);
        }
    };
    if options.help {
        println!("{}", options::USAGE);
        return ExitCode::SUCCESS;
    }

    let mode = if options.list {
        Mode::List
    } else {
        Mode::Measure(options.time)
    };
    let mut suite = Suite::new(mode, options.filter);
    if options.limits {
        cases::limits::add_to(&mut suite);
    } else {
        cases::guest_memory::add_to(&mut suite);
        cases::find_region::add_to(&mut suite);
        cases::volatile_slice::add_to(&mut suite);
    }

    if options.list {
        for case in suite.cases() {
            println!("{}", case.name);
        }
    } else {
        println!("{}", report::to_json(suite.cases()));
    }
    ExitCode::SUCCESS
}
