//! Frozen linear layers on burn's tape.

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, TensorMetadata};
use burn::tensor::Shape;

use super::{Activation, FrozenLinear, FrozenLinearKernels, QuantizedMatrix};
use crate::kernels::gelu::{Gelu, GeluKernels};

/// The backward step of x, and of the bias where there is one. It keeps neither: both gradients need the weights only.
#[derive(Debug)]
struct LinearBackward;

impl<B: FrozenLinearKernels> Backward<B, 1> for LinearBackward {
    type State = QuantizedMatrix;

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let grad = grads.consume::<B>(&ops.node);
        if let [Some(x)] = ops.parents {
            grads.register::<B>(x.id, B::linear_backward(grad, &ops.state));
        }
    }
}

impl<B: FrozenLinearKernels> Backward<B, 2> for LinearBackward {
    type State = QuantizedMatrix;

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let grad = grads.consume::<B>(&ops.node);
        let [x, bias] = ops.parents;
        if let Some(bias) = bias {
            let columns = B::float_sum_dim(grad.clone(), 0); // [1, N]
            let length = Shape::from(vec![columns.shape().num_elements()]);
            grads.register::<B>(bias.id, B::float_reshape(columns, length));
        }
        if let Some(x) = x {
            grads.register::<B>(x.id, B::linear_backward(grad, &ops.state));
        }
    }
}

impl<B: FrozenLinearKernels + GeluKernels, C: CheckpointStrategy> FrozenLinear for Autodiff<B, C> {
    fn frozen_linear(x: FloatTensor<Self>, weight: QuantizedMatrix, activation: Activation) -> FloatTensor<Self> {
        let node = x.node();
        let x = x.into_primitive();
        match LinearBackward.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let y = B::linear_forward(x, None, &weight, Activation::None);
                activate::<B, C>(prep.finish(weight, y), activation)
            }
            OpsKind::UnTracked(prep) => prep.finish(B::linear_forward(x, None, &weight, activation)),
        }
    }

    fn frozen_linear_biased(
        x: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        weight: QuantizedMatrix,
        activation: Activation,
    ) -> FloatTensor<Self> {
        let nodes = [x.node(), bias.node()];
        let (x, bias) = (x.into_primitive(), bias.into_primitive());
        match LinearBackward.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let y = B::linear_forward(x, Some(bias), &weight, Activation::None);
                activate::<B, C>(prep.finish(weight, y), activation)
            }
            OpsKind::UnTracked(prep) => prep.finish(B::linear_forward(x, Some(bias), &weight, activation)),
        }
    }
}

/// The activation as a step of its own: its derivative needs what it is applied to.
fn activate<B: FrozenLinearKernels + GeluKernels, C: CheckpointStrategy>(
    y: FloatTensor<Autodiff<B, C>>,
    activation: Activation,
) -> FloatTensor<Autodiff<B, C>> {
    match activation {
        Activation::None => y,
        Activation::Gelu => <Autodiff<B, C> as Gelu>::exact_gelu(y),
    }
}
