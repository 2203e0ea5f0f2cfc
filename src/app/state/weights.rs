//! Pre-trained weights: what could be loaded, what is being loaded, what is loaded.

use leptos::prelude::*;

use crate::app::settings::Start;
use crate::engine::message::{Fit, WeightsInspected, WeightsLoaded, WeightsProgress, WeightsShelf};
use crate::weights::Quantization;

/// Weights that the user looks at before loading them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Candidate {
    /// No weights: training starts from scratch.
    None,
    /// Shipped, by name.
    Catalogue(String),
    /// Kept in this browser, by id.
    Cached(String),
}

/// Local files, or a file on the network, whose headers have been read.
#[derive(Debug, Clone, PartialEq)]
pub struct Offer {
    pub names: Vec<String>,
    /// It would be downloaded.
    pub address: bool,
    /// Bytes of all files; `None` where a server has not told.
    pub bytes: Option<u64>,
    /// `None` until the engine has read them.
    pub inspected: Option<WeightsInspected>,
}

/// Weights on their way.
#[derive(Debug, Clone, PartialEq)]
pub struct OnTheWay {
    pub name: String,
    pub progress: Option<WeightsProgress>,
}

#[derive(Clone, Copy)]
pub struct Weights {
    /// What training is to start from; weights are loaded accordingly when a scene is open.
    pub start: RwSignal<Start>,
    /// `None` until the engine has looked.
    pub shelf: RwSignal<Option<WeightsShelf>>,
    pub candidate: RwSignal<Candidate>,
    /// Whether this device can carry the candidate.
    pub fit: RwSignal<Option<Fit>>,
    pub offer: RwSignal<Option<Offer>>,
    /// How the large matrices of offered checkpoints are stored.
    pub quantization: RwSignal<Quantization>,
    /// Keep also what never influences the result.
    pub complete: RwSignal<bool>,
    /// Copy an offered GGUF file into the cache.
    pub keep: RwSignal<bool>,
    pub on_the_way: RwSignal<Option<OnTheWay>>,
    pub loaded: RwSignal<Option<WeightsLoaded>>,
    /// What unloading gave back, in words.
    pub freed: RwSignal<Option<String>>,
}

impl Weights {
    pub fn new(start: Start) -> Self {
        Self {
            start: RwSignal::new(start),
            shelf: RwSignal::new(None),
            candidate: RwSignal::new(Candidate::None),
            fit: RwSignal::new(None),
            offer: RwSignal::new(None),
            quantization: RwSignal::new(Quantization::Q8_0),
            complete: RwSignal::new(false),
            keep: RwSignal::new(true),
            on_the_way: RwSignal::new(None),
            loaded: RwSignal::new(None),
            freed: RwSignal::new(None),
        }
    }

    pub fn are_loading(&self) -> bool {
        self.on_the_way.with(Option::is_some)
    }

    pub fn are_loaded(&self) -> bool {
        self.loaded.with(Option::is_some)
    }
}
