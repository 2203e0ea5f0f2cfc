//! Taking part: the invitation, what the federation is, what leaves the machine, whose classes are which, consent.

use leptos::prelude::*;

use crate::app::acts::federate;
use crate::app::field::Toggle;
use crate::app::plain::federate::{STAYS, algorithm, leaving, local_work};
use crate::app::plain::number;
use crate::app::state::{Area, Part, Store};
use crate::federation::protocol::Definition;

#[component]
pub fn Join(store: Store) -> impl IntoView {
    let part = store.federate;
    let running = move || part.part.get() == Part::Running;
    view! {
        <label class="federate-link">
            <span>"Invitation"</span>
            <input
                type="text"
                data-testid="federate-link"
                placeholder="https://…/#join=…"
                autocomplete="off"
                spellcheck="false"
                disabled=running
                prop:value=move || part.link.get()
                on:change=move |event| {
                    part.link.set(event_target_value(&event));
                    federate::look(store);
                }
            />
        </label>
        <Show when=move || part.looking.get()>
            <p class="quiet">"Asking the coordinator"</p>
        </Show>
        {move || {
            part.problem.get().map(|problem| view! { <p class="federate-problem" role="alert" data-testid="federate-problem">{problem}</p> })
        }}
        {move || {
            part.seen
                .with(|seen| seen.as_ref().map(|view| (view.definition.clone(), view.state.clients)))
                .map(|(definition, clients)| view! { <What definition clients /> })
        }}
        <Show when=move || part.seen.with(Option::is_some)>
            <Mine store />
            <Consent store />
        </Show>
    }
    .into_any()
}

/// What the federation is.
#[component]
fn What(definition: Definition, clients: u32) -> impl IntoView {
    let grid = &definition.input.wavelengths_nm;
    let bands = match (grid.first(), grid.last()) {
        (Some(first), Some(last)) => format!("{} from {first:.0} to {last:.0} nm", number::counted(grid.len(), "band")),
        _ => String::new(),
    };
    let fact = |name: &'static str, testid: &'static str, value: String| {
        view! { <div><dt>{name}</dt><dd data-testid=testid>{value}</dd></div> }
    };
    let sizes = leaving(&definition);
    let backbone = definition.model.backbone.map(|backbone| {
        fact(
            "Fine-tunes",
            "federate-backbone",
            format!("a file of {} that everybody loads, SHA-256 {}", number::bytes(backbone.bytes), backbone.sha256),
        )
    });
    view! {
        <section class="federate-part" aria-label="What the federation is">
            <h2 data-testid="federate-title">{definition.title.clone()}</h2>
            <dl class="facts">
                {fact("Model", "federate-model", format!("{}, {}", definition.model.name, number::bytes(definition.model.weights.bytes)))}
                {backbone}
                {fact("Input", "federate-bands", bands)}
                {fact("Classes", "federate-classes", definition.classes.len().to_string())}
                {fact("Rounds", "federate-rounds", format!("{}, {}", definition.rounds, local_work(&definition)))}
                {fact("Algorithm", "federate-algorithm", algorithm(&definition))}
                {fact("Clients", "federate-clients", format!("{clients} so far, at least {} needed", definition.quorum.min_clients))}
            </dl>
        </section>
        <section class="federate-part" aria-label="What leaves this machine">
            <h3>"What leaves this machine"</h3>
            <table class="federate-leaving" data-testid="federate-leaving">
                <tbody>
                    {sizes
                        .into_iter()
                        .map(|leaving| {
                            view! {
                                <tr>
                                    <td>{leaving.what}" "<span class="quiet">{leaving.when}</span></td>
                                    <td class="figure">{number::bytes(leaving.bytes)}</td>
                                </tr>
                            }
                        })
                        .collect_view()}
                </tbody>
            </table>
            <p class="quiet">{STAYS}</p>
        </section>
    }
    .into_any()
}

