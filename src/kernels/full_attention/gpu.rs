//! Full attention on burn's GPU backend: the Rust side of `shaders/full_attention.wgsl`.

use burn::backend::tensor::FloatTensor;
use burn::backend::wgpu::{KernelSource, SourceTemplate};
use burn::backend::{Cube, TensorMetadata};
use burn::tensor::Shape;
use cubecl::prelude::KernelId;

use super::{AttentionShape, FullAttention, FullAttentionKernels};
use crate::kernels::launch::{self, GROUP, dense};

impl FullAttention for Cube {
    fn attend_fully(q: FloatTensor<Self>, k: FloatTensor<Self>, v: FloatTensor<Self>) -> FloatTensor<Self> {
        Self::attention_forward(q, k, v)
    }
}

impl FullAttentionKernels for Cube {
    fn attention_forward(q: FloatTensor<Self>, k: FloatTensor<Self>, v: FloatTensor<Self>) -> FloatTensor<Self> {
        let shape = AttentionShape::of(&q.shape());
        let [q, k, v] = [q, k, v].map(dense);
        let out = launch::empty(&q, Shape::from(shape.out().to_vec()));
        let groups = shape.batch * shape.heads * shape.tokens.div_ceil(GROUP);
        launch::run(&q.client, AttentionKernel(shape), groups, &[&q.handle, &k.handle, &v.handle], &[&out.handle]);
        out
    }
}

/// The kernel at one size.
struct AttentionKernel(AttentionShape);

impl AttentionKernel {
    /// Floats of a lane: rows of D floats are read four at a time where D allows it.
    fn lane_width(&self) -> usize {
        if self.0.head_dim.is_multiple_of(4) { 4 } else { 1 }
    }
}

impl KernelSource for AttentionKernel {
    fn source(&self) -> SourceTemplate {
        let AttentionShape { batch, heads, tokens, head_dim } = self.0;
        let lanes = head_dim / self.lane_width();
        // A line for each lane of a query. Arrays in registers would have to be unrolled by the driver, which software
        // adapters do not do.
        let each = |line: &dyn Fn(usize) -> String| (0..lanes).map(line).collect::<Vec<_>>().join("\n");
        let (lane, inner) = if self.lane_width() == 4 { ("vec4<f32>", "dot(a, b)") } else { ("f32", "a * b") };
        SourceTemplate::new(include_str!("../../../shaders/full_attention.wgsl"))
            .register("planes", (batch * heads).to_string())
            .register("heads", heads.to_string())
            .register("tokens", tokens.to_string())
            .register("lanes", lanes.to_string())
            .register("scale", format!("{:?}", self.0.scale() as f32))
            .register("lane", lane)
            .register("inner", inner)
            .register("input", launch::input_access())
            .register(
                "load",
                each(&|i| format!("    let q{i} = SCALE * q[query * LANES + {i}u];\n    var sum{i} = Lane(0.0);")),
            )
            .register(
                "product",
                each(&|i| {
                    let inner = ["x", "y", "z", "w"].map(|key| format!("inner(q{i}, k[rows.{key} + {i}u])"));
                    format!("        logits += vec4<f32>({});", inner.join(", "))
                }),
            )
            .register(
                "add",
                each(&|i| {
                    let terms = ["x", "y", "z", "w"].map(|key| format!("powers.{key} * v[rows.{key} + {i}u]"));
                    format!("        sum{i} = sum{i} * shrink + ({});", terms.join(" + "))
                }),
            )
            .register("store", each(&|i| format!("    out[at + {i}u] = sum{i} / norm;")))
    }

    fn id(&self) -> KernelId {
        KernelId::new::<Self>().info(self.0)
    }

    fn lang(&self) -> &'static str {
        "wgsl"
    }
}

/// The complete WGSL text at one size; for validation without a device.
pub fn shader_source(shape: AttentionShape) -> String {
    AttentionKernel(shape).source().complete()
}
