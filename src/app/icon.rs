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
    drawn("M16.5 3.5 9 11M7.2 11.2c2 0 2.8 1.600 2.300 3.100C8.900 16 6.500 16.800 3.500 16.500c1.400-1 1-2.300 1.400-3.500.3-1.100 1.200-1.800 2.300-1.800z")
}

pub fn erase() -> AnyView {
    drawn("M11.5 4 16 8.500l-7.500 7.500H6L3.500 13.500a1 1 0 0 1 0-1.400zM8 8l4.500 4.500M8.500 16H17")
}

pub fn undo() -> AnyView {
    drawn("M7.500 4 4 7.500 7.500 11M4 7.500h7.500a4.250 4.250 0 0 1 0 8.500H8")
}

pub fn close() -> AnyView {
    drawn("M5 5l10 10M15 5 5 15")
}

pub fn pause() -> AnyView {
    drawn("M7.500 5v10M12.500 5v10")
}

pub fn play() -> AnyView {
    drawn("M7 4.800 15 10l-8 5.200z")
}

pub fn flag() -> AnyView {
    drawn("M5.500 17V3.500h9l-2.200 3.500 2.200 3.500h-9")
}

pub fn chevron() -> AnyView {
    drawn("M6 8l4 4 4-4")
}

pub fn half() -> AnyView {
    drawn("M10 3.500a6.500 6.500 0 1 0 0 13zM10 3.500a6.500 6.500 0 0 1 0 13")
}

pub fn swipe() -> AnyView {
    drawn("M10 3v14M7 7l-3 3 3 3M13 7l3 3-3 3")
}

pub fn done() -> AnyView {
    drawn("M5 10.500l3.500 3.500L15 6.500")
}

pub fn download() -> AnyView {
    drawn("M10 4v8.500M6.500 9.500 10 13l3.500-3.500M4.500 16h11")
}
