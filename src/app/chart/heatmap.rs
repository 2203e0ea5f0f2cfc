//! The confusion matrix as a heat map: rows are the truth, columns the map; the shade is the share of the row.

use leptos::prelude::*;

use crate::app::plain::number;
use crate::app::plain::palette;
use crate::labels::Class;

/// How large the cells are, in CSS pixels, and whether names stand beside the numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Look {
    pub cell: f64,
    pub names: bool,
}

/// Shade 0..=100 of a cell.
fn shade(count: u32, row_sum: u32) -> f64 {
    if row_sum == 0 { 0.0 } else { 100.0 * f64::from(count) / f64::from(row_sum) }
}

#[component]
pub fn Heatmap(confusion: Vec<Vec<u32>>, classes: Vec<Class>, look: Look, testid: &'static str) -> impl IntoView {
    let count = confusion.len();
    let Look { cell, names } = look;
    let left = if names { 190.0 } else { 26.0 };
    let top = 26.0;
    let right = 10.0;
    let width = left + cell * count as f64 + right;
    let height = top + cell * count as f64 + 8.0;
    let numbers = cell >= 26.0;
    let name = move |classes: &[Class], index: usize| {
        classes.get(index).map_or_else(|| format!("class {}", index + 1), |class| class.name.clone())
    };
    let cells = confusion
        .iter()
        .enumerate()
        .flat_map(|(truth, row)| {
            let sum: u32 = row.iter().sum();
            let classes = &classes;
            row.iter().enumerate().map(move |(mapped, &pixels)| {
                let (x, y) = (left + cell * mapped as f64, top + cell * truth as f64);
                let shade = shade(pixels, sum);
                let told = format!(
                    "{}, mapped as {}: {} of {} pixels ({shade:.1} %)",
                    name(classes, truth),
                    name(classes, mapped),
                    number::grouped(pixels as usize),
                    number::grouped(sum as usize)
                );
                let kind = if truth == mapped { "cell right" } else { "cell wrong" };
                view! {
                    <g class=kind class:strong={shade >= 55.0} style:--shade=format!("{:.1}%", if pixels == 0 { 0.0 } else { shade.max(4.0) })>
                        <rect x=x y=y width=cell - 1.0 height=cell - 1.0>
                            <title>{told}</title>
                        </rect>
                        {(numbers && pixels > 0)
                            .then(|| {
                                view! {
                                    <text x=x + cell / 2.0 - 0.5 y=y + cell / 2.0 + 3.5 text-anchor="middle">
                                        {pixels.to_string()}
                                    </text>
                                }
                            })}
                    </g>
                }
            })
        })
        .collect_view();
    let heads = (0..count)
        .map(|index| {
            let at = cell * index as f64 + cell / 2.0;
            let color = classes.get(index).map_or_else(String::new, |class| palette::hex(class.color));
            let text = if names { format!("{} {}", index + 1, name(&classes, index)) } else { (index + 1).to_string() };
            view! {
                <g class="head">
                    <rect x=left - 8.0 y=top + at - 4.0 width="4" height="8" fill=color.clone()></rect>
                    <text x=left - 12.0 y=top + at + 3.5 text-anchor="end">{text}</text>
                    <rect x=left + at - 4.0 y=top - 7.0 width="8" height="4" fill=color></rect>
                    <text x=left + at y=top - 11.0 text-anchor="middle">{(index + 1).to_string()}</text>
                </g>
            }
        })
        .collect_view();
    view! {
        <svg
            class="heatmap"
            viewBox=format!("0 0 {width} {height}")
            style:width=format!("{width}px")
            data-testid=testid
            role="img"
            aria-label="Confusion matrix: rows are the truth, columns the map"
        >
            {heads}
            {cells}
        </svg>
    }
    .into_any()
}

#[cfg(test)]
mod tests {
    use super::shade;

    #[test]
    fn the_shade_is_the_share_of_the_row() {
        assert_eq!(shade(5, 20), 25.0);
        assert_eq!(shade(0, 0), 0.0);
    }
}
