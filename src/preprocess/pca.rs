//! Principal component analysis with whitening, as the official recipe has it (ImageClassification/model/split_data.py:36-41).

use serde::{Deserialize, Serialize};

use super::PreprocessError;
use super::eigen::{Eigen, symmetric_eigen};
use super::moments::{Moments, Scan};
use super::projection::{Projection, Scaling};
use crate::scene::Cube;

/// What becomes of the spectrum.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// The first principal components.
    Pca {
        components: usize,
        /// Divide each component by its standard deviation.
        whiten: bool,
    },
    /// Every band is first divided by its residual deviation (what the other bands do not explain of it, an estimate of
    /// its noise: Roger, "Principal components transform with simple, automatic noise adjustment", 1996), so that loud
    /// bands do not drown fine ones; then principal components, component i divided by its standard deviation to the
    /// power `whitening` (0: not at all, 1: all equally strong), and all together so that the mean square is 1.
    NoiseAdjusted { components: usize, whitening: f64 },
    /// Minimum noise fraction: the noise of all bands, estimated from neighbouring pixels, is whitened first, correlations
    /// between bands and all; then as `NoiseAdjusted`. For scenes whose fields are larger than pixels: where they are not,
    /// neighbours differ by more than noise (Green et al., 1988).
    NoiseFraction { components: usize, whitening: f64 },
    /// Every usable band for itself, less its mean, divided by its standard deviation.
    Standardise,
}

impl Method {
    /// Components that are asked for; `None` where every usable band is one.
    fn components(&self) -> Option<usize> {
        match *self {
            Self::Pca { components, .. }
            | Self::NoiseAdjusted { components, .. }
            | Self::NoiseFraction { components, .. } => Some(components),
            Self::Standardise => None,
        }
    }
}

/// How to prepare a scene.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct FitOptions {
    pub method: Method,
    /// Bring the whole cube to 0..1 first, by its smallest and largest value. Whitening undoes it but for rounding; it
    /// matters without.
    pub scale: bool,
}

impl FitOptions {
    /// The official recipe: so many whitened components of the scaled cube.
    pub fn whitened(components: usize) -> Self {
        Self { method: Method::Pca { components, whiten: true }, scale: true }
    }

    /// What few labels learn most from: so many half-whitened components of noise-adjusted bands.
    pub fn noise_adjusted(components: usize) -> Self {
        Self { method: Method::NoiseAdjusted { components, whitening: 0.5 }, scale: true }
    }

    /// So many half-whitened minimum noise fractions: better than [`noise_adjusted`](Self::noise_adjusted) within labelled
    /// fields, worse outside them and where pixels are mixed.
    pub fn noise_fractions(components: usize) -> Self {
        Self { method: Method::NoiseFraction { components, whitening: 0.5 }, scale: true }
    }
}

/// Variances below this share of the largest are rounding noise: whitening would blow it up.
const RANK_TOLERANCE: f64 = 1e-13;

/// Added to every band's variance before it is explained by the others, and to its noise, as a share of the mean variance:
/// bands that are copies of others would have no residual, and constant bands no noise at all.
const RIDGE: f64 = 1e-7;

impl Eigen {
    /// How many of the first `components` are more than rounding noise.
    fn kept(&self, components: usize) -> usize {
        let smallest = self.values.first().map_or(0.0, |largest| largest * RANK_TOLERANCE);
        self.values.iter().take(components).take_while(|value| **value > smallest).count()
    }
}

/// What [`RIDGE`] adds to the diagonal of a covariance.
fn ridge(covariance: &[f64], n: usize) -> f64 {
    (0..n).map(|band| covariance[band * n + band]).sum::<f64>() / n as f64 * RIDGE
}

/// A linear map of the bands, `n × n`, each row one new band: every band divided by its residual deviation, that is
/// multiplied by `√((C + ridge)⁻¹)ᵦᵦ`.
fn noise_adjusted(covariance: &[f64], n: usize) -> Option<Vec<f64>> {
    let eigen = symmetric_eigen(covariance, n)?;
    let ridge = ridge(covariance, n);
    let part = |band: usize, k: usize| eigen.vectors[k * n + band].powi(2) / (eigen.values[k].max(0.0) + ridge);
    let mut map = vec![0.0; n * n];
    for band in 0..n {
        map[band * n + band] = (0..n).map(|k| part(band, k)).sum::<f64>().sqrt();
    }
    Some(map)
}

