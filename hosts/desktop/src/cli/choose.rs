//! The device of a command that names none: remembered, measured in another process, or the CPU without
//! further ado.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde::Deserialize;

use crate::choice::{self, Adapter, Machine, Measured, Remembered};
use crate::device::{self, Backend};
use crate::fetch::Environment;

/// The measurement takes a second or two; a driver that takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(20);

/// A backend, and its adapter where it has several.
pub struct Chosen {
    pub backend: Backend,
    pub adapter: Option<String>,
}

const CPU: Chosen = Chosen { backend: Backend::Cpu, adapter: None };

/// The fastest device of this machine. Prints a line where there was something to choose from.
pub fn fastest() -> Chosen {
    let machine = Machine::here();
    if !machine.may_have_gpu {
        return CPU;
    }
    let file = file();
    let remembered = file.as_deref().and_then(|file| choice::read(file, &machine));
    if let Some(chosen) =
        remembered.as_deref().and_then(|measured| settle(measured, &told(file.as_deref(), true)))
    {
        return chosen;
    }
    let measured = match measure_elsewhere(PATIENCE) {
        Ok(measured) => measured,
        Err(why) => {
            eprintln!(
                "device: cpu; GPUs could not be measured: {why} (`agentos devices --measure` tries again)"
            );
            vec![untimed_cpu()]
        }
    };
    let kept = file.filter(|file| {
        let remembered = Remembered { machine, measured: measured.clone() };
        choice::write(file, &remembered).inspect_err(|error| cannot_keep(file, error)).is_ok()
    });
    settle(&measured, &told(kept.as_deref(), false)).unwrap_or(CPU)
}

/// Where it is remembered; `None` where no variable says where the user's folder is.
pub fn file() -> Option<PathBuf> {
    Environment::from_process().home.map(|home| home.join(choice::FILE_NAME))
}

/// Says that a measurement will have to be made again.
pub fn cannot_keep(file: &Path, error: &std::io::Error) {
    eprintln!("cannot remember the device in {}: {error}; it is measured anew each time", file.display());
}

/// What stands for the CPU where nothing could be timed: it computes anyway.
fn untimed_cpu() -> Measured {
    Measured {
        backend: Backend::Cpu.name().to_owned(),
        adapter: None,
        variant: device::isas().next().unwrap_or_default().to_owned(),
        threads: device::cores() as u32,
        ms: Some(0.0),
        error: None,
    }
}

/// The device that won, said in a line; `None` where its adapter is not there any more. Where there was
/// nothing but the CPU, nothing is said.
fn settle(measured: &[Measured], told: &str) -> Option<Chosen> {
    let winner = choice::fastest(measured)?;
    let chosen = match &winner.adapter {
        None => CPU,
        Some(adapter) => Chosen { backend: Backend::Wgpu, adapter: Some(position(adapter)?.to_string()) },
    };
    if measured.len() > 1 {
        eprintln!("{}", line(winner, measured, told));
    }
    Some(chosen)
}

/// Where an adapter is among those that are there now.
fn position(adapter: &Adapter) -> Option<usize> {
    agentos_wgpu::adapters().iter().position(|found| Adapter::of(found) == *adapter)
}

fn told(file: Option<&Path>, before: bool) -> String {
    match file {
        Some(file) if before => format!("remembered in {}", file.display()),
        Some(file) => format!("measured and remembered in {}", file.display()),
        None => "measured".to_owned(),
    }
}

/// `device: wgpu (…), 12 ms; cpu (…), 60 ms; remembered in …; --backend chooses another`.
fn line(winner: &Measured, measured: &[Measured], told: &str) -> String {
    let time = |one: &Measured| match (one.ms, &one.error) {
        (Some(ms), _) => format!("{one}, {ms:.0} ms; "),
        (None, Some(error)) => format!("{one}: {error}; "),
        (None, None) => format!("{one}, not measured; "),
    };
    let others = measured.iter().filter(|one| *one != winner);
    let times: String = std::iter::once(winner).chain(others).map(time).collect();
    format!("device: {times}{told}; --backend chooses another")
}

