//! Masked autoencoding of both encoders, the official pre-training (MAE_Spat.py, MAE_Spec.py), on networks of any size.
//!
//! Officially an encoder sees only the visible tokens and attends among all of them; a second transformer then fills the
//! gaps. Sparse sampling needs the whole grid, so here a learned token takes the place of what is masked before the encoder
//! and one linear map reads the gaps off its output (Xie et al., SimMIM, 2022). So sampling offsets are pre-trained, too,
//! which officially start fresh. Targets are normalised patch by patch and the loss counts masked tokens only, as officially.

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor, TensorData};
use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::config::Config;
use super::layers::Linear;
use super::network::{HyperSigma, ModelError};
use super::parameters::{Builder, Parameter, ParameterError, ParameterSource};

/// Added to the variance of a patch before it is normalised (MAE_Spat.py: norm_pix_loss).
const EPSILON: f64 = 1e-6;

/// Which tokens are hidden.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mask(Vec<bool>);

impl Mask {
    /// Hides a share of a token grid in squares of `cell × cell` tokens, chosen at random; at least one square is hidden and
    /// one stays. Squares at the border may be cut.
    pub fn draw([rows, cols]: [usize; 2], cell: usize, ratio: f64, random: &mut ChaCha8Rng) -> Self {
        let cell = cell.max(1);
        let across = cols.div_ceil(cell);
        let cells = rows.div_ceil(cell) * across;
        let hidden = ((cells as f64 * ratio).round() as usize).clamp(1.min(cells), cells.saturating_sub(1).max(1));
        let mut order: Vec<usize> = (0..cells).collect();
        for first in 0..hidden.min(cells) {
            order.swap(first, random.random_range(first..cells));
        }
        let mut masked = vec![false; cells];
        order[..hidden].iter().for_each(|&cell| masked[cell] = true);
        Self((0..rows * cols).map(|at| masked[at / cols / cell * across + at % cols / cell]).collect())
    }

    /// True where a token is hidden, row-major.
    pub fn hidden(&self) -> &[bool] {
        &self.0
    }

    /// 1 where a token is hidden, else 0: `[tokens, 1]`.
    fn tensor(&self, device: &Device) -> Tensor<2> {
        let values: Vec<f32> = self.0.iter().map(|hidden| f32::from(u8::from(*hidden))).collect();
        Tensor::from_data(TensorData::new(values, [self.0.len(), 1]), device)
    }
}

/// What stands for hidden tokens before an encoder.
pub(super) struct Cover {
    /// 1 where a token is hidden, `[tokens, 1]`.
    hidden: Tensor<2>,
    /// `[D]`
    token: Tensor<1>,
}

impl Cover {
    /// Embedded tokens `[B, tokens, D]` with the hidden ones replaced.
    pub(super) fn over(&self, x: Tensor<3>) -> Tensor<3> {
        let hidden = self.hidden.clone().unsqueeze::<3>(); // [1, tokens, 1]
        let seen = hidden.clone().neg().add_scalar(1.0);
        x * seen + hidden * self.token.clone().unsqueeze::<3>()
    }
}

/// Reads the hidden tokens off an encoder's output.
#[derive(Module, Debug)]
struct Decoder {
    /// `[D]`
    mask_token: Param<Tensor<1>>,
    /// D → values of a token
    pred: Linear,
}

impl Decoder {
    fn new(builder: &mut Builder, name: &str, dim: usize, values: usize) -> Result<Self, ParameterError> {
        Ok(Self {
            mask_token: builder.vector(format!("{name}.mask_token"), dim)?,
            pred: Linear::new(builder, &format!("{name}.decoder_pred"), dim, values)?,
        })
    }

    fn cover(&self, mask: &Mask, device: &Device) -> Cover {
        Cover { hidden: mask.tensor(device), token: self.mask_token.val() }
    }

    /// Mean squared error of the hidden tokens, `[1]`: output of the encoder `[tokens, D]`, what it was shown
    /// `[tokens, values]`.
    fn loss(&self, tokens: Tensor<2>, shown: Tensor<2>, mask: &Mask) -> Tensor<1> {
        let hidden = mask.tensor(&shown.device());
        let centred = shown.clone() - shown.mean_dim(1);
        let deviation = centred.clone().mul(centred.clone()).mean_dim(1).add_scalar(EPSILON).sqrt();
        let error = self.pred.forward(tokens) - centred / deviation;
        let count = mask.0.iter().filter(|hidden| **hidden).count().max(1);
        (error.clone() * error).mean_dim(1).mul(hidden).sum().div_scalar(count as f64)
    }
}

