//! The load report: a calm line of counts, and behind it every tensor.

use std::sync::Arc;

use leptos::html;
use leptos::prelude::*;

use crate::app::plain::number;
use crate::app::plain::weights as words;
use crate::weights::{LoadReport, Status, TensorReport, TensorType};

/// A word for test ids.
fn status_word(status: Status) -> &'static str {
    match status {
        Status::Matched => "matched",
        Status::Resized => "resized",
        Status::Missing => "missing",
        Status::Dropped => "dropped",
        Status::LeftOut => "left-out",
        Status::Unexpected => "unexpected",
    }
}

/// How many tensors came to what, and the way to all of them.
#[component]
pub fn ReportLine(#[prop(into)] report: Signal<Option<Arc<LoadReport>>>) -> impl IntoView {
    let open = RwSignal::new(false);
    let counts = move || report.with(|report| report.as_ref().map(|report| words::counts(&report.counts)));
    view! {
        <p class="report-line">
            <span class="figure" data-testid="report-counts">{counts}</span>
            " "
            <button class="link" data-testid="report-open" aria-haspopup="dialog" on:click=move |_| open.set(true)>
                "Every tensor"
            </button>
        </p>
        <ReportDialog report open />
    }
    .into_any()
}

#[component]
fn ReportDialog(report: Signal<Option<Arc<LoadReport>>>, open: RwSignal<bool>) -> impl IntoView {
    let dialog: NodeRef<html::Dialog> = NodeRef::new();
    Effect::new(move |_| {
        if let Some(dialog) = dialog.get()
            && open.get()
            && !dialog.open()
        {
            // It throws only when the dialog is open already.
            let _ = dialog.show_modal();
        }
    });
    view! {
        <dialog
            class="dialog wide-dialog report"
            aria-label="Load report"
            node_ref=dialog
            data-testid="report-dialog"
            on:close=move |_| open.set(false)
        >
            // A thousand rows are made only when they are looked at.
            <div class="report-body">{move || open.get().then(|| report.get().map(|report| view! { <Whole report /> }))}</div>
            <button
                class="button small"
                data-testid="report-close"
                on:click=move |_| {
                    if let Some(dialog) = dialog.get() {
                        dialog.close();
                    }
                }
            >
                "Close"
            </button>
        </dialog>
    }
    .into_any()
}

#[component]
fn Whole(report: Arc<LoadReport>) -> impl IntoView {
    let status: RwSignal<Option<Status>> = RwSignal::new(None);
    let text = RwSignal::new(String::new());
    let total = report.tensors.len();
    let inputs = report.inputs.iter().map(|input| {
        let hash = input.sha256.as_ref().map(|hash| format!("SHA-256 {hash}"));
        view! {
            <p class="quiet figure report-input">
                {input.name.clone()} ", " {input.format.clone()} ", " {number::bytes(input.bytes)} " " <span class="hash">{hash}</span>
            </p>
        }
    });
    let inputs = inputs.collect::<Vec<_>>();
    let notes = report.notes.iter().map(|note| view! { <li>{note.clone()}</li> }).collect::<Vec<_>>();
    let counts = report.counts.iter().filter(|count| count.tensors > 0).map(|count| (count.status, count.tensors));
    let chips = std::iter::once((None, total)).chain(counts.map(|(status, tensors)| (Some(status), tensors)));
    let chips = chips
        .map(|(of, tensors)| {
            let chosen = move || status.get() == of;
            let word = of.map_or("all", status_word);
            view! {
                <button
                    role="radio"
                    class="chip"
                    class:on=chosen
                    aria-checked=move || chosen().to_string()
                    title=of.map(words::meaning)
                    data-testid=format!("report-{word}")
                    on:click=move |_| status.set(of)
                >
                    {of.map_or("all", Status::name)}
                    " "
                    <span class="figure">{number::grouped(tensors)}</span>
                </button>
            }
        })
        .collect::<Vec<_>>();
    let shown = Memo::new({
        let report = report.clone();
        move |_| text.with(|text| words::filtered(&report, status.get(), text))
    });
    view! {
        <h2>"Load report"</h2>
        {inputs}
        <ul class="report-notes" data-testid="report-notes">{notes}</ul>
        <div class="row">
            <div class="chips" role="radiogroup" aria-label="Which tensors">{chips}</div>
            <label class="report-filter">
                <span class="unseen">"Filter by name or reason"</span>
                <input
                    type="text"
                    placeholder="name or reason"
                    spellcheck="false"
                    data-testid="report-filter"
                    on:input=move |event| text.set(event_target_value(&event))
                />
            </label>
            <span class="quiet figure" data-testid="report-shown">
                {move || format!("{} of {}", number::grouped(shown.with(Vec::len)), number::counted(total, "tensor"))}
            </span>
        </div>
        <p class="quiet">{move || status.get().map(words::meaning)}</p>
        <div class="scroll report-scroll" tabindex="0" role="region" aria-label="Tensors">
            <table class="report-table" data-testid="report-table">
                <thead>
                    <tr>
                        <th scope="col">"tensor"</th>
                        <th scope="col">"became"</th>
                        <th scope="col">"in the file"</th>
                        <th scope="col">"in the network"</th>
                        <th scope="col">"written as"</th>
                        <th scope="col">"why"</th>
                    </tr>
                </thead>
                <tbody>{move || shown.get().into_iter().map(row).collect_view()}</tbody>
            </table>
        </div>
    }
    .into_any()
}

fn row(tensor: TensorReport) -> AnyView {
    let kind = |kind: Option<TensorType>| kind.map(|kind| kind.name().to_uppercase()).unwrap_or_default();
    let found = tensor.found.as_deref().map(words::shape);
    let expected = tensor.expected.as_deref().map(words::shape).unwrap_or_default();
    // A name may be broken after its dots, so that a narrow window needs no scrolling sideways.
    let name = tensor.name.replace('.', ".\u{200b}");
    view! {
        <tr data-testid="report-row" data-value=tensor.name data-status=status_word(tensor.status)>
            <th scope="row" title=tensor.key>{name}</th>
            <td class="became">{tensor.status.name()}</td>
            <td class="figure">{found.map(|found| view! { {found} " " <span class="quiet">{kind(tensor.stored)}</span> })}</td>
            <td class="figure">{expected}</td>
            <td class="figure">{kind(tensor.written)}</td>
            <td class="quiet why">{tensor.reason}</td>
        </tr>
    }
    .into_any()
}
