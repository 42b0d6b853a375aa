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

/// The position of a node of a document, and its children. In a list, an item's place among the children is its index.
#[derive(Clone, Debug, Default)]
struct Tree {
    /// The key that leads here; empty in lists.
    key: Box<str>,
    line: u32,
    column: u32,
    children: Vec<Tree>,
}

/// Nodes of a document that are remembered; beyond, only those near the top are, up to as many again. What is not
/// remembered is located at the nearest parent that is.
const REMEMBERED: usize = 2_000_000;

/// How deep the items of a List are.
const NEAR_TOP: usize = 3;

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
            let Some(child) = node.child(step) else { break };
            node = child;
        }
        let number = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
        let line = document.line + number(node.line).saturating_sub(1);
        Some(Location { file: Arc::clone(&document.file), line, column: number(node.column) })
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
    /// The object at a path of a document.
    pub(crate) fn new(document: usize, path: String) -> Self {
        Self { document, path: path.into() }
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

/// The containers of a document that have begun and not ended, the document itself first.
struct Growing {
    open: Vec<Open>,
    nodes: usize,
}

/// A container whose end has not come yet.
struct Open {
    tree: Tree,
    is_map: bool,
    /// The key that waits for its value, with its position: a value stands where its key does.
    key: Option<Tree>,
}

impl Tree {
    /// The positions of a document, as far as it can be parsed.
    fn of(document: &Document) -> Self {
        let text = document.text().unwrap_or_default();
        let root = Open { tree: Self::at(1, 1), is_map: false, key: None };
        let mut growing = Growing { open: vec![root], nodes: 0 };
        for event in Parser::new_from_str(text) {
            let Ok((event, span)) = event else { break };
            let place = Self::at(span.start.line(), span.start.col() + 1);
            #[expect(
                clippy::wildcard_enum_match_arm,
                reason = "the enum is open, and only nodes have a place"
            )]
            match event {
                Event::Scalar(text, ..) => growing.leaf(&text, place),
                Event::Alias(_) => growing.leaf("", place),
                Event::MappingStart(..) => growing.begin(true, place),
                Event::SequenceStart(..) => growing.begin(false, place),
                Event::MappingEnd | Event::SequenceEnd => growing.end(),
                _ => {}
            }
        }
        while growing.open.len() > 1 {
            growing.end();
        }
        let document = growing.open.pop().and_then(|mut root| root.tree.children.pop());
        document.unwrap_or_else(|| Self::at(1, 1))
    }

    fn at(line: usize, column: usize) -> Self {
        let number = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let (line, column) = (number(line), number(column));
        Self { key: "".into(), line, column, children: Vec::new() }
    }

    /// The child of a key, or of an index.
    fn child(&self, step: &str) -> Option<&Self> {
        let item = || self.children.get(step.parse::<usize>().ok()?);
        let item = item().filter(|item| item.key.is_empty());
        item.or_else(|| self.children.iter().find(|child| *child.key == *step))
    }
}

impl Growing {
    /// A scalar or an alias: a key if one is due, else a value.
    fn leaf(&mut self, text: &str, place: Tree) {
        match self.open.last_mut() {
            Some(Open { is_map: true, key: key @ None, .. }) => {
                *key = Some(Tree { key: text.into(), ..place });
            }
            Some(parent) => {
                let child = parent.key.take().unwrap_or(place);
                self.attach(child);
            }
            None => {}
        }
    }

    fn begin(&mut self, is_map: bool, place: Tree) {
        let key = self.open.last_mut().and_then(|parent| parent.key.take());
        self.open.push(Open { tree: key.unwrap_or(place), is_map, key: None });
    }

    fn end(&mut self) {
        if self.open.len() > 1
            && let Some(mut closed) = self.open.pop()
        {
            closed.tree.children.shrink_to_fit();
            self.attach(closed.tree);
        }
    }

    fn attach(&mut self, child: Tree) {
        let most = if self.open.len() <= NEAR_TOP { 2 * REMEMBERED } else { REMEMBERED };
        if self.nodes < most
            && let Some(parent) = self.open.last_mut()
        {
            self.nodes += 1;
            parent.tree.children.push(child);
        }
    }
}
