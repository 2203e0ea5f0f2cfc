//! Does a network fit a device? What it needs ([`needs`]) is compared with what the device allows, and what would fit instead is
//! said.

mod needs;

use super::message::{DeviceBytes, DeviceChoice, Fit, FitLimits, FitPurpose, FitSuggestion, FitVerdict};
use crate::model::Config;
use crate::train::{Lora, Tuning};
use crate::weights::{Quantization, SIZES, TensorType};
pub use needs::{Needs, Work};

/// WebAssembly's address space.
pub const WASM_MEMORY: u64 = 4 << 30;
/// The program itself, scene and pictures beside the network, and what the allocator wastes.
const BESIDE: u64 = 512 << 20;
/// A GPU that does not say how much memory it has is trusted with so much.
const TRUSTED: u64 = 1 << 30;

/// Where the work is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub active: DeviceChoice,
    pub limits: FitLimits,
    /// A GPU's answer to a trial: whether it gave the bytes.
    pub granted: Option<bool>,
}

impl Place {
    /// Compares needs with limits.
    pub fn judge(&self, needs: &Needs) -> (FitVerdict, String) {
        let total = needs.bytes.total();
        let parts = format!(
            "{} for weights, {} for activations{}",
            size(needs.bytes.weights),
            size(needs.bytes.activations),
            if needs.bytes.training > 0 {
                format!(", {} for training", size(needs.bytes.training))
            } else {
                String::new()
            }
        );
        let whole = format!("It needs {} ({parts})", size(total));
        let (largest, what) = needs.largest;
        if self.active == DeviceChoice::Webgpu {
            let limit = [self.limits.buffer, self.limits.binding].into_iter().flatten().min();
            if let Some(limit) = limit.filter(|&limit| largest > limit) {
                let sentence = format!(
                    "{what} takes {}, but this GPU gives a kernel at most {} at once; choose a smaller tile or size",
                    size(largest),
                    size(limit)
                );
                return (FitVerdict::TooLarge, capital(&sentence));
            }
            return match self.granted {
                Some(false) => (
                    FitVerdict::TooLarge,
                    format!(
                        "{whole}, and this GPU has just refused to give as much; choose a smaller tile, size or quantisation, or close other pages that use the GPU"
                    ),
                ),
                Some(true) => (FitVerdict::Fits, format!("{whole}; this GPU has just given as much for a trial.")),
                None if total <= TRUSTED => (FitVerdict::Fits, format!("{whole}.")),
                None => (FitVerdict::Uncertain, format!("{whole}; this GPU does not say how much memory it has.")),
            };
        }
        let Some(memory) = self.limits.memory else { return (FitVerdict::Fits, format!("{whole}.")) };
        let room = memory.saturating_sub(BESIDE);
        if total > room {
            let sentence = format!(
                "{whole}, but WebAssembly on the CPU has room for {}; use WebGPU, or choose a smaller tile, size or quantisation",
                size(room)
            );
            (FitVerdict::TooLarge, sentence)
        } else if total > room / 4 * 3 {
            (FitVerdict::Uncertain, format!("{whole}, nearly all of the {} that WebAssembly has.", size(room)))
        } else {
            (FitVerdict::Fits, format!("{whole}; WebAssembly on the CPU has {}.", size(room)))
        }
    }

    /// The verdict, and what would fit if this does not.
    pub fn fit(&self, work: &Work) -> Fit {
        let needs = work.needs();
        let (verdict, sentence) = self.judge(&needs);
        let suggestions = if verdict == FitVerdict::TooLarge { self.suggestions(work, &needs) } else { Vec::new() };
        Fit {
            verdict,
            needs: needs.bytes,
            largest_binding: needs.largest.0,
            limits: self.limits,
            sentence,
            suggestions,
        }
    }

