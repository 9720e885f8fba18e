//! From the file's shape to the configuration: what must fit together, with a line for each thing that does not.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::Spanned;

use super::audit::audit_settings;
use super::document::{Document, Parsed, Problem};
use super::limits::limits;
use super::on_change::{self, OnChangeTable};
use super::rotation::{fallback, rotation_settings};
use super::shape::{
    ApiTable, AuditTable, CredentialsTable, EnvFileTable, FilesTable, IdentityTable, LimitsTable, LogTable,
    MemoryTable, Principals, RotationTable, SecretTable, Top, VaultTable,
};
use super::{Config, Defaults, GRACE, Socket};
use crate::azure::identity;
use crate::credentials::{CALLERS_MAX, UnitPattern};
use crate::encoding::Encoding;
use crate::files::{self, EnvFile, Mode, Target};
use crate::principal::{Accounts, Principal};
use crate::refresh::Wanted;
use crate::socket::lock_file;
use crate::variable::VariableName;
use crate::{logging, memory, serve};

/// Reads and checks the text of a configuration file.
///
/// # Errors
/// Every problem that can be found without looking at the machine beyond its accounts, in the order of their lines.
pub(super) fn assemble(text: &str, accounts: &dyn Accounts, defaults: Defaults<'_>) -> Result<Config, Vec<Problem>> {
    let document = Document::parse(text);
    let has_credentials = document.has("credentials");
    let mut assembly = Assembly { document, accounts, has_credentials };
    let config = assembly.config(defaults);
    let mut problems = assembly.document.problems;
    problems.sort_by_key(|problem| problem.line);
    problems.dedup();
    match config {
        Some(config) if problems.is_empty() => Ok(config),
        _ => Err(problems),
    }
}

pub(super) struct Assembly<'a> {
    pub(super) document: Document<'a>,
    accounts: &'a dyn Accounts,
    pub(super) has_credentials: bool,
}

/// Longest path of a Unix socket.
/// Source: `sun_path` in unix(7), 108 bytes with the NUL at the end.
const SOCKET_BYTES_MAX: usize = 107;

/// One secret with everything that has been found out about it.
pub(super) struct Checked {
    span: Range<usize>,
    pub(super) wanted: Wanted,
    pub(super) readers: Vec<Principal>,
    target: Option<Target>,
    pub(super) variable: Option<Spanned<VariableName>>,
    pub(super) units: Vec<UnitPattern>,
}

