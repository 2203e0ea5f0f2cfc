//! The end: the own scene mapped by the common model and by a model of this scene alone, side by side.

use leptos::html::Canvas;
use leptos::prelude::*;

use crate::app::acts::take_away;
use crate::app::plain::number;
use crate::app::state::Store;
use crate::app::view::layers;
use crate::engine::message::FederatedMap;

#[component]
pub fn End(store: Store) -> impl IntoView {
    let part = store.federate;
    let both = move || part.end.get().map(|end| (end.global.clone(), end.alone.clone()));
    view! {
        {move || {
            let (global, alone) = both()?;
            Some(view! {
                <section class="federate-part" aria-label="Results" data-testid="federate-end">
                    <h2>"Your scene"</h2>
                    <div class="federate-maps">
                        {global.map(|map| view! { <Mapped store map which="global" title="The common model" /> })}
                        {alone.map(|map| view! { <Mapped store map which="alone" title="A model of this scene alone" /> })}
                    </div>
                </section>
            })
        }}
    }
    .into_any()
}

#[component]
fn Mapped(store: Store, map: FederatedMap, which: &'static str, title: &'static str) -> impl IntoView {
    let canvas = NodeRef::<Canvas>::new();
    let drawn = map.map.clone();
    Effect::new(move |_| {
        if let Some(canvas) = canvas.get() {
            layers::draw_map(&canvas, &drawn);
        }
    });
    let accuracy = map.accuracy.as_ref().map_or_else(
        || "no held-out pixels to measure it on".to_owned(),
        |accuracy| {
            format!(
                "OA {} %, AA {} %, κ {:.3} on {} held-out pixels",
                number::percent(accuracy.overall),
                number::percent(accuracy.average),
                accuracy.kappa,
                number::grouped(accuracy.pixels() as usize)
            )
        },
    );
    let bytes = map.model;
    view! {
        <figure data-testid=format!("federate-map-{which}")>
            <canvas node_ref=canvas aria-label=title></canvas>
            <figcaption>
                <b>{title}</b>
                <span class="figure quiet" data-testid=format!("federate-accuracy-{which}")>{accuracy}</span>
                <button
                    class="link"
                    data-testid=format!("federate-save-{which}")
                    on:click=move |_| take_away::bytes(store, &format!("federated-{which}.safetensors"), &bytes)
                >
                    "Save this model"
                </button>
            </figcaption>
        </figure>
    }
    .into_any()
}
