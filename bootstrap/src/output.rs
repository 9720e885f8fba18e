//! What an estate is known by to others, and what to do next with it.

use std::io::{self, Write};

use serde_json::{Value, json};

use crate::config::{Config, RunsOn, Source};
use crate::id::ArmId;
use crate::item::{Key, Known};
use crate::plan::{Plan, Step};
use crate::resources::secret::KIND as SECRET;
use crate::resources::{identity, vault, workspace};

/// What others need to know of the estate.
#[derive(Debug)]
pub struct Outputs {
    values: Vec<(&'static str, String)>,
    next: Vec<String>,
}

impl Outputs {
    /// What is known of the estate now.
    #[must_use]
    pub fn of(config: &Config, vault_url: &str, known: &Known) -> Self {
        let mut values = vec![
            ("resource_group", config.group.clone()),
            // As Azure shows it when asked; what it answers to a creation lacks the stroke at the end.
            ("key_vault_uri", format!("{vault_url}/")),
            ("key_vault_id", config.id_of(vault::KIND, &config.vault.place).to_string()),
        ];
        if let Some(wanted) = &config.workspace {
            values.push(("ml_workspace_name", wanted.name.clone()));
            values.push(("ml_workspace_id", config.group_id().resource(workspace::KIND, &wanted.name).to_string()));
        }
        if let Some(wanted) = &config.agent_identity {
            values.push(("agent_identity_id", config.id_of(identity::KIND, &wanted.place).to_string()));
            let text = |name, pointer| known.text(Key::Identity, pointer).map(|text| (name, text));
            values.extend(text("agent_client_id", "/properties/clientId"));
            values.extend(text("agent_principal_id", "/properties/principalId"));
        }
        values.push(("agent_config", config.agent.file.display().to_string()));
        Self { values, next: next(config) }
    }

    /// The same after the commands that set what `plan` found to be set by others, and not to be there.
    #[must_use]
    pub fn with_unset(mut self, config: &Config, plan: &Plan) -> Self {
        let by_others = |name: &str| {
            config.secrets.iter().any(|secret| secret.name.as_str() == name && secret.source == Source::Others)
        };
        let unset = plan.steps.iter().filter(|step| {
            step.label.kind == SECRET && step.observed.document.is_none() && by_others(&step.label.name)
        });
        let vault = config.id_of(vault::KIND, &config.vault.place);
        let command = |step: &Step| {
            format!("az keyvault secret set --vault-name {} --name {} --file FILE", vault.name(), step.label.name)
        };
        self.next.splice(0..0, unset.map(command));
        self
    }

    /// Shows them to people.
    ///
    /// # Errors
    /// When `out` cannot be written.
    pub fn write_table(&self, out: &mut dyn Write) -> io::Result<()> {
        let width = self.values.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
        for (name, value) in &self.values {
            writeln!(out, "{name:width$}  {value}")?;
        }
        writeln!(out, "\nNext:")?;
        self.next.iter().try_for_each(|line| writeln!(out, "  {line}"))
    }

    /// The same for programs.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut object: Value = json!({"next": self.next});
        for (name, value) in &self.values {
            object[*name] = value.as_str().into();
        }
        object
    }
}

/// The exact commands that bring the agent to work.
fn next(config: &Config) -> Vec<String> {
    let file = config.agent.file.display();
    let identity = config.agent_identity.as_ref().map(|wanted| config.id_of(identity::KIND, &wanted.place));
    let group = &config.group;
    let assign = match (config.agent.runs_on, &identity) {
        // A machine that the file names has been given the identity.
        _ if config.agent.compute.is_some() => Vec::new(),
        (RunsOn::VirtualMachine, Some(id)) => {
            vec![format!("az vm identity assign --resource-group {group} --name NAME --identities {id}")]
        }
        (RunsOn::ComputeCluster | RunsOn::ComputeInstance, Some(id)) => {
            let workspace = config.workspace.as_ref().map_or("WORKSPACE", |workspace| &workspace.name);
            vec![format!(
                "az ml compute update --resource-group {group} --workspace-name {workspace} --name NAME --identity-type \
                 UserAssigned --user-assigned-identities {id}"
            )]
        }
        (RunsOn::Kubernetes, Some(id)) => kubernetes(config, id),
        (RunsOn::Elsewhere, _) | (_, None) => Vec::new(),
    };
    let agent = [format!("keyside check --online --config {file}"), format!("keyside agent --config {file}")];
    assign.into_iter().chain(agent).collect()
}

