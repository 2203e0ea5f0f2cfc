//! Weights before they are loaded: what they are, how they shall be stored, whether the device can carry them.

use std::sync::Arc;

use leptos::prelude::*;

use super::fit::FitNote;
use super::report::ReportLine;
use crate::app::acts::weights;
use crate::app::field::{Choice, Segmented, Toggle};
use crate::app::plain::number;
use crate::app::plain::weights as words;
use crate::app::state::{Offer, Store};
use crate::engine::message::WeightsInspected;
use crate::weights::Quantization;

#[component]
pub fn OfferCard(store: Store) -> impl IntoView {
    // The choices keep their place, and the focus, while the engine is asked again.
    let shown = Memo::new(move |_| store.weights.offer.with(Option::is_some));
    let converts = Memo::new(move |_| known(store, |found| found.converted).unwrap_or(false));
    let ready = Memo::new(move |_| known(store, |_| ()).is_some());
    let address =
        Memo::new(move |_| store.weights.offer.with(|offer| offer.as_ref().is_some_and(|offer| offer.address)));
    let report = Memo::new(move |_| known(store, |found| Arc::new(found.report.clone())));
    view! {
        <Show when=move || shown.get()>
            <div class="card" data-testid="weights-offer">
                {move || store.weights.offer.get().map(what)}
                <Show when=move || ready.get()>
                    <Show
                        when=move || converts.get()
                        // What is downloaded is always kept.
                        fallback=move || (!address.get()).then(|| view! {
                            <Toggle
                                label="keep a copy in this browser"
                                testid="weights-keep"
                                help="It is there after a reload; otherwise the file is read where it lies"
                                get=move || store.weights.keep.get()
                                set=move |keep| store.weights.keep.set(keep)
                            />
                        })
                    >
                        <HowStored store />
                    </Show>
                    {move || fit(store)}
                    <ReportLine report />
                </Show>
                <div class="row">
                    <button
                        class="button primary small"
                        data-testid="weights-offer-load"
                        disabled=move || !ready.get() || store.job.get().is_running()
                        on:click=move |_| weights::load_offer(store)
                    >
                        {move || match (converts.get(), address.get()) {
                            (true, _) => "Convert and load",
                            (false, true) => "Download and load",
                            (false, false) => "Load",
                        }}
                    </button>
                    <button class="button small" data-testid="weights-offer-cancel" on:click=move |_| weights::withdraw(store)>
                        "Not now"
                    </button>
                </div>
            </div>
        </Show>
    }
    .into_any()
}

fn known<T>(store: Store, of: impl FnOnce(&WeightsInspected) -> T) -> Option<T> {
    store.weights.offer.with(|offer| offer.as_ref()?.inspected.as_ref().map(of))
}

/// The files, and what they hold.
fn what(offer: Offer) -> AnyView {
    let files = offer.names.join(" and ");
    let bytes = offer.bytes.map(|bytes| format!(", {}", number::bytes(bytes)));
    let Some(found) = offer.inspected else {
        return view! { <p class="quiet" data-testid="weights-offer-name">"Reading the headers of " {files}</p> }
            .into_any();
    };
    let size =
        words::model_size(found.report.size.as_deref()).map_or("HyperSIGMA", crate::app::panel::model::size_name);
    let half = words::missing_half(&found.report).map(|half| {
        view! {
            <p class="note" data-testid="weights-missing-half">
                {format!("This is one half of a pair. Drop the {half} checkpoint, too; without it the {half} encoder starts fresh.")}
            </p>
        }
    });
    view! {
        <p>
            <b data-testid="weights-offer-title">{size} ", " {words::origin_name(found.report.origin)}</b>
        </p>
        <p class="quiet figure" data-testid="weights-offer-name">{files} {bytes}</p>
        {half}
    }
    .into_any()
}

/// What a checkpoint is converted to.
#[component]
fn HowStored(store: Store) -> impl IntoView {
    let choices = vec![
        Choice::text(Quantization::F32, "f32", "F32"),
        Choice::text(Quantization::F16, "f16", "F16"),
        Choice::text(Quantization::Q8_0, "q8_0", "Q8_0"),
        Choice::text(Quantization::Q4_0, "q4_0", "Q4_0"),
    ];
    let bytes = move || {
        let quantization = store.weights.quantization.get();
        known(store, |found| {
            found.choices.iter().find(|choice| choice.quantization == quantization).map(|choice| choice.bytes)
        })
        .flatten()
        .map(|bytes| format!("{} when stored", number::bytes(bytes)))
    };
    view! {
        <Segmented name="quantization" label="How the large matrices are stored" choices value=store.weights.quantization />
        <div class="row">
            <Toggle
                label="complete"
                testid="weights-complete"
                help="Keep also what never influences the result: late spectral blocks, unused layers"
                get=move || store.weights.complete.get()
                set=move |complete| store.weights.complete.set(complete)
            />
            <span class="quiet figure end" data-testid="weights-bytes">{bytes}</span>
        </div>
    }
    .into_any()
}

/// Whether the device can carry what would be loaded.
fn fit(store: Store) -> Option<AnyView> {
    let quantization = store.weights.quantization.get();
    let fit = known(store, |found| match found.choices.as_slice() {
        [only] => Some(only.fit.clone()),
        choices => choices.iter().find(|choice| choice.quantization == quantization).map(|choice| choice.fit.clone()),
    });
    fit.flatten().map(|fit| view! { <FitNote fit /> }.into_any())
}
