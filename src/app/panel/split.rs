//! Second half of step 2: which labelled pixels train, validate and test.

use leptos::prelude::*;
use leptos::task::spawn_local;

use super::samples::Samples;
use crate::app::acts::split;
use crate::app::field::{Choice, DropArea, NumberField, Segmented};
use crate::app::plain::number;
use crate::app::plain::plan::random_plan;
use crate::app::settings::SplitMode;
use crate::app::state::{Overlay, Role, Store};

#[component]
pub fn SplitPanel(store: Store) -> impl IntoView {
    let modes = vec![
        Choice::text(SplitMode::Random, "random", "Random"),
        Choice::text(SplitMode::File, "file-mode", "Split file"),
        Choice::text(SplitMode::All, "all", "All train"),
    ];
    let outdate = Callback::new(move |()| split::outdate(store));
    view! {
        <section class="split" aria-label="Split">
            <div class="row">
                <h3>"Split"</h3>
                <Segmented name="split" label="Where training pixels come from" choices=modes value=store.split_mode on_change=outdate />
            </div>
            {move || match store.split_mode.get() {
                SplitMode::Random => view! { <Random store /> }.into_any(),
                SplitMode::File => view! { <FromFile store /> }.into_any(),
                SplitMode::All => view! {
                    <p class="quiet">"Every labelled pixel trains. None is left to validate or test on, so there will be no accuracy figures."</p>
                }
                .into_any(),
            }}
            <div class="row">
                <Show when=move || store.split_mode.get() != SplitMode::File>
                    <button
                        class="button small"
                        data-testid="split-draw"
                        on:click=move |_| {
                            spawn_local(async move {
                                match split::draw(store).await {
                                    Ok(()) => store.overlay.set(Overlay::Training),
                                    Err(sentence) => store.fail(sentence),
                                }
                            });
                        }
                    >
                        "Draw split"
                    </button>
                </Show>
                <span class="quiet figure" data-testid="split-summary">{move || summary(store)}</span>
            </div>
            <Samples store />
        </section>
    }
    .into_any()
}

/// "160 train · 80 validate · 10 009 test · 5 splits"
fn drawn(store: Store) -> Option<String> {
    store.splits.with(|splits| {
        let split = splits.first()?;
        let times = if splits.len() > 1 { format!(" · {} splits", splits.len()) } else { String::new() };
        Some(format!(
            "{} train · {} validate · {} test{times}",
            number::grouped(split.train.len()),
            number::grouped(split.val.len()),
            number::grouped(split.test.len())
        ))
    })
}

fn summary(store: Store) -> String {
    drawn(store).unwrap_or_else(|| "drawn when training starts".into())
}

/// Which pixels will train, for step 4.
pub fn plan(store: Store) -> String {
    drawn(store).unwrap_or_else(|| match store.split_mode.get() {
        SplitMode::Random => {
            store.counts.with(|counts| random_plan(counts, store.train_per_class.get(), store.val_per_class.get()))
        }
        SplitMode::File => "Open the split file in step 2.".into(),
        SplitMode::All => "Trains on every labelled pixel; none is left to test on.".into(),
    })
}

#[component]
fn Random(store: Store) -> impl IntoView {
    view! {
        <div class="fields">
            <NumberField
                label="train, per class"
                unit="px"
                testid="train-per-class"
                min=1.0
                max=100_000.0
                get=move || store.train_per_class.get() as f64
                set=move |value| {
                    store.train_per_class.set(value as usize);
                    split::outdate(store);
                }
            />
            <NumberField
                label="validate, per class"
                unit="px"
                testid="val-per-class"
                min=0.0
                max=100_000.0
                get=move || store.val_per_class.get() as f64
                set=move |value| {
                    store.val_per_class.set(value as usize);
                    split::outdate(store);
                }
            />
            <NumberField
                label="seed"
                testid="split-seed"
                min=0.0
                max=4_294_967_295.0
                get=move || store.split_seed.get() as f64
                set=move |value| {
                    store.split_seed.set(value as u64);
                    split::outdate(store);
                }
            />
            <NumberField
                label="seeds in one go"
                help="Each seed draws another split and trains another model; the results give mean and spread"
                testid="seeds"
                min=1.0
                max=20.0
                get=move || store.seeds.get() as f64
                set=move |value| {
                    store.seeds.set(value as usize);
                    split::outdate(store);
                }
            />
        </div>
    }
    .into_any()
}

#[component]
fn FromFile(store: Store) -> impl IntoView {
    let count = move || store.file_splits.with(Vec::len);
    view! {
        <DropArea store role=Role::Split testid="split-file" label="Open a split file" hint=".json" />
        <Show when=move || { count() > 0 }>
            <p class="figure" data-testid="split-file-name">
                {move || format!("{}: {}", store.split_file.get().unwrap_or_default(), number::counted(count(), "split"))}
            </p>
            <NumberField
                label="use the first"
                unit="splits"
                testid="split-file-use"
                min=1.0
                max=100.0
                get=move || store.seeds.get() as f64
                set=move |value| {
                    store.seeds.set((value as usize).min(store.file_splits.with_untracked(Vec::len)).max(1));
                    split::take_from_file(store);
                }
            />
        </Show>
    }
    .into_any()
}