/// What makes a service account act as the identity; the identity's trust in it only where the file does not name it.
fn kubernetes(config: &Config, identity: &ArmId) -> Vec<String> {
    let trusted = config.agent_identity.as_ref().is_some_and(|wanted| wanted.kubernetes.is_some());
    let trust = (!trusted).then(|| {
        format!(
            "az identity federated-credential create --resource-group {} --identity-name {} --name NAME --issuer ISSUER \
             --subject system:serviceaccount:NAMESPACE:NAME --audiences api://AzureADTokenExchange",
            identity.group_name(),
            identity.name()
        )
    });
    let annotation = "kubectl annotate serviceaccount NAME azure.workload.identity/client-id=$(keyside-bootstrap output \
                      --config FILE --output json | jq -r .agent_client_id)";
    trust.into_iter().chain([annotation.to_owned()]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::config;

    fn outputs(more: &str) -> Outputs {
        let config = config(&format!("[workspace]\n[agent_identity]\n{more}"));
        Outputs::of(&config, "https://kv1.vault.azure.net", &Known::default())
    }

    #[test]
    fn the_two_exports_of_the_seed_are_there() {
        let json = outputs("").to_json();
        assert_eq!(json["key_vault_uri"], "https://kv1.vault.azure.net/");
        assert_eq!(json["ml_workspace_name"], "ml-ml");
    }

    #[test]
    fn the_next_command_fits_the_compute() {
        let rows = [
            ("runs_on = 'virtual-machine'", "az vm identity assign --resource-group ml-rg --name NAME"),
            ("runs_on = 'virtual-machine'\ncompute = 'vm1'", "keyside check --online --config agent.toml"),
            ("runs_on = 'compute-cluster'", "az ml compute update --resource-group ml-rg --workspace-name ml-ml"),
            ("runs_on = 'compute-instance'\ncompute = 'ci'", "keyside check --online --config agent.toml"),
            (
                "runs_on = 'kubernetes'",
                "az identity federated-credential create --resource-group ml-rg --identity-name ml-agent",
            ),
            ("", "keyside check --online --config agent.toml"),
        ];
        for (agent, start) in rows {
            let json = outputs(&format!("[agent]\n{agent}\n")).to_json();
            assert!(json["next"][0].as_str().is_some_and(|line| line.starts_with(start)), "{agent}: {json}");
        }
    }

    #[test]
    fn of_a_workspace_that_is_not_of_this_estate_the_name_is_left_open() {
        let text = "subscription = '00000000-0000-4000-8000-000000000001'\ntenant = '00000000-0000-4000-8000-000000000002'\n\
                    location = 'westeurope'\nprefix = 'ml'\n[vault]\n[agent_identity]\n[agent]\nruns_on = 'compute-cluster'\n";
        let config = Config::parse(text, 1000).expect("it fits");
        let next = &Outputs::of(&config, "https://kv1.vault.azure.net", &Known::default()).next[0];
        assert!(next.starts_with("az ml compute update --resource-group ml-rg --workspace-name WORKSPACE"), "{next}");
    }

    #[test]
    fn a_service_account_that_the_file_names_is_trusted_already() {
        let account = "kubernetes = { issuer = 'https://a.example/', namespace = 'ml', service_account = 'trainer' }";
        let json = outputs(&format!("{account}\n[agent]\nruns_on = 'kubernetes'\n")).to_json();
        let first = json["next"][0].as_str().expect("a command");
        assert!(first.starts_with("kubectl annotate serviceaccount"), "{json}");
    }
}
