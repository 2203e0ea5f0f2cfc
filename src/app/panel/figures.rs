//! Accuracy: OA, AA, κ with mean and spread, and the table per class; seeds, split and device beside them.

use std::sync::Arc;

use leptos::prelude::*;

use super::cautions::{Cautions, too_few};
use super::model::size_name;
use crate::app::plain::number;
use crate::app::plain::palette;
use crate::app::state::{Run, Store};
use crate::labels::Accuracy;

/// The runs that the figures are of: the chosen one, or all.
pub fn shown_runs(store: Store) -> Vec<Arc<Run>> {
    let shown = store.shown_run.get();
    store.runs.with(|runs| match shown {
        Some(index) => runs.get(index).cloned().into_iter().collect(),
        None => runs.clone(),
    })
}

/// "81.3 ± 1.2" of fractions; the spread only where there are several.
fn spread(values: &[f64]) -> Option<(String, Option<String>)> {
    let (mean, deviation) = number::mean_and_deviation(values)?;
    Some((number::percent(mean), (values.len() > 1).then(|| format!("± {}", number::percent(deviation)))))
}

fn figures_of(runs: &[Arc<Run>], read: impl Fn(&Accuracy) -> Option<f64>) -> Vec<f64> {
    runs.iter().filter_map(|run| read(run.accuracy.as_ref()?)).collect()
}

#[component]
pub fn Figures(store: Store) -> impl IntoView {
    let figure = move |name: &'static str,
                       long: &'static str,
                       testid: &'static str,
                       unit: &'static str,
                       read: fn(&Accuracy) -> f64| {
        // A percentage of a few pixels would look like a result.
        let value =
            move || spread(&figures_of(&shown_runs(store), |accuracy| (!too_few(accuracy)).then(|| read(accuracy))));
        view! {
            <div class="big">
                <dt title=long>{name}</dt>
                <dd class="figure">
                    <b data-testid=format!("{testid}-value")>{move || value().map_or_else(|| "–".into(), |value| value.0)}</b>
                    <span class="unit">{unit}</span>
                    <span class="spread" data-testid=format!("{testid}-std")>{move || value().and_then(|value| value.1)}</span>
                </dd>
            </div>
        }
        .into_any()
    };
    let has_figures = move || shown_runs(store).iter().any(|run| run.accuracy.is_some());
    view! {
        <Show
            when=has_figures
            fallback=|| {
                view! {
                    <p class="quiet" data-testid="no-figures">
                        "There are no test pixels, so there are no accuracy figures: every labelled pixel was used for training."
                    </p>
                }
            }
        >
            <dl class="bigs">
                {figure("OA", "Overall accuracy: share of the test pixels that are right", "oa", " %", |a| a.overall)}
                {figure("AA", "Average accuracy: mean of the classes' producer's accuracies", "aa", " %", |a| a.average)}
                {figure("κ × 100", "Cohen's kappa, times 100", "kappa", "", |a| a.kappa)}
            </dl>
        </Show>
        <Cautions store />
        <p class="quiet figure provenance" data-testid="provenance">{move || provenance(&shown_runs(store))}</p>
    }
    .into_any()
}

/// What the figures are of: splits, seeds, test pixels, model, device, time.
pub fn provenance(runs: &[Arc<Run>]) -> String {
    let Some(first) = runs.first() else { return String::new() };
    let mut parts = Vec::new();
    if runs.len() == 1 {
        let split = if first.split.is_empty() { String::new() } else { format!("{}, ", first.split) };
        parts.push(format!("{split}training seed {}", first.seed));
    } else {
        let seeds = runs.iter().map(|run| run.seed.to_string()).collect::<Vec<_>>().join(", ");
        parts.push(format!("mean ± population standard deviation of {} runs, training seeds {seeds}", runs.len()));
        parts.push(format!("first split: {}", first.split));
    }
    if let Some(accuracy) = &first.accuracy {
        let pixels: u32 = accuracy.confusion.iter().flatten().sum();
        parts.push(format!("{} test pixels", number::grouped(pixels as usize)));
    }
    let seconds: f64 = runs.iter().map(|run| run.train_s + run.map_s).sum();
    parts.push(format!(
        "{}{}, {} components, {} in {}",
        size_name(first.config.size),
        first.start.as_ref().map(|start| format!(" ({start})")).unwrap_or_default(),
        first.config.components,
        first.device,
        number::clock(seconds)
    ));
    parts.join("; ")
}

/// Producer's and user's accuracy of each class.
#[component]
pub fn PerClass(store: Store) -> impl IntoView {
    let table = move || {
        let runs = shown_runs(store);
        let first = runs.iter().find(|run| run.accuracy.is_some())?.clone();
        let classes = store.map_classes.get();
        let rows = (0..first.accuracy.as_ref()?.confusion.len())
            .map(|index| {
                let class = classes.get(index).or_else(|| first.classes.get(index)).cloned();
                let cell = |read: fn(&Accuracy) -> &Vec<Option<f64>>| {
                    let values = figures_of(&runs, |accuracy| read(accuracy).get(index).copied().flatten());
                    let (mean, deviation) = spread(&values).unwrap_or_else(|| ("–".into(), None));
                    view! { {mean} <span class="spread">{deviation}</span> }
                };
                let pixels: u32 =
                    first.accuracy.as_ref().map_or(0, |a| a.confusion.get(index).map_or(0, |row| row.iter().sum()));
                view! {
                    <tr>
                        <th scope="row">
                            <span
                                class="swatch"
                                style:background=palette::hex(class.as_ref().map_or([128; 3], |class| class.color))
                            ></span>
                            {class.map(|class| class.name)}
                        </th>
                        <td data-testid=format!("class-{}-test", index + 1)>{number::grouped(pixels as usize)}</td>
                        <td data-testid=format!("class-{}-pa", index + 1)>{cell(|a| &a.producers)}</td>
                        <td data-testid=format!("class-{}-ua", index + 1)>{cell(|a| &a.users)}</td>
                    </tr>
                }
            })
            .collect_view();
        Some(view! {
            <table class="per-class figure" data-testid="per-class">
                <thead>
                    <tr>
                        <th scope="col">"class"</th>
                        <th scope="col" title="Test pixels of the class">"test px"</th>
                        <th scope="col" title="Producer's accuracy (recall): share of the class's pixels that are mapped as it">"PA %"</th>
                        <th scope="col" title="User's accuracy (precision): share of the pixels mapped as the class that are it">"UA %"</th>
                    </tr>
                </thead>
                <tbody>{rows}</tbody>
            </table>
        })
    };
    view! { {table} }.into_any()
}
