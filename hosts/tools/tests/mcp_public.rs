//! Public servers of tools, run on this machine: `mcp-server-time` of the protocol's own project over its standard input and
//! output, and the same behind `mcp-proxy` over streamable HTTP.
//!
//! They are installed with `pip` into the folder of builds the first time. Without `pip`, or without a way to get
//! packages, a test says so in a line and is left out.

mod mcp_rig;
mod rig;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;

use agentos_hal::PeripheralError;
use agentos_tools::mcp::{Declaration, Hub, Reach};
use serde_json::{Value, json};

use rig::call;

/// A package in a version that these tests know, and the module that it has.
struct Package {
    name: &'static str,
    version: &'static str,
    module: &'static str,
}

const TIME: Package = Package { name: "mcp-server-time", version: "2026.10.19", module: "mcp_server_time" };
const PROXY: Package = Package { name: "mcp-proxy", version: "0.13.0", module: "mcp_proxy" };

impl Package {
    /// The Python that has it and no other package, or why there is none.
    fn python(&self) -> Result<PathBuf, String> {
        // One of the tests installs, and the other finds it there.
        static INSTALLING: Mutex<()> = Mutex::new(());
        let _alone = INSTALLING.lock();
        let builds = Path::new(env!("CARGO_TARGET_TMPDIR")).join(self.name);
        let python = builds.join(if cfg!(windows) { "Scripts/python.exe" } else { "bin/python" });
        let run = |command: &mut Command| match command.output() {
            Ok(output) if output.status.success() => Ok(()),
            Ok(output) => {
                Err(String::from_utf8_lossy(&output.stderr).lines().last().unwrap_or_default().to_owned())
            }
            Err(error) => Err(error.to_string()),
        };
        let ready = || run(Command::new(&python).args(["-c", &format!("import {}", self.module)]));
        if ready().is_err() {
            let package = format!("{}=={}", self.name, self.version);
            run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&builds))?;
            run(Command::new(&python).args(["-m", "pip", "install", "--quiet", "--no-input", &package]))?;
            ready()?;
        }
        Ok(python)
    }

    /// [`Package::python`], or a line that says why what needs it is left out.
    fn python_or_none(&self) -> Option<PathBuf> {
        let python = self.python();
        if let Err(why) = &python {
            eprintln!("left out: {} {} cannot be installed: {why}", self.name, self.version);
        }
        python.ok()
    }
}

/// What the server of the time is started with.
const SERVE: [&str; 4] = ["-m", TIME.module, "--local-timezone", "UTC"];

#[test]
fn a_public_server_tells_the_time() {
    let Some(program) = TIME.python_or_none() else { return };
    tells_the_time(Reach::Command {
        program,
        arguments: SERVE.map(str::to_owned).to_vec(),
        environment: Vec::new(),
        folder: None,
    });
}

/// A program that is ended with the test, whatever comes of it.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _reaped = self.0.wait();
    }
}

#[test]
fn a_public_server_tells_the_time_over_http() {
    let (Some(time), Some(proxy)) = (TIME.python_or_none(), PROXY.python_or_none()) else { return };
    let mut command = Command::new(proxy);
    command.args(["-m", PROXY.module, "--port", "0", "--"]).arg(time).args(SERVE);
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let errors = child.stderr.take().unwrap();
    let _ended = Ended(child);
    let mut told = BufReader::new(errors).lines().map_while(Result::ok);
    let line = told.find(|line| line.contains("running on http://")).expect("it says where it listens");
    std::thread::spawn(move || told.for_each(drop));
    let address = line.split_whitespace().find(|word| word.starts_with("http://")).unwrap();
    tells_the_time(Reach::Http { url: format!("{address}/mcp"), token: None });
}

fn tells_the_time(reach: Reach) {
    let hub = Hub::new(|| ()).expect("a thread");
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
