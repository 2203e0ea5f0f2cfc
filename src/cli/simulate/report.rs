//! Tables and curves from many runs.

use std::collections::BTreeMap;
use std::fmt::Write;

use plotters::prelude::*;
use serde::Serialize;

use super::connectivity::Connectivity;
use super::paired::sign_flip;
use super::plan::Method;
use super::rounds::Run;
use crate::labels::Spread;

/// All seeds of one method at one α.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    pub alpha: f64,
    pub method: String,
    /// After the last round, 0 to 1.
    pub overall: Spread,
    pub average: Spread,
    pub kappa: Spread,
    /// Against the same base without alignment, on the seeds that both have; `None` for the base itself.
    pub gain: Option<Gain>,
}

/// What alignment changes in overall accuracy.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Gain {
    /// Differences in points, by seed.
    pub points: Vec<f64>,
    pub mean: f64,
    /// Two-sided exact sign-flip test.
    pub p: Option<f64>,
}

/// One row for every α and method, in this order.
pub fn rows(runs: &[Run]) -> Vec<Row> {
    let mut groups: BTreeMap<(String, String), Vec<&Run>> = BTreeMap::new();
    for run in runs {
        groups.entry((format!("{:09.4}", run.plan.alpha), run.plan.method.name())).or_default().push(run);
    }
    let row = |((place, method), group): (&(String, String), &Vec<&Run>)| {
        let last = |figure: fn(&super::rounds::Round) -> f64| {
            Spread::of(&group.iter().filter_map(|run| run.last().map(figure)).collect::<Vec<_>>())
        };
        let first = group.first()?;
        let base = Method { lambda: 0.0, ..first.plan.method };
        let gain = groups.get(&(place.clone(), base.name())).filter(|_| first.plan.method.lambda > 0.0);
        Some(Row {
            alpha: first.plan.alpha,
            method: method.clone(),
            overall: last(|round| round.overall)?,
            average: last(|round| round.average)?,
            kappa: last(|round| round.kappa)?,
            gain: gain.and_then(|base| gain_over(base, group)),
        })
    };
    groups.iter().filter_map(row).collect()
}

fn gain_over(base: &[&Run], aligned: &[&Run]) -> Option<Gain> {
    let overall = |run: &Run| run.last().map(|round| (run.plan.seed, round.overall));
    let base: BTreeMap<u64, f64> = base.iter().filter_map(|run| overall(run)).collect();
    let points: Vec<f64> = aligned
        .iter()
        .filter_map(|run| overall(run))
        .filter_map(|(seed, with)| Some(100.0 * (with - base.get(&seed)?)))
        .collect();
    let mean = Spread::of(&points)?.mean;
    Some(Gain { p: sign_flip(&points), points, mean })
}

/// For people.
pub fn table(rows: &[Row]) -> String {
    let mut text = format!(
        "{:>6}  {:<36} {:>14} {:>14} {:>14} {:>22}\n",
        "α", "method", "OA %", "AA %", "κ × 100", "points of OA by WSA (p)"
    );
    let percent = |spread: &Spread| format!("{:.2} ± {:.2}", 100.0 * spread.mean, 100.0 * spread.std);
    for row in rows {
        let gain = row.gain.as_ref().map_or(String::new(), |gain| {
            let p = gain.p.map_or("-".into(), |p| format!("{p:.3}"));
            format!("{:+.2} ({p})", gain.mean)
        });
        let figures = [&row.overall, &row.average, &row.kappa].map(percent);
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{:>6}  {:<36} {:>14} {:>14} {:>14} {:>22}",
            row.alpha, row.method, figures[0], figures[1], figures[2], gain
        );
    }
    text
}

