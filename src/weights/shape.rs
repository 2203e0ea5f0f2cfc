//! Which network a checkpoint is of, told from names and shapes.

use super::{Description, Origin, Quantization, TensorInfo, WeightsError};
use crate::model::{Config, Task};

/// A shape with a name.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    /// `base`, `large`, …
    pub name: &'static str,
    preset: fn(Task, [usize; 2], usize, usize) -> Config,
}

/// All shapes with names: those of the paper, and our own small ones.
pub const SIZES: [Size; 5] = [
    Size { name: "base", preset: Config::base },
    Size { name: "large", preset: Config::large },
    Size { name: "huge", preset: Config::huge },
    Size { name: "nano", preset: Config::nano },
    Size { name: "tiny", preset: Config::tiny },
];

impl Size {
    /// The size of that name.
    pub fn named(name: &str) -> Option<Self> {
        SIZES.into_iter().find(|size| size.name == name)
    }

    /// The size of a network, where it has a name.
    pub fn of(network: &Config) -> Option<Self> {
        let shape = |config: &Config| {
            let Config { embed_dim, depth, heads, mlp_ratio, interval, points, features, .. } = *config;
            (embed_dim, depth, heads, mlp_ratio, interval, points, features)
        };
        SIZES.into_iter().find(|size| shape(&size.network()) == shape(network))
    }

    /// The network of this size for the tile, components and classes of another.
    pub fn with(self, other: &Config) -> Config {
        let Config { task, rows, cols, patch, components, classes, .. } = *other;
        Config { patch, ..(self.preset)(task, [rows, cols], components, classes) }
    }

    /// The network of this size for the official tile of its task; only the encoders mean something.
    fn network(self) -> Config {
        (self.preset)(Task::Segmentation, OFFICIAL_TILE, OFFICIAL_COMPONENTS, OFFICIAL_CLASSES)
    }
}

/// Tile, components and classes of the official segmentation demo on Pavia University.
pub(super) const OFFICIAL_TILE: [usize; 2] = [128, 128];
pub(super) const OFFICIAL_COMPONENTS: usize = 20;
pub(super) const OFFICIAL_CLASSES: usize = 9;

/// Shapes by official names.
pub(super) struct Shapes<'a> {
    /// The file, for errors.
    pub file: &'a str,
    pub tensors: Vec<(&'a str, &'a TensorInfo)>,
}

impl Shapes<'_> {
    fn get(&self, name: &str) -> Option<&[usize]> {
        self.tensors.iter().find(|(found, _)| *found == name).map(|(_, tensor)| tensor.shape.as_slice())
    }

    fn side(&self, name: &str, axis: usize) -> Option<usize> {
        self.get(name)?.get(axis).copied()
    }

    fn has_encoder(&self, encoder: &str) -> bool {
        self.get(&format!("{encoder}.blocks.0.norm1.weight")).is_some()
    }

    /// Blocks of an encoder: one more than the highest number.
    fn blocks(&self, encoder: &str) -> usize {
        let prefix = format!("{encoder}.blocks.");
        let number = |name: &str| name.strip_prefix(&prefix)?.split('.').next()?.parse::<usize>().ok();
        let highest = self.tensors.iter().filter_map(|(name, _)| number(name)).max();
        highest.map_or(0, |highest| highest.saturating_add(1))
    }

    fn damaged(&self, what: String) -> WeightsError {
        WeightsError::malformed(self.file, what)
    }
}

