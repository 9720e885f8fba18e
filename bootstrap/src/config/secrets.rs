//! First secrets as the file describes them, each with the one source of its value.

use std::ops::Range;
use std::time::Duration;

use toml::Spanned;

use super::check::Check;
use super::shape::{GenerateTable, SecretTable};
use super::{ALPHANUMERIC, Config, Recipe, Secret, Source};

/// Longest value that Key Vault keeps, in bytes.
/// Source: <https://learn.microsoft.com/azure/key-vault/secrets/about-secrets>.
pub(crate) const VALUE_BYTES_MAX: usize = 25 * 1024;

/// Longest life of a version, ten years: a longer one is a slip, and past the end of the calendar there is no expiry.
const EXPIRES_IN_MAX: Duration = Duration::from_hours(10 * 366 * 24);

/// Longest content type, in characters. Source: as above.
const CONTENT_TYPE_MAX: usize = 255;

/// The keys that name a source, and how each is written.
const KEYS: [(&str, &str); 5] = [
    ("generate", "generate = {}"),
    ("from_file", "from_file = \"FILE\""),
    ("from_env", "from_env = \"VARIABLE\""),
    ("from_stdin", "from_stdin = true"),
    ("from_others", "from_others = true"),
];

impl Config {
    /// Whether this program sets a first value, for which it needs to be let in.
    #[must_use]
    pub fn sets_secrets(&self) -> bool {
        self.secrets.iter().any(|secret| secret.source != Source::Others)
    }
}

impl Check<'_> {
    /// The secrets of a file, in its order.
    pub(super) fn secrets(&mut self, tables: Vec<(Range<usize>, SecretTable)>) -> Vec<Secret> {
        let mut secrets: Vec<Secret> = Vec::new();
        for (span, table) in tables {
            let name = table.name.get_ref().0.clone();
            if secrets.iter().any(|other| other.name.as_str().eq_ignore_ascii_case(name.as_str())) {
                self.document.report(&table.name.span(), format!("the name '{name}' is used twice"));
                continue;
            }
            if let Some(text) = &table.content_type
                && text.get_ref().chars().count() > CONTENT_TYPE_MAX
            {
                self.document.report(&text.span(), format!("content_type has {CONTENT_TYPE_MAX} characters at most"));
            }
            if let Some(span) = &table.expires_in
                && span.get_ref().0.0 > EXPIRES_IN_MAX
            {
                self.document.report(&span.span(), "expires_in is ten years at most".to_owned());
            }
            let from_stdin = |secret: &Secret| secret.source == Source::Stdin;
            if table.from_stdin && secrets.iter().any(from_stdin) {
                self.document.report(&span, "standard input can give one value only".to_owned());
            }
            let source = self.source(&span, &table);
            secrets.push(Secret {
                name,
                content_type: table.content_type.map(Spanned::into_inner),
                expires_in: table.expires_in.map(|span| span.into_inner().0.0),
                source,
            });
        }
        secrets
    }

    fn source(&mut self, span: &Range<usize>, table: &SecretTable) -> Source {
        let generated = table.generate.as_ref().map(|recipe| Source::Generated(self.recipe(recipe)));
        let file = table.from_file.clone().map(Source::File);
        let variable = table.from_env.clone().map(Source::Variable);
        let stdin = table.from_stdin.then_some(Source::Stdin);
        let others = table.from_others.then_some(Source::Others);
        let sources: Vec<_> = [generated, file, variable, stdin, others].into_iter().flatten().collect();
        let left_out = KEYS.iter().any(|(key, _)| self.document.is_left_out(span, key));
        let name = &table.name.get_ref().0;
        if sources.len() > 1 {
            let given = sources.iter().map(key_of).collect::<Vec<_>>().join(" and ");
            self.document
                .report(span, format!("the value of '{name}' has {} sources, {given}: keep one", sources.len()));
        } else if sources.is_empty() && !left_out {
            let keys = KEYS.map(|(_, written)| written).join(", ");
            self.document.report(span, format!("the value of '{name}' needs one source: add one of {keys}"));
        }
        sources.into_iter().next().unwrap_or(Source::Stdin)
    }

    fn recipe(&mut self, table: &GenerateTable) -> Recipe {
        let default = Recipe::default();
        if let Some(length) = &table.length
            && !(8..=VALUE_BYTES_MAX).contains(length.get_ref())
        {
            self.document.report(&length.span(), format!("length is from 8 to {VALUE_BYTES_MAX}"));
        }
        let alphabet = table.alphabet.as_ref().map(|text| match text.get_ref().as_str() {
            "alphanumeric" => ALPHANUMERIC.to_owned(),
            "hex" => "0123456789abcdef".to_owned(),
            other => other.to_owned(),
        });
        if let (Some(text), Some(alphabet)) = (&table.alphabet, &alphabet) {
            let distinct: std::collections::BTreeSet<_> = alphabet.bytes().collect();
            let visible = alphabet.bytes().all(|byte| byte.is_ascii_graphic());
            if !visible || distinct.len() != alphabet.len() || distinct.len() < 2 {
                let message = "alphabet is alphanumeric, hex, or at least two visible ASCII characters, each once";
                self.document.report(&text.span(), message.to_owned());
            }
        }
        Recipe {
            length: table.length.as_ref().map_or(default.length, |length| *length.get_ref()),
            alphabet: alphabet.unwrap_or(default.alphabet),
        }
    }
}

fn key_of(source: &Source) -> &'static str {
    match source {
        Source::Generated(_) => KEYS[0].0,
        Source::File(_) => KEYS[1].0,
        Source::Variable(_) => KEYS[2].0,
        Source::Stdin => KEYS[3].0,
        Source::Others => KEYS[4].0,
    }
}
