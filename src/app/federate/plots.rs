//! Accuracy over rounds, the scopes of one layer, and how far all layers were from their targets.

use leptos::prelude::*;

use crate::app::plain::axis::{Axis, extent, path};
use crate::app::plain::federate::{LayerScopes, divergences, layer_name, scopes};
use crate::app::plain::number;
use crate::app::state::Store;
use crate::scope::Target;

const WIDTH: f64 = 420.0;
const HEIGHT: f64 = 200.0;
const LEFT: f64 = 46.0;
const RIGHT: f64 = 410.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 160.0;
/// Points of a Gaussian.
const POINTS: usize = 96;

/// The common model's accuracy on everybody's held-out pixels, as (round, mean, deviation); the band is one standard deviation
/// between clients.
#[component]
pub fn Accuracy(#[prop(into)] points: Signal<Vec<(u32, f64, f64)>>, testid: &'static str) -> impl IntoView {
    let drawing = move || {
        let points = points.get();
        let (last, low) = (points.last()?.0, points.iter().map(|point| point.1 - point.2).fold(1.0, f64::min));
        let x = Axis::new(0.0, f64::from(last.max(1)), LEFT, RIGHT);
        let y = Axis::new((low * 10.0).floor().max(0.0) / 10.0, 1.0, BOTTOM, TOP);
        let at = |share: f64| y.place(share.clamp(y.from, 1.0));
        let above = points.iter().map(|&(round, mean, deviation)| (x.place(f64::from(round)), at(mean + deviation)));
        let below =
            points.iter().rev().map(|&(round, mean, deviation)| (x.place(f64::from(round)), at(mean - deviation)));
        let band = path(above.chain(below));
        let line = path(points.iter().map(|&(round, mean, _)| (x.place(f64::from(round)), at(mean))));
        let dots = points
            .iter()
            .map(|&(round, mean, deviation)| {
                let told = format!("after round {round}: {} % ± {}", number::percent(mean), number::percent(deviation));
                view! { <circle class="accuracy" cx=x.place(f64::from(round)) cy=at(mean) r="2.5"><title>{told}</title></circle> }
            })
            .collect_view();
        Some(view! {
            <Axes x y whole=true x_title="after round" y_title="OA (%)" show=|tick| format!("{:.0}", 100.0 * tick) />
            <g class="lines">
                <path class="spread" d=format!("{band}Z")></path>
                <path class="accuracy" d=line></path>
                {dots}
            </g>
        })
    };
    let latest = move || {
        points.with(|points| {
            points.last().map(|&(round, mean, deviation)| {
                format!("{} % ± {} after round {round}", number::percent(mean), number::percent(deviation))
            })
        })
    };
    view! {
        <section class="plot" aria-label="Accuracy over rounds">
            <h2>"The common model"</h2>
            <svg
                viewBox=format!("0 0 {WIDTH} {HEIGHT}")
                data-testid=testid
                role="img"
                aria-label="Overall accuracy of the common model after each round"
            >
                {drawing}
            </svg>
            <p class="quiet figure" data-testid=format!("{testid}-value")>
                {move || latest().unwrap_or_else(|| "no figures yet".into())}
            </p>
        </section>
    }
    .into_any()
}

