//! How an account of AWS is reached.

use serde::Deserialize;

/// What AWS's own variables and profiles leave open, or what goes before them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AwsAccess {
    /// Where the VPC is. Default: what `AWS_REGION` or the profile says.
    #[serde(default)]
    pub region: Option<Region>,
    /// A role to assume with the credentials of the environment. Default: none.
    #[serde(default)]
    pub role_arn: Option<RoleArn>,
}

/// The code of a region, such as `eu-central-1`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Region(String);

/// The ARN of a role, such as `arn:aws:iam::123456789012:role/moat`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct RoleArn(String);

impl Region {
    /// The code.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Region {
    type Error = String;

    fn try_from(code: String) -> Result<Self, String> {
        let words: Vec<&str> = code.split('-').collect();
        let is_word =
            |word: &&str| !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase());
        let fits = match words.as_slice() {
            [places @ .., number] => {
                places.len() >= 2
                    && places.iter().all(is_word)
                    && number.parse::<u8>().is_ok_and(|it| it.to_string() == *number)
            }
            [] => false,
        };
        if fits {
            return Ok(Self(code));
        }
        Err(format!("`{code}` is not the code of a region, such as `eu-central-1`"))
    }
}

impl RoleArn {
    /// The ARN.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for RoleArn {
    type Error = String;

    /// IAM, "IAM ARNs": `arn:partition:iam::account:role/name-with-path`; "IAM and STS quotas": of a name, letters, digits and
    /// `+=,.@_-`.
    fn try_from(arn: String) -> Result<Self, String> {
        let parts: Vec<&str> = arn.splitn(6, ':').collect();
        let is_name = |name: &str| {
            !name.is_empty()
                && name.chars().all(|c| c.is_ascii_alphanumeric() || "+=,.@_-".contains(c))
        };
        let fits = match parts.as_slice() {
            ["arn", partition, "iam", "", account, resource] => {
                partition.starts_with("aws")
                    && account.len() == 12
                    && account.chars().all(|c| c.is_ascii_digit())
                    && resource
                        .strip_prefix("role/")
                        .is_some_and(|path| path.split('/').all(is_name))
            }
            _ => false,
        };
        if fits {
            return Ok(Self(arn));
        }
        Err(format!(
            "`{arn}` is not the ARN of a role, such as `arn:aws:iam::123456789012:role/moat`"
        ))
    }
}
