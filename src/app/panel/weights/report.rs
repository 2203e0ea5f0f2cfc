//! The load report: a calm line of counts, and behind it every tensor.

use std::sync::Arc;

use leptos::prelude::*;

use crate::app::dialog::Dialog;
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

/// Which tensors the user looks at; it stays when another report arrives.
#[derive(Clone, Copy)]
struct Filter {
    status: RwSignal<Option<Status>>,
    text: RwSignal<String>,
}

#[component]
fn ReportDialog(report: Signal<Option<Arc<LoadReport>>>, open: RwSignal<bool>) -> impl IntoView {
    let filter = Filter { status: RwSignal::new(None), text: RwSignal::new(String::new()) };
    let close = move |()| {
        open.set(false);
        filter.status.set(None);
        filter.text.set(String::new());
    };
    view! {
        <Dialog
            open
            close=Callback::new(close)
            class="dialog wide-dialog report"
            testid="report-dialog"
            label="Load report"
            button_id="report-close"
        >
            // A thousand rows are made only when they are looked at.
            <div class="report-body">
                <Show when=move || open.get()>
                    <h2>"Load report"</h2>
                    {move || report.with(|report| report.as_deref().map(heading))}
                    <Chosen report filter />
                    <Tensors report filter />
                </Show>
            </div>
        </Dialog>
    }
    .into_any()
}

/// What was read, and what is to be known of it.
fn heading(report: &LoadReport) -> AnyView {
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
    view! {
        {inputs}
        <ul class="report-notes" data-testid="report-notes">{notes}</ul>
    }
    .into_any()
}

/// How many tensors a report has of a status, or in all.
fn count(report: Signal<Option<Arc<LoadReport>>>, of: Option<Status>) -> usize {
    report.with(|report| {
        let Some(report) = report else { return 0 };
        match of {
            None => report.tensors.len(),
            Some(status) => {
                report.counts.iter().filter(|count| count.status == status).map(|count| count.tensors).sum()
            }
        }
    })
}

/// A chip for each status that there is, and a field for names.
#[component]
fn Chosen(report: Signal<Option<Arc<LoadReport>>>, filter: Filter) -> impl IntoView {
    let chips = std::iter::once(None).chain(Status::ALL.map(Some)).map(|of| {
        let chosen = move || filter.status.get() == of;
        let word = of.map_or("all", status_word);
        view! {
            // The one that was chosen stays, so that it can be seen and left.
            <Show when=move || of.is_none() || chosen() || count(report, of) != 0>
                <button
                    role="radio"
                    class="chip"
                    class:on=chosen
                    aria-checked=move || chosen().to_string()
                    title=of.map(words::meaning)
                    data-testid=format!("report-{word}")
                    on:click=move |_| filter.status.set(of)
                >
                    {of.map_or("all", Status::name)}
                    " "
                    <span class="figure">{move || number::grouped(count(report, of))}</span>
                </button>
            </Show>
        }
    });
    let chips = chips.collect::<Vec<_>>();
    view! {
        <div class="row">
            <div class="chips" role="radiogroup" aria-label="Which tensors">{chips}</div>
            <label class="report-filter">
                <span class="unseen">"Filter by name or reason"</span>
                <input
                    type="text"
                    placeholder="name or reason"
                    spellcheck="false"
                    data-testid="report-filter"
                    prop:value=move || filter.text.get()
                    on:input=move |event| filter.text.set(event_target_value(&event))
                />
            </label>
        </div>
    }
    .into_any()
}

#[component]
fn Tensors(report: Signal<Option<Arc<LoadReport>>>, filter: Filter) -> impl IntoView {
    let Filter { status, text } = filter;
    let shown = Memo::new(move |_| {
        report.with(|report| {
            let Some(report) = report else { return Vec::new() };
            text.with(|text| words::filtered(report, status.get(), text))
        })
    });
    let total = move || number::counted(count(report, None), "tensor");
    view! {
        <p class="quiet report-meaning">
            <span class="figure" data-testid="report-shown">
                {move || format!("{} of {}", number::grouped(shown.with(Vec::len)), total())}
            </span>
            {move || status.get().map(|status| format!(": {}", words::meaning(status)))}
        </p>
        <div class="scroll report-scroll" tabindex="0" role="region" aria-label="Tensors">
            <Show when=move || shown.with(Vec::is_empty)>
                <p class="quiet report-none">"No tensor has all of these words in its name or its reason."</p>
            </Show>
            <table class="report-table" hidden=move || shown.with(Vec::is_empty) data-testid="report-table">
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
