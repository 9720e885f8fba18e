//! What a running agent has to do to go by another configuration, or why it takes a restart.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use thiserror::Error;

use super::Config;
use crate::files::Target;
use crate::principal::Principal;
use crate::refresh::Wanted;
use crate::secret::SecretName;

/// What differs between two configurations of one agent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Secrets that there were not.
    pub added: BTreeSet<SecretName>,
    /// Secrets that there are no more.
    pub removed: BTreeSet<SecretName>,
    /// Secrets that are made, shown or given to readers in another way.
    pub changed: BTreeSet<SecretName>,
    /// Those of them that somebody may read who might not before, at the socket or in a file.
    pub to_more_readers: BTreeSet<SecretName>,
    /// Tables and keys for all of them.
    pub settings: Vec<&'static str>,
}

/// Says that a key cannot change while the agent runs: what it is about is done once, at the start, and often with rights
/// that the agent gives up then.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{0} has changed, which takes a restart of the agent")]
pub struct NeedsRestart(pub &'static str);

impl Changes {
    /// What differs from `old` in `new`.
    ///
    /// # Errors
    /// Every key that differs and cannot change before a restart; then nothing of `new` may be applied.
    pub fn between(old: &Config, new: &Config) -> Result<Self, Vec<NeedsRestart>> {
        let restarts = restarts(old, new);
        if !restarts.is_empty() {
            return Err(restarts);
        }
        let (before, after) = (secrets(old), secrets(new));
        let both = after.iter().filter_map(|(name, now)| Some((*name, before.get(name)?, now)));
        let changed = both.filter(|(_, then, now)| then != now);
        let is_opened = |then: &Known<'_>, now: &Known<'_>| now.shows_to_more_than(then);
        let (changed, opened): (Vec<_>, Vec<_>) =
            changed.map(|(name, then, now)| (name.clone(), is_opened(then, now).then(|| name.clone()))).unzip();
        Ok(Self {
            added: only_in(&after, &before),
            removed: only_in(&before, &after),
            changed: changed.into_iter().collect(),
            to_more_readers: opened.into_iter().flatten().collect(),
            settings: settings(old, new),
        })
    }

    /// Whether nothing differs.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl fmt::Display for Changes {
    /// In words for the log.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let groups = [("added", &self.added), ("removed", &self.removed), ("changed", &self.changed)];
        let groups = groups.into_iter().filter(|(_, names)| !names.is_empty()).map(|(word, names)| {
            let names: Vec<_> = names.iter().map(SecretName::as_str).collect();
            format!("{word} {}", names.join(", "))
        });
        let words: Vec<_> = groups.chain(self.settings.iter().map(ToString::to_string)).collect();
        formatter.write_str(&words.join("; "))
    }
}

/// Everything that is configured of one secret.
#[derive(PartialEq, Eq)]
struct Known<'a> {
    wanted: &'a Wanted,
    readers: &'a [Principal],
    target: Option<&'a Target>,
    variables: Vec<&'a str>,
    group: Option<u32>,
    /// What the modes of all files that hold it let anybody do.
    bits: u32,
}

impl Known<'_> {
    fn shows_to_more_than(&self, other: &Self) -> bool {
        let is_known = |reader| other.readers.contains(reader);
        !self.readers.iter().all(is_known) || self.bits & !other.bits != 0 || self.group != other.group
    }
}

type Secrets<'a> = BTreeMap<&'a SecretName, Known<'a>>;

fn secrets(config: &Config) -> Secrets<'_> {
    config.wanted.iter().map(|wanted| (&wanted.name, known(config, wanted))).collect()
}

fn only_in(these: &Secrets<'_>, others: &Secrets<'_>) -> BTreeSet<SecretName> {
    these.keys().filter(|name| !others.contains_key(*name)).map(|name| SecretName::clone(name)).collect()
}

fn known<'a>(config: &'a Config, wanted: &'a Wanted) -> Known<'a> {
    let name = &wanted.name;
    let target = config.files.as_ref().and_then(|files| files.targets.get(name));
    let env_files = config.files.iter().flat_map(|files| &files.env_files);
    let holding = env_files.filter(|file| file.lines.iter().any(|(_, of)| of == name)).map(|file| &file.target);
    Known {
        wanted,
        readers: config.serve.access.readers.get(name).map_or(&[], Vec::as_slice),
        target,
        variables: config.variables.iter().filter(|(_, of)| *of == name).map(|(one, _)| one.as_str()).collect(),
        group: config.files.as_ref().and_then(|files| files.group),
        bits: target.into_iter().chain(holding).fold(0, |bits, target| bits | target.mode.bits()),
    }
}

