//! A window over the page, which rests until it is closed.

use leptos::html;
use leptos::prelude::*;

/// Open as long as `open` says so. Its button and the Escape key ask for `close`, which makes `open` false; it may be asked for
/// more than once. `button` and `button_id`: what the button says, and its test id.
#[component]
pub fn Dialog(
    #[prop(into)] open: Signal<bool>,
    #[prop(into)] close: Callback<()>,
    class: &'static str,
    testid: &'static str,
    #[prop(optional)] label: Option<&'static str>,
    #[prop(default = "Close")] button: &'static str,
    button_id: &'static str,
    children: Children,
) -> impl IntoView {
    let dialog: NodeRef<html::Dialog> = NodeRef::new();
    Effect::new(move |_| {
        let open = open.get();
        if let Some(dialog) = dialog.get() {
            match (open, dialog.open()) {
                // It throws only when the dialog is open already.
                (true, false) => drop(dialog.show_modal()),
                (false, true) => dialog.close(),
                _ => {}
            }
        }
    });
    view! {
        <dialog class=class aria-label=label node_ref=dialog data-testid=testid on:close=move |_| close.run(())>
            {children()}
            <button class="button small" data-testid=button_id on:click=move |_| close.run(())>
                {button}
            </button>
        </dialog>
    }
    .into_any()
}
