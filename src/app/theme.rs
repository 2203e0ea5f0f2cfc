//! Light or dark: the system's choice, unless the user made one.

use leptos::prelude::*;

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
            _ => {
                let dark = web_sys::window()
                    .and_then(|window| window.match_media("(prefers-color-scheme: dark)").ok().flatten())
                    .is_some_and(|query| query.matches());
                if dark { Self::Dark } else { Self::Light }
            }
        }
    }
}

/// The switch in the top bar.
#[component]
pub fn ThemeSwitch() -> impl IntoView {
    let theme = RwSignal::new(Theme::now());
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
