//! Which object this is, and who reads it.

use std::collections::BTreeSet;
use std::sync::Arc;

use moat_core::finding::{Effect, Reason};
use moat_core::placement;
use moat_core::policy::{Kind, ObjectRef, Policy};
use serde_json::Value;

use crate::documents::{self, Unreadable};
use crate::inventory::{Builder, InventoryKind, Part, WorkloadKind, is_released, owners};
use crate::places::{Place, Places};
use crate::policy::Dialect;
use crate::reader::{Node, Reader};
use crate::{Cluster, Content, Options, Read, Source, assume, branch, unread};

/// Reads every object of some files into one cluster.
struct ClusterReader {
    reader: Reader,
    policies: Vec<Policy>,
    builder: Builder,
    places: Places,
    /// Versions, kinds, namespaces and names read so far.
    seen: BTreeSet<(Arc<str>, ObjectRef)>,
    /// Unknown kinds reported so far, by file.
    unknown: BTreeSet<(Arc<str>, String)>,
}

/// What an object says it is.
struct Identity<'a> {
    api_version: &'a str,
    kind: &'a str,
    name: String,
    namespace: Option<String>,
}

/// Reads files onto what is there.
pub(crate) fn read(there: Vec<Read>, sources: &[Source], options: &Options) -> Cluster {
    let mut cluster = ClusterReader {
        reader: Reader::new(),
        policies: Vec::new(),
        builder: Builder::default(),
        places: Places::default(),
        seen: BTreeSet::new(),
        unknown: BTreeSet::new(),
    };
    for source in sources {
        cluster.source(source);
    }
    for read in there {
        cluster.there(read);
    }
    cluster.finish(options)
}

/// Reads one object by itself, unless its kind is none of those that are read so.
pub(crate) fn read_object(object: &Value) -> Option<Read> {
    let mut reader = Reader::new();
    let root = Node::root(object);
    let identity = Identity::of(&root)?;
    let (api_version, kind) = (identity.api_version, identity.kind);
    let content = if let Some(dialect) = Dialect::of(api_version, kind) {
        reader.object = identity.object(dialect.kind, dialect.namespaced);
        Content::Policy(Box::new(reader.policy(&root, dialect)))
    } else {
        let kind = InventoryKind::of(api_version, kind)?;
        reader.object = identity.object(kind.of_core(), kind.is_namespaced());
        let start = reader.mark();
        let ObjectRef { namespace, name, .. } = &reader.object;
        let part = match kind {
            InventoryKind::Part(part) => reader.part(part, &root),
            InventoryKind::Workload(WorkloadKind::DaemonSet)
                if branch::is_cni(namespace.as_ref(), name) =>
            {
                Part::Cni(branch::cni(&root))
            }
            InventoryKind::Workload(_) => return None,
        };
        reader.conclude(start, Effect::Ignored, "it is left out");
        Content::Part(part)
    };
    let is_pod = reader.object.kind == Kind::Pod;
    let (object, findings) = (reader.object, reader.findings);
    Some(Read {
        uid: root.at(["metadata", "uid"]).and_then(Value::as_str).unwrap_or_default().to_owned(),
        generation: root.at(["metadata", "generation"]).and_then(Value::as_i64).unwrap_or_default(),
        owners: object
            .namespace
            .iter()
            .filter(|_| is_pod)
            .flat_map(|it| owners(&root, it))
            .collect(),
        is_released: is_pod && is_released(&root),
        object,
        content,
        findings,
    })
}

impl<'a> Identity<'a> {
    fn of(root: &Node<'a>) -> Option<Self> {
        let text = |value: Option<&'a Value>| {
            value.and_then(Value::as_str).filter(|text| !text.is_empty())
        };
        let metadata = root.value.get("metadata");
        let field = |name: &str| metadata.and_then(|metadata| metadata.get(name));
        let generated = || text(field("generateName")).map(|it| it.trim_end_matches('-'));
        let namespace = field("namespace").filter(|namespace| !namespace.is_null());
        if namespace.is_some_and(|namespace| !namespace.is_string()) {
            return None;
        }
        Some(Self {
            api_version: text(root.value.get("apiVersion"))?,
            kind: text(root.value.get("kind"))?,
            name: text(field("name")).or_else(generated).map(printable)?,
            namespace: text(namespace).map(printable),
        })
    }

    /// The object, in the namespace `default` where it says none.
    fn object(&self, kind: Kind, namespaced: bool) -> ObjectRef {
        let namespace = self.namespace.as_deref().unwrap_or("default");
        let namespace = namespaced.then(|| namespace.into());
        ObjectRef { kind, namespace, name: self.name.as_str().into() }
    }
}

