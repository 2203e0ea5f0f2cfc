//! What became of each code of the label file, and the user's say in it.

use leptos::prelude::*;

use crate::app::acts::labels;
use crate::app::plain::number;
use crate::app::state::{LabelCodes, Store};
use crate::labels::{Becomes, CodeUse, Reason, code_text};

#[component]
pub fn Codes(store: Store) -> impl IntoView {
    let table = move || {
        let LabelCodes { name, codes, notes } = store.label_codes.get()?;
        let left_out = codes.iter().filter(|used| !matches!(used.becomes, Becomes::Class(_))).count();
        let asks = codes.iter().any(|used| used.reason.is_guess());
        // It stays open while the user chooses.
        let open = asks || codes.iter().any(|used| used.reason == Reason::Chosen);
        let rows = codes.into_iter().map(|used| row(store, used)).collect_view();
        let summary = format!("Codes of {name}: {left_out} left out{}", if asks { ", please check" } else { "" });
        Some(view! {
            <details class="advanced" open=open data-testid="label-codes">
                <summary data-testid="label-codes-toggle">{summary}</summary>
                {notes.into_iter().map(|note| view! { <p class="quiet" data-testid="label-note">{note}</p> }).collect_view()}
                <table class="per-class figure">
                    <thead>
                        <tr>
                            <th scope="col">"code"</th>
                            <th scope="col">"pixels"</th>
                            <th scope="col">"becomes"</th>
                        </tr>
                    </thead>
                    <tbody>{rows}</tbody>
                </table>
            </details>
        })
    };
    view! { {table} }.into_any()
}

fn row(store: Store, used: CodeUse) -> impl IntoView {
    let code = code_text(used.code);
    let (is_class, class, other) = match used.becomes {
        Becomes::Class(number) => {
            let name = store.classes.with_untracked(|classes| {
                classes.get(usize::from(number) - 1).map(|class| class.name.clone()).unwrap_or_default()
            });
            (true, format!("class {number}, {name}"), "unlabelled")
        }
        Becomes::Unlabelled => (false, "a class".to_owned(), "unlabelled"),
        Becomes::NoData => (false, "a class".to_owned(), "no data"),
    };
    // NaN is no number that a class could have.
    let fixed = used.code.is_nan() || used.code.fract() != 0.0;
    view! {
        <tr data-testid=format!("code-{code}")>
            <th scope="row">{code.clone()}</th>
            <td data-testid=format!("code-{code}-pixels")>{number::grouped(used.pixels as usize)}</td>
            <td title=used.reason.words()>
                <select
                    aria-label=format!("What code {code} becomes: {}", used.reason.words())
                    data-testid=format!("code-{code}-becomes")
                    disabled=fixed
                    on:change=move |event| labels::choose_code(store, used.code, event_target_value(&event) == "class")
                >
                    <option value="class" selected=is_class>{class}</option>
                    <option value="unlabelled" selected=!is_class>{other}</option>
                </select>
            </td>
        </tr>
    }
}