fn restarts(old: &Config, new: &Config) -> Vec<NeedsRestart> {
    let directory = |config: &Config| config.files.as_ref().map(|files| files.directory.clone());
    let (before, after) = (&old.identity, &new.identity);
    let limits = (&old.serve.limits, &new.serve.limits);
    let audit = |config: &Config| config.serve.audit.as_ref().map(|audit| audit.file.clone());
    let allows_upload = |config: &Config| config.serve.audit.as_ref().is_some_and(|audit| audit.allow_upload);
    let keys = [
        ("[vault] url", old.vault != new.vault),
        ("[vault] fallback", old.fallback != new.fallback),
        ("[identity] kind", before.kind != after.kind),
        ("[identity] client_id", before.client_id != after.client_id),
        ("[identity] object_id", before.object_id != after.object_id),
        ("[identity] tenant_id", before.tenant_id != after.tenant_id),
        ("[identity] certificate_file", before.certificate_path != after.certificate_path),
        ("[identity] client_secret_file", before.client_secret_file != after.client_secret_file),
        ("[identity] token_file", before.token_file != after.token_file),
        ("[api] socket", old.serve.socket != new.serve.socket),
        ("[api] listen", old.serve.tcp != new.serve.tcp),
        ("[limits] connections", limits.0.connections != limits.1.connections),
        ("[limits] connections_per_user", limits.0.connections_per_user != limits.1.connections_per_user),
        ("[limits] waits_per_user", limits.0.waits_per_user != limits.1.waits_per_user),
        ("[limits] request_time", limits.0.request_time != limits.1.request_time),
        ("[limits] refresh_time", limits.0.refresh_time != limits.1.refresh_time),
        ("[limits] refresh_interval", limits.0.refresh_interval != limits.1.refresh_interval),
        ("[limits] refresh_burst", limits.0.refresh_burst != limits.1.refresh_burst),
        ("[audit] file", audit(old) != audit(new)),
        ("[audit] allow_upload", allows_upload(old) != allows_upload(new)),
        ("[files], whether there is such a table,", old.files.is_some() != new.files.is_some()),
        ("[files] directory", old.files.is_some() && new.files.is_some() && directory(old) != directory(new)),
        ("[memory] backend", old.memory.best != new.memory.best),
        ("[memory] require_locked", old.memory.require_locked != new.memory.require_locked),
        ("[log] format", old.log.format != new.log.format),
        ("[[on_change]]", old.hooks != new.hooks),
    ];
    keys.into_iter().filter(|(_, differs)| *differs).map(|(key, _)| NeedsRestart(key)).collect()
}

