//! All that is measured, in order, and the rows that come of it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use keyside_tests::agent::Agent;
use keyside_tests::report::root_or_skip;
use keyside_tests::wait;

use crate::azure::{Azure, Holding, VALUE};
use crate::floor::Floor;
use crate::load::{Exchange, PATH};
use crate::process::{Cores, Footprint, Started, cpu_time};
use crate::reads::{self, Record, Server};
use crate::scale::Scale;
use crate::table::{Figure, Row, Target};
use crate::{flood, read_rows, start, swap, waiting};

/// One secret, as most measurements have it.
const ONE: Holding = Holding { secrets: 1, bytes: 40 };

/// Limits that a thousand waiting readers of one user fit into.
const MANY_READERS: &str = "[limits]\nconnections = 1200\nconnections_per_user = 1100\nwaits_per_user = 1100\n";

/// Looks that need not be waited for.
const OFTEN: &str = "[rotation]\npoll_interval = '1s'\n";

/// The programs that are measured.
#[derive(Clone, Debug)]
pub(crate) struct Programs {
    /// The agent's.
    pub(crate) keyside: PathBuf,
    /// That of the servers beside it.
    pub(crate) floor: PathBuf,
}

/// What came of a run.
pub(crate) struct Outcome {
    /// Each line of the table.
    pub(crate) rows: Vec<Row>,
    /// The reads, for the pictures.
    pub(crate) reads: Record,
    /// How much memory agents took, for the pictures.
    pub(crate) footprints: Vec<(Holding, Footprint)>,
}

/// Measures everything.
///
/// # Errors
/// When a part does not work.
pub(crate) fn run(programs: &Programs, scale: Scale) -> io::Result<Outcome> {
    let cores = Cores::choose();
    let holdings = holdings(scale);
    let azure = Azure::start(&holdings, &programs.keyside, cores.server);
    let mut rows = Vec::new();

    let reads = reads((&azure, &programs.floor), cores, scale, &mut rows)?;
    let footprints = footprints(&azure, &holdings, scale, &mut rows);
    rows.extend(start_rows(&azure, cores, scale));
    rows.extend(waiting_rows(&azure, scale)?);
    for files in [1, scale.thousand / 10, scale.thousand] {
        let swaps = swap::measure(files, scale.rotations);
        rows.push(Row::of(format!("swap of {} files", grouped(files)), Figure::Time(reads::median(swaps))));
    }
    let size = Figure::Bytes(precise(fs::metadata(&programs.keyside)?.len()));
    rows.push(Row::of("the program's size", size).wanted(Target::AtMost(Figure::Bytes(6e6))));
    Ok(Outcome { rows, reads, footprints })
}

/// What the vaults hold: what upstream calls are counted for, and what fills memory.
fn holdings(scale: Scale) -> Vec<Holding> {
    let thousand = scale.thousand;
    let numbers = [20, 200.min(thousand), thousand, thousand * 2].map(|secrets| Holding { secrets, bytes: 40 });
    let sizes = [4096, 25_000].map(|bytes| Holding { secrets: thousand, bytes });
    let mut all: Vec<_> = [ONE].into_iter().chain(numbers).chain(sizes).collect();
    all.dedup();
    all
}

fn reads((azure, program): (&Azure, &Path), cores: Cores, scale: Scale, rows: &mut Vec<Row>) -> io::Result<Record> {
    let agent = azure.agent("reads", ONE, "");
    let folder = azure.estate.folder();
    // Where no agent looks for changes of its configuration, which each line would wake it for.
    let log = folder.join("audit/audit.jsonl");
    fs::create_dir(folder.join("audit"))?;
    let audited = azure.agent("audited", ONE, &format!("[audit]\nfile = '{}'\n", log.display()));
    let reply = reply_of(&agent);
    let file = folder.join("reply");
    fs::write(&file, reply)?;
    let floors: Vec<_> = Floor::ALL.iter().map(|&floor| start_floor((program, floor), folder, &file, cores)).collect();

    let read = Exchange::read(VALUE);
    let server = |name, agent: &Agent| Server {
        name,
        pid: agent.pid(),
        socket: agent.socket().to_owned(),
        exchange: read.clone(),
    };
    let mut servers = vec![server(read_rows::KEYSIDE, &agent), server(read_rows::AUDITED, &audited)];
    servers.extend(floors.iter().map(|(server, _)| server.clone()));
    let record = reads::measure(&servers, cores, scale)?;
    rows.extend(read_rows::rows(&record));
    if root_or_skip("only root can be another user, who floods the agent") {
        let noticed = flood::measure(agent.socket(), &read, (cores, scale), folder)?;
        rows.push(Row {
            what: "another user's p99 in a flood, beside the quiet one".to_owned(),
            figure: Some(Figure::Time(noticed.flooded)),
            beside: vec![Some(Figure::Time(noticed.quiet))],
            ratio: Some(noticed.ratio),
            target: Some(Target::RatioAtMost(2.0)),
        });
    }
    Ok(record)
}

