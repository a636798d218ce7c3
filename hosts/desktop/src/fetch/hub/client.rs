//! Asking the hub, and following where it leads.
//!
//! Redirects are followed here and not by the HTTP library: the hub's own answer carries the digest of the
//! file, and only the hub may see the token.

use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use ureq::http::header::{self, HeaderMap, HeaderValue};
use ureq::http::{StatusCode, Uri};
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Body};

use super::address;
use super::error::{RequestError, ServerError, ServerFault};
use crate::fetch::environment::{Environment, Token};
use crate::fetch::error::{FetchError, shown};
use crate::fetch::stamp::Digest256;

/// Redirects that are followed; the hub needs two.
const REDIRECTS_MAX: usize = 8;
/// A file of certificates is smaller than this.
const PEM_BYTES_MAX: u64 = 16 << 20;

/// A connection to one hub.
pub(super) struct Client {
    agent: Agent,
    endpoint: Uri,
    authorization: Option<HeaderValue>,
    listing_time: Duration,
}

/// An answer that has a body to read.
pub(super) struct Reply {
    /// What was asked for, fit for messages.
    pub(super) url: String,
    pub(super) status: StatusCode,
    /// What the hub says of the file before it leads elsewhere.
    pub(super) linked: Linked,
    pub(super) body: Box<dyn Read>,
    headers: HeaderMap,
}

/// What the hub says of a large file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Linked {
    pub(super) sha256: Option<Digest256>,
    pub(super) size: Option<u64>,
}

impl Client {
    /// # Errors
    /// [`RequestError::Endpoint`], [`RequestError::Token`], [`RequestError::RootCertificates`].
    pub(super) fn new(environment: &Environment) -> Result<Client, RequestError> {
        let endpoint = address::parse_endpoint(&environment.endpoint)
            .map_err(|fault| RequestError::Endpoint { fault })?;
        let patience = environment.patience;
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(environment.proxy.clone())
            .tls_config(TlsConfig::builder().root_certs(root_certificates(environment)?).build())
            .user_agent(concat!("agentos/", env!("CARGO_PKG_VERSION")))
            .timeout_resolve(Some(patience.connect))
            .timeout_connect(Some(patience.connect))
            .timeout_recv_response(Some(patience.answer))
            .timeout_per_read(Some(patience.stall))
            .build();
        Ok(Client {
            agent: Agent::new_with_config(config),
            endpoint,
            authorization: environment.token.as_ref().map(authorization).transpose()?,
            listing_time: patience.answer,
        })
    }

    /// The address of `segments` on the hub.
    pub(super) fn url(&self, segments: &[&str], query: &str) -> Uri {
        address::join(&self.endpoint, segments, query).expect("encoded names give an address")
    }

    /// The address of the next page of a list, which is on the hub.
    ///
    /// # Errors
    /// [`ServerFault::Redirect`] when it is not.
    pub(super) fn page(&self, from: &Uri, link: &str) -> Result<Uri, ServerError> {
        address::resolve(from, link)
            .filter(|next| address::same_origin(next, &self.endpoint))
            .ok_or_else(|| ServerError { url: address::shown(from), fault: ServerFault::Redirect })
    }

    /// Asks for a list of files, of which all has to come within the patience for an answer.
    ///
    /// # Errors
    /// Those of [`Client::file`].
    pub(super) fn list(&self, url: &Uri) -> Result<Reply, FetchError> {
        self.get(url, None, Some(self.listing_time))
    }

    /// Asks for a file, or for the rest of it from a byte on, if it is still the version with that tag.
    /// The answer has status 200, or also 206 or 416 where the rest was asked for.
    ///
    /// # Errors
    /// [`FetchError::Server`].
    pub(super) fn file(&self, url: &Uri, rest: Option<(u64, &str)>) -> Result<Reply, FetchError> {
        self.get(url, rest, None)
    }

    fn get(
        &self,
        url: &Uri,
        rest: Option<(u64, &str)>,
        body_time: Option<Duration>,
    ) -> Result<Reply, FetchError> {
        let asked = address::shown(url);
        let fail = |fault| FetchError::from(ServerError { url: asked.clone(), fault });
        let mut linked = Linked::default();
        let mut url = url.clone();
        for _ in 0..=REDIRECTS_MAX {
            let trusted = address::same_origin(&url, &self.endpoint);
            let response = self.ask(&url, trusted, rest, body_time).map_err(|error| fail(network(error)))?;
            let (parts, body) = response.into_parts();
            if trusted {
                linked = linked.or(&parts.headers);
            }
            if !is_redirect(parts.status) {
                let token_sent = trusted && self.authorization.is_some();
                check_status(parts.status, &parts.headers, rest.is_some(), token_sent).map_err(fail)?;
                let body = Box::new(body.into_reader());
                return Ok(Reply { url: asked, status: parts.status, linked, body, headers: parts.headers });
            }
            url = address::redirect(&url, text(&parts.headers, header::LOCATION)).map_err(fail)?;
        }
        Err(fail(ServerFault::TooManyRedirects))
    }

    fn ask(
        &self,
        url: &Uri,
        trusted: bool,
        rest: Option<(u64, &str)>,
        body_time: Option<Duration>,
    ) -> Result<ureq::http::Response<Body>, ureq::Error> {
        let mut request = self.agent.get(url);
        if let Some(authorization) = self.authorization.as_ref().filter(|_| trusted) {
            request = request.header(header::AUTHORIZATION, authorization.clone());
        }
        if let Some((from, etag)) = rest {
            request = request.header(header::RANGE, format!("bytes={from}-")).header(header::IF_RANGE, etag);
        }
        // The bytes are counted and hashed as they are stored, so they have to come as they are stored.
        request = request.header(header::ACCEPT_ENCODING, "identity");
        request.config().timeout_recv_body(body_time).build().call()
    }
}

