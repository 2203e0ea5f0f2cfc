//! Updates and band statistics, written and read.

use std::rc::Rc;

use proptest::prelude::*;

use super::*;
use crate::scene::MemorySource;
use crate::scope::Scope;

fn definition(encoding: Encoding) -> Definition {
    let document = include_str!("../../../docs/federation.md");
    let json = document.split("```json definition\n").nth(1).unwrap().split("```").next().unwrap();
    let definition: Definition = serde_json::from_str(json).unwrap();
    Definition { trainable: Trainable::All, encoding, ..definition }
}

fn plan(encoding: Encoding) -> UpdatePlan {
    let header = br#"{"w":{"dtype":"F32","shape":[9,15],"data_offsets":[0,540]},"b":{"dtype":"F32","shape":[3],"data_offsets":[540,552]}}"#;
    let bytes = [&(header.len() as u64).to_le_bytes(), header.as_slice(), &[0; 552]].concat();
    let layout = Layout::read(&MemorySource::new("model", bytes), 1000).unwrap();
    UpdatePlan::new(&definition(encoding), &layout).unwrap()
}

const BINDING: Binding =
    Binding { federation: FederationId([1; 8]), client: ClientId([2; 8]), round: 3, model: Hash([4; 32]) };

fn scope() -> [Scope; 1] {
    [Scope { mean: 0.1, deviation: 0.2, count: 135, skewness: 0.3, excess_kurtosis: 0.4 }]
}

fn values(scale: f32) -> Vec<f32> {
    (0..135).map(|i| (i as f32 * 0.7).sin() * scale).collect()
}

fn open<'a>(bytes: &[u8], plan: &'a UpdatePlan, binding: &Binding) -> Result<Update<'a>, UpdateError> {
    Update::open(Rc::new(MemorySource::new("update", bytes.to_vec())), plan, binding)
}

fn check(bytes: &[u8], plan: &UpdatePlan, max_norm: Option<f64>) -> Result<UpdateSummary, UpdateError> {
    open(bytes, plan, &BINDING)?.check(max_norm)
}

#[test]
fn what_is_written_comes_back_as_near_as_the_encoding_says() {
    for (encoding, tolerance) in
        [(Encoding::Float32, 0.0), (Encoding::Float16, 0.5e-3), (Encoding::Int8, 0.501 / 127.0)]
    {
        let plan = plan(encoding);
        let (w, b) = (values(1.0), [0.5, -0.25, 0.0]);
        let encoded = Encoder::default().encode(&plan, &BINDING, &[&b, &w], &scope()).unwrap();
        assert!(encoded.bytes.len() as u64 <= plan.bytes_max());
        assert!(safetensors::SafeTensors::deserialize(&encoded.bytes).is_ok(), "the usual library reads it");
        let update = open(&encoded.bytes, &plan, &BINDING).unwrap();
        assert_eq!(update.scopes().unwrap(), [[0.1, 0.2, 0.3, 0.4]]);
        let mut out = vec![0.0; 135];
        update.read(1, 0, &mut out).unwrap();
        let error = out.iter().zip(&w).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(error <= tolerance, "{encoding}: {error}");
        let mut tail = vec![0.0; 71];
        update.read(1, 64, &mut tail).unwrap();
        assert_eq!(tail, out[64..], "{encoding}: from the middle");
        let norm = update.check(None).unwrap().norm;
        assert!(matches!(update.check(Some(norm * 0.99)), Err(UpdateError::Norm { .. })));
        assert_eq!(update.check(Some(norm)).unwrap().norm, norm);
    }
}

#[test]
fn what_writing_loses_comes_with_the_next_update() {
    for encoding in Encoding::ALL {
        let plan = plan(encoding);
        let mut encoder = Encoder::default();
        // A change so small beside the largest that one update alone never shows it.
        let mut w = vec![1e-4f32; 135];
        w[0] = 1.0;
        let mut sum = vec![0f64; 135];
        for _ in 0..200 {
            let encoded = encoder.encode(&plan, &BINDING, &[&[0.0; 3], &w], &scope()).unwrap();
            let mut out = vec![0.0; 135];
            open(&encoded.bytes, &plan, &BINDING).unwrap().read(1, 0, &mut out).unwrap();
            sum.iter_mut().zip(&out).for_each(|(sum, value)| *sum += f64::from(*value));
            encoder.accepted(encoded);
        }
        assert!(sum[1..64].iter().all(|sum| (sum - 0.02).abs() < 0.008), "{encoding}: {}", sum[5]);
    }
}

