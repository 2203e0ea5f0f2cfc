//! Sparse sampling attention on burn's autodiff tape.

use super::{SamplingAttention, SamplingInputs, SamplingKernels, SamplingShape};
use burn::backend::Autodiff;
use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;

/// The backward step. It keeps the four inputs and computes the attention again: P logits a query are cheaper to compute
/// than to keep for every block of the encoder.
#[derive(Debug)]
struct SamplingBackward;

impl<B: SamplingKernels> Backward<B, 4> for SamplingBackward {
    type State = (SamplingInputs<B>, SamplingShape);

    fn backward(self, ops: Ops<Self::State, 4>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let grad_out = grads.consume::<B>(&ops.node);
        let (inputs, shape) = ops.state;
        let gradients = B::ssa_backward(inputs, grad_out, shape);
        let [q, k, v, offsets] = ops.parents;
        for (parent, gradient) in [(q, gradients.q), (k, gradients.k), (v, gradients.v), (offsets, gradients.offsets)] {
            if let Some(parent) = parent {
                grads.register::<B>(parent.id, gradient);
            }
        }
    }
}

impl<B: SamplingKernels, C: CheckpointStrategy> SamplingAttention for Autodiff<B, C> {
    fn ssa(
        q: FloatTensor<Self>,
        k: FloatTensor<Self>,
        v: FloatTensor<Self>,
        offsets: FloatTensor<Self>,
        shape: SamplingShape,
    ) -> FloatTensor<Self> {
        let nodes = [q.node(), k.node(), v.node(), offsets.node()];
        let inputs = SamplingInputs {
            q: q.into_primitive(),
            k: k.into_primitive(),
            v: v.into_primitive(),
            offsets: offsets.into_primitive(),
        };
        match SamplingBackward.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let out = B::ssa_forward(inputs.clone(), shape);
                prep.finish((inputs, shape), out)
            }
            OpsKind::UnTracked(prep) => prep.finish(B::ssa_forward(inputs, shape)),
        }
    }
}
