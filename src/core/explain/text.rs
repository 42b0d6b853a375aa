//! An explanation as a person on call reads it: one idea per line.

use std::fmt;

use super::{Answer, Asker, Author, Crossing, Decided, End, Explanation, Filtered, Guarded};
use crate::finding::Finding;
use crate::firewall::Unfiltered;
use crate::policy::{Action, Direction, ObjectRef};

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, to, service, family, policies, cloud, .. } = self;
        let Self { egress, ingress, crossings, findings, .. } = self;
        let (replies, first): (Vec<&Crossing>, Vec<&Crossing>) =
            crossings.iter().partition(|crossing| crossing.reply.is_some());
        writeln!(f, "{from} to {to}, {service}, IPv{family}")?;
        writeln!(f, "  policies: {policies}")?;
        writeln!(f, "  cloud:    {cloud}")?;
        writeln!(f, "leaving {from}")?;
        egress.fmt(f)?;
        first.iter().try_for_each(|crossing| crossing.fmt(f))?;
        writeln!(f, "reaching {to}")?;
        ingress.fmt(f)?;
        replies.iter().try_for_each(|crossing| crossing.fmt(f))?;
        if policies != cloud {
            writeln!(f, "why the cloud differs")?;
        }
        findings.iter().try_for_each(|finding| difference(f, finding))
    }
}

fn difference(f: &mut fmt::Formatter<'_>, finding: &Finding) -> fmt::Result {
    let Finding { object, path, reason, message, location, .. } = finding;
    writeln!(f, "  {reason}: {message}")?;
    match path.is_empty() {
        true => write!(f, "    at {object}")?,
        false => write!(f, "    at {object}, {path}")?,
    }
    match location {
        Some(location) => writeln!(f, " ({location})"),
        None => writeln!(f),
    }
}

impl fmt::Display for End {
    /// Two or three lines, indented.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { policies, decided, cloud, filtered } = self;
        writeln!(f, "  policies: {policies}, {decided}")?;
        writeln!(f, "  cloud:    {cloud}, {filtered}")?;
        match filtered.purpose() {
            Some(purpose) => writeln!(f, "            {purpose}"),
            None => Ok(()),
        }
    }
}

impl Crossing {
    /// Where the packet is, in words.
    #[must_use]
    pub fn place(&self) -> String {
        let Self { reply, subnet, direction, guarded, .. } = self;
        let packet = reply.as_ref().map(|it| format!("a reply, {it}, ")).unwrap_or_default();
        let way = match (guarded, direction) {
            (Guarded::Within, _) => "within",
            (
                Guarded::Entry { .. } | Guarded::FinalDeny { .. } | Guarded::ByNode,
                Direction::Egress,
            ) => "leaving",
            (
                Guarded::Entry { .. } | Guarded::FinalDeny { .. } | Guarded::ByNode,
                Direction::Ingress,
            ) => "entering",
        };
        format!("{packet}{way} {subnet}")
    }
}

impl fmt::Display for Crossing {
    /// Two or three lines.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.place())?;
        writeln!(f, "  cloud:    {}, {}", self.cloud, self.guarded)?;
        match self.guarded.purpose() {
            Some(purpose) => writeln!(f, "            {purpose}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Guarded {
    /// What decides, in words that follow the answer.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Entry { acl, place, entry, .. } => {
                write!(f, "by network ACL {acl}, {place}: {entry}")
            }
            Self::FinalDeny { acl } => write!(f, "no entry of network ACL {acl} names it"),
            Self::Within => f.write_str("no network ACL is asked within a subnet"),
            Self::ByNode => f.write_str(
                "it leaves by the node's interface, and the network ACL of its subnet is not asked",
            ),
        }
    }
}

impl Guarded {
    /// Who asks for the entry, in words; none where no entry decides.
    #[must_use]
    pub fn purpose(&self) -> Option<String> {
        match self {
            Self::Entry { author, serves, .. } => Some(match author {
                Author::Policies => format!("for {}", list(serves)),
                Author::Copied(prior) => format!("copied from {prior}, the one before it"),
                Author::Others => "a network ACL that is not Moat's".to_owned(),
                Author::Nobody => "which nothing asks for any more".to_owned(),
            }),
            Self::FinalDeny { .. } | Self::Within | Self::ByNode => None,
        }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
        })
    }
}

impl fmt::Display for Decided {
    /// What decides, in words that follow the answer.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rule { policy, tier, priority, path, name, action, failed_closed } => {
                write!(f, "by {policy}, {path}")?;
                if let Some(name) = name {
                    write!(f, " `{name}`")?;
                }
                if let Some(priority) = priority {
                    write!(f, ", tier {tier}, priority {priority}")?;
                }
                match (action, failed_closed) {
                    (_, true) => f.write_str(": it holds something unknown, so it denies all"),
                    (Action::Pass, _) => f.write_str(": it passes, and nothing comes after it"),
                    (Action::Accept | Action::Deny, _) => Ok(()),
                }
            }
            Self::Isolation { policies } => match policies.as_slice() {
                [one] => write!(f, "{one} selects the pod, and no rule of it accepts this"),
                more => write!(f, "{} select the pod, and no rule accepts this", list(more)),
            },
            Self::NodeTraffic => f.write_str("by the setting nodeTraffic: it comes from a node"),
            Self::EssentialIcmp => f.write_str(
                "by the setting icmp: Essential; connections of the pod need it to find the path MTU",
            ),
            Self::OpenIcmp => f.write_str("by the setting icmp: Open; no rule decides"),
            Self::Itself => f.write_str("a pod always reaches itself"),
            Self::NotAPod => f.write_str("not a pod that policies see"),
            Self::Default => f.write_str("no rule decides"),
        }
    }
}

impl fmt::Display for Filtered {
    /// What happens, in words that follow the answer.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rule { group, rule, .. } => write!(f, "by {group}: {rule}"),
            Self::Nothing { groups } if groups.is_empty() => f.write_str("the pod wears no group"),
            Self::Nothing { groups } => {
                write!(f, "no rule of {} lets it through", groups.join(", "))
            }
            Self::Unfiltered { why } => f.write_str(match why {
                Unfiltered::Address => "not a pod with groups of its own",
                Unfiltered::NoInterface => "the pod has no interface in the cloud",
                Unfiltered::Itself => "it never leaves the pod",
                Unfiltered::Platform => {
                    "an address of the cloud itself, which neither groups nor network ACLs filter"
                }
            }),
        }
    }
}

impl Filtered {
    /// Who asks for the rule that carries the flow, in words; none where no rule does.
    #[must_use]
    pub fn purpose(&self) -> Option<String> {
        match self {
            Self::Rule { asker, serves, .. } => Some(match asker {
                Asker::Policies => format!("for {}", list(serves)),
                Asker::Defaults => "open by default or by a setting".to_owned(),
                Asker::Others => "a group that is not Moat's".to_owned(),
                Asker::LoadBalancer => "which the AWS load balancer controller keeps".to_owned(),
                Asker::Someone => "which someone added: the plan revokes it".to_owned(),
                Asker::Nobody => "which nothing asks for any more".to_owned(),
            }),
            Self::Nothing { .. } | Self::Unfiltered { .. } => None,
        }
    }
}

fn list(objects: &[ObjectRef]) -> String {
    const SHOWN: usize = 3;
    let names: Vec<String> = objects.iter().take(SHOWN).map(ToString::to_string).collect();
    match objects.len().saturating_sub(SHOWN) {
        0 => names.join(", "),
        more => format!("{} and {more} more", names.join(", ")),
    }
}
