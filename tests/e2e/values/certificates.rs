//! A certificate that the vault keeps as PFX, in the parts that servers want.

use std::path::Path;
use std::process::Command;

use keyside_tests::estate::{Estate, VAULT};
use keyside_tests::python::{clients, interpreter};
use keyside_tests::wait;

const CONFIG: &str = "[[secret]]\nname = 'tls'\npem = 'all'\n\
     [[secret]]\nname = 'certificate'\nvault_name = 'tls'\npem = 'certificate'\n\
     [[secret]]\nname = 'chain'\nvault_name = 'tls'\npem = 'chain'\n\
     [[secret]]\nname = 'full'\nvault_name = 'tls'\npem = 'full-chain'\nfile = 'server/tls.crt'\n\
     [[secret]]\nname = 'key'\nvault_name = 'tls'\npem = 'private-key'\nfile = 'server/tls.key'\n\
     [[secret]]\nname = 'stored'\nvault_name = 'tls'\nencoding = 'base64'\n";

/// A certificate with its key and its issuer, as the vault keeps them and in PEM.
struct Made(serde_json::Value);

impl Made {
    fn new(subject: &str) -> Self {
        let mut command = Command::new(interpreter());
        let output = command.arg(clients().join("certificate.py")).arg(subject).output().expect("it starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Self(serde_json::from_slice(&output.stdout).expect("JSON"))
    }

    fn get(&self, name: &str) -> &str {
        self.0[name].as_str().expect("text")
    }

    fn store(&self, estate: &Estate) {
        let kind = "application/x-pkcs12";
        estate.emulator.run(&["secret", "set", VAULT, "tls", self.get("pfx"), "--content-type", kind]);
    }
}

/// Whether OpenSSL takes the two files for a certificate with its key, as any server would.
fn belong_together(certificate: &Path, key: &Path) -> bool {
    let script = "import ssl, sys; ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(*sys.argv[1:])";
    Command::new("python3")
        .args(["-c", script])
        .args([certificate, key])
        .output()
        .expect("python3 runs")
        .status
        .success()
}

#[test]
fn a_pfx_comes_as_pem_in_parts_that_belong_together_before_and_after_a_renewal() {
    let estate = Estate::start(&[]);
    let (first, second) = (Made::new("db.example.com"), Made::new("db.example.com"));
    first.store(&estate);
    let agent = estate.agent(CONFIG);
    let certificates = |made: &Made| made.get("certificate").to_owned() + made.get("chain");
    for (name, expected) in [
        ("tls", first.get("key").to_owned() + &certificates(&first)),
        ("certificate", first.get("certificate").to_owned()),
        ("chain", first.get("chain").to_owned()),
        ("full", certificates(&first)),
        ("key", first.get("key").to_owned()),
    ] {
        assert_eq!(String::from_utf8(agent.value(name)).expect("text"), expected, "{name}");
    }
    assert_eq!(agent.value("stored")[0], 0x30, "as stored it is PKCS #12, which starts with a DER sequence");
    assert_eq!(agent.get("/v1/secrets/key").json()["content_type"], "application/x-pem-file");
    let data = estate.secrets_folder().join("..data/server");
    assert!(belong_together(&data.join("tls.crt"), &data.join("tls.key")));
    let other = estate.folder().join("other.key");
    std::fs::write(&other, second.get("key")).expect("a file");
    assert!(!belong_together(&data.join("tls.crt"), &other), "the check can fail");

    second.store(&estate);
    agent.refresh();
    let key = estate.secrets_folder().join("server/tls.key");
    wait::until("the new key", || (std::fs::read(&key).ok()? == second.get("key").as_bytes()).then_some(()));
    assert_eq!(agent.value("full"), certificates(&second).as_bytes());
    assert!(belong_together(&data.join("tls.crt"), &data.join("tls.key")));
}

#[test]
fn a_secret_without_a_certificate_keeps_the_last_good_parts() {
    let estate = Estate::start(&[]);
    let made = Made::new("db.example.com");
    made.store(&estate);
    let agent = estate.agent("[[secret]]\nname = 'key'\nvault_name = 'tls'\npem = 'private-key'\n");
    for (value, expected) in
        [(made.get("chain"), "the value has no private key"), ("unseen", "the value is no PEM text")]
    {
        estate.emulator.set_secret(VAULT, "tls", value);
        agent.refresh();
        assert_eq!(agent.value("key"), made.get("key").as_bytes());
        assert!(agent.get("/v1/status").json().to_string().contains(expected), "{expected}");
    }
    assert!(!agent.log().contains("unseen"), "no part of a value is logged: {}", agent.log());
}
