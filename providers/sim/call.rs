//! The calls of EC2 that the VPC answers, and how fast it answers them.

use std::collections::BTreeMap;
use std::time::Duration;

use moat_core::policy::Direction;
use moat_core::provider::Tokens;
use serde::{Deserialize, Serialize};

macro_rules! calls {
    ($($name:ident: $mutates:literal, $size:literal, $refill:literal;)*) => {
        /// A call of the EC2 API, or of Service Quotas.
        #[expect(missing_docs, reason = "each is the call of its name in the EC2 API reference")]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Call { $($name,)* }

        impl Call {
            /// Every call.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// Its name in the API.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)* }
            }

            /// Whether it changes anything.
            #[must_use]
            pub const fn mutates(self) -> bool {
                match self { $(Self::$name => $mutates,)* }
            }

            /// The size of its token bucket, and the tokens that flow back each second (EC2 Developer Guide, "Request throttling").
            const fn bucket(self) -> (u64, u64) {
                match self { $(Self::$name => ($size, $refill),)* }
            }
        }
    };
}

calls! {
    CreateSecurityGroup: true, 50, 5;
    DeleteSecurityGroup: true, 50, 5;
    AuthorizeSecurityGroupIngress: true, 50, 5;
    AuthorizeSecurityGroupEgress: true, 50, 5;
    RevokeSecurityGroupIngress: true, 50, 5;
    RevokeSecurityGroupEgress: true, 50, 5;
    ModifyNetworkInterfaceAttribute: true, 100, 5;
    CreateNetworkAcl: true, 50, 5;
    CreateNetworkAclEntry: true, 50, 5;
    ReplaceNetworkAclEntry: true, 50, 5;
    DeleteNetworkAclEntry: true, 50, 5;
    ReplaceNetworkAclAssociation: true, 50, 5;
    DeleteNetworkAcl: true, 50, 5;
    CreateTags: true, 100, 10;
    DeleteTags: true, 100, 10;
    DescribeSecurityGroups: false, 100, 20;
    DescribeSecurityGroupRules: false, 100, 20;
    DescribeNetworkInterfaces: false, 100, 20;
    DescribeNetworkAcls: false, 100, 20;
    DescribeSubnets: false, 100, 20;
    GetServiceQuota: false, 100, 20;
}

impl Call {
    pub(crate) const fn authorize(direction: Direction) -> Self {
        match direction {
            Direction::Ingress => Self::AuthorizeSecurityGroupIngress,
            Direction::Egress => Self::AuthorizeSecurityGroupEgress,
        }
    }

    pub(crate) const fn revoke(direction: Direction) -> Self {
        match direction {
            Direction::Ingress => Self::RevokeSecurityGroupIngress,
            Direction::Egress => Self::RevokeSecurityGroupEgress,
        }
    }
}

/// The token bucket of each call. A call without a bucket yet has a full one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Buckets(BTreeMap<Call, Bucket>);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Bucket {
    /// Thousandths of a token.
    level: u64,
    /// When it was last looked at.
    at: Duration,
}

impl Buckets {
    /// Takes a token, if there is one. `now` never goes back.
    pub(crate) fn take(&mut self, call: Call, now: Duration) -> bool {
        let (size, refill) = call.bucket();
        let bucket = self.0.entry(call).or_insert(Bucket { level: size * 1_000, at: now });
        let elapsed = u64::try_from(now.saturating_sub(bucket.at).as_millis()).unwrap_or(u64::MAX);
        bucket.level =
            bucket.level.saturating_add(elapsed.saturating_mul(refill)).min(size * 1_000);
        bucket.at = now;
        let taken = bucket.level.checked_sub(1_000);
        bucket.level = taken.unwrap_or(bucket.level);
        taken.is_some()
    }

    /// What is left of a call's tokens since it was last looked at.
    pub(crate) fn tokens(&self, call: Call) -> Tokens {
        let (size, refill) = call.bucket();
        let level = self.0.get(&call).map_or(size, |bucket| bucket.level / 1_000);
        let count = |tokens: u64| u32::try_from(tokens).unwrap_or(u32::MAX);
        let period = Duration::from_millis(1_000_u64.checked_div(refill).unwrap_or(u64::MAX));
        Tokens { left: count(level), size: count(size), period }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_gives_its_size_at_once_and_then_its_refill() {
        let mut buckets = Buckets::default();
        let mut burst = |seconds, call| {
            let now = Duration::from_secs(seconds);
            (0..1_000).filter(|_| buckets.take(call, now)).count()
        };
        assert_eq!(burst(0, Call::AuthorizeSecurityGroupIngress), 50);
        assert_eq!(burst(1, Call::AuthorizeSecurityGroupIngress), 5);
        assert_eq!(burst(1, Call::AuthorizeSecurityGroupEgress), 50, "each call has its own");
        assert_eq!(burst(3, Call::AuthorizeSecurityGroupIngress), 10);
        assert_eq!(burst(1_000, Call::AuthorizeSecurityGroupIngress), 50);
    }
}
