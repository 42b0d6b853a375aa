//! The configuration while the controller runs: read again now and then, in force as soon as it can be.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use moat_k8s::configuration::Configuration;
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::sleep;
use tracing::{info, warn};

/// What the operator decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Decision {
    /// What is in force: the last configuration that could be.
    pub(crate) configuration: Arc<Configuration>,
    /// Why what is written by now is not, if it is not.
    pub(crate) refused: Option<String>,
}

/// Reads the configuration as it was read at the start; or says what is wrong with it, and what to do.
pub struct Reread(pub Box<dyn FnMut() -> Result<Configuration, String> + Send>);

/// How often it is read.
const PAUSE: Duration = Duration::from_secs(2);

/// Follows a configuration as long as somebody listens.
pub(crate) async fn follow(mut reread: Reread, decide: watch::Sender<Decision>) {
    loop {
        sleep(PAUSE).await;
        let reading = spawn_blocking(move || {
            let read = reread.0();
            (reread, read)
        });
        let Ok((again, read)) = reading.await else { return };
        reread = again;
        decide.send_if_modified(|last| {
            let next = last.followed_by(read);
            let is_news = *last != next;
            match &next.refused {
                Some(why) if is_news => {
                    warn!(%why, "the configuration is not in force: the last one stays")
                }
                None if is_news => info!("another configuration is in force"),
                Some(_) | None => {}
            }
            *last = next;
            is_news
        });
    }
}

impl Decision {
    /// What holds after the configuration was read again.
    fn followed_by(&self, read: Result<Configuration, String>) -> Self {
        let configuration = &self.configuration;
        let refused = match read {
            Ok(next) if next == **configuration => None,
            Ok(next) => match configuration.fixed_otherwise(&next) {
                None => return Self { configuration: Arc::new(next), refused: None },
                Some(field) => Some(format!(
                    "`{field}` is another than at the start: restart the controller, or write what was there"
                )),
            },
            Err(why) => Some(why),
        };
        Self { configuration: Arc::clone(configuration), refused }
    }
}

impl fmt::Debug for Reread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reread")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_in_force_is_refused_and_the_last_one_stays() {
        let first = Decision { configuration: Arc::default(), refused: None };
        let wrong = first.followed_by(Err("`icmp`: no such mode".to_owned()));
        assert_eq!(wrong.configuration, first.configuration);
        assert_eq!(wrong.refused.as_deref(), Some("`icmp`: no such mode"));
        let written = |field: &str| -> Configuration {
            let text = format!("apiVersion: moat.dev/v1alpha1\nkind: Configuration\n{field}");
            text.parse().expect("a configuration")
        };
        let open = written("icmp: Open");
        let next = wrong.followed_by(Ok(open.clone()));
        assert_eq!(next, Decision { configuration: Arc::new(open.clone()), refused: None });
        let moved = next.followed_by(Ok(written("icmp: Open\ncluster: other")));
        assert_eq!(*moved.configuration, open);
        assert!(moved.refused.is_some_and(|why| why.starts_with("`cluster` is another")));
        assert_eq!(wrong.followed_by(Ok(Configuration::default())), first, "mended");
    }
}
