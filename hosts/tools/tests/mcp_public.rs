//! A public server of tools, `mcp-server-time` of the protocol's own project, run on this machine.
//!
//! It is installed with `pip` into the folder of builds the first time. Without `pip`, or without a way to get
//! packages, the test says so in a line and is left out.

mod mcp_rig;
mod rig;

use std::path::{Path, PathBuf};
use std::process::Command;

use agentos_hal::PeripheralError;
use agentos_tools::mcp::{Declaration, Hub, Reach};
use serde_json::{Value, json};

use rig::call;

/// The server's package, in a version that this test knows.
const PACKAGE: &str = "mcp-server-time==2026.10.19";

/// The server's Python, or why there is none.
fn python() -> Result<PathBuf, String> {
    let builds = Path::new(env!("CARGO_TARGET_TMPDIR")).join("mcp-server-time");
    let python = builds.join(if cfg!(windows) { "Scripts/python.exe" } else { "bin/python" });
    let run = |command: &mut Command| match command.output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => {
            Err(String::from_utf8_lossy(&output.stderr).lines().last().unwrap_or_default().to_owned())
        }
        Err(error) => Err(error.to_string()),
    };
    let ready = || run(Command::new(&python).args(["-c", "import mcp_server_time"]));
    if ready().is_err() {
        run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&builds))?;
        run(Command::new(&python).args(["-m", "pip", "install", "--quiet", "--no-input", PACKAGE]))?;
        ready()?;
    }
    Ok(python)
}

#[test]
fn a_public_server_tells_the_time() {
    let python = match python() {
        Ok(python) => python,
        Err(why) => {
            eprintln!("left out: {PACKAGE} cannot be installed: {why}");
            return;
        }
    };
    let hub = Hub::new(|| ()).expect("a thread");
    let reach = Reach::Command {
        program: python,
        arguments: ["-m", "mcp_server_time", "--local-timezone", "UTC"].map(str::to_owned).to_vec(),
        environment: Vec::new(),
        folder: None,
    };
    let declared = Declaration { name: "time".to_owned(), ..mcp_rig::declaration(reach) };
    let mut server = hub.connect(declared).expect("a public server");
    assert_eq!(server.left_out, []);
    let mut tool = |name: &str| {
        let at = server.tools.iter().position(|tool| tool.descriptor.name == name).expect("its tool");
        server.tools.swap_remove(at)
    };
    let (mut convert, mut now) = (tool("time.convert_time"), tool("time.get_current_time"));
    assert!(!convert.descriptor.description.is_empty());

    let noon = json!({ "source_timezone": "Asia/Tokyo", "time": "12:00", "target_timezone": "Asia/Kolkata" });
    let answer: Value = serde_json::from_str(&call(&mut convert, &noon).expect("an answer")).expect("JSON");
    // Neither place knows summer time.
    assert_eq!(answer["time_difference"], "-3.5h", "{answer}");

    let answer: Value =
        serde_json::from_str(&call(&mut now, &json!({ "timezone": "UTC" })).expect("an answer"))
            .expect("JSON");
    assert_eq!(answer["timezone"], "UTC", "{answer}");

    let (error, why) = call(&mut now, &json!({ "timezone": "Mars/Olympus" })).expect_err("no such place");
    assert_eq!(error, PeripheralError::Failed, "{why}");
    assert!(why.contains("Mars/Olympus"), "{why}");
    let (error, why) = call(&mut now, &json!({})).expect_err("no zone");
    assert_eq!((error, why.contains("timezone")), (PeripheralError::Refused, true), "{why}");
}
