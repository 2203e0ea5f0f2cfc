//! Sparse sampling attention on burn's GPU backend: the Rust side of `shaders/ssa_*.wgsl`.
//!
//! Sizes are constants of the shader text, so that every loop has a constant bound; each shape has pipelines of its own.

use super::launch::{self, GROUP, dense};
use super::{SamplingAttention, SamplingInputs, SamplingKernels, SamplingShape};
use burn::backend::Cube;
use burn::backend::ops::FloatTensorOps;
use burn::backend::tensor::FloatTensor;
use burn::backend::wgpu::{CubeTensor, KernelSource, SourceTemplate};
use burn::tensor::{FloatDType, Shape};
use cubecl::prelude::KernelId;
use cubecl::server::Handle;

/// How the gradients of keys and values are summed. WGSL has no float atomics.
///
/// Measured on Mesa's lavapipe (two shared cores, processor time of the whole backward pass, `benches/ssa.rs`): 3 heads of 64
/// on an 18 x 18 grid 16 ms gathered and 29 ms scattered, Base 44 and 90 ms, Base's spectral encoder 19 and 36 ms.
/// Also tried and left out: lists made by looking at all points for each cell (35, 92, 30 ms, and quadratic in the tokens),
/// one invocation a grid row and channel (39, 120, 33 ms), one a channel (few hundred invocations leave a real GPU idle).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum KeyGradient {
    /// Each cell lists the points that reach it and adds them up in a fixed order: deterministic.
    #[default]
    Gather,
    /// Each query adds to its cells by integer compare-and-swap: the last bits differ from run to run.
    CompareAndSwap,
}

/// The kernels, one WGSL file each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Stage {
    Forward,
    BackwardQuery,
    GatherCount,
    GatherStart,
    GatherFill,
    GatherSort,
    GatherSum,
    Scatter,
}

impl Stage {
    const ALL: [Stage; 8] = [
        Stage::Forward,
        Stage::BackwardQuery,
        Stage::GatherCount,
        Stage::GatherStart,
        Stage::GatherFill,
        Stage::GatherSort,
        Stage::GatherSum,
        Stage::Scatter,
    ];

    fn text(self) -> &'static str {
        match self {
            Stage::Forward => include_str!("../../shaders/ssa_forward.wgsl"),
            Stage::BackwardQuery => include_str!("../../shaders/ssa_backward_query.wgsl"),
            Stage::GatherCount => include_str!("../../shaders/ssa_gather_count.wgsl"),
            Stage::GatherStart => include_str!("../../shaders/ssa_gather_start.wgsl"),
            Stage::GatherFill => include_str!("../../shaders/ssa_gather_fill.wgsl"),
            Stage::GatherSort => include_str!("../../shaders/ssa_gather_sort.wgsl"),
            Stage::GatherSum => include_str!("../../shaders/ssa_gather_sum.wgsl"),
            Stage::Scatter => include_str!("../../shaders/ssa_scatter.wgsl"),
        }
    }
}

/// One kernel at one size.
struct SamplingKernel {
    stage: Stage,
    shape: SamplingShape,
}

impl SamplingKernel {
    /// Floats of a lane: rows of D floats are read four at a time where D allows it.
    fn lane_width(&self) -> usize {
        if self.shape.head_dim.is_multiple_of(4) && self.stage != Stage::Scatter { 4 } else { 1 }
    }
}

impl KernelSource for SamplingKernel {
    fn source(&self) -> SourceTemplate {
        let shape = &self.shape;
        let (lane, inner) = if self.lane_width() == 4 { ("vec4<f32>", "dot(a, b)") } else { ("f32", "a * b") };
        SourceTemplate::new(include_str!("../../shaders/ssa_common.wgsl"))
            .add_template(self.stage.text())
            .register("batch", shape.batch.to_string())
            .register("heads", shape.heads.to_string())
            .register("rows", shape.rows.to_string())
            .register("cols", shape.cols.to_string())
            .register("points", shape.points.to_string())
            .register("lanes", (shape.head_dim / self.lane_width()).to_string())
            .register("scale", format!("{:?}", shape.scale() as f32))
            .register("lane", lane)
            .register("inner", inner)
            .register("input", launch::input_access())
    }

    fn id(&self) -> KernelId {
        KernelId::new::<Self>().info((self.stage, self.shape))
    }

    fn lang(&self) -> &'static str {
        "wgsl"
    }
}

/// The complete WGSL text of every kernel at one size, with its name; for validation without a device.
pub fn shader_sources(shape: SamplingShape) -> Vec<(String, String)> {
    Stage::ALL
        .into_iter()
        .map(|stage| (format!("{stage:?}"), SamplingKernel { stage, shape }.source().complete()))
        .chain(super::gelu::shader_sources())
        .collect()
}

impl SamplingAttention for Cube {
    fn ssa(
        q: FloatTensor<Self>,
        k: FloatTensor<Self>,
        v: FloatTensor<Self>,
        offsets: FloatTensor<Self>,
        shape: SamplingShape,
    ) -> FloatTensor<Self> {
        Self::ssa_forward(SamplingInputs { q, k, v, offsets }, shape)
    }
}

impl SamplingKernels for Cube {
    fn ssa_forward(inputs: SamplingInputs<Self>, shape: SamplingShape) -> FloatTensor<Self> {
        let inputs = dense_inputs(inputs);
        let launch = Launch { like: inputs.q.clone(), shape };
        let out = launch.tensor(&shape.out());
        launch.run(
            Stage::Forward,
            launch.queries().div_ceil(launch.share()),
            &[&inputs.q.handle, &inputs.k.handle, &inputs.v.handle, &inputs.offsets.handle],
            &[&out.handle],
        );
        out
    }