#[component]
fn Axes(
    x: Axis,
    y: Axis,
    /// There is nothing between two whole numbers.
    whole: bool,
    x_title: &'static str,
    y_title: &'static str,
    show: fn(f64) -> String,
) -> impl IntoView {
    let middle = (TOP + BOTTOM) / 2.0;
    view! {
        <g class="axes">
            <line x1=LEFT x2=RIGHT y1=BOTTOM y2=BOTTOM></line>
            {y
                .ticks(3)
                .into_iter()
                .map(|tick| {
                    let at = y.place(tick);
                    view! {
                        <line class="grid" x1=LEFT x2=RIGHT y1=at y2=at></line>
                        <text x=LEFT - 6.0 y=at + 3.5 text-anchor="end">{show(tick)}</text>
                    }
                })
                .collect_view()}
            {x
                .ticks(5)
                .into_iter()
                .filter(|tick| !whole || tick.fract().abs() < 1e-9)
                .map(|tick| {
                    let at = x.place(tick);
                    view! {
                        <line x1=at x2=at y1=BOTTOM y2=BOTTOM + 4.0></line>
                        <text x=at y=BOTTOM + 16.0 text-anchor="middle">{number::short(tick)}</text>
                    }
                })
                .collect_view()}
            <text class="title" x=(LEFT + RIGHT) / 2.0 y=BOTTOM + 33.0 text-anchor="middle">{x_title}</text>
            <text class="title" x="12" y=middle text-anchor="middle" transform=format!("rotate(-90 12 {middle})")>{y_title}</text>
        </g>
    }
    .into_any()
}

/// The density of N(μ, σ²); a constant layer has none.
fn density(scope: Target, at: f64) -> f64 {
    let z = (at - scope.mean) / scope.deviation;
    (-0.5 * z * z).exp() / (scope.deviation * (2.0 * std::f64::consts::PI).sqrt())
}

