//! A typed walk over an untyped object: every value knows its path, and every surprise becomes a finding at it.

use std::collections::HashSet;
use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;

use moat_core::finding::{Effect, Finding, Reason};
use moat_core::policy::{Kind, ObjectRef, Word};
use serde_json::Value;

use crate::documents::GIVEN_TWICE;

/// A value and the way to it from the top of its object.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Node<'a> {
    pub(crate) value: &'a Value,
    parent: Option<&'a Node<'a>>,
    step: Step<'a>,
}

#[derive(Clone, Copy, Debug)]
enum Step<'a> {
    Key(&'a str),
    Index(usize),
}

/// Collects what a walk finds. A finding that is not `Ignored` is a problem: the rule, subject or policy being read
/// fails closed, so whatever a reading method returns beside a problem is never used.
#[derive(Debug)]
pub(crate) struct Reader {
    /// The object being read.
    pub(crate) object: ObjectRef,
    /// What was found so far.
    pub(crate) findings: Vec<Finding>,
    /// Words read before, so that equal ones share memory.
    words: HashSet<Word>,
}

/// How many findings there were at some moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark(usize);

// ---------------------------------------------------------------------------------------------------- Node

impl<'a> Node<'a> {
    /// The top of an object.
    pub(crate) fn root(value: &'a Value) -> Self {
        Self { value, parent: None, step: Step::Key("") }
    }

    /// A field. One that is null counts as absent, as for the API server.
    pub(crate) fn get(&'a self, key: &'a str) -> Option<Self> {
        let value = self.value.get(key).filter(|value| !value.is_null())?;
        Some(self.child(Step::Key(key), value))
    }

    /// A field that counts as `default` if it is absent.
    pub(crate) fn get_or(&'a self, key: &'a str, default: &'a Value) -> Self {
        self.get(key).unwrap_or_else(|| self.child(Step::Key(key), default))
    }

    /// A field of fields.
    pub(crate) fn at<const N: usize>(&'a self, keys: [&'a str; N]) -> Option<&'a Value> {
        keys.into_iter()
            .try_fold(self.value, |value, key| value.get(key))
            .filter(|value| !value.is_null())
    }

    /// The items of a list, none if this is not one.
    pub(crate) fn items(&'a self) -> impl Iterator<Item = Self> {
        let items = self.value.as_array().into_iter().flatten().enumerate();
        items.map(|(index, value)| self.child(Step::Index(index), value))
    }

    /// The entries of an object that are not null.
    pub(crate) fn entries(&'a self) -> impl Iterator<Item = (&'a str, Self)> {
        let entries = self.value.as_object().into_iter().flatten();
        entries
            .filter(|(_, value)| !value.is_null())
            .map(|(key, value)| (key.as_str(), self.child(Step::Key(key), value)))
    }

    /// Whether this is an object, and not one that stands for a key given twice.
    pub(crate) fn is_object(&self) -> bool {
        self.value.is_object() && !self.is_given_twice()
    }

    /// Whether the key of this value is given twice.
    pub(crate) fn is_given_twice(&self) -> bool {
        self.value.get(GIVEN_TWICE).is_some()
    }

    /// The path as findings spell it.
    pub(crate) fn path(&self) -> Arc<str> {
        self.to_string().into()
    }

    fn child(&'a self, step: Step<'a>, value: &'a Value) -> Self {
        Self { value, parent: Some(self), step }
    }
}

impl fmt::Display for Node<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(parent) = self.parent else { return Ok(()) };
        parent.fmt(f)?;
        match self.step {
            Step::Index(index) => write!(f, "[{index}]"),
            Step::Key(key) if key.contains(['.', '[', ']']) => write!(f, "[{key}]"),
            Step::Key(key) if parent.parent.is_none() => f.write_str(key),
            Step::Key(key) => write!(f, ".{key}"),
        }
    }
}

// -------------------------------------------------------------------------------------------------- Reader

impl Reader {
    pub(crate) fn new() -> Self {
        let object = ObjectRef { kind: Kind::Other, namespace: None, name: Word::from("") };
        Self { object, findings: Vec::new(), words: HashSet::new() }
    }

    /// The shared word of a text.
    pub(crate) fn word(&mut self, text: &str) -> Word {
        if let Some(word) = self.words.get(text) {
            return Arc::clone(word);
        }
        let word = Word::from(text);
        self.words.insert(Arc::clone(&word));
        word
    }

    /// Reports what makes its surroundings fail closed.
    pub(crate) fn problem(&mut self, at: &Node<'_>, reason: Reason, message: impl Into<String>) {
        self.report(at.path(), reason, Effect::Narrower, message.into());
    }

    /// Reports what changes nothing.
    pub(crate) fn note(&mut self, at: &Node<'_>, reason: Reason, message: impl Into<String>) {
        self.report(at.path(), reason, Effect::Ignored, message.into());
    }

    pub(crate) fn report(
        &mut self,
        path: Arc<str>,
        reason: Reason,
        effect: Effect,
        message: String,
    ) {
        let (object, flows) = (self.object.clone(), Vec::new());
        let (witness, location) = (None, None);
        self.findings.push(Finding {
            object,
            path,
            reason,
            effect,
            message: message.into(),
            flows: flows.into(),
            witness,
            location,
        });
    }

    pub(crate) fn mark(&self) -> Mark {
        Mark(self.findings.len())
    }

