//! Reading our own keys of a GGUF file's metadata, with an error that names what is missing.

use std::collections::BTreeMap;

use super::WeightsError;
use super::gguf::{ARCHITECTURE, Value};
use crate::labels::Class;
use crate::preprocess::{Projection, Scaling};

/// Metadata by our own keys.
pub(super) struct Reading<'a> {
    pub name: &'a str,
    pub metadata: &'a BTreeMap<String, Value>,
}

impl Reading<'_> {
    pub fn damaged(&self, key: &str) -> WeightsError {
        WeightsError::malformed(self.name, format!("its metadata {ARCHITECTURE}.{key} is missing or makes no sense"))
    }

    pub fn get(&self, key: &str) -> Option<&Value> {
        self.metadata.get(&format!("{ARCHITECTURE}.{key}"))
    }

    pub fn text(&self, key: &str) -> Result<&str, WeightsError> {
        match self.get(key) {
            Some(Value::Text(text)) => Ok(text),
            _ => Err(self.damaged(key)),
        }
    }

    pub fn number(&self, key: &str) -> Result<usize, WeightsError> {
        let number = self.get(key).and_then(Value::as_u64).and_then(|number| usize::try_from(number).ok());
        number.ok_or_else(|| self.damaged(key))
    }

    pub fn number_or_0(&self, key: &str) -> Result<usize, WeightsError> {
        if self.get(key).is_some() { self.number(key) } else { Ok(0) }
    }

    pub fn numbers(&self, key: &str) -> Result<Vec<f64>, WeightsError> {
        match self.get(key) {
            Some(Value::F64s(values)) => Ok(values.clone()),
            _ => Err(self.damaged(key)),
        }
    }

    pub fn classes(&self) -> Result<Vec<Class>, WeightsError> {
        match (self.get("class_names"), self.get("class_colors")) {
            (None, _) => Ok(Vec::new()),
            (Some(Value::Texts(names)), Some(Value::U32s(colors))) if names.len() == colors.len() => {
                let class = |(name, color): (&String, &u32)| {
                    let [_, red, green, blue] = color.to_be_bytes();
                    Class { name: name.clone(), color: [red, green, blue] }
                };
                Ok(names.iter().zip(colors).map(class).collect())
            }
            _ => Err(self.damaged("class_names")),
        }
    }

    pub fn sources(&self) -> Vec<(String, String)> {
        match (self.get("source.files"), self.get("source.sha256")) {
            (Some(Value::Texts(names)), Some(Value::Texts(hashes))) => {
                names.iter().cloned().zip(hashes.iter().cloned()).collect()
            }
            _ => Vec::new(),
        }
    }

    pub fn projection(&self) -> Result<Option<Projection>, WeightsError> {
        if self.get("projection.scene_bands").is_none() {
            return Ok(None);
        }
        let scene_bands = self.number("projection.scene_bands")?;
        let bands: Vec<usize> = match self.get("projection.bands") {
            Some(Value::U32s(bands)) => bands.iter().map(|&band| band as usize).collect(),
            _ => return Err(self.damaged("projection.bands")),
        };
        let scaling = match self.get("projection.scaling") {
            None => None,
            Some(Value::F64s(pair)) if pair.len() == 2 => Some(Scaling { offset: pair[0], factor: pair[1] }),
            Some(_) => return Err(self.damaged("projection.scaling")),
        };
        let wavelengths_nm = match self.get("projection.wavelengths_nm") {
            None => None,
            Some(_) => Some(self.numbers("projection.wavelengths_nm")?),
        };
        let total_variance = self.get("projection.total_variance").and_then(Value::as_f64);
        let projection = Projection {
            scene_bands,
            wavelengths_nm,
            pixels: self.get("projection.pixels").and_then(Value::as_u64).unwrap_or(0),
            scaling,
            mean: self.numbers("projection.mean")?,
            components: self.numbers("projection.components")?,
            variance: self.numbers("projection.variance")?,
            divisor: self.numbers("projection.divisor")?,
            total_variance: total_variance.ok_or_else(|| self.damaged("projection.total_variance"))?,
            bands,
        };
        let (used, outputs) = (projection.bands.len(), projection.divisor.len());
        let matrix = projection.components.len();
        let fits = projection.mean.len() == used
            && (matrix == used.saturating_mul(outputs) || (matrix == 0 && used == outputs))
            && projection.bands.iter().all(|&band| band < scene_bands)
            && projection.wavelengths_nm.as_ref().is_none_or(|list| list.len() == scene_bands);
        if fits { Ok(Some(projection)) } else { Err(self.damaged("projection")) }
    }
}
