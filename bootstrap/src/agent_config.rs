//! The agent's configuration, as it follows from the estate.

use std::io::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use keyside::azure::cloud::VaultUrl;
use nix::unistd::AccessFlags;

use crate::config::{Config, RunsOn};
use crate::item::{Key, Known};

/// The first line of every file that this program wrote, by which it knows them again.
const FIRST_LINE: &str =
    "# Written by keyside-bootstrap, which writes it anew when the estate changes. Nothing here is secret.";

/// The text of the agent's configuration; the client id of its identity comes from what Azure has.
#[must_use]
pub fn text(config: &Config, vault: &VaultUrl, known: &Known) -> String {
    let quoted = |text: &str| toml::Value::from(text).to_string();
    let readers: Vec<_> = config.agent.readers.iter().map(|reader| quoted(reader)).collect();
    let mut lines = vec![
        FIRST_LINE.to_owned(),
        format!("readers = [{}]", readers.join(", ")),
        String::new(),
        "[vault]".to_owned(),
        format!("url = {}", quoted(&vault.to_string())),
        String::new(),
        "[identity]".to_owned(),
        format!("kind = {}", quoted(identity_kind(config))),
    ];
    if let Some(client_id) = known.text(Key::Identity, "/properties/clientId") {
        lines.push(format!("client_id = {}", quoted(&client_id)));
    }
    if config.agent.runs_on == RunsOn::Kubernetes {
        lines.push(format!("tenant_id = {}", quoted(&config.tenant.to_string())));
    }
    let path = |path: &Path| quoted(&path.to_string_lossy());
    if let Some(socket) = &config.agent.socket {
        lines.extend([String::new(), "[api]".to_owned(), format!("socket = {}", path(socket))]);
    }
    if let Some(directory) = &config.agent.files {
        lines.extend([String::new(), "[files]".to_owned(), format!("directory = {}", path(directory))]);
    }
    for secret in &config.secrets {
        lines.extend([String::new(), "[[secret]]".to_owned(), format!("name = {}", quoted(secret.name.as_str()))]);
    }
    lines.join("\n") + "\n"
}

/// The kind of identity of the agent where it runs.
fn identity_kind(config: &Config) -> &'static str {
    match config.agent.runs_on {
        _ if config.agent_identity.is_none() => "auto",
        RunsOn::VirtualMachine => "managed-identity",
        RunsOn::ComputeCluster | RunsOn::ComputeInstance => "azure-ml",
        RunsOn::Kubernetes => "workload-identity",
        RunsOn::Elsewhere => "auto",
    }
}

/// What was done about a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// It has this text now.
    Anew,
    /// It had this text already.
    Unchanged,
}

/// Looks whether [`write()`] could write to `path`.
///
/// # Errors
/// What [`write()`] would say.
pub fn look(path: &Path) -> Result<()> {
    former(path)?;
    let folder = folder(path);
    let could_not = || format!("could not write {}", path.display());
    nix::unistd::access(folder, AccessFlags::W_OK | AccessFlags::X_OK).with_context(could_not)
}

/// Gives the file at `path` this text, unless it has it.
///
/// # Errors
/// When it cannot be read or written, or somebody else wrote it.
pub fn write(path: &Path, text: &str) -> Result<Written> {
    if former(path)?.as_deref() == Some(text) {
        return Ok(Written::Unchanged);
    }
    let beside = folder(path).join(format!(".{}.new", path.file_name().unwrap_or_default().to_string_lossy()));
    let could_not = || format!("could not write {}", path.display());
    let mut file = std::fs::File::create(&beside).with_context(could_not)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).with_context(could_not)?;
    // Whoever reads it meanwhile sees the old or the new one, whole.
    std::fs::rename(&beside, path).with_context(could_not)?;
    Ok(Written::Anew)
}

/// What this program wrote to `path` before.
fn former(path: &Path) -> Result<Option<String>> {
    match std::fs::read_to_string(path) {
        Ok(before) if before.lines().next() == Some(FIRST_LINE) => Ok(Some(before)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Ok(_) => bail!("{} was not written by this program: move it away, or set file under [agent]", path.display()),
        Err(error) => Err(error).with_context(|| format!("could not read {}", path.display())),
    }
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use keyside::config::Defaults;
    use keyside::principal::SystemAccounts;
    use serde_json::json;

    use super::*;
    use crate::testing::config;

    fn written(more: &str) -> String {
        let config = config(&format!("[[secret]]\nname = 'db'\ngenerate = {{}}\n{more}"));
        let known = Known::default();
        known.keep(Key::Identity, json!({"properties": {"clientId": "00000000-0000-4000-8000-000000000003"}}));
        text(&config, &"https://kv1.vault.azure.net".parse().expect("a URL"), &known)
    }

    #[test]
    fn the_agent_accepts_it_wherever_it_runs() {
        for runs_on in ["virtual-machine", "compute-cluster", "compute-instance", "kubernetes", "elsewhere"] {
            let text = written(&format!(
                "[agent_identity]\n[agent]\nruns_on = '{runs_on}'\nfiles = '/dev/shm/x'\nsocket = '/run/x/agent.sock'\n"
            ));
            let own = Defaults::of_service(1000, Path::new("/run/keyside/agent.sock"));
            let config = keyside::config::Config::parse(&text, &SystemAccounts, own);
            let config = config.unwrap_or_else(|problems| panic!("{runs_on}: {problems:?}\n{text}"));
            assert_eq!(config.identity.client_id.as_deref(), Some("00000000-0000-4000-8000-000000000003"));
            assert_eq!(config.vault.to_string(), "https://kv1.vault.azure.net");
            assert_eq!(config.wanted.len(), 1);
        }
    }

    #[test]
    fn a_file_with_the_same_text_is_not_written_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("agent.toml");
        let (one, two) = (format!("{FIRST_LINE}\na = 1\n"), format!("{FIRST_LINE}\na = 2\n"));
        assert_eq!(write(&path, &one).expect("written"), Written::Anew);
        assert_eq!(write(&path, &one).expect("looked at"), Written::Unchanged);
        assert_eq!(write(&path, &two).expect("written"), Written::Anew);
        assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 1, "nothing is left beside it");
    }

    #[test]
    fn a_file_that_somebody_else_wrote_stays_as_it_is() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("agent.toml");
        std::fs::write(&path, "# mine\n").expect("written");
        let error = write(&path, FIRST_LINE).expect_err("refused").to_string();
        assert_eq!(look(&path).expect_err("refused").to_string(), error);
        assert!(error.contains("was not written by this program"), "{error}");
        assert_eq!(std::fs::read_to_string(&path).expect("text"), "# mine\n");
    }

    #[test]
    fn a_folder_that_nothing_can_be_written_to_is_found_without_writing() {
        let folder = tempfile::tempdir().expect("a folder");
        look(&folder.path().join("agent.toml")).expect("it can be written");
        assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 0);
        let absent = look(&folder.path().join("absent/agent.toml")).expect_err("there is no folder");
        assert!(absent.to_string().contains("could not write"), "{absent}");
        std::fs::write(folder.path().join("file"), "").expect("written");
        look(&folder.path().join("file/agent.toml")).expect_err("its folder is a file");
        look(folder.path()).expect_err("it is a folder itself");
    }
}