/// Overall accuracy over rounds as SVG: a panel for each α, a line for each method, the mean of its seeds with a band of a
/// standard deviation.
///
/// # Errors
/// What the drawing says, as a sentence.
pub fn curves(runs: &[Run]) -> Result<String, String> {
    let mut panels: BTreeMap<String, BTreeMap<String, Vec<&Run>>> = BTreeMap::new();
    for run in runs {
        let panel = panels.entry(format!("{:09.4}", run.plan.alpha)).or_default();
        panel.entry(run.plan.method.name()).or_default().push(run);
    }
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, (420 * panels.len().max(1) as u32, 360)).into_drawing_area();
        area.fill(&WHITE).map_err(|error| error.to_string())?;
        for (panel, methods) in area.split_evenly((1, panels.len().max(1))).iter().zip(panels.values()) {
            panel_of(panel, methods).map_err(|error| error.to_string())?;
        }
        area.present().map_err(|error| error.to_string())?;
    }
    Ok(svg)
}

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;

fn panel_of(area: &Area<'_>, methods: &BTreeMap<String, Vec<&Run>>) -> Result<(), Box<dyn std::error::Error>> {
    let all = || methods.values().flatten();
    let rounds = all().flat_map(|run| &run.rounds).map(|round| round.round).max().unwrap_or(1).max(1);
    let alpha = all().next().map_or(0.0, |run| run.plan.alpha);
    let mut chart = ChartBuilder::on(area)
        .caption(format!("α = {alpha}"), ("sans-serif", 16))
        .margin(12)
        .x_label_area_size(32)
        .y_label_area_size(52)
        .build_cartesian_2d(0f64..f64::from(rounds), 0f64..100f64)?;
    let whole = |value: &f64| format!("{value:.0}");
    let mut mesh = chart.configure_mesh();
    mesh.x_desc("round").y_desc("overall accuracy, %").x_label_formatter(&whole).y_label_formatter(&whole);
    mesh.light_line_style(TRANSPARENT).bold_line_style(BLACK.mix(0.1)).draw()?;
    for (index, (name, runs)) in methods.iter().enumerate() {
        let colour = Palette99::pick(index).to_rgba();
        let points: Vec<(f64, Spread)> = (0..=rounds)
            .filter_map(|round| {
                let values: Vec<f64> = runs
                    .iter()
                    .filter_map(|run| run.rounds.iter().find(|own| own.round == round))
                    .map(|own| 100.0 * own.overall)
                    .collect();
                Some((f64::from(round), Spread::of(&values)?))
            })
            .collect();
        let upper = points.iter().map(|(at, spread)| (*at, spread.mean + spread.std));
        let lower = points.iter().rev().map(|(at, spread)| (*at, spread.mean - spread.std));
        chart.draw_series([Polygon::new(upper.chain(lower).collect::<Vec<_>>(), colour.mix(0.12).filled())])?;
        chart
            .draw_series(LineSeries::new(points.iter().map(|(at, spread)| (*at, spread.mean)), colour.stroke_width(2)))?
            .label(name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], colour.stroke_width(2)));
    }
    let mut legend = chart.configure_series_labels();
    legend
        .position(SeriesLabelPosition::LowerRight)
        .background_style(WHITE.mix(0.85))
        .border_style(BLACK.mix(0.2))
        .draw()?;
    Ok(())
}

/// What lies between models, for people; empty without any.
pub fn barriers(found: &[Connectivity]) -> String {
    let mut groups: BTreeMap<String, Vec<&Connectivity>> = BTreeMap::new();
    for one in found {
        groups.entry(one.plan.method.name()).or_default().push(one);
    }
    let mut text = String::new();
    for (name, group) in groups {
        let spread = |figure: &dyn Fn(&Connectivity) -> f64| {
            Spread::of(&group.iter().map(|one| figure(one)).collect::<Vec<_>>())
        };
        let merged = |one: &Connectivity| one.merged.last().map_or(f64::NAN, |point| 100.0 * point.overall);
        let (Some(barrier), Some(all)) = (spread(&|one| one.barrier), spread(&merged)) else { continue };
        let _ = writeln!(
            text,
            "{name:<36} barrier {:.3} ± {:.3}, mean of all models OA {:.2} ± {:.2} %",
            barrier.mean, barrier.std, all.mean, all.std
        );
    }
    text
}