impl ClusterReader {
    fn source(&mut self, source: &Source) {
        for document in documents::documents(source) {
            let index = self.places.add_document(document.clone());
            let read = document.objects(&mut |path, value| {
                self.object(&source.name, Place::new(index, path), &Node::root(&value));
            });
            if let Err(Unreadable { line, column, message }) = read {
                self.reader.object = file(&source.name);
                let message = format!(
                    "{message}; objects before it are read, the rest of the document is not"
                );
                self.reader.report("".into(), Reason::Malformed, Effect::Ignored, message);
                if let Some(finding) = self.reader.findings.last_mut() {
                    finding.location = Some(moat_core::finding::Location {
                        file: Arc::clone(&source.name),
                        line,
                        column,
                    });
                }
            }
        }
    }

    fn object(&mut self, file_name: &Arc<str>, place: Place, root: &Node<'_>) {
        let start = self.reader.findings.len();
        self.dispatch(file_name, &place, root);
        for finding in self.reader.findings.iter_mut().skip(start) {
            finding.location = self.places.locate_at(&place, &finding.path);
        }
    }

    fn dispatch(&mut self, file_name: &Arc<str>, place: &Place, root: &Node<'_>) {
        let Some(identity) = Identity::of(root) else {
            self.reader.object = file(file_name);
            return self.nameless(root);
        };
        let (api_version, kind) = (identity.api_version, identity.kind);
        if let Some(dialect) = Dialect::of(api_version, kind) {
            let object = identity.object(dialect.kind, dialect.namespaced);
            if self.is_first(kind, object, place, root) {
                self.policies.push(self.reader.policy(root, dialect));
            }
        } else if let Some(inventory_kind) = InventoryKind::of(api_version, kind) {
            let object = identity.object(inventory_kind.of_core(), inventory_kind.is_namespaced());
            if self.is_first(kind, object, place, root) {
                self.builder.add(&mut self.reader, inventory_kind, place, root);
            }
        } else if !unread::is_beside_policy(api_version, kind) {
            self.reader.object = identity.object(Kind::Other, identity.namespace.is_some());
            self.unknown_kind(file_name, api_version, kind, root);
        }
    }

    /// Takes an object that is there, unless a file holds one of its kind and name.
    fn there(&mut self, Read { object, owners, is_released, content, findings, .. }: Read) {
        if self.seen.contains(&(object.kind.as_str().into(), object.clone())) {
            return;
        }
        self.reader.findings.extend(findings);
        match content {
            Content::Policy(policy) => self.policies.push(*policy),
            Content::Part(part) => self.builder.there(object, part, owners, is_released),
        }
    }

    /// Makes this the object being read, unless one of its kind, namespace and name was read before.
    fn is_first(&mut self, kind: &str, object: ObjectRef, place: &Place, root: &Node<'_>) -> bool {
        self.reader.object = object.clone();
        if !self.seen.insert((kind.into(), object.clone())) {
            let message = format!(
                "a second {kind} `{}`: this one is ignored, keep one of the two",
                object.name
            );
            self.reader.note(root, Reason::DuplicateObject, message);
            return false;
        }
        self.places.add_object(object, place.clone());
        true
    }

    fn nameless(&mut self, root: &Node<'_>) {
        if let Some(message) = unread::no_identity(root) {
            self.reader.note(root, Reason::Malformed, message);
        }
    }

    fn unknown_kind(&mut self, file_name: &Arc<str>, version: &str, kind: &str, root: &Node<'_>) {
        if self.unknown.insert((Arc::clone(file_name), format!("{version} {kind}"))) {
            let advice = unread::advice(version, kind);
            let message =
                format!("`{kind}` of `{version}` is not read, here and further down: {advice}");
            self.reader.note(root, Reason::UnknownKind, message);
        }
    }

    fn finish(mut self, options: &Options) -> Cluster {
        self.policies.sort_by(|one, other| one.rank().cmp(&other.rank()));
        let namespaces = self.policies.iter().filter_map(|policy| policy.object.namespace.clone());
        let namespaces: BTreeSet<_> = namespaces.collect();
        let released = self.builder.released();
        let (mut inventory, workloads) = self.builder.finish(&mut self.places, namespaces);
        for mut finding in placement::disputed(&inventory) {
            finding.location = self.places.locate(&finding.object, &finding.path);
            self.reader.findings.push(finding);
        }
        if options.assume_pods {
            assume::pods(&self.policies, &mut inventory);
        }
        let findings = self.reader.findings;
        let (policies, places) = (self.policies, self.places);
        Cluster { policies, inventory, workloads, released, findings, places }
    }
}

/// The file itself, where no object can be named.
fn file(name: &Arc<str>) -> ObjectRef {
    ObjectRef { kind: Kind::File, namespace: None, name: Arc::clone(name) }
}

/// A name as it is shown: control characters could say anything to a terminal.
fn printable(name: &str) -> String {
    name.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}
