// SPDX-License-Identifier: Apache-2.0

//! The simplest IOMMU: what its IOTLB does not hold cannot be resolved.

use std::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

use vm_memory::iommu::{Error, IotlbIterator, IovaRange};
use vm_memory::{GuestAddress, Iommu, Iotlb, Permissions};

#[derive(Debug, Default)]
pub struct TlbOnly(RwLock<Iotlb>);

impl TlbOnly {
    pub fn read(&self) -> RwLockReadGuard<'_, Iotlb> {
        self.0
            .read()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    pub fn write(&self) -> RwLockWriteGuard<'_, Iotlb> {
        self.0
            .write()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl Iommu for TlbOnly {
    type IotlbGuard<'a> = RwLockReadGuard<'a, Iotlb>;

    fn translate(
        &self,
        iova: GuestAddress,
        length: usize,
        access: Permissions,
    ) -> Result<IotlbIterator<Self::IotlbGuard<'_>>, Error> {
        Iotlb::lookup(self.read(), iova, length, access).map_err(|_| Error::CannotResolve {
            iova_range: IovaRange { base: iova, length },
            reason: "not in the IOTLB".to_owned(),
        })
    }
}
