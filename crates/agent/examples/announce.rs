//! A node that only says that it is there: in tests of other nodes, the edge host whose token keys they believe.
//!
//! ```sh
//! announce ZONE REGION CONTROL_ADDRESS JOIN_TOKEN_FILE STATE_DIR JWKS_FILE
//! ```
//!
//! Says `ready` once the control plane knows it, and goes on until its standard input ends.
#![allow(clippy::print_stdout, reason = "whoever started it waits for the word")]

use std::error::Error;
use std::path::PathBuf;

use locum_agent::{Agent, AgentConfig, Announcement};
use locum_identity::Role;
use tokio::io::AsyncReadExt as _;
use tokio_util::sync::CancellationToken;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [zone, region, control, token, state, jwks] =
        <[String; 6]>::try_from(arguments).map_err(|_| "needs six arguments")?;
    let config = AgentConfig {
        zone: zone.parse()?,
        region: region.parse()?,
        role: Role::Edge,
        control: vec![control.parse()?],
        from: None,
        join_token_file: Some(PathBuf::from(token)),
        state_dir: PathBuf::from(state),
        mesh: None,
    };
    let jwks = serde_json::from_slice(&std::fs::read(jwks)?)?;
    let announcement = Announcement { jwks: Some(jwks), ..Announcement::default() };
    let stop = CancellationToken::new();
    let _agent = Agent::start(config, announcement, stop.clone()).await?;
    println!("ready");
    let _ = tokio::io::stdin().read_to_end(&mut Vec::new()).await;
    stop.cancel();
    Ok(())
}
