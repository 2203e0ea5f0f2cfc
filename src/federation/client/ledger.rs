//! What has gone over the network, byte for byte, by type.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::transport::Traffic;

/// Bytes of bodies; headers are not counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Bytes {
    pub up: u64,
    pub down: u64,
}

/// Bytes of each type. What was sent twice counts twice.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Ledger(BTreeMap<Traffic, Bytes>);

impl Ledger {
    pub(super) fn add(&mut self, traffic: Traffic, up: usize, down: usize) {
        let bytes = self.0.entry(traffic).or_default();
        bytes.up += up as u64;
        bytes.down += down as u64;
    }

    /// Types that occurred.
    pub fn iter(&self) -> impl Iterator<Item = (Traffic, Bytes)> + '_ {
        self.0.iter().map(|(traffic, bytes)| (*traffic, *bytes))
    }

    pub fn of(&self, traffic: Traffic) -> Bytes {
        self.0.get(&traffic).copied().unwrap_or_default()
    }

    pub fn total(&self) -> Bytes {
        self.0
            .values()
            .fold(Bytes::default(), |sum, bytes| Bytes { up: sum.up + bytes.up, down: sum.down + bytes.down })
    }
}
