//! Draws what was measured: latency and throughput of reads, and memory by secrets.

use plotters::coord::Shift;
use plotters::prelude::*;

use crate::azure::Holding;
use crate::process::Footprint;
use crate::read_rows::{KEYSIDE, label};
use crate::reads::{Measure, Record, SCENARIOS};

const SIZE: (u32, u32) = (900, 380);
const COLOURS: [RGBColor; 4] =
    [RGBColor(0x1f, 0x77, 0xb4), RGBColor(0xe6, 0x7e, 0x22), RGBColor(0x77, 0x77, 0x77), RGBColor(0x2c, 0xa0, 0x2c)];

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Bars of one colour, one for each group.
struct Bars {
    name: &'static str,
    values: Vec<f64>,
}

/// Groups of bars.
struct Panel {
    title: String,
    groups: Vec<String>,
    bars: Vec<Bars>,
}

/// Throughput and CPU of the servers, by connections.
pub(crate) fn draw_reads(record: &Record) -> String {
    let panel = |measure, unit: f64, title: &str| {
        let closed = || SCENARIOS.iter().enumerate().filter(|(_, scenario)| scenario.rate.is_none());
        let bars = |name| {
            let values = closed().map(|(number, _)| record.median(name, number, measure).unwrap_or_default() * unit);
            Bars { name, values: values.collect() }
        };
        let groups = closed().map(|(_, scenario)| label(*scenario)).collect();
        Panel { title: title.to_owned(), groups, bars: [KEYSIDE, "hand-rolled", "echo", "hyper"].map(bars).into() }
    };
    draw(&[
        panel(Measure::Rate, 1e-3, "thousand reads in a second"),
        panel(Measure::Cpu, 1e6, "server's CPU for a read, in µs"),
    ])
}

/// What agents hold in memory.
pub(crate) fn draw_memory(footprints: &[(Holding, Footprint)]) -> String {
    let megabytes = |pick: fn(&Footprint) -> u64| {
        let bytes = footprints.iter().map(|(_, footprint)| pick(footprint));
        bytes.map(|bytes| f64::from(u32::try_from(bytes).expect("far less than 4 GiB")) / 1e6).collect()
    };
    let groups = footprints.iter().map(|(holding, _)| format!("{} × {} B", holding.secrets, holding.bytes)).collect();
    let bars = vec![
        Bars { name: "private", values: megabytes(|footprint| footprint.private) },
        Bars { name: "locked", values: megabytes(|footprint| footprint.locked) },
    ];
    draw(&[Panel { title: "memory in MB".to_owned(), groups, bars }])
}

fn draw(panels: &[Panel]) -> String {
    let mut picture = String::new();
    {
        let area = SVGBackend::with_string(&mut picture, SIZE).into_drawing_area();
        area.fill(&WHITE).expect("a text takes everything");
        for (part, panel) in area.split_evenly((1, panels.len())).iter().zip(panels) {
            draw_panel(part, panel);
        }
        area.present().expect("a text takes everything");
    }
    picture
}

fn draw_panel(area: &Area<'_>, panel: &Panel) {
    let top = panel.bars.iter().flat_map(|bars| &bars.values).copied().fold(0.0, f64::max) * 1.25;
    let end = place(panel.groups.len());
    let mut chart = ChartBuilder::on(area)
        .margin(8)
        .caption(&panel.title, ("sans-serif", 14))
        .x_label_area_size(24)
        .y_label_area_size(46)
        .build_cartesian_2d(0.0..end, 0.0..top)
        .expect("there is room");
    let group = |at: &f64| {
        let index = panel.groups.iter().zip(0..).find(|(_, number)| (place(*number) + 0.5 - at).abs() < 0.01);
        index.map(|(name, _)| name.clone()).unwrap_or_default()
    };
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(TRANSPARENT)
        .x_labels(panel.groups.len() * 2 + 1)
        .x_label_formatter(&group)
        .y_labels(6)
        .label_style(("sans-serif", 11))
        .draw()
        .expect("a text takes everything");
    let width = 0.8 / place(panel.bars.len());
    for ((bars, colour), number) in panel.bars.iter().zip(COLOURS).zip(0..) {
        let bar = |(group, value): (usize, &f64)| {
            let left = place(group) + 0.1 + place(number) * width;
            Rectangle::new([(left, 0.0), (left + width * 0.9, *value)], colour.filled())
        };
        let drawn = chart.draw_series(bars.values.iter().enumerate().map(bar)).expect("a text takes everything");
        drawn.label(bars.name).legend(move |(x, y)| Rectangle::new([(x, y - 4), (x + 12, y + 4)], colour.filled()));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperRight)
        .background_style(WHITE.mix(0.85))
        .border_style(TRANSPARENT)
        .label_font(("sans-serif", 11))
        .draw()
        .expect("a text takes everything");
}

fn place(number: usize) -> f64 {
    f64::from(u32::try_from(number).expect("a few"))
}
