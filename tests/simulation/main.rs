//! Simulates fleets of agents that share one vault, prints what they come to, and draws them for docs/operations.md.

mod clock;
mod course;
mod figures;
mod fleet;
mod picture;
mod vault;

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use course::{Course, SCENES};
use figures::Figures;

fn main() -> std::io::Result<()> {
    let pictures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/pictures");
    std::fs::create_dir_all(&pictures)?;
    let simulations = SCENES.map(|scene| (scene, std::thread::spawn(move || fleet::simulate(Course::of(scene)))));
    let mut table = String::from("| | after | half | 99 % | all | throttled | oldest: half | 99 % | all |\n");
    table.push_str("|---|---|---|---|---|---|---|---|---|\n");
    for (scene, simulation) in simulations {
        let record = simulation.join().expect("a simulation that ends");
        std::fs::write(pictures.join(scene.name).with_extension("svg"), picture::draw(&record, scene.title))?;
        let parts = [("start", record.start()), ("rotation", record.rotation()), ("outage", record.heal())];
        for (after, figures) in parts {
            writeln!(table, "| {} | {after} | {}", scene.name, row(&figures)).expect("a text takes everything");
        }
        let calls = record.outage_calls();
        writeln!(table, "| {} | calls of each agent in the outage: {calls:.1} |", scene.name).expect("as before");
    }
    std::io::stdout().write_all(table.as_bytes())
}

fn row(figures: &Figures) -> String {
    let time = |time: Option<Duration>| time.map_or_else(|| "not yet".to_owned(), minutes);
    let (caught_up, ages) = (figures.caught_up.map(time), figures.ages.map(minutes));
    format!("{} | {:.0} % | {} |", caught_up.join(" | "), figures.throttled, ages.join(" | "))
}

fn minutes(time: Duration) -> String {
    format!("{}m {:02}s", time.as_secs() / 60, time.as_secs() % 60)
}
