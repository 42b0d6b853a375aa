//! `from` and `to`: who is at the other end of a rule.

use moat_core::finding::Reason;
use moat_core::policy::{Direction, Namespaces, Peer, Peers, PodSelector, Selector, Word};

use super::Dialect;
use crate::reader::{Node, Reader};

/// The members of a namespaced kind's peer, which may stand together but for `ipBlock`.
const NAMESPACED_PEER: &[&str] = &["podSelector", "namespaceSelector", "ipBlock"];

impl Reader {
    /// The peers of a rule. In namespaced kinds absent and empty mean everyone; cluster kinds demand at least one.
    pub(super) fn peers(
        &mut self,
        rule: &Node<'_>,
        direction: Direction,
        dialect: &Dialect,
        namespace: Option<&Word>,
    ) -> Peers {
        let field = Dialect::peers(direction);
        let list = rule.get(field);
        let Some(namespace) = namespace else {
            let Some(list) = list else {
                self.missing(rule, field, "a rule of this kind names its peers");
                return Peers::AnyOf(Vec::new());
            };
            let members = dialect.members(direction);
            let peers: Vec<Node<'_>> = self.bounded_list(&list, dialect.most).collect();
            return Peers::AnyOf(
                peers.iter().filter_map(|peer| self.cluster_peer(peer, members)).collect(),
            );
        };
        let Some(list) = list else { return Peers::Anyone };
        self.at_most(&list, dialect.most);
        let peers: Vec<Node<'_>> = self.list(&list).collect();
        if peers.is_empty() {
            return Peers::Anyone;
        }
        Peers::AnyOf(
            peers
                .iter()
                .filter_map(|peer| self.namespaced_peer(peer, dialect, namespace))
                .collect(),
        )
    }

    fn namespaced_peer(
        &mut self,
        at: &Node<'_>,
        dialect: &Dialect,
        namespace: &Word,
    ) -> Option<Peer> {
        let start = self.mark();
        self.fields(at, NAMESPACED_PEER);
        let (pods, namespaces) = (at.get("podSelector"), at.get("namespaceSelector"));
        match (at.get("ipBlock"), pods, namespaces) {
            (Some(block), None, None) => Some(Peer::Addresses(self.ip_block(&block, dialect))),
            (Some(block), _, _) => {
                let message = "`ipBlock` cannot stand beside a selector: make two peers of it";
                self.problem(&block, Reason::InvalidField, message);
                None
            }
            (None, None, None) => {
                if !self.failed_since(start) {
                    let message =
                        "the peer is empty: give `podSelector`, `namespaceSelector` or `ipBlock`";
                    self.problem(at, Reason::InvalidField, message);
                }
                None
            }
            (None, pods, namespaces) => {
                let namespaces = match namespaces {
                    Some(selector) => Namespaces::Matching(self.selector(&selector)),
                    None => Namespaces::Named(Word::clone(namespace)),
                };
                let pods = pods.map_or_else(Selector::everything, |pods| self.selector(&pods));
                Some(Peer::Pods(PodSelector { namespaces, pods }))
            }
        }
    }

    fn cluster_peer(&mut self, at: &Node<'_>, members: &[&str]) -> Option<Peer> {
        let (member, value) = self.one_of(at, members)?;
        match member {
            "networks" => Some(Peer::Addresses(self.networks(&value))),
            "nodes" => Some(Peer::Nodes(self.selector(&value))),
            "domainNames" => {
                let message = "domain names have no fixed addresses, so a cloud firewall cannot follow them: write `networks`";
                self.problem(&value, Reason::UnsupportedField, message);
                None
            }
            _ => Some(Peer::Pods(self.cluster_pods(member, &value))),
        }
    }

    /// `namespaces` or `pods` of a cluster kind's peer or subject.
    pub(super) fn cluster_pods(&mut self, member: &str, at: &Node<'_>) -> PodSelector {
        if member == "namespaces" {
            let namespaces = Namespaces::Matching(self.selector(at));
            return PodSelector { namespaces, pods: Selector::everything() };
        }
        self.fields(at, &["namespaceSelector", "podSelector"]);
        let namespaces = at.get("namespaceSelector").map(|selector| self.selector(&selector));
        let pods = at.get("podSelector").map(|selector| self.selector(&selector));
        if pods.is_none() {
            self.missing(at, "podSelector", "write `{}` for every pod");
        }
        PodSelector {
            namespaces: Namespaces::Matching(namespaces.unwrap_or_default()),
            pods: pods.unwrap_or_default(),
        }
    }
}
