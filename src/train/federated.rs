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
        let (value, allowed) =
            (format!("{} × {}", self.tile[0], self.tile[1]), "multiples of four patches and of 8, up to 1024 pixels");
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
    use super::super::error::TrainError;
    use super::super::network;
    use super::super::start::Start;
    use super::SharedNetwork;
    use crate::model::{Config, NamedValues, ParameterError, ParameterSource, SafetensorsSource};
    use crate::weights::Pretrained;

    fn unfit(error: ParameterError) -> TrainError {
        TrainError::Network(error.to_string())
    }

    impl SharedNetwork {
        /// Its shape for so many classes. `backbone`: the frozen weights, where adapters are trained.
        ///
        /// # Errors
        /// [`TrainError`] when the parts do not fit together.
        pub fn shape(&self, classes: usize, backbone: Option<&Pretrained>) -> Result<Config, TrainError> {
            self.validate()?;
            if backbone.is_none() && self.config.tuning.lora().is_some() {
                return Err(TrainError::NothingToAdapt);
            }
            network::shape(&self.config, self.tile, self.components, classes, backbone)
        }

        /// The weights with which a federation begins: a safetensors file of all that is trained, drawn from the configuration's
        /// seed or taken from the backbone.
        ///
        /// # Errors
        /// [`TrainError`] when the parts do not fit together, or the backbone cannot be read.
        pub fn beginning(&self, classes: usize, backbone: Option<&Pretrained>) -> Result<Vec<u8>, TrainError> {
            let shape = self.shape(classes, backbone)?;
            let mut start = Start::new(backbone, &shape, self.config.tuning.lora(), self.config.seed)?;
            let mut trained = Vec::new();
            for (name, shape, _) in self.config.tuning.contents(&shape) {
                if start.trains(&name) {
                    let values = start.values(&name, &shape).map_err(unfit)?;
                    trained.push(NamedValues { name, shape, values });
                }
            }
            let tensors = trained.iter().map(|tensor| (tensor.name.as_str(), tensor));
            safetensors::serialize(tensors, None).map_err(|error| TrainError::Network(error.to_string()))
        }

        /// All weights of a file of this network, in official order.
        ///
        /// # Errors
        /// [`TrainError::Network`] when the file belongs to another one.
        pub fn weights(
            &self,
            classes: usize,
            backbone: Option<&Pretrained>,
            file: &[u8],
        ) -> Result<Vec<NamedValues>, TrainError> {
            let shape = self.shape(classes, backbone)?;
            let mut source = SafetensorsSource::new(file).map_err(unfit)?;
            let mut weights = Vec::new();
            for (name, shape, must) in self.config.tuning.contents(&shape) {
                if must || source.holds(&name) {
                    let values = source.values(&name, &shape).map_err(unfit)?;
                    weights.push(NamedValues { name, shape, values });
                }
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
        let file = network.beginning(3, None).unwrap();
        assert_eq!(file, network.beginning(3, None).unwrap());
        let weights = network.weights(3, None, &file).unwrap();
        let count: usize = weights.iter().map(|tensor| tensor.values.len()).sum();
        assert_eq!(count, network.shape(3, None).unwrap().parameter_count());
        assert!(network.weights(4, None, &file).unwrap_err().to_string().contains("shape"));
        assert!(network.weights(3, None, b"no file").is_err());
    }
}