/// Tells the network from the tensors.
///
/// # Errors
/// [`WeightsError`] when there are no encoders, two that differ, or a shape without a name and without `size`.
pub(super) fn infer(shapes: &Shapes, size: Option<Size>) -> Result<Description, WeightsError> {
    let [spatial, spectral] = ["spat_encoder", "spec_encoder"].map(|name| shapes.has_encoder(name).then_some(name));
    let Some(encoder) = spatial.or(spectral) else {
        let first = shapes.tensors.first().map_or("nothing", |(name, _)| *name).to_owned();
        return Err(WeightsError::NotHyperSigma { name: shapes.file.to_owned(), first });
    };
    let width = shapes.side(&format!("{encoder}.blocks.0.norm1.weight"), 0).unwrap_or(0);
    let depth = shapes.blocks(encoder);
    if let (Some(_), Some(other)) = (spatial, spectral) {
        let other_width = shapes.side(&format!("{other}.blocks.0.norm1.weight"), 0).unwrap_or(0);
        // Spectral blocks that change nothing may have been left out.
        if other_width != width || shapes.blocks(other) > depth {
            return Err(shapes.damaged(format!(
                "its encoders differ ({width} wide and {depth} deep, {other_width} wide and {} deep)",
                shapes.blocks(other)
            )));
        }
    }
    let fits = |size: &Size| (size.network().embed_dim, size.network().depth) == (width, depth);
    let name = shapes.file.to_owned();
    let size = match size {
        Some(size) if fits(&size) => size,
        Some(size) => {
            let Config { embed_dim: expected_width, depth: expected_depth, .. } = size.network();
            let size = size.name.to_owned();
            return Err(WeightsError::OtherSize { name, width, depth, size, expected_width, expected_depth });
        }
        None => SIZES.into_iter().find(fits).ok_or_else(|| {
            let sizes = SIZES.map(|size| size.name).join(", ");
            WeightsError::Size { name: name.clone(), width, depth, sizes }
        })?,
    };
    let mut network = size.network();
    if let Some(tokens) = shapes.side("spec_encoder.pos_embed", 1) {
        network.spectral_tokens = tokens;
    }
    network.complete = shapes.blocks("spec_encoder") > network.spectral_blocks;
    let origin = surroundings(shapes, &mut network)?;
    let description = Description {
        network,
        origin,
        size: Some(size.name.to_owned()),
        quantization: Quantization::F32,
        projection: None,
        classes: Vec::new(),
        settings: None,
        license: None,
        source_url: None,
        sources: Vec::new(),
    };
    check(shapes.file, &description)?;
    Ok(description)
}

/// What fits the network to scenes: tile, patch, components, classes, as far as the tensors tell.
fn surroundings(shapes: &Shapes, network: &mut Config) -> Result<Origin, WeightsError> {
    let (rank, proj) = (4, "spat_encoder.patch_embed.proj.weight");
    let proj = shapes.get(proj).filter(|shape| shape.len() == rank);
    network.components = proj.map_or(0, |shape| shape[1]);
    network.patch = proj.map_or(0, |shape| shape[3]);
    let pixels = shapes.side("spec_encoder.spat_map.weight", 1);
    let tokens = shapes.side("spat_encoder.pos_embed", 1);

    let segmentation = shapes.side("cls.weight", 0).map(|classes| (Task::Segmentation, classes));
    let classification = shapes.side("classifier.4.weight", 0).map(|classes| (Task::Classification, classes));
    let Some((task, classes)) = segmentation.or(classification) else {
        // Each encoder was trained by itself; the spatial one knows the grid.
        let spatial = tokens.map(|tokens| tokens.isqrt().saturating_mul(network.patch));
        let side = spatial.or(pixels.map(usize::isqrt)).unwrap_or(0);
        (network.rows, network.cols, network.classes) = (side, side, 0);
        return Ok(Origin::Pretraining);
    };
    // Pixels past the last whole patch have no token, but the spectral encoder sees them.
    let pixels = pixels.unwrap_or(0);
    let side = pixels.isqrt();
    if side * side != pixels {
        let what = "which are no square, so rows and columns cannot be told";
        return Err(shapes.damaged(format!("its tile has {pixels} pixels, {what}")));
    }
    (network.task, network.classes, network.rows, network.cols) = (task, classes, side, side);
    Ok(Origin::FineTuning)
}

/// Checks that the network of a description can be built, so that later loops over it end.
pub(super) fn check(file: &str, description: &Description) -> Result<(), WeightsError> {
    let network = match description.origin {
        Origin::FineTuning => description.network.clone(),
        Origin::Pretraining => Config {
            rows: OFFICIAL_TILE[0],
            cols: OFFICIAL_TILE[1],
            patch: 8,
            components: OFFICIAL_COMPONENTS,
            classes: OFFICIAL_CLASSES,
            ..description.network.clone()
        },
    };
    network.validate().map_err(|error| WeightsError::Config { name: file.to_owned(), error })
}