    /// Less precise weights, adapters, smaller tiles, smaller networks: of each the largest that fits.
    fn suggestions(&self, work: &Work, refused: &Needs) -> Vec<FitSuggestion> {
        // What a GPU has refused tells only that it has less: half of it is a guess that leaves room. And what saves
        // nothing worth mentioning is no help.
        let total = refused.bytes.total();
        let most = if self.granted == Some(false) { total / 2 } else { total / 10 * 9 };
        let elsewhere = Self { granted: None, ..self.clone() };
        let good = |work: &Work| {
            let needs = work.needs();
            let fits = elsewhere.judge(&needs).0 != FitVerdict::TooLarge && needs.bytes.total() <= most;
            (fits && work.network.validate().is_ok()).then_some(needs.bytes)
        };
        let side = work.network.rows.max(work.network.cols);
        let tiles: Vec<usize> = [128, 96, 64, 48, 32].into_iter().filter(|tile| *tile < side).collect();
        let with_tile = |work: &Work, tile: usize| {
            let (rows, cols) = (tile.min(work.network.rows), tile.min(work.network.cols));
            Work { network: Config { rows, cols, ..work.network.clone() }, ..work.clone() }
        };
        let at_most = |most: u64| Quantization::ALL.into_iter().filter(move |kind| bits(*kind) <= most);
        let adapted = Work { tuning: Tuning::Lora(Lora::default()), ..work.clone() };
        let smallest = Work { quantization: Quantization::Q4_0, ..work.clone() };
        let by_size = SIZES.iter().filter(|size| size.name != "tiny").filter_map(|size| {
            let network = size.with(&work.network);
            let smaller = network.embed_dim * network.depth < work.network.embed_dim * work.network.depth;
            smaller.then(|| Work { network, ..work.clone() })
        });
        let adapts = work.purpose == FitPurpose::Train && work.tuning == Tuning::Full;
        let of = |kinds: &mut dyn Iterator<Item = Quantization>, work: &Work| -> Vec<Work> {
            kinds.map(|quantization| Work { quantization, ..work.clone() }).collect()
        };
        let groups: [Vec<Work>; 5] = [
            of(&mut at_most(bits(work.quantization) - 1), work),
            if adapts { of(&mut at_most(bits(work.quantization)), &adapted) } else { Vec::new() },
            tiles.iter().map(|&tile| with_tile(work, tile)).collect(),
            tiles.iter().map(|&tile| with_tile(&smallest, tile)).collect(),
            by_size.collect(),
        ];
        let mut list: Vec<FitSuggestion> = Vec::new();
        for group in groups {
            let fitting = group.iter().filter_map(|work| Some((work, good(work)?)));
            let Some((work, needs)) = fitting.max_by_key(|(_, needs)| needs.total()) else { continue };
            let suggestion = suggestion(work, needs);
            // Both together are of use only where neither alone is enough.
            if !list.iter().any(|known| known.needs == needs) {
                list.push(suggestion);
            }
        }
        list
    }
}

fn suggestion(work: &Work, needs: DeviceBytes) -> FitSuggestion {
    let tile = work.network.rows.max(work.network.cols);
    let name = crate::weights::Size::of(&work.network).map_or("this size", |size| size.name);
    let adapters = work.purpose == FitPurpose::Train && work.tuning != Tuning::Full;
    let sentence = format!(
        "{} at {}{} with tiles of {tile} pixels needs {}",
        capital(name),
        work.quantization.name().to_uppercase(),
        if adapters { ", training low-rank adapters," } else { "" },
        size(needs.total())
    );
    FitSuggestion { size: name.to_owned(), quantization: work.quantization, tile, adapters, needs, sentence }
}

fn bits(quantization: Quantization) -> u64 {
    let kind: TensorType = quantization.matrices();
    8 * kind.block_bytes() as u64 / kind.block_len() as u64
}