#[test]
fn an_update_that_never_counted_leaves_no_rest() {
    let plan = plan(Encoding::Int8);
    let encoder = Encoder::default();
    let w = values(1.0);
    let first = encoder.encode(&plan, &BINDING, &[&[0.0; 3], &w], &scope()).unwrap();
    let again = encoder.encode(&plan, &BINDING, &[&[0.0; 3], &w], &scope()).unwrap();
    assert_eq!(first.bytes, again.bytes, "and the same arguments give the same bytes");
}

#[test]
fn what_does_not_fit_is_refused_with_its_reason() {
    let plan = plan(Encoding::Float32);
    let encode = |w: &[f32]| Encoder::default().encode(&plan, &BINDING, &[&[0.0; 3], w], &scope());
    assert!(matches!(encode(&[f32::NAN; 135]), Err(UpdateError::NotFinite { index: 0, .. })));
    assert!(matches!(encode(&[0.0; 134]), Err(UpdateError::Shape { .. })));
    let bytes = encode(&values(1.0)).unwrap().bytes;
    for (binding, what) in [
        (Binding { round: 4, ..BINDING }, "round"),
        (Binding { client: ClientId([9; 8]), ..BINDING }, "client"),
        (Binding { federation: FederationId([9; 8]), ..BINDING }, "federation"),
        (Binding { model: Hash([9; 32]), ..BINDING }, "model"),
    ] {
        let error = open(&bytes, &plan, &binding).err().unwrap();
        assert!(matches!(error, UpdateError::Binding { what: found, .. } if found == what));
        assert_eq!(error.reason(), Reason::Replayed);
    }
    let reason = |bytes: &[u8], plan: &UpdatePlan| check(bytes, plan, None).unwrap_err().reason();
    assert_eq!(reason(&bytes, &self::plan(Encoding::Int8)), Reason::ShapeMismatch);
    assert_eq!(reason(&bytes[..bytes.len() - 1], &plan), Reason::TensorsMalformed);
    assert_eq!(reason(&[&bytes[..], &[0]].concat(), &plan), Reason::TensorsMalformed);
    let with = |at_end: usize, value: f32| {
        let mut bytes = bytes.clone();
        let at = bytes.len() - at_end;
        bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
        bytes
    };
    assert_eq!(reason(&with(4, f32::NAN), &plan), Reason::NotFinite);
    assert_eq!(reason(&with(40, f32::NEG_INFINITY), &plan), Reason::NotFinite);
    assert_eq!(reason(&with(4, -65537.0), &plan), Reason::ValueTooLarge);
    let mut surplus = bytes.clone();
    let at = surplus.windows(3).position(|three| three == b"\"w\"").unwrap();
    surplus[at + 1] = b'v';
    assert_eq!(reason(&surplus, &plan), Reason::ShapeMismatch);
    // The deviation of the only layer, behind the header and the mean.
    let mut negative = bytes.clone();
    let data = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    negative[data + 8..data + 16].copy_from_slice(&(-1f64).to_le_bytes());
    assert_eq!(reason(&negative, &plan), Reason::NotFinite);
}

#[test]
fn names_that_scales_and_moments_have_are_refused() {
    let header = br#"{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"w::scale":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}"#;
    let bytes = [&(header.len() as u64).to_le_bytes(), header.as_slice(), &[0; 8]].concat();
    let layout = Layout::read(&MemorySource::new("model", bytes), 1000).unwrap();
    let error = UpdatePlan::new(&definition(Encoding::Int8), &layout).unwrap_err();
    assert!(matches!(&error, UpdateError::Reserved { name } if name == "w::scale"), "{error}");
}

fn statistics(pixels: &[[f64; 3]]) -> BandStatistics {
    let mut statistics =
        BandStatistics { count: 0, range: [f64::MAX, f64::MIN], sum: vec![0.0; 3], scatter: vec![0.0; 9] };
    for pixel in pixels {
        statistics.count += 1;
        for i in 0..3 {
            statistics.range = [statistics.range[0].min(pixel[i]), statistics.range[1].max(pixel[i])];
            statistics.sum[i] += pixel[i];
            (0..3).for_each(|j| statistics.scatter[i * 3 + j] += pixel[i] * pixel[j]);
        }
    }
    statistics
}

fn pixels(seed: usize, count: usize) -> Vec<[f64; 3]> {
    (0..count).map(|i| [0, 1, 2].map(|band| ((seed + i * 3 + band) as f64 * 1.7).sin() + 2.0 + band as f64)).collect()
}

