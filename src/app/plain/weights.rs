//! Pre-trained weights in words: which dropped files are weights, what a report comes to, what was freed.

use crate::app::plain::number;
use crate::engine::message::{MemoryUse, WeightsDropped, WeightsPhase, WeightsProgress, WeightsSummary};
use crate::train::{Lora, ModelSize, TrainConfig, Tuning};
use crate::weights::{Counts, LoadReport, Origin, Quantization, Role, Status, TensorReport};

/// What a file is by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    Weights,
    /// Weights, or a model trained here: its header tells.
    Safetensors,
    Other,
}

pub fn file_kind(name: &str) -> FileKind {
    match name.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase()).as_deref() {
        Some("pth" | "pt" | "gguf") => FileKind::Weights,
        Some("safetensors") => FileKind::Safetensors,
        _ => FileKind::Other,
    }
}

/// Does this header of a safetensors file say that the model was trained here?
pub fn is_trained_here(header: &[u8]) -> bool {
    let header: Option<serde_json::Value> = serde_json::from_slice(header).ok();
    header.is_some_and(|header| header.pointer("/__metadata__/sigmascope").is_some())
}

/// "Q8_0": as ggml and its readers write it.
pub fn kind_name(quantization: Quantization) -> &'static str {
    match quantization {
        Quantization::F32 => "F32",
        Quantization::F16 => "F16",
        Quantization::Q8_0 => "Q8_0",
        Quantization::Q4_0 => "Q4_0",
    }
}

/// The size of that name, where the page knows it.
pub fn model_size(name: Option<&str>) -> Option<ModelSize> {
    match name? {
        "tiny" => Some(ModelSize::Tiny),
        "nano" => Some(ModelSize::Nano),
        "base" => Some(ModelSize::Base),
        "large" => Some(ModelSize::Large),
        "huge" => Some(ModelSize::Huge),
        _ => None,
    }
}

/// The settings with which weights of this size are trained: what was chosen already, where the size is the same. The paper's
/// sizes are too large to be trained in full in most tabs, so they start with LoRA.
pub fn adopted(config: &TrainConfig, size: Option<ModelSize>) -> TrainConfig {
    match size {
        Some(size) if size != config.size => {
            let small = matches!(size, ModelSize::Tiny | ModelSize::Nano);
            let tuning = if small { Tuning::Full } else { Tuning::Lora(Lora::default()) };
            TrainConfig { seed: config.seed, tuning, ..TrainConfig::preset(size) }
        }
        _ => config.clone(),
    }
}

pub fn origin_name(origin: Origin) -> &'static str {
    match origin {
        Origin::Pretraining => "pre-trained encoders",
        Origin::FineTuning => "fine-tuned network",
    }
}

/// "Q8_0 · 2.3 million parameters · 2.6 MB".
pub fn in_short(summary: &WeightsSummary) -> String {
    format!(
        "{} · {} parameters · {}",
        kind_name(summary.quantization),
        number::rounded(summary.parameters),
        number::bytes(summary.bytes)
    )
}

/// "HyperSIGMA Base, pre-trained encoders, Q4_0".
pub fn in_words(summary: &WeightsSummary) -> String {
    format!("{}, {}", summary.title, kind_name(summary.quantization))
}

/// "from HyperSIGMA Base, pre-trained encoders, Q4_0; LoRA of rank 8": what figures stand on.
pub fn start(summary: &WeightsSummary, tuning: &Tuning) -> String {
    let how = match tuning {
        Tuning::Full => "tuned in full".to_owned(),
        Tuning::Lora(lora) => format!("LoRA of rank {}", lora.rank),
    };
    format!("from {}; {how}", in_words(summary))
}

/// "HyperSIGMA Nano, segmentation of 16 classes, Q8_0, not trained further": what a map by the weights alone stands on.
pub fn as_they_are(summary: &WeightsSummary) -> String {
    format!("{}, not trained further", in_words(summary))
}

/// The half of a pair that a report lacks: pre-training saves each encoder in a file of its own.
pub fn missing_half(report: &LoadReport) -> Option<&'static str> {
    match (report.origin, report.inputs.as_slice()) {
        (Origin::Pretraining, [only]) => match only.role {
            Role::Spatial => Some("spectral"),
            Role::Spectral => Some("spatial"),
            Role::Whole => None,
        },
        _ => None,
    }
}

/// "73 matched · 23 missing · 6 dropped": what there is none of is not mentioned.
pub fn counts(counts: &[Counts]) -> String {
    let some = counts.iter().filter(|count| count.tensors > 0);
    some.map(|count| format!("{} {}", number::grouped(count.tensors), count.status.name()))
        .collect::<Vec<_>>()
        .join(" · ")
}

