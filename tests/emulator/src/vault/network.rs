//! A vault's firewall: from which addresses it answers.

use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// From where a vault answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "snake_case")]
pub struct Network {
    /// Whether it answers on its public address at all.
    pub public_network_access: Switch,
    /// What happens to an address that no rule names.
    pub default_action: DefaultAction,
    /// The addresses and ranges that it answers to.
    pub ip_rules: Vec<Range>,
}

/// On or off, in Azure's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Switch {
    /// On.
    Enabled,
    /// Off.
    Disabled,
}

/// What happens to a request that no rule names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DefaultAction {
    /// It is served.
    Allow,
    /// It is refused.
    Deny,
}

impl Default for Network {
    fn default() -> Network {
        Network { public_network_access: Switch::Enabled, default_action: DefaultAction::Allow, ip_rules: Vec::new() }
    }
}

/// What the firewall decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Passage {
    Open,
    BlockedByRules,
    NoPublicAccess,
}

impl Network {
    /// Decides about a request from `client`.
    pub(crate) fn decide(&self, client: IpAddr) -> Passage {
        if self.public_network_access == Switch::Disabled {
            return Passage::NoPublicAccess;
        }
        let named = || self.ip_rules.iter().any(|range| range.contains(client));
        if self.default_action == DefaultAction::Allow || named() { Passage::Open } else { Passage::BlockedByRules }
    }
}

/// An address, or a range in CIDR notation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Range {
    address: IpAddr,
    prefix_bits: u32,
}

/// Text that is neither an address nor a range.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("\"{0}\" is neither an address nor a range such as 10.0.0.0/16")]
pub struct NotARange(String);

impl Range {
    fn contains(self, client: IpAddr) -> bool {
        let (own, other, bits) = match (self.address, client) {
            (IpAddr::V4(own), IpAddr::V4(other)) => (u128::from(own.to_bits()), u128::from(other.to_bits()), 32),
            (IpAddr::V6(own), IpAddr::V6(other)) => (own.to_bits(), other.to_bits(), 128),
            _ => return false,
        };
        // A shift by all 128 bits, which /0 of IPv6 needs, leaves nothing to compare.
        (own ^ other).checked_shr(bits - self.prefix_bits).unwrap_or(0) == 0
    }
}

impl FromStr for Range {
    type Err = NotARange;

    fn from_str(text: &str) -> Result<Range, NotARange> {
        let problem = || NotARange(text.to_string());
        let (address, prefix) = text.split_once('/').map_or((text, None), |(address, prefix)| (address, Some(prefix)));
        let address: IpAddr = address.parse().map_err(|_| problem())?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let prefix_bits = prefix.map_or(Ok(longest), str::parse).map_err(|_| problem())?;
        if prefix_bits > longest {
            return Err(problem());
        }
        Ok(Range { address, prefix_bits })
    }
}

impl TryFrom<String> for Range {
    type Error = NotARange;

    fn try_from(text: String) -> Result<Range, NotARange> {
        text.parse()
    }
}

impl From<Range> for String {
    fn from(range: Range) -> String {
        format!("{}/{}", range.address, range.prefix_bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_contains_what_shares_its_prefix() {
        let rows = [
            ("127.0.0.1", "127.0.0.1", true),
            ("127.0.0.1/32", "127.0.0.2", false),
            ("10.1.0.0/16", "10.1.255.3", true),
            ("10.1.0.0/16", "10.2.0.3", false),
            ("0.0.0.0/0", "203.0.113.9", true),
            ("::/0", "2001:db8::1", true),
            ("::/0", "10.0.0.1", false),
            ("2001:db8::/32", "2001:db8:1::1", true),
        ];
        for (range, client, expected) in rows {
            let contained = range.parse::<Range>().unwrap().contains(client.parse().unwrap());
            assert_eq!(contained, expected, "{client} in {range}");
        }
        for text in ["", "10.0.0.0/33", "10.0.0/8", "host", "10.0.0.0/-1", "10.0.0.0/"] {
            assert!(text.parse::<Range>().is_err(), "{text}");
        }
    }

    #[test]
    fn rules_matter_only_where_the_default_is_to_deny() {
        let client = "10.0.0.9".parse().unwrap();
        let network = |public_network_access, default_action, rules: &[&str]| Network {
            public_network_access,
            default_action,
            ip_rules: rules.iter().map(|rule| rule.parse().unwrap()).collect(),
        };
        let rows = [
            (network(Switch::Enabled, DefaultAction::Allow, &[]), Passage::Open),
            (network(Switch::Enabled, DefaultAction::Deny, &[]), Passage::BlockedByRules),
            (network(Switch::Enabled, DefaultAction::Deny, &["10.0.0.0/24"]), Passage::Open),
            (network(Switch::Disabled, DefaultAction::Allow, &["10.0.0.0/24"]), Passage::NoPublicAccess),
        ];
        for (network, expected) in rows {
            assert_eq!(network.decide(client), expected, "{network:?}");
        }
    }
}
