// SPDX-License-Identifier: Apache-2.0

//! The types that objects, references and arrays are recorded with: their names, values and JSON.

use serde_json::{json, Value};
use vm_memory::{Be16, Be32, Be64, ByteValued, Le16, Le32, Le64};

use crate::number::{int, uint};
use crate::pattern::hex;
use crate::rng::Rng;

/// A type whose values can be drawn and written down.
pub trait Sample: ByteValued {
    const NAME: &'static str;
    fn sample(rng: &mut Rng) -> Self;
    fn json(&self) -> Value;
}

/// 64 bits that are small, on an edge or anything.
fn bits(rng: &mut Rng) -> u64 {
    match rng.below(10) {
        0..=2 => rng.below(256),
        3 => 0,
        4 => u64::MAX,
        5 => 1 << 63,
        _ => rng.u64(),
    }
}

macro_rules! sample_integers {
    ($($T:ident $wide:ident $write:ident),*) => {$(
        impl Sample for $T {
            const NAME: &'static str = stringify!($T);
            fn sample(rng: &mut Rng) -> Self {
                bits(rng) as $T
            }
            fn json(&self) -> Value {
                $write(*self as $wide)
            }
        }
    )*};
}

sample_integers!(u8 u64 uint, u16 u64 uint, u32 u64 uint, u64 u64 uint);
sample_integers!(i8 i64 int, i16 i64 int, i32 i64 int, i64 i64 int);

macro_rules! sample_endian {
    ($($T:ident $native:ident $name:literal),*) => {$(
        impl Sample for $T {
            const NAME: &'static str = $name;
            fn sample(rng: &mut Rng) -> Self {
                $native::sample(rng).into()
            }
            fn json(&self) -> Value {
                self.to_native().json()
            }
        }
    )*};
}

sample_endian!(Le16 u16 "le16", Le32 u32 "le32", Le64 u64 "le64");
sample_endian!(Be16 u16 "be16", Be32 u32 "be32", Be64 u64 "be64");

macro_rules! sample_byte_arrays {
    ($($n:literal $name:literal),*) => {$(
        impl Sample for [u8; $n] {
            const NAME: &'static str = $name;
            fn sample(rng: &mut Rng) -> Self {
                std::array::from_fn(|_| rng.u64() as u8)
            }
            fn json(&self) -> Value {
                hex(self).into()
            }
        }
    )*};
}

sample_byte_arrays!(3 "u8x3", 7 "u8x7", 16 "u8x16", 32 "u8x32");

macro_rules! sample_word_arrays {
    ($($T:ident $n:literal $name:literal),*) => {$(
        impl Sample for [$T; $n] {
            const NAME: &'static str = $name;
            fn sample(rng: &mut Rng) -> Self {
                std::array::from_fn(|_| $T::sample(rng))
            }
            fn json(&self) -> Value {
                self.iter().map(Sample::json).collect()
            }
        }
    )*};
}

sample_word_arrays!(u16 3 "u16x3", i32 4 "i32x4");

/// A virtqueue descriptor: 16 bytes without padding.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Desc {
    addr: u64,
    len: u32,
    flags: u16,
    next: u16,
}

// SAFETY: every bit pattern is a value of its integer fields, and there is no padding between them.
unsafe impl ByteValued for Desc {}

impl Sample for Desc {
    const NAME: &'static str = "desc";

    fn sample(rng: &mut Rng) -> Self {
        Desc {
            addr: Sample::sample(rng),
            len: Sample::sample(rng),
            flags: Sample::sample(rng),
            next: Sample::sample(rng),
        }
    }

    fn json(&self) -> Value {
        json!([uint(self.addr), self.len, self.flags, self.next])
    }
}

/// A packed record of 7 bytes: nothing in it is aligned.
#[derive(Clone, Copy)]
#[repr(C, packed)]
pub struct Packed {
    tag: u8,
    value: u32,
    check: Be16,
}

// SAFETY: every bit pattern is a value of its integer fields, and a packed structure has no padding.
unsafe impl ByteValued for Packed {}

impl Sample for Packed {
    const NAME: &'static str = "packed";

    fn sample(rng: &mut Rng) -> Self {
        Packed {
            tag: Sample::sample(rng),
            value: Sample::sample(rng),
            check: Sample::sample(rng),
        }
    }

    fn json(&self) -> Value {
        let Packed { tag, value, check } = *self;
        json!([tag, value, check.to_native()])
    }
}

/// Evaluates `$body` with `$T` standing for a scalar type drawn from those with atomic access.
macro_rules! with_scalar {
    ($rng:expr, $T:ident => $body:expr) => {
        $crate::sample::with_type!($rng, $T => $body; u8, u16, u32, u64, i8, i16, i32, i64)
    };
}

/// The same for the element types of arrays.
macro_rules! with_element {
    ($rng:expr, $T:ident => $body:expr) => {
        $crate::sample::with_type!($rng, $T => $body; u8, u16, u32, u64)
    };
}

/// The same for everything that `read_obj` and `write_obj` are recorded with.
macro_rules! with_object {
    ($rng:expr, $T:ident => $body:expr) => {
        $crate::sample::with_type!($rng, $T => $body;
            u8, u16, u32, u64, u32, u64, i8, i16, i32, i64,
            vm_memory::Le16, vm_memory::Le32, vm_memory::Le64,
            vm_memory::Be16, vm_memory::Be32, vm_memory::Be64,
            [u8; 3], [u8; 7], [u8; 16], [u8; 32], [u16; 3], [i32; 4],
            $crate::sample::Desc, $crate::sample::Packed)
    };
}

macro_rules! with_type {
    ($rng:expr, $T:ident => $body:expr; $($Choice:ty),*) => {{
        let choices = 0 $(+ { let _: Option<$Choice> = None; 1 })*;
        let chosen = $rng.below(choices);
        let mut index = 0;
        loop {
            $({
                if chosen == index {
                    type $T = $Choice;
                    break $body;
                }
                index += 1;
            })*
            let _ = index;
            unreachable!("the index is below the number of types");
        }
    }};
}

pub(crate) use {with_element, with_object, with_scalar, with_type};