/// What `agentos devices --measure --json` tells, as far as it matters here.
#[derive(Deserialize)]
struct Told {
    measured: Vec<Measured>,
}

/// Measures in another process, which a driver may crash or hang: then it is ended.
fn measure_elsewhere(patience: Duration) -> Result<Vec<Measured>, String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut command = Command::new(program);
    command.args(["devices", "--measure", "--json"]);
    answer(&mut command, patience)
}

fn answer(command: &mut Command, patience: Duration) -> Result<Vec<Measured>, String> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().map_err(|error| error.to_string())?;
    let mut output = child.stdout.take().expect("the output was asked for");
    // Reads beside the waiting, so that a long answer never fills the pipe.
    let reader = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        output.read_to_end(&mut bytes).map(|_| bytes)
    });
    let began = Instant::now();
    let status = loop {
        match child.try_wait().map_err(|error| error.to_string())? {
            Some(status) => break status,
            None if began.elapsed() > patience => {
                // It may have ended meanwhile.
                let _ = child.kill();
                let _ = child.wait();
                return Err(format!("no answer after {:.1} s", patience.as_secs_f64()));
            }
            None => std::thread::sleep(Duration::from_millis(5)),
        }
    };
    let bytes = reader.join().ok().and_then(Result::ok).unwrap_or_default();
    if !status.success() {
        return Err(format!("the measuring process ended with {status}"));
    }
    let told: Told =
        serde_json::from_slice(&bytes).map_err(|error| format!("its answer makes no sense: {error}"))?;
    if choice::fastest(&told.measured).is_some() {
        Ok(told.measured)
    } else {
        Err("no device works".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(backend: &str, ms: f64, adapter: Option<&str>) -> Measured {
        let adapter = adapter.map(|name| Adapter {
            name: name.to_owned(),
            driver: "d 1".to_owned(),
            api: "vulkan".to_owned(),
        });
        let (variant, threads) = ("groups".to_owned(), 2);
        Measured { backend: backend.to_owned(), adapter, variant, threads, ms: Some(ms), error: None }
    }

    #[test]
    fn the_line_names_the_winner_first_and_where_it_is_remembered() {
        let all = [measured("cpu", 60.4, None), measured("wgpu", 12.0, Some("A GPU"))];
        let told = told(Some(Path::new("/h/device.json")), true);
        assert_eq!(
            line(&all[1], &all, &told),
            "device: wgpu (A GPU, vulkan, groups), 12 ms; cpu (groups, 2 threads), 60 ms; remembered in \
             /h/device.json; --backend chooses another"
        );
    }

    #[test]
    fn an_adapter_that_is_gone_is_not_chosen() {
        assert!(settle(&[measured("wgpu", 1.0, Some("no such GPU"))], "").is_none());
        assert_eq!(settle(&[measured("cpu", 1.0, None)], "").unwrap().backend, Backend::Cpu);
    }

    #[cfg(unix)]
    #[test]
    fn a_process_that_crashes_hangs_or_babbles_is_an_answer_too() {
        let ask = |script: &str| {
            answer(Command::new("sh").args(["-c", script]), Duration::from_millis(500)).unwrap_err()
        };
        assert!(ask("kill -11 $$").contains("signal"), "{}", ask("kill -11 $$"));
        assert_eq!(ask("exec sleep 60"), "no answer after 0.5 s");
        assert!(ask("yes | head -c 200000").starts_with("its answer makes no sense"));
        assert_eq!(ask("echo '{\"measured\":[]}'"), "no device works");
        let json = serde_json::json!({ "measured": [measured("cpu", 1.0, None)] });
        let script = format!("echo '{json}'");
        let told = answer(Command::new("sh").args(["-c", &script]), Duration::from_secs(20)).unwrap();
        assert_eq!(told, [measured("cpu", 1.0, None)]);
    }
}
