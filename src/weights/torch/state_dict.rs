//! Which of the dictionaries in a checkpoint is the state dict.

use std::collections::BTreeMap;

use super::super::pickle::{Heap, Pickle, Tensor, Value};
use super::WeightsError;

/// Under which keys training scripts put the state dict. The pre-training of HyperSIGMA: `model`.
const KEYS: [&str; 8] =
    ["model", "state_dict", "model_state_dict", "model_state", "net", "network", "module", "params"];

/// What wrappers put before every name: `DataParallel`, `torch.compile`, a model that is a field of another.
const PREFIXES: [&str; 4] = ["module.", "_orig_mod.", "model.", "net."];

/// Names and tensors of the state dict, in the order of the file, without the prefixes of wrappers.
///
/// It is looked for under the usual keys, then at the top, then in the only dictionary at the top that holds tensors.
pub fn find<'a>(file: &str, pickle: &'a Pickle) -> Result<Vec<(String, &'a Tensor)>, WeightsError> {
    let heap = &pickle.heap;
    let usual = KEYS.iter().filter_map(|key| heap.get(pickle.root, key)).find(|&dict| holds_tensors(heap, dict));
    let dict = match usual {
        Some(dict) => dict,
        None if holds_tensors(heap, pickle.root) => pickle.root,
        None => {
            let mut found: Vec<(&str, Value)> =
                heap.entries(pickle.root).filter(|&(_, value)| holds_tensors(heap, value)).collect();
            match (found.pop(), found.is_empty()) {
                (Some((_, only)), true) => only,
                (Some((last, _)), false) => {
                    found.truncate(7);
                    let names: Vec<&str> = found.iter().map(|(name, _)| *name).chain([last]).collect();
                    let (name, found) = (file.to_owned(), names.join(", "));
                    return Err(WeightsError::Ambiguous { name, found });
                }
                (None, _) => {
                    let what = "no state dict is in it; save model.state_dict() with torch.save";
                    return Err(WeightsError::unsupported(file, what));
                }
            }
        }
    };
    // Of equal names the last counts, as in Python.
    let mut places: BTreeMap<&str, usize> = BTreeMap::new();
    let mut tensors: Vec<(&str, &Tensor)> = Vec::new();
    for (name, value) in heap.entries(dict) {
        let Value::Tensor(index) = value else { continue };
        let Some(tensor) = heap.tensors.get(index as usize) else { continue };
        match places.get(name) {
            Some(&place) => tensors[place].1 = tensor,
            None => {
                places.insert(name, tensors.len());
                tensors.push((name, tensor));
            }
        }
    }
    let cut = wrapper_prefix(tensors.iter().map(|(name, _)| *name));
    Ok(tensors.into_iter().map(|(name, tensor)| (name[cut..].to_owned(), tensor)).collect())
}

fn holds_tensors(heap: &Heap, dict: Value) -> bool {
    heap.entries(dict).any(|(_, value)| matches!(value, Value::Tensor(_)))
}

/// Length of what wrappers have put before all names.
fn wrapper_prefix<'a>(names: impl Iterator<Item = &'a str> + Clone) -> usize {
    let mut cut = 0;
    if names.clone().next().is_none() {
        return cut;
    }
    while let Some(prefix) = PREFIXES.iter().find(|prefix| {
        let mut rest = names.clone().map(|name| &name[cut..]);
        rest.all(|name| name.len() > prefix.len() && name.starts_with(*prefix))
    }) {
        cut += prefix.len();
    }
    cut
}
