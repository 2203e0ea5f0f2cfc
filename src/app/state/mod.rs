//! Everything the page knows, as signals. Components read it, [`acts`](crate::app::acts) change it.
//!
//! [`Store`] is a bundle of copyable handles: it is passed by value and lives as long as the page.

mod federate;
mod parts;
mod weights;

use std::cell::Cell;
use std::sync::Arc;

use leptos::prelude::*;

pub use federate::{Federate, Hosted, Part, Side};
pub use parts::*;
pub use weights::{Candidate, Offer, OnTheWay, Weights};

use crate::app::plain::presets::Preset;
use crate::app::plain::sentence::sentence;
use crate::app::plain::viewport::Viewport;
use crate::app::settings::{Settings, SplitMode};
use crate::engine::message::{DeviceChoice, DeviceInfo, Progress};
use crate::labels::{Class, LabelMap, Split};
use crate::train::TrainConfig;

thread_local! {
    /// Numbers of notices are never used twice.
    static NOTICES: Cell<u32> = const { Cell::new(0) };
}

/// How long a quiet notice stays; errors stay until they are dismissed.
const QUIET_MS: u32 = 20_000;

#[derive(Clone, Copy)]
pub struct Store {
    pub area: RwSignal<Area>,
    pub step: RwSignal<Step>,
    pub tab: RwSignal<Tab>,

    pub engine: RwSignal<EngineState>,
    pub device: RwSignal<Option<DeviceInfo>>,
    pub device_choice: RwSignal<DeviceChoice>,

    pub scene: RwSignal<Option<OpenScene>>,
    /// What is being opened or prepared right now, in words.
    pub busy: RwSignal<Option<String>>,

    pub preset: RwSignal<Preset>,
    pub band: RwSignal<usize>,
    /// Percentiles cut at both ends, e.g. 2.
    pub stretch: RwSignal<f32>,
    pub overlay: RwSignal<Overlay>,
    pub map_opacity: RwSignal<f64>,
    /// Share of the width that shows the scene without map, 0..=1; `None` = no swipe.
    pub swipe: RwSignal<Option<f64>>,
    pub viewport: RwSignal<Viewport>,
    pub tool: RwSignal<Tool>,
    pub brush: RwSignal<usize>,
    /// Bumped when the picture, the labels' layer or the map's layer has to be drawn again.
    pub drawn: RwSignal<u32>,
    pub hover: RwSignal<Option<(usize, usize)>>,
    pub hover_spectrum: RwSignal<Option<Pin>>,
    pub pins: RwSignal<Vec<Pin>>,

    pub classes: RwSignal<Vec<Class>>,
    /// One class number a pixel of the open scene.
    pub labels: RwSignal<Vec<u8>>,
    /// Pixels of each class, `[0]` = unlabelled.
    pub counts: Memo<Vec<usize>>,
    /// What became of the codes of the label file; `None` once the labels are no longer those of the file.
    pub label_codes: RwSignal<Option<LabelCodes>>,
    /// Which pixels of the scene have data, row-major; `None` until it is known.
    pub has_data: RwSignal<Option<Arc<Vec<bool>>>>,
    pub chosen_class: RwSignal<u8>,
    pub undo_depth: RwSignal<usize>,

    pub split_mode: RwSignal<SplitMode>,
    pub train_per_class: RwSignal<usize>,
    pub val_per_class: RwSignal<usize>,
    pub split_seed: RwSignal<u64>,
    pub seeds: RwSignal<usize>,
    /// The splits to train on; empty when they have to be drawn anew.
    pub splits: RwSignal<Vec<Split>>,
    /// All splits of the split file.
    pub file_splits: RwSignal<Vec<Split>>,
    pub split_file: RwSignal<Option<String>>,

    pub config: RwSignal<TrainConfig>,
    pub model: RwSignal<Option<Model>>,
    pub weights: Weights,
    pub federate: Federate,

    pub job: RwSignal<JobState>,
    pub paused: RwSignal<bool>,
    pub progress: RwSignal<Option<Progress>>,
    pub curves: RwSignal<Vec<Vec<CurvePoint>>>,
    pub runs: RwSignal<Vec<Arc<Run>>>,
    /// The run whose map is shown; `None` = the last one.
    pub shown_run: RwSignal<Option<usize>>,
    /// The map on the screen: class numbers, row-major, 0 = not mapped (yet).
    pub map: RwSignal<Vec<u8>>,
    /// Classes of the map on the screen.
    pub map_classes: RwSignal<Vec<Class>>,

    pub notices: RwSignal<Vec<Notice>>,
    /// Read aloud by screen readers: phases, not epochs.
    pub announcement: RwSignal<String>,
    pub question: RwSignal<Option<Question>>,
    pub kept: RwSignal<Option<Kept>>,
}

