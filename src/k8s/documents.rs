//! Files cut into documents, and documents into objects.
//!
//! A line that begins with `---` or `...` ends a YAML document wherever it stands (YAML 1.2 §9.1.2), so files are cut
//! there before any parsing: a document that cannot be read takes no other one with it. The items of a List are handed
//! over one by one, so that memory follows the largest object and not the file.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use serde::de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use serde_saphyr::options::{DuplicateKeyPolicy, NonFiniteFloatPolicy};

use crate::Source;

/// Containers inside containers: far more than any Kubernetes object has, and few enough for every stack.
const DEPTH: usize = 64;

/// What aliases may add to one document, counted in nodes.
const ALIASED_NODES: usize = 100_000;

/// The key of the object that stands for a value whose key is given twice. No field has this name, so whoever reads
/// the field finds neither value.
pub(crate) const GIVEN_TWICE: &str = "\0given twice";

/// One document of a file.
#[derive(Clone, Debug)]
pub(crate) struct Document {
    /// The file as it was named.
    pub(crate) file: Arc<str>,
    /// The line of the file on which the document begins, from 1.
    pub(crate) line: usize,
    bytes: Arc<[u8]>,
    range: Range<usize>,
    json: bool,
}

/// Why a document, or what is left of it, cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unreadable {
    /// The line of the file, from 1.
    pub(crate) line: usize,
    /// The column in characters, from 1.
    pub(crate) column: usize,
    /// What is wrong.
    pub(crate) message: String,
}

// ------------------------------------------------------------------------------------------------ Document

/// The documents of a file, without those that hold only comments and directives.
pub(crate) fn documents(source: &Source) -> Vec<Document> {
    let mut documents = Vec::new();
    let (mut start, mut line) = (0, 1);
    let mut cut = |start: usize, end: usize, line: usize| {
        let (file, bytes) = (Arc::clone(&source.name), Arc::clone(&source.bytes));
        Document { file, line, bytes, range: start..end, json: false }.push_values(&mut documents);
    };
    let (mut offset, mut number) = (0, 1);
    for text in source.bytes.split_inclusive(|byte| *byte == b'\n') {
        if ends_document(text) {
            cut(start, offset, line);
            (start, line) = (offset, number);
        }
        offset += text.len();
        number += 1;
    }
    cut(start, offset, line);
    documents
}

fn ends_document(line: &[u8]) -> bool {
    let rest = line.strip_prefix(b"---").or_else(|| line.strip_prefix(b"..."));
    rest.is_some_and(|rest| rest.first().is_none_or(u8::is_ascii_whitespace))
}

/// Whether a line says nothing of itself.
fn is_aside(line: &str) -> bool {
    let line = line.trim_matches(['\u{feff}', ' ', '\t', '\r']);
    line.is_empty() || line.starts_with(['#', '%']) || line == "..." || line == "---"
}

impl Document {
    /// The text, or where it stops being UTF-8.
    pub(crate) fn text(&self) -> Result<&str, Unreadable> {
        let bytes = self.bytes.get(self.range.clone()).unwrap_or_default();
        str::from_utf8(bytes).map_err(|error| {
            let good = bytes.get(..error.valid_up_to()).unwrap_or_default();
            let (line, column) = end_of(&String::from_utf8_lossy(good));
            let message = "the text is not UTF-8: save the file in that encoding".to_owned();
            Unreadable { line: self.line + line, column, message }
        })
    }

    /// Adds this document, or each of several JSON values that follow one another in it.
    fn push_values(self, documents: &mut Vec<Self>) {
        let text = self.text().unwrap_or("?");
        if text.lines().all(is_aside) {
            return;
        }
        if !text.trim_start_matches('\u{feff}').trim_start().starts_with('{') {
            documents.push(self);
            return;
        }
        let first = text.find('{').unwrap_or(0);
        let (_, json_text) = text.split_at(first);
        let mut values = serde_json::Deserializer::from_str(json_text).into_iter::<IgnoredAny>();
        let (mut start, mut line) = (0, self.line + end_of(text.get(..first).unwrap_or("")).0);
        let part = |range: Range<usize>, line: usize, json: bool| {
            let at = self.range.start + first;
            Self { line, json, range: at + range.start..at + range.end, ..self.clone() }
        };
        while let Some(Ok(_)) = values.next() {
            let end = values.byte_offset();
            documents.push(part(start..end, line, true));
            line += json_text.get(start..end).map_or(0, |text| end_of(text).0);
            start = end;
        }
        if json_text.get(start..).is_some_and(|rest| !rest.trim().is_empty()) {
            documents.push(part(start..json_text.len(), line, false));
        }
    }

