//! What is missing in the vault, and the command that grants it, which is carried out where the emulator can.

use keyside_tests::estate::{ADDRESS, Estate, OBJECT, VAULT};

use crate::{CONFIG, VALUES, check, check_with};

const ROLE: &str = "Key Vault Secrets User";

#[test]
fn where_everything_is_granted_the_check_says_so_and_ends_with_0() {
    let estate = Estate::start(&VALUES);
    let checked = check(&estate, CONFIG, &[]);
    assert_eq!(checked.code, Some(0), "{}", checked.out);
    for part in ["listing      allowed", "2 of 2 required secret(s) can be read: an agent will be ready"] {
        assert!(checked.out.contains(part), "{part} in {}", checked.out);
    }
    assert_eq!(checked.commands(), Vec::<&str>::new());
}

#[test]
fn a_job_without_a_file_is_checked_by_its_variables_and_flags() {
    let estate = Estate::start(&VALUES);
    let mut variables = estate.variables();
    variables.insert("KEY_VAULT_URL".to_owned(), format!("https://{VAULT}.vault.azure.net"));
    let checked = check_with(&variables, &["--secret", "db-password", "--secret", "absent"]);
    assert_eq!(checked.code, Some(69), "{}", checked.out);
    assert!(checked.out.contains("1 of 2 required secret(s) can be read"), "{}", checked.out);

    variables.remove("KEY_VAULT_URL");
    let checked = check_with(&variables, &["--secret", "db-password"]);
    assert_eq!(checked.code, Some(78), "{}", checked.out);
    assert!(checked.out.contains("set KEY_VAULT_URL, or name --vault-url"), "{}", checked.out);
}

#[test]
fn a_missing_role_is_granted_by_the_command_as_it_stands() {
    let estate = Estate::start(&VALUES);
    estate.emulator.run(&["role", "revoke", VAULT, OBJECT, ROLE]);
    let checked = check(&estate, CONFIG, &[]);
    assert_eq!(checked.code, Some(69), "{}", checked.out);
    let scope = "/subscriptions/00000000-0000-4000-8000-000000000001/resourceGroups/keyside/providers/Microsoft.KeyVault/vaults/ml-vault";
    let command = format!(
        "az role assignment create --role '{ROLE}' --assignee-object-id {OBJECT} --assignee-principal-type \
         ServicePrincipal --scope {scope}"
    );
    assert_eq!(checked.commands(), [command], "one role on the vault helps both secrets");
    assert!(checked.out.contains("\ndb-password, api-token: the identity has no role"), "{}", checked.out);
    assert!(checked.out.contains("up to ten minutes"), "{}", checked.out);

    estate.emulator.run(&["role", "grant", VAULT, OBJECT, ROLE]);
    assert_eq!(check(&estate, CONFIG, &[]).code, Some(0));
}

#[test]
fn roles_on_single_secrets_suffice_without_the_list() {
    let estate = Estate::start(&VALUES);
    estate.emulator.run(&["role", "revoke", VAULT, OBJECT, ROLE]);
    estate.emulator.run(&["role", "grant", VAULT, OBJECT, ROLE, "--secret", "db-password"]);
    let checked = check(&estate, CONFIG, &[]);
    assert_eq!(checked.code, Some(69), "{}", checked.out);
    assert!(checked.out.contains("not allowed: each secret is asked for by itself"), "{}", checked.out);
    let commands = checked.commands();
    assert!(commands.len() == 1 && commands[0].ends_with("/vaults/ml-vault/secrets/api-token"), "{commands:?}");

    estate.emulator.run(&["role", "grant", VAULT, OBJECT, ROLE, "--secret", "api-token"]);
    let checked = check(&estate, CONFIG, &[]);
    assert_eq!(checked.code, Some(0), "{}", checked.out);
    assert!(checked.out.contains("not allowed: each secret"), "{}", checked.out);
}

