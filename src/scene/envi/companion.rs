//! Which data file belongs to which header, by their names.

/// Extensions of ENVI data files, most usual first; the empty one is ENVI's own default. A header may also stand beside a
/// TIFF image.
const DATA_EXTENSIONS: [&str; 12] = ["img", "dat", "raw", "bil", "bsq", "bip", "", "bin", "cube", "sli", "tif", "tiff"];

fn split(name: &str) -> (&str, &str) {
    name.rsplit_once('.').unwrap_or((name, ""))
}

fn is_header_name(name: &str) -> bool {
    split(name).1.eq_ignore_ascii_case("hdr")
}

/// How well a data file's name fits a header's: smaller is better, `None` not at all.
fn rank(header: &str, data: &str) -> Option<usize> {
    if !is_header_name(header) || is_header_name(data) {
        return None;
    }
    let stem = split(header).0.to_lowercase();
    let data = data.to_lowercase();
    // x.dat.hdr + x.dat, and x.hdr + x.
    if data == stem {
        return Some(0);
    }
    let (data_stem, extension) = split(&data);
    if data_stem != stem {
        return None;
    }
    DATA_EXTENSIONS.iter().position(|&known| known == extension).map(|position| position + 1)
}

fn best<'a>(ranks: impl Iterator<Item = (usize, Option<usize>)> + 'a) -> Option<usize> {
    ranks.filter_map(|(index, rank)| Some((rank?, index))).min().map(|(_, index)| index)
}

/// The index of the data file that belongs to `header`.
pub(crate) fn find_data(header: &str, names: &[&str]) -> Option<usize> {
    best(names.iter().enumerate().map(|(index, data)| (index, rank(header, data))))
}

/// The index of the header that belongs to `data`.
#[cfg(not(target_arch = "wasm32"))]
pub(crate) fn find_header(data: &str, names: &[&str]) -> Option<usize> {
    best(names.iter().enumerate().map(|(index, header)| (index, rank(header, data))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_conventions() {
        let names = ["y.img", "x.txt", "x.hdr", "X.IMG", "x.dat", "x"];
        assert_eq!(find_data("x.hdr", &names), Some(5));
        assert_eq!(find_data("x.hdr", &names[..5]), Some(3));
        assert_eq!(find_data("x.dat.hdr", &names), Some(4));
        assert_eq!(find_data("z.hdr", &names), None);
        assert_eq!(find_data("x.hdr", &["y.tif", "x.tif"]), Some(1));
        assert_eq!(find_data("x.hdr", &["x.tif", "x.dat"]), Some(1));
        assert_eq!(find_data("x.tif.hdr", &["x.dat", "x.TIF"]), Some(1));
        assert_eq!(find_header("x.dat", &["y.hdr", "x.HDR", "x.dat.hdr"]), Some(2));
        assert_eq!(find_header("x.dat", &["y.hdr", "x.HDR"]), Some(1));
    }
}
