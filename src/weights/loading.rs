//! The official loading procedure: which tensors of a checkpoint become part of a network.

use std::collections::{BTreeMap, BTreeSet};

use super::shape::{OFFICIAL_CLASSES, OFFICIAL_COMPONENTS, OFFICIAL_TILE, check};
use super::{Description, Found, Origin, Status, TensorReport, WeightsError};
use crate::model::{Config, Task, names};

/// How names and shapes of a file are brought into a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Procedure {
    /// What the segmentation and classification frameworks do with a pair of pre-trained encoders. The spatial position table
    /// starts fresh; nothing is resized.
    Frameworks,
    /// What `init_weights` does, which detection and denoising use: the spatial position table is resized to the grid of the
    /// tile; the spectral one loses its first token and is stretched to its old length (SpecViT_fusion.py:517-536).
    InitWeights,
    /// What has the same name and shape; a spatial position table of another grid is resized. For fine-tuned networks, and
    /// for what was converted before.
    Names,
}

/// What a network is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    pub task: Task,
    /// Rows and columns of the tile.
    pub tile: [usize; 2],
    pub patch: usize,
    pub components: usize,
    pub classes: usize,
}

impl Default for Target {
    /// The official segmentation of Pavia University.
    fn default() -> Self {
        let (task, components, classes) = (Task::Segmentation, OFFICIAL_COMPONENTS, OFFICIAL_CLASSES);
        Self { task, tile: OFFICIAL_TILE, patch: 8, components, classes }
    }
}

impl Target {
    /// What a fine-tuned network is for.
    pub fn of(network: &Config) -> Self {
        let Config { task, rows, cols, patch, components, classes, .. } = *network;
        Self { task, tile: [rows, cols], patch, components, classes }
    }

    /// The network for this, with the encoders of `description`.
    ///
    /// # Errors
    /// [`WeightsError::Config`] when they do not fit together.
    pub fn network(&self, name: &str, description: &Description) -> Result<Config, WeightsError> {
        let Self { task, tile: [rows, cols], patch, components, classes } = *self;
        let network = Config { task, rows, cols, patch, components, classes, ..description.network.clone() };
        check(name, &Description { origin: Origin::FineTuning, network: network.clone(), ..description.clone() })?;
        Ok(network)
    }
}

/// Another grid for a position table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resize {
    /// Tokens at the front that are left away.
    pub skip: usize,
    /// Rows and columns of the others.
    pub from: [usize; 2],
    pub to: [usize; 2],
}

/// A tensor that is taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Take {
    pub name: String,
    /// Which of the tensors found.
    pub found: usize,
    /// In the network.
    pub shape: Vec<usize>,
    pub resize: Option<Resize>,
}

/// What becomes of every tensor.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// In the order of the network.
    pub takes: Vec<Take>,
    /// What the network has, in its order, then everything else in the order of the file.
    pub tensors: Vec<TensorReport>,
}

/// Applies a procedure to the tensors of the file `name`. `grid` is the token grid of the file's spatial position table where it
/// is known; otherwise it is taken for square. A `network` that is complete also takes what never influences its result.
///
/// # Errors
/// [`WeightsError::Shape`] when a block has another shape than the network's; [`WeightsError::Config`] when the network cannot
/// be built.
pub fn plan(
    name: &str,
    found: &[Found],
    grid: Option<[usize; 2]>,
    procedure: Procedure,
    network: &Config,
) -> Result<Plan, WeightsError> {
    network.validate().map_err(|error| WeightsError::Config { name: name.to_owned(), error })?;
    let lean = Config { complete: false, ..network.clone() };
    let complete = Config { complete: true, ..network.clone() };
    let live = names::live(&complete);
    let places: BTreeMap<&str, usize> = found.iter().enumerate().map(|(i, found)| (found.name.as_str(), i)).collect();
    let mut listed = BTreeSet::new();
    let mut plan = Plan { takes: Vec::new(), tensors: Vec::new() };

    // The network's own, in its order: first what counts, then what never does.
    let unused = names::unused(&complete);
    let all = live.iter().map(|entry| (entry, names::is_unused(&lean, &entry.0)));
    for ((key, shape), dead) in all.chain(unused.iter().map(|entry| (entry, true))) {
        let Some(&place) = places.get(key.as_str()) else {
            if !dead || network.complete {
                plan.tensors.push(report(key, None, Some(shape), Status::Missing, None));
            }
            continue;
        };
        listed.insert(place);
        let tensor = &found[place];
        let outcome = match drops(procedure, key, network) {
            Some(rule) => Outcome::Drop(rule),
            None if dead && !network.complete => Outcome::LeaveOut,
            None => fit(tensor, shape, grid, procedure, network, dead),
        };
        if matches!(outcome, Outcome::Misfit) && key.contains(".blocks.") {
            let (found, expected) = (tensor.tensor.shape.clone(), shape.clone());
            return Err(WeightsError::Shape { name: name.to_owned(), tensor: key.clone(), found, expected });
        }
        let (status, reason) = outcome.report();
        if let Some(resize) = outcome.taken() {
            let shape = if resize.is_some() { shape } else { &tensor.tensor.shape };
            plan.takes.push(Take { name: key.clone(), found: place, shape: shape.clone(), resize });
        }
        plan.tensors.push(report(key, Some(tensor), Some(shape), status, reason));
    }

    for (place, tensor) in found.iter().enumerate().filter(|(place, _)| !listed.contains(place)) {
        // Layers that nothing uses may have shapes and numbers of their own.
        let unused = !tensor.name.contains(".blocks.") && names::is_unused(&lean, &tensor.name);
        let (status, reason) = match drops(procedure, &tensor.name, network) {
            Some(rule) => (Status::Dropped, Some(rule)),
            None if unused && network.complete => {
                let (name, shape) = (tensor.name.clone(), tensor.tensor.shape.clone());
                plan.takes.push(Take { name, found: place, shape, resize: None });
                (Status::Matched, None)
            }
            None if unused => Outcome::LeaveOut.report(),
            None => (Status::Unexpected, Some("the network has no such tensor".to_owned())),
        };
        plan.tensors.push(report(&tensor.name, Some(tensor), None, status, reason));
    }
    drop_lonely_biases(&mut plan);
    Ok(plan)
}

