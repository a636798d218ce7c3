//! Requests, one after the other along redirects.

use std::io::Read;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use agentos_perception::text::decode;
use ureq::config::Config;
use ureq::http::{Response, Uri};
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};
use ureq::{Agent, Body, Error};

use super::address::special;
use super::target::Target;
use crate::failure::ToolFailure;
use crate::grant::{Grant, HostGrant};
use crate::schema::clipped;
use crate::stop::Stop;

/// What a request may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HttpLimits {
    /// How long it may take, redirects with it.
    pub time: Duration,
    /// Bytes of the body.
    pub body_bytes: usize,
    /// Redirects that are followed.
    pub redirects: u32,
}

impl Default for HttpLimits {
    fn default() -> HttpLimits {
        HttpLimits { time: Duration::from_secs(15), body_bytes: 1 << 20, redirects: 4 }
    }
}

/// Gets things from granted hosts.
pub struct Client {
    grant: Grant,
    limits: HttpLimits,
}

impl Client {
    pub fn new(grant: Grant, limits: HttpLimits) -> Client {
        Client { grant, limits }
    }

    pub fn grant(&self) -> &Grant {
        &self.grant
    }

    /// The body of what a URL leads to.
    pub fn get(&self, mut target: Target, stop: &Stop) -> Result<Vec<u8>, ToolFailure> {
        let deadline = Instant::now() + self.limits.time;
        for _ in 0..=self.limits.redirects {
            if stop.is_raised() {
                return Err(ToolFailure::failed("it was given up"));
            }
            let mut response = self.ask(&target, deadline)?;
            let Some(location) = location(&response) else {
                return self.body(&target, &mut response, stop);
            };
            target = target.redirected(&location, &self.grant).map_err(|refusal| {
                ToolFailure::Failed(format!("{} redirects, and that is refused: {refusal}", target.host))
            })?;
        }
        Err(ToolFailure::Failed(format!(
            "there are more than {} redirects, the last to {}",
            self.limits.redirects, target.host
        )))
    }

    fn ask(&self, target: &Target, deadline: Instant) -> Result<Response<Body>, ToolFailure> {
        let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            // A proxy would look names up by itself.
            .proxy(None)
            .timeout_global(Some(left))
            .max_idle_connections(0)
            .user_agent("agentos")
            .build();
        let resolver = Checked { grant: target.grant.clone(), usual: DefaultResolver::default() };
        let agent = Agent::with_parts(config, DefaultConnector::default(), resolver);
        let answer = agent.get(target.uri.clone()).call();
        answer.map_err(|error| self.failure(target, &error))
    }

    fn body(
        &self,
        target: &Target,
        response: &mut Response<Body>,
        stop: &Stop,
    ) -> Result<Vec<u8>, ToolFailure> {
        let status = response.status();
        let most = self.limits.body_bytes;
        let mut reader = response.body_mut().as_reader();
        let mut body = Vec::new();
        let mut part = [0; 16 << 10];
        loop {
            if stop.is_raised() {
                return Err(ToolFailure::failed("it was given up"));
            }
            match reader.read(&mut part) {
                Ok(0) => break,
                Ok(read) => body.extend_from_slice(&part[..read]),
                Err(error) => {
                    let error = Error::from(error);
                    return Err(self.failure(target, &error));
                }
            }
            if body.len() > most {
                let host = &target.host;
                return Err(ToolFailure::Failed(format!(
                    "{host} sends more than the {most} bytes that are taken"
                )));
            }
        }
        if status.is_success() {
            let declared = response.headers().get("content-type").and_then(|value| value.to_str().ok());
            return Ok(in_utf8(body, declared));
        }
        let says = clipped(&String::from_utf8_lossy(&body));
        let colon = if says.is_empty() { "" } else { ": " };
        Err(ToolFailure::Failed(format!("{} answers with status {status}{colon}{says}", target.host)))
    }

