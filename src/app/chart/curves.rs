//! Training curves: loss and validation accuracy against the epoch, live. Earlier runs stay as thin lines.

use leptos::prelude::*;

use crate::app::plain::axis::{Axis, extent, path};
use crate::app::plain::number;
use crate::app::state::{CurvePoint, Store};

const WIDTH: f64 = 360.0;
const HEIGHT: f64 = 232.0;
const LEFT: f64 = 46.0;
const RIGHT: f64 = 352.0;
/// Upper and lower edge of the two plots.
const LOSS: (f64, f64) = (12.0, 92.0);
const ACCURACY: (f64, f64) = (112.0, 192.0);

type Read = fn(&CurvePoint) -> Option<f64>;

fn loss(point: &CurvePoint) -> Option<f64> {
    Some(f64::from(point.loss))
}

fn val_loss(point: &CurvePoint) -> Option<f64> {
    point.val_loss.map(f64::from)
}

fn accuracy(point: &CurvePoint) -> Option<f64> {
    point.val_accuracy.map(f64::from)
}

/// The line of a figure through the epochs that have it.
fn line(curve: &[CurvePoint], read: Read, x: &Axis, y: &Axis) -> String {
    path(curve.iter().filter_map(|point| Some((x.place(point.epoch as f64), y.place(read(point)?)))))
}

fn lines(curves: &[Vec<CurvePoint>], read: Read, class: &'static str, x: &Axis, y: &Axis) -> AnyView {
    let last = curves.len().saturating_sub(1);
    curves
        .iter()
        .enumerate()
        .map(|(run, curve)| {
            let d = line(curve, read, x, y);
            view! { <path class=class class:former={run < last} d=d></path> }
        })
        .collect_view()
        .into_any()
}

fn dots(curve: &[CurvePoint], x: &Axis, y: &Axis) -> AnyView {
    curve
        .iter()
        .filter_map(|point| Some((x.place(point.epoch as f64), y.place(accuracy(point)?))))
        .map(|(cx, cy)| view! { <circle class="accuracy" cx=cx cy=cy r="2"></circle> })
        .collect_view()
        .into_any()
}

fn y_axis(axis: Axis, (top, bottom): (f64, f64), title: &'static str, show: fn(f64) -> String) -> AnyView {
    view! {
        <line x1=LEFT x2=RIGHT y1=bottom y2=bottom></line>
        {axis
            .ticks(3)
            .into_iter()
            .map(|tick| {
                let y = axis.place(tick);
                view! {
                    <line class="grid" x1=LEFT x2=RIGHT y1=y y2=y></line>
                    <text x=LEFT - 6.0 y=y + 3.5 text-anchor="end">{show(tick)}</text>
                }
            })
            .collect_view()}
        <text
            class="title"
            x="12"
            y=(top + bottom) / 2.0
            text-anchor="middle"
            transform=format!("rotate(-90 12 {})", (top + bottom) / 2.0)
        >
            {title}
        </text>
    }
    .into_any()
}

/// "0.0123 at epoch 60" of the last run.
fn latest(store: Store) -> Option<(String, Option<String>)> {
    store.curves.with(|curves| {
        let curve = curves.last()?;
        let point = curve.last()?;
        let accuracy = curve.iter().rev().find_map(|point| {
            Some(format!("{} % at epoch {}", number::percent(f64::from(point.val_accuracy?)), point.epoch))
        });
        Some((format!("{} at epoch {}", number::short(f64::from(point.loss)), point.epoch), accuracy))
    })
}

#[component]
pub fn Curves(store: Store) -> impl IntoView {
    let has_curves = move || store.curves.with(|curves| curves.iter().any(|curve| !curve.is_empty()));
    let drawing = move || {
        let curves = store.curves.get();
        let points = || curves.iter().flatten();
        let last_epoch = points().map(|point| point.epoch).max()?;
        let planned = store.config.with(|config| config.epochs);
        let x = Axis::new(0.0, last_epoch.max(planned) as f64, LEFT, RIGHT);
        let (_, high) = extent(points().filter_map(loss).chain(points().filter_map(val_loss)))?;
        let y_loss = Axis::new(0.0, high * 1.05, LOSS.1, LOSS.0);
        // Accuracy starts at the lowest that occurred, rounded down to tens: small gains stay visible.
        let low = extent(points().filter_map(accuracy)).map_or(0.0, |(low, _)| (low * 10.0).floor() / 10.0);
        let y_accuracy = Axis::new(low.min(0.9), 1.0, ACCURACY.1, ACCURACY.0);
        let has_validation = points().any(|point| point.val_accuracy.is_some());
        Some(view! {
            <g class="axes">
                {y_axis(y_loss, LOSS, "loss", number::short)}
                {y_axis(y_accuracy, ACCURACY, "val. OA (%)", |tick| format!("{:.0}", 100.0 * tick))}
                {x
                    .ticks(5)
                    .into_iter()
                    .map(|tick| {
                        let at = x.place(tick);
                        view! {
                            <line x1=at x2=at y1=LOSS.1 y2=LOSS.1 + 3.0></line>
                            <line x1=at x2=at y1=ACCURACY.1 y2=ACCURACY.1 + 4.0></line>
                            <text x=at y=ACCURACY.1 + 15.0 text-anchor="middle">{number::short(tick)}</text>
                        }
                    })
                    .collect_view()}
                <text class="title" x=(LEFT + RIGHT) / 2.0 y=ACCURACY.1 + 32.0 text-anchor="middle">"epoch"</text>
                {(!has_validation)
                    .then(|| {
                        view! {
                            <text x=(LEFT + RIGHT) / 2.0 y=(ACCURACY.0 + ACCURACY.1) / 2.0 text-anchor="middle">
                                "no validation yet"
                            </text>
                        }
                    })}
            </g>
            <g class="lines">
                {lines(&curves, val_loss, "val-loss", &x, &y_loss)}
                {lines(&curves, loss, "loss", &x, &y_loss)}
                {lines(&curves, accuracy, "accuracy", &x, &y_accuracy)}
                {curves.last().map(|curve| dots(curve, &x, &y_accuracy))}
            </g>
        })
    };
    view! {
        <Show when=has_curves>
            <section class="plot" aria-label="Training">
                <h2>"Training"</h2>
                <svg
                    viewBox=format!("0 0 {WIDTH} {HEIGHT}")
                    data-testid="curves-plot"
                    role="img"
                    aria-label="Loss and validation accuracy against the epoch"
                >
                    {drawing}
                </svg>
                <ul class="keys">
                    <li class="loss">
                        "loss "
                        <span class="figure" data-testid="loss-value">{move || latest(store).map(|latest| latest.0)}</span>
                    </li>
                    <li class="val-loss">"validation loss"</li>
                    <li class="accuracy">
                        "validation OA "
                        <span class="figure" data-testid="val-oa-value">{move || latest(store).and_then(|latest| latest.1)}</span>
                    </li>
                </ul>
            </section>
        </Show>
    }
    .into_any()
}
