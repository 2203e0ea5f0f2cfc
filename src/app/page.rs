//! The page as a whole, and its start.

use leptos::prelude::*;
use leptos::task::spawn_local;

use crate::app::settings::{self, Settings};
use crate::app::state::{Area, Store, Tab};
use crate::app::{acts, bench, federate, field, link, panel, view};

/// Mounts the page and starts to fetch the engine.
pub fn start() {
    console_error_panic_hook::set_once();
    // The static first paint makes way.
    if let Some(boot) = document().get_element_by_id("boot") {
        boot.remove();
    }
    match bench::requested() {
        Some(request) => leptos::mount::mount_to_body(move || view! { <bench::Bench request /> }),
        None => leptos::mount::mount_to_body(Page),
    }
}

#[component]
fn Page() -> impl IntoView {
    let store = Store::new(&Settings::load());
    settings::keep(store);
    let saved = RwSignal::new(true);
    acts::keep::watch(store, saved);
    acts::weights::watch(store);
    acts::federate::start(store);
    acts::host::start(store);
    spawn_local(link::connect(store));
    spawn_local(acts::keep::reopen(store));

    let dragging = RwSignal::new(false);
    let keys = window_event_listener(leptos::ev::keydown, move |event| {
        let typing = event.target().is_some_and(|target| {
            wasm_bindgen::JsCast::dyn_into::<web_sys::HtmlInputElement>(target)
                .is_ok_and(|input| matches!(input.type_().as_str(), "text" | "number"))
        });
        if (event.ctrl_key() || event.meta_key()) && event.key() == "z" && !event.shift_key() && !typing {
            event.prevent_default();
            acts::labels::undo(store);
        }
    });
    on_cleanup(move || keys.remove());

    view! {
        <div
            class="page"
            class:dragging=move || dragging.get()
            on:dragover=move |event| {
                event.prevent_default();
                dragging.set(true);
            }
            on:dragleave=move |event| {
                if event.related_target().is_none() {
                    dragging.set(false);
                }
            }
            on:drop=move |event| {
                dragging.set(false);
                // The area of a step has taken the files.
                if event.default_prevented() {
                    return;
                }
                event.prevent_default();
                let files = field::dropped(&event);
                if !files.is_empty() {
                    store.area.set(Area::Classify);
                    acts::drop::on_page(store, files);
                }
            }
        >
            <panel::TopBar store />
            <panel::Notices store />
            <main
                class="classify"
                class:away=move || store.area.get() != Area::Classify
                data-tab=move || match store.tab.get() {
                    Tab::Steps => "steps",
                    Tab::View => "view",
                    Tab::Results => "results",
                }
            >
                <panel::Rail store saved />
                <section class="centre" aria-label="Image">
                    <view::SceneView store />
                    <panel::Tabs store />
                    <Show
                        when=move || store.scene.with(Option::is_some)
                        fallback=|| view! { <p class="quiet no-toolbar">"Open a scene first."</p> }
                    >
                        <view::Toolbar store />
                    </Show>
                </section>
                <panel::Results store />
            </main>
            <federate::FederateArea store />
            <panel::Later store />
            <panel::StatusLine store />
            <panel::Questions store />
            <p class="unseen" role="status" aria-live="polite" data-testid="announcement">
                {move || store.announcement.get()}
            </p>
        </div>
    }
    .into_any()
}
