//! Every way of signing in, by the real agent against the emulator, alone and with others present.

use keyside_tests::agent::Agent;
use keyside_tests::estate::{CLIENT, CLIENT_SECRET, Estate, ISSUER, MANAGED_CLIENT, PLATFORM_SECRET, SUBJECT, TENANT};
use keyside_tests::report::say;

type Variables<'a> = Vec<(&'a str, &'a str)>;

/// Starts an agent of this kind in this environment, and answers what it signed in with.
fn source(estate: &Estate, identity: &str, variables: &[(&str, &str)]) -> String {
    let config = estate.config(&format!("[identity]\n{identity}\n[[secret]]\nname = 'db-password'\n"));
    let mut agent = Agent::start(&config, &estate.socket(), &estate.variables_and(variables));
    agent.wait_until_ready();
    assert_eq!(agent.value("db-password"), b"hunter2-k9");
    let source = agent.get("/v1/status").json()["operation"]["identity"].as_str().expect("a source").to_owned();
    assert_eq!(agent.stop().code(), Some(0));
    source
}

/// A file of the estate with a credential that the emulator makes.
fn credential(estate: &Estate, file: &str, arguments: &[&str]) -> String {
    let path = estate.folder().join(file);
    std::fs::write(&path, estate.emulator.run(arguments)).expect("own folder");
    path.display().to_string()
}

#[test]
fn every_kind_signs_in_and_auto_takes_the_first_that_is_there() {
    let estate = Estate::start(&[("db-password", "hunter2-k9")]);
    let certificate = credential(&estate, "client.pem", &["credential", "certificate", CLIENT]);
    let token = credential(&estate, "token", &["credential", "federated-token", ISSUER, SUBJECT]);
    let platform = estate.emulator.variables()["AZURE_POD_IDENTITY_AUTHORITY_HOST"].clone();
    let (msi, obo) = (format!("{platform}/msi/token"), format!("{platform}/obo/token"));

    let principal: Variables<'_> = vec![("AZURE_TENANT_ID", TENANT), ("AZURE_CLIENT_ID", CLIENT)];
    let secret: Variables<'_> = [principal.clone(), vec![("AZURE_CLIENT_SECRET", CLIENT_SECRET)]].concat();
    let pem: Variables<'_> = [principal.clone(), vec![("AZURE_CLIENT_CERTIFICATE_PATH", &certificate)]].concat();
    let federated: Variables<'_> = [principal, vec![("AZURE_FEDERATED_TOKEN_FILE", &token)]].concat();
    let app_service: Variables<'_> = vec![("IDENTITY_ENDPOINT", &msi), ("IDENTITY_HEADER", PLATFORM_SECRET)];
    let azure_ml: Variables<'_> =
        vec![("MSI_ENDPOINT", &msi), ("MSI_SECRET", PLATFORM_SECRET), ("DEFAULT_IDENTITY_CLIENT_ID", MANAGED_CLIENT)];
    let on_behalf: Variables<'_> = [azure_ml.clone(), vec![("OBO_ENDPOINT", &obo)]].concat();
    let managed = format!("kind = 'managed-identity'\nclient_id = '{MANAGED_CLIENT}'");
    let auto_managed = format!("client_id = '{MANAGED_CLIENT}'");

    let rows: Vec<(&str, Variables<'_>, &str)> = vec![
        ("kind = 'client-secret'", secret.clone(), "client secret"),
        ("kind = 'client-certificate'", pem.clone(), "client certificate"),
        ("kind = 'workload-identity'", federated.clone(), "workload identity"),
        (&managed, app_service.clone(), "App Service identity"),
        (&managed, vec![], "IMDS"),
        ("kind = 'azure-ml'", azure_ml.clone(), "Azure ML identity"),
        ("kind = 'azure-ml-on-behalf-of'", on_behalf, "Azure ML user"),
        ("", secret.clone(), "client secret"),
        ("", pem, "client certificate"),
        ("", federated.clone(), "workload identity"),
        (&auto_managed, app_service.clone(), "App Service identity"),
        ("", azure_ml.clone(), "Azure ML identity"),
        (&auto_managed, vec![], "IMDS"),
        ("", [secret, federated.clone(), azure_ml.clone()].concat(), "client secret"),
        ("", [federated, azure_ml.clone()].concat(), "workload identity"),
        (&auto_managed, [app_service, azure_ml].concat(), "App Service identity"),
    ];
    for (identity, variables, expected) in rows {
        let names: Vec<_> = variables.iter().map(|(name, _)| *name).collect();
        let found = source(&estate, identity, &variables);
        say(&format!("{found:<21} {} | {}", identity.replace('\n', ", "), names.join(" ")));
        assert_eq!(found, expected, "{identity} with {names:?}");
    }
}
