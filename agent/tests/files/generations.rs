//! Readers open files while generations are swapped under them: none may find a file missing, zeroed, torn or mixed.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use keyside::files::{FilesWriter, Written};
use keyside::store::{Hold, Publisher, Reader};
use rustix::fs::{Mode, OFlags, openat};
use tokio_util::sync::CancellationToken;

use crate::{folder, publish, settings, store, target};

/// Near the largest value that Key Vault keeps, and six times the pieces in which files are usually read.
const VALUE_BYTES: usize = 24_000;
const READS: u64 = 200_000;
const READERS: u64 = 4;
const SWAP_EVERY: Duration = Duration::from_millis(50);
/// Short, so that wiping overlaps with the reads.
const RETIRE_AFTER: Duration = Duration::from_millis(300);

const NAMES: [&str; 2] = ["db-password", "tls-key"];
const PATHS: [&str; 2] = ["db-password", "tls/server.key"];

/// Gives both secrets one repeated letter, another one for each generation.
fn publish_letter(publisher: &Publisher, generation: u64) {
    let letter = b'a' + u8::try_from(generation % 26).expect("a letter");
    let value = vec![letter; VALUE_BYTES];
    publish(publisher, &NAMES.map(|local| (local, &value[..])));
}

/// What the readers saw, by kind.
#[derive(Default)]
struct Seen {
    by_path: AtomicU64,
    by_data: AtomicU64,
    pairs: AtomicU64,
    held_open: AtomicU64,
    missing: AtomicU64,
    zeroed: AtomicU64,
    torn: AtomicU64,
    mixed: AtomicU64,
    too_late: AtomicU64,
}

fn count(counter: &AtomicU64) -> u64 {
    counter.fetch_add(1, Ordering::Relaxed)
}

impl Seen {
    fn reads(&self) -> u64 {
        self.by_path.load(Ordering::Relaxed) + self.by_data.load(Ordering::Relaxed)
    }

    /// Answers the letter of a good read.
    fn judge(&self, read: io::Result<Vec<u8>>) -> Option<u8> {
        match read {
            Err(_) => {
                count(&self.missing);
                None
            }
            Ok(bytes) if bytes.contains(&0) => {
                count(&self.zeroed);
                None
            }
            Ok(bytes) if bytes.len() != VALUE_BYTES || bytes != vec![bytes[0]; VALUE_BYTES] => {
                count(&self.torn);
                None
            }
            Ok(bytes) => Some(bytes[0]),
        }
    }

    fn read_by_path(&self, directory: &Path, path: &str) {
        self.judge(File::open(directory.join(path)).and_then(read_in_pieces));
        count(&self.by_path);
    }

    /// Opens `..data` once and reads both files through it.
    fn read_pair(&self, directory: &Path) {
        let opened = Instant::now();
        let Ok(data) = File::open(directory.join("..data")) else {
            count(&self.missing);
            return;
        };
        let letters = PATHS.map(|path| {
            let read = openat(&data, path, OFlags::RDONLY, Mode::empty())
                .map_err(io::Error::from)
                .and_then(|file: OwnedFd| read_in_pieces(file.into()));
            count(&self.by_data);
            // On a machine that stops this thread for as long as a generation stays, its files may be gone.
            if read.is_err() && opened.elapsed() >= RETIRE_AFTER {
                count(&self.too_late);
                return None;
            }
            self.judge(read)
        });
        count(&self.pairs);
        if let [Some(first), Some(second)] = letters
            && first != second
        {
            count(&self.mixed);
        }
    }
}

/// A reader that stops in the middle of its file until the generation has long been retired.
struct HeldOpen {
    file: File,
    start: Vec<u8>,
    opened: Instant,
}

impl HeldOpen {
    fn new(directory: &Path) -> Self {
        let mut file = File::open(directory.join(PATHS[0])).expect("there is always a file");
        let mut start = vec![0; 4096];
        file.read_exact(&mut start).expect("the file is long enough");
        Self { file, start, opened: Instant::now() }
    }

    fn finish(self) -> io::Result<Vec<u8>> {
        Ok([self.start, read_in_pieces(self.file)?].concat())
    }
}

/// Reads in several system calls, so that something can happen between two of them.
fn read_in_pieces(mut file: File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(VALUE_BYTES);
    let mut piece = [0; 4096];
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(bytes),
            length => bytes.extend_from_slice(&piece[..length]),
        }
    }
}

