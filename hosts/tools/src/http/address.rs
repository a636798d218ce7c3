//! Addresses that a name on the open network has no business to point to.

use std::net::IpAddr;
use std::sync::LazyLock;

use ipnet::IpNet;

/// Ranges of the IANA's registries of special-purpose addresses, and of multicast.
const SPECIAL: [(&str, &str); 32] = [
    ("0.0.0.0/8", "this network"),
    ("10.0.0.0/8", "a private network"),
    ("100.64.0.0/10", "a provider's network"),
    ("127.0.0.0/8", "this machine"),
    ("169.254.0.0/16", "the local link"),
    ("172.16.0.0/12", "a private network"),
    ("192.0.0.0/24", "protocols"),
    ("192.0.2.0/24", "documentation"),
    ("192.31.196.0/24", "name servers of other purposes"),
    ("192.52.193.0/24", "relays"),
    ("192.88.99.0/24", "relays"),
    ("192.168.0.0/16", "a private network"),
    ("192.175.48.0/24", "name servers of other purposes"),
    ("198.18.0.0/15", "measurements"),
    ("198.51.100.0/24", "documentation"),
    ("203.0.113.0/24", "documentation"),
    ("224.0.0.0/4", "many machines"),
    ("240.0.0.0/4", "no machine"),
    ("::/128", "no machine"),
    ("::1/128", "this machine"),
    ("::/96", "an old form of other addresses"),
    ("64:ff9b::/96", "another address, translated"),
    ("64:ff9b:1::/48", "another address, translated"),
    ("100::/64", "no machine"),
    ("2001::/23", "protocols"),
    ("2001:db8::/32", "documentation"),
    ("2002::/16", "another address, relayed"),
    ("3fff::/20", "documentation"),
    ("fc00::/7", "a private network"),
    ("fe80::/10", "the local link"),
    ("fec0::/10", "a private network"),
    ("ff00::/8", "many machines"),
];

static RANGES: LazyLock<Vec<(IpNet, &str)>> = LazyLock::new(|| {
    SPECIAL
        .iter()
        .map(|(range, what)| (range.parse().expect("a range that is written right"), *what))
        .collect()
});

/// What an address belongs to, if not to a machine of the open network.
pub fn special(address: IpAddr) -> Option<&'static str> {
    // `::ffff:127.0.0.1` is 127.0.0.1.
    let address = address.to_canonical();
    RANGES.iter().find(|(range, _)| range.contains(&address)).map(|(_, what)| *what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn special_addresses_are_known_in_every_form() {
        for address in [
            "0.0.0.0",
            "10.1.2.3",
            "100.127.0.1",
            "127.0.0.1",
            "127.255.255.254",
            "169.254.169.254",
            "172.31.0.1",
            "192.168.1.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::127.0.0.1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
            "fd00::1",
            "fe80::1",
            "ff02::1",
            "198.19.0.1",
        ] {
            assert!(special(address.parse().unwrap()).is_some(), "{address}");
        }
    }

    #[test]
    fn others_are_not() {
        for address in [
            "1.1.1.1",
            "9.255.255.255",
            "11.0.0.0",
            "172.32.0.1",
            "192.169.0.1",
            "2606:4700::1111",
            "2a00::1",
        ] {
            assert_eq!(special(address.parse().unwrap()), None, "{address}");
        }
    }
}
