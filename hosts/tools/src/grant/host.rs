//! Hosts that an agent may get things from.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use super::granted;

/// A host as a URL names it: a name in lower case or an address, and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// A name or an address; one of IPv6 without brackets.
    pub name: String,
    /// Port.
    pub port: u16,
}

/// A host that is granted: `name`, `name:port`, `1.2.3.4:port` or `[::1]:port`. Without a port it is granted
/// at the ports of http and https.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostGrant {
    name: String,
    port: Option<u16>,
}

/// What is no host that could be granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoHost {
    /// What was written.
    pub text: String,
}

/// A host that is not granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostRefusal {
    /// The host.
    pub host: Host,
    /// The hosts that are granted.
    pub granted: Vec<HostGrant>,
}

impl HostGrant {
    /// The address that is granted, where it is granted by its address.
    pub fn address(&self) -> Option<IpAddr> {
        self.name.parse().ok()
    }

    /// Whether it is this machine by its common name.
    pub fn is_localhost(&self) -> bool {
        self.name == "localhost"
    }
}

impl FromStr for HostGrant {
    type Err = NoHost;

    fn from_str(text: &str) -> Result<HostGrant, NoHost> {
        let no_host = || NoHost { text: text.to_owned() };
        let (name, port) = parts(text).ok_or_else(no_host)?;
        let port = match port {
            None => None,
            Some(digits) => Some(port_number(digits).ok_or_else(no_host)?),
        };
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
        let sound = name.parse::<IpAddr>().is_ok() || (!name.is_empty() && name.chars().all(plain));
        if sound { Ok(HostGrant { name, port }) } else { Err(no_host()) }
    }
}

/// A name in lower case or an address, and what stands behind the colon.
fn parts(text: &str) -> Option<(String, Option<&str>)> {
    let (name, rest) = match text.strip_prefix('[') {
        Some(inner) => {
            let (address, rest) = inner.split_once(']')?;
            (address.parse::<Ipv6Addr>().ok()?.to_string(), rest)
        }
        None => {
            let end = text.find(':').unwrap_or(text.len());
            (text[..end].to_ascii_lowercase(), &text[end..])
        }
    };
    let port = if rest.is_empty() { None } else { Some(rest.strip_prefix(':')?) };
    Some((name, port))
}

fn port_number(digits: &str) -> Option<u16> {
    let plain = digits.bytes().all(|c| c.is_ascii_digit());
    digits.parse().ok().filter(|&port| plain && port > 0)
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Host { name, port } = self;
        if name.contains(':') { write!(f, "[{name}]:{port}") } else { write!(f, "{name}:{port}") }
    }
}

impl fmt::Display for HostGrant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.name.contains(':') { write!(f, "[{}]", self.name) } else { f.write_str(&self.name) }?;
        if let Some(port) = self.port { write!(f, ":{port}") } else { Ok(()) }
    }
}

impl fmt::Display for NoHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} is no host; `example.org`, `example.org:8080`, `127.0.0.1:8080` and `[::1]:8080` would be",
            self.text
        )
    }
}

impl std::error::Error for NoHost {}

impl fmt::Display for HostRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hosts: Vec<String> = self.granted.iter().map(ToString::to_string).collect();
        let host = crate::schema::clipped(&self.host.to_string());
        write!(f, "the host {host} is not granted; {}", granted("host", &hosts))
    }
}

impl std::error::Error for HostRefusal {}

pub(super) fn permit<'g>(hosts: &'g [HostGrant], host: &Host) -> Result<&'g HostGrant, HostRefusal> {
    let fits = |grant: &&HostGrant| {
        let port = grant.port.map_or(matches!(host.port, 80 | 443), |port| port == host.port);
        grant.name == host.name && port
    };
    hosts.iter().find(fits).ok_or_else(|| HostRefusal { host: host.clone(), granted: hosts.to_vec() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_read_as_they_are_written() {
        for text in ["example.org", "example.org:8080", "127.0.0.1", "127.0.0.1:80", "[::1]:8080", "[::1]"] {
            assert_eq!(text.parse::<HostGrant>().unwrap().to_string(), text);
        }
        assert_eq!("Example.ORG".parse::<HostGrant>().unwrap().to_string(), "example.org");
        assert_eq!("[0:0::1]:1".parse::<HostGrant>().unwrap().to_string(), "[::1]:1");
    }

    #[test]
    fn what_is_no_host_is_told() {
        for text in [
            "",
            ":80",
            "a:",
            "a:0",
            "a:x",
            "a:+80",
            "a:65536",
            "a/b",
            "http://a",
            "a b",
            "*",
            "*.a",
            "u@a",
            "[::1",
            "[::1]80",
            "[::1]:",
            "[1.2.3.4]:80",
            "::1",
            "[a]",
            "a:1:2",
            "ä.org",
        ] {
            assert!(text.parse::<HostGrant>().is_err(), "{text}");
        }
    }
}
