//! The shell lines that point any Azure client at a running emulator.

use std::fmt::Write as _;
use std::path::Path;

use crate::control::Control;

/// Writes the `export` lines for an emulator whose certificate is in `ca_file`.
pub(crate) fn exports(control: &Control, ca_file: &Path) -> String {
    let proxy = format!("http://{}", control.proxy);
    let listen = format!("http://{}", control.listen);
    let ca_file = ca_file.display().to_string();
    let variables = [
        // Clients differ in the case they read; curl reads http_proxy in lower case alone.
        ("HTTPS_PROXY", proxy.as_str()),
        ("https_proxy", &proxy),
        ("HTTP_PROXY", &proxy),
        ("http_proxy", &proxy),
        // Emptied, so that nothing bypasses the emulator.
        ("NO_PROXY", ""),
        ("no_proxy", ""),
        ("SSL_CERT_FILE", &ca_file),
        ("REQUESTS_CA_BUNDLE", &ca_file),
        ("NODE_EXTRA_CA_CERTS", &ca_file),
        ("AZURE_POD_IDENTITY_AUTHORITY_HOST", &listen),
    ];
    let mut text = format!(
        "# Plain HTTP and TLS share {}, and so does the proxy's address. Elsewhere than on a VM, set in addition:\n",
        control.listen
    );
    let compute = [
        (
            "App Service or Container Apps",
            "IDENTITY_ENDPOINT",
            "/msi/token",
            ("IDENTITY_HEADER", &control.identity_header),
        ),
        ("Azure ML compute", "MSI_ENDPOINT", "/msi/token", ("MSI_SECRET", &control.msi_secret)),
    ];
    for (place, endpoint, path, (name, value)) in compute {
        // Writing to a String cannot fail.
        let _ =
            writeln!(text, "#   {place}: {endpoint}={} {name}={}", quoted(&format!("{listen}{path}")), quoted(value));
    }
    let _ =
        writeln!(text, "#   Azure ML on behalf of its user: OBO_ENDPOINT={}", quoted(&format!("{listen}/obo/token")));
    for (name, value) in variables {
        let _ = writeln!(text, "export {name}={}", quoted(value));
    }
    text
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
