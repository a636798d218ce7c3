//! URLs, read once.

use std::fmt;

use fluent_uri::{Uri, UriRef};
use ureq::http;

use crate::grant::{Grant, Host, HostGrant, HostRefusal};
use crate::schema::clipped;

/// Bytes of a URL.
pub const URL_BYTES: usize = 2048;

/// What a request asks for, and what grants it.
#[derive(Clone, Debug)]
pub struct Target {
    pub uri: http::Uri,
    pub host: Host,
    pub grant: HostGrant,
}

/// Why a URL is not asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UrlRefusal {
    /// It is none.
    Unreadable(String),
    /// It is too long.
    Long,
    /// It is neither of http nor of https.
    Scheme(String),
    /// It has a user or a password.
    User,
    /// Its host is not granted.
    Host(HostRefusal),
}

impl fmt::Display for UrlRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            UrlRefusal::Unreadable(url) => {
                write!(f, "{:?} is no URL; one such as https://example.org/page would be", clipped(url))
            }
            UrlRefusal::Long => write!(f, "the URL has more than {URL_BYTES} bytes"),
            UrlRefusal::Scheme(scheme) => {
                write!(f, "{:?} is not asked for; http and https are", clipped(scheme))
            }
            UrlRefusal::User => f.write_str("the URL has a user; one without would do"),
            UrlRefusal::Host(refusal) => refusal.fmt(f),
        }
    }
}

impl Target {
    /// Reads a URL, and looks whether its host is granted.
    pub fn read(url: &str, grant: &Grant) -> Result<Target, UrlRefusal> {
        if url.len() > URL_BYTES {
            return Err(UrlRefusal::Long);
        }
        let unreadable = || UrlRefusal::Unreadable(url.to_owned());
        // Two readers that differ would be a way around the grant: this one is strict, the other is the client's.
        let strict = Uri::parse(url).map_err(|_| unreadable())?;
        let scheme = strict.scheme().as_str().to_ascii_lowercase();
        let usual = match scheme.as_str() {
            "http" => 80,
            "https" => 443,
            _ => return Err(UrlRefusal::Scheme(scheme)),
        };
        let authority = strict.authority().ok_or_else(unreadable)?;
        if authority.userinfo().is_some() {
            return Err(UrlRefusal::User);
        }
        let name = authority.host().to_ascii_lowercase();
        let port = match authority.port().map(|port| port.as_str()) {
            None | Some("") => usual,
            Some(port) => port.parse().map_err(|_| unreadable())?,
        };
        // What is behind `#` is never sent.
        let sent = url.split('#').next().unwrap_or_default();
        let uri: http::Uri = sent.parse().map_err(|_| unreadable())?;
        let same_host = uri.host().is_some_and(|host| host.eq_ignore_ascii_case(&name));
        if !same_host || uri.port_u16().unwrap_or(usual) != port || uri.scheme_str() != Some(&scheme) {
            return Err(unreadable());
        }
        let plain = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(&name);
        // An address of IPv6 has many forms, and a grant has the usual one.
        let plain =
            plain.parse::<std::net::Ipv6Addr>().map_or_else(|_| plain.to_owned(), |v6| v6.to_string());
        let host = Host { name: plain, port };
        let grant = grant.host(&host).map_err(UrlRefusal::Host)?.clone();
        Ok(Target { uri, host, grant })
    }

    /// What a redirect from here leads to.
    pub fn redirected(&self, location: &str, grant: &Grant) -> Result<Target, UrlRefusal> {
        let unreadable = || UrlRefusal::Unreadable(location.to_owned());
        let base = self.uri.to_string();
        let base = Uri::parse(base.as_str()).map_err(|_| unreadable())?;
        let reference = UriRef::parse(location).map_err(|_| unreadable())?;
        let url = reference.resolve_against(&base).map_err(|_| unreadable())?;
        Target::read(url.as_str(), grant)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn grant() -> Grant {
        Grant {
            hosts: vec!["example.org".parse().unwrap(), "[::1]:8080".parse().unwrap()],
            ..Grant::default()
        }
    }

    #[test]
    fn what_is_granted_is_asked_for() {
        for (url, uri) in [
            ("http://example.org", "http://example.org/"),
            ("https://EXAMPLE.org:443/a?b=c#d", "https://EXAMPLE.org:443/a?b=c"),
            ("HTTP://example.org/%20", "http://example.org/%20"),
            ("http://[0:0::1]:8080/", "http://[0:0::1]:8080/"),
        ] {
            assert_eq!(Target::read(url, &grant()).unwrap().uri.to_string(), uri);
        }
    }

    #[test]
    fn redirects_are_read_from_where_they_were_sent() {
        let from = Target::read("http://example.org/a/b?c", &grant()).unwrap();
        let to = |location: &str| from.redirected(location, &grant()).map(|target| target.uri.to_string());
        assert_eq!(to("/x").unwrap(), "http://example.org/x");
        assert_eq!(to("x").unwrap(), "http://example.org/a/x");
        assert_eq!(to("?d").unwrap(), "http://example.org/a/b?d");
        assert_eq!(to("https://example.org/s").unwrap(), "https://example.org/s");
        assert!(matches!(to("//evil.example/"), Err(UrlRefusal::Host(_))));
        assert!(matches!(to("http://127.0.0.1/"), Err(UrlRefusal::Host(_))));
        assert!(matches!(to("file:///etc/passwd"), Err(UrlRefusal::Scheme(_))));
        assert!(matches!(to("http://u@example.org/"), Err(UrlRefusal::User)));
        assert!(matches!(to("\\\\evil.example"), Err(UrlRefusal::Unreadable(_))));
    }

    proptest! {
        /// Whatever a URL is made of, it is refused, or the client reads the very host that is granted in it.
        #[test]
        fn a_url_is_refused_or_asks_the_granted_host(
            url in "(https?:/?/?)?([a-z.@:#?/\\\\%\\[\\]0-9]|example\\.org|\\PC){0,12}",
        ) {
            if let Ok(target) = Target::read(&url, &grant()) {
                prop_assert!(target.uri.host().unwrap().eq_ignore_ascii_case("example.org"));
                prop_assert!(!target.uri.authority().unwrap().as_str().contains('@'));
            }
        }
    }
}
