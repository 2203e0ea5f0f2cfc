//! Figures for people: short, and with a real minus sign.

/// About four significant digits: "0.1234", "12.34", "4317", "1.2e6".
pub fn short(value: f64) -> String {
    if !value.is_finite() {
        return "no data".into();
    }
    let size = value.abs();
    let text = if size == 0.0 {
        "0".into()
    } else if !(1e-3..1e6).contains(&size) {
        format!("{value:.2e}")
    } else if size >= 1000.0 {
        format!("{value:.0}")
    } else if size >= 100.0 {
        trimmed(format!("{value:.1}"))
    } else if size >= 10.0 {
        trimmed(format!("{value:.2}"))
    } else if size >= 1.0 {
        trimmed(format!("{value:.3}"))
    } else {
        trimmed(format!("{value:.4}"))
    };
    text.replace('-', "−")
}

fn trimmed(text: String) -> String {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// "1:12" or "1:02:03".
pub fn clock(seconds: f64) -> String {
    let seconds = seconds.max(0.0).round() as u64;
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 0 { format!("{hours}:{minutes:02}:{seconds:02}") } else { format!("{minutes}:{seconds:02}") }
}

/// A fraction as percent with one digit, without the sign.
pub fn percent(fraction: f64) -> String {
    format!("{:.1}", 100.0 * fraction)
}

/// "12 345".
pub fn grouped(count: usize) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

/// "1 split", "5 splits".
pub fn counted(count: usize, what: &str) -> String {
    format!("{} {what}{}", grouped(count), if count == 1 { "" } else { "s" })
}

/// "6.2 MB".
pub fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

/// "812 B", "19 kB", "6.2 MB", "1.31 GB": three digits at most, in powers of ten as disks and networks count.
pub fn bytes(bytes: u64) -> String {
    let size = bytes as f64;
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..999_500 => format!("{:.0} kB", size / 1e3),
        999_500..99_950_000 => format!("{:.1} MB", size / 1e6),
        99_950_000..999_500_000 => format!("{:.0} MB", size / 1e6),
        _ => format!("{:.2} GB", size / 1e9),
    }
}

/// "6.2 MiB", "1.3 GiB": in powers of two, as memory is counted.
pub fn memory(bytes: u64) -> String {
    let size = bytes as f64 / f64::from(1 << 20);
    match size {
        ..9.95 => format!("{size:.1} MiB"),
        ..1000.0 => format!("{size:.0} MiB"),
        _ => format!("{:.1} GiB", size / 1024.0),
    }
}

/// "194 million", "2.3 million", "1.31 billion"; small counts as they are.
pub fn rounded(count: u64) -> String {
    let size = count as f64;
    match count {
        0..10_000 => grouped(count as usize),
        10_000..999_500 => format!("{:.0} thousand", size / 1e3),
        999_500..9_950_000 => format!("{:.1} million", size / 1e6),
        9_950_000..999_500_000 => format!("{:.0} million", size / 1e6),
        _ => format!("{:.2} billion", size / 1e9),
    }
}

/// Mean and population standard deviation.
pub fn mean_and_deviation(values: &[f64]) -> Option<(f64, f64)> {
    if values.is_empty() {
        return None;
    }
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count;
    Some((mean, variance.sqrt()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_short() {
        assert_eq!(short(0.123_46), "0.1235");
        assert_eq!(short(-12.5), "−12.5");
        assert_eq!(short(4317.4), "4317");
        assert_eq!(short(100.0), "100");
        assert_eq!(short(1_250_000.0), "1.25e6");
        assert_eq!(short(f64::NAN), "no data");
    }

    #[test]
    fn times_and_counts_read_well() {
        assert_eq!(clock(72.4), "1:12");
        assert_eq!(clock(3723.0), "1:02:03");
        assert_eq!(clock(-1.0), "0:00");
        assert_eq!(grouped(21025), "21\u{202f}025");
        assert_eq!(grouped(999), "999");
        assert_eq!((counted(1, "split").as_str(), counted(5, "split").as_str()), ("1 split", "5 splits"));
        assert_eq!(percent(0.8126), "81.3");
    }

    #[test]
    fn bytes_and_parameters_have_three_digits() {
        let read = |list: &[u64]| list.iter().map(|&count| bytes(count)).collect::<Vec<_>>().join(", ");
        let sizes = [999, 1_000, 18_500, 999_499, 999_500, 6_240_000, 99_960_000, 525_664_000, 1_308_881_006];
        assert_eq!(read(&sizes), "999 B, 1 kB, 18 kB, 999 kB, 1.0 MB, 6.2 MB, 100 MB, 526 MB, 1.31 GB");
        assert_eq!([1 << 20, 82_000_000, 1 << 30].map(memory), ["1.0 MiB", "78 MiB", "1.0 GiB"]);
        assert_eq!(rounded(2_304_512), "2.3 million");
        assert_eq!(rounded(193_747_054), "194 million");
        assert_eq!(rounded(1_308_881_006), "1.31 billion");
        assert_eq!((rounded(9_999).as_str(), rounded(60_000).as_str()), ("9\u{202f}999", "60 thousand"));
    }

    #[test]
    fn the_spread_is_of_the_population() {
        let (mean, deviation) = mean_and_deviation(&[1.0, 3.0]).unwrap();
        assert_eq!((mean, deviation), (2.0, 1.0));
        assert_eq!(mean_and_deviation(&[]), None);
    }
}
