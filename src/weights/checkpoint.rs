//! The files of one set of weights.

use super::read::{TensorFile, open};
use super::shape::{Shapes, check, infer};
use super::{Description, InputFile, Origin, Resize, Role, Size, Take, TensorInfo, TensorType, WeightsError};
use crate::model::resize_position_table;
use crate::scene::SharedSource;

/// One set of weights, open: a file with both encoders, or the pair of the official pre-training (one of the two will do).
pub struct Checkpoint {
    parts: Vec<Part>,
    found: Vec<Found>,
    description: Description,
    official: bool,
}

struct Part {
    source: SharedSource,
    file: Box<dyn TensorFile>,
    role: Role,
}

/// A tensor of a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The official name in the fine-tuning frameworks.
    pub name: String,
    /// As the file has it; its name there may lack the encoder's prefix.
    pub tensor: TensorInfo,
    /// Which file, and which tensor of it.
    place: (usize, usize),
}

impl Found {
    /// A tensor that no file holds, to ask what would become of it.
    pub fn imagined(name: impl Into<String>, tensor: TensorInfo) -> Self {
        Self { name: name.into(), tensor, place: (usize::MAX, usize::MAX) }
    }
}

impl Checkpoint {
    /// Opens the files that belong together. `size` is needed only where the shapes do not tell it.
    ///
    /// # Errors
    /// [`WeightsError`] when a file cannot be read, is none of HyperSIGMA, or they are no pair.
    pub fn open(sources: &[SharedSource], size: Option<Size>) -> Result<Self, WeightsError> {
        if !(1..=2).contains(&sources.len()) {
            let names: Vec<&str> = sources.iter().map(|source| source.name()).collect();
            return Err(WeightsError::Files { names: names.join(", "), count: sources.len() });
        }
        let mut parts = Vec::new();
        for source in sources {
            let file = open(source)?;
            let role = role(file.as_ref())?;
            parts.push(Part { source: source.clone(), file, role });
        }
        if let [first, second] = &parts[..] {
            check_pair(first, second)?;
        }
        // The spatial encoder comes first, as in the fine-tuning frameworks.
        parts.sort_by_key(|part| part.role == Role::Spectral);
        let mut found = Vec::new();
        for (number, part) in parts.iter().enumerate() {
            let prefix = match part.role {
                Role::Spatial => "spat_encoder.",
                Role::Spectral => "spec_encoder.",
                Role::Whole => "",
            };
            for (index, tensor) in part.file.tensors().iter().enumerate() {
                let (name, tensor) = (format!("{prefix}{}", tensor.name), tensor.clone());
                found.push(Found { name, tensor, place: (number, index) });
            }
        }
        let name = sources.iter().map(|source| source.name()).collect::<Vec<_>>().join(" and ");
        let given = match &parts[..] {
            [only] => only.file.description()?,
            _ => None,
        };
        let official = given.is_none();
        let description = match given {
            Some(mut description) => {
                check(&name, &description)?;
                if description.size.is_none() {
                    description.size = Size::of(&description.network).map(|size| size.name.to_owned());
                }
                description
            }
            None => {
                let tensors = found.iter().map(|found| (found.name.as_str(), &found.tensor)).collect();
                infer(&Shapes { file: &name, tensors }, size)?
            }
        };
        Ok(Self { parts, found, description, official })
    }

    /// What is known about the network.
    pub fn description(&self) -> &Description {
        &self.description
    }

    /// Encoders as the official pre-training saved them, to which its loading procedure applies.
    pub fn is_official_pretraining(&self) -> bool {
        self.official && self.description.origin == Origin::Pretraining
    }

    /// Everything in the files.
    pub fn found(&self) -> &[Found] {
        &self.found
    }

    /// The files, spatial before spectral. No hashes yet.
    pub fn inputs(&self) -> Vec<InputFile> {
        let input = |part: &Part| InputFile {
            name: part.source.name().to_owned(),
            role: part.role,
            format: part.file.format().to_owned(),
            bytes: part.source.len(),
            sha256: None,
        };
        self.parts.iter().map(input).collect()
    }

