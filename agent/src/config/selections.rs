//! What is taken out of which secret, and that one thing at a time is.

use super::assemble::Assembly;
use super::shape::SecretTable;
use crate::encoding::Encoding;
use crate::selection::Selection;

impl Assembly<'_> {
    /// What readers get of a secret.
    pub(super) fn selection(&mut self, table: &SecretTable) -> Selection {
        let name = &table.name.get_ref().0;
        match (&table.field, &table.pem) {
            (None, None) => Selection::Whole,
            (Some(field), None) => Selection::Field(field.get_ref().0.clone()),
            (field, Some(pem)) => {
                let encoded = table.encoding.as_ref().is_some_and(|encoding| encoding.0 != Encoding::Text);
                if field.is_some() {
                    self.document
                        .report(&pem.span(), format!("'{name}' has both field and pem: leave one of them out"));
                } else if encoded {
                    self.document.report(&pem.span(), format!("'{name}' has pem, which is text: leave encoding out"));
                }
                Selection::Pem(pem.get_ref().0)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::testing::parse;

    #[test]
    fn one_thing_at_a_time_is_taken_out_of_a_secret() {
        let rows = [
            ("", Ok("Whole")),
            ("field = '/a/b'", Ok("Field(\"/a/b\")")),
            ("field = '/key'\nencoding = 'base64'", Ok("Field(\"/key\")")),
            ("pem = 'private-key'", Ok("Pem(PrivateKey)")),
            ("pem = 'all'\nencoding = 'text'", Ok("Pem(All)")),
            (
                "field = 'a'",
                Err("line 6: [secret] field: 'a' is no JSON pointer: start it with a slash, as in /password"),
            ),
            (
                "pem = 'key'",
                Err("line 6: [secret] pem: 'key' is unknown: use all, certificate, chain, full-chain or private-key"),
            ),
            ("pem = 'all'\nfield = '/a'", Err("line 6: 'tls' has both field and pem: leave one of them out")),
            ("pem = 'all'\nencoding = 'base64'", Err("line 6: 'tls' has pem, which is text: leave encoding out")),
        ];
        for (keys, expected) in rows {
            let text =
                "readers = ['uid:5']\n[vault]\nurl = 'https://my-vault.vault.azure.net'\n[[secret]]\nname = 'tls'\n";
            let found = parse(&format!("{text}{keys}\n")).map(|config| format!("{:?}", config.wanted[0].selection));
            assert_eq!(found, expected.map(str::to_owned).map_err(|problem| vec![problem.to_owned()]), "{keys}");
        }
    }
}
