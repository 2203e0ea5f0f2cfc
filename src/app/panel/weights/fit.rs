//! Whether this device can carry the weights, and what would fit instead.

use leptos::prelude::*;

use crate::app::plain::sentence::sentence;
use crate::engine::message::{Fit, FitVerdict};

fn verdict_word(verdict: FitVerdict) -> &'static str {
    match verdict {
        FitVerdict::Fits => "fits",
        FitVerdict::Uncertain => "uncertain",
        FitVerdict::TooLarge => "too-large",
    }
}

/// The verdict with its bytes, and what would fit.
#[component]
pub fn FitNote(fit: Fit) -> impl IntoView {
    let suggestions = fit.suggestions.into_iter().map(|suggestion| {
        view! { <li data-testid="weights-suggestion">{sentence(&suggestion.sentence)}</li> }
    });
    let suggestions = suggestions.collect::<Vec<_>>();
    view! {
        <div class="fit" data-verdict=verdict_word(fit.verdict)>
            <p class="figure" data-testid="weights-fit" data-value=verdict_word(fit.verdict)>{sentence(&fit.sentence)}</p>
            {(!suggestions.is_empty()).then(|| view! { <p>"This would fit:"</p><ul>{suggestions}</ul> })}
        </div>
    }
    .into_any()
}