    /// The bytes of the files, in the order of [`Checkpoint::inputs`].
    pub(super) fn source(&self, number: usize) -> &SharedSource {
        &self.parts[number].source
    }

    /// Fills `out` with numbers of a tensor of [`Checkpoint::found`], from number `start` on, row-major.
    ///
    /// # Errors
    /// [`WeightsError`] when the medium fails, the file is damaged, or the range lies outside the tensor.
    pub fn read(&self, found: &Found, start: usize, out: &mut [f32]) -> Result<(), WeightsError> {
        let (part, index) = found.place;
        match self.parts.get(part).filter(|part| index < part.file.tensors().len()) {
            Some(part) => part.file.read(index, start, out),
            None => Err(WeightsError::Nothing { name: found.name.clone() }),
        }
    }

    /// The bytes of a tensor that a plan takes, where the file holds them as ggml does and the network in the same shape.
    ///
    /// # Errors
    /// [`WeightsError`] when the medium fails.
    pub fn stored(&self, take: &Take) -> Result<Option<(TensorType, Vec<u8>)>, WeightsError> {
        let Some(found) = self.found.get(take.found).filter(|_| take.resize.is_none()) else { return Ok(None) };
        let (part, index) = found.place;
        let Some(part) = self.parts.get(part) else { return Ok(None) };
        Ok(part.file.stored(index)?.map(|bytes| (found.tensor.kind, bytes)))
    }

    /// All numbers of a tensor that a plan takes, in the shape of the network.
    ///
    /// # Errors
    /// As [`Checkpoint::read`].
    pub fn values(&self, take: &Take) -> Result<Vec<f32>, WeightsError> {
        let Some(found) = self.found.get(take.found) else {
            return Err(WeightsError::Nothing { name: take.name.clone() });
        };
        let mut values = vec![0.0; found.tensor.len()];
        self.read(found, 0, &mut values)?;
        let Some(Resize { skip, from, to }) = take.resize else { return Ok(values) };
        let width = found.tensor.shape.last().copied().unwrap_or(1);
        Ok(resize_position_table(values.get(skip * width..).unwrap_or_default(), width, from, to))
    }
}

/// What a file holds. The autoencoders of the pre-training lack the prefixes of the encoders; the spectral one embeds bands by
/// `spat_map`, the spatial one patches by `patch_embed`.
fn role(file: &dyn TensorFile) -> Result<Role, WeightsError> {
    let has = |prefix: &str| file.tensors().iter().any(|tensor| tensor.name.starts_with(prefix));
    if has("spat_encoder.") || has("spec_encoder.") {
        return Ok(Role::Whole);
    }
    match (has("blocks.0."), has("spat_map."), has("patch_embed.")) {
        (true, true, _) => Ok(Role::Spectral),
        (true, false, true) => Ok(Role::Spatial),
        _ => {
            let first = file.tensors().first().map_or("nothing", |tensor| tensor.name.as_str()).to_owned();
            Err(WeightsError::NotHyperSigma { name: file.name().to_owned(), first })
        }
    }
}

fn check_pair(first: &Part, second: &Part) -> Result<(), WeightsError> {
    let why = match (first.role, second.role) {
        (Role::Spatial, Role::Spectral) | (Role::Spectral, Role::Spatial) => {
            let width = |part: &Part| {
                let tensors = part.file.tensors();
                let norm = tensors.iter().find(|tensor| tensor.name == "blocks.0.norm1.weight");
                norm.map_or(0, TensorInfo::len)
            };
            if width(first) == width(second) {
                return Ok(());
            }
            format!("one is {} wide, the other {}", width(first), width(second))
        }
        (Role::Whole, _) | (_, Role::Whole) => "one of them holds both encoders already".to_owned(),
        (role, _) => format!("both are {} checkpoint", role.name()),
    };
    let name = |part: &Part| part.source.name().to_owned();
    Err(WeightsError::Pair { first: name(first), second: name(second), why })
}