/// The bytes of an answer, for the floors to give.
fn reply_of(agent: &Agent) -> Vec<u8> {
    use std::io::{Read as _, Write as _};
    let mut stream = std::os::unix::net::UnixStream::connect(agent.socket()).expect("the agent listens");
    write!(stream, "GET {PATH} HTTP/1.1\r\nHost: keyside\r\n\r\n").expect("the agent listens");
    let mut reply = Vec::new();
    let mut buffer = [0; 1024];
    while !reply.ends_with(VALUE.as_bytes()) {
        let read = stream.read(&mut buffer).expect("the agent answers");
        assert!(read > 0, "{}", String::from_utf8_lossy(&reply));
        reply.extend_from_slice(&buffer[..read]);
    }
    reply
}

fn start_floor((program, floor): (&Path, Floor), folder: &Path, reply: &Path, cores: Cores) -> (Server, Started) {
    let socket: PathBuf = folder.join(floor.name());
    let mut command = Command::new(program);
    command.arg(floor.name()).arg(&socket).arg(reply).arg(PATH);
    let started = Started::on(cores.server, &mut command);
    wait::until(floor.name(), || std::os::unix::net::UnixStream::connect(&socket).ok());
    let exchange = if floor == Floor::Echo { Exchange::echo() } else { Exchange::read(VALUE) };
    (Server { name: floor.name(), pid: started.pid(), socket, exchange }, started)
}

fn footprints(azure: &Azure, holdings: &[Holding], scale: Scale, rows: &mut Vec<Row>) -> Vec<(Holding, Footprint)> {
    let mut footprints = Vec::new();
    for (index, &holding) in holdings.iter().enumerate() {
        let name = format!("memory-{index}");
        let agent = azure.agent(&name, holding, OFTEN);
        let what = format!("{} × {} bytes", grouped(holding.secrets), grouped(holding.bytes));
        settle(agent.pid());
        // The first looks fetch, too: where a secret is as young as these, a list alone does not show all changes.
        let calls = (0..scale.looks).map(|_| calls_for_a_look(azure, holding)).min().unwrap_or_default();
        let calls = precise(calls as u64);
        rows.push(Row::of(format!("{what}: calls upstream for a look"), Figure::Count(calls)));
        settle(agent.pid());
        let footprint = Footprint::of(agent.pid());
        rows.extend(footprint_rows(holding, &what, footprint));
        footprints.push((holding, footprint));
    }
    footprints
}

/// How many requests the next look of its own makes.
fn calls_for_a_look(azure: &Azure, holding: Holding) -> usize {
    let before = azure.asked(holding);
    let more = || Some(azure.asked(holding).saturating_sub(before)).filter(|&more| more > 0);
    let mut last = wait::until("a look", more);
    // It is over when nothing was added between two questions, which are further apart than two requests.
    wait::until_within(wait::DEADLINE, Duration::from_millis(200), "the end of a look", || {
        let now = azure.asked(holding).saturating_sub(before);
        let over = now == last;
        last = now;
        over.then_some(now)
    })
}

/// Waits until the process has nothing left to do.
fn settle(pid: u32) {
    let mut last = cpu_time(pid);
    wait::until_within(wait::DEADLINE, Duration::from_millis(50), "an idle agent", || {
        let now = cpu_time(pid);
        let idle = now == last;
        last = now;
        idle.then_some(())
    });
}

fn footprint_rows(holding: Holding, what: &str, footprint: Footprint) -> [Row; 3] {
    let Footprint { resident, private, locked } = footprint;
    let row = |kind: &str, bytes: u64| Row::of(format!("{what}: {kind} memory"), Figure::Bytes(precise(bytes)));
    let at_most = |bytes| Target::AtMost(Figure::Bytes(bytes));
    let [mut all, mut own] = [row("resident", resident), row("private", private)];
    let mut together = row("private and locked", private + locked);
    if holding == ONE {
        all = all.wanted(at_most(6e6));
        own = own.wanted(at_most(1e6));
    } else if holding.bytes == 4096 {
        together = together.wanted(at_most(5.5e6));
    }
    [all, own, together]
}

fn start_rows(azure: &Azure, cores: Cores, scale: Scale) -> [Row; 2] {
    let mut times = start::measure(azure, ONE, cores.server, scale.starts);
    times.sort_by(f64::total_cmp);
    let [half, most] = [times[times.len() / 2], times[times.len() * 9 / 10]].map(Figure::Time);
    let target = Target::AtMost(Figure::Time(0.010));
    [Row::of("start → ready, half", half).wanted(target), Row::of("start → ready, 9 in 10", most)]
}

fn waiting_rows(azure: &Azure, scale: Scale) -> io::Result<Vec<Row>> {
    let agent = azure.agent("many", ONE, &format!("{MANY_READERS}{OFTEN}"));
    let mut rows = Vec::new();
    for readers in [1, scale.thousand / 10, scale.thousand] {
        let times = waiting::measure((azure, &agent), ONE, readers, scale.rotations)?;
        let what = format!("a rotation, from the first to the last of {} waiting readers", grouped(readers));
        rows.push(Row::of(what, Figure::Time(reads::median(times))));
    }
    Ok(rows)
}

fn precise(number: u64) -> f64 {
    f64::from(u32::try_from(number).expect("far less than 4 GiB"))
}

/// With a comma between thousands.
fn grouped(number: usize) -> String {
    if number < 1000 { number.to_string() } else { format!("{},{:03}", number / 1000, number % 1000) }
}