/// One's own scene, and which of its classes are which of the federation's.
#[component]
fn Mine(store: Store) -> impl IntoView {
    let part = store.federate;
    let running = move || part.part.get() == Part::Running;
    let theirs = move || {
        part.seen.with(|seen| {
            seen.as_ref().map_or_else(Vec::new, |view| {
                view.definition.classes.iter().map(|class| class.name.clone()).collect::<Vec<String>>()
            })
        })
    };
    let rows = move || {
        let (names, mapping, counts) = (theirs(), part.mapping.get(), store.counts.get());
        store
            .classes
            .get()
            .into_iter()
            .enumerate()
            .map(|(index, class)| {
                let chosen = mapping.get(index).copied().unwrap_or(0);
                let pixels = counts.get(index + 1).copied().unwrap_or(0);
                let options = names
                    .iter()
                    .enumerate()
                    .map(|(place, name)| {
                        let value = place + 1;
                        view! { <option value=value.to_string() selected={usize::from(chosen) == value}>{name.clone()}</option> }
                    })
                    .collect_view();
                view! {
                    <tr>
                        <td>{class.name}" "<span class="quiet figure">{number::grouped(pixels)}</span></td>
                        <td>
                            <select
                                data-testid=format!("federate-class-{}", index + 1)
                                disabled=running
                                on:change=move |event| {
                                    let value = event_target_value(&event).parse().unwrap_or(0);
                                    part.mapping.update(|mapping| {
                                        if let Some(place) = mapping.get_mut(index) {
                                            *place = value;
                                        }
                                    });
                                }
                            >
                                <option value="0" selected={chosen == 0}>"not used"</option>
                                {options}
                            </select>
                        </td>
                    </tr>
                }
            })
            .collect_view()
    };
    view! {
        <section class="federate-part" aria-label="Your scene">
            <h3>"Your scene"</h3>
            <p data-testid="federate-scene">
                {move || match store.scene.with(|scene| scene.as_ref().map(|scene| scene.info.name.clone())) {
                    Some(name) => format!("{name}, {} labelled pixels", number::grouped(store.labelled_pixels())),
                    None => "No scene is open yet.".to_owned(),
                }}
                " "
                <button class="link" data-testid="federate-to-scene" on:click=move |_| store.area.set(Area::Classify)>
                    {move || if store.scene.with(Option::is_some) { "Scene and labels" } else { "Open one" }}
                </button>
            </p>
            <Show when=move || { store.labelled_classes() > 0 }>
                <table class="federate-classes">
                    <thead>
                        <tr>
                            <th>"Your class"</th>
                            <th>"is the federation's"</th>
                        </tr>
                    </thead>
                    <tbody>{rows}</tbody>
                </table>
            </Show>
        </section>
    }
    .into_any()
}

#[component]
fn Consent(store: Store) -> impl IntoView {
    let part = store.federate;
    let running = move || part.part.get() == Part::Running;
    view! {
        <section class="federate-part" aria-label="Consent">
            <label class="toggle">
                <input
                    type="checkbox"
                    data-testid="federate-consent"
                    disabled=running
                    prop:checked=move || part.consent.get()
                    on:change=move |event| part.consent.set(event_target_checked(&event))
                />
                <span>"I agree that what is listed above leaves this machine"</span>
            </label>
            <Toggle
                label="at the end, train a model of my scene alone to compare"
                testid="federate-compare"
                help="It trains for as many epochs as the federation did"
                get=move || part.compare.get()
                set=move |value| part.compare.set(value)
            />
            <Show
                when=running
                fallback=move || {
                    view! {
                        <button
                            class="button primary wide-button"
                            data-testid="federate-take-part"
                            disabled=move || federate::missing(store).is_some()
                            on:click=move |_| federate::take_part(store)
                        >
                            {move || if part.part.get() == Part::Away { "Take part again" } else { "Take part" }}
                        </button>
                        {move || {
                            federate::missing(store).map(|sentence| view! { <p class="quiet" data-testid="federate-missing">{sentence}</p> })
                        }}
                    }
                }
            >
                <div class="row">
                    <button class="button small" data-testid="federate-stop" title="Your place is kept" on:click=move |_| federate::stop()>
                        "Stop for now"
                    </button>
                    <button class="button small" data-testid="federate-leave" title="What was sent still counts" on:click=move |_| federate::leave()>
                        "Leave for good"
                    </button>
                </div>
            </Show>
        </section>
    }
    .into_any()
}
