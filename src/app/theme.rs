//! Light or dark: the system's choice, unless the user made one.

use leptos::prelude::*;
use wasm_bindgen::JsCast;
use wasm_bindgen::closure::Closure;
use web_sys::MediaQueryList;

use crate::app::settings::local_storage;

/// Also read by the script in index.html, before the first paint.
const KEY: &str = "sigmascope-theme";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Theme {
    Light,
    Dark,
}

impl Theme {
    fn word(self) -> &'static str {
        match self {
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }

    fn now() -> Self {
        let chosen = local_storage().and_then(|storage| storage.get_item(KEY).ok().flatten());
        match chosen.as_deref() {
            Some("light") => Self::Light,
            Some("dark") => Self::Dark,
            _ if system_is_dark().is_some_and(|query| query.matches()) => Self::Dark,
            _ => Self::Light,
        }
    }
}

fn system_is_dark() -> Option<MediaQueryList> {
    web_sys::window()?.match_media("(prefers-color-scheme: dark)").ok()?
}

/// Follows the system while the user has chosen nothing.
fn follow_system(theme: RwSignal<Theme>) {
    let Some(system) = system_is_dark() else { return };
    let changed = Closure::<dyn FnMut()>::new(move || theme.set(Theme::now()));
    // A browser that does not tell lets the switch be wrong until it is pressed.
    let _ = system.add_event_listener_with_callback("change", changed.as_ref().unchecked_ref());
    // The switch lives as long as the page; so must the query, or the browser may drop it with its listener.
    changed.forget();
    std::mem::forget(system);
}

/// The switch in the top bar.
#[component]
pub fn ThemeSwitch() -> impl IntoView {
    let theme = RwSignal::new(Theme::now());
    follow_system(theme);
    let flip = move |_| {
        let next = if theme.get_untracked() == Theme::Light { Theme::Dark } else { Theme::Light };
        theme.set(next);
        if let Some(root) = document().document_element() {
            let _ = root.set_attribute("data-theme", next.word());
        }
        if let Some(storage) = local_storage() {
            // Not kept is no harm: the next visit asks the system again.
            let _ = storage.set_item(KEY, next.word());
        }
    };
    let title = move || match theme.get() {
        Theme::Light => "Switch to dark",
        Theme::Dark => "Switch to light",
    };
    view! {
        <button
            class="icon"
            data-testid="theme-switch"
            data-value=move || theme.get().word()
            title=title
            aria-label=title
            on:click=flip
        >
            {crate::app::icon::half()}
        </button>
    }
    .into_any()
}
