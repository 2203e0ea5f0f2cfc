//! What becomes of each code of a label file: a class, unlabelled, or no data. What the file says decides; where it is silent
//! the usual meaning is taken and called a guess; the user can choose otherwise.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::{Deserialize, Serialize};

use super::ground_truth::GroundTruthError;
use crate::scene::{SampleType, SceneInfo};

/// Class numbers are bytes and 0 means unlabelled.
pub const MOST_CLASSES: usize = 255;
/// More different numbers than this are measurements, not class numbers.
pub const MOST_CODES: usize = 1024;
/// Larger whole numbers are not exact as `f64`.
const LARGEST: f64 = 9_007_199_254_740_992.0;

/// What a code becomes in the label map.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Becomes {
    /// This class number, from 1.
    Class(u8),
    Unlabelled,
    /// Unlabelled, because the file declares the code as no data.
    NoData,
}

/// Why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reason {
    /// A number above 0 is a class.
    Number,
    Declared,
    NotANumber,
    Zero,
    /// The file's name for the code says so.
    Named,
    /// 0 is a class, because another code is declared as no data.
    ZeroBesideNoData,
    /// A negative number that programs use to fill.
    Fill,
    /// The largest number of its type, far above the other codes.
    Highest,
    Chosen,
}

impl Reason {
    /// Whether the file may mean something else.
    pub fn is_guess(self) -> bool {
        matches!(self, Self::ZeroBesideNoData | Self::Fill | Self::Highest)
    }

    /// For people.
    pub fn words(self) -> &'static str {
        match self {
            Self::Number => "a class number",
            Self::Declared => "the file declares it as no data",
            Self::NotANumber => "not a number",
            Self::Zero => "0 means unlabelled",
            Self::Named => "by its name in the file",
            Self::ZeroBesideNoData => "a guess: the file declares another code as no data, so 0 is a class",
            Self::Fill => "a guess: negative numbers are no class numbers",
            Self::Highest => "a guess: it lies far above the other codes and is usual for pixels to be ignored",
            Self::Chosen => "chosen by the user",
        }
    }
}

/// One code of a label file.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct CodeUse {
    /// As stored: a whole number, NaN, or whatever is declared as no data.
    pub code: f64,
    pub pixels: u64,
    pub becomes: Becomes,
    pub reason: Reason,
}

/// What the user says about codes, against the file and the usual meaning.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct CodeChoices {
    pub unlabelled: Vec<f64>,
    pub classes: Vec<f64>,
}

impl CodeChoices {
    pub(super) fn is_unlabelled(&self, code: f64) -> bool {
        self.unlabelled.iter().any(|&chosen| same(chosen, code))
    }

    fn is_class(&self, code: f64) -> bool {
        self.classes.iter().any(|&chosen| same(chosen, code))
    }

    /// Sets what one code becomes.
    pub fn choose(&mut self, code: f64, class: bool) {
        self.unlabelled.retain(|&chosen| !same(chosen, code));
        self.classes.retain(|&chosen| !same(chosen, code));
        if class { self.classes.push(code) } else { self.unlabelled.push(code) }
    }
}

/// A code for people: `255`, `-1`, `NaN`.
pub fn code_text(code: f64) -> String {
    if code.abs() <= LARGEST { format!("{code}") } else { format!("{code:e}") }
}

/// Equal as codes: NaN is one code, and a no-data value in decimals means the nearest number of the file's type.
fn same(a: f64, b: f64) -> bool {
    a == b || (a.is_nan() && b.is_nan()) || (a.abs() > LARGEST && a as f32 == b as f32)
}

/// Whether the file declares the code as no data.
fn is_declared(info: &SceneInfo, code: f64) -> bool {
    info.nodata.is_some_and(|nodata| same(nodata, code) || nodata as f32 == code as f32 && code.fract() != 0.0)
}

/// Counts the codes of a file as they come.
pub(super) struct Codes<'a> {
    info: &'a SceneInfo,
    choices: &'a CodeChoices,
    counts: HashMap<u64, u64>,
}

/// What stands for a code in tables: one NaN, one zero.
fn key(code: f64) -> u64 {
    if code.is_nan() { f64::NAN.to_bits() } else { (code + 0.0).to_bits() }
}

impl<'a> Codes<'a> {
    pub fn new(info: &'a SceneInfo, choices: &'a CodeChoices) -> Self {
        Self { info, choices, counts: HashMap::new() }
    }

