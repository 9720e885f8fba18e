//! A hundredth of the fleets of docs/operations.md, against a hundredth of a vault: what is said there holds.

mod clock;
mod course;
mod figures;
mod fleet;
mod vault;

use std::time::Duration;

use course::{Course, FETCHES, LISTS, SCENES, Scene, TOO_MANY};
use figures::Figures;
use fleet::simulate;

/// A hundred agents, and forty requests in ten seconds.
fn small(scene: Scene) -> Course {
    let course = Course::of(scene);
    Course { agents: course.agents / 100, granted: course.granted / 100, ..course }
}

fn minute(minutes: u64) -> Duration {
    Duration::from_mins(minutes)
}

/// How soon every agent had the newest of everything.
fn all(figures: &Figures) -> Duration {
    figures.caught_up[2].expect("every agent catches up in time")
}

#[test]
fn agents_that_list_the_vault_are_soon_fresh_and_then_not_throttled() {
    let record = simulate(small(LISTS));
    let (start, rotation, heal) = (record.start(), record.rotation(), record.heal());
    assert!(all(&start) <= minute(15), "{start:?}");
    assert!(rotation.throttled < 1.0 && all(&rotation) <= minute(3), "{rotation:?}");
    assert!(heal.throttled <= 15.0 && all(&heal) <= minute(7), "{heal:?}");
    assert!(heal.ages[2] <= Duration::from_secs(140), "{heal:?}");
    assert!(record.outage_calls() <= 25.0, "{}", record.outage_calls());
}

#[test]
fn agents_that_fetch_as_seldom_as_they_should_all_come_to_their_turn() {
    let record = simulate(small(FETCHES));
    let (start, rotation, heal) = (record.start(), record.rotation(), record.heal());
    assert!(all(&start) <= minute(25), "{start:?}");
    assert!(rotation.throttled <= 25.0, "{rotation:?}");
    assert!(all(&heal) <= minute(35) && heal.throttled <= 25.0, "{heal:?}");
    assert!(heal.ages[2] <= minute(30), "{heal:?}");
}

#[test]
fn where_too_many_ask_too_much_they_ask_less_until_every_one_is_served() {
    let record = simulate(small(TOO_MANY));
    assert!(record.sights.iter().any(|sight| sight.fresh == 100), "nobody is left out for good");
    let (rotation, heal) = (record.rotation(), record.heal());
    assert!(rotation.throttled <= 45.0 && heal.throttled <= 45.0, "{rotation:?} {heal:?}");
    assert!(heal.ages[0] <= minute(10) && heal.ages[2] <= minute(60), "{heal:?}");
}

#[test]
fn the_same_simulation_shows_the_same() {
    let course = || Course { end: minute(10), ..small(TOO_MANY) };
    assert_eq!(simulate(course()), simulate(course()));
}

#[test]
fn the_manual_shows_a_picture_of_each_scene() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs");
    let read = |path: &str| std::fs::read_to_string(format!("{root}/{path}")).expect("it can be read");
    let manual = read("operations.md");
    for scene in SCENES {
        let picture = format!("pictures/{}.svg", scene.name);
        assert!(manual.contains(&format!("]({picture})")), "{picture}");
        assert!(read(&picture).contains(scene.title), "{picture} is old: make simulate");
    }
}
