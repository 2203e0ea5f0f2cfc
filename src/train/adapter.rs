//! A model that is a change of other weights: what its file holds, the network that both make, and the two merged.

use std::collections::BTreeMap;

use super::artifact::ArtifactError;
use super::info::BaseWeights;
use super::start::Start;
use crate::model::{Config, NamedValues, ParameterError, ParameterSource, StoredWeights, names};
use crate::weights::Pretrained;

/// Checks that these are the weights that an adapter was trained on.
pub(super) fn check_base(wanted: &BaseWeights, found: &Pretrained) -> Result<(), ArtifactError> {
    let sha256 = found.sha256()?;
    if sha256 == wanted.sha256 {
        return Ok(());
    }
    let found = BaseWeights { name: found.name().to_owned(), sha256 };
    Err(ArtifactError::OtherBase { wanted: wanted.clone(), found })
}

/// The parameters of a trained network: those that were trained, and for the rest the base weights.
pub(super) struct Saved<'a> {
    trained: BTreeMap<&'a str, &'a NamedValues>,
    base: Option<Start<'a>>,
}

impl<'a> Saved<'a> {
    pub fn new(trained: &'a [NamedValues], base: Option<Start<'a>>) -> Self {
        Self { trained: trained.iter().map(|tensor| (tensor.name.as_str(), tensor)).collect(), base }
    }

    /// The weights with what their adapter adds.
    ///
    /// # Errors
    /// [`ParameterError`] when the base cannot be read.
    fn merged(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>, ParameterError> {
        let mut values = self.values(name, shape)?;
        let projection = name.strip_suffix(".weight").unwrap_or(name);
        let Some((rank, scale)) = self.low_rank(projection) else { return Ok(values) };
        let &[outputs, inputs] = shape else { return Ok(values) };
        let a = self.values(&format!("{projection}.lora_A.weight"), &[rank, inputs])?;
        let b = self.values(&format!("{projection}.lora_B.weight"), &[outputs, rank])?;
        for (row, b) in values.chunks_exact_mut(inputs).zip(b.chunks_exact(rank)) {
            for (a, b) in a.chunks_exact(inputs).zip(b) {
                let factor = (scale * f64::from(*b)) as f32;
                row.iter_mut().zip(a).for_each(|(weight, a)| *weight += factor * a);
            }
        }
        Ok(values)
    }
}

impl ParameterSource for Saved<'_> {
    fn values(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>, ParameterError> {
        match (self.trained.get(name), &mut self.base) {
            (Some(tensor), _) if tensor.shape == shape => Ok(tensor.values.clone()),
            (Some(tensor), _) => {
                let (expected, found) = (shape.to_vec(), tensor.shape.clone());
                Err(ParameterError::Shape { name: name.to_owned(), expected, found })
            }
            (None, Some(base)) if base.takes(name) => base.values(name, shape),
            (None, _) => Err(ParameterError::Missing { name: name.to_owned() }),
        }
    }

    fn stored(&mut self, name: &str, shape: [usize; 2]) -> Result<Option<StoredWeights>, ParameterError> {
        match &mut self.base {
            Some(base) if !self.trained.contains_key(name) => base.stored(name, shape),
            _ => Ok(None),
        }
    }

    fn trains(&self, name: &str) -> bool {
        self.base.as_ref().is_none_or(|base| base.trains(name))
    }

    fn low_rank(&self, name: &str) -> Option<(usize, f64)> {
        self.base.as_ref()?.low_rank(name)
    }
}

/// A model file with all weights in float32, adapters merged into them, piece by piece: first the header, then tensor by
/// tensor, so that never more than one of them is in memory.
pub struct Merged<'a> {
    source: Saved<'a>,
    header: Option<Vec<u8>>,
    bytes: u64,
    rest: std::vec::IntoIter<(String, Vec<usize>)>,
}

impl<'a> Merged<'a> {
    /// `description` is the JSON of the header.
    pub(super) fn new(shape: &Config, source: Saved<'a>, key: &str, description: &str) -> Self {
        let list = names::live(shape);
        let mut header = serde_json::Map::new();
        header.insert("__metadata__".to_owned(), serde_json::json!({ key: description }));
        let mut end = 0;
        for (name, sides) in &list {
            let start = end;
            end += 4 * sides.iter().product::<usize>() as u64;
            let entry = serde_json::json!({ "dtype": "F32", "shape": sides, "data_offsets": [start, end] });
            header.insert(name.clone(), entry);
        }
        let mut json = serde_json::Value::Object(header).to_string().into_bytes();
        json.resize(json.len().next_multiple_of(8), b' ');
        let header = [&(json.len() as u64).to_le_bytes()[..], &json].concat();
        Self { source, bytes: header.len() as u64 + end, header: Some(header), rest: list.into_iter() }
    }

    /// Bytes of the whole file.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Iterator for Merged<'_> {
    type Item = Result<Vec<u8>, ArtifactError>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(header) = self.header.take() {
            return Some(Ok(header));
        }
        let (name, shape) = self.rest.next()?;
        let values = self.source.merged(&name, &shape);
        let bytes = values.map(|values| values.into_iter().flat_map(f32::to_le_bytes).collect());
        Some(bytes.map_err(|error| ArtifactError::Network(error.into())))
    }
}
