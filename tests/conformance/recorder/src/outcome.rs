// SPDX-License-Identifier: Apache-2.0

//! What an operation came to: `{"ok": value}`, `{"err": variant, fields}` or `{"panic": true}`.

use std::io;
use std::panic::{catch_unwind, AssertUnwindSafe};

use serde_json::{json, Map, Value};
use vm_memory::iommu::{Error as IommuError, IotlbFails};
use vm_memory::mmap::{FromRangesError, MmapRegionError};
use vm_memory::{GuestMemoryError, GuestRegionCollectionError, VolatileMemoryError};

use crate::number::{size, uint};

/// The result column of a line.
pub struct Outcome(Map<String, Value>);

impl Outcome {
    pub fn ok(value: impl Into<Value>) -> Self {
        Outcome(Map::from_iter([("ok".to_owned(), value.into())]))
    }

    /// Runs `f`; a panic becomes an outcome.
    pub fn of(f: impl FnOnce() -> Outcome) -> Self {
        catch_unwind(AssertUnwindSafe(f))
            .unwrap_or_else(|_| Outcome(Map::from_iter([("panic".to_owned(), true.into())])))
    }

    pub fn fault(fault: &impl Fault) -> Self {
        Outcome(fault.describe(None))
    }

    /// For calls whose errors carry host addresses: `host` is where the slice starts on the host.
    pub fn fault_at(fault: &impl Fault, host: Option<usize>) -> Self {
        Outcome(fault.describe(host))
    }

    pub fn from<T, E: Fault>(result: Result<T, E>, value: impl FnOnce(T) -> Value) -> Self {
        match result {
            Ok(t) => Outcome::ok(value(t)),
            Err(e) => Outcome::fault(&e),
        }
    }

    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.0.insert(key.to_owned(), value.into());
        self
    }

    pub fn is_err(&self) -> bool {
        self.0.contains_key("err")
    }

    pub fn field(&self, key: &str) -> Option<&Value> {
        self.0.get(key)
    }

    /// The word under which the outcome is tallied.
    pub fn label(&self) -> &str {
        match self.0.get("err") {
            Some(name) => name.as_str().unwrap_or("?"),
            None if self.0.contains_key("panic") => "panic",
            None => "ok",
        }
    }

    pub fn into_value(self) -> Value {
        Value::Object(self.0)
    }
}

/// An error of the crate, as its variant's name and those of its fields that mean something elsewhere.
pub trait Fault {
    fn describe(&self, host: Option<usize>) -> Map<String, Value>;
}

fn map(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => unreachable!("faults are objects"),
    }
}

fn io_error(error: &io::Error) -> Map<String, Value> {
    map(match error.raw_os_error() {
        Some(errno) => json!({"err": "IOError", "errno": errno}),
        None => json!({"err": "IOError", "kind": format!("{:?}", error.kind())}),
    })
}

fn partial_buffer(expected: usize, completed: usize) -> Map<String, Value> {
    map(json!({
        "err": "PartialBuffer",
        "expected": size(expected),
        "completed": size(completed),
    }))
}

impl Fault for GuestMemoryError {
    fn describe(&self, _host: Option<usize>) -> Map<String, Value> {
        match self {
            GuestMemoryError::InvalidGuestAddress(address) => {
                map(json!({"err": "InvalidGuestAddress", "address": uint(address.0)}))
            }
            GuestMemoryError::IOError(error) => io_error(error),
            GuestMemoryError::PartialBuffer {
                expected,
                completed,
            } => partial_buffer(*expected, *completed),
            GuestMemoryError::InvalidBackendAddress => map(json!({"err": "InvalidBackendAddress"})),
            GuestMemoryError::HostAddressNotAvailable => {
                map(json!({"err": "HostAddressNotAvailable"}))
            }
            GuestMemoryError::CallbackOutOfRange => map(json!({"err": "CallbackOutOfRange"})),
            GuestMemoryError::GuestAddressOverflow => map(json!({"err": "GuestAddressOverflow"})),
            GuestMemoryError::IommuError(error) => iommu_error(error),
        }
    }
}

fn iommu_error(error: &IommuError) -> Map<String, Value> {
    let (cause, range) = match error {
        IommuError::CannotResolve { iova_range, .. } => ("CannotResolve", Some(iova_range)),
        IommuError::Fragmented { iova_range, .. } => ("Fragmented", Some(iova_range)),
        IommuError::IommuMisconfigured { .. } => ("IommuMisconfigured", None),
    };
    let mut fields = map(json!({"err": "IommuError", "cause": cause}));
    if let Some(range) = range {
        fields.insert("base".to_owned(), uint(range.base.0));
        fields.insert("length".to_owned(), size(range.length));
    }
    fields
}

impl Fault for VolatileMemoryError {
    fn describe(&self, host: Option<usize>) -> Map<String, Value> {
        match (self, host) {
            (VolatileMemoryError::OutOfBounds { addr }, None) => {
                map(json!({"err": "OutOfBounds", "addr": size(*addr)}))
            }
            (VolatileMemoryError::OutOfBounds { addr }, Some(host)) => {
                map(json!({"err": "OutOfBounds", "host": size(addr.wrapping_sub(host))}))
            }
            (VolatileMemoryError::Overflow { base, offset }, None) => {
                map(json!({"err": "Overflow", "base": size(*base), "offset": size(*offset)}))
            }
            (VolatileMemoryError::Overflow { offset, .. }, Some(_)) => {
                map(json!({"err": "Overflow", "offset": size(*offset)}))
            }
            (
                VolatileMemoryError::TooBig {
                    nelements,
                    size: each,
                },
                _,
            ) => map(json!({"err": "TooBig", "nelements": size(*nelements), "size": each})),
            (VolatileMemoryError::Misaligned { addr, alignment }, _) => {
                map(json!({"err": "Misaligned", "pageOffset": addr % 4096, "alignment": alignment}))
            }
            (VolatileMemoryError::IOError(error), _) => io_error(error),
            (
                VolatileMemoryError::PartialBuffer {
                    expected,
                    completed,
                },
                _,
            ) => partial_buffer(*expected, *completed),
        }
    }
}

impl Fault for GuestRegionCollectionError {
    fn describe(&self, _host: Option<usize>) -> Map<String, Value> {
        map(json!({"err": match self {
            GuestRegionCollectionError::NoMemoryRegion => "NoMemoryRegion",
            GuestRegionCollectionError::MemoryRegionOverlap => "MemoryRegionOverlap",
            GuestRegionCollectionError::UnsortedMemoryRegions => "UnsortedMemoryRegions",
        }}))
    }
}

impl Fault for FromRangesError {
    fn describe(&self, host: Option<usize>) -> Map<String, Value> {
        match self {
            FromRangesError::Collection(error) => error.describe(host),
            FromRangesError::MmapRegion(MmapRegionError::Mmap(error)) => {
                map(json!({"err": "Mmap", "errno": error.raw_os_error()}))
            }
            FromRangesError::MmapRegion(_) => map(json!({"err": "MmapRegion"})),
            FromRangesError::InvalidGuestRegion => map(json!({"err": "InvalidGuestRegion"})),
        }
    }
}

impl Fault for IotlbFails {
    fn describe(&self, _host: Option<usize>) -> Map<String, Value> {
        let ranges = |list: &[vm_memory::iommu::IovaRange]| -> Value {
            list.iter()
                .map(|r| json!([uint(r.base.0), size(r.length)]))
                .collect()
        };
        map(json!({
            "err": "IotlbFails",
            "misses": ranges(&self.misses),
            "accessFails": ranges(&self.access_fails),
        }))
    }
}