impl Assembly<'_> {
    /// Looks at every table even when an earlier one has problems.
    fn config(&mut self, defaults: Defaults<'_>) -> Option<Config> {
        if !self.document.is_toml() {
            return None;
        }
        let vault = self.document.table::<VaultTable>("vault");
        let identity = self.document.table::<IdentityTable>("identity").map(identity_settings);
        let rotation = self.document.table::<RotationTable>("rotation");
        let rotation = rotation.map(|table| rotation_settings(&mut self.document, &table));
        let vaults = vault.map(|table| (table.url.0.clone(), fallback(&mut self.document, table)));
        let memory = self.document.table::<MemoryTable>("memory");
        let log = self.document.table::<LogTable>("log").map(|table| log_settings(&table, defaults.log));
        let api = self.document.table::<ApiTable>("api");
        let limits = self.document.table::<LimitsTable>("limits").map(|table| limits(&mut self.document, &table));
        let audit = self.document.optional_table::<AuditTable>("audit");
        let files = self.document.optional_table::<FilesTable>("files");
        let credentials = self.document.optional_table::<CredentialsTable>("credentials");
        if !self.document.has("secret") {
            self.document.report_at_end("no secret is configured: add a [[secret]] table with a name".to_owned());
        }
        let tables = self.document.tables::<SecretTable>("secret");
        let env_files = self.document.tables::<EnvFileTable>("env_file");
        let on_change = self.document.tables::<OnChangeTable>("on_change");
        let common = self.document.rest::<Top>().and_then(|top| top.readers);
        let common = common.map_or_else(|| Some(defaults.readers.to_vec()), |readers| self.principals(&readers));

        let mut secrets = self.secrets(tables, common.as_deref(), files.as_ref());
        let names = secrets.iter().map(|secret| &secret.wanted.name).collect();
        let hooks = on_change::hooks(&mut self.document, on_change, &names);
        let env_files = self.env_files(env_files, files.as_ref(), &mut secrets);
        let variables = self.variables(&secrets);
        let api = api?;
        let path = self.socket(api.socket.as_ref(), defaults);
        let files = files.map(|table| self.files(table, env_files, &path, &secrets));
        let credentials = self.credentials(credentials, &path, &secrets);
        let sockets = std::iter::once(path.as_path()).chain(credentials.as_ref().map(|of| of.socket.as_path()));
        let sockets: Vec<_> = sockets.collect();
        let audit = audit.map(|table| audit_settings(&mut self.document, table, (&sockets, files.as_ref())));
        let units_at_once = if credentials.is_some() { CALLERS_MAX } else { 0 };
        let limits = serve::Limits { callers_elsewhere: units_at_once, ..limits? };
        let serve = self.serve(api, (path, limits, audit), defaults.operator_uid, &secrets);
        let (vault, fallback) = vaults?;
        Some(Config {
            vault,
            fallback,
            identity: identity?,
            rotation: rotation?,
            wanted: secrets.into_iter().map(|secret| secret.wanted).collect(),
            variables,
            serve,
            files,
            credentials,
            warm_restart: memory.as_ref()?.warm_restart,
            memory: memory_settings(&memory?),
            hooks,
            log: log?,
        })
    }

    /// Everyone who is named, or none where somebody is named who does not exist, which is said here.
    pub(super) fn principals(&mut self, texts: &Principals) -> Option<Vec<Principal>> {
        let found: Vec<_> = texts.iter().map(|text| self.principal(text)).collect();
        found.into_iter().collect()
    }

    fn principal(&mut self, text: &Spanned<String>) -> Option<Principal> {
        Principal::parse(text.get_ref(), self.accounts)
            .map_err(|error| self.document.report(&text.span(), error.to_string()))
            .ok()
    }

    fn secrets(
        &mut self,
        tables: Vec<(Range<usize>, SecretTable)>,
        common: Option<&[Principal]>,
        files: Option<&FilesTable>,
    ) -> Vec<Checked> {
        let mut checked: Vec<Checked> = Vec::new();
        for (span, table) in tables {
            let name = table.name.get_ref().0.clone();
            if checked.iter().any(|other| other.wanted.name == name) {
                self.document
                    .report(&table.name.span(), format!("the name '{name}' is used twice: give each secret its own"));
                continue;
            }
            checked.push(self.secret(span, table, common, files));
        }
        checked
    }

    fn secret(
        &mut self,
        span: Range<usize>,
        mut table: SecretTable,
        common: Option<&[Principal]>,
        files: Option<&FilesTable>,
    ) -> Checked {
        let name = table.name.get_ref().0.clone();
        let readers = match table.readers.take() {
            Some(readers) => self.principals(&readers),
            None => common.map(<[_]>::to_vec),
        };
        let units = self.units(&table);
        if readers.as_ref().is_some_and(Vec::is_empty) && units.is_empty() {
            let remedy = "name them here or for all secrets, as in readers = [\"user:trainer\"]";
            self.document.report(&span, format!("nobody may read '{name}', it has no readers: {remedy}"));
        }
        let readers = readers.unwrap_or_default();
        let target = self.target(&table, files, &readers);
        let variable = table.env.as_ref().and_then(|key| self.variable(key, &name));
        let selection = self.selection(&table);
        let wanted = Wanted {
            vault_name: table.vault_name.map_or_else(|| name.clone(), |vault_name| vault_name.0),
            version: table.version.map(|version| version.0),
            selection,
            encoding: table.encoding.map_or(Encoding::default(), |encoding| encoding.0),
            optional: table.optional,
            lines: Vec::new(),
            name,
        };
        Checked { span, wanted, readers, target, variable, units }
    }

    fn target(&mut self, table: &SecretTable, files: Option<&FilesTable>, readers: &[Principal]) -> Option<Target> {
        let name = &table.name.get_ref().0;
        if files.is_none() {
            let unused = table.file.as_ref().filter(|key| key.get_ref().is_wanted()).map(Spanned::span);
            if let Some(span) = unused.or(table.mode.as_ref().map(Spanned::span)) {
                self.document.report(&span, format!("'{name}' gets no file without a [files] table: add one"));
            }
            return None;
        }
        let path = match &table.file {
            None => name.as_str().parse().ok(),
            Some(key) => key.get_ref().path(name).unwrap_or_else(|error| {
                self.document.report(&key.span(), error.to_string());
                None
            }),
        }?;
        let mode = self.mode(table.mode.as_ref(), files, readers, name.as_str());
        Some(Target { path, mode, readers: readers.to_vec() })
    }

    /// The mode of a file: its own, or that of all files.
    pub(super) fn mode(
        &mut self,
        own: Option<&Spanned<Parsed<Mode>>>,
        files: Option<&FilesTable>,
        readers: &[Principal],
        file: &str,
    ) -> Mode {
        let Some(mode) = own.or(files.and_then(|files| files.mode.as_ref())) else { return Mode::default() };
        let value = mode.get_ref().0;
        if value.is_world_readable() && !files.is_some_and(|files| files.world_readable) {
            let remedy = "use readers instead, or set world_readable = true under [files]";
            self.document.report(&mode.span(), format!("mode {value} lets everyone read it: {remedy}"));
        }
        if value.is_group_readable() && !self.may_read(files.and_then(|files| files.group.as_ref()), readers) {
            let remedy = "name it among the readers, or use mode 0400, which lets every reader in";
            let mode_is = format!("mode {value} lets the group of the files read '{file}'");
            self.document.report(&mode.span(), format!("{mode_is}, which is no reader: {remedy}"));
        }
        value
    }

    /// Whether the group of the files is among the readers; where it is not configured, whether any group is: which one
    /// the directory gives is a question for the machine.
    fn may_read(&self, group: Option<&Spanned<String>>, readers: &[Principal]) -> bool {
        let group = group.and_then(|text| Principal::parse(text.get_ref(), self.accounts).ok());
        match group {
            Some(group) => readers.contains(&group),
            None => readers.iter().any(|reader| matches!(reader, Principal::Group(_))),
        }
    }

    fn socket(&mut self, configured: Option<&Spanned<PathBuf>>, defaults: Defaults<'_>) -> PathBuf {
        let path = match (defaults.socket, configured) {
            (Socket::Named(path), _) | (Socket::Default(path), None) => return path.to_owned(),
            (Socket::Default(_), Some(path)) => path,
        };
        self.socket_path(path)
    }

    /// A path that a socket can have.
    pub(super) fn socket_path(&mut self, path: &Spanned<PathBuf>) -> PathBuf {
        if !path.get_ref().is_absolute() {
            self.document
                .report(&path.span(), "socket must be an absolute path, as in /run/keyside/agent.sock".to_owned());
        } else if path.get_ref().as_os_str().len() > SOCKET_BYTES_MAX {
            self.document.report(&path.span(), format!("socket is too long: use at most {SOCKET_BYTES_MAX} bytes"));
        }
        path.get_ref().clone()
    }

    fn files(
        &mut self,
        table: FilesTable,
        env_files: Vec<EnvFile>,
        socket: &Path,
        secrets: &[Checked],
    ) -> files::Settings {
        let beside = || socket.parent().unwrap_or(Path::new("/")).join("secrets");
        let span = table.directory.as_ref().map_or(0..0, Spanned::span);
        let group = table.group.and_then(|text| match self.principal(&text)? {
            Principal::Group(id) => Some(id),
            Principal::User(_) => {
                self.document.report(
                    &text.span(),
                    "the files' group must be a group: write group:NAME or gid:NUMBER".to_owned(),
                );
                None
            }
        });
        let targets =
            secrets.iter().filter_map(|secret| Some((secret.wanted.name.clone(), secret.target.clone()?))).collect();
        let settings = files::Settings {
            directory: table.directory.map_or_else(beside, Spanned::into_inner),
            targets,
            env_files,
            allow_disk: table.allow_disk,
            require_noswap: table.require_noswap,
            on_stop: table.on_stop.map_or(files::OnStop::default(), |on_stop| on_stop.0),
            group,
        };
        let places: BTreeMap<_, _> = secrets.iter().map(|secret| (secret.wanted.name.as_str(), &secret.span)).collect();
        for problem in settings.problems() {
            let place = problem.secret().and_then(|name| places.get(name.as_str()).copied()).unwrap_or(&span);
            self.document.report(place, problem.to_string());
        }
        let taken = [socket.to_owned(), lock_file(socket)];
        if let Some(other) = taken.iter().find(|other| settings.directory.starts_with(other)) {
            let message =
                format!("the files cannot be in {}, which is the agent's socket or its lock", other.display());
            self.document.report(&span, format!("{message}: name another directory, or another socket"));
        }
        for (name, target) in settings.files() {
            let shown = settings.directory.join(target.path.first());
            if let Some(other) = taken.iter().find(|other| other.starts_with(&shown)) {
                let message = format!("the file of '{name}' takes the place of {}", other.display());
                let place = places.get(name).copied().unwrap_or(&span);
                self.document.report(place, format!("{message}: name another file, or another socket"));
            }
        }
        settings
    }

    fn serve(
        &mut self,
        api: ApiTable,
        (socket, limits, audit): (PathBuf, serve::Limits, Option<serve::audit::Settings>),
        operator_uid: u32,
        secrets: &[Checked],
    ) -> serve::Settings {
        let operators = match api.operators {
            Some(operators) => self.principals(&operators).unwrap_or_default(),
            None => vec![Principal::User(0), Principal::User(operator_uid)],
        };
        let readers = secrets.iter().map(|secret| (secret.wanted.name.clone(), secret.readers.clone())).collect();
        serve::Settings {
            socket,
            tcp: api.listen.map(|address| address.0.0),
            access: serve::Access { operators, readers }.into(),
            limits,
            audit,
            grace: GRACE,
        }
    }
}

fn identity_settings(table: IdentityTable) -> identity::Settings {
    identity::Settings {
        kind: table.kind.map_or(identity::Kind::default(), |kind| kind.0),
        client_id: table.client_id.map(|id| id.0.0),
        object_id: table.object_id.map(|id| id.0.0),
        tenant_id: table.tenant_id,
        certificate_path: table.certificate_file,
        client_secret_file: table.client_secret_file,
        token_file: table.token_file,
    }
}

fn memory_settings(table: &MemoryTable) -> memory::Settings {
    let default = memory::Settings::default();
    memory::Settings {
        best: table.backend.as_ref().map_or(default.best, |backend| backend.0),
        require_locked: table.require_locked,
    }
}

fn log_settings(table: &LogTable, default: logging::Settings) -> logging::Settings {
    logging::Settings {
        level: table.level.as_ref().map_or(default.level, |level| level.0),
        format: table.format.as_ref().map_or(default.format, |format| format.0),
    }
}
