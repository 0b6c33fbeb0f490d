// SPDX-License-Identifier: Apache-2.0

//! Integers as JSON that a double-based reader cannot round: decimal strings from 2^53 on.

use serde_json::Value;

const EXACT: u64 = 1 << 53;

pub fn uint(value: u64) -> Value {
    if value < EXACT {
        value.into()
    } else {
        value.to_string().into()
    }
}

pub fn size(value: usize) -> Value {
    uint(value as u64)
}

pub fn int(value: i64) -> Value {
    if value.unsigned_abs() < EXACT {
        value.into()
    } else {
        value.to_string().into()
    }
}