#[test]
fn band_statistics_of_several_clients_are_those_of_all_pixels() {
    let parts = [pixels(0, 40), pixels(1000, 7), pixels(5000, 100)];
    let mut sums = [BandSum::new(3), BandSum::new(3)];
    for (index, part) in parts.iter().enumerate() {
        sums[0].add(&statistics(part)).unwrap();
        sums[1].add(&statistics(&parts[2 - index])).unwrap();
    }
    let moments = sums[0].moments();
    assert_eq!(moments, sums[1].moments(), "in any order, bit for bit");
    let all: Vec<[f64; 3]> = parts.concat();
    let n = all.len() as f64;
    let mean = |band: usize| all.iter().map(|pixel| pixel[band]).sum::<f64>() / n;
    for i in 0..3 {
        assert!((moments.mean[i] - mean(i)).abs() < 1e-12);
        for j in 0..3 {
            let covariance = all.iter().map(|p| (p[i] - mean(i)) * (p[j] - mean(j))).sum::<f64>() / (n - 1.0);
            assert!((moments.covariance[i * 3 + j] - covariance).abs() < 1e-10);
        }
    }
    assert_eq!(moments.pixels, 147);
    let options = crate::preprocess::FitOptions::whitened(2);
    let projection =
        crate::preprocess::projection_of_moments("all", &[500.0, 600.0, 700.0], &options, moments).unwrap();
    assert_eq!((projection.len(), projection.scene_bands), (2, 3));
    // Whitened: over all pixels the components have no mean, variance 1 and nothing in common.
    let projected: Vec<Vec<f64>> = all.iter().map(|pixel| projection.project_spectrum(pixel, None).unwrap()).collect();
    for i in 0..2 {
        for j in 0..=i {
            let product = projected.iter().map(|p| p[i] * p[j]).sum::<f64>() / (n - 1.0);
            assert!((product - f64::from(u8::from(i == j))).abs() < 1e-9, "{i} {j} {product}");
        }
    }
}

#[test]
fn band_statistics_that_contradict_themselves_are_refused() {
    let good = statistics(&pixels(3, 20));
    let read = |statistics: &BandStatistics| {
        let bytes = statistics.to_bytes(&BINDING);
        assert!(bytes.len() as u64 <= statistics_bytes(3));
        BandStatistics::read(&MemorySource::new("statistics", bytes), 3, &BINDING)
    };
    assert_eq!(read(&good).unwrap(), good);
    let mut wrong =
        vec![BandStatistics { count: 0, ..good.clone() }, BandStatistics { range: [2.0, 1.0], ..good.clone() }];
    for (at, value) in [(1, 0.5), (0, -1.0), (8, f64::NAN), (4, 1e101)] {
        let mut statistics = good.clone();
        statistics.scatter[at] = value;
        wrong.push(statistics);
    }
    let mut shifted = good.clone();
    shifted.sum[2] *= 3.0;
    wrong.push(shifted);
    for statistics in wrong {
        assert_eq!(read(&statistics).unwrap_err().reason(), Reason::StatisticsInvalid, "{statistics:?}");
    }
    let bytes = good.to_bytes(&BINDING);
    let other = |bands, binding: &Binding| {
        BandStatistics::read(&MemorySource::new("statistics", bytes.clone()), bands, binding).unwrap_err().reason()
    };
    assert_eq!(other(4, &BINDING), Reason::ShapeMismatch);
    assert_eq!(other(3, &Binding { round: 1, ..BINDING }), Reason::Replayed);
}

proptest! {
    #[test]
    fn arbitrary_bytes_are_refused_in_peace(bytes in prop::collection::vec(any::<u8>(), 0..400), json in ".{0,200}") {
        for encoding in Encoding::ALL {
            prop_assert!(check(&bytes, &plan(encoding), None).is_err());
        }
        let source = MemorySource::new("statistics", bytes.clone());
        prop_assert!(BandStatistics::read(&source, 3, &BINDING).is_err());
        drop(serde_json::from_slice::<Definition>(&bytes).map(|definition| definition.check()));
        drop(serde_json::from_str::<FinishUpload>(&json));
        drop(serde_json::from_str::<Metrics>(&json));
    }

    /// A valid file with some bytes changed is read or refused, never a panic.
    #[test]
    fn damaged_files_are_read_or_refused(encoding in 0usize..3, damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        let plan = plan(Encoding::ALL[encoding]);
        let mut bytes = Encoder::default().encode(&plan, &BINDING, &[&[0.5; 3], &values(1.0)], &scope()).unwrap().bytes;
        for (at, value) in damage {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if let Ok(summary) = check(&bytes, &plan, Some(1e9)) {
            prop_assert!(summary.norm.is_finite());
        }
        let mut file = statistics(&pixels(1, 9)).to_bytes(&BINDING);
        let at = bytes.len() % file.len();
        file[at] ^= bytes[0];
        drop(BandStatistics::read(&MemorySource::new("statistics", file), 3, &BINDING));
    }
}
