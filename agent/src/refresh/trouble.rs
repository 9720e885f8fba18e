//! What is wrong with a secret, as far as its next look depends on it.

/// What is wrong with a secret.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Trouble {
    /// Nothing: rounds look at it.
    #[default]
    None,
    /// The vault did not come to it, because too much was asked or because it is left alone: nothing is wrong with this one
    /// more than with the others.
    Delayed,
    /// The vault could not be asked. It is tried again by its own back-off, and a list may confirm it.
    Outage,
    /// The vault refused it, or gave what cannot be used. Only a fetch can tell that this is over.
    Answer,
}

impl Trouble {
    /// Whether it says nothing about the secret itself.
    pub(super) fn is_outage(self) -> bool {
        matches!(self, Self::Delayed | Self::Outage)
    }

    /// The trouble of one that was not asked for because its vault is left alone.
    pub(super) fn held_back(self) -> Self {
        match self {
            Self::None | Self::Delayed => Self::Delayed,
            Self::Outage | Self::Answer => Self::Outage,
        }
    }

    /// The same where a delay is no trouble.
    pub(super) fn without_delay(self) -> Self {
        if self == Self::Delayed { Self::None } else { self }
    }
}
