//! Settings given as `--set FIELD=VALUE`.

use serde::{Serialize, de::DeserializeOwned};

/// `config` with one field changed, given as `FIELD=VALUE`.
pub(super) fn with_setting<C: Serialize + DeserializeOwned>(config: &C, given: &str) -> Result<C, String> {
    let (field, value) = given.split_once('=').ok_or("write it as FIELD=VALUE")?;
    let mut json = serde_json::to_value(config).map_err(|error| error.to_string())?;
    let mut place = &mut json;
    for part in field.split('.') {
        place = place.get_mut(part).ok_or_else(|| format!("there is no setting {field}"))?;
    }
    *place = serde_json::from_str(value).unwrap_or_else(|_| serde_json::Value::String(value.to_owned()));
    serde_json::from_value(json).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::{ModelSize, TrainConfig};

    #[test]
    fn settings_are_changed_by_name() {
        let config = with_setting(&TrainConfig::default(), "augmentation.jitter=2").unwrap();
        assert_eq!(config.augmentation.jitter, 2);
        let config = with_setting(&config, "size=tiny").unwrap();
        assert_eq!((config.size, config.augmentation.jitter), (ModelSize::Tiny, 2));
        assert!(with_setting(&config, "augmentation.wobble=2").unwrap_err().contains("wobble"));
        assert!(with_setting(&config, "epochs").is_err());
        assert!(with_setting(&config, "epochs=many").is_err());
    }
}
