//! The file of an update: what a client's training has changed, and the scopes of its weights.

use std::collections::BTreeMap;

use safetensors::Dtype;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::encoding::{BLOCK, scale_name};
use super::tensors::{self, Layout, Tensor, TensorsError, numbers};
use super::{ClientId, Definition, Encoding, FederationId, Hash, Reason, Trainable};
use crate::scene::{SharedSource, SourceError, shape_text};
use crate::scope::{Scope, has_scope};

/// Headers of updates are at most this long.
pub const UPDATE_HEADER_MAX: u64 = 1 << 20;

/// Largest magnitude of a value of an update. With the limits on samples and clients it bounds the sums of the aggregation.
pub const VALUE_MAX: f32 = 65536.0;

/// Values that are read at once; a multiple of [`BLOCK`].
const PIECE: usize = 1 << 16;

/// The tensor with the scopes of the layers; F64, `[layers, 4]`.
const SCOPES: &str = "::scopes";

/// What an update was made for. Written into the file, so that none counts anywhere else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Binding {
    pub federation: FederationId,
    pub client: ClientId,
    pub round: u32,
    /// The model from which the client began. All zeros for band statistics.
    pub model: Hash,
}

/// Which tensors the updates of a federation hold.
#[derive(Debug, Clone, PartialEq)]
pub struct UpdatePlan {
    encoding: Encoding,
    /// Name and shape, by name.
    tensors: Vec<(String, Vec<usize>)>,
}

/// An update, open. Its header fits the plan; the numbers are not read yet.
pub struct Update<'a> {
    source: SharedSource,
    plan: &'a UpdatePlan,
    /// Where values and scales of the plan's tensors begin. No more is kept of the header: many updates are open at once.
    places: Vec<(u64, Option<u64>)>,
    scopes: Option<u64>,
}

/// What reading all numbers of an update has told.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct UpdateSummary {
    /// Euclidean norm of all values
    pub norm: f64,
}

