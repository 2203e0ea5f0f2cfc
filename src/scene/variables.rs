//! Which array of a file with several is the scene.

use super::{SceneError, Variable};

/// Chooses among the numeric arrays of a file and returns the index of the chosen one.
///
/// A name given by the user wins. Otherwise the only 3-D array, otherwise the only 2-D array that is not a vector.
///
/// # Errors
/// [`SceneError::ChooseVariable`] when several could be meant; [`SceneError::Unsupported`] when none could, or when the
/// named one is not there. `others` says what else the file holds ("a struct `S`").
pub(crate) fn choose(
    name: &str,
    variables: &[Variable],
    wanted: Option<&str>,
    others: &[String],
) -> Result<usize, SceneError> {
    if let Some(wanted) = wanted {
        return variables.iter().position(|variable| variable.name == wanted).ok_or_else(|| {
            let names: Vec<&str> = variables.iter().map(|variable| variable.name.as_str()).collect();
            let held = if names.is_empty() { "no numeric arrays".to_owned() } else { names.join(", ") };
            SceneError::unsupported(name, format!("there is no array named {wanted}; it holds {held}"))
        });
    }
    let spatial = |variable: &Variable| variable.shape.iter().filter(|&&n| n > 1).count() >= 2;
    let candidates = |dims: usize| -> Vec<usize> {
        let of_dims = |&i: &usize| variables[i].shape.len() == dims && spatial(&variables[i]);
        (0..variables.len()).filter(of_dims).collect()
    };
    // A 3-D array of one pixel is still a scene when nothing else is there.
    let any_3d = || (0..variables.len()).filter(|&i| variables[i].shape.len() == 3).collect::<Vec<_>>();
    for found in [candidates(3), candidates(2), any_3d()] {
        match found[..] {
            [] => {}
            [only] => return Ok(only),
            _ => {
                let choices = found.iter().map(|&i| variables[i].clone()).collect();
                return Err(SceneError::ChooseVariable { name: name.to_owned(), choices });
            }
        }
    }
    let held: Vec<String> = variables
        .iter()
        .map(|variable| format!("{} ({})", variable.name, shape_text(&variable.shape)))
        .chain(others.iter().cloned())
        .collect();
    let held = if held.is_empty() { "nothing".to_owned() } else { held.join(", ") };
    Err(SceneError::unsupported(
        name,
        format!("there is no 2-D or 3-D numeric array to open; it holds {held}. Save the cube as an array of its own"),
    ))
}

/// `17 × 13 × 200`.
pub(crate) fn shape_text<N: ToString>(shape: &[N]) -> String {
    if shape.is_empty() {
        return "a single number".to_owned();
    }
    shape.iter().map(N::to_string).collect::<Vec<_>>().join(" × ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variable(name: &str, shape: &[usize]) -> Variable {
        Variable { name: name.to_owned(), shape: shape.to_vec(), dtype: "u16".to_owned() }
    }

    #[test]
    fn one_cube_wins_then_one_map_and_otherwise_the_user_decides() {
        let cube = variable("cube", &[5, 4, 3]);
        let map = variable("gt", &[5, 4]);
        let line = variable("wavelength", &[1, 3]);
        assert_eq!(choose("f", &[map.clone(), cube.clone(), line.clone()], None, &[]), Ok(1));
        assert_eq!(choose("f", &[line.clone(), map.clone()], None, &[]), Ok(1));
        assert_eq!(choose("f", &[line.clone(), map.clone()], Some("wavelength"), &[]), Ok(0));
        let two = choose("f", &[cube.clone(), variable("b", &[5, 4, 9]), map], None, &[]);
        assert!(matches!(two, Err(SceneError::ChooseVariable { choices, .. }) if choices.len() == 2));
        let none = choose("f", &[line], None, &["a struct S".to_owned()]);
        assert!(matches!(none, Err(SceneError::Unsupported { what, .. }) if what.contains("a struct S")));
    }
}
