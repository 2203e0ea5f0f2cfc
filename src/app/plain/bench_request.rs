//! What the bench page is asked to time: the part of the address behind `#bench`.

use serde::Serialize;
use serde_json::Value;

use crate::engine::message::{BenchCase, DeviceChoice};

/// All cases but Base, whose half a gigabyte of weights is made by a formula: that one wants to be asked for.
const USUAL: [BenchCase; 5] = [
    BenchCase::SsaForward,
    BenchCase::SsaBackward,
    BenchCase::FullAttentionBlock,
    BenchCase::TinyForward,
    BenchCase::NanoForward,
];

/// `#bench?device=cpu&cases=ssa_forward,nano_forward`; both parts may be missing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BenchRequest {
    pub device: DeviceChoice,
    pub cases: Vec<BenchCase>,
}

impl BenchRequest {
    /// `None` where the hash is not the bench page's.
    ///
    /// # Errors
    /// A sentence that names what is not understood.
    pub fn from_hash(hash: &str) -> Option<Result<Self, String>> {
        let rest = hash.trim_start_matches('#').strip_prefix("bench")?;
        match rest.strip_prefix('?') {
            Some(query) => Some(Self::from_query(query)),
            None if rest.is_empty() => Some(Self::from_query("")),
            None => None,
        }
    }

    fn from_query(query: &str) -> Result<Self, String> {
        let mut request = Self { device: DeviceChoice::Auto, cases: USUAL.to_vec() };
        for part in query.split('&').filter(|part| !part.is_empty()) {
            match part.split_once('=') {
                Some(("device", name)) => {
                    request.device = serde_json::from_value(Value::from(name))
                        .map_err(|_| format!("There is no device `{name}`; choose auto, webgpu or cpu."))?;
                }
                Some(("cases", names)) => request.cases = names.split(',').map(case).collect::<Result<_, _>>()?,
                _ => {
                    return Err(format!(
                        "`{part}` is not understood; the address ends like #bench?device=cpu&cases=ssa_forward,nano_forward."
                    ));
                }
            }
        }
        Ok(request)
    }
}

fn case(name: &str) -> Result<BenchCase, String> {
    serde_json::from_value(Value::from(name)).map_err(|_| {
        format!(
            "There is no case `{name}`; choose among ssa_forward, ssa_backward, full_attention_block, tiny_forward, \
             nano_forward, base_forward; these two also with _q8_0 or _q4_0 behind."
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_addresses_are_not_the_bench_page() {
        assert_eq!(BenchRequest::from_hash(""), None);
        assert_eq!(BenchRequest::from_hash("#benches"), None);
        assert_eq!(BenchRequest::from_hash("#classify?bench"), None);
    }

    #[test]
    fn without_wishes_all_usual_cases_run() {
        let usual = BenchRequest { device: DeviceChoice::Auto, cases: USUAL.to_vec() };
        assert_eq!(BenchRequest::from_hash("#bench"), Some(Ok(usual.clone())));
        assert_eq!(BenchRequest::from_hash("#bench?"), Some(Ok(usual)));
        assert!(!USUAL.contains(&BenchCase::BaseForward));
    }

    #[test]
    fn device_and_cases_come_from_the_address() {
        let request = BenchRequest::from_hash("#bench?cases=base_forward,ssa_backward&device=webgpu");
        let expected =
            BenchRequest { device: DeviceChoice::Webgpu, cases: vec![BenchCase::BaseForward, BenchCase::SsaBackward] };
        assert_eq!(request, Some(Ok(expected)));
        let request = BenchRequest::from_hash("#bench?cases=nano_forward_q4_0");
        let expected = BenchRequest { device: DeviceChoice::Auto, cases: vec![BenchCase::NanoForwardQ4] };
        assert_eq!(request, Some(Ok(expected)));
    }

    #[test]
    fn what_is_not_understood_is_named() {
        for (hash, word) in [("#bench?cases=nano", "`nano`"), ("#bench?device=gpu", "`gpu`"), ("#bench?fast", "`fast`")]
        {
            let sentence = BenchRequest::from_hash(hash).and_then(Result::err).unwrap_or_default();
            assert!(sentence.contains(word), "{hash}: {sentence}");
        }
    }
}
