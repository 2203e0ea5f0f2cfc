//! The area of federated rounds: an invitation, one's own part, and federations that are hosted here.

mod end;
mod host;
mod join;
mod live;
mod neighbours;
mod plan;
mod plots;

use leptos::prelude::*;

use crate::app::field::{Choice, Segmented};
use crate::app::state::{Area, Part, Side, Store};

#[component]
pub fn FederateArea(store: Store) -> impl IntoView {
    let federate = store.federate;
    let sides = vec![Choice::text(Side::Join, "join", "Take part"), Choice::text(Side::Host, "host", "Host")];
    let joining = move || federate.side.get() == Side::Join;
    view! {
        <main class="federate" class:away=move || store.area.get() != Area::Federate data-testid="federate">
            <section class="federate-side" aria-label="Federation">
                <Segmented name="federate" label="Take part or host" choices=sides value=federate.side />
                <div class:away=move || !joining()>
                    <join::Join store />
                </div>
                <div class:away=joining>
                    <host::Host store />
                </div>
            </section>
            <section class="federate-main" aria-label="Rounds">
                <Show
                    when=move || joining() && federate.part.get() != Part::None
                    fallback=move || view! { <Show when=joining><Explanation /></Show> }
                >
                    <live::Live store />
                    <end::End store />
                </Show>
                <Show when=move || !joining()>
                    <host::Watch store />
                </Show>
            </section>
        </main>
    }
    .into_any()
}

/// What a federation is, while there is nothing to see.
#[component]
fn Explanation() -> impl IntoView {
    view! {
        <div class="federate-about">
            <h1>"One model, several labs, no scene leaves its tab"</h1>
            <p>
                "In a federated round every lab trains the common model on its own scene, in its own browser tab, and sends back \
                 how the weights have changed. A small coordinator averages the changes, and the next round begins from there."
            </p>
            <p>
                "Averaging models destroys them when the distributions of their weights have drifted apart. Weight scope alignment \
                 pulls each layer's weights to a common Gaussian, N(μ, σ²), while it trains; the plots here show how far each layer is \
                 from it, round by round."
            </p>
        </div>
    }
    .into_any()
}
