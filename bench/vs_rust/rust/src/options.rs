// SPDX-License-Identifier: Apache-2.0

//! The command line.

use std::time::Duration;

pub const USAGE: &str = "\
Usage: guest-memory-bench [--time-ms N] [--filter SUBSTRING] [--limits] [--list]

  --time-ms N         measure each case for N milliseconds (default 200)
  --filter SUBSTRING  only the cases whose name contains SUBSTRING
  --limits            libc memcpy and memset and a volatile u32 loop, instead of the cases
  --list              print the names, one per line, and measure nothing";

pub struct Options {
    pub time: Duration,
    pub filter: Option<String>,
    pub limits: bool,
    pub list: bool,
    pub help: bool,
}

impl Options {
    pub fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Self {
            time: Duration::from_millis(200),
            filter: None,
            limits: false,
            list: false,
            help: false,
        };
        while let Some(argument) = arguments.next() {
            let mut value = || {
                arguments
                    .next()
                    .ok_or_else(|| format!("{argument} needs a value"))
            };
            match argument.as_str() {
                "--time-ms" => options.time = parse_milliseconds(&value()?)?,
                "--filter" => options.filter = Some(value()?),
                "--limits" => options.limits = true,
                "--list" => options.list = true,
                "--help" | "-h" => options.help = true,
                _ => return Err(format!("unknown argument: {argument}")),
            }
        }
        Ok(options)
    }
}

fn parse_milliseconds(text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(milliseconds @ 1..) => Ok(Duration::from_millis(milliseconds)),
        _ => Err(format!(
            "--time-ms needs a positive whole number, not {text:?}"
        )),
    }
}
