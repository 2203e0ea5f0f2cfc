//! What all clients of a federation build and do alike: `model.settings` of its definition, beside the weights.

use serde::{Deserialize, Serialize};

use super::config::{ConfigError, TrainConfig};

/// A network that scenes of any size share, and the recipe by which it is trained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SharedNetwork {
    /// Size, patch and width of the network, learning rate and augmentation of its training. Its epochs are not used: the
    /// definition has them.
    pub config: TrainConfig,
    /// Height and width of the network's input in pixels, multiples of four patches and of 8.
    pub tile: [usize; 2],
    /// Components of the input.
    pub components: usize,
}

impl SharedNetwork {
    /// # Errors
    /// [`ConfigError`] names the field that cannot be used.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.config.validate()?;
        let multiple = (4 * self.config.patch()).max(8);
        let sound = self.tile.iter().all(|side| (multiple..=1024).contains(side) && side.is_multiple_of(multiple));
        let (value, allowed) = (format!("{:?}", self.tile), "multiples of four patches and of 8, up to 1024 pixels");
        if sound { Ok(()) } else { Err(ConfigError { field: "tile", value, allowed }) }
    }

    /// The configuration of `epochs` local epochs of one round. Nothing is averaged or chosen within a round: rounds do that.
    pub fn local(&self, epochs: usize, seed: u64) -> TrainConfig {
        TrainConfig {
            epochs,
            seed,
            components: self.components,
            validate_every: 0,
            keep_best: false,
            patience: 0,
            weight_average: 0.0,
            ..self.config.clone()
        }
    }
}

#[cfg(feature = "model")]
mod building {
    use std::collections::HashMap;

    use burn::tensor::Device;

    use super::super::error::TrainError;
    use super::super::network;
    use super::SharedNetwork;
    use crate::model::{Config, NamedValues, ParameterSource, SafetensorsSource, names};

    impl SharedNetwork {
        /// Its shape for so many classes.
        ///
        /// # Errors
        /// [`TrainError`] when the parts do not fit together.
        pub fn shape(&self, classes: usize) -> Result<Config, TrainError> {
            self.validate()?;
            network::shape(&self.config, self.tile, self.components, classes, None)
        }

        /// The weights with which a federation begins: a safetensors file, drawn from the configuration's seed.
        ///
        /// # Errors
        /// [`TrainError`] when the parts do not fit together.
        pub async fn beginning(&self, classes: usize) -> Result<Vec<u8>, TrainError> {
            let network = network::start(&self.shape(classes)?, &self.config, None, &Device::flex())?;
            network.to_safetensors(HashMap::new()).await.map_err(|error| TrainError::Network(error.to_string()))
        }

        /// All weights of a file of this network, in official order.
        ///
        /// # Errors
        /// [`TrainError::Network`] when the file belongs to another one.
        pub fn weights(&self, classes: usize, file: &[u8]) -> Result<Vec<NamedValues>, TrainError> {
            let unfit = |error: crate::model::ParameterError| TrainError::Network(error.to_string());
            let shape = self.shape(classes)?;
            let mut source = SafetensorsSource::new(file).map_err(unfit)?;
            let mut weights = Vec::new();
            for (name, shape) in names::live(&shape) {
                let values = source.values(&name, &shape).map_err(unfit)?;
                weights.push(NamedValues { name, shape, values });
            }
            Ok(weights)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::config::ModelSize;
    use super::*;

    fn network() -> SharedNetwork {
        SharedNetwork { config: TrainConfig::preset(ModelSize::Tiny), tile: [32, 32], components: 5 }
    }

    #[test]
    fn tiles_that_no_network_has_are_refused() {
        assert_eq!(network().validate(), Ok(()));
        for tile in [[0, 32], [32, 4], [30, 32], [2048, 32]] {
            let error = SharedNetwork { tile, ..network() }.validate().unwrap_err();
            assert_eq!(error.field, "tile", "{tile:?}");
        }
    }

    #[cfg(feature = "model")]
    #[test]
    fn the_beginning_is_the_same_everywhere_and_read_back_whole() {
        let network = network();
        let file = burn::tensor::read_sync(network.beginning(3)).unwrap();
        assert_eq!(file, burn::tensor::read_sync(network.beginning(3)).unwrap());
        let weights = network.weights(3, &file).unwrap();
        let count: usize = weights.iter().map(|tensor| tensor.values.len()).sum();
        assert_eq!(count, network.shape(3).unwrap().parameter_count());
        assert!(network.weights(4, &file).unwrap_err().to_string().contains("shape"));
        assert!(network.weights(3, b"no file").is_err());
    }
}
