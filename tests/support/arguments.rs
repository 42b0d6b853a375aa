//! The few arguments that the commands of this crate take.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::process::ExitCode;

use crate::generate::QuotaChoice;

/// `--name value` pairs and flags, in any order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arguments(BTreeMap<String, Option<String>>);

impl Arguments {
    /// Those of this process, if they are among those that `usage` names: `[--name VALUE]` and `[--flag]`. Else it ends and prints
    /// `usage`.
    #[must_use]
    pub fn of_process(usage: &str) -> Self {
        Self::parse(std::env::args().skip(1), usage).unwrap_or_else(|why| {
            eprintln!("{why}\nusage: {usage}");
            std::process::exit(2)
        })
    }

    fn parse(all: impl IntoIterator<Item = String>, usage: &str) -> Result<Self, String> {
        let named = usage.split('[').skip(1).filter_map(|name| Some(name.split_once(']')?.0));
        let named: BTreeMap<&str, bool> = named
            .map(|name| name.split_once(' ').map_or((name, false), |(name, _)| (name, true)))
            .collect();
        let mut given = BTreeMap::new();
        let mut all = all.into_iter();
        while let Some(name) = all.next() {
            let value = match named.get(name.as_str()) {
                Some(true) => Some(all.next().ok_or_else(|| format!("`{name}` needs a value"))?),
                Some(false) => None,
                // What cargo itself gives to a benchmark.
                None if name == "--bench" => None,
                None => return Err(format!("`{name}` is not known")),
            };
            given.insert(name, value);
        }
        Ok(Self(given))
    }

    /// The value after a name.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.as_deref()
    }

    /// The number after a name, or a default.
    #[must_use]
    pub fn number(&self, name: &str, default: u64) -> u64 {
        let parsed = self.value(name).map(str::parse);
        match parsed {
            None => default,
            Some(Ok(number)) => number,
            Some(Err(error)) => panic!("`{name}`: {error}"),
        }
    }

    /// Whether a flag is given.
    #[must_use]
    pub fn has(&self, flag: &str) -> bool {
        self.0.contains_key(flag)
    }

    /// `--quotas any`, `tight` or `unlimited`.
    #[must_use]
    pub fn quotas(&self) -> QuotaChoice {
        match self.value("--quotas") {
            None | Some("any") => QuotaChoice::Any,
            Some("tight") => QuotaChoice::Tight,
            Some("unlimited") => QuotaChoice::Unlimited,
            Some(other) => panic!("`--quotas {other}`: write `any`, `tight` or `unlimited`"),
        }
    }

    /// Prints what came of a run.
    #[must_use]
    pub fn report(&self, outcome: Result<impl Display, String>) -> ExitCode {
        match outcome {
            Ok(figures) => {
                println!("{figures}");
                ExitCode::SUCCESS
            }
            Err(why) => {
                println!("{why}");
                ExitCode::FAILURE
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Arguments;

    fn parsed(given: &str) -> Result<Arguments, String> {
        let given = given.split_whitespace().map(str::to_owned);
        Arguments::parse(given, "walk [--steps N] [--gait slow|fast] [--blind]")
    }

    #[test]
    fn what_the_usage_does_not_name_is_refused() {
        assert_eq!(parsed("--help"), Err("`--help` is not known".to_owned()));
        assert_eq!(parsed("--steps 1 2"), Err("`2` is not known".to_owned()));
        assert_eq!(parsed("--blind --steps"), Err("`--steps` needs a value".to_owned()));
    }

    #[test]
    fn values_and_flags_are_taken_in_any_order() {
        let all = parsed("--blind --gait fast").unwrap();
        assert_eq!((all.value("--gait"), all.has("--blind")), (Some("fast"), true));
        assert_eq!((all.number("--steps", 7), all.has("--steps")), (7, false));
    }
}