/// Runs the real task with a short retirement, and a publisher that brings a generation every 50 ms until told to end.
fn write_until(directory: &Path, done: &AtomicBool) -> u64 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    runtime.block_on(async {
        let now = tokio::time::Instant::now();
        let targets = NAMES.into_iter().zip(PATHS.map(|path| target(path, "0400", &[])));
        let mut writer = FilesWriter::open(&settings(directory, targets), RETIRE_AFTER, now).expect("usable");
        let (publisher, reader) = store(&NAMES);
        publish_letter(&publisher, 0);
        assert_eq!(writer.publish(&reader.snapshot(), now).expect("written"), Written::Applied);
        let stop = CancellationToken::new();
        let swaps = swap_until(&publisher, done);
        let both = futures::future::join(
            swaps_then_stop(swaps, &stop),
            run(writer, (reader, publisher.hold_readiness()), stop.clone()),
        );
        both.await.0
    })
}

async fn run(writer: FilesWriter, (reader, hold): (Reader, Hold), stop: CancellationToken) {
    writer.run(reader, hold, stop).await.expect("a clean end");
}

async fn swaps_then_stop(swaps: impl Future<Output = u64>, stop: &CancellationToken) -> u64 {
    let generations = swaps.await;
    stop.cancel();
    generations
}

async fn swap_until(publisher: &Publisher, done: &AtomicBool) -> u64 {
    let mut ticks = tokio::time::interval(SWAP_EVERY);
    let mut generation = 0;
    while !done.load(Ordering::Acquire) {
        ticks.tick().await;
        generation += 1;
        publish_letter(publisher, generation);
    }
    generation
}

fn wait_for(directory: &Path) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !PATHS.iter().all(|path| directory.join(path).exists()) {
        assert!(Instant::now() < deadline, "the first generation does not come");
        std::thread::yield_now();
    }
}

#[test]
fn two_hundred_thousand_reads_see_whole_generations_while_these_are_swapped_and_wiped() {
    let (_folder, directory) = folder();
    let (seen, done) = (Seen::default(), AtomicBool::new(false));
    let started = Instant::now();
    let generations = std::thread::scope(|threads| {
        let writer = threads.spawn(|| write_until(&directory, &done));
        wait_for(&directory);
        let readers: Vec<_> = (0..READERS).map(|_| threads.spawn(|| read_until_enough(&seen, &directory))).collect();
        // The writer must be told to end even if a reader panicked, or the test would hang in place of failing.
        let ended: Vec<_> = readers.into_iter().map(std::thread::ScopedJoinHandle::join).collect();
        done.store(true, Ordering::Release);
        assert!(ended.iter().all(Result::is_ok), "a reader panicked");
        writer.join().expect("the writer does not panic")
    });
    report(&seen, generations, started.elapsed());
    let bad = [&seen.missing, &seen.zeroed, &seen.torn, &seen.mixed].map(|counter| counter.load(Ordering::Relaxed));
    assert_eq!(bad, [0; 4], "missing, zeroed, torn, mixed");
    assert!(
        seen.reads() >= READS && generations >= 20 && seen.held_open.load(Ordering::Relaxed) > 0,
        "the reads overlapped with too few swaps"
    );
    assert!(seen.too_late.load(Ordering::Relaxed) < 10, "generations are retired before their time");
    let left: Vec<_> = fs::read_dir(&directory).expect("the directory stays").collect();
    assert!(left.is_empty(), "stopping removes everything: {left:?}");
}

fn read_until_enough(seen: &Seen, directory: &Path) {
    let mut held = HeldOpen::new(directory);
    while seen.reads() < READS {
        if held.opened.elapsed() > 2 * RETIRE_AFTER {
            seen.judge(std::mem::replace(&mut held, HeldOpen::new(directory)).finish());
            count(&seen.held_open);
        }
        for path in PATHS {
            seen.read_by_path(directory, path);
        }
        seen.read_pair(directory);
    }
}

fn report(seen: &Seen, generations: u64, took: Duration) {
    let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    super::say(&format!(
        "{} reads by path, {} through ..data ({} pairs), {} held open past retirement, {generations} generations in {took:?}: {} missing, {} zeroed, \
         {} torn, {} mixed, {} too late",
        of(&seen.by_path),
        of(&seen.by_data),
        of(&seen.pairs),
        of(&seen.held_open),
        of(&seen.missing),
        of(&seen.zeroed),
        of(&seen.torn),
        of(&seen.mixed),
        of(&seen.too_late)
    ));
}
