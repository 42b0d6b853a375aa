//! The faults of LocalStack's table that befall one call.

use serde_json::{Value, json};

/// What befalls a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Kill,
    Lost,
    Throttle,
    NotFound,
    Duplicate,
    Quota,
    Dependency,
    Unauthorized,
}

impl Kind {
    pub(crate) const ALL: [Self; 8] = [
        Self::Kill,
        Self::Lost,
        Self::Throttle,
        Self::NotFound,
        Self::Duplicate,
        Self::Quota,
        Self::Dependency,
        Self::Unauthorized,
    ];

    /// The rules of the fault table; none where EC2 never answers so.
    pub(crate) fn rules(self, calls: &[String], index: usize, after: bool) -> Option<Vec<Value>> {
        let op = calls[index].as_str();
        let skip = calls[..index].iter().filter(|earlier| *earlier == op).count();
        let reads = op.starts_with("Describe");
        if reads && after {
            // It has no effect that could come before its answer.
            return None;
        }
        let fault = |code: &str, status: u16, times: i8| {
            Some(vec![
                json!({"op": op, "agent": MOAT, "skip": skip, "after": after, "code": code, "status": status, "times": times}),
            ])
        };
        match self {
            // Nothing that a dead process would have called takes effect: every later call is lost before it does.
            Self::Kill => {
                let last = json!({"agent": MOAT, "drop": true, "after": true, "skip": index});
                let dead = json!({"agent": MOAT, "drop": true, "times": -1, "skip": index + usize::from(after)});
                Some(if after { vec![last, dead] } else { vec![dead] })
            }
            Self::Lost => Some(vec![
                json!({"op": op, "agent": MOAT, "skip": skip, "after": after, "drop": true}),
            ]),
            Self::Throttle => fault("RequestLimitExceeded", 503, 1),
            Self::NotFound => match op {
                "ModifyNetworkInterfaceAttribute" => fault("InvalidGroup.NotFound", 400, 3),
                "CreateTags" | "DeleteTags" => fault("InvalidNetworkInterfaceID.NotFound", 400, 3),
                _ if reads || op == "CreateSecurityGroup" => None,
                _ => fault("InvalidGroup.NotFound", 400, 3),
            },
            Self::Duplicate => match op {
                "CreateSecurityGroup" => fault("InvalidGroup.Duplicate", 400, 1),
                _ if op.starts_with("Authorize") => fault("InvalidPermission.Duplicate", 400, 1),
                _ => None,
            },
            Self::Quota => match op {
                "CreateSecurityGroup" => fault("SecurityGroupLimitExceeded", 400, 1),
                "ModifyNetworkInterfaceAttribute" => {
                    fault("SecurityGroupsPerInterfaceLimitExceeded", 400, 1)
                }
                _ if op.starts_with("Authorize") => {
                    fault("RulesPerSecurityGroupLimitExceeded", 400, 1)
                }
                _ => None,
            },
            Self::Dependency => match op {
                "DeleteSecurityGroup" => fault("DependencyViolation", 400, -1),
                _ => None,
            },
            Self::Unauthorized => fault("UnauthorizedOperation", 403, 1),
        }
    }
}

/// Part of the User-Agent of Moat's calls.
const MOAT: &str = "aws-sdk-rust";