    /// Whether a problem was found since.
    pub(crate) fn failed_since(&self, mark: Mark) -> bool {
        self.findings.iter().skip(mark.0).any(is_problem)
    }

    /// Says of the problems since what becomes of their surroundings.
    pub(crate) fn conclude(&mut self, mark: Mark, effect: Effect, consequence: &str) {
        for finding in self.findings.iter_mut().skip(mark.0).filter(|finding| is_problem(finding)) {
            finding.effect = effect;
            let message = finding.message.to_mut();
            message.push_str("; ");
            message.push_str(consequence);
        }
    }

    /// Gives plain type errors since a more telling reason.
    pub(crate) fn rename_invalid(&mut self, mark: Mark, reason: Reason) {
        for finding in self.findings.iter_mut().skip(mark.0) {
            if finding.reason == Reason::InvalidField {
                finding.reason = reason;
            }
        }
    }

    // ---- typed values

    /// Checks that this is an object with none but these fields.
    pub(crate) fn fields(&mut self, at: &Node<'_>, known: &[&str]) {
        let Some(object) = at.value.as_object().filter(|_| at.is_object()) else {
            return self.wrong_type(at, "an object");
        };
        for (key, value) in object {
            if !known.contains(&key.as_str()) {
                let unknown = at.child(Step::Key(key), value);
                let known =
                    known.iter().map(|field| format!("`{field}`")).collect::<Vec<_>>().join(", ");
                let message = format!("unknown field `{key}`; the fields known here are {known}");
                self.problem(&unknown, Reason::UnknownField, message);
            }
        }
    }

    /// Checks that this is an object with exactly one of these fields, and gives that.
    pub(crate) fn one_of<'a>(
        &mut self,
        at: &'a Node<'a>,
        known: &[&str],
    ) -> Option<(&'a str, Node<'a>)> {
        let mark = self.mark();
        self.fields(at, known);
        if self.failed_since(mark) {
            return None;
        }
        let mut given = at.entries();
        if let (Some(one), None) = (given.next(), given.next()) {
            return Some(one);
        }
        let known = known.iter().map(|field| format!("`{field}`")).collect::<Vec<_>>().join(", ");
        self.problem(at, Reason::InvalidField, format!("exactly one of {known} must be given"));
        None
    }

    /// The items of a list.
    pub(crate) fn list<'a>(
        &mut self,
        at: &'a Node<'a>,
    ) -> impl Iterator<Item = Node<'a>> + use<'a> {
        if !at.value.is_array() {
            self.wrong_type(at, "a list");
        }
        at.items()
    }

    /// The items of a list that must have one item at least and, for the API server, so many at most.
    pub(crate) fn bounded_list<'a>(
        &mut self,
        at: &'a Node<'a>,
        most: usize,
    ) -> impl Iterator<Item = Node<'a>> + use<'a> {
        let items = self.list(at);
        if at.value.as_array().is_some_and(Vec::is_empty) {
            let message = "the list is empty, which means neither everything nor nothing: leave it out or fill it";
            self.problem(at, Reason::InvalidField, message);
        }
        self.at_most(at, most);
        items
    }

    /// Notes a list that is longer than the API server takes.
    pub(crate) fn at_most(&mut self, at: &Node<'_>, most: usize) {
        let length = at.value.as_array().map_or(0, Vec::len);
        if length > most {
            let message =
                format!("{length} items, of which the API server takes {most}: split the list");
            self.note(at, Reason::InvalidField, message);
        }
    }

    /// A text.
    pub(crate) fn text<'a>(&mut self, at: &Node<'a>) -> Option<&'a str> {
        let text = at.value.as_str();
        if text.is_none() {
            self.wrong_type(at, "a string");
        }
        text
    }

    /// A whole number within bounds.
    pub(crate) fn number(&mut self, at: &Node<'_>, bounds: RangeInclusive<u16>) -> Option<u16> {
        let Some(number) = at.value.as_number() else {
            self.wrong_type(at, "a number");
            return None;
        };
        let within = number.as_u64().and_then(|number| u16::try_from(number).ok());
        let within = within.filter(|number| bounds.contains(number));
        if within.is_none() {
            let (low, high) = (bounds.start(), bounds.end());
            let message = format!("`{number}` is not a whole number from {low} to {high}");
            self.problem(at, Reason::InvalidField, message);
        }
        within
    }

    /// Reports that a field which must be there is not; where there can be no fields, that is reported already.
    pub(crate) fn missing(&mut self, at: &Node<'_>, field: &str, why: &str) {
        if !at.is_object() {
            return;
        }
        let message = format!("`{field}` is missing: {why}");
        self.problem(&at.child(Step::Key(field), &Value::Null), Reason::InvalidField, message);
    }

    /// Reports a value of another type than the field has.
    pub(crate) fn wrong_type(&mut self, at: &Node<'_>, expected: &str) {
        let message = if at.is_given_twice() {
            "the field is given twice: keep one of the two".to_owned()
        } else {
            format!("{} where {expected} belongs", describe(at.value))
        };
        self.problem(at, Reason::InvalidField, message);
    }
}

/// Whether a finding makes its surroundings fail closed.
fn is_problem(finding: &Finding) -> bool {
    finding.effect != Effect::Ignored
}

/// A value in words, for messages.
fn describe(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => format!("the boolean `{value}`"),
        Value::Number(value) => format!("the number `{value}`"),
        Value::String(text) => {
            format!("the string `{}`", text.chars().take(60).collect::<String>())
        }
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    }
}
