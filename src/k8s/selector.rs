//! Label selectors and labels (apimachinery `LabelSelector`, `labels.NewRequirement`).

use std::collections::BTreeSet;

use moat_core::finding::Reason;
use moat_core::policy::{Labels, Requirement, Selector, Word};

use crate::reader::{Node, Reader};

impl Reader {
    /// A label selector. In a custom resource the API server stores invalid ones, so everything is checked here.
    pub(crate) fn selector(&mut self, at: &Node<'_>) -> Selector {
        let mark = self.mark();
        self.fields(at, &["matchLabels", "matchExpressions"]);
        let mut requirements = Vec::new();
        if let Some(labels) = at.get("matchLabels") {
            for (key, value) in self.labels(&labels).0 {
                requirements.push(Requirement::In(key, BTreeSet::from([value])));
            }
        }
        if let Some(expressions) = at.get("matchExpressions") {
            for expression in self.list(&expressions) {
                requirements.extend(self.requirement(&expression));
            }
        }
        self.rename_invalid(mark, Reason::InvalidSelector);
        requirements.into_iter().collect()
    }

    fn requirement(&mut self, at: &Node<'_>) -> Option<Requirement> {
        self.fields(at, &["key", "operator", "values"]);
        let Some(key) = at.get("key") else {
            self.missing(at, "key", "name the label");
            return None;
        };
        let key = self.label_key(&key);
        let values = at.get("values").map(|values| {
            let values: Vec<Node<'_>> = self.list(&values).collect();
            values.iter().filter_map(|value| self.label_value(value)).collect::<BTreeSet<Word>>()
        });
        let values = values.unwrap_or_default();
        let Some(operator) = at.get("operator") else {
            self.missing(at, "operator", "write `In`, `NotIn`, `Exists` or `DoesNotExist`");
            return None;
        };
        let name = self.text(&operator)?;
        let mut wrong = |message: &str| {
            self.problem(&operator, Reason::InvalidSelector, message);
            None
        };
        match (name, values.is_empty()) {
            ("In", false) => Some(Requirement::In(key, values)),
            ("NotIn", false) => Some(Requirement::NotIn(key, values)),
            ("Exists", true) => Some(Requirement::Exists(key)),
            ("DoesNotExist", true) => Some(Requirement::DoesNotExist(key)),
            ("In" | "NotIn", true) => wrong(&format!("`{name}` needs at least one of `values`")),
            ("Exists" | "DoesNotExist", false) => wrong(&format!("`{name}` takes no `values`")),
            _ => wrong(&format!("`{name}` is none of `In`, `NotIn`, `Exists` and `DoesNotExist`")),
        }
    }

    /// Labels: of an object, or of a selector's `matchLabels`. Those that no object can have are left out.
    pub(crate) fn labels(&mut self, at: &Node<'_>) -> Labels {
        if !at.is_object() {
            self.wrong_type(at, "an object of labels");
            return Labels::default();
        }
        let entries: Vec<_> = at.entries().collect();
        entries
            .iter()
            .filter_map(|(key, value)| {
                if !is_label_key(key) {
                    self.bad_label_key(value, key);
                    return None;
                }
                Some((self.word(key), self.label_value(value)?))
            })
            .collect()
    }

    fn label_key(&mut self, at: &Node<'_>) -> Word {
        let text = self.text(at).unwrap_or_default();
        if at.value.is_string() && !is_label_key(text) {
            self.bad_label_key(at, text);
        }
        self.word(text)
    }

    fn bad_label_key(&mut self, at: &Node<'_>, key: &str) {
        let message = format!(
            "`{key}` is not a label key: an optional DNS name and `/`, then at most 63 letters, digits, `-`, `_` and `.`"
        );
        self.problem(at, Reason::InvalidField, message);
    }

    fn label_value(&mut self, at: &Node<'_>) -> Option<Word> {
        let Some(text) = at.value.as_str() else {
            self.wrong_type(at, "a string in quotes");
            return None;
        };
        if !text.is_empty() && !is_label_word(text) {
            let message = format!(
                "`{text}` is not a label value: at most 63 letters, digits, `-`, `_` and `.`"
            );
            self.problem(at, Reason::InvalidField, message);
            return None;
        }
        Some(self.word(text))
    }
}

/// `IsQualifiedName` of apimachinery.
fn is_label_key(key: &str) -> bool {
    match key.split_once('/') {
        Some((prefix, name)) => is_dns_name(prefix) && is_label_word(name),
        None => is_label_word(key),
    }
}

/// `IsValidLabelValue` of apimachinery, for values that are not empty.
fn is_label_word(word: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let edge = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = word.as_bytes();
    bytes.len() <= 63
        && bytes.iter().all(|byte| inner(*byte))
        && edge(bytes.first())
        && edge(bytes.last())
}

/// `IsDNS1123Subdomain` of apimachinery.
fn is_dns_name(name: &str) -> bool {
    let label = |label: &str| {
        let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        !label.is_empty()
            && label.bytes().all(inner)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    name.len() <= 253 && name.split('.').all(label)
}
