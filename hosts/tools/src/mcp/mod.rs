//! Servers of tools, as peripherals: programs and web services that speak the Model Context Protocol.
//!
//! A [`Hub`] is one thread that talks to all servers. [`Hub::connect`] starts a declared server and asks it for
//! its tools; each becomes a [`Tool`](crate::Tool) named `server.tool`, whose calls never wait for the server.
//! A server that ends is started again, a few times; the calls that it had under way have failed with
//! [`Gone`](agentos_hal::PeripheralError::Gone), for nobody knows what they did.
//!
//! Servers are strangers. How long they may take to start, what they may send at once, how many tools they may
//! have and what their schemas may ask for is bounded, and what they say about their tools is shown as it is,
//! with nothing in it hidden.

mod answer;
mod child;
mod declaration;
mod hub;
mod keeper;
mod offer;
mod peripheral;
mod session;
mod shared;

pub use declaration::{Declaration, McpError, Reach, Token};
pub use hub::{Hub, Server};
pub use offer::{LeftOut, Why};
