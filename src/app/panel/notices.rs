//! Sentences about what went wrong, or what is worth knowing.

use leptos::prelude::*;

use crate::app::icon;
use crate::app::state::{Store, Tone};

#[component]
pub fn Notices(store: Store) -> impl IntoView {
    view! {
        <div class="notices" data-testid="notices">
            <For each=move || store.notices.get() key=|notice| (notice.id, notice.text.clone()) let:notice>
                <div
                    class="notice"
                    class:error=notice.tone == Tone::Error
                    role=if notice.tone == Tone::Error { "alert" } else { "status" }
                    data-testid=if notice.tone == Tone::Error { "notice-error" } else { "notice" }
                >
                    <p data-testid="notice-text">{notice.text.clone()}</p>
                    <button
                        class="icon"
                        aria-label="Dismiss"
                        title="Dismiss"
                        data-testid="notice-dismiss"
                        on:click=move |_| store.notices.update(|notices| notices.retain(|other| other.id != notice.id))
                    >
                        {icon::close()}
                    </button>
                </div>
            </For>
        </div>
    }
    .into_any()
}
