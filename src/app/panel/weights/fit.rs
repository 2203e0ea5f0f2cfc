//! Whether this device can carry the weights, and what would fit instead.

use leptos::prelude::*;

use crate::app::plain::number;
use crate::engine::message::{Fit, FitVerdict};

pub fn verdict_word(verdict: FitVerdict) -> &'static str {
    match verdict {
        FitVerdict::Fits => "fits",
        FitVerdict::Uncertain => "uncertain",
        FitVerdict::TooLarge => "too-large",
    }
}

/// The sentence, coloured by the verdict; the bytes by what they are for; what would fit.
#[component]
pub fn FitNote(fit: Fit) -> impl IntoView {
    let parts = [("weights", fit.needs.weights), ("a tile", fit.needs.activations), ("training", fit.needs.training)];
    let parts = parts.into_iter().filter(|(_, bytes)| *bytes > 0);
    let bytes = parts.map(|(what, bytes)| format!("{what} {}", number::bytes(bytes))).collect::<Vec<_>>().join(" · ");
    let suggestions = fit.suggestions.into_iter().map(|suggestion| {
        view! { <li data-testid="weights-suggestion">{suggestion.sentence}</li> }
    });
    let suggestions = suggestions.collect::<Vec<_>>();
    view! {
        <div class="fit" data-verdict=verdict_word(fit.verdict)>
            <p data-testid="weights-fit" data-value=verdict_word(fit.verdict)>{fit.sentence}</p>
            <p class="quiet figure">{bytes}</p>
            {(!suggestions.is_empty()).then(|| view! { <p>"This would fit:"</p><ul>{suggestions}</ul> })}
        </div>
    }
    .into_any()
}