impl Store {
    pub fn new(settings: &Settings) -> Self {
        let classes: RwSignal<Vec<Class>> = RwSignal::new(Vec::new());
        let labels: RwSignal<Vec<u8>> = RwSignal::new(Vec::new());
        let counts = Memo::new(move |_| labels.with(|labels| count(labels, classes.with(Vec::len))));
        Self {
            area: RwSignal::new(Area::Classify),
            step: RwSignal::new(Step::Scene),
            tab: RwSignal::new(Tab::Steps),
            engine: RwSignal::new(EngineState::Fetching { received: 0, total: None }),
            device: RwSignal::new(None),
            device_choice: RwSignal::new(settings.device),
            scene: RwSignal::new(None),
            busy: RwSignal::new(None),
            preset: RwSignal::new(Preset::TrueColour),
            band: RwSignal::new(0),
            stretch: RwSignal::new(2.0),
            overlay: RwSignal::new(Overlay::All),
            map_opacity: RwSignal::new(0.85),
            swipe: RwSignal::new(None),
            viewport: RwSignal::new(Viewport::default()),
            tool: RwSignal::new(Tool::Look),
            brush: RwSignal::new(3),
            drawn: RwSignal::new(0),
            hover: RwSignal::new(None),
            hover_spectrum: RwSignal::new(None),
            pins: RwSignal::new(Vec::new()),
            classes,
            labels,
            counts,
            label_codes: RwSignal::new(None),
            has_data: RwSignal::new(None),
            chosen_class: RwSignal::new(1),
            undo_depth: RwSignal::new(0),
            split_mode: RwSignal::new(settings.split_mode),
            train_per_class: RwSignal::new(settings.train_per_class),
            val_per_class: RwSignal::new(settings.val_per_class),
            split_seed: RwSignal::new(settings.split_seed),
            seeds: RwSignal::new(settings.seeds),
            splits: RwSignal::new(Vec::new()),
            file_splits: RwSignal::new(Vec::new()),
            split_file: RwSignal::new(None),
            config: RwSignal::new(settings.config.clone()),
            model: RwSignal::new(None),
            weights: Weights::new(settings.start.clone()),
            federate: Federate::new(),
            job: RwSignal::new(JobState::Idle),
            paused: RwSignal::new(false),
            progress: RwSignal::new(None),
            curves: RwSignal::new(Vec::new()),
            runs: RwSignal::new(Vec::new()),
            shown_run: RwSignal::new(None),
            map: RwSignal::new(Vec::new()),
            map_classes: RwSignal::new(Vec::new()),
            notices: RwSignal::new(Vec::new()),
            announcement: RwSignal::new(String::new()),
            question: RwSignal::new(None),
            kept: RwSignal::new(None),
        }
    }

    /// Rows and columns of the open scene.
    pub fn shape(&self) -> Option<(usize, usize)> {
        self.scene.with_untracked(|scene| scene.as_ref().map(|scene| (scene.info.rows, scene.info.cols)))
    }

    /// The labels with their classes, as the engine wants them.
    pub fn label_map(&self) -> Option<LabelMap> {
        let (rows, cols) = self.shape()?;
        Some(LabelMap { rows, cols, labels: self.labels.get_untracked(), classes: self.classes.get_untracked() })
    }

    /// Classes that have at least one labelled pixel.
    pub fn labelled_classes(&self) -> usize {
        self.counts.with(|counts| counts.iter().skip(1).filter(|&&count| count > 0).count())
    }

    /// Labelled pixels of all classes.
    pub fn labelled_pixels(&self) -> usize {
        self.counts.with(|counts| counts.iter().skip(1).sum())
    }

    pub fn is_ready(&self) -> bool {
        self.engine.with(|engine| *engine == EngineState::Ready)
    }

    pub fn is_ready_untracked(&self) -> bool {
        self.engine.with_untracked(|engine| *engine == EngineState::Ready)
    }

    /// The run on the screen.
    pub fn current_run(&self) -> Option<Arc<Run>> {
        let shown = self.shown_run.get();
        self.runs.with(|runs| match shown {
            Some(index) => runs.get(index).cloned(),
            None => runs.last().cloned(),
        })
    }

    pub fn redraw(&self) {
        self.drawn.update(|count| *count = count.wrapping_add(1));
    }

    pub fn fail(&self, text: impl Into<String>) {
        self.notify(Tone::Error, text.into());
    }

    pub fn tell(&self, text: impl Into<String>) {
        self.notify(Tone::Quiet, text.into());
    }

    fn notify(&self, tone: Tone, text: String) {
        let text = sentence(&text);
        let id = NOTICES.get() + 1;
        NOTICES.set(id);
        self.notices.update(|notices| {
            notices.retain(|notice| notice.text != text);
            notices.push(Notice { id, tone, text });
            // The newest few are enough; older ones would push the page down.
            let surplus = notices.len().saturating_sub(4);
            notices.drain(..surplus);
            if tone == Tone::Quiet {
                let notices = self.notices;
                let leave = move || notices.update(|notices| notices.retain(|notice| notice.id != id));
                gloo_timers::callback::Timeout::new(QUIET_MS, leave).forget();
            }
        });
    }
}

fn count(labels: &[u8], classes: usize) -> Vec<usize> {
    let mut counts = vec![0; classes + 1];
    for &label in labels {
        if let Some(count) = counts.get_mut(usize::from(label)) {
            *count += 1;
        }
    }
    counts
}
