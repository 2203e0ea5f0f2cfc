//! Full attention on burn's tape.

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, TensorMetadata};

use super::{AttentionShape, FullAttention, FullAttentionKernels, KEPT};

/// The backward step. It keeps the inputs, and the softmax where that is small.
#[derive(Debug)]
struct AttentionBackward;

impl<B: FullAttentionKernels> Backward<B, 3> for AttentionBackward {
    type State = ([FloatTensor<B>; 3], Option<FloatTensor<B>>);

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let grad = grads.consume::<B>(&ops.node);
        let (inputs, weights) = ops.state;
        let weights = weights.unwrap_or_else(|| B::attention_weights(inputs[0].clone(), inputs[1].clone()));
        let gradients = B::attention_backward(inputs, weights, grad);
        for (parent, gradient) in ops.parents.into_iter().zip(gradients) {
            if let Some(parent) = parent {
                grads.register::<B>(parent.id, gradient);
            }
        }
    }
}

impl<B: FullAttentionKernels, C: CheckpointStrategy> FullAttention for Autodiff<B, C> {
    fn attend_fully(q: FloatTensor<Self>, k: FloatTensor<Self>, v: FloatTensor<Self>) -> FloatTensor<Self> {
        let nodes = [q.node(), k.node(), v.node()];
        let [q, k, v] = [q, k, v].map(|tensor| tensor.into_primitive());
        match AttentionBackward.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) if AttentionShape::of(&q.shape()).weights() <= KEPT => {
                let weights = B::attention_weights(q.clone(), k.clone());
                let out = B::attention_mix(weights.clone(), v.clone());
                prep.finish(([q, k, v], Some(weights)), out)
            }
            OpsKind::Tracked(prep) => {
                let out = B::attention_forward(q.clone(), k.clone(), v.clone());
                prep.finish(([q, k, v], None), out)
            }
            OpsKind::UnTracked(prep) => prep.finish(B::attention_forward(q, k, v)),
        }
    }
}
