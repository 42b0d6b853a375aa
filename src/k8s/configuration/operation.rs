//! How a controller that runs is looked after.

use std::net::SocketAddr;

use serde::Deserialize;

/// Where a controller answers over plain HTTP.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Serve {
    /// An address with a port, such as `[::]:8080`, for `/healthz`, `/readyz` and `/metrics`. Default: none.
    #[serde(default)]
    pub address: Option<SocketAddr>,
}

/// What a controller logs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Logging {
    /// What is logged at first. Default `info`.
    #[serde(default)]
    pub level: Level,
    /// A loopback address with a port, such as `127.0.0.1:8081`, where `/log` shows and sets the level. Default: none.
    #[serde(default)]
    pub address: Option<Loopback>,
}

/// What is logged: `error`, `warn`, `info`, `debug`, `trace`, `off`, or such a word for each part of the program, as
/// `tracing_subscriber::EnvFilter` reads them, such as `info,moat_controller=debug`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Level(pub String);

/// An address with a port that only processes of the same machine, or of the same pod, reach: whoever does needs no name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "SocketAddr")]
pub struct Loopback(pub SocketAddr);

impl Default for Level {
    fn default() -> Self {
        Self("info".to_owned())
    }
}

impl TryFrom<SocketAddr> for Loopback {
    type Error = String;

    fn try_from(address: SocketAddr) -> Result<Self, String> {
        if address.ip().is_loopback() {
            return Ok(Self(address));
        }
        Err(format!(
            "`{address}` is reached from other machines, and whoever reaches it may change the log: say `127.0.0.1:{}`",
            address.port()
        ))
    }
}