/// What a status means, for whoever has not read the official loading procedure.
pub fn meaning(status: Status) -> &'static str {
    match status {
        Status::Matched => "taken as it is",
        Status::Resized => "a position table, taken for another grid",
        Status::Missing => "not in the file; starts fresh",
        Status::Dropped => "the official loading procedure does not take it",
        Status::LeftOut => "fits, but never influences the result",
        Status::Unexpected => "the network has no such tensor",
    }
}

/// The tensors of one status, or of all, whose name or reason contains every word of `text`.
pub fn filtered(report: &LoadReport, status: Option<Status>, text: &str) -> Vec<TensorReport> {
    let text = text.to_lowercase();
    let words: Vec<&str> = text.split_whitespace().collect();
    let wanted = |tensor: &&TensorReport| {
        status.is_none_or(|status| tensor.status == status) && {
            let reason = tensor.reason.as_deref().unwrap_or_default().to_lowercase();
            words.iter().all(|word| tensor.name.to_lowercase().contains(word) || reason.contains(word))
        }
    };
    report.tensors.iter().filter(wanted).cloned().collect()
}

/// "48 × 144"; "1" for a single number.
pub fn shape(axes: &[usize]) -> String {
    if axes.is_empty() { "1".into() } else { axes.iter().map(ToString::to_string).collect::<Vec<_>>().join(" × ") }
}

/// "Converting spat.pth · 120 MB of 780 MB · 0:42 left".
pub fn progress(name: &str, progress: Option<&WeightsProgress>) -> String {
    let Some(progress) = progress else { return format!("Loading {name}") };
    let mut parts = vec![format!("{} {name}", progress.phase.name())];
    let done = number::bytes(progress.done);
    parts.push(match (progress.phase, progress.total) {
        (WeightsPhase::Reconnecting, _) => format!("the connection broke, {done} are safe"),
        (_, Some(total)) => format!("{done} of {}", number::bytes(total)),
        (_, None) => done,
    });
    if let Some(left) = progress.remaining_s {
        parts.push(format!("{} left", number::clock(left)));
    }
    parts.join(" · ")
}

/// What letting go of weights gave back.
pub fn freed(dropped: &WeightsDropped) -> String {
    let WeightsDropped { before, after } = *dropped;
    let gain = |of: fn(&MemoryUse) -> Option<u64>| Some(of(&before)?.saturating_sub(of(&after)?)).filter(|&b| b > 0);
    match (gain(|memory| memory.gpu_bytes), gain(|memory| memory.gpu_reserved_bytes)) {
        (Some(bytes), Some(given_back)) => format!(
            // Browsers free buffers that are no longer used when they next collect garbage.
            "Unloaded: {} of GPU memory are free again, {} go back to the system when the browser next tidies up.",
            number::memory(bytes),
            number::memory(given_back)
        ),
        (Some(bytes), None) | (None, Some(bytes)) => {
            format!("Unloaded: {} of GPU memory are free again.", number::memory(bytes))
        }
        (None, None) => "Unloaded. What they took of the engine's memory serves the next job.".into(),
    }
}

