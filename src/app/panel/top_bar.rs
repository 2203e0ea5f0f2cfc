//! Name, areas, device, theme.

use leptos::prelude::*;

use super::device::DeviceMenu;
use crate::app::state::{Area, Store};
use crate::app::theme::ThemeSwitch;

#[component]
pub fn TopBar(store: Store) -> impl IntoView {
    let area = move |area: Area, word: &'static str, name: &'static str| {
        view! {
            <button
                class="area"
                class:on=move || store.area.get() == area
                aria-current=move || (store.area.get() == area).then_some("page")
                data-testid=format!("area-{word}")
                on:click=move |_| store.area.set(area)
            >
                {name}
            </button>
        }
        .into_any()
    };
    view! {
        <header class="top">
            <span class="name">
                <svg viewBox="0 0 24 24" width="22" height="22" aria-hidden="true">
                    <circle cx="12" cy="12" r="10.25"></circle>
                    <path d="M3.5 15.5c2.5-.2 3-1.3 4.2-1.3 1.6 0 1.5 1 2.6.8 1.7-.4 1.1-7.5 3.2-7.5 1.8 0 1.4 4.6 3 4.6 1.1 0 1.5-.9 4-.9"></path>
                </svg>
                "SigmaScope"
            </span>
            <nav class="areas" aria-label="Areas">
                {area(Area::Classify, "classify", "Classify")}
                {area(Area::Federate, "federate", "Federate")}
                {area(Area::Learn, "learn", "Learn")}
            </nav>
            <div class="top-right">
                <DeviceMenu store />
                <ThemeSwitch />
            </div>
        </header>
    }
    .into_any()
}

/// The area that is not built yet says so.
#[component]
pub fn Later(store: Store) -> impl IntoView {
    move || {
        let (title, sentence) = match store.area.get() {
            Area::Classify | Area::Federate => return ().into_any(),
            Area::Learn => {
                ("Learn", "Lessons that show the model and weight scope alignment at work come in a later version.")
            }
        };
        view! {
            <main class="later" data-testid="later">
                <h1>{title}</h1>
                <p>{sentence}</p>
                <button class="button" on:click=move |_| store.area.set(Area::Classify)>"Back to Classify"</button>
            </main>
        }
        .into_any()
    }
}