    /// Counts one value; false when it can be no code at all.
    ///
    /// # Errors
    /// [`GroundTruthError::TooManyCodes`].
    pub fn add(&mut self, value: f64) -> Result<bool, GroundTruthError> {
        let usable = |value: f64| {
            value.is_nan()
                || is_declared(self.info, value)
                || self.choices.is_unlabelled(value)
                || (value.fract() == 0.0
                    && value.abs() <= LARGEST
                    && (value >= 0.0 || is_fill(value, self.info.dtype) || self.choices.is_class(value)))
        };
        if let Some(count) = self.counts.get_mut(&key(value)) {
            *count += 1;
        } else if !usable(value) {
            return Ok(false);
        } else if self.counts.len() == MOST_CODES {
            return Err(GroundTruthError::TooManyCodes { name: self.info.name.clone() });
        } else {
            self.counts.insert(key(value), 1);
        }
        Ok(true)
    }

    /// Decides what becomes of every code.
    ///
    /// # Errors
    /// The choices contradict each other, nothing is labelled, or there are too many classes.
    pub fn decide(self) -> Result<Decided, GroundTruthError> {
        let Self { info, choices, counts } = self;
        let name = || info.name.clone();
        if let Some(&code) = choices.classes.iter().find(|&&code| code.is_nan() || choices.is_unlabelled(code)) {
            return Err(GroundTruthError::Choice { code: code_text(code) });
        }
        let mut found: Vec<(f64, u64)> = counts.into_iter().map(|(bits, n)| (f64::from_bits(bits), n)).collect();
        found.sort_by(|a, b| a.0.total_cmp(&b.0));
        let all: Vec<f64> = found.iter().map(|&(code, _)| code).collect();
        let fates: Vec<(bool, Reason)> = all.iter().map(|&code| fate(code, &all, info, choices)).collect();
        let classes = || all.iter().zip(&fates).filter(|(_, fate)| fate.0).map(|(&code, _)| code);
        let used: BTreeSet<i64> = classes().map(|code| code as i64).collect();
        if used.is_empty() {
            return Err(GroundTruthError::Empty { name: name() });
        }
        if used.len() > MOST_CLASSES {
            return Err(GroundTruthError::TooManyClasses { name: name(), classes: used.len() });
        }
        let left_out: BTreeSet<i64> = all.iter().zip(&fates).filter(|(_, f)| !f.0).map(|(&c, _)| c as i64).collect();
        let table = Table::of(used, left_out, info);
        let codes = found.iter().zip(fates).map(|(&(code, pixels), (class, reason))| {
            let becomes = match table.number(code).filter(|_| class) {
                Some(number) => Becomes::Class(number),
                None if reason == Reason::Declared => Becomes::NoData,
                None => Becomes::Unlabelled,
            };
            CodeUse { code, pixels, becomes, reason }
        });
        let codes: Vec<CodeUse> = codes.collect();
        let mut unused: Vec<f64> = choices.unlabelled.iter().chain(&choices.classes).copied().collect();
        unused.retain(|&chosen| !all.iter().any(|&code| same(chosen, code)));
        Ok(Decided { codes, table, unused })
    }
}

/// The outcome for a whole file.
pub(super) struct Decided {
    /// By rising code; NaN comes last.
    pub codes: Vec<CodeUse>,
    pub table: Table,
    /// Codes that were chosen and do not occur.
    pub unused: Vec<f64>,
}

impl Decided {
    /// The class number of each code, for [`number_of`].
    pub fn numbers(&self) -> HashMap<u64, u8> {
        let number = |used: &CodeUse| match used.becomes {
            Becomes::Class(number) => number,
            Becomes::Unlabelled | Becomes::NoData => 0,
        };
        self.codes.iter().map(|used| (key(used.code), number(used))).collect()
    }
}

impl Decided {
    /// What is guessed, in sentences.
    pub fn notes(&self, info: &SceneInfo) -> Vec<String> {
        let mut notes = Vec::new();
        for CodeUse { code, pixels, becomes, reason } in &self.codes {
            if reason.is_guess() {
                let code = code_text(*code);
                let what = if matches!(becomes, Becomes::Class(_)) { "a class" } else { "unlabelled" };
                notes.push(format!("code {code} ({pixels} pixels) is taken for {what}; {}", reason.words()));
            } else if (*code, *reason) == (0.0, Reason::Zero)
                && let Some(name) = name_of(info, 0.0)
            {
                notes.push(format!("code 0 is called \"{name}\" in the file, but 0 means unlabelled; a guess"));
            }
        }
        if self.table.by_rank {
            let count = self.table.codes.len();
            notes.push(format!(
                "the codes do not count from 1 to {count}; classes are numbered in the order of their codes"
            ));
        }
        for &code in &self.unused {
            notes.push(format!("code {} was chosen but does not occur", code_text(code)));
        }
        notes
    }
}

/// The class number of a stored value, 0 for what is no class.
pub(super) fn number_of(numbers: &HashMap<u64, u8>, value: f64) -> u8 {
    numbers.get(&key(value)).copied().unwrap_or(0)
}

