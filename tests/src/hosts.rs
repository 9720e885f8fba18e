//! A host file of one program's own, so that names can appear and vanish for it alone. Takes root.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::binaries;

/// Lays both files over the system's in a mount namespace of its own, and becomes the program: the process id stays.
const SCRIPT: &str = "mount --bind \"$1\" /etc/hosts && mount --bind \"$2\" /etc/resolv.conf && shift 2 && exec \"$@\"";

/// The names that a program knows beside those of a name service which never answers.
#[derive(Debug)]
pub struct Hosts {
    hosts: PathBuf,
    resolver: PathBuf,
}

impl Hosts {
    /// Knows one name.
    ///
    /// # Panics
    /// When `folder` cannot be written.
    #[must_use]
    pub fn naming(folder: &Path, host: &str, address: std::net::IpAddr) -> Self {
        let (hosts, resolver) = (folder.join("hosts"), folder.join("resolv.conf"));
        std::fs::write(&hosts, format!("127.0.0.1 localhost\n{address} {host}\n")).expect("a host file");
        // Nothing listens on port 53 there.
        std::fs::write(&resolver, format!("nameserver {address}\noptions timeout:1 attempts:1\n")).expect("a file");
        Self { hosts, resolver }
    }

    /// Lets the name be forgotten, or known again. The file is changed in place, since it is mounted by its inode.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn know(&self, host: &str, address: Option<std::net::IpAddr>) {
        let line = address.map(|address| format!("{address} {host}\n")).unwrap_or_default();
        std::fs::write(&self.hosts, format!("127.0.0.1 localhost\n{line}")).expect("the host file");
    }

    /// A command for one of the workspace's programs that sees these names.
    #[must_use]
    pub fn command(&self, name: &str) -> Command {
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "sh", "-c", SCRIPT, "sh"]);
        command.args([&self.hosts, &self.resolver]).args(["env", "--default-signal=INT"]).arg(binaries::path(name));
        command.env_clear().env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        command
    }
}
