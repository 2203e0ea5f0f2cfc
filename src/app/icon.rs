//! Line icons, 20 × 20, in the colour of the text.

use leptos::prelude::*;

fn drawn(path: &'static str) -> AnyView {
    view! {
        <svg class="glyph" viewBox="0 0 20 20" width="20" height="20" aria-hidden="true" focusable="false">
            <path d=path></path>
        </svg>
    }
    .into_any()
}

pub fn plus() -> AnyView {
    drawn("M10 4.5v11M4.5 10h11")
}

pub fn minus() -> AnyView {
    drawn("M4.5 10h11")
}

pub fn fit() -> AnyView {
    drawn("M4 8V4h4M12 4h4v4M16 12v4h-4M8 16H4v-4")
}

pub fn look() -> AnyView {
    drawn("M10 3v4M10 13v4M3 10h4M13 10h4M10 9.6v.8")
}

pub fn brush() -> AnyView {
    drawn(
        "M16.5 3.5 9 11M7.2 11.2c2 0 2.8 1.6 2.3 3.1C8.9 16 6.5 16.8 3.5 16.5c1.4-1 1-2.3 1.4-3.5.3-1.1 1.2-1.8 2.3-1.8z",
    )
}

pub fn erase() -> AnyView {
    drawn("M11.5 4 16 8.5l-7.5 7.5H6L3.5 13.5a1 1 0 0 1 0-1.4zM8 8l4.5 4.5M8.5 16H17")
}

pub fn undo() -> AnyView {
    drawn("M7.5 4 4 7.5 7.5 11M4 7.5h7.5a4.25 4.25 0 0 1 0 8.5H8")
}

pub fn close() -> AnyView {
    drawn("M5 5l10 10M15 5 5 15")
}

pub fn pause() -> AnyView {
    drawn("M7.5 5v10M12.5 5v10")
}

pub fn play() -> AnyView {
    drawn("M7 4.8 15 10l-8 5.2z")
}

pub fn flag() -> AnyView {
    drawn("M5.5 17V3.5h9l-2.2 3.5 2.2 3.5h-9")
}

pub fn chevron() -> AnyView {
    drawn("M6 8l4 4 4-4")
}

pub fn half() -> AnyView {
    drawn("M10 3.5a6.5 6.5 0 1 0 0 13zM10 3.5a6.5 6.5 0 0 1 0 13")
}

pub fn swipe() -> AnyView {
    drawn("M10 3v14M7 7l-3 3 3 3M13 7l3 3-3 3")
}

pub fn done() -> AnyView {
    drawn("M5 10.5l3.5 3.5L15 6.5")
}

pub fn download() -> AnyView {
    drawn("M10 4v8.5M6.5 9.5 10 13l3.5-3.5M4.5 16h11")
}