/// A linear map of the bands, `n × n`, each row one new band, after which the noise of all is uncorrelated and 1.
fn noise_whitened(noise: &[f64], covariance: &[f64], n: usize) -> Option<Vec<f64>> {
    let Eigen { values, mut vectors } = symmetric_eigen(noise, n)?;
    let ridge = ridge(covariance, n);
    for (vector, value) in vectors.chunks_exact_mut(n).zip(values) {
        let deviation = (value.max(0.0) + ridge).sqrt();
        vector.iter_mut().for_each(|weight| *weight /= deviation);
    }
    Some(vectors)
}

/// `a bᵀ` of row-major matrices with rows of length n.
fn times_transposed(a: &[f64], b: &[f64], n: usize) -> Vec<f64> {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    a.chunks_exact(n).flat_map(|a| b.chunks_exact(n).map(move |b| dot(a, b))).collect()
}

/// The transpose of an `n × n` matrix.
fn transposed(a: &[f64], n: usize) -> Vec<f64> {
    (0..n * n).map(|at| a[at % n * n + at / n]).collect()
}

/// Fits a projection to every pixel of a scene that has data in all usable bands, labelled or not; a block of rows a step,
/// so that whoever waits can show progress and stop.
///
/// Bands that the file marks as bad, or that hold no data in most pixels, are left out. The covariance is streamed, so
/// memory does not grow with the scene.
pub struct ProjectionFit<'a> {
    cube: &'a dyn Cube,
    options: FitOptions,
    scan: Scan<'a>,
}

impl<'a> ProjectionFit<'a> {
    /// # Errors
    /// [`PreprocessError`] when the scene is empty or no component is asked for.
    pub fn new(cube: &'a dyn Cube, options: FitOptions) -> Result<Self, PreprocessError> {
        if options.method.components() == Some(0) {
            return Err(PreprocessError::NoComponents);
        }
        let with_noise = matches!(options.method, Method::NoiseFraction { .. });
        Ok(Self { cube, options, scan: Scan::new(cube, with_noise)? })
    }

    /// Rows read and rows to read (each is read twice).
    pub fn rows(&self) -> (usize, usize) {
        self.scan.rows()
    }

    /// Reads the next rows; false once all have been read.
    ///
    /// # Errors
    /// [`PreprocessError`] when the scene cannot be read or has nothing to compute with.
    pub fn read_next(&mut self) -> Result<bool, PreprocessError> {
        self.scan.read_next()
    }

    /// The projection. A scene with fewer independent bands than components asked for gives as many components as it has:
    /// see [`Projection::len`].
    ///
    /// # Errors
    /// [`PreprocessError`] when the scene cannot be read, has no data or is constant.
    pub fn finish(mut self) -> Result<Projection, PreprocessError> {
        while self.read_next()? {}
        let info = self.cube.info();
        let wavelengths_nm = info.wavelengths_nm.clone().filter(|list| list.len() == info.bands);
        project_onto(&info.name, info.bands, wavelengths_nm, &self.options, self.scan.finish()?)
    }
}

/// [`ProjectionFit`] in one go.
///
/// # Errors
/// Those of [`ProjectionFit`].
pub fn fit_projection(cube: &dyn Cube, options: &FitOptions) -> Result<Projection, PreprocessError> {
    ProjectionFit::new(cube, *options)?.finish()
}

/// Range, mean and covariance of pixels that need not be of one scene: what several scenes on one wavelength grid have in
/// common.
#[derive(Debug, Clone, PartialEq)]
pub struct BandMoments {
    pub pixels: u64,
    /// Of all samples.
    pub min: f64,
    pub max: f64,
    /// A band each.
    pub mean: Vec<f64>,
    /// `bands × bands`, row-major, divided by n − 1.
    pub covariance: Vec<f64>,
}

/// The projection that these statistics suggest for every scene on the grid `wavelengths_nm`, a band each. `name` is used in
/// errors.
///
/// # Errors
/// [`PreprocessError`] when the method needs more than these statistics or no component is asked for, numbers are missing,
/// or all pixels are alike.
pub fn projection_of_moments(
    name: &str,
    wavelengths_nm: &[f64],
    options: &FitOptions,
    moments: BandMoments,
) -> Result<Projection, PreprocessError> {
    let bands = wavelengths_nm.len();
    if bands == 0 || moments.mean.len() != bands || moments.covariance.len() != bands * bands {
        return Err(PreprocessError::NoBands { name: name.to_owned(), bands });
    }
    if moments.pixels == 0 {
        return Err(PreprocessError::NoData { name: name.to_owned(), bands });
    }
    if options.method.components() == Some(0) {
        return Err(PreprocessError::NoComponents);
    }
    let BandMoments { pixels, min, max, mean, covariance } = moments;
    let moments = Moments { bands: (0..bands).collect(), pixels, min, max, mean, covariance, noise: None };
    project_onto(name, bands, Some(wavelengths_nm.to_vec()), options, moments)
}

