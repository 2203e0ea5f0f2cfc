//! The catalogue of shipped weights.

use proptest::prelude::*;
use serde_json::{Value, json};
use sigmascope::shelf::{CatalogueEntry, CatalogueError, read_catalogue};
use sigmascope::weights::Quantization;

fn entry() -> Value {
    json!({
        "name": "nano-q8_0", "description": "Nano", "size": "nano", "quantization": "q8_0", "bytes": 3_000_000,
        "sha256": "0123456789abcdef".repeat(4), "parameters": 2_300_000, "device_bytes": 60_000_000,
        "license": "MIT OR Apache-2.0", "url": "weights/nano-q8_0.gguf",
    })
}

fn read(entries: &[Value]) -> Result<Vec<CatalogueEntry>, CatalogueError> {
    read_catalogue(&json!({ "format": 1, "weights": entries }).to_string())
}

#[test]
fn entries_are_read() {
    let mut second = entry();
    second["name"] = json!("base-q4_0");
    second["quantization"] = json!("q4_0");
    second["card"] = json!("weights/base.md");
    let entries = read(&[entry(), second]).unwrap();
    let kinds: Vec<_> = entries.iter().map(|entry| (entry.name.as_str(), entry.quantization)).collect();
    assert_eq!(kinds, [("nano-q8_0", Quantization::Q8_0), ("base-q4_0", Quantization::Q4_0)]);
    assert_eq!((entries[0].card.as_deref(), entries[1].card.as_deref()), (None, Some("weights/base.md")));
    assert_eq!(read(&[]).unwrap(), []);
}

#[test]
fn what_is_wrong_is_named() {
    for (field, value) in [
        ("name", json!(" ")),
        ("sha256", json!("0123")),
        ("sha256", json!("0123456789ABCDEF".repeat(4))),
        ("bytes", json!(0)),
        ("device_bytes", json!(0)),
        ("parameters", json!(0)),
        ("license", json!("")),
        ("url", json!("javascript:alert(1)")),
        ("card", json!("data:text/html,x")),
    ] {
        let mut broken = entry();
        broken[field] = value.clone();
        let error = read(&[broken]).unwrap_err();
        assert!(matches!(error, CatalogueError::Entry { .. }), "{field} {value}: {error}");
    }
    assert!(matches!(read(&[entry(), entry()]).unwrap_err(), CatalogueError::Entry { .. }), "the same name twice");
    for (field, value) in [("bytes", json!(-1)), ("quantization", json!("q3")), ("color", json!("red"))] {
        let mut broken = entry();
        broken[field] = value;
        assert!(matches!(read(&[broken]).unwrap_err(), CatalogueError::Malformed(_)), "{field}");
    }
    let newer = json!({ "format": 2, "weights": {}, "more": 1 }).to_string();
    assert_eq!(read_catalogue(&newer).unwrap_err(), CatalogueError::Format { found: 2 });
}

proptest! {
    /// Any text is read or refused; what is read keeps its promises.
    #[test]
    fn any_text_is_survived(text in ".{0,200}") {
        prop_assert!(read_catalogue(&text).is_err());
    }

    #[test]
    fn any_entry_is_read_or_refused(
        name in ".{0,12}", sha256 in "[0-9a-fA-Fx]{60,66}", url in "[a-z:/.?#% ]{0,20}", bytes in any::<u64>(), parameters in 0..3u64,
    ) {
        let mut made = entry();
        (made["name"], made["sha256"], made["url"]) = (json!(name), json!(sha256), json!(url));
        (made["bytes"], made["parameters"]) = (json!(bytes), json!(parameters));
        if let Ok(entries) = read(&[made]) {
            let entry = &entries[0];
            prop_assert!(entry.sha256.len() == 64 && !entry.name.trim().is_empty());
            prop_assert!(entry.bytes > 0 && entry.parameters > 0 && !entry.url.contains(' '));
            let again = json!({ "format": 1, "weights": entries }).to_string();
            prop_assert_eq!(read_catalogue(&again).unwrap(), entries);
        }
    }
}