    /// Hands over each object of the document with its path in Lists, such as `items[3]`; a List within a List is opened
    /// too. Objects before a mistake are handed over.
    pub(crate) fn objects(&self, each: &mut dyn FnMut(String, Value)) -> Result<(), Unreadable> {
        let text = self.text()?;
        let each = &mut |item: Option<usize>, value| {
            open(item.map_or_else(String::new, |item| format!("items[{item}]")), value, each);
        };
        let unreadable = |line: usize, column: usize, message: String| {
            let message = message.lines().next().unwrap_or_default();
            let message = message.split(" at line ").next().unwrap_or_default();
            let message = format!("{message}{}", hint(text, line));
            Unreadable { line: self.line + line.saturating_sub(1), column: column.max(1), message }
        };
        if self.json {
            let mut json = serde_json::Deserializer::from_str(text);
            let read = Objects { each }.deserialize(&mut json);
            return read
                .map_err(|error| unreadable(error.line(), error.column(), error.to_string()));
        }
        let begin = text.lines().take_while(|line| is_aside(line)).fold(1, |line, _| line + 1);
        let options = yaml_options(text.len());
        let read = serde_saphyr::with_deserializer_from_str_with_options(text, options, |yaml| {
            Objects { each }.deserialize(yaml)
        });
        read.map_err(|error| {
            let (line, column) = error.location().map_or((begin, 1), |at| (at.line(), at.column()));
            unreadable(
                usize::try_from(line).unwrap_or(1),
                usize::try_from(column).unwrap_or(1),
                error.to_string(),
            )
        })
    }
}

/// What to do about a text that is not plain YAML, after a mistake on this line of it, from 1.
fn hint(text: &str, line: usize) -> &'static str {
    let tagged = |line: &str| line.contains(" !");
    if text.contains("{{") {
        "; `{{ … }}` is a template: render it first, as `helm template` does"
    } else if text.lines().nth(line.saturating_sub(1)).is_some_and(tagged) {
        "; leave the YAML tag out: no Kubernetes object needs one"
    } else {
        ""
    }
}

/// The lines ended in a text, and the column that follows it.
fn end_of(text: &str) -> (usize, usize) {
    let last = text.rsplit('\n').next().unwrap_or_default();
    (text.matches('\n').count(), last.chars().count() + 1)
}

/// A budget that a text of this many bytes without aliases can never pass.
fn yaml_options(bytes: usize) -> serde_saphyr::Options {
    let most = bytes.saturating_add(ALIASED_NODES);
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: DEPTH,
            flow_nesting_limit: DEPTH,
            max_events: most.saturating_mul(2),
            max_nodes: most,
            max_total_scalar_bytes: most.saturating_mul(2),
            max_merge_keys: 1_000,
            max_anchors: 10_000,
            max_aliases: 10_000,
            enforce_alias_anchor_ratio: false,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: ALIASED_NODES,
        },
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        non_finite_float_policy: NonFiniteFloatPolicy::AsString,
        emit_comments: false,
        with_snippet: false,
    }
}

// ------------------------------------------------------------------------------------------------- Objects

/// Reads the top of a document: one object, or a List whose items are handed over as they come.
struct Objects<'f> {
    each: &'f mut dyn FnMut(Option<usize>, Value),
}