impl Linked {
    /// What was known before wins: the first answer comes from the hub itself.
    fn or(self, headers: &HeaderMap) -> Linked {
        let name = |name: &'static str| header::HeaderName::from_static(name);
        let sha256 = || Digest256::parse(text(headers, name("x-linked-etag"))?.trim_matches('"'));
        let size = || text(headers, name("x-linked-size"))?.parse().ok();
        Linked { sha256: self.sha256.or_else(sha256), size: self.size.or_else(size) }
    }
}

impl Reply {
    /// The tag of this version of the file.
    pub(super) fn etag(&self) -> Option<&str> {
        text(&self.headers, header::ETAG)
    }

    /// Bytes of the body, where the server tells.
    pub(super) fn length(&self) -> Option<u64> {
        text(&self.headers, header::CONTENT_LENGTH)?.parse().ok()
    }

    /// For a part of a file, its first byte and the size of the whole.
    pub(super) fn range(&self) -> Option<(u64, u64)> {
        parse_range(text(&self.headers, header::CONTENT_RANGE)?)
    }

    /// Whether the body is for people to look at.
    pub(super) fn is_web_page(&self) -> bool {
        text(&self.headers, header::CONTENT_TYPE)
            .is_some_and(|kind| kind.trim_start().to_ascii_lowercase().starts_with("text/html"))
    }

    /// The address of the next page of a list.
    pub(super) fn next_page(&self) -> Option<String> {
        parse_next(text(&self.headers, header::LINK)?)
    }
}

fn authorization(token: &Token) -> Result<HeaderValue, RequestError> {
    let mut value =
        HeaderValue::from_str(&format!("Bearer {}", token.secret())).map_err(|_| RequestError::Token)?;
    value.set_sensitive(true);
    Ok(value)
}

fn root_certificates(environment: &Environment) -> Result<RootCerts, RequestError> {
    let Some(path) = &environment.root_certificates else {
        return Ok(RootCerts::WebPki);
    };
    let refuse = |why: String| RequestError::RootCertificates { path: path.clone(), why };
    let mut pem = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(PEM_BYTES_MAX).read_to_end(&mut pem))
        .map_err(|error| refuse(error.to_string()))?;
    let mut certificates = Vec::new();
    for item in parse_pem(&pem) {
        match item {
            Ok(PemItem::Certificate(certificate)) => certificates.push(certificate),
            Ok(_) => {}
            Err(error) => return Err(refuse(error.to_string())),
        }
    }
    match certificates.is_empty() {
        true => Err(refuse("it has no certificate".to_owned())),
        false => Ok(RootCerts::Specific(Arc::new(certificates))),
    }
}

fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

fn check_status(
    status: StatusCode,
    headers: &HeaderMap,
    rest_asked: bool,
    token_sent: bool,
) -> Result<(), ServerFault> {
    match status.as_u16() {
        200 => Ok(()),
        206 | 416 if rest_asked => Ok(()),
        401 => Err(ServerFault::Unauthorized { token_sent }),
        403 => Err(ServerFault::Forbidden),
        404 => Err(ServerFault::NotFound),
        status @ (408 | 429 | 500..=599) => {
            let retry_after_s = text(headers, header::RETRY_AFTER).and_then(|value| value.parse().ok());
            Err(ServerFault::Unavailable { status, retry_after_s })
        }
        status => Err(ServerFault::Status(status)),
    }
}

fn network(error: ureq::Error) -> ServerFault {
    match error {
        ureq::Error::Rustls(error) => ServerFault::Tls(error.to_string()),
        ureq::Error::Tls(why) => ServerFault::Tls(why.to_owned()),
        // TLS reports a bad certificate through the stream that it sits on.
        ureq::Error::Io(error) if error.kind() == std::io::ErrorKind::InvalidData => {
            ServerFault::Tls(shown(&error.to_string()))
        }
        error => ServerFault::Network(shown(&error.to_string())),
    }
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

/// `bytes 5-9/10` is (5, 10).
fn parse_range(text: &str) -> Option<(u64, u64)> {
    let (part, whole) = text.trim().strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = part.split_once('-')?;
    let (first, last, whole) = (first.parse().ok()?, last.parse().ok()?, whole.parse().ok()?);
    (first <= last && last < whole).then_some((first, whole))
}

/// The address in `<address>; rel="next"`.
fn parse_next(text: &str) -> Option<String> {
    text.split(',').find_map(|link| {
        let (address, rest) = link.trim().strip_prefix('<')?.split_once('>')?;
        rest.split(';')
            .any(|field| matches!(field.trim(), "rel=\"next\"" | "rel=next"))
            .then(|| address.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read() {
        assert_eq!(parse_range("bytes 5-9/10"), Some((5, 10)));
        for bad in ["bytes 5-10/10", "bytes 9-5/10", "bytes */10", "bytes 5-9/*", "5-9/10", ""] {
            assert_eq!(parse_range(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_next_page_is_found_among_links() {
        let text = "<https://h/1>; rel=\"prev\", <https://h/3?cursor=a>; rel=\"next\"";
        assert_eq!(parse_next(text).as_deref(), Some("https://h/3?cursor=a"));
        assert_eq!(parse_next("<https://h/1>; rel=\"prev\""), None);
        assert_eq!(parse_next("nonsense"), None);
    }
}
