//! The calls of EC2 and of Service Quotas that Moat makes, and how fast the account may make them.

use std::num::NonZeroU32;

/// The token bucket of a call: its size, and the tokens that flow back each second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How many calls a full bucket allows at once.
    pub burst: NonZeroU32,
    /// How many calls each second allows in the long run.
    pub per_second: NonZeroU32,
}

/// What a call does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It reads: it can be repeated at will.
    Reads,
    /// It changes something, and its repetition is another call.
    Changes,
    /// It reads what there is a substitute for: nobody waits long for its answer.
    Inquires,
}

macro_rules! calls {
    ($($service:literal: $($name:ident: $effect:ident, $burst:literal, $per_second:literal;)*)*) => {
        /// A call of an API.
        #[expect(missing_docs, reason = "each is the call of its name in the API reference")]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Call { $($($name,)*)* }

        impl Call {
            /// Every call.
            pub const ALL: &'static [Self] = &[$($(Self::$name,)*)*];

            /// Its name in the API.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $($(Self::$name => stringify!($name),)*)* }
            }

            /// Its name in permissions.
            #[must_use]
            pub const fn action(self) -> &'static str {
                match self { $($(Self::$name => concat!($service, ":", stringify!($name)),)*)* }
            }

            /// What it does.
            #[must_use]
            pub const fn effect(self) -> Effect {
                match self { $($(Self::$name => Effect::$effect,)*)* }
            }

            /// The bucket that each account and region has for it by default ("Request throttling", EC2 Developer Guide, for
            /// filtered and paged reads; "Service quotas for Service Quotas").
            #[must_use]
            pub const fn rate(self) -> Rate {
                match self { $($(Self::$name => Rate::of($burst, $per_second),)*)* }
            }
        }
    };
}

calls! {
    "ec2":
    CreateSecurityGroup: Changes, 50, 5;
    DeleteSecurityGroup: Changes, 50, 5;
    AuthorizeSecurityGroupIngress: Changes, 50, 5;
    AuthorizeSecurityGroupEgress: Changes, 50, 5;
    RevokeSecurityGroupIngress: Changes, 50, 5;
    RevokeSecurityGroupEgress: Changes, 50, 5;
    ModifyNetworkInterfaceAttribute: Changes, 100, 5;
    CreateNetworkAcl: Changes, 50, 5;
    DeleteNetworkAcl: Changes, 50, 5;
    CreateNetworkAclEntry: Changes, 50, 5;
    ReplaceNetworkAclEntry: Changes, 50, 5;
    DeleteNetworkAclEntry: Changes, 50, 5;
    ReplaceNetworkAclAssociation: Changes, 50, 5;
    CreateTags: Changes, 100, 10;
    DeleteTags: Changes, 100, 10;
    DescribeVpcs: Reads, 100, 20;
    DescribeSecurityGroups: Reads, 100, 20;
    DescribeSecurityGroupRules: Reads, 100, 20;
    DescribeNetworkInterfaces: Reads, 100, 20;
    DescribeNetworkAcls: Reads, 100, 20;
    DescribeSubnets: Reads, 100, 20;
    GetManagedPrefixListEntries: Reads, 100, 20;
    "servicequotas":
    GetServiceQuota: Inquires, 5, 5;
}

impl Rate {
    /// A bucket of a size, and the tokens that flow back each second; at least one of each.
    #[must_use]
    pub const fn of(burst: u32, per_second: u32) -> Self {
        const fn some(number: u32) -> NonZeroU32 {
            match NonZeroU32::new(number) {
                Some(number) => number,
                None => NonZeroU32::MIN,
            }
        }
        Self { burst: some(burst), per_second: some(per_second) }
    }
}