    fn failure(&self, target: &Target, error: &Error) -> ToolFailure {
        let host = &target.host;
        let why = match error {
            Error::Other(other) => match other.downcast_ref::<NoAddress>() {
                Some(refused) => return ToolFailure::Failed(format!("{host} is refused: {refused}")),
                None => error.to_string(),
            },
            Error::Timeout(_) => format!("it takes longer than {:?}", self.limits.time),
            Error::HostNotFound => "there is no such host".to_owned(),
            _ => error.to_string(),
        };
        ToolFailure::Failed(format!("{host} cannot be asked: {}", clipped(&why)))
    }
}

/// Where an answer sends the one who asked.
/// A body in UTF-8, where its media type says that it is in another character set. What is not in the set that is
/// declared stays as it is.
fn in_utf8(body: Vec<u8>, declared: Option<&str>) -> Vec<u8> {
    // Without a word on it, whoever reads the body finds out as well.
    let Some(declared) = declared else { return body };
    let decoded = decode(&body, Some(declared));
    match decoded.charset == "UTF-8" || decoded.misdeclared {
        true => body,
        false => decoded.text.into_owned().into_bytes(),
    }
}

fn location(response: &Response<Body>) -> Option<String> {
    if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return None;
    }
    let location = response.headers().get("location")?;
    Some(String::from_utf8_lossy(location.as_bytes()).into_owned())
}

/// Looks names up, and hands on the addresses that a grant covers.
#[derive(Debug)]
struct Checked {
    grant: HostGrant,
    usual: DefaultResolver,
}

/// A name that leads to no address that may be reached.
#[derive(Clone, Debug, PartialEq, Eq)]
struct NoAddress {
    address: SocketAddr,
    belongs_to: &'static str,
}

impl std::fmt::Display for NoAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let NoAddress { address, belongs_to } = self;
        write!(
            f,
            "its address {} belongs to {belongs_to}, and such a one is reached only where the address itself is granted",
            address.ip()
        )
    }
}

impl std::error::Error for NoAddress {}

impl Resolver for Checked {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, Error> {
        let found = self.usual.resolve(uri, config, timeout)?;
        let mut kept = self.empty();
        let mut refused = None;
        for &address in found.iter() {
            match permitted(&self.grant, address) {
                Ok(()) => kept.push(address),
                Err(refusal) => refused = Some(refusal),
            }
        }
        match refused {
            Some(refusal) if kept.is_empty() => Err(Error::Other(Box::new(refusal))),
            _ => Ok(kept),
        }
    }
}

/// Whether a granted host may have this address: one of the open network, the very one that is granted, or this
/// machine's where `localhost` is.
fn permitted(grant: &HostGrant, address: SocketAddr) -> Result<(), NoAddress> {
    let ip = address.ip().to_canonical();
    let granted = grant.address() == Some(ip) || grant.is_localhost() && ip.is_loopback();
    match special(ip) {
        Some(belongs_to) if !granted => Err(NoAddress { address, belongs_to }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn may(grant: &str, address: &str) -> bool {
        permitted(&grant.parse().unwrap(), format!("{address}:80").parse().unwrap()).is_ok()
    }

    #[test]
    fn a_name_reaches_the_open_network_alone() {
        assert!(may("example.org", "93.184.215.14"));
        assert!(!may("example.org", "127.0.0.1"));
        assert!(!may("example.org", "169.254.169.254"));
        assert!(!may("example.org", "[::ffff:10.0.0.1]"));
        assert!(!may("localhost.example.org", "127.0.0.1"));
    }

    #[test]
    fn an_address_that_is_granted_is_reached() {
        assert!(may("127.0.0.1:80", "127.0.0.1"));
        assert!(may("[::1]", "[::1]"));
        assert!(may("10.0.0.1", "10.0.0.1"));
        assert!(!may("10.0.0.1", "10.0.0.2"));
        assert!(may("localhost", "127.0.0.1"));
        assert!(may("localhost", "[::1]"));
        assert!(!may("localhost", "10.0.0.1"));
    }
}
