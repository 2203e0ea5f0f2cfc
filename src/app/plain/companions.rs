//! Which dropped files belong together.

/// Groups names that belong together: an ENVI header (`a.hdr` or `a.img.hdr`) and its data (`a`, `a.img`, `a.dat` …).
pub fn companions(names: &[String]) -> Vec<Vec<usize>> {
    let lower: Vec<String> = names.iter().map(|name| name.to_ascii_lowercase()).collect();
    let mut taken = vec![false; names.len()];
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for (header, name) in lower.iter().enumerate() {
        let Some(stem) = name.strip_suffix(".hdr") else { continue };
        taken[header] = true;
        let data = (0..names.len()).find(|&other| {
            !taken[other]
                && !lower[other].ends_with(".hdr")
                && (lower[other] == stem || lower[other].rsplit_once('.').is_some_and(|(base, _)| base == stem))
        });
        if let Some(data) = data {
            taken[data] = true;
        }
        groups.push(data.into_iter().chain([header]).collect());
    }
    let lonely = (0..names.len()).filter(|&index| !taken[index]).collect::<Vec<_>>();
    // A header and a data file whose names differ still belong together when nothing else was given.
    if let ([only], [group]) = (lonely.as_slice(), groups.as_mut_slice())
        && group.len() == 1
    {
        group.insert(0, *only);
        return groups;
    }
    groups.extend(lonely.into_iter().map(|index| vec![index]));
    groups
}

#[cfg(test)]
mod tests {
    use super::companions;

    fn grouped(names: &[&str]) -> Vec<Vec<usize>> {
        companions(&names.iter().map(ToString::to_string).collect::<Vec<_>>())
    }

    #[test]
    fn header_and_data_belong_together_in_either_order() {
        assert_eq!(grouped(&["a.hdr", "a.img"]), [[1, 0]]);
        assert_eq!(grouped(&["A.dat", "a.hdr"]), [[0, 1]]);
        assert_eq!(grouped(&["a.img", "a.img.hdr"]), [[0, 1]]);
        assert_eq!(grouped(&["a", "a.hdr"]), [[0, 1]]);
        assert_eq!(grouped(&["other.bin", "a.hdr"]), [[0, 1]]);
    }

    #[test]
    fn unrelated_files_stay_apart() {
        assert_eq!(grouped(&["scene.mat", "gt.mat"]), [[0], [1]]);
        assert_eq!(grouped(&["scene.hdr", "gt.hdr", "gt.img", "scene.img"]), [[3, 0], [2, 1]]);
        assert_eq!(grouped(&["a.hdr", "a.img", "gt.mat"]), [vec![1, 0], vec![2]]);
    }
}
