//! The api-versions that the data plane knows, and what each one shows.

/// Oldest first. Stable versions and the previews of Azure's published specification, with the older previews
/// that recorded SDK traffic carries.
const KNOWN: [&str; 23] = [
    "2016-10-01",
    "7.0-preview",
    "7.0",
    "7.1-preview",
    "7.1",
    "7.2-preview",
    "7.2",
    "7.3-preview",
    "7.3",
    "7.4-preview.1",
    "7.4",
    "7.5-preview.1",
    "7.5",
    "7.6-preview.1",
    "7.6-preview.2",
    "7.6",
    "2025-06-01-preview",
    "2025-07-01",
    "2026-01-01-preview",
    "2026-03-01-preview",
    "2026-04-01",
    "2026-05-01-preview",
    "2026-07-01-preview",
];
const FIRST_WITH_RECOVERABLE_DAYS: &str = "7.1-preview";
const FIRST_WITH_PREVIOUS_VERSION: &str = "2025-06-01-preview";
const FIRST_WITH_CONVERSION: &str = "2025-07-01";

/// A version of the data plane's interface, by age.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ApiVersion(usize);

impl ApiVersion {
    /// The version called `name`, where the service knows it.
    pub(crate) fn parse(name: &str) -> Option<ApiVersion> {
        KNOWN.iter().position(|known| *known == name).map(ApiVersion)
    }

    /// Whether attributes say how long a deleted secret can be recovered.
    pub(crate) fn shows_recoverable_days(self) -> bool {
        Some(self) >= ApiVersion::parse(FIRST_WITH_RECOVERABLE_DAYS)
    }

    /// Whether a bundle names the version before its own.
    pub(crate) fn shows_previous_version(self) -> bool {
        Some(self) >= ApiVersion::parse(FIRST_WITH_PREVIOUS_VERSION)
    }

    /// Whether a GET may ask for another form than the stored one.
    pub(crate) fn converts(self) -> bool {
        Some(self) >= ApiVersion::parse(FIRST_WITH_CONVERSION)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_version_that_an_sdk_sends_is_known() {
        for name in [
            "2016-10-01",
            "7.0",
            "7.1",
            "7.2",
            "7.3",
            "7.4",
            "7.5",
            "7.6",
            "2025-07-01",
            "2026-04-01",
            "2026-01-01-preview",
            "2026-03-01-preview",
            "2026-05-01-preview",
            "2026-07-01-preview",
            "7.6-preview.2",
        ] {
            assert!(ApiVersion::parse(name).is_some(), "{name}");
        }
        for name in ["", "7", "8.0", "2025-07-02", "7.4 "] {
            assert_eq!(ApiVersion::parse(name), None, "{name}");
        }
    }

    #[test]
    fn old_versions_show_fewer_members() {
        let rows = [
            ("7.0", false, false, false),
            ("7.1", true, false, false),
            ("7.6", true, false, false),
            ("2025-07-01", true, true, true),
            ("2026-04-01", true, true, true),
        ];
        for (name, days, previous, converts) in rows {
            let version = ApiVersion::parse(name).unwrap();
            assert_eq!(version.shows_recoverable_days(), days, "{name}");
            assert_eq!(version.shows_previous_version(), previous, "{name}");
            assert_eq!(version.converts(), converts, "{name}");
        }
    }
}
