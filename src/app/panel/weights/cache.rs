//! What this browser keeps of weights, how much room it takes, and how to be rid of it.

use leptos::prelude::*;

use crate::app::acts::weights;
use crate::app::icon;
use crate::app::plain::number;
use crate::app::plain::weights as words;
use crate::app::state::Store;

#[component]
pub fn Cache(store: Store) -> impl IntoView {
    move || {
        let shelf = store.weights.shelf.get()?;
        let room = shelf.quota.map(|quota| {
            format!(
                "This page uses {} of the {} that the browser grants it.",
                number::bytes(quota.used_bytes),
                number::bytes(quota.total_bytes)
            )
        });
        let count = shelf.cached.len();
        let used = match count {
            0 => "No weights are kept in this browser.".to_owned(),
            _ => {
                format!("{} kept in this browser, {}", number::counted(count, "file"), number::bytes(shelf.bytes_used))
            }
        };
        let rows = shelf.cached.into_iter().enumerate().map(|(index, kept)| {
            let (id, name) = (kept.id, kept.name);
            let label = format!("Delete {name} from this browser");
            view! {
                <li data-testid=format!("cache-{index}")>
                    <span class="cache-name" title=name.clone()>{name.clone()}</span>
                    <span class="quiet figure">{words::kind_name(kept.summary.quantization)} " " {number::bytes(kept.summary.bytes)}</span>
                    <button
                        class="icon tiny"
                        aria-label=label.clone()
                        title=label
                        data-testid=format!("cache-{index}-delete")
                        on:click=move |_| weights::delete(store, id.clone(), name.clone())
                    >
                        {icon::close()}
                    </button>
                </li>
            }
        });
        Some(view! {
            <div class="cache" data-testid="cache">
                <div class="row">
                    <span class="figure" data-testid="cache-used">{used}</span>
                    {(count > 0).then(|| view! {
                        <button class="link end" data-testid="cache-clear" on:click=move |_| weights::clear(store)>
                            "Delete all"
                        </button>
                    })}
                </div>
                <ul class="cache-list">{rows.collect_view()}</ul>
                {room.map(|room| view! { <p class="quiet figure" data-testid="cache-quota">{room}</p> })}
            </div>
        })
    }
}