impl<'de> DeserializeSeed<'de> for Objects<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Objects<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a Kubernetes object")
    }

    fn visit_unit<E: de::Error>(self) -> Result<(), E> {
        Ok(())
    }

    /// No object, but whoever reads objects can say more of it.
    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<(), A::Error> {
        (self.each)(None, Tree.visit_seq(items)?);
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        let mut object = Map::new();
        let (mut listed, mut waiting) = (false, Vec::new());
        while let Some(key) = entries.next_key::<String>()? {
            if key == "items" {
                if std::mem::replace(&mut listed, true) {
                    return Err(de::Error::custom("`items` is given twice: keep one of the two"));
                }
                let item = item_type(&object);
                let mut each = |index, value| match complete(value, item.as_ref()) {
                    Ok(value) => (self.each)(Some(index), value),
                    Err(value) => waiting.push((index, value)),
                };
                entries.next_value_seed(Items { each: &mut each })?;
            } else {
                insert(&mut object, key, entries.next_value_seed(Tree)?);
            }
        }
        let item = item_type(&object);
        for (index, value) in waiting {
            (self.each)(Some(index), complete(value, item.as_ref()).unwrap_or_else(|value| value));
        }
        if !listed {
            (self.each)(None, Value::Object(object));
        }
        Ok(())
    }
}

/// Hands over an object, or the objects of a List, however deep.
fn open(path: String, mut value: Value, each: &mut dyn FnMut(String, Value)) {
    let list = value.as_object_mut().filter(|object| {
        object.get("kind").and_then(Value::as_str).is_some_and(|kind| kind.ends_with("List"))
    });
    let item = list.as_deref().and_then(item_type);
    match list.and_then(|list| list.get_mut("items")).map(Value::take) {
        Some(Value::Array(items)) => {
            for (index, value) in items.into_iter().enumerate() {
                let value = complete(value, item.as_ref()).unwrap_or_else(|value| value);
                open(format!("{path}.items[{index}]"), value, each);
            }
        }
        _ => each(path, value),
    }
}

/// The version and kind of the items of a list such as PodList, whose items do not say it themselves.
fn item_type(list: &Map<String, Value>) -> Option<(Value, Value)> {
    let kind = list.get("kind")?.as_str()?.strip_suffix("List").filter(|kind| !kind.is_empty())?;
    Some((list.get("apiVersion")?.clone(), kind.into()))
}

/// An item with its version and kind, or the item as it is if neither it nor its list says them.
fn complete(mut item: Value, of: Option<&(Value, Value)>) -> Result<Value, Value> {
    match (item.as_object_mut(), of) {
        (Some(object), Some((version, kind))) if !object.contains_key("kind") => {
            object.insert("apiVersion".to_owned(), version.clone());
            object.insert("kind".to_owned(), kind.clone());
            Ok(item)
        }
        (Some(object), None) if !object.contains_key("kind") => Err(item),
        _ => Ok(item),
    }
}

/// Reads the items of a List, or whatever stands in their place.
struct Items<'f> {
    each: &'f mut dyn FnMut(usize, Value),
}

impl<'de> DeserializeSeed<'de> for Items<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Items<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of Kubernetes objects")
    }

    fn visit_unit<E: de::Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let mut index = 0;
        while let Some(item) = items.next_element_seed(Tree)? {
            (self.each)(index, item);
            index += 1;
        }
        Ok(())
    }
}

// ---------------------------------------------------------------------------------------------------- Tree

/// Reads one value whole. A key that is given twice gets a value that fits no field.
struct Tree;

impl<'de> DeserializeSeed<'de> for Tree {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Tree {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i128<E: de::Error>(self, value: i128) -> Result<Value, E> {
        Ok(value.to_string().into())
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u128<E: de::Error>(self, value: u128) -> Result<Value, E> {
        Ok(value.to_string().into())
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E: de::Error>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_bytes<E: de::Error>(self, value: &[u8]) -> Result<Value, E> {
        Ok(String::from_utf8_lossy(value).into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(Self)? {
            list.push(item);
        }
        Ok(list.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            insert(&mut map, key, entries.next_value_seed(Self)?);
        }
        Ok(map.into())
    }
}

fn insert(map: &mut Map<String, Value>, key: String, value: Value) {
    let twice = map.contains_key(&key);
    let mark = || Value::Object(Map::from_iter([(GIVEN_TWICE.to_owned(), Value::Null)]));
    map.insert(key, if twice { mark() } else { value });
}
