//! What defaulting itself has to say.

use super::{LATER, Rule};
use crate::review::Kind;

pub(crate) static REPLACED: Rule = Rule {
    id: "IS-D04",
    title: "model dropped",
    scope: &[Kind::InferenceService],
    doc: "A predictor has `model` or one framework's block, not both.",
    why: "Defaulting turns the block into `model`; what `model` said before is lost, and validation cannot see it \
          any more. A manifest with a block alone may be applied again and again: what was made of it is replaced \
          without a word.",
    fix: "Keep `model` and remove the framework's block.",
    ..LATER
};
