//! Full attention on burn's tape.

use burn::backend::Autodiff;
use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;

use super::{FullAttention, FullAttentionKernels};

/// The backward step. It keeps the inputs only.
#[derive(Debug)]
struct AttentionBackward;

impl<B: FullAttentionKernels> Backward<B, 3> for AttentionBackward {
    type State = [FloatTensor<B>; 3];

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let grad = grads.consume::<B>(&ops.node);
        let gradients = B::attention_backward(ops.state, grad);
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
            OpsKind::Tracked(prep) => {
                let out = B::attention_forward(q.clone(), k.clone(), v.clone());
                prep.finish([q, k, v], out)
            }
            OpsKind::UnTracked(prep) => prep.finish(B::attention_forward(q, k, v)),
        }
    }
}
