//! What the admission webhook of Azure's workload identity makes of a template before the kubelet sees it.
//!
//! Source: `mutateContainers` and `addProjectedVolume` of github.com/Azure/azure-workload-identity, `pkg/webhook/webhook.go`.

use crate::template::{Container, Mount, Template, Variable, Volume};

/// Where each container that is not left out finds the token.
const FOLDER: &str = "/var/run/secrets/azure/tokens";

/// The token's file there.
pub(crate) const FILE: &str = "azure-identity-token";

/// The volume that holds it.
pub(crate) const VOLUME: &str = "azure-identity-token";

const LABEL: &str = "azure.workload.identity/use";
const LEFT_OUT: &str = "azure.workload.identity/skip-containers";

/// Gives the identity to the containers of a template that asks for it.
pub(crate) fn admit(template: &mut Template, client: &str, tenant: &str) {
    if template.metadata.labels.get(LABEL).map(String::as_str) != Some("true") {
        return;
    }
    let left_out = template.metadata.annotations.get(LEFT_OUT).cloned().unwrap_or_default();
    let left_out: Vec<_> = left_out.split(';').map(str::trim).collect();
    let spec = &mut template.spec;
    for container in spec.init_containers.iter_mut().chain(&mut spec.containers) {
        if !left_out.contains(&container.name.as_str()) {
            give(container, client, tenant);
        }
    }
    spec.volumes.push(Volume { name: VOLUME.to_owned(), empty_dir: None, config_map: None });
}

fn give(container: &mut Container, client: &str, tenant: &str) {
    let token_file = format!("{FOLDER}/{FILE}");
    let variables = [
        ("AZURE_CLIENT_ID", client),
        ("AZURE_TENANT_ID", tenant),
        ("AZURE_FEDERATED_TOKEN_FILE", &token_file),
        ("AZURE_AUTHORITY_HOST", "https://login.microsoftonline.com/"),
    ];
    container.env.extend(variables.map(|(name, value)| Variable { name: name.to_owned(), value: value.to_owned() }));
    container.volume_mounts.push(Mount { name: VOLUME.to_owned(), path: FOLDER.to_owned(), read_only: true });
}