/// Which codes are classes, in the order of their numbers.
pub(super) struct Table {
    /// The code of class 1, 2, …
    pub codes: Vec<i64>,
    places: BTreeMap<i64, u8>,
    /// Whether numbers differ from codes.
    pub by_rank: bool,
}

impl Table {
    /// Codes stay class numbers where they run from 1 without large gaps: at least half of the numbers up to the highest
    /// are used or named, and none was taken out. Otherwise classes are numbered by rank.
    fn of(used: BTreeSet<i64>, left_out: BTreeSet<i64>, info: &SceneInfo) -> Self {
        let first = i64::from(!used.contains(&0));
        let names = info.class_names.as_deref().unwrap_or_default();
        let named = (0i64..)
            .zip(names)
            .filter(|(code, name)| *code >= first && !name.trim().is_empty() && !left_out.contains(code));
        let mut table: BTreeSet<i64> = used.iter().copied().chain(named.map(|(code, _)| code)).collect();
        if table.len() > MOST_CLASSES {
            table = used;
        }
        let highest = table.last().copied().unwrap_or(0);
        let keeps = first == 1
            && table.first().is_some_and(|&lowest| lowest > 0)
            && highest <= MOST_CLASSES as i64
            && 2 * table.len() as i64 >= highest
            && left_out.range(1..=highest).next().is_none();
        if keeps {
            table = (1..=highest).collect();
        }
        let codes: Vec<i64> = table.into_iter().collect();
        let places = codes.iter().copied().zip(1..=u8::MAX).collect();
        Self { codes, places, by_rank: !keeps }
    }

    fn number(&self, code: f64) -> Option<u8> {
        (code.fract() == 0.0).then(|| self.places.get(&(code as i64)).copied())?
    }
}

/// Whether a code is a class, and why.
fn fate(code: f64, all: &[f64], info: &SceneInfo, choices: &CodeChoices) -> (bool, Reason) {
    let name = name_of(info, code);
    if choices.is_unlabelled(code) {
        (false, Reason::Chosen)
    } else if choices.is_class(code) {
        (true, Reason::Chosen)
    } else if is_declared(info, code) {
        (false, Reason::Declared)
    } else if code.is_nan() {
        (false, Reason::NotANumber)
    } else if name.is_some_and(means_unlabelled) {
        (false, Reason::Named)
    } else if code == 0.0 {
        let beside = info.nodata.is_some_and(|nodata| nodata != 0.0);
        if beside { (true, Reason::ZeroBesideNoData) } else { (false, Reason::Zero) }
    } else if code < 0.0 {
        (false, Reason::Fill)
    } else if name.is_none() && is_ignored(code, all, info) {
        (false, Reason::Highest)
    } else {
        (true, Reason::Number)
    }
}

fn name_of(info: &SceneInfo, code: f64) -> Option<&str> {
    let names = info.class_names.as_ref()?;
    (code >= 0.0 && code.fract() == 0.0)
        .then(|| names.get(code as usize).map(|name| name.trim()))?
        .filter(|n| !n.is_empty())
}

/// Names of what is no class. ENVI writes "Unclassified" for 0.
fn means_unlabelled(name: &str) -> bool {
    let letters: String = name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect();
    matches!(
        letters.as_str(),
        "unclassified"
            | "unlabelled"
            | "unlabeled"
            | "nolabel"
            | "nodata"
            | "novalue"
            | "ignore"
            | "ignored"
            | "masked"
            | "undefined"
            | "noclass"
    )
}

/// Negative numbers that programs write for "nothing here"; any other negative number means that the file holds no classes.
fn is_fill(code: f64, dtype: SampleType) -> bool {
    let lowest = match dtype {
        SampleType::I8 => f64::from(i8::MIN),
        SampleType::I16 => f64::from(i16::MIN),
        _ => f64::from(i32::MIN),
    };
    [-1.0, -9.0, -99.0, -128.0, -999.0, -9999.0, -32768.0, -99999.0, lowest].contains(&code)
}

/// The largest numbers of the types.
const USUAL: [f64; 5] = [255.0, 32_767.0, 65_535.0, 2_147_483_647.0, 4_294_967_295.0];

/// 255 and the like, beside a few other codes that run from 1 almost without gaps and end well below it.
fn is_ignored(code: f64, all: &[f64], info: &SceneInfo) -> bool {
    let usual = USUAL.contains(&code) || (info.dtype == SampleType::I8 && code == 127.0);
    let others = || all.iter().copied().filter(|&other| other > 0.0 && other != code && !USUAL.contains(&other));
    let highest = others().fold(0.0, f64::max);
    usual && highest > 0.0 && highest + 1.0 < code && 2.0 * others().count() as f64 >= highest
}

#[cfg(test)]
mod tests;
