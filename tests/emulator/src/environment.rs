//! The shell lines that point any Azure client at a running emulator.

use std::net::SocketAddr;
use std::path::Path;

use crate::control::Control;

/// What any Azure client needs in its environment to find an emulator instead of Azure.
pub(crate) fn variables(listen: SocketAddr, proxy: SocketAddr, ca_file: &Path) -> Vec<(&'static str, String)> {
    let proxy = format!("http://{proxy}");
    let ca_file = ca_file.display().to_string();
    vec![
        // Clients differ in the case they read; curl reads http_proxy in lower case alone.
        ("HTTPS_PROXY", proxy.clone()),
        ("https_proxy", proxy.clone()),
        ("HTTP_PROXY", proxy.clone()),
        ("http_proxy", proxy),
        // Emptied, so that nothing bypasses the emulator.
        ("NO_PROXY", String::new()),
        ("no_proxy", String::new()),
        ("SSL_CERT_FILE", ca_file.clone()),
        ("REQUESTS_CA_BUNDLE", ca_file.clone()),
        ("CURL_CA_BUNDLE", ca_file.clone()),
        ("NODE_EXTRA_CA_CERTS", ca_file),
        ("AZURE_POD_IDENTITY_AUTHORITY_HOST", format!("http://{listen}")),
    ]
}

/// Writes the shell lines for the emulator that `control` describes and whose certificate is in `ca_file`.
pub(crate) fn exports(control: &Control, ca_file: &Path) -> String {
    let Control { listen, proxy, identity_header, msi_secret, .. } = control;
    let url = |path: &str| quoted(&format!("http://{listen}{path}"));
    let mut lines = vec![
        format!("# TLS and plain HTTP share {listen}. Elsewhere than on a VM, set in addition:"),
        format!(
            "#   App Service, Container Apps: IDENTITY_ENDPOINT={} IDENTITY_HEADER={}",
            url("/msi/token"),
            quoted(identity_header)
        ),
        format!("#   Azure ML compute: MSI_ENDPOINT={} MSI_SECRET={}", url("/msi/token"), quoted(msi_secret)),
        format!("#   Azure ML on behalf of a user: OBO_ENDPOINT={}", url("/obo/token")),
    ];
    let variables = variables(*listen, *proxy, ca_file);
    lines.extend(variables.iter().map(|(name, value)| format!("export {name}={}", quoted(value))));
    // It would add other authorities to the one in SSL_CERT_FILE, or go before it.
    lines.push("unset SSL_CERT_DIR".to_string());
    lines.join("\n") + "\n"
}

/// `text` as one word of a POSIX shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quoted_text_is_one_word_whatever_it_holds() {
        assert_eq!(quoted("/tmp/a b"), "'/tmp/a b'");
        assert_eq!(quoted("it's $HOME"), r"'it'\''s $HOME'");
        assert_eq!(quoted(""), "''");
    }
}
