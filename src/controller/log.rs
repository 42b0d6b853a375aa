//! The log: a JSON object in a line each, on standard error, of what its level lets through.

use std::fmt;

use tracing::level_filters::LevelFilter;
use tracing::warn;
use tracing_subscriber::reload::Handle;
use tracing_subscriber::{EnvFilter, fmt as format};

/// Sets what is logged while the program runs.
#[derive(Clone)]
pub struct Log(
    Handle<
        EnvFilter,
        format::Formatter<
            format::format::JsonFields,
            format::format::Format<format::format::Json>,
            Writer,
        >,
    >,
);

/// Where it goes.
type Writer = fn() -> std::io::Stderr;

impl Log {
    /// Logs from here on, for the whole process, as directives say, such as `info,moat_controller=debug`.
    ///
    /// # Errors
    /// Why the directives are refused; or the process logs already.
    pub fn start(directives: &str) -> Result<Self, String> {
        let filter = parse(directives)?;
        let builder = format::fmt().json().with_writer(std::io::stderr as Writer);
        let builder = builder.with_env_filter(filter).with_filter_reloading();
        let handle = builder.reload_handle();
        builder.try_init().map_err(|error| format!("nothing can be logged: {error}"))?;
        Ok(Self(handle))
    }

    /// What is logged; none once nothing is any more.
    pub(crate) fn level(&self) -> Option<String> {
        self.0.with_current(ToString::to_string).ok()
    }

    /// Logs otherwise.
    pub(crate) fn set_level(&self, directives: &str) -> Result<(), String> {
        let filter = parse(directives)?;
        self.0.reload(filter).map_err(|error| error.to_string())?;
        warn!(directives, "the level of the log was set");
        Ok(())
    }
}

/// Every directive has to be a level, or name one for a part. A word alone would be taken for a part, and silence all others.
fn parse(directives: &str) -> Result<EnvFilter, String> {
    let is_level = |word: &str| {
        word.contains('=') || (!word.is_empty() && word.parse::<LevelFilter>().is_ok())
    };
    let refused = |why: &dyn fmt::Display| {
        format!("`{directives}` is no level: {why}: say `debug`, or `info,moat_controller=debug`")
    };
    if let Some(word) = directives.split(',').find(|word| !is_level(word)) {
        return Err(refused(&format_args!("`{word}` is neither a level nor `PART=LEVEL`")));
    }
    let builder = EnvFilter::builder().with_default_directive(LevelFilter::OFF.into());
    builder.parse(directives).map_err(|error| refused(&error))
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Log").field(&self.level()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directives_are_taken_whole_or_not_at_all() {
        for good in ["info", "off", "info,moat_controller=debug", "moat_controller::worker=trace"] {
            assert!(parse(good).is_ok(), "{good}");
        }
        for bad in ["", "loud", "info,moat_controller=loud"] {
            assert!(parse(bad).is_err_and(|error| error.contains("say `")), "{bad}");
        }
    }
}