#[test]
fn a_vault_with_access_policies_wants_a_policy() {
    let policies = "[[vaults]]\nname = 'old-vault'\nauthorization = 'access-policies'\n\
                    secrets = [{ name = 'db-password', value = 'x' }]\n";
    let estate = Estate::start_with(policies, &[]);
    let path = estate.config("[[secret]]\nname = 'db-password'\n");
    let text = std::fs::read_to_string(&path).expect("a configuration").replace(VAULT, "old-vault");
    std::fs::write(&path, text).expect("a configuration");
    let arguments = ["check", "--online", "--config", &path.display().to_string()];
    let output = keyside_tests::agent::keyside(&arguments, &estate.variables());
    let out = String::from_utf8(output.stdout).expect("text");
    assert_eq!(output.status.code(), Some(69), "{out}");
    let command =
        format!("$ az keyvault set-policy --name old-vault --object-id {OBJECT} --secret-permissions get list");
    assert!(out.contains(&command), "{out}");
}

#[test]
fn a_firewall_is_told_with_the_address_that_it_sees() {
    let estate = Estate::start(&VALUES);
    let rows = [
        ("closed", "firewall", format!("az keyvault network-rule add --name ml-vault --ip-address {ADDRESS}/32")),
        (
            "private",
            "private_endpoint_only",
            "az keyvault update --name ml-vault --public-network-access Enabled".to_owned(),
        ),
    ];
    for (setting, code, command) in rows {
        estate.emulator.run(&["firewall", VAULT, setting]);
        let checked = check(&estate, CONFIG, &[]);
        assert_eq!(checked.code, Some(69), "{}", checked.out);
        assert_eq!(checked.commands(), [command]);
        assert!(checked.out.contains(&format!("api-token    no        yes       {code}\n")), "{}", checked.out);
    }
    estate.emulator.run(&["firewall", VAULT, "open"]);
    assert_eq!(check(&estate, CONFIG, &[]).code, Some(0));
}

#[test]
fn disabled_absent_undecodable_and_expired_are_told_apart() {
    let expired = "[[vaults.secrets]]\nname = 'old'\nvalue = 'x'\nexp = 1700000000\n";
    let estate = Estate::start_with(expired, &VALUES);
    estate.emulator.run(&["secret", "disable", VAULT, "db-password"]);
    let secret = |name: &str| format!("[[secret]]\nname = '{name}'\n");
    let set = |name: &str| format!("az keyvault secret set --vault-name ml-vault --name {name} --file FILE");
    let recover = "az keyvault secret recover --vault-name ml-vault --name nowhere".to_owned();
    let enable = "az keyvault secret set-attributes --vault-name ml-vault --name db-password --enabled true".to_owned();
    let rows = [
        (secret("db-password"), 69, "disabled", vec![enable]),
        (secret("nowhere"), 69, "not_found", vec![set("nowhere"), recover]),
        (secret("api-token") + "encoding = 'base64'\n", 69, "unusable", vec![]),
        (secret("old"), 0, "expired", vec![set("old")]),
        (
            secret("nowhere") + "optional = true\n" + &secret("api-token"),
            0,
            "warning: nowhere: the vault has no",
            vec![set("nowhere"), "az keyvault secret recover --vault-name ml-vault --name nowhere".to_owned()],
        ),
    ];
    for (config, code, part, commands) in rows {
        let checked = check(&estate, &config, &[]);
        assert_eq!(checked.code, Some(code), "{config}: {}", checked.out);
        assert!(checked.out.contains(part), "{part} in {}", checked.out);
        assert_eq!(checked.commands(), commands, "{config}");
    }
}

#[test]
fn what_passes_by_itself_ends_with_75() {
    let estate = Estate::start(&VALUES);
    for status in ["429", "503"] {
        let path = ["fault", "add", "--host", "*.vault.azure.net", "--path", "/secrets/api-token*", "--status", status];
        estate.emulator.run(&path);
        let checked = check(&estate, CONFIG, &[]);
        assert_eq!(checked.code, Some(75), "{}", checked.out);
        assert!(checked.out.contains("1 of 2 required secret(s) can be read: not yet, try again"), "{}", checked.out);
        estate.emulator.run(&["fault", "clear"]);
        estate.emulator.run(&["fault", "add", "--host", "*.vault.azure.net", "--status", status]);
        let checked = check(&estate, CONFIG, &[]);
        assert_eq!(checked.code, Some(75), "{}", checked.out);
        assert!(checked.out.contains("\nthe vault cannot serve now: it answers "), "{}", checked.out);
        estate.emulator.run(&["fault", "clear"]);
    }
}
