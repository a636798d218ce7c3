//! Addresses on the web: building, resolving, comparing and showing them. Pure functions.

use ureq::http::Uri;

use super::error::ServerFault;

/// The longest address that is followed.
const ADDRESS_BYTES_MAX: usize = 8192;

/// Reads the hub's address: a scheme, a host, perhaps a port and a path below which the hub lies.
///
/// # Errors
/// What is wrong with it.
pub(super) fn parse_endpoint(text: &str) -> Result<Uri, &'static str> {
    let text = text.trim().trim_end_matches('/');
    let uri: Uri = text.parse().map_err(|_| "it is not an address")?;
    if !matches!(uri.scheme_str(), Some("https" | "http")) {
        return Err("it begins neither with https:// nor with http://");
    }
    if uri.host().is_none_or(str::is_empty) {
        return Err("it names no host");
    }
    if has_credentials(&uri) {
        return Err("it contains a user name; HF_TOKEN is the place for secrets");
    }
    match uri.query() {
        Some(_) => Err("it contains a question mark"),
        None => Ok(uri),
    }
}

/// The address of `segments` below `base`. `query` is taken as it is.
pub(super) fn join(base: &Uri, segments: &[&str], query: &str) -> Option<Uri> {
    let mut text = format!("{}{}", origin(base)?, base.path().trim_end_matches('/'));
    for segment in segments.iter().flat_map(|segment| segment.split('/')) {
        text.push('/');
        percent_encode(segment, &mut text);
    }
    if !query.is_empty() {
        text.push('?');
        text.push_str(query);
    }
    text.parse().ok()
}

/// The address that `location`, absolute or relative, means on the page `from`. Only http and https.
pub(super) fn resolve(from: &Uri, location: &str) -> Option<Uri> {
    if location.is_empty() || location.len() > ADDRESS_BYTES_MAX {
        return None;
    }
    let location = location.split('#').next().unwrap_or(location);
    let text = if location.contains("://") && !location.starts_with('/') {
        location.to_owned()
    } else if location.starts_with("//") {
        format!("{}:{location}", from.scheme_str()?)
    } else if location.starts_with('/') {
        format!("{}{location}", origin(from)?)
    } else {
        let folder = from.path().rsplit_once('/').map_or("", |(folder, _)| folder);
        format!("{}{folder}/{location}", origin(from)?)
    };
    let uri: Uri = text.parse().ok()?;
    let usable = matches!(uri.scheme_str(), Some("https" | "http"))
        && uri.host().is_some_and(|host| !host.is_empty())
        && !has_credentials(&uri);
    usable.then_some(uri)
}

/// Where a redirect from the page `from` to `location` leads.
///
/// # Errors
/// [`ServerFault::Redirect`], [`ServerFault::Downgrade`].
pub(super) fn redirect(from: &Uri, location: Option<&str>) -> Result<Uri, ServerFault> {
    let next = location.and_then(|location| resolve(from, location)).ok_or(ServerFault::Redirect)?;
    match (from.scheme_str(), next.scheme_str()) {
        (Some("https"), Some("http")) => Err(ServerFault::Downgrade),
        _ => Ok(next),
    }
}

/// Whether both are on the same host, port and scheme, so that one may hear the other's secrets.
pub(super) fn same_origin(a: &Uri, b: &Uri) -> bool {
    let host = |uri: &Uri| uri.host().map(str::to_ascii_lowercase);
    a.scheme() == b.scheme() && host(a) == host(b) && port(a) == port(b)
}

/// An address fit for messages and logs: without its query, which may hold a signature.
pub(super) fn shown(uri: &Uri) -> String {
    crate::fetch::error::shown(&format!("{}{}", origin(uri).unwrap_or_default(), uri.path()))
}

fn port(uri: &Uri) -> Option<u16> {
    uri.port_u16().or(match uri.scheme_str() {
        Some("https") => Some(443),
        Some("http") => Some(80),
        _ => None,
    })
}

fn origin(uri: &Uri) -> Option<String> {
    let port = uri.port().map(|port| format!(":{port}")).unwrap_or_default();
    Some(format!("{}://{}{port}", uri.scheme_str()?, uri.host()?))
}

fn has_credentials(uri: &Uri) -> bool {
    uri.authority().is_some_and(|authority| authority.as_str().contains('@'))
}

fn percent_encode(segment: &str, out: &mut String) {
    use std::fmt::Write;
    for byte in segment.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            write!(out, "%{byte:02X}").expect("a string takes all text");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(text: &str) -> Uri {
        text.parse().unwrap()
    }

    #[test]
    fn endpoints_are_checked() {
        assert_eq!(parse_endpoint("https://hub.example/ ").unwrap(), uri("https://hub.example"));
        assert_eq!(parse_endpoint("http://h:81/mirror/").unwrap().path(), "/mirror");
        for bad in ["", "hub.example", "ftp://h", "https://", "https://u:p@h", "https://h?x=1", "/x", "h h"] {
            assert!(parse_endpoint(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn names_are_encoded_below_the_base() {
        let joined = join(&uri("https://h/base/"), &["o", "r", "a b/é?#.gguf"], "x=1").unwrap();
        assert_eq!(joined, uri("https://h/base/o/r/a%20b/%C3%A9%3F%23.gguf?x=1"));
    }

    #[test]
    fn redirects_are_resolved() {
        let from = uri("https://h:8/a/b?q=1");
        let resolved = |location| resolve(&from, location).map(|uri| uri.to_string());
        assert_eq!(resolved("/x?y=1#z").as_deref(), Some("https://h:8/x?y=1"));
        assert_eq!(resolved("x").as_deref(), Some("https://h:8/a/x"));
        assert_eq!(resolved("//cdn/x").as_deref(), Some("https://cdn/x"));
        assert_eq!(resolved("http://cdn/x?u=https://y").as_deref(), Some("http://cdn/x?u=https://y"));
        for bad in ["", "ftp://h/x", "file:///etc/passwd", "https://u:p@h/x", "http://", "https:// /"] {
            assert_eq!(resolved(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_redirect_keeps_the_encryption() {
        let from = uri("https://h/a");
        assert_eq!(redirect(&from, Some("http://h/b")), Err(ServerFault::Downgrade));
        assert_eq!(redirect(&from, Some("//cdn/b")), Ok(uri("https://cdn/b")));
        assert_eq!(redirect(&uri("http://h/a"), Some("https://h/b")), Ok(uri("https://h/b")));
        assert_eq!(redirect(&from, None), Err(ServerFault::Redirect));
    }

    #[test]
    fn origins_are_compared_with_their_ports() {
        assert!(same_origin(&uri("https://H/a"), &uri("https://h:443/b")));
        assert!(!same_origin(&uri("https://h"), &uri("http://h")));
        assert!(!same_origin(&uri("http://h:1"), &uri("http://h:2")));
        assert!(!same_origin(&uri("https://h"), &uri("https://h.evil.example")));
    }

    #[test]
    fn what_is_shown_has_no_query() {
        assert_eq!(shown(&uri("https://h/p?signature=secret")), "https://h/p");
    }
}
