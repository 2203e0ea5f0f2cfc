//! What can be loaded without looking for a file: what is shipped and what is kept; and an address.

use leptos::prelude::*;

use super::fit::FitNote;
use crate::app::acts::weights;
use crate::app::panel::model::size_name;
use crate::app::plain::number;
use crate::app::plain::weights as words;
use crate::app::state::{Candidate, Store};
use crate::engine::message::WeightsShelf;

/// One line of the list.
#[derive(Clone, PartialEq)]
struct Choice {
    candidate: Candidate,
    /// For scripts, and while it is loaded.
    name: String,
    title: String,
    /// Quantization and bytes.
    figures: String,
    /// One sentence.
    what: String,
    facts: Vec<(&'static str, String)>,
    /// Address of the model card.
    card: Option<String>,
}

/// None, then what is shipped, then what is kept beside it.
fn choices(shelf: &WeightsShelf) -> Vec<Choice> {
    let none = Choice {
        candidate: Candidate::None,
        name: "none".into(),
        title: "None".into(),
        figures: String::new(),
        what: "training starts from random numbers".into(),
        facts: Vec::new(),
        card: None,
    };
    let shipped = shelf.catalogue.iter().map(|entry| {
        let kept = shelf.cached.iter().any(|kept| kept.id == entry.sha256);
        Choice {
            candidate: Candidate::Catalogue(entry.name.clone()),
            name: entry.name.clone(),
            title: words::model_size(Some(&entry.size))
                .map_or_else(|| entry.name.clone(), |size| size_name(size).to_owned()),
            figures: format!("{} {}", words::kind_name(entry.quantization), number::bytes(entry.bytes)),
            what: entry.description.clone(),
            facts: vec![
                ("name", entry.name.clone()),
                ("parameters", number::rounded(entry.parameters)),
                ("download", if kept { "kept in this browser".into() } else { number::bytes(entry.bytes) }),
                ("device memory", number::memory(entry.device_bytes)),
                ("licence", entry.license.clone()),
            ],
            card: entry.card.clone(),
        }
    });
    let is_shipped = |id: &str| shelf.catalogue.iter().any(|entry| entry.sha256 == id);
    let kept = shelf.cached.iter().filter(|kept| !is_shipped(&kept.id)).map(|kept| {
        let summary = &kept.summary;
        let mut facts = vec![
            ("file", kept.name.clone()),
            ("parameters", number::rounded(summary.parameters)),
            ("kind", words::origin_name(summary.origin).to_owned()),
        ];
        facts.extend(summary.license.clone().map(|license| ("licence", license)));
        Choice {
            candidate: Candidate::Cached(kept.id.clone()),
            name: kept.name.clone(),
            title: words::model_size(summary.size.as_deref())
                .map_or_else(|| summary.title.clone(), |size| size_name(size).to_owned()),
            figures: format!("{} {}", words::kind_name(summary.quantization), number::bytes(summary.bytes)),
            what: "kept in this browser".into(),
            facts,
            card: None,
        }
    });
    std::iter::once(none).chain(shipped).chain(kept).collect()
}

/// The list; the chosen line unfolds.
#[component]
pub fn Choices(store: Store) -> impl IntoView {
    let list = Memo::new(move |_| store.weights.shelf.with(|shelf| shelf.as_ref().map(choices).unwrap_or_default()));
    view! {
        <div class="sizes" role="radiogroup" aria-label="What training starts from">
            {move || {
                list.get()
                    .into_iter()
                    .enumerate()
                    .map(|(index, choice)| view! { <Line store index choice /> })
                    .collect_view()
            }}
        </div>
        {move || {
            store.weights.shelf.with(|shelf| {
                let notices = shelf.as_ref().map(|shelf| shelf.notices.clone()).unwrap_or_default();
                notices.into_iter().map(|notice| view! { <p class="note" data-testid="weights-note">{notice}</p> }).collect_view()
            })
        }}
    }
    .into_any()
}

#[component]
fn Line(store: Store, index: usize, choice: Choice) -> impl IntoView {
    let Choice { candidate, name, title, figures, what, facts, card } = choice;
    let own = candidate.clone();
    let chosen = Memo::new(move |_| store.weights.candidate.with(|candidate| *candidate == own));
    let is_none = candidate == Candidate::None;
    let load_name = name.clone();
    let facts = StoredValue::new((facts, card));
    view! {
        <button
            role="radio"
            class="size"
            class:on=move || chosen.get()
            aria-checked=move || chosen.get().to_string()
            data-testid=format!("weights-choice-{index}")
            data-value=name.clone()
            on:click=move |_| weights::choose(store, candidate.clone())
        >
            <b>{title}</b>
            <span class="figure">{figures}</span>
            <span class="quiet">{what}</span>
        </button>
        <Show when=move || chosen.get() && !is_none>
            <div class="choice-facts">
                {move || store.weights.fit.get().map(|fit| view! { <FitNote fit /> })}
                <button
                    class="button primary small"
                    data-testid="weights-load"
                    disabled=move || store.job.get().is_running()
                    on:click={
                        let name = load_name.clone();
                        move |_| weights::load_candidate(store, name.clone())
                    }
                >
                    "Load"
                </button>
                <dl class="facts" data-testid="weights-facts">
                    {facts.with_value(|(facts, card)| {
                        let card = card.clone().map(|card| {
                            view! {
                                <div>
                                    <dt>"model card"</dt>
                                    <dd><a href=card target="_blank" rel="noopener">"what it was trained on"</a></dd>
                                </div>
                            }
                        });
                        let facts = facts.iter().cloned().map(|(name, value)| {
                            view! {
                                <div>
                                    <dt>{name}</dt>
                                    <dd class="figure">{value}</dd>
                                </div>
                            }
                        });
                        (facts.collect_view(), card)
                    })}
                </dl>
            </div>
        </Show>
    }
    .into_any()
}

/// A GGUF file on the network.
#[component]
pub fn Address(store: Store) -> impl IntoView {
    let url = RwSignal::new(String::new());
    let sha256 = RwSignal::new(String::new());
    let look = move || {
        if let Err(sentence) = weights::offer_address(store, &url.get_untracked(), &sha256.get_untracked()) {
            store.fail(sentence);
        }
    };
    let field = move |label: &'static str, testid: &'static str, hint: &'static str, value: RwSignal<String>| {
        view! {
            <label class="field">
                <span>{label}</span>
                <input
                    type="text"
                    class="wide-field"
                    spellcheck="false"
                    autocomplete="off"
                    placeholder=hint
                    data-testid=testid
                    prop:value=move || value.get()
                    on:input=move |event| value.set(event_target_value(&event))
                    on:keydown=move |event| {
                        if event.key() == "Enter" {
                            look();
                        }
                    }
                />
            </label>
        }
    };
    view! {
        <div class="address">
            {field("from an address", "weights-url", "https://….gguf", url)}
            {field("its SHA-256, checked if given", "weights-sha256", "64 hexadecimal digits", sha256)}
            <button
                class="button small"
                data-testid="weights-url-look"
                title="Reads its header, before anything is downloaded"
                on:click=move |_| look()
            >
                "See what it is"
            </button>
        </div>
    }
    .into_any()
}
