//! The tensors of a run as bytes, and back, whatever the run trains.

use std::collections::BTreeMap;

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::error::TrainError;
use super::optimizer::AdamW;
use super::parameters::{Names, Values, read, upload, values, with_values};

/// A checkpoint that cannot be used, and why.
pub(super) fn unusable(what: &str) -> TrainError {
    TrainError::Checkpoint(what.to_owned())
}

/// A checkpoint from its bytes, which begin with the version of its structure.
///
/// # Errors
/// [`TrainError::Checkpoint`] when the bytes are broken or from another version.
pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8], version: u32) -> Result<T, TrainError> {
    let broken = |_| unusable("it is broken");
    let (found, _) = postcard::take_from_bytes::<u32>(bytes).map_err(broken)?;
    if found != version {
        return Err(unusable("it was made by another version of this program"));
    }
    postcard::from_bytes(bytes).map_err(broken)
}

/// Named values as little-endian bytes.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct Numbers(Vec<(String, serde_bytes::ByteBuf)>);

impl Numbers {
    /// Reads groups of named tensors from their device, all in one go.
    ///
    /// # Errors
    /// [`TrainError::Device`] when the device cannot be read.
    pub(super) async fn read<const N: usize>(groups: [Vec<(String, Tensor<1>)>; N]) -> Result<[Self; N], TrainError> {
        let counts = groups.each_ref().map(Vec::len);
        let (names, tensors): (Vec<_>, Vec<_>) = groups.into_iter().flatten().unzip();
        let data = read(tensors).await?;
        let mut named = names.into_iter().zip(data).map(|(name, values)| {
            let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            (name, serde_bytes::ByteBuf::from(bytes))
        });
        Ok(counts.map(|count| Self(named.by_ref().take(count).collect())))
    }

    fn decode(self) -> Result<BTreeMap<String, Vec<f32>>, TrainError> {
        let numbers = |(name, bytes): (String, serde_bytes::ByteBuf)| {
            let (chunks, rest) = bytes.as_chunks::<4>();
            if !rest.is_empty() {
                return Err(TrainError::Checkpoint(format!("{name} is cut short")));
            }
            Ok((name, chunks.iter().map(|chunk| f32::from_le_bytes(*chunk)).collect()))
        };
        self.0.into_iter().map(numbers).collect()
    }

    /// Back to `device`, where they have the names and lengths of `like`; `what` is for the error.
    ///
    /// # Errors
    /// [`TrainError::Checkpoint`] when they are others or cut short.
    pub(super) fn restore(self, like: &Values, what: &str, device: &Device) -> Result<Values, TrainError> {
        let found = upload(&self.decode()?, device);
        let fits = found.len() == like.len()
            && like.iter().all(|(name, own)| found.get(name).is_some_and(|other| other.dims() == own.dims()));
        if fits { Ok(found) } else { Err(TrainError::Checkpoint(format!("its {what} do not fit the network"))) }
    }
}

/// What is trained, with the state of its optimiser.
#[derive(Serialize, Deserialize)]
pub(super) struct Learned {
    pub steps: u32,
    pub weights: Numbers,
    pub moments: Numbers,
}

impl Learned {
    /// Puts it back on `device`, into a network of the same shape and its optimiser.
    ///
    /// # Errors
    /// [`TrainError::Checkpoint`] when it does not fit; the network is gone then.
    pub(super) fn restore<M: Module>(
        self,
        model: M,
        names: &Names,
        optimizer: &mut AdamW,
        device: &Device,
    ) -> Result<M, TrainError> {
        let weights = self.weights.restore(&values(&model, names), "weights", device)?;
        let moments = self.moments.decode()?.into_iter().collect();
        optimizer
            .restore(self.steps, moments, device)
            .map_err(|name| TrainError::Checkpoint(format!("the optimiser's state of {name} is broken")))?;
        Ok(with_values(model, names, &weights))
    }
}
