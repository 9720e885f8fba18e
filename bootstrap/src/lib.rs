//! Provisions what Keyside reads from: vault, workspace, identity, rights and first secrets. Azure is the only state.

pub mod agent_config;
pub mod apply;
pub mod arm;
pub mod azure;
pub mod cli;
pub mod config;
pub mod declaration;
pub mod destroy;
pub mod estate;
pub mod failure;
pub mod field;
pub mod graph;
pub mod id;
pub mod item;
pub mod names;
pub mod output;
pub mod plan;
pub mod preflight;
pub mod progress;
pub mod resources;
mod retry;
pub mod roles;
pub mod run;
pub mod secrets;
#[cfg(test)]
mod testing;
pub mod values;
pub mod vault_data;
