//! What the figures rest on, where that is little.

use leptos::prelude::*;

use super::figures::shown_runs;
use crate::app::plain::number;
use crate::app::state::Store;
use crate::labels::{Accuracy, FEW};

/// Test pixels of all classes.
fn tested(accuracy: &Accuracy) -> u64 {
    accuracy.pixels()
}

/// Whether so few pixels were tested that percentages would say nothing.
pub fn too_few(accuracy: &Accuracy) -> bool {
    tested(accuracy) < FEW as u64
}

/// Sentences on the shown runs.
fn cautions(store: Store) -> Vec<String> {
    let runs = shown_runs(store);
    let measured = || runs.iter().filter_map(|run| run.accuracy.as_ref());
    let mut cautions = Vec::new();
    if let Some(accuracy) = measured().find(|accuracy| too_few(accuracy)) {
        let pixels = number::counted(tested(accuracy) as usize, "test pixel");
        cautions.push(format!("Only {pixels}: too few for figures; label more pixels."));
    } else if measured().next().is_some() {
        let classes = measured().map(|accuracy| accuracy.confusion.len()).max().unwrap_or(0);
        let pixels = |class: usize| {
            measured().filter_map(|a| a.confusion.get(class)).map(|row| row.iter().sum::<u32>()).min().unwrap_or(0)
        };
        let few = (0..classes).filter(|&class| (1..FEW as u32).contains(&pixels(class))).count();
        if few > 0 {
            cautions.push(format!("AA rests on {few} of {classes} classes with fewer than {FEW} test pixels each."));
        }
    }
    if measured().next().is_some() && runs.iter().any(|run| run.split.starts_with("random")) {
        cautions.push(
            "The split is random: test pixels lie beside training pixels in the same fields, so other fields will be mapped less well."
                .into(),
        );
    }
    cautions
}

#[component]
pub fn Cautions(store: Store) -> impl IntoView {
    view! {
        {move || {
            cautions(store)
                .into_iter()
                .map(|sentence| view! { <p class="quiet" data-testid="caution">{sentence}</p> })
                .collect_view()
        }}
    }
    .into_any()
}