/// The Gaussians of one layer: one's own after training, the target of the round, the fused one that is the next target.
#[component]
pub fn Scopes(store: Store) -> impl IntoView {
    let part = store.federate;
    let layers =
        move || part.rounds.with(|rounds| rounds.as_ref().map(|rounds| rounds.layers.clone()).unwrap_or_default());
    let layer = move || part.layer.get().or_else(|| layers().into_iter().next());
    let last =
        move || part.rounds.with(|rounds| rounds.as_ref().and_then(|rounds| rounds.own.keys().next_back().copied()));
    let round = move || part.round.get().or_else(last);
    let found = move || -> Option<LayerScopes> {
        let (layer, round) = (layer()?, round()?);
        part.rounds.with(|rounds| rounds.as_ref().map(|rounds| scopes(rounds, &layer, round)))
    };
    let drawing = move || {
        let LayerScopes { own, target, fused } = found()?;
        let shown: Vec<(&'static str, Target)> = [("fused", fused), ("target", target), ("own", own)]
            .into_iter()
            .filter_map(|(name, scope)| Some((name, scope.filter(|scope| scope.deviation > 0.0)?)))
            .collect();
        let ends = shown
            .iter()
            .flat_map(|(_, scope)| [scope.mean - 3.5 * scope.deviation, scope.mean + 3.5 * scope.deviation]);
        let (from, to) = extent(ends)?;
        let x = Axis::new(from, to, LEFT, RIGHT);
        let highest = shown.iter().map(|(_, scope)| density(*scope, scope.mean)).fold(0.0, f64::max);
        let y = Axis::new(0.0, highest * 1.05, BOTTOM, TOP);
        let curve = |scope: Target| {
            let place = |point: usize| from + (to - from) * point as f64 / POINTS as f64;
            path((0..=POINTS).map(|point| (x.place(place(point)), y.place(density(scope, place(point))))))
        };
        let curves =
            shown.iter().map(|(name, scope)| view! { <path class=*name d=curve(*scope)></path> }).collect_view();
        Some(view! {
            <Axes x y whole=false x_title="weight" y_title="density" show=number::short />
            <g class="lines scopes">{curves}</g>
        })
    };
    let told = move || {
        let LayerScopes { own, target, .. } = found()?;
        let words = |scope: Target| format!("μ {} σ {}", number::short(scope.mean), number::short(scope.deviation));
        let kl = own.zip(target).map(|(own, target)| format!("KL {}", number::short(crate::scope::kl(own, target))));
        Some(
            [
                own.map(|own| format!("own {}", words(own))),
                target.map(|target| format!("target {}", words(target))),
                kl,
            ]
            .into_iter()
            .flatten()
            .collect::<Vec<_>>()
            .join(" · "),
        )
    };
    view! {
        <section class="plot" aria-label="Weight scopes">
            <h2>"Weight scopes"</h2>
            <div class="row">
                <select
                    data-testid="federate-layer"
                    aria-label="Layer"
                    on:change=move |event| part.layer.set(Some(event_target_value(&event)))
                >
                    {move || {
                        let chosen = layer();
                        layers()
                            .into_iter()
                            .map(|name| view! { <option value=name.clone() selected={chosen.as_ref() == Some(&name)}>{name.clone()}</option> })
                            .collect_view()
                    }}
                </select>
                <span class="quiet figure">{move || round().map(|round| format!("round {round}"))}</span>
            </div>
            <svg
                viewBox=format!("0 0 {WIDTH} {HEIGHT}")
                data-testid="federate-scopes"
                role="img"
                aria-label="Distribution of the weights of one layer: own, target, fused"
            >
                {drawing}
            </svg>
            <ul class="keys scope-keys">
                <li class="own">"own"</li>
                <li class="target">"target"</li>
                <li class="fused">"fused"</li>
            </ul>
            <p class="quiet figure" data-testid="federate-scope-value">{move || told().unwrap_or_else(|| "after the first round".into())}</p>
        </section>
    }
    .into_any()
}

/// KL of the own scopes to their targets: a row a layer, a column a round; the shade is its logarithm.
#[component]
pub fn Divergence(store: Store) -> impl IntoView {
    const ROW: f64 = 9.0;
    const NAMES: f64 = 190.0;
    let part = store.federate;
    let drawing = move || {
        let rows = part.rounds.with(|rounds| rounds.as_ref().map(|rounds| divergences(rounds))).unwrap_or_default();
        let columns = rows.first()?.1.len();
        let range = extent(rows.iter().flat_map(|row| row.1.iter().flatten().map(|kl| kl.max(1e-9).log10())));
        let (low, high) = range?;
        let width = ((WIDTH - NAMES - 8.0) / columns as f64).min(28.0);
        let height = ROW * rows.len() as f64 + 22.0;
        let cells = rows
            .into_iter()
            .enumerate()
            .map(|(row, (name, cells))| {
                let y = ROW * row as f64;
                let cells = cells
                    .into_iter()
                    .enumerate()
                    .filter_map(|(column, kl)| {
                        let kl = kl?;
                        let shade = if high > low { (kl.max(1e-9).log10() - low) / (high - low) } else { 0.5 };
                        let (round, layer) = (column as u32 + 1, name.clone());
                        let told = format!("{name}, round {round}: KL {}", number::short(kl));
                        Some(view! {
                            <rect
                                x=NAMES + width * column as f64
                                y=y
                                width=width - 1.0
                                height=ROW - 1.0
                                style:--shade=format!("{:.1}%", 6.0 + 94.0 * shade)
                                on:click=move |_| {
                                    part.layer.set(Some(layer.clone()));
                                    part.round.set(Some(round));
                                }
                            >
                                <title>{told}</title>
                            </rect>
                        })
                    })
                    .collect_view();
                view! {
                    <text x=NAMES - 6.0 y=y + ROW - 2.0 text-anchor="end">{layer_name(&name)}</text>
                    {cells}
                }
            })
            .collect_view();
        Some(view! {
            <svg class="divergence" viewBox=format!("0 0 {WIDTH} {height}") data-testid="federate-divergence" role="img" aria-label="Divergence of every layer from its target, round by round">
                {cells}
                <text x=NAMES + width * columns as f64 / 2.0 y=height - 6.0 text-anchor="middle">"round"</text>
            </svg>
            <p class="quiet figure">{format!("KL from {} (light) to {} (dark), logarithmic; press a cell to see its layer", number::short(10f64.powf(low)), number::short(10f64.powf(high)))}</p>
        })
    };
    view! {
        <section class="plot wide-plot" aria-label="Divergence from the targets">
            <h2>"How far each layer is from its target"</h2>
            {move || match drawing() {
                Some(drawn) => drawn.into_any(),
                None => view! { <p class="quiet">"After the first round."</p> }.into_any(),
            }}
        </section>
    }
    .into_any()
}
