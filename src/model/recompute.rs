//! Gradients in the memory of one block.
//!
//! A tape over the whole network keeps the intermediates of every block until the way back reaches it. Here the way forward
//! keeps only what goes into each block; on the way back each block runs again, on a tape of its own, and gives its gradients
//! before the next one starts (Chen et al., "Training deep nets with sublinear memory cost", arXiv 1604.06174). That is one
//! more pass forward, about a third more time.

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Gradients, Tensor};
use rand_chacha::ChaCha8Rng;

use super::HyperSigma;
use super::attention::Tokens;
use super::block::Block;
use super::pass::Pass;
use super::pyramid::Feature;
use super::spatial::SpatialEncoder;
use super::spectral::SpectralEncoder;

impl HyperSigma {
    /// The loss `[1]` of tiles `[B, C, H, W]` and the gradients of all trained parameters, as `loss(forward_with(x, pass))` and
    /// its `backward()` give them. The network is on an autodiff device, and so is x.
    pub fn gradients_by_block(
        &self,
        x: Tensor<4>,
        pass: &mut Pass,
        loss: impl FnOnce(Tensor<4>) -> Tensor<1>,
    ) -> (Tensor<1>, Gradients) {
        // Noise is drawn in the order of the ordinary pass: spectral blocks, spatial blocks, head.
        let plain = self.valid();
        let (spectrum, tokens) = plain.spectral.to_tokens(x.clone().inner(), pass);
        let mut spectral =
            Encoder { blocks: self.spectral.blocks(), tokens, step: SpectralEncoder::step, entries: vec![] };
        let spectrum = spectral.forward(plain.spectral.blocks(), spectrum, pass, |_, _| {});
        let (patches, tokens) = plain.spatial.to_tokens(x.clone().inner(), pass);
        let mut spatial =
            Encoder { blocks: self.spatial.blocks(), tokens, step: SpatialEncoder::step, entries: vec![] };
        let mut taken = Vec::new();
        spatial.forward(plain.spatial.blocks(), patches, pass, |index, x| {
            taken.extend(self.spatial.features_of(index).map(|feature| (index, feature, leaf(x.clone()))));
        });

        let spectrum = leaf(spectrum);
        let features = |(_, j, x): &(usize, usize, Tensor<2>)| self.spatial.feature(*j, x.clone(), spatial.tokens);
        let features: Vec<Feature> = taken.iter().map(features).collect();
        let summary = self.spectral.summary(spectrum.clone(), spectral.tokens, pass); // [B, T]
        let loss = loss(self.classify(summary, &features, pass));
        let mut gradients = loss.backward();

        let above = spectrum.grad_remove(&mut gradients).map(|gradient| (spectral.blocks.len() - 1, gradient));
        if let Some(below) = spectral.backward(above.into_iter().collect(), &mut gradients) {
            let (embedded, _) = self.spectral.to_tokens(x.clone(), &mut Pass::evaluation());
            pull(embedded, below, &self.spectral, &mut gradients);
        }
        let above = taken.iter().filter_map(|(index, _, x)| Some((*index, x.grad_remove(&mut gradients)?))).collect();
        if let Some(below) = spatial.backward(above, &mut gradients) {
            let (embedded, _) = self.spatial.to_tokens(x, &mut Pass::evaluation());
            pull(embedded, below, &self.spatial, &mut gradients);
        }
        (loss, gradients)
    }
}

/// The blocks of an encoder and what went into them.
struct Encoder<'a> {
    blocks: &'a [Block],
    tokens: Tokens,
    step: fn(&Block, usize, Tensor<2>, Tokens, &mut Pass) -> Tensor<2>,
    entries: Vec<Entry>,
}

/// What went into a block, outside autodiff, and the noise from there on.
struct Entry {
    x: Tensor<2>,
    noise: Option<ChaCha8Rng>,
}

impl Encoder<'_> {
    /// Runs the blocks, `plain` ones outside autodiff, and shows the output of each.
    fn forward(
        &mut self,
        plain: &[Block],
        mut x: Tensor<2>,
        pass: &mut Pass,
        mut show: impl FnMut(usize, &Tensor<2>),
    ) -> Tensor<2> {
        for (index, block) in plain.iter().enumerate() {
            self.entries.push(Entry { x: x.clone(), noise: pass.noise() });
            x = (self.step)(block, index, x, self.tokens, pass);
            show(index, &x);
        }
        x
    }

    /// Takes gradients of the outputs of some blocks through all blocks, the last first; gives the gradient of what went into
    /// the first.
    fn backward(self, above: Vec<(usize, Tensor<2>)>, gradients: &mut Gradients) -> Option<Tensor<2>> {
        let mut gradient: Option<Tensor<2>> = None;
        for (index, (block, mut entry)) in self.blocks.iter().zip(self.entries).enumerate().rev() {
            for (_, other) in above.iter().filter(|(at, _)| *at == index) {
                gradient = Some(match gradient {
                    Some(gradient) => gradient + other.clone(),
                    None => other.clone(),
                });
            }
            let Some(out) = gradient.take() else { continue };
            let x = leaf(entry.x);
            let y = (self.step)(block, index, x.clone(), self.tokens, &mut Pass::again(&mut entry.noise));
            gradient = pull(y, out, block, gradients).and_then(|mut own| x.grad_remove(&mut own));
        }
        gradient
    }
}

/// A tensor outside autodiff as the start of a tape.
fn leaf(x: Tensor<2>) -> Tensor<2> {
    Tensor::from_inner(x).require_grad()
}

/// Takes the gradient of y back along its tape. Those of the parameters of `module` go to `all`, the others are returned.
fn pull<M: Module>(y: Tensor<2>, gradient: Tensor<2>, module: &M, all: &mut Gradients) -> Option<Gradients> {
    if !y.is_tracked() {
        return None;
    }
    let mut own = (y * Tensor::from_inner(gradient)).sum().backward();
    module.visit(&mut Moving { from: &mut own, to: all });
    Some(own)
}

struct Moving<'a> {
    from: &'a mut Gradients,
    to: &'a mut Gradients,
}

impl ModuleVisitor for Moving<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let tensor = param.val();
        if let Some(gradient) = tensor.grad_remove(self.from) {
            tensor.grad_replace(self.to, gradient);
        }
    }
}
