//! The weights with which a federation begins.

use super::super::message::FederatedModel;
use super::super::session::Refusal;
use crate::federation::protocol::{BlobRef, Hash};
use crate::train::SharedNetwork;
use crate::weights::Pretrained;

impl FederatedModel {
    /// Of the whole network, or of adapters of `loaded`, as the network's configuration says.
    ///
    /// # Errors
    /// A sentence when the parts do not fit together or the loaded weights cannot be read.
    pub(in super::super) fn beginning(
        network: &SharedNetwork,
        classes: usize,
        loaded: Option<&Pretrained>,
    ) -> Result<Self, Refusal> {
        let loaded = loaded.filter(|_| network.config.tuning.lora().is_some());
        let bytes = network.beginning(classes, loaded)?;
        let backbone = match loaded {
            None => None,
            Some(loaded) => {
                let sha256 = loaded.sha256()?.parse::<Hash>().map_err(|error| error.to_string())?;
                Some(BlobRef { sha256, bytes: loaded.bytes() })
            }
        };
        Ok(Self { sha256: Hash::of(&bytes), bytes: bytes.into(), backbone })
    }
}