/// For people.
pub fn size(bytes: u64) -> String {
    let mib = bytes as f64 / f64::from(1 << 20);
    if mib < 9.95 {
        format!("{mib:.1} MiB")
    } else if mib < 1000.0 {
        format!("{mib:.0} MiB")
    } else {
        format!("{:.1} GiB", mib / 1024.0)
    }
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Task;

    fn work(network: Config, quantization: Quantization) -> Work {
        let tuning = Tuning::Lora(Lora::default());
        Work { network, quantization, purpose: FitPurpose::Map, tuning, average: true, checkpointing: true }
    }

    fn huge(quantization: Quantization) -> Work {
        work(Config::huge(Task::Segmentation, [128, 128], 20, 9), quantization)
    }

    const CPU: Place = Place {
        active: DeviceChoice::Cpu,
        limits: FitLimits { buffer: None, binding: None, memory: Some(WASM_MEMORY) },
        granted: None,
    };

    #[test]
    fn weights_take_what_their_file_takes() {
        // ViT-H without what never counts has 0.88 billion parameters; four bits and a scale each.
        let (q4, f32) = (huge(Quantization::Q4_0).needs(), huge(Quantization::F32).needs());
        let parameters = huge(Quantization::F32).network.parameter_count() as u64;
        assert_eq!(f32.bytes.weights, 4 * parameters);
        assert!(q4.bytes.weights > parameters * 9 / 16 && q4.bytes.weights < parameters, "{q4:?}");
        assert_eq!(q4.bytes.activations, f32.bytes.activations);
        assert_eq!(q4.bytes.training, 0);
    }

    #[test]
    fn training_everything_takes_every_number_five_times_more() {
        let mapping = huge(Quantization::Q8_0);
        let lora = Work { purpose: FitPurpose::Train, ..mapping.clone() };
        let full = Work { tuning: Tuning::Full, ..lora.clone() };
        let parameters = full.network.parameter_count() as u64;
        assert_eq!(full.needs().bytes.training, 20 * parameters);
        assert_eq!(full.needs().bytes.weights, 4 * parameters);
        let [mapping, lora, full] = [mapping, lora, full].map(|work| work.needs().bytes);
        assert!(lora.training > 0 && lora.training < full.training / 5, "{lora:?} {full:?}");
        assert!(mapping.weights < lora.weights && lora.weights < full.weights / 2);
        assert!(lora.activations > mapping.activations);
        let kept = Work { purpose: FitPurpose::Train, checkpointing: false, ..huge(Quantization::Q8_0) };
        assert!(kept.needs().bytes.activations > 3 * lora.activations);
    }

    #[test]
    fn what_does_not_fit_comes_with_what_would() {
        let fit = CPU.fit(&Work { purpose: FitPurpose::Train, tuning: Tuning::Full, ..huge(Quantization::F32) });
        assert_eq!(fit.verdict, FitVerdict::TooLarge);
        assert!(fit.sentence.contains("GiB") && fit.sentence.contains("choose"), "{}", fit.sentence);
        assert!(fit.suggestions.iter().any(|suggestion| suggestion.size == "base"), "{:?}", fit.suggestions);
        assert!(fit.suggestions.iter().any(|suggestion| suggestion.adapters && suggestion.size == "huge"));
        assert!(fit.suggestions.iter().all(|suggestion| suggestion.needs.total() < fit.needs.total()));
        let map = CPU.fit(&huge(Quantization::Q4_0));
        assert_eq!((map.verdict, map.suggestions), (FitVerdict::Fits, Vec::new()));
        // Less precise weights help where weights are what is large.
        let small = Place { limits: FitLimits { memory: Some(3 << 30), ..CPU.limits }, ..CPU };
        let fit = small.fit(&huge(Quantization::F32));
        assert_eq!(fit.verdict, FitVerdict::TooLarge);
        assert!(fit.suggestions.iter().any(|suggestion| suggestion.quantization != Quantization::F32), "{fit:?}");
    }

    #[test]
    fn a_gpu_is_asked_and_believed() {
        let limits = FitLimits { buffer: Some(1 << 30), binding: Some(1 << 30), memory: None };
        let gpu = |granted| Place { active: DeviceChoice::Webgpu, limits, granted };
        let work = huge(Quantization::F16);
        assert_eq!(gpu(None).fit(&work).verdict, FitVerdict::Uncertain);
        assert_eq!(gpu(Some(true)).fit(&work).verdict, FitVerdict::Fits);
        let refused = gpu(Some(false)).fit(&work);
        assert_eq!(refused.verdict, FitVerdict::TooLarge);
        for suggestion in &refused.suggestions {
            assert!(suggestion.needs.total() <= refused.needs.total() / 2, "{suggestion:?}");
        }
        let small = Place { limits: FitLimits { binding: Some(16 << 20), ..limits }, ..gpu(None) };
        let fit = small.fit(&work);
        assert_eq!(fit.verdict, FitVerdict::TooLarge);
        assert!(fit.sentence.contains("16 MiB"), "{}", fit.sentence);
    }

    #[test]
    fn larger_tiles_need_more() {
        let total = |tile| {
            let network = Config::base(Task::Segmentation, [tile, tile], 20, 9);
            work(network, Quantization::Q8_0).needs().bytes.activations
        };
        assert!(total(64) < total(128) && total(128) < total(256));
        assert_eq!([size(1 << 20), size(300 << 20), size(5 << 30)], ["1.0 MiB", "300 MiB", "5.0 GiB"]);
    }
}
