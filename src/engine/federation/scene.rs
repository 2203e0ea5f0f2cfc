//! The open scene as the federation sees it: on its wavelengths, with its classes.

use std::rc::Rc;

use crate::federation::protocol::{Definition, Trainable};
use crate::labels::{Class, LabelledPixel, Split, class_color};
use crate::preprocess::{BandGathering, PreprocessError, Resampled};
use crate::scene::Cube;
use crate::train::{BaseWeights, SharedNetwork};
use crate::weights::Pretrained;

/// The scene, resampled; the split with the federation's classes; the network that everybody builds.
pub struct FederatedScene {
    pub cube: Resampled,
    /// Its validation pixels are the held-out ones.
    pub split: Split,
    pub classes: Vec<Class>,
    pub network: SharedNetwork,
    /// The frozen weights, where adapters are trained.
    pub backbone: Option<Rc<Pretrained>>,
}

impl FederatedScene {
    /// `mapping` names the federation's class of each own one, 0 for none; `weights` are those that are loaded.
    ///
    /// # Errors
    /// A sentence for people.
    pub fn new(
        cube: Rc<dyn Cube>,
        split: &Split,
        mapping: &[u8],
        definition: &Definition,
        weights: Option<Rc<Pretrained>>,
    ) -> Result<Self, String> {
        if definition.trainable != Trainable::All {
            return Err(
                "this federation trains a part of its network only, which this page cannot do; tell the host".into()
            );
        }
        let network: SharedNetwork = serde_json::from_value(definition.model.settings.clone()).map_err(|error| {
            format!("the federation's network is not described in a way that this page knows ({error}); tell the host")
        })?;
        network
            .validate()
            .map_err(|error| format!("the federation's network cannot be built: {error}; tell the host"))?;
        let backbone = backbone(definition, &network, weights)?;
        let cube = Resampled::new(cube, &definition.input.wavelengths_nm).map_err(|error| error.to_string())?;
        let colour = |(index, class): (usize, &crate::federation::protocol::Class)| Class {
            name: class.name.clone(),
            color: class.colour.unwrap_or_else(|| class_color(index + 1)),
        };
        let classes: Vec<Class> = definition.classes.iter().enumerate().map(colour).collect();
        let split = mapped(split, mapping, classes.len())?;
        Ok(Self { cube, split, classes, network, backbone })
    }

    /// Name and hash of the frozen weights.
    ///
    /// # Errors
    /// A sentence when they cannot be read.
    pub fn base(&self) -> Result<Option<BaseWeights>, String> {
        let Some(backbone) = &self.backbone else { return Ok(None) };
        let sha256 = backbone.sha256().map_err(|error| error.to_string())?;
        Ok(Some(BaseWeights { name: backbone.name().to_owned(), sha256 }))
    }

    /// Gathers what round 0 shares.
    ///
    /// # Errors
    /// [`PreprocessError`] when the scene is empty.
    pub fn gathering(&self) -> Result<BandGathering<'_>, PreprocessError> {
        BandGathering::new(&self.cube)
    }
}

/// The loaded weights, where the federation trains adapters and they are those that it means.
fn backbone(
    definition: &Definition,
    network: &SharedNetwork,
    weights: Option<Rc<Pretrained>>,
) -> Result<Option<Rc<Pretrained>>, String> {
    let (wanted, adapters) = (definition.model.backbone, network.config.tuning.lora().is_some());
    let Some(wanted) = wanted.filter(|_| adapters) else {
        let sound = wanted.is_none() && !adapters;
        return if sound {
            Ok(None)
        } else {
            Err("the federation names adapters without weights, or weights without adapters; tell the host".into())
        };
    };
    let wants = format!("this federation fine-tunes weights with the SHA-256 {}", wanted.sha256);
    let load = "load the right file in step 3 of Classify and take part again";
    let weights = weights.ok_or_else(|| format!("{wants}, and no weights are loaded; {load}"))?;
    let found = weights.sha256().map_err(|error| error.to_string())?;
    if found == wanted.sha256.to_string() {
        return Ok(Some(weights));
    }
    Err(format!("{wants}, but those of {} are {found}; {load}", weights.name()))
}

/// The pixels that are held out: test pixels, or validation pixels where there are none.
pub fn held_out(split: &Split) -> &[LabelledPixel] {
    if split.test.is_empty() { &split.val } else { &split.test }
}

/// The split with other class numbers, its held-out pixels as validation pixels.
fn mapped(split: &Split, mapping: &[u8], classes: usize) -> Result<Split, String> {
    if let Some(wrong) = mapping.iter().find(|&&class| usize::from(class) > classes) {
        return Err(format!("class {wrong} is none of the federation's {classes}; choose the classes again"));
    }
    let map = |pixels: &[LabelledPixel]| -> Vec<LabelledPixel> {
        let of = |pixel: &LabelledPixel| {
            let class = *mapping.get(usize::from(pixel.class).checked_sub(1)?)?;
            (class > 0).then_some(LabelledPixel { index: pixel.index, class })
        };
        pixels.iter().filter_map(of).collect()
    };
    let (train, val) = (map(&split.train), map(held_out(split)));
    if train.is_empty() {
        return Err(
            "no training pixel belongs to a class of the federation; choose which of your classes are which of its"
                .into(),
        );
    }
    Ok(Split { name: split.name.clone(), train, val, test: Vec::new() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pixel(index: u32, class: u8) -> LabelledPixel {
        LabelledPixel { index, class }
    }

    #[test]
    fn classes_become_the_federations_and_others_are_left_out() {
        let split = Split {
            name: "x".into(),
            train: vec![pixel(0, 1), pixel(1, 2), pixel(2, 3), pixel(3, 9)],
            val: vec![pixel(4, 1)],
            test: vec![pixel(5, 3), pixel(6, 2)],
        };
        let seen = mapped(&split, &[4, 0, 1], 4).unwrap();
        assert_eq!((seen.train, seen.val), (vec![pixel(0, 4), pixel(2, 1)], vec![pixel(5, 1)]));
        let untested = Split { test: Vec::new(), ..split.clone() };
        assert_eq!(mapped(&untested, &[4, 0, 1], 4).unwrap().val, [pixel(4, 4)]);
        assert!(mapped(&split, &[0, 0, 0], 4).unwrap_err().contains("no training pixel"));
        assert!(mapped(&split, &[5, 0, 0], 4).is_err());
    }
}