/// A network with what pre-training adds to it. Its classes are features: what the head has before the last layer.
#[derive(Module, Debug)]
pub struct Autoencoder {
    network: HyperSigma,
    spatial: Decoder,
    spectral: Decoder,
    /// Classes → components: reads off the features what lies around a pixel.
    surroundings: Linear,
}

impl Autoencoder {
    /// A network and its decoders with parameters from `source` on `device`; and the table of all parameters.
    ///
    /// # Errors
    /// [`ModelError`] when the configuration does not fit together or the source does not fit it.
    pub fn new(
        config: &Config,
        source: &mut dyn ParameterSource,
        device: &Device,
    ) -> Result<(Self, Vec<Parameter>), ModelError> {
        let network = HyperSigma::new(config, source, device)?;
        let mut builder = Builder::new(source, device);
        let values = config.components * config.patch * config.patch;
        let spatial = Decoder::new(&mut builder, "mae_spat", config.embed_dim, values)?;
        let spectral = Decoder::new(&mut builder, "mae_spec", config.embed_dim, config.rows * config.cols)?;
        let surroundings = Linear::new(&mut builder, "mae_field.pred", config.classes, config.components)?;
        let table = [network.parameters(), &builder.finish()[..]].concat();
        Ok((Self { network, spatial, spectral, surroundings }, table))
    }

    pub fn network(&self) -> &HyperSigma {
        &self.network
    }

    /// What the features `[1, classes, H, W]` say about the components around every pixel: `[H * W, C]`.
    pub fn surroundings(&self, features: Tensor<4>) -> Tensor<2> {
        let [_, channels, height, width] = features.dims();
        self.surroundings.forward(features.reshape([channels, height * width]).transpose())
    }

    /// Loss of filling the gaps, `[1]`: of the spatial encoder, of the spectral encoder. `x` is one tile `[1, C, H, W]`.
    pub fn losses(&self, x: Tensor<4>, spatial: &Mask, spectral: &Mask) -> [Tensor<1>; 2] {
        let device = x.device();
        let cover = self.spatial.cover(spatial, &device);
        let (tokens, shown) = self.network.spatial_tokens(x.clone(), &cover);
        let spatial = self.spatial.loss(tokens, shown, spatial);
        let cover = self.spectral.cover(spectral, &device);
        let (tokens, shown) = self.network.spectral_tokens(x, &cover);
        [spatial, self.spectral.loss(tokens, shown, spectral)]
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn masks_keep_the_ratio_and_repeat() {
        let draw = |seed, cell, ratio| Mask::draw([32, 24], cell, ratio, &mut ChaCha8Rng::seed_from_u64(seed));
        for (cell, ratio) in [(1, 0.75), (4, 0.75), (4, 0.5), (2, 0.25)] {
            let mask = draw(1, cell, ratio);
            let hidden = mask.hidden().iter().filter(|hidden| **hidden).count();
            assert_eq!(hidden, (ratio * 32.0 * 24.0) as usize, "{cell} {ratio}");
            assert_eq!(mask, draw(1, cell, ratio));
            assert_ne!(mask, draw(2, cell, ratio));
        }
        // Whole squares are hidden.
        let mask = draw(3, 4, 0.75);
        assert!((0..32 * 24).all(|at| mask.0[at] == mask.0[at / 24 / 4 * 4 * 24 + at % 24 / 4 * 4]));
    }

    #[test]
    fn something_is_hidden_and_something_stays() {
        for ratio in [0.0, 1.0] {
            let mask = Mask::draw([5, 5], 2, ratio, &mut ChaCha8Rng::seed_from_u64(0));
            assert!(mask.0.contains(&true) && mask.0.contains(&false), "{ratio}");
        }
        assert_eq!(Mask::draw([1, 1], 1, 0.5, &mut ChaCha8Rng::seed_from_u64(0)).0, [true]);
    }
}
