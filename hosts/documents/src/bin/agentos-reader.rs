//! The process that reads one document, as a program of its own: for tests, and for hosts that cannot start
//! themselves.

fn main() -> std::process::ExitCode {
    agentos_documents::apart::serve()
}
