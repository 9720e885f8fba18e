//! What a simulation comes to: how soon all agents are fresh again, and how many of their calls are throttled.

use std::ops::Range;
use std::time::Duration;

use crate::course::WINDOW;
use crate::fleet::{Record, Sight};

/// A part of a simulation that begins with something after which agents have to catch up.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Figures {
    /// How soon half of the agents had the newest of everything, and 99 in 100, and all; none where they had it not by the
    /// end of the part. Times are whole windows, rounded up.
    pub(crate) caught_up: [Option<Duration>; 3],
    /// Which share of the calls that came to the vault was throttled, in per cent.
    pub(crate) throttled: f64,
    /// The greatest age at its end: of the median agent, of 99 in 100, and of all.
    pub(crate) ages: [Duration; 3],
}

impl Record {
    /// The start, with what follows until the first rotation.
    pub(crate) fn start(&self) -> Figures {
        self.part(Duration::ZERO..self.course.rotations[0])
    }

    /// The rotation in quiet times, until the outage.
    pub(crate) fn rotation(&self) -> Figures {
        self.part(self.course.rotations[0]..self.course.outage.start)
    }

    /// What follows the outage.
    pub(crate) fn heal(&self) -> Figures {
        self.part(self.course.outage.end..self.course.end)
    }

    /// How many calls each agent made during the outage, on average.
    pub(crate) fn outage_calls(&self) -> f64 {
        let refused: u32 = self.windows.iter().map(|window| window.refused).sum();
        f64::from(refused) / f64::from(self.course.agents)
    }

    fn part(&self, time: Range<Duration>) -> Figures {
        let range = index(time.start)..index(time.end);
        let (windows, sights) = (&self.windows[range.clone()], &self.sights[range]);
        let agents = usize::try_from(self.course.agents).expect("few agents");
        let within = |share: usize| {
            let position = sights.iter().position(|sight: &Sight| sight.fresh * 100 >= share * agents)?;
            Some(WINDOW * u32::try_from(position + 1).expect("few windows"))
        };
        let granted: u32 = windows.iter().map(|window| window.granted).sum();
        let throttled: u32 = windows.iter().map(|window| window.throttled).sum();
        Figures {
            caught_up: [50, 99, 100].map(within),
            throttled: 100.0 * f64::from(throttled) / f64::from(granted + throttled),
            ages: sights.last().expect("it lasted").ages,
        }
    }
}

/// The window that begins then.
fn index(time: Duration) -> usize {
    usize::try_from(time.as_secs() / WINDOW.as_secs()).expect("a simulation is short")
}
