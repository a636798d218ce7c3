//! Who may ask: whoever was told this run's token, and no page of a web site that happens to be open on this machine.

use std::net::SocketAddr;

use axum::http::{HeaderMap, HeaderName, Method, StatusCode, header};

use super::refusal::Refusal;

/// What every request is held to.
#[derive(Clone)]
pub(super) struct Guard {
    address: SocketAddr,
    token: String,
}

impl Guard {
    pub(super) fn new(address: SocketAddr, token: String) -> Guard {
        Guard { address, token }
    }

    /// # Errors
    /// The first thing that is wrong with a request.
    pub(super) fn check(&self, method: &Method, headers: &HeaderMap) -> Result<(), Refusal> {
        let refuse = |kind, message: &str| Err(Refusal::new(StatusCode::FORBIDDEN, kind, message));
        // A name that somebody else had point here is not this machine's.
        if !text(headers, header::HOST).is_some_and(|host| self.is_here(host)) {
            return refuse("host", "the host of the request is not this address");
        }
        let origin =
            headers.contains_key(header::ORIGIN).then(|| text(headers, header::ORIGIN).unwrap_or_default());
        let same = |origin: &str| origin.strip_prefix("http://").is_some_and(|host| self.is_here(host));
        if !origin.is_none_or(same) {
            return refuse("origin", "a page of another origin may not ask here");
        }
        let token = text(headers, header::AUTHORIZATION).and_then(|value| value.strip_prefix("Bearer "));
        if !token.is_some_and(|token| equal(token.as_bytes(), self.token.as_bytes())) {
            let message = "the header `authorization: Bearer TOKEN` is missing or wrong; the run told its token when it began";
            return Err(Refusal::new(StatusCode::UNAUTHORIZED, "token", message));
        }
        // What a form of a web page can send is none.
        let media = text(headers, header::CONTENT_TYPE).and_then(|value| value.split(';').next());
        let is_json = media.is_some_and(|media| media.trim().eq_ignore_ascii_case("application/json"));
        if method != Method::GET && !is_json {
            let message = "the content type of a request is to be application/json";
            return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "content_type", message));
        }
        Ok(())
    }

    /// Whether this is how the address itself may be written.
    fn is_here(&self, host: &str) -> bool {
        host == self.address.to_string()
            || host.strip_prefix("localhost:").is_some_and(|port| port == self.address.port().to_string())
    }
}

/// A header that was sent once, as text.
fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    let mut all = headers.get_all(name).iter();
    let first = all.next()?;
    if all.next().is_some() { None } else { first.to_str().ok() }
}

/// Whether two texts are equal, in a time that depends on their lengths alone.
fn equal(one: &[u8], other: &[u8]) -> bool {
    let differing = one.iter().zip(other).fold(0, |differing, (one, other)| differing | (one ^ other));
    one.len() == other.len() && differing == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: &str = "127.0.0.1:8700";

    fn refused(method: Method, headers: &[(&'static str, &'static str)]) -> Option<&'static str> {
        let guard = Guard::new(HERE.parse().unwrap(), "abc".to_owned());
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        guard.check(&method, &map).err().map(|refusal| refusal.kind)
    }

    #[test]
    fn who_has_the_token_may_ask_and_no_page_of_another_site() {
        let token = ("authorization", "Bearer abc");
        let json = ("content-type", "application/json; charset=utf-8");
        let host = ("host", HERE);
        for (method, headers, expected) in [
            (Method::GET, &[host, token][..], None),
            (Method::GET, &[("host", "localhost:8700"), token], None),
            (Method::POST, &[host, token, json], None),
            (Method::POST, &[host, token, json, ("origin", "http://localhost:8700")], None),
            (Method::GET, &[token], Some("host")),
            (Method::GET, &[("host", "evil.example:8700"), token], Some("host")),
            (Method::GET, &[("host", "localhost:8701"), token], Some("host")),
            (Method::GET, &[("host", "localhost"), token], Some("host")),
            (Method::GET, &[host, host, token], Some("host")),
            (Method::GET, &[host, token, ("origin", "http://evil.example")], Some("origin")),
            (Method::GET, &[host, token, ("origin", "null")], Some("origin")),
            (Method::GET, &[host, token, ("origin", "https://127.0.0.1:8700")], Some("origin")),
            (Method::GET, &[host], Some("token")),
            (Method::GET, &[host, ("authorization", "Bearer abd")], Some("token")),
            (Method::GET, &[host, ("authorization", "Bearer ab")], Some("token")),
            (Method::GET, &[host, ("authorization", "Bearer abcd")], Some("token")),
            (Method::GET, &[host, ("authorization", "abc")], Some("token")),
            (Method::GET, &[host, token, token], Some("token")),
            (Method::POST, &[host, token], Some("content_type")),
            (Method::POST, &[host, token, ("content-type", "text/plain")], Some("content_type")),
            (
                Method::POST,
                &[host, token, ("content-type", "application/x-www-form-urlencoded")],
                Some("content_type"),
            ),
        ] {
            assert_eq!(refused(method.clone(), headers), expected, "{method} {headers:?}");
        }
    }
}