    fn ssa_backward(
        inputs: SamplingInputs<Self>,
        grad_out: FloatTensor<Self>,
        shape: SamplingShape,
    ) -> SamplingInputs<Self> {
        backward_with(KeyGradient::default(), inputs, grad_out, shape)
    }
}

/// The backward pass with a chosen summation; training uses the default one.
pub fn backward_with(
    key_gradient: KeyGradient,
    inputs: SamplingInputs<Cube>,
    grad_out: CubeTensor,
    shape: SamplingShape,
) -> SamplingInputs<Cube> {
    let inputs = dense_inputs(inputs);
    let grad_out = dense(grad_out);
    let launch = Launch { like: inputs.q.clone(), shape };
    let (queries, points) = (launch.queries(), launch.queries() * shape.points);

    let grad_q = launch.tensor(&shape.qkv());
    let grad_offsets = launch.tensor(&shape.offsets());
    let samples = launch.buffer(points * 4); // [B, H, N, P] of (x, y, key factor, value factor)
    launch.run(
        Stage::BackwardQuery,
        queries.div_ceil(launch.share()),
        &[&inputs.q.handle, &inputs.k.handle, &inputs.v.handle, &inputs.offsets.handle, &grad_out.handle],
        &[&grad_q.handle, &grad_offsets.handle, &samples],
    );

    let (grad_k, grad_v) = match key_gradient {
        KeyGradient::Gather => {
            let (grad_k, grad_v) = (launch.tensor(&shape.qkv()), launch.tensor(&shape.qkv()));
            let counts = launch.zeros(&[queries]).handle; // [B, H, N], the bits of 0.0 and 0 are the same
            let starts = launch.buffer(queries); // [B, H, N]
            let cursors = launch.buffer(queries); // [B, H, N], in the end the ends
            let entries = launch.buffer(points * 4); // [B, H, 4 N P]
            let planes = shape.batch * shape.heads;
            launch.run(Stage::GatherCount, points.div_ceil(GROUP), &[&samples], &[&counts]);
            launch.run(Stage::GatherStart, planes, &[&counts], &[&starts, &cursors]);
            launch.run(Stage::GatherFill, points.div_ceil(GROUP), &[&samples], &[&cursors, &entries]);
            launch.run(Stage::GatherSort, queries.div_ceil(GROUP), &[&starts, &cursors], &[&entries]);
            launch.run(
                Stage::GatherSum,
                launch.lanes(Stage::GatherSum, queries).div_ceil(GROUP),
                &[&starts, &cursors, &entries, &samples, &inputs.q.handle, &grad_out.handle],
                &[&grad_k.handle, &grad_v.handle],
            );
            (grad_k, grad_v)
        }
        KeyGradient::CompareAndSwap => {
            let (grad_k, grad_v) = (launch.zeros(&shape.qkv()), launch.zeros(&shape.qkv()));
            launch.run(
                Stage::Scatter,
                launch.lanes(Stage::Scatter, queries).div_ceil(GROUP),
                &[&samples, &inputs.q.handle, &grad_out.handle],
                &[&grad_k.handle, &grad_v.handle],
            );
            (grad_k, grad_v)
        }
    };
    SamplingInputs { q: grad_q, k: grad_k, v: grad_v, offsets: grad_offsets }
}

/// Launches kernels on the device of one of the tensors.
struct Launch {
    like: CubeTensor,
    shape: SamplingShape,
}

impl Launch {
    /// Queries of the whole batch, B * H * N.
    fn queries(&self) -> usize {
        self.shape.batch * self.shape.heads * self.shape.tokens()
    }

    /// Queries of one workgroup, `SHARE` in the shaders.
    fn share(&self) -> usize {
        assert!(
            self.shape.points <= GROUP,
            "sparse sampling attention on the GPU takes at most {GROUP} points a query, not {}",
            self.shape.points
        );
        GROUP / self.shape.points
    }

    /// Lanes of `rows` rows of D channels.
    fn lanes(&self, stage: Stage, rows: usize) -> usize {
        rows * self.shape.head_dim / SamplingKernel { stage, shape: self.shape }.lane_width()
    }

    /// Room for so many four-byte numbers.
    fn buffer(&self, numbers: usize) -> Handle {
        self.like.client.empty(numbers * size_of::<f32>())
    }

    /// A tensor that a kernel will fill.
    fn tensor(&self, dims: &[usize]) -> CubeTensor {
        launch::empty(&self.like, Shape::from(dims.to_vec()))
    }

    fn zeros(&self, dims: &[usize]) -> CubeTensor {
        Cube::float_zeros(Shape::from(dims.to_vec()), &self.like.device, FloatDType::F32)
    }

    fn run(&self, stage: Stage, groups: usize, inputs: &[&Handle], outputs: &[&Handle]) {
        launch::run(&self.like.client, SamplingKernel { stage, shape: self.shape }, groups, inputs, outputs);
    }
}

fn dense_inputs(inputs: SamplingInputs<Cube>) -> SamplingInputs<Cube> {
    SamplingInputs { q: dense(inputs.q), k: dense(inputs.k), v: dense(inputs.v), offsets: dense(inputs.offsets) }
}
