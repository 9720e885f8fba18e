//! Draws what a simulation showed.

use std::time::Duration;

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::course::WINDOW;
use crate::fleet::Record;

const SIZE: (u32, u32) = (900, 760);
const BLUE: RGBColor = RGBColor(0x1f, 0x77, 0xb4);
const ORANGE: RGBColor = RGBColor(0xe6, 0x7e, 0x22);
const GREY: RGBColor = RGBColor(0x77, 0x77, 0x77);

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// A line of a panel: its name, its colour, and a value for each window.
type Line<'a> = (&'a str, RGBColor, Vec<f64>);

/// One of the panels of a picture.
struct Panel<'a> {
    title: String,
    top: f64,
    lines: Vec<Line<'a>>,
}

/// The picture of a simulation, as SVG.
pub(crate) fn draw(record: &Record, title: &str) -> String {
    let mut picture = String::new();
    {
        let area = SVGBackend::with_string(&mut picture, SIZE).into_drawing_area();
        area.fill(&WHITE).expect("a text takes everything");
        let area = area.titled(title, ("sans-serif", 19)).expect("it fits");
        let panels = [calls(record), shares(record), ages(record)];
        for (part, panel) in area.split_evenly((panels.len(), 1)).iter().zip(&panels) {
            draw_panel(part, record, panel);
        }
        area.present().expect("a text takes everything");
    }
    picture
}

fn calls(record: &Record) -> Panel<'static> {
    let line = |pick: fn(&crate::vault::Window) -> u32| record.windows.iter().map(|one| f64::from(pick(one))).collect();
    let granted = record.course.granted;
    let lines = vec![
        ("granted", BLUE, line(|window| window.granted)),
        ("throttled (429)", ORANGE, line(|window| window.throttled)),
        ("in the outage (503)", GREY, line(|window| window.refused)),
    ];
    // The first window of a start together goes far beyond; its height is in the title.
    let highest = record.windows.iter().map(|window| window.throttled).max().unwrap_or_default();
    let title = format!("calls in 10 s, of which {granted} are granted; at most {highest} were throttled");
    Panel { title, top: f64::from(granted) * 2.5, lines }
}

fn shares(record: &Record) -> Panel<'static> {
    let agents = f64::from(record.course.agents);
    let share = |count: usize| 100.0 * f64::from(u32::try_from(count).expect("few agents")) / agents;
    let throttled = record.windows.iter().map(|window| {
        let heard = f64::from(window.granted + window.throttled);
        if heard > 0.0 { 100.0 * f64::from(window.throttled) / heard } else { 0.0 }
    });
    let lines = vec![
        ("calls that were throttled", ORANGE, throttled.collect()),
        (
            "agents that have the newest of every secret",
            BLUE,
            record.sights.iter().map(|one| share(one.fresh)).collect(),
        ),
    ];
    Panel { title: "shares in per cent".to_owned(), top: 100.0, lines }
}

fn ages(record: &Record) -> Panel<'static> {
    let line = |index: usize| record.sights.iter().map(|sight| sight.ages[index].as_secs_f64() / 60.0).collect();
    let lines = vec![
        ("the median agent's", BLUE, line(0)),
        ("of 99 in 100 agents", ORANGE, line(1)),
        ("of every agent", GREY, line(2)),
    ];
    let greatest = record.sights.iter().map(|sight| sight.ages[2]).max().unwrap_or_default();
    let top = (greatest.as_secs_f64() / 600.0).ceil() * 10.0;
    Panel { title: "minutes since the vault confirmed the oldest secret".to_owned(), top, lines }
}

fn draw_panel(area: &Area<'_>, record: &Record, panel: &Panel<'_>) {
    let end = minutes(record.course.end);
    let mut chart = ChartBuilder::on(area)
        .margin(8)
        .margin_right(24)
        .caption(&panel.title, ("sans-serif", 14))
        .x_label_area_size(22)
        .y_label_area_size(52)
        .build_cartesian_2d(0.0..end, 0.0..panel.top)
        .expect("there is room");
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .x_labels(10)
        .y_labels(5)
        .x_label_formatter(&|minute| format!("{minute:.0} min"))
        .y_label_formatter(&|value| format!("{value:.0}"))
        .label_style(("sans-serif", 12))
        .draw()
        .expect("a text takes everything");
    let outage = [minutes(record.course.outage.start), minutes(record.course.outage.end)];
    let shade = Rectangle::new([(outage[0], 0.0), (outage[1], panel.top)], BLACK.mix(0.07).filled());
    chart.draw_series([shade]).expect("a text takes everything");
    let right = Pos::new(HPos::Right, VPos::Top);
    for rotation in &record.course.rotations {
        let at = minutes(*rotation);
        let line = PathElement::new([(at, 0.0), (at, panel.top)], BLACK.mix(0.4));
        chart.draw_series([line]).expect("a text takes everything");
        let label =
            Text::new("rotation", (at - 0.3, panel.top * 0.98), ("sans-serif", 11).into_font().color(&GREY).pos(right));
        chart.draw_series([label]).expect("a text takes everything");
    }
    for (name, colour, values) in &panel.lines {
        let points = values.iter().scan(Duration::ZERO, |at, value| {
            *at += WINDOW;
            Some((minutes(*at), value.min(panel.top)))
        });
        let series = LineSeries::new(points, colour.stroke_width(2));
        let drawn = chart.draw_series(series).expect("a text takes everything");
        let colour = *colour;
        drawn.label(*name).legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], colour.stroke_width(2)));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::MiddleRight)
        .background_style(WHITE.mix(0.85))
        .border_style(TRANSPARENT)
        .label_font(("sans-serif", 12))
        .draw()
        .expect("a text takes everything");
}

fn minutes(time: Duration) -> f64 {
    time.as_secs_f64() / 60.0
}
