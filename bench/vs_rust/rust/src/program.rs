// SPDX-License-Identifier: Apache-2.0

//! What the programs have in common: arguments in, measurements out.

use std::process::ExitCode;

use crate::harness::{Mode, Suite};
use crate::options::{Options, USAGE};
use crate::report;

/// Measures the cases that `add_cases` adds.
///
/// `measured` is the crate with its version, which `Cargo.toml` pins.
pub fn run(measured: &str, add_cases: impl FnOnce(&mut Suite, &Options)) -> ExitCode {
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(message) => {
            eprintln!("{message}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    if options.help {
        println!("{USAGE}");
        return ExitCode::SUCCESS;
    }

    let mode = if options.list {
        Mode::List
    } else {
        Mode::Measure(options.time)
    };
    let mut suite = Suite::new(mode, options.filter.clone());
    add_cases(&mut suite, &options);

    if options.list {
        for case in suite.cases() {
            println!("{}", case.name);
        }
    } else {
        println!("{}", report::to_json(measured, suite.cases()));
    }
    ExitCode::SUCCESS
}
