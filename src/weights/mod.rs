//! Weights in and out of files: official checkpoints, safetensors and GGUF in, GGUF out.
//!
//! A [`Checkpoint`] is one file with a whole network, or the pair of files of the official pre-training. It is opened
//! over the lazy [`Source`](crate::scene::Source); numbers are read tensor by tensor, in pieces. [`plan`] applies the
//! official loading procedure: it says of every tensor whether it is taken, and why not. [`Conversion`] writes what is taken
//! as GGUF, quantized on the way. Nothing in a pickle is ever executed.
//!
//! | file | what |
//! | --- | --- |
//! | `tensor`, `block` | types of stored numbers; ggml's quantized blocks |
//! | `pickle`, `torch` | `.pth` files, both formats |
//! | `safetensors`, `gguf` | the other formats |
//! | `checkpoint`, `shape` | which files belong together, which network they are of |
//! | `loading`, `report` | the official loading procedure and what it did |
//! | `description`, `reading`, `conversion` | metadata, and the way from a checkpoint to a GGUF file |
//! | `pretrained` | a file that a training starts from |
//!
//! What the page shows (types of numbers, the load report) is here for everybody; the rest is behind the `weights` feature.

mod quantization;
mod report;
mod tensor;

pub use quantization::Quantization;
pub use report::{Counts, InputFile, LoadReport, Origin, Role, Status, TensorReport};
pub use tensor::{TensorInfo, TensorType};

#[cfg(feature = "weights")]
mod block;
#[cfg(feature = "weights")]
mod checkpoint;
#[cfg(feature = "weights")]
mod conversion;
#[cfg(feature = "weights")]
mod description;
#[cfg(feature = "weights")]
mod error;
#[cfg(feature = "weights")]
pub mod gguf;
#[cfg(feature = "weights")]
mod loading;
#[cfg(all(feature = "weights", not(target_arch = "wasm32")))]
mod output;
#[cfg(feature = "weights")]
mod pickle;
#[cfg(feature = "weights")]
mod pretrained;
#[cfg(feature = "weights")]
mod read;
#[cfg(feature = "weights")]
mod reading;
#[cfg(feature = "weights")]
mod safetensors;
#[cfg(feature = "weights")]
mod shape;
#[cfg(feature = "weights")]
mod torch;

#[cfg(all(feature = "weights", not(target_arch = "wasm32")))]
pub use output::{OutputError, OutputFile};
#[cfg(feature = "weights")]
pub use {
    block::{decode, encode},
    checkpoint::{Checkpoint, Found},
    conversion::{Conversion, ConversionOptions, Progress},
    description::Description,
    error::WeightsError,
    loading::{Plan, Procedure, Resize, Take, Target, plan},
    pretrained::Pretrained,
    read::{TensorFile, open},
    shape::{SIZES, Size},
};
