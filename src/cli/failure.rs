//! Why a command was not done.

use std::io;
use std::path::PathBuf;

use moat_core::provider::ProviderError;
use moat_k8s::configuration::ConfigurationError;
use thiserror::Error;

/// Why a command was not done. Each says what, where, why and what to do.
#[derive(Debug, Error)]
pub(crate) enum Failure {
    /// The answer could not be written.
    #[error("cannot write the answer: {0}")]
    Output(#[from] io::Error),
    /// A path could not be read.
    #[error("cannot read `{}`: {source}", path.display())]
    Unreadable {
        /// The path.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A file could not be written.
    #[error("cannot write `{}`: {source}", path.display())]
    Unwritable {
        /// The path.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A file that is no manifest.
    #[error("`{}` is larger than {mebibytes} MiB: split it, or leave it out", path.display())]
    TooLarge {
        /// The path.
        path: PathBuf,
        /// The limit.
        mebibytes: u64,
    },
    /// A folder without manifests.
    #[error("`{}` holds no .yaml, .yml or .json file, nor does any folder below it", path.display())]
    NoManifests {
        /// The folder.
        path: PathBuf,
    },
    /// `-` stands twice.
    #[error("standard input can be read once: `-` stands here twice")]
    StdinTwice,
    /// The configuration is refused.
    #[error("{}{}: {error}", path.display(), error.place.map_or(String::new(), |(line, column)| format!(":{line}:{column}")))]
    Configuration {
        /// The file.
        path: PathBuf,
        /// What is wrong in it.
        error: ConfigurationError,
    },
    /// A file of expectations is refused.
    #[error("{place}: {message}")]
    Expectations {
        /// The file, with line and column where they are known.
        place: String,
        /// What is wrong in it.
        message: String,
    },
    /// The state file is refused.
    #[error("`{}`: {message}", path.display())]
    State {
        /// The file.
        path: PathBuf,
        /// What is wrong in it.
        message: String,
    },
    /// The arguments do not say what to explain.
    #[error("{0}")]
    Usage(String),
    /// A flow cannot be made from what was typed.
    #[error("{0}")]
    Flow(String),
    /// The cluster cannot be read or written.
    #[error("{0}")]
    Cluster(String),
    /// The account cannot be reached.
    #[error("cannot reach the cloud: {0}")]
    Unreached(String),
    /// The cloud did not answer.
    #[error("cannot read the cloud: {0}")]
    Unread(ProviderError),
    /// A plan did not reach its end.
    #[error("not applied: {0}")]
    NotApplied(String),
}
