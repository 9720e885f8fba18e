//! Tests of which source gives the tokens.

use super::*;

#[tokio::test(start_paused = true)]
async fn auto_takes_the_first_that_yields_a_token_and_keeps_to_it() {
    let mint = FakeMint::new(&[true, true, false]);
    let environment = Environment::from([
        ("AZURE_TENANT_ID", "t"),
        ("AZURE_CLIENT_ID", "c"),
        ("AZURE_CLIENT_SECRET", "s"),
        ("AZURE_FEDERATED_TOKEN_FILE", "/t"),
        ("IDENTITY_ENDPOINT", "http://127.0.0.1:1/"),
        ("IDENTITY_HEADER", "h"),
    ]);
    let identity = mint.identity(Kind::Auto, &environment);
    let log = Log::default();
    let logging = log.start();
    assert_eq!(token(&identity).await.expect("a token"), "token-3");
    drop(logging);
    let signed_in = identity.sign_in(SCOPE).await.expect("the same token");
    assert_eq!((signed_in.source, signed_in.passed.len()), (Source::AppService, 3));
    assert_eq!(signed_in.platform, Some((Uri::from_static("http://127.0.0.1:1"), Reach::Direct)));
    assert_eq!(identity.source(), Some(Source::AppService));
    let passed =
        "client secret: down; client certificate: AZURE_CLIENT_CERTIFICATE_PATH is not set; workload identity: down";
    let signed_in = log.text();
    assert!(signed_in.contains(&format!("source=App Service identity passed=\"{passed}\"")), "{signed_in}");

    identity.reject("token-3");
    assert_eq!(token(&identity).await.expect("a token"), "token-4");
    assert_eq!(mint.log(), ["client secret", "workload", "platform", "platform"]);
}

#[tokio::test(start_paused = true)]
async fn a_source_that_could_not_serve_at_the_start_is_used_as_soon_as_it_can() {
    let mint = FakeMint { passing: true, ..FakeMint::new(&[true, false, true, false]) };
    let principal = [("AZURE_TENANT_ID", "t"), ("AZURE_CLIENT_ID", "c"), ("AZURE_CLIENT_SECRET", "s")];
    let identity = mint.identity(Kind::Auto, &Environment::from(principal));
    token(&identity).await.expect("the machine's identity stands in");
    assert_eq!(identity.source(), Some(Source::Imds));
    let stop = CancellationToken::new();
    let using = async {
        tokio::time::sleep(RENEWAL_PAUSE * 3 + HOUR).await;
        stop.cancel();
    };
    tokio::join!(Arc::clone(&identity).refresh_ahead(stop.clone()), using);
    assert_eq!(identity.source(), Some(Source::ClientSecret));
    let log = mint.log();
    assert_eq!(log[..5], ["client secret", "platform", "client secret", "platform", "client secret"]);
    assert!(log[5..].iter().all(|source| *source == "client secret") && log.len() < 10, "it is kept to: {log:?}");
}

#[tokio::test(start_paused = true)]
async fn when_none_yields_a_token_every_reason_is_told() {
    let mint = FakeMint::new(&[true, true]);
    let identity = mint.identity(Kind::Auto, &Environment::default());
    let error = token(&identity).await.expect_err("no token").to_string();
    for part in [
        "client secret: AZURE_CLIENT_SECRET is not set",
        "Azure ML identity: MSI_ENDPOINT",
        "IMDS: down",
        "Azure CLI: down",
    ] {
        assert!(error.contains(part), "{error}");
    }
    assert_eq!(identity.source(), None);
    assert_eq!(token(&identity).await.expect("the next try succeeds"), "token-3");
}