/// What is wrong with an address, before the network is asked.
///
/// # Errors
/// A sentence for the user.
pub fn check_address(url: &str, sha256: &str) -> Result<(), String> {
    if url.trim().is_empty() {
        return Err("Give the address of a .gguf file.".into());
    }
    let scheme = url.trim().split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
    if !matches!(scheme.as_deref(), None | Some("http" | "https")) {
        return Err("Weights are fetched over http or https; files of this machine can be dropped on the page.".into());
    }
    let digits = sha256.trim();
    if !digits.is_empty() && (digits.len() != 64 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit())) {
        return Err(format!(
            "A SHA-256 has 64 hexadecimal digits, this has {} characters; check it or leave it empty.",
            digits.chars().count()
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Config, Task};
    use crate::weights::InputFile;

    fn tensor(name: &str, status: Status, reason: Option<&str>) -> TensorReport {
        TensorReport {
            name: name.into(),
            status,
            reason: reason.map(Into::into),
            key: None,
            found: Some(vec![2, 3]),
            expected: None,
            stored: None,
            written: None,
        }
    }

    fn report(roles: &[Role]) -> LoadReport {
        let tensors = vec![
            tensor("spat_encoder.blocks.0.norm1.weight", Status::Matched, None),
            tensor("spat_encoder.pos_embed", Status::Dropped, Some("its name contains pos_embed")),
            tensor("spec_encoder.blocks.3.norm1.weight", Status::LeftOut, Some("never influences the result")),
        ];
        let input = |&role| InputFile { name: "a".into(), role, format: String::new(), bytes: 1, sha256: None };
        LoadReport {
            inputs: roles.iter().map(input).collect(),
            origin: Origin::Pretraining,
            size: None,
            network: Config::tiny(Task::Segmentation, [32, 32], 4, 2),
            quantization: None,
            bytes: 0,
            counts: Counts::of(&tensors),
            notes: Vec::new(),
            tensors,
        }
    }

    #[test]
    fn names_tell_weights_from_scenes() {
        let kinds = ["a.pth", "B.PT", "c.gguf", "d.safetensors", "e.mat", "pth"].map(file_kind);
        use FileKind::{Other, Safetensors, Weights};
        assert_eq!(kinds, [Weights, Weights, Weights, Safetensors, Other, Other]);
        assert!(is_trained_here(br#"{"__metadata__":{"sigmascope":"{}"},"a":{}}"#));
        assert!(!is_trained_here(br#"{"__metadata__":{"format":"pt"},"sigmascope":{}}"#));
        assert!(!is_trained_here(b"{"));
    }

    #[test]
    fn half_a_pair_names_the_other_half() {
        assert_eq!(missing_half(&report(&[Role::Spatial])), Some("spectral"));
        assert_eq!(missing_half(&report(&[Role::Spectral])), Some("spatial"));
        assert_eq!(missing_half(&report(&[Role::Whole])), None);
        assert_eq!(missing_half(&report(&[Role::Spatial, Role::Spectral])), None);
    }

    #[test]
    fn weights_bring_the_settings_of_their_size() {
        let chosen = TrainConfig { seed: 7, epochs: 3, ..TrainConfig::preset(ModelSize::Nano) };
        assert_eq!(adopted(&chosen, Some(ModelSize::Nano)), chosen);
        assert_eq!(adopted(&chosen, None), chosen);
        let base = adopted(&chosen, Some(ModelSize::Base));
        assert_eq!(
            (base.size, base.seed, base.epochs),
            (ModelSize::Base, 7, TrainConfig::preset(ModelSize::Base).epochs)
        );
        assert_eq!(base.tuning, Tuning::Lora(Lora::default()));
        assert_eq!(adopted(&base, Some(ModelSize::Tiny)).tuning, Tuning::Full);
    }

    #[test]
    fn a_report_is_counted_and_filtered() {
        let report = report(&[]);
        assert_eq!(counts(&report.counts), "1 matched · 1 dropped · 1 left out");
        let names = |status, text: &str| {
            filtered(&report, status, text).into_iter().map(|tensor| tensor.name).collect::<Vec<_>>()
        };
        assert_eq!(names(None, "").len(), 3);
        assert_eq!(names(Some(Status::Matched), ""), ["spat_encoder.blocks.0.norm1.weight"]);
        assert_eq!(names(None, "NORM1 spec"), ["spec_encoder.blocks.3.norm1.weight"]);
        assert_eq!(names(None, "contains"), ["spat_encoder.pos_embed"]);
        assert_eq!((shape(&[48, 144]).as_str(), shape(&[]).as_str()), ("48 × 144", "1"));
    }

    #[test]
    fn progress_says_that_a_connection_is_made_again() {
        let at =
            |phase, total| WeightsProgress { phase, done: 12_000_000, total, elapsed_s: 1.0, remaining_s: Some(61.0) };
        assert_eq!(progress("a", None), "Loading a");
        assert_eq!(
            progress("a", Some(&at(WeightsPhase::Downloading, Some(20_000_000)))),
            "Downloading a · 12.0 MB of 20.0 MB · 1:01 left"
        );
        let broken = progress("a", Some(&at(WeightsPhase::Reconnecting, None)));
        assert!(broken.contains("the connection broke, 12.0 MB are safe"), "{broken}");
    }

    #[test]
    fn what_was_freed_is_named_where_it_is_known() {
        let gpu = |in_use, taken| MemoryUse { heap_bytes: Some(9), gpu_bytes: Some(in_use), gpu_reserved_bytes: taken };
        let sentence = |before, after| freed(&WeightsDropped { before, after });
        assert!(sentence(gpu(90_000_000, None), gpu(8_000_000, None)).contains("78 MiB of GPU memory"));
        let both = sentence(gpu(90_000_000, Some(128_000_000)), gpu(8_000_000, Some(28_000_000)));
        assert!(both.contains("78 MiB") && both.contains("95 MiB go back"), "{both}");
        assert!(sentence(MemoryUse::default(), MemoryUse::default()).starts_with("Unloaded."));
    }

    #[test]
    fn addresses_are_checked_before_the_network_is_asked() {
        let hash = "0f".repeat(32);
        assert_eq!(check_address("https://example.org/a.gguf", &hash), Ok(()));
        assert_eq!(check_address("weights/a.gguf", " "), Ok(()));
        assert!(check_address(" ", "").is_err());
        assert!(check_address("file:///a.gguf", "").is_err());
        assert!(check_address("a.gguf", &hash[1..]).unwrap_err().contains("63 characters"));
        assert!(check_address("a.gguf", &"zz".repeat(32)).is_err());
    }
}
