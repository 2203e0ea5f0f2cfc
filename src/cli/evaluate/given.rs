//! The scene and the ground truth that `sigmascope evaluate` is given, and what is worth saying about them.

use serde::Serialize;
use serde_json::Value;

use super::super::terminal::say;
use super::{EvaluateArgs, EvaluateError};
use crate::labels::{Becomes, CodeChoices, CodeUse, Imported, LabelMap, code_text, import_labels};
use crate::scene::{Cube, OpenOptions, open_path};

/// One code of the ground truth, as `--json` prints it.
#[derive(Debug, Clone, Serialize)]
pub struct Code {
    /// A number, or "NaN".
    pub code: Value,
    pub pixels: u64,
    /// "class", "unlabelled" or "no data".
    pub becomes: &'static str,
    /// Number and name of the class.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class: Option<(u8, String)>,
    pub reason: &'static str,
    pub guess: bool,
}

pub(super) struct Given {
    pub cube: Box<dyn Cube>,
    pub labels: LabelMap,
    pub codes: Vec<Code>,
    /// Those of the scene, then those of the ground truth, each with its file's name before it.
    pub notes: Vec<String>,
}

/// Opens both, checks that they fit, and says their notes and what became of the codes.
pub(super) fn open(args: &EvaluateArgs) -> Result<Given, EvaluateError> {
    let options = |variable: &Option<String>| OpenOptions { variable: variable.clone(), ..OpenOptions::default() };
    let cube = open_path(&args.scene, args.data.as_deref(), &options(&args.variable))?;
    let truth = open_path(&args.labels, None, &options(&args.labels_variable))?;
    let choices = CodeChoices { unlabelled: args.unlabelled.clone(), classes: args.class_codes.clone() };
    let Imported { map: labels, codes, notes: of_labels } = import_labels(truth.as_ref(), &choices)?;
    labels.check_fits(cube.info().rows, cube.info().cols)?;
    let named =
        |name: &str, notes: &[String]| -> Vec<String> { notes.iter().map(|note| format!("{name}: {note}")).collect() };
    let mut notes = named(&cube.info().name, &cube.info().notes);
    notes.extend(named(&truth.info().name, &of_labels));
    for note in &notes {
        say(note);
    }
    let codes: Vec<Code> = codes.iter().map(|used| of_use(used, &labels)).collect();
    for Code { code, pixels, becomes, class, reason, .. } in &codes {
        let code = code.as_str().map_or_else(|| code.to_string(), str::to_owned);
        let becomes = match class {
            Some((number, name)) => format!("class {number}, {name}"),
            None => format!("{becomes} ({reason})"),
        };
        say(&format!("{}: code {code}, {pixels} pixels: {becomes}", truth.info().name));
    }
    Ok(Given { cube, labels, codes, notes })
}

fn of_use(used: &CodeUse, labels: &LabelMap) -> Code {
    let (becomes, class) = match used.becomes {
        Becomes::Class(number) => {
            let name = labels.classes.get(usize::from(number) - 1).map(|class| class.name.clone());
            ("class", Some((number, name.unwrap_or_default())))
        }
        Becomes::Unlabelled => ("unlabelled", None),
        Becomes::NoData => ("no data", None),
    };
    let text = code_text(used.code);
    let code = serde_json::from_str::<Value>(&text).unwrap_or(Value::String(text));
    let reason = used.reason;
    Code { code, pixels: used.pixels, becomes, class, reason: reason.words(), guess: reason.is_guess() }
}
