//! Where objects and their fields stand in files.
//!
//! Positions are looked for only when someone asks: the first question about a document parses it once more into
//! events and keeps the position of every key and item.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use moat_core::finding::Location;
use moat_core::policy::ObjectRef;
use serde_saphyr::granit_parser::{Event, Parser};

use crate::documents::Document;

/// The places of everything that was read from files.
#[derive(Debug, Default)]
pub struct Places {
    documents: Vec<(Document, OnceLock<Tree>)>,
    objects: BTreeMap<ObjectRef, Place>,
}

/// Where one object stands: a document of [`Places`] and a path in it, such as `items[3]`.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    document: usize,
    path: Arc<str>,
}

/// The position of a node of a document, and its children.
#[derive(Clone, Debug, Default)]
struct Tree {
    line: usize,
    column: usize,
    children: Vec<(Step, Tree)>,
}

/// One step of a path: a key, or an item's place as text.
type Step = Box<str>;

impl Places {
    /// Where a field of an object stands: file, line and column. If the field is absent, its nearest parent; an empty
    /// path is the object itself. None if the object came from no file.
    #[must_use]
    pub fn locate(&self, object: &ObjectRef, path: &str) -> Option<Location> {
        self.locate_at(self.objects.get(object)?, path)
    }

    /// The same for a place.
    pub(crate) fn locate_at(&self, place: &Place, path: &str) -> Option<Location> {
        let (document, tree) = self.documents.get(place.document)?;
        let mut node = tree.get_or_init(|| Tree::of(document));
        for step in steps(&place.path).chain(steps(path)) {
            let Some((_, child)) = node.children.iter().find(|(key, _)| **key == *step) else {
                break;
            };
            node = child;
        }
        let line = document.line + node.line.saturating_sub(1);
        Some(Location { file: Arc::clone(&document.file), line, column: node.column })
    }

    pub(crate) fn add_document(&mut self, document: Document) -> usize {
        self.documents.push((document, OnceLock::new()));
        self.documents.len() - 1
    }

    /// Says where an object stands; the first word counts.
    pub(crate) fn add_object(&mut self, object: ObjectRef, place: Place) {
        self.objects.entry(object).or_insert(place);
    }
}

impl Place {
    pub(crate) fn new(document: usize, item: Option<usize>) -> Self {
        Self {
            document,
            path: item.map_or_else(String::new, |item| format!("items[{item}]")).into(),
        }
    }

    /// The place of a part of the object.
    pub(crate) fn within(&self, path: &str) -> Self {
        Self { document: self.document, path: format!("{}.{path}", self.path).into() }
    }
}

/// The steps of a path such as `spec.ingress[0].from` or `metadata.labels[app.kubernetes.io/name]`.
fn steps(path: &str) -> impl Iterator<Item = &str> {
    let mut rest = path;
    std::iter::from_fn(move || {
        rest = rest.trim_start_matches('.');
        let (step, tail) = match rest.strip_prefix('[') {
            Some(bracket) => bracket.split_once(']').unwrap_or((bracket, "")),
            None => rest.split_at(rest.find(['.', '[']).unwrap_or(rest.len())),
        };
        rest = tail;
        (!step.is_empty()).then_some(step)
    })
}

// ---------------------------------------------------------------------------------------------------- Tree

/// A container whose end has not come yet.
struct Open {
    step: Step,
    tree: Tree,
    /// The key that waits for its value, with its position; none in lists.
    key: Option<(Step, usize, usize)>,
    is_map: bool,
}

impl Tree {
    /// The positions of a document, as far as it can be parsed.
    fn of(document: &Document) -> Self {
        let text = document.text().unwrap_or_default();
        let root = Self { line: 1, column: 1, children: Vec::new() };
        let mut open = vec![Open { step: "".into(), tree: root, key: None, is_map: false }];
        for event in Parser::new_from_str(text) {
            let Ok((event, span)) = event else { break };
            let (line, column) = (span.start.line(), span.start.col() + 1);
            #[expect(
                clippy::wildcard_enum_match_arm,
                reason = "the enum is open, and only nodes have a place"
            )]
            match event {
                Event::Scalar(text, ..) => leaf(&mut open, &text, line, column),
                Event::Alias(_) => leaf(&mut open, "*", line, column),
                Event::MappingStart(..) => begin(&mut open, true, line, column),
                Event::SequenceStart(..) => begin(&mut open, false, line, column),
                Event::MappingEnd | Event::SequenceEnd => end(&mut open),
                _ => {}
            }
        }
        while open.len() > 1 {
            end(&mut open);
        }
        let document = open.pop().and_then(|mut root| root.tree.children.pop());
        document.map_or(Self { line: 1, column: 1, children: Vec::new() }, |(_, tree)| tree)
    }
}

/// A scalar or an alias: a key if one is due, else a value.
fn leaf(open: &mut [Open], text: &str, line: usize, column: usize) {
    let Some(parent) = open.last_mut() else { return };
    if parent.is_map && parent.key.is_none() {
        parent.key = Some((text.into(), line, column));
    } else {
        let (step, line, column) = parent.next_step(line, column);
        parent.tree.children.push((step, Tree { line, column, children: Vec::new() }));
    }
}

fn begin(open: &mut Vec<Open>, is_map: bool, line: usize, column: usize) {
    let Some(parent) = open.last_mut() else { return };
    let (step, line, column) = parent.next_step(line, column);
    open.push(Open { step, tree: Tree { line, column, children: Vec::new() }, key: None, is_map });
}

fn end(open: &mut Vec<Open>) {
    let Some(closed) = (if open.len() > 1 { open.pop() } else { None }) else { return };
    if let Some(parent) = open.last_mut() {
        parent.tree.children.push((closed.step, closed.tree));
    }
}

impl Open {
    /// What leads to the next value: the key that waits, or the item's place. A key's position is its value's.
    fn next_step(&mut self, line: usize, column: usize) -> (Step, usize, usize) {
        let item = || (self.tree.children.len().to_string().into(), line, column);
        self.key.take().unwrap_or_else(item)
    }
}
