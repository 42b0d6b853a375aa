//! The few arguments that the commands of this crate take.

use std::fmt::Display;
use std::process::ExitCode;

use crate::generate::QuotaChoice;

/// `--name value` pairs and flags, in any order.
#[derive(Clone, Debug)]
pub struct Arguments(Vec<String>);

impl Arguments {
    /// Those of this process.
    #[must_use]
    pub fn of_process() -> Self {
        Self(std::env::args().collect())
    }

    /// The value after a name.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&str> {
        let at = self.0.iter().position(|argument| argument == name)?;
        self.0.get(at + 1).map(String::as_str)
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
        self.0.iter().any(|argument| argument == flag)
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
