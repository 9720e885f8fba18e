//! What a reader notices of another user who asks as much as he can over as many connections as he may have.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::load::{Exchange, Load};
use crate::process::{Cores, Started, on};
use crate::reads::median;
use crate::scale::Scale;

/// Who floods: a number that no user has.
pub(crate) const FLOODER: u32 = 61_001;

/// As many connections as the agent gives one user.
const CONNECTIONS: usize = 128;

/// The time between two reads of the one who is flooded.
const PAUSE: Duration = Duration::from_millis(1);

/// What the reader saw: the latency that 99 in 100 of his reads did not exceed, without a flood and in it, and their ratio.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Noticed {
    /// In seconds.
    pub(crate) quiet: f64,
    /// In seconds.
    pub(crate) flooded: f64,
    /// The median over the rounds.
    pub(crate) ratio: f64,
}

/// Measures it in turns.
///
/// # Errors
/// When the agent does not answer as it should.
pub(crate) fn measure(
    socket: &Path,
    exchange: &Exchange,
    (cores, scale): (Cores, Scale),
    folder: &Path,
) -> io::Result<Noticed> {
    let program = copy_for_all(folder)?;
    let reads = usize::try_from((scale.span * 5).as_millis() / PAUSE.as_millis()).expect("a short time");
    let most = || on(cores.generator, || Load::open(socket, exchange, 1)?.paced(PAUSE, reads));
    let (mut quiet, mut flooded) = (Vec::new(), Vec::new());
    for _ in 0..scale.rotations {
        quiet.push(most()?.quantile(990));
        let flood = start(&program, socket, cores)?;
        flooded.push(most()?.quantile(990));
        drop(flood);
    }
    let ratio = median(flooded.iter().zip(&quiet).map(|(flooded, quiet)| flooded / quiet).collect());
    Ok(Noticed { quiet: median(quiet), flooded: median(flooded), ratio })
}

/// The flooder may not be able to reach the build's folder.
fn copy_for_all(folder: &Path) -> io::Result<PathBuf> {
    let copy = folder.join("flood");
    std::fs::copy(std::env::current_exe()?, &copy)?;
    std::fs::set_permissions(&copy, std::fs::Permissions::from_mode(0o755))?;
    Ok(copy)
}

/// Starts a flood, as polite to the machine's scheduler as can be: it is the agent that is to be flooded.
fn start(program: &Path, socket: &Path, cores: Cores) -> io::Result<Started> {
    let mut command = Command::new("nice");
    command.args(["-n", "19"]).arg(program).arg("flood").arg(socket);
    command.uid(FLOODER).gid(FLOODER).stdout(Stdio::piped());
    let mut flood = Started::on(cores.generator, &mut command);
    let mut line = String::new();
    BufReader::new(flood.output()).read_line(&mut line)?;
    if line.trim() != "flooding" {
        return Err(io::Error::other("there is no flood"));
    }
    Ok(flood)
}

/// Floods a socket until the process is ended.
///
/// # Errors
/// When the agent does not answer as it should.
pub(crate) fn flood(socket: &Path, exchange: &Exchange) -> io::Result<()> {
    let mut load = Load::open(socket, exchange, CONNECTIONS)?;
    writeln!(io::stdout(), "flooding")?;
    loop {
        load.closed(Duration::from_secs(1))?;
    }
}