/// What a procedure does to a tensor.
enum Outcome {
    Take,
    Resize(Resize),
    Drop(String),
    LeaveOut,
    /// Another shape than the network's.
    Misfit,
}

impl Outcome {
    fn report(&self) -> (Status, Option<String>) {
        match self {
            Self::Take => (Status::Matched, None),
            Self::Resize(Resize { skip, from, to }) => {
                let grid = |[rows, cols]: &[usize; 2]| format!("{rows} × {cols}");
                let skipped = if *skip > 0 { format!(", without the first {skip}") } else { String::new() };
                (Status::Resized, Some(format!("{} tokens to {}, bicubic{skipped}", grid(from), grid(to))))
            }
            Self::Drop(rule) => (Status::Dropped, Some(rule.clone())),
            Self::LeaveOut => (Status::LeftOut, Some("it never influences the result".to_owned())),
            Self::Misfit => {
                (Status::Dropped, Some("it was made for another tile, projection or class table".to_owned()))
            }
        }
    }

    fn taken(&self) -> Option<Option<Resize>> {
        match self {
            Self::Take => Some(None),
            Self::Resize(resize) => Some(Some(*resize)),
            _ => None,
        }
    }
}

/// The rule by which a procedure does not take a tensor, if there is one.
fn drops(procedure: Procedure, name: &str, network: &Config) -> Option<String> {
    let contains = |parts: &[&str]| {
        let part = parts.iter().find(|part| name.contains(**part))?;
        Some(format!("its name contains {part}"))
    };
    let spatial = name.starts_with("spat_encoder.");
    match procedure {
        Procedure::Frameworks if spatial => {
            contains(&["patch_embed.proj", "spat_map", "spat_output_maps", "pos_embed"])
        }
        Procedure::Frameworks if name.starts_with("spec_encoder.") => {
            contains(&["patch_embed.proj", "spat_map", "fpn1.0.weight", "spec_encoder.patch_embed"])
        }
        Procedure::InitWeights if network.components != 3 && name.contains("patch_embed.proj") => {
            Some("the scene has not three bands".to_owned())
        }
        Procedure::InitWeights if [network.rows, network.cols] != [64, 64] && name.contains("spat_map") => {
            Some("the tile has not 64 × 64 pixels".to_owned())
        }
        _ => None,
    }
}

/// Compares a tensor with the network.
fn fit(
    tensor: &Found,
    shape: &[usize],
    grid: Option<[usize; 2]>,
    procedure: Procedure,
    network: &Config,
    dead: bool,
) -> Outcome {
    let found = &tensor.tensor.shape;
    let table = match &found[..] {
        &[1, tokens, width] if width == network.embed_dim && tokens > 1 => Some(tokens),
        _ => None,
    };
    if let (Some(tokens), "spec_encoder.pos_embed", Procedure::InitWeights) = (table, tensor.name.as_str(), procedure) {
        let to = [1, network.spectral_tokens];
        return Outcome::Resize(Resize { skip: 1, from: [1, tokens - 1], to });
    }
    if found == shape || (dead && !tensor.name.contains(".blocks.")) {
        return Outcome::Take;
    }
    let square = |tokens: usize| Some([tokens.isqrt(); 2]).filter(|[side, _]| side * side == tokens);
    let from = |tokens| grid.filter(|[rows, cols]| rows.checked_mul(*cols) == Some(tokens)).or_else(|| square(tokens));
    match (tensor.name.as_str(), table.and_then(from)) {
        ("spat_encoder.pos_embed", Some(from)) => Outcome::Resize(Resize { skip: 0, from, to: network.grid() }),
        _ => Outcome::Misfit,
    }
}

/// A bias belongs to its weight: where the weight does not fit, both start fresh.
fn drop_lonely_biases(plan: &mut Plan) {
    let lost: BTreeSet<String> = plan
        .tensors
        .iter()
        .filter(|tensor| tensor.status == Status::Dropped)
        .filter_map(|tensor| Some(format!("{}.bias", tensor.name.strip_suffix(".weight")?)))
        .collect();
    plan.takes.retain(|take| !lost.contains(&take.name));
    for tensor in
        plan.tensors.iter_mut().filter(|tensor| tensor.status == Status::Matched && lost.contains(&tensor.name))
    {
        tensor.status = Status::Dropped;
        tensor.reason = Some("its weight does not fit".to_owned());
    }
}

fn report(
    name: &str,
    found: Option<&Found>,
    expected: Option<&Vec<usize>>,
    status: Status,
    reason: Option<String>,
) -> TensorReport {
    TensorReport {
        name: name.to_owned(),
        status,
        reason,
        key: found.map(|found| found.tensor.name.clone()),
        found: found.map(|found| found.tensor.shape.clone()),
        expected: expected.cloned(),
        stored: found.map(|found| found.tensor.kind),
        written: None,
    }
}
