//! Simulated neighbours of a hosted federation: how many, what each is doing, and an end of it.

use leptos::prelude::*;

use crate::app::acts::neighbours;
use crate::app::field::{Choice, Segmented};
use crate::app::plain::neighbours::{Line, MOST};
use crate::app::plain::number;
use crate::app::state::Store;

const NUMBERS: [(&str, &str); MOST] = [("1", "1"), ("2", "2"), ("3", "3")];

#[component]
pub fn Neighbours(store: Store) -> impl IntoView {
    let federate = store.federate;
    let choices = (1..).zip(NUMBERS).map(|(count, (word, label))| Choice::text(count, word, label)).collect::<Vec<_>>();
    let running = move || neighbours::are_running(store);
    view! {
        <section class="federate-part" aria-label="Simulated neighbours">
            <h3>"Simulated neighbours"</h3>
            <p class="quiet">
                "Further engines of this tab, on its processor, that take part over the network as other labs' tabs do. Their scenes \
                 and labels are made up on the spot, so what they reach says nothing about real land. They end with this tab."
            </p>
            <Show
                when=running
                fallback=move || {
                    let choices = choices.clone();
                    view! {
                        <div class="row">
                            <Segmented name="neighbours" label="How many neighbours" choices value=federate.neighbours_wanted />
                            <button
                                class="button small"
                                data-testid="neighbours-start"
                                disabled=move || neighbours::missing(store).is_some()
                                on:click=move |_| neighbours::start(store, federate.neighbours_wanted.get_untracked())
                            >
                                "Start simulated neighbours"
                            </button>
                        </div>
                        {move || {
                            neighbours::missing(store).map(|sentence| view! { <p class="quiet" data-testid="neighbours-missing">{sentence}</p> })
                        }}
                    }
                }
            >
                <div class="row">
                    <button class="button small" data-testid="neighbours-stop" on:click=move |_| neighbours::stop(store)>
                        "Stop them"
                    </button>
                </div>
            </Show>
            <ul class="neighbours">
                <For each=move || federate.neighbours.get() key=Line::clone let:line>
                    <li data-testid=format!("neighbour-{}", line.number) data-state=line.standing.word()>
                        <span>
                            {format!("Neighbour {}", line.number)}
                            <span class="quiet figure">{format!(" · made-up scene {}", line.seed)}</span>
                        </span>
                        <span class="quiet figure" data-testid=format!("neighbour-{}-rounds", line.number)>
                            {number::counted(line.rounds, "round")}
                        </span>
                        <span class="quiet" data-testid=format!("neighbour-{}-doing", line.number)>{line.doing.clone()}</span>
                    </li>
                </For>
            </ul>
        </section>
    }
    .into_any()
}
