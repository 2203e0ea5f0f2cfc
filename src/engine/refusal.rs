//! Answers that are a sentence.

use super::message::Failure;
use crate::scene::SceneError;

/// An answer that is a sentence.
pub(super) struct Refusal(pub Failure);

impl<E: std::fmt::Display> From<E> for Refusal {
    fn from(error: E) -> Self {
        Refusal(Failure { message: error.to_string(), choices: None })
    }
}

/// Scene errors may come with a choice, so they are not only a sentence.
pub(super) fn refuse_scene(error: SceneError) -> Refusal {
    let choices = match &error {
        SceneError::ChooseVariable { choices, .. } => Some(choices.clone()),
        _ => None,
    };
    Refusal(Failure { message: error.to_string(), choices })
}