/// Why an update is refused.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum UpdateError {
    #[error(transparent)]
    Tensors(#[from] TensorsError),
    #[error("{what} is {found}, expected {expected}")]
    Binding { what: &'static str, found: String, expected: String },
    #[error("tensor {name} is missing")]
    Missing { name: String },
    #[error("tensor {name} does not belong there")]
    Surplus { name: String },
    #[error("tensor {name} has :: in its name, which is kept for what belongs to a tensor; rename it")]
    Reserved { name: String },
    #[error("tensor {name} is {found}, expected {expected}")]
    Shape { name: String, found: String, expected: String },
    #[error("value {index} of {name} is {value}")]
    NotFinite { name: String, index: usize, value: f64 },
    #[error("value {index} of {name} is {value}, at most {VALUE_MAX} in magnitude is allowed")]
    TooLarge { name: String, index: usize, value: f64 },
    #[error("the norm of the update is {norm}, at most {max} is allowed")]
    Norm { norm: f64, max: f64 },
}

impl UpdateError {
    /// The reason of the answer.
    pub fn reason(&self) -> Reason {
        match self {
            Self::Tensors(TensorsError::Source(SourceError::Read { .. })) => Reason::StorageFailed,
            Self::Tensors(_) => Reason::TensorsMalformed,
            Self::Binding { .. } => Reason::Replayed,
            Self::Missing { .. } | Self::Surplus { .. } | Self::Reserved { .. } | Self::Shape { .. } => {
                Reason::ShapeMismatch
            }
            Self::NotFinite { .. } => Reason::NotFinite,
            Self::TooLarge { .. } => Reason::ValueTooLarge,
            Self::Norm { .. } => Reason::NormTooLarge,
        }
    }
}

impl From<SourceError> for UpdateError {
    fn from(error: SourceError) -> Self {
        Self::Tensors(TensorsError::Source(error))
    }
}

impl Binding {
    fn pairs(&self) -> [(&'static str, String); 4] {
        [
            ("federation", self.federation.to_string()),
            ("client", self.client.to_string()),
            ("round", self.round.to_string()),
            ("model", self.model.to_string()),
        ]
    }

    pub(super) fn check(&self, layout: &Layout) -> Result<(), UpdateError> {
        self.pairs().into_iter().try_for_each(|(what, expected)| match layout.metadata.get(what) {
            Some(found) if *found == expected => Ok(()),
            found => {
                let found = found.map_or("missing".into(), |found| found.chars().take(64).collect());
                Err(UpdateError::Binding { what, found, expected })
            }
        })
    }

    /// Length and header of a file with this binding.
    pub(super) fn header(&self, tensors: &[(String, Dtype, Vec<usize>)]) -> Vec<u8> {
        let pairs = self.pairs();
        let metadata: Vec<(&str, &str)> = pairs.iter().map(|(key, value)| (*key, value.as_str())).collect();
        tensors::header(&metadata, tensors)
    }
}

/// A tensor of the header, of this type and shape.
pub(super) fn take(
    tensors: &mut BTreeMap<String, Tensor>,
    name: &str,
    dtype: Dtype,
    shape: &[usize],
) -> Result<Tensor, UpdateError> {
    let tensor = tensors.remove(name).ok_or_else(|| UpdateError::Missing { name: name.into() })?;
    if tensor.dtype != dtype || tensor.shape != shape {
        let said = |dtype: Dtype, shape: &[usize]| format!("{} of {dtype}", shape_text(shape));
        let (found, expected) = (said(tensor.dtype, &tensor.shape), said(dtype, shape));
        return Err(UpdateError::Shape { name: name.into(), found, expected });
    }
    Ok(tensor)
}

pub(super) fn no_surplus(tensors: BTreeMap<String, Tensor>) -> Result<(), UpdateError> {
    tensors.into_keys().next().map_or(Ok(()), |name| Err(UpdateError::Surplus { name }))
}

impl UpdatePlan {
    /// For a federation whose model file has this layout.
    ///
    /// # Errors
    /// [`UpdateError`] when a trainable tensor is missing, not F32 or has a reserved name, or there is none.
    pub fn new(definition: &Definition, model: &Layout) -> Result<Self, UpdateError> {
        let chosen = |name: &str| match &definition.trainable {
            Trainable::All => true,
            Trainable::Tensors(names) => names.iter().any(|wanted| wanted == name),
        };
        if let Trainable::Tensors(names) = &definition.trainable
            && let Some(name) = names.iter().find(|name| !model.tensors.contains_key(*name))
        {
            return Err(UpdateError::Missing { name: name.clone() });
        }
        let mut tensors = Vec::new();
        for (name, tensor) in model.tensors.iter().filter(|(name, _)| chosen(name)) {
            if name.contains("::") {
                return Err(UpdateError::Reserved { name: name.clone() });
            }
            if tensor.dtype != Dtype::F32 {
                let found = tensor.dtype.to_string();
                return Err(UpdateError::Shape { name: name.clone(), found, expected: "F32".into() });
            }
            tensors.push((name.clone(), tensor.shape.clone()));
        }
        if tensors.is_empty() {
            return Err(UpdateError::Missing { name: "(any)".into() });
        }
        Ok(Self { encoding: definition.encoding, tensors })
    }

    /// Name and shape of the trained tensors, by name.
    pub fn tensors(&self) -> &[(String, Vec<usize>)] {
        &self.tensors
    }

    /// Names of the tensors that have a scope, in the order of the scopes in the file.
    pub fn layers(&self) -> impl Iterator<Item = &str> {
        self.tensors.iter().filter(|(_, shape)| has_scope(shape)).map(|(name, _)| name.as_str())
    }

    /// No update is longer.
    pub fn bytes_max(&self) -> u64 {
        let values: u64 =
            self.tensors.iter().map(|(_, shape)| self.encoding.bytes(shape.iter().product::<usize>() as u64)).sum();
        values + self.layers().count() as u64 * 32 + 8 + UPDATE_HEADER_MAX
    }
}

impl<'a> Update<'a> {
    /// Reads the header of an update.
    ///
    /// # Errors
    /// [`UpdateError`] when the file is none, was made for something else, or does not hold exactly what the plan says.
    pub fn open(source: SharedSource, plan: &'a UpdatePlan, binding: &Binding) -> Result<Self, UpdateError> {
        let layout = Layout::read(source.as_ref(), UPDATE_HEADER_MAX)?;
        binding.check(&layout)?;
        let mut found = layout.tensors;
        let mut places = Vec::with_capacity(plan.tensors.len());
        for (name, shape) in &plan.tensors {
            let values = take(&mut found, name, plan.encoding.dtype(), shape)?;
            let scale = match plan.encoding {
                Encoding::Int8 => {
                    let blocks = values.count().div_ceil(BLOCK);
                    Some(take(&mut found, &scale_name(name), Dtype::F32, &[blocks])?.at)
                }
                Encoding::Float32 | Encoding::Float16 => None,
            };
            places.push((values.at, scale));
        }
        let layers = plan.layers().count();
        let scopes = if layers == 0 { None } else { Some(take(&mut found, SCOPES, Dtype::F64, &[layers, 4])?.at) };
        no_surplus(found)?;
        Ok(Self { source, plan, places, scopes })
    }

    /// Reads every number once.
    ///
    /// # Errors
    /// [`UpdateError`] when one is not finite or too large, a scope is none, or the norm is above `max_norm`.
    pub fn check(&self, max_norm: Option<f64>) -> Result<UpdateSummary, UpdateError> {
        self.scopes()?;
        let mut square = 0f64;
        let mut piece = vec![0f32; PIECE];
        for (index, (name, shape)) in self.plan.tensors.iter().enumerate() {
            let count: usize = shape.iter().product();
            for start in (0..count).step_by(PIECE) {
                let values = &mut piece[..(count - start).min(PIECE)];
                self.read(index, start, values)?;
                for (at, &value) in values.iter().enumerate() {
                    let (index, value) = (start + at, f64::from(value));
                    if !value.is_finite() {
                        return Err(UpdateError::NotFinite { name: name.clone(), index, value });
                    }
                    if value.abs() > f64::from(VALUE_MAX) {
                        return Err(UpdateError::TooLarge { name: name.clone(), index, value });
                    }
                    square += value * value;
                }
            }
        }
        let norm = square.sqrt();
        match max_norm {
            Some(max) if norm > max => Err(UpdateError::Norm { norm, max }),
            _ => Ok(UpdateSummary { norm }),
        }
    }

    /// Fills `out` with values of the plan's tensor `index` from `start` on, a multiple of 64.
    ///
    /// # Errors
    /// [`UpdateError`] when the medium fails.
    pub fn read(&self, index: usize, start: usize, out: &mut [f32]) -> Result<(), UpdateError> {
        let (values, scale) = self.places[index];
        Ok(self.plan.encoding.decode(self.source.as_ref(), values, scale, start, out)?)
    }

    /// The scopes of the client's layers, in the order of [`UpdatePlan::layers`]: mean, deviation, skewness, excess kurtosis.
    ///
    /// # Errors
    /// [`UpdateError`] when one is not finite or has a negative deviation.
    pub fn scopes(&self) -> Result<Vec<[f64; 4]>, UpdateError> {
        let Some(at) = self.scopes else { return Ok(Vec::new()) };
        let values: Vec<f64> = numbers(self.source.as_ref(), at, 0, self.plan.layers().count() * 4)?.collect();
        let usable = |at: usize, value: f64| value.is_finite() && (at % 4 != 1 || value >= 0.0);
        if let Some((index, &value)) = values.iter().enumerate().find(|&(at, &value)| !usable(at, value)) {
            return Err(UpdateError::NotFinite { name: SCOPES.into(), index, value });
        }
        Ok(values.chunks_exact(4).map(|four| [four[0], four[1], four[2], four[3]]).collect())
    }
}

/// Writes updates, and remembers what writing has lost.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Encoder {
    /// By tensor, added to its next change.
    residual: BTreeMap<String, Vec<f32>>,
}

/// An update as it is sent.
pub struct Encoded {
    pub bytes: Vec<u8>,
    /// What is left for the next update, once this one has been accepted.
    residual: BTreeMap<String, Vec<f32>>,
}

impl Encoded {
    /// The file, and the encoder with which to go on once it has been accepted: what an update in transit is kept as.
    pub fn into_parts(self) -> (Vec<u8>, Encoder) {
        (self.bytes, Encoder { residual: self.residual })
    }
}

impl Encoder {
    /// Writes the changes of the plan's tensors (in its order, flattened) and the scopes of its layers.
    ///
    /// Call [`Encoder::accepted`] once the coordinator has accepted it; an update that never counted leaves no rest.
    ///
    /// # Errors
    /// [`UpdateError`] when changes or scopes do not fit the plan, or a value is not finite.
    pub fn encode(
        &self,
        plan: &UpdatePlan,
        binding: &Binding,
        changes: &[&[f32]],
        scopes: &[Scope],
    ) -> Result<Encoded, UpdateError> {
        let layers = plan.layers().count();
        if changes.len() != plan.tensors.len() || scopes.len() != layers {
            let found = format!("{} tensors and {} scopes", changes.len(), scopes.len());
            let expected = format!("{} tensors and {layers} scopes", plan.tensors.len());
            return Err(UpdateError::Shape { name: "(all)".into(), found, expected });
        }
        let (mut data, mut scales, mut residual) = (Vec::new(), Vec::new(), BTreeMap::new());
        let (mut listed, mut listed_scales) = (Vec::new(), Vec::new());
        for ((name, shape), change) in plan.tensors.iter().zip(changes) {
            let count: usize = shape.iter().product();
            if change.len() != count {
                let (found, expected) = (format!("{} values", change.len()), format!("{count} values"));
                return Err(UpdateError::Shape { name: name.clone(), found, expected });
            }
            let mut values = change.to_vec();
            if let Some(rest) = self.residual.get(name).filter(|rest| rest.len() == count) {
                values.iter_mut().zip(rest).for_each(|(value, rest)| *value += rest);
            }
            if let Some((index, &value)) = values.iter().enumerate().find(|(_, value)| !value.is_finite()) {
                return Err(UpdateError::NotFinite { name: name.clone(), index, value: value.into() });
            }
            plan.encoding.encode(&mut values, &mut data, &mut scales);
            listed.push((name.clone(), plan.encoding.dtype(), shape.clone()));
            if plan.encoding == Encoding::Int8 {
                listed_scales.push((scale_name(name), Dtype::F32, vec![count.div_ceil(BLOCK)]));
            }
            residual.insert(name.clone(), values);
        }
        // Wide numbers first, so that everything is aligned.
        let mut tensors = Vec::new();
        if layers > 0 {
            tensors.push((SCOPES.to_owned(), Dtype::F64, vec![layers, 4]));
        }
        tensors.extend(listed_scales);
        tensors.extend(listed);
        let mut bytes = binding.header(&tensors);
        for Scope { mean, deviation, skewness, excess_kurtosis, .. } in scopes {
            [mean, deviation, skewness, excess_kurtosis].iter().for_each(|value| bytes.extend(value.to_le_bytes()));
        }
        bytes.extend(scales);
        bytes.extend(data);
        Ok(Encoded { bytes, residual })
    }

    /// Keeps the rest of an update that counts.
    pub fn accepted(&mut self, update: Encoded) {
        self.residual = update.residual;
    }
}