/// The directions that the statistics of a scene suggest.
fn project_onto(
    name: &str,
    scene_bands: usize,
    wavelengths_nm: Option<Vec<f64>>,
    options: &FitOptions,
    moments: Moments,
) -> Result<Projection, PreprocessError> {
    let n = moments.bands.len();
    // Scaling is affine, so its effect on mean and covariance is exact and needs no pass of its own.
    let scaling = (options.scale && moments.max > moments.min)
        .then(|| Scaling { offset: moments.min, factor: 1.0 / (moments.max - moments.min) });
    let (offset, factor) = scaling.map_or((0.0, 1.0), |scaling| (scaling.offset, scaling.factor));
    let mean: Vec<f64> = moments.mean.iter().map(|mean| (mean - offset) * factor).collect();
    let covariance: Vec<f64> = moments.covariance.iter().map(|value| value * factor * factor).collect();

    let diagonal: Vec<f64> = (0..n).map(|band| covariance[band * n + band].max(0.0)).collect();
    let total_variance: f64 = diagonal.iter().sum();
    // A constant band leaves only the rounding of its mean.
    let constant = |band: usize| diagonal[band].sqrt() <= (mean[band].abs() + (offset * factor).abs()) * 1e-14;
    let constant: Vec<bool> = (0..n).map(constant).collect();
    if constant.iter().all(|constant| *constant) {
        return Err(PreprocessError::Constant { name: name.to_owned() });
    }
    let mut projection = Projection {
        scene_bands,
        bands: moments.bands,
        wavelengths_nm,
        pixels: moments.pixels,
        scaling,
        mean,
        components: Vec::new(),
        variance: Vec::new(),
        divisor: Vec::new(),
        total_variance,
    };
    match options.method {
        Method::Standardise => {
            projection.divisor = (0..n).map(|band| if constant[band] { 1.0 } else { diagonal[band].sqrt() }).collect();
            projection.variance = diagonal;
        }
        Method::NoiseAdjusted { components, whitening } | Method::NoiseFraction { components, whitening } => {
            let fail = || PreprocessError::Eigen { name: name.to_owned() };
            let noise =
                moments.noise.map(|noise| noise.iter().map(|value| value * factor * factor).collect::<Vec<_>>());
            let map = match noise {
                Some(noise) => noise_whitened(&noise, &covariance, n),
                None => noise_adjusted(&covariance, n),
            };
            let map = map.ok_or_else(fail)?;
            let adjusted = times_transposed(&times_transposed(&map, &covariance, n), &map, n);
            let eigen = symmetric_eigen(&adjusted, n).ok_or_else(fail)?;
            let kept = eigen.kept(components);
            if kept == 0 {
                return Err(PreprocessError::Constant { name: name.to_owned() });
            }
            let variance = &eigen.values[..kept];
            let mean_square = variance.iter().map(|value| value.powf(1.0 - whitening)).sum::<f64>() / kept as f64;
            projection.divisor =
                variance.iter().map(|value| value.powf(whitening / 2.0) * mean_square.sqrt()).collect();
            projection.variance = variance.to_vec();
            projection.components = times_transposed(&eigen.vectors[..kept * n], &transposed(&map, n), n);
            projection.total_variance = (0..n).map(|band| adjusted[band * n + band]).sum();
        }
        Method::Pca { components, whiten } => {
            let eigen =
                symmetric_eigen(&covariance, n).ok_or_else(|| PreprocessError::Eigen { name: name.to_owned() })?;
            let kept = eigen.kept(components);
            if kept == 0 {
                return Err(PreprocessError::Constant { name: name.to_owned() });
            }
            projection.variance = eigen.values[..kept].to_vec();
            projection.components = eigen.vectors[..kept * n].to_vec();
            projection.divisor =
                projection.variance.iter().map(|variance| if whiten { variance.sqrt() } else { 1.0 }).collect();
        }
    }
    Ok(projection)
}
