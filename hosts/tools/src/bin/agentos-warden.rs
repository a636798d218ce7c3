//! The process between a host and a command, as a program of its own: for tests, and for hosts that cannot start
//! themselves.

#[cfg(unix)]
fn main() -> std::process::ExitCode {
    agentos_tools::run::warden::serve()
}

#[cfg(not(unix))]
fn main() {}