fn settings(old: &Config, new: &Config) -> Vec<&'static str> {
    let of_all_files = |config: &Config| {
        config.files.as_ref().map(|files| (files.allow_disk, files.require_noswap, files.on_stop, files.group))
    };
    let env_files = |config: &Config| config.files.as_ref().map(|files| files.env_files.clone());
    let keys = [
        ("[rotation]", old.rotation != new.rotation),
        ("[api] operators", old.serve.access.operators != new.serve.access.operators),
        ("[files]", of_all_files(old) != of_all_files(new)),
        ("[[env_file]]", env_files(old) != env_files(new)),
        ("[log] level", old.log.level != new.log.level),
    ];
    keys.into_iter().filter(|(_, differs)| *differs).map(|(key, _)| key).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::parse;
    use crate::testing::name;

    /// The example with every key set.
    fn example() -> Vec<String> {
        let is_commented = |rest: &&str| rest.contains(" = ") || rest.starts_with('[');
        let lines = include_str!("../../../docs/agent.example.toml").lines();
        lines.map(|line| line.strip_prefix("# ").filter(is_commented).unwrap_or(line).to_owned()).collect()
    }

    /// The lines that set a key, each with its table.
    fn keys(lines: &[String]) -> Vec<(usize, String, String)> {
        let mut table = "top".to_owned();
        let mut keys = Vec::new();
        for (number, line) in lines.iter().enumerate() {
            if line.starts_with('[') {
                table.clone_from(line);
            } else if let Some((key, _)) = line.split_once(" = ")
                && key.chars().all(|letter| letter.is_ascii_lowercase() || letter == '_')
            {
                keys.push((number, table.clone(), key.to_owned()));
            }
        }
        keys
    }

    /// What becomes of the example when one line of it is another.
    fn outcome(table: &str, old: &str, new: &str) -> String {
        let mut lines = example();
        let place = keys(&lines).into_iter().find(|(number, of, _)| of == table && lines[*number] == old);
        let (number, ..) = place.unwrap_or_else(|| panic!("no {old} in {table}"));
        let before = parse(&lines.join("\n")).expect("the example is true");
        lines[number] = new.to_owned();
        let after = parse(&lines.join("\n")).unwrap_or_else(|problems| panic!("{new}: {problems:?}"));
        match Changes::between(&before, &after) {
            Ok(changes) => changes.to_string(),
            Err(restarts) => restarts.iter().map(|one| format!("{one}")).collect::<Vec<_>>().join("\n"),
        }
    }

    const ALL: &str = "changed api-token, tls-key";
    const GUID: &str = "00000000-0000-0000-0000-00000000000";

    const EVERYBODY: &str = r#"["uid:1000", "gid:2000"]"#;

    /// A key, another value of it, and what follows: changes, or the key that takes a restart.
    type Row = (&'static str, String, String, String);

    fn row(table: &'static str, key: &str, old: &str, new: &str, outcome: &str) -> Row {
        (table, format!("{key} = {old}"), format!("{key} = {new}"), outcome.to_owned())
    }

    fn restart(table: &'static str, key: &str, old: &str, new: &str) -> Row {
        let place = if table == "[[on_change]]" { table.to_owned() } else { format!("{table} {key}") };
        row(table, key, old, new, &format!("{place} has changed, which takes a restart of the agent"))
    }

    /// Every key.
    fn rows() -> Vec<Row> {
        [rows_of_the_agent(), rows_of_secrets()].concat()
    }

    fn rows_of_the_agent() -> Vec<Row> {
        let (nobody, other) = (format!("\"{GUID}0\""), format!("\"{GUID}1\""));
        vec![
            row("top", "readers", EVERYBODY, "['uid:1000', 'gid:2000', 'uid:7']", ALL),
            restart("[vault]", "url", "\"https://my-vault.vault.azure.net\"", "'https://other.vault.azure.net'"),
            restart("[vault]", "fallback", "[\"https://my-spare-vault.vault.azure.net\"]", "[]"),
            restart("[identity]", "kind", "\"auto\"", "'azure-ml'"),
            restart("[identity]", "client_id", &nobody, &other),
            restart("[identity]", "object_id", &nobody, &other),
            restart("[identity]", "tenant_id", &nobody, &other),
            restart("[identity]", "certificate_file", "\"/etc/keyside/client.pem\"", "'/a'"),
            restart("[identity]", "client_secret_file", "\"/run/credentials/keyside/client-secret\"", "'/a'"),
            restart("[identity]", "token_file", "\"/var/run/secrets/azure/tokens/azure-identity-token\"", "'/a'"),
            row("[rotation]", "poll_interval", "\"2m\"", "'1m'", "[rotation]"),
            row("[rotation]", "full_refresh", "\"1h\"", "'2h'", "[rotation]"),
            row("[rotation]", "revoke_after", "\"15m\"", "'20m'", "[rotation]"),
            row("[rotation]", "max_stale", "\"24h\"", "'unlimited'", "[rotation]"),
            restart("[api]", "socket", "\"/run/keyside/agent.sock\"", "'/run/other/agent.sock'"),
            restart("[api]", "listen", "\"127.0.0.1:9580\"", "'127.0.0.1:9581'"),
            row("[api]", "operators", "[\"uid:0\"]", "['uid:5']", "[api] operators"),
            restart("[limits]", "connections", "512", "1024"),
            restart("[limits]", "connections_per_user", "128", "256"),
            restart("[limits]", "waits_per_user", "96", "48"),
            restart("[limits]", "request_time", "\"30s\"", "'10s'"),
            restart("[limits]", "refresh_time", "\"1m\"", "'2m'"),
            restart("[limits]", "refresh_interval", "\"6s\"", "'1s'"),
            restart("[limits]", "refresh_burst", "5", "6"),
            restart("[audit]", "file", "\"/var/log/keyside/audit.jsonl\"", "'/a'"),
            restart("[audit]", "allow_upload", "false", "true"),
            restart("[files]", "directory", "\"/run/keyside/secrets\"", "'/run/keyside/others'"),
            row("[files]", "mode", "\"0400\"", "'0440'", "changed tls-key"),
            row("[files]", "world_readable", "false", "true", ""),
            row("[files]", "group", "\"gid:2000\"", "'gid:2000' # as before", ""),
            row("[files]", "allow_disk", "false", "true", "[files]"),
            row("[files]", "require_noswap", "false", "true", "[files]"),
            row("[files]", "on_stop", "\"remove\"", "'keep'", "[files]"),
            restart("[memory]", "backend", "\"memfd_secret\"", "'mlock'"),
            restart("[memory]", "require_locked", "false", "true"),
            row("[log]", "level", "\"info\"", "'debug'", "[log] level"),
            restart("[log]", "format", "\"auto\"", "'json'"),
        ]
    }

    fn rows_of_secrets() -> Vec<Row> {
        vec![
            row("[[secret]]", "name", "\"tls-key\"", "'tls'", "added tls; removed tls-key"),
            row("[[secret]]", "vault_name", "\"prod-db-password\"", "'other'", "changed db-password"),
            row(
                "[[secret]]",
                "version",
                "\"d673228733a64a7c98d997c0b8a1c769\"",
                &format!("'{}'", "a".repeat(32)),
                "changed db-password",
            ),
            row("[[secret]]", "field", "\"/password\"", "'/other'", "changed db-password"),
            row("[[secret]]", "pem", "\"private-key\"", "'all'", "changed tls-key"),
            row("[[secret]]", "encoding", "\"text\"", "'base64'", "changed db-password"),
            row("[[secret]]", "optional", "false", "true", "changed db-password"),
            row("[[secret]]", "readers", EVERYBODY, "['gid:2000', 'uid:1000', 'uid:7']", "changed db-password"),
            row("[[secret]]", "file", "\"db/password\"", "'db/other'", "changed db-password"),
            row("[[secret]]", "mode", "\"0440\"", "'0400'", "changed db-password"),
            row("[[secret]]", "env", "\"PGPASSWORD\"", "'OTHER'", "changed db-password; [[env_file]]"),
            row("[[env_file]]", "path", "\"app.env\"", "'other.env'", "[[env_file]]"),
            row(
                "[[env_file]]",
                "secrets",
                "[\"db-password\", \"api-token\"]",
                "['api-token']",
                "changed db-password; [[env_file]]",
            ),
            row("[[env_file]]", "format", "\"shell\"", "'dotenv'", "changed api-token, db-password; [[env_file]]"),
            row("[[env_file]]", "readers", EVERYBODY, "['gid:2000']", "[[env_file]]"),
            row("[[env_file]]", "mode", "\"0440\"", "'0400'", "changed api-token; [[env_file]]"),
            restart("[[on_change]]", "secrets", "[\"db-password\"]", "['api-token']"),
            restart("[[on_change]]", "command", "[\"/usr/bin/systemctl\", \"reload\", \"nginx.service\"]", "['/a']"),
            restart("[[on_change]]", "timeout", "\"30s\"", "'31s'"),
            restart("[[on_change]]", "name", "\"proxy\"", "'other'"),
            restart("[[on_change]]", "signal", "\"HUP\"", "'TERM'"),
            restart("[[on_change]]", "pid_file", "\"/run/proxy.pid\"", "'/run/other.pid'"),
            restart("[[on_change]]", "unit", "\"model-server.service\"", "'other.service'"),
        ]
    }

    #[test]
    fn every_key_is_applied_or_takes_a_restart() {
        for (table, old, new, expected) in rows() {
            assert_eq!(outcome(table, &old, &new), expected, "{table} {new}");
        }
    }

    #[test]
    fn no_key_is_forgotten() {
        let key = |line: &str| line.split_once(" = ").expect("a key").0.to_owned();
        let tried: BTreeSet<_> = rows().iter().map(|(table, old, ..)| ((*table).to_owned(), key(old))).collect();
        let known: BTreeSet<_> = keys(&example()).into_iter().map(|(_, table, key)| (table, key)).collect();
        assert_eq!(tried, known);
    }

    const SECRET: &str =
        "readers = ['uid:5']\n[vault]\nurl = 'https://my-vault.vault.azure.net'\n[[secret]]\nname = 'db'\n";

    #[test]
    fn whoever_could_not_read_a_secret_before_is_a_new_reader() {
        let files = |keys: &str| format!("{SECRET}{keys}[files]\nworld_readable = true\n");
        let rows = [
            (SECRET.to_owned(), SECRET.replace("'uid:5'", "'uid:5', 'uid:6'"), true),
            (SECRET.replace("'uid:5'", "'uid:5', 'uid:6'"), SECRET.to_owned(), false),
            (SECRET.to_owned(), format!("{SECRET}vault_name = 'other'\n"), false),
            (files(""), files("mode = '0444'\n"), true),
            (files("mode = '0444'\n"), files(""), false),
            (files(""), files("").replace("[files]", "[files]\ngroup = 'gid:7'"), true),
        ];
        for (before, after, expected) in rows {
            let [old, new] = [&before, &after].map(|text| parse(text).expect("it fits"));
            let changes = Changes::between(&old, &new).expect("no restart");
            assert_eq!(changes.changed, [name("db")].into(), "{after}");
            assert_eq!(changes.to_more_readers.contains(&name("db")), expected, "{after}");
        }
    }

    #[test]
    fn everything_that_takes_a_restart_is_told_at_once() {
        let old = parse(SECRET).expect("it fits");
        let new = format!("{SECRET}[files]\n[memory]\nbackend = 'mlock'\n[log]\nlevel = 'debug'\n");
        let told = Changes::between(&old, &parse(&new).expect("it fits")).expect_err("a restart");
        let told: Vec<_> = told.iter().map(|one| one.0).collect();
        assert_eq!(told, ["[files], whether there is such a table,", "[memory] backend"]);
        assert!(Changes::between(&old, &parse(SECRET).expect("it fits")).expect("no restart").is_empty());
    }
}
