//! Labels and label selectors.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// An interned word: a label key, a label value, a name.
pub type Word = Arc<str>;

/// The labels of a pod, a namespace or a node.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Labels(pub BTreeMap<Word, Word>);

/// A label selector: every requirement must hold, so one without requirements matches everything.
///
/// `matchLabels` and `matchExpressions` of the API both become requirements; sorted and without repeats, so that
/// selectors that read the same are equal.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Selector {
    requirements: BTreeSet<Requirement>,
}

/// One condition of a [`Selector`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Requirement {
    /// The key is there and its value is one of these; never empty.
    In(Word, BTreeSet<Word>),
    /// The key is missing, or its value is none of these; never empty.
    NotIn(Word, BTreeSet<Word>),
    /// The key is there.
    Exists(Word),
    /// The key is missing.
    DoesNotExist(Word),
}

impl<K: Into<Word>, V: Into<Word>> FromIterator<(K, V)> for Labels {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(labels: I) -> Self {
        Self(labels.into_iter().map(|(key, value)| (key.into(), value.into())).collect())
    }
}

impl Labels {
    /// The value of a key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Word> {
        self.0.get(key)
    }
}

impl FromIterator<Requirement> for Selector {
    fn from_iter<I: IntoIterator<Item = Requirement>>(requirements: I) -> Self {
        Self { requirements: requirements.into_iter().collect() }
    }
}

impl Selector {
    /// The selector that matches everything.
    #[must_use]
    pub const fn everything() -> Self {
        Self { requirements: BTreeSet::new() }
    }

    /// The selector of one key and value.
    #[must_use]
    pub fn label(key: impl Into<Word>, value: impl Into<Word>) -> Self {
        [Requirement::In(key.into(), BTreeSet::from([value.into()]))].into_iter().collect()
    }

    /// Whether it matches everything.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        self.requirements.is_empty()
    }

    /// The requirements, sorted.
    pub fn requirements(&self) -> impl Iterator<Item = &Requirement> + '_ {
        self.requirements.iter()
    }

    /// Whether the labels satisfy every requirement.
    #[must_use]
    pub fn matches(&self, labels: &Labels) -> bool {
        self.requirements.iter().all(|requirement| requirement.holds(labels))
    }
}

impl Requirement {
    /// The label key that it looks at.
    #[must_use]
    pub const fn key(&self) -> &Word {
        match self {
            Self::In(key, _)
            | Self::NotIn(key, _)
            | Self::Exists(key)
            | Self::DoesNotExist(key) => key,
        }
    }

    /// Whether the labels satisfy it (`LabelSelectorRequirement` of apimachinery).
    #[must_use]
    pub fn holds(&self, labels: &Labels) -> bool {
        match self {
            Self::In(key, values) => labels.get(key).is_some_and(|value| values.contains(value)),
            Self::NotIn(key, values) => {
                !labels.get(key).is_some_and(|value| values.contains(value))
            }
            Self::Exists(key) => labels.get(key).is_some(),
            Self::DoesNotExist(key) => labels.get(key).is_none(),
        }
    }
}
