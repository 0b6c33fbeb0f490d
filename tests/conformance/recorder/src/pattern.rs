// SPDX-License-Identifier: Apache-2.0

//! Bytes that a trace names instead of spelling out: generated going in, digested coming out.

use sha2::{Digest, Sha256};

/// What every buffer that is read into holds beforehand, so that untouched bytes show.
pub const UNTOUCHED: u8 = 0xA5;

/// The longest run of bytes that a trace spells out.
const SPELLED_OUT: usize = 16;

/// `len` bytes of the pattern named `seed`.
pub fn bytes(seed: u32, len: usize) -> Vec<u8> {
    (0..len as u32).map(|i| byte(seed, i)).collect()
}

fn byte(seed: u32, index: u32) -> u8 {
    let mut x = seed.wrapping_add(index.wrapping_mul(2_654_435_761));
    x ^= x >> 15;
    x = x.wrapping_mul(0x2C1B_3C6D);
    x ^= x >> 12;
    x = x.wrapping_mul(0x297A_2D39);
    x ^= x >> 15;
    x as u8
}

pub fn untouched(len: usize) -> Vec<u8> {
    vec![UNTOUCHED; len]
}

/// Hexadecimal up to 16 bytes, else the first 16 hexadecimal digits of the SHA-256.
pub fn digest(bytes: &[u8]) -> String {
    if bytes.len() <= SPELLED_OUT {
        hex(bytes)
    } else {
        format!("sha:{}", &sha256(bytes)[..16])
    }
}

pub fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pattern_is_the_documented_one() {
        assert_eq!(hex(&bytes(0, 8)), "00356b0c1e3db05a");
        assert_eq!(hex(&bytes(u32::MAX, 8)), "046612658302e671");
    }

    #[test]
    fn digest_spells_out_short_runs_only() {
        assert_eq!(digest(&[]), "");
        assert_eq!(digest(&[1, 255]), "01ff");
        assert_eq!(digest(&[0; 16]).len(), 32);
        assert_eq!(digest(&[0; 17]).len(), 20);
    }
}
