//! The proximal term of FedProx (Li et al., 2020, arXiv 1812.06127).

use burn::tensor::Tensor;

use super::parameters::Values;
use super::regularizer::{Regularizer, Weight};

/// The penalty μ/2 · ‖w − w₀‖² that keeps a run near the weights w₀ from which it began.
pub struct Proximal {
    strength: f64,
    anchor: Values,
}

impl Proximal {
    /// μ and w₀, for example [`Trainer::values`](super::Trainer::values) before the first step. Tensors that the anchor lacks
    /// are left alone. μ = 0 changes no bit of a run.
    pub fn new(strength: f64, anchor: Values) -> Self {
        Self { strength, anchor }
    }
}

impl Regularizer for Proximal {
    fn gradient(&self, weight: &Weight<'_>) -> Option<Tensor<1>> {
        let anchor = self.anchor.get(weight.name).filter(|anchor| anchor.dims() == weight.values.dims())?;
        (self.strength != 0.0).then(|| (weight.values.clone() - anchor.clone()).mul_scalar(self.strength))
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;

    #[test]
    fn the_gradient_leads_back_to_the_anchor() {
        let device = Device::flex();
        let values = Tensor::<1>::from_floats([1.0, -2.0, 0.5], &device);
        let anchor = Values::from([("w".to_owned(), Tensor::from_floats([0.0, -1.0, 0.5], &device))]);
        let gradient = |name, strength| {
            let weight = Weight { name, rank: 1, values: &values, steps: 0 };
            let gradient = Proximal::new(strength, anchor.clone()).gradient(&weight)?;
            Some(gradient.into_data().iter::<f32>().collect::<Vec<_>>())
        };
        assert_eq!(gradient("w", 0.5), Some(vec![0.5, -0.5, 0.0]));
        assert_eq!(gradient("w", 0.0), None);
        assert_eq!(gradient("other", 0.5), None);
    }
}
