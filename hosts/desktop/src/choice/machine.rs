//! What of a machine decides which device is the fastest, told in less than a millisecond and without
//! loading any driver.

use std::fs;
use std::path::Path;
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};

/// A machine, as far as it decides which device is the fastest. Whatever changes here is measured anew.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// The program's version: its kernels decide too.
    pub program: String,
    /// The CPU's name, and how many threads it runs at once.
    pub cpu: String,
    /// Graphics devices and the drivers that are installed for them, as far as files tell.
    pub graphics: Vec<String>,
    /// Whether there may be a GPU that a driver offers.
    pub may_have_gpu: bool,
}

/// Folders in which drivers for Vulkan say that they are there.
const DRIVER_FOLDERS: [&str; 3] =
    ["usr/share/vulkan/icd.d", "usr/local/share/vulkan/icd.d", "etc/vulkan/icd.d"];

/// Names in `/dev` that a graphics device has on Linux: Mesa's, NVIDIA's, and that of a Linux in Windows.
const DEVICES: [&str; 2] = ["nvidia", "dxg"];

impl Machine {
    /// This machine.
    pub fn here() -> Machine {
        Machine::under(Path::new("/"), cfg!(target_os = "linux"))
    }

    /// A machine whose files are below `root`. Only Linux tells of its devices in files; elsewhere there may
    /// always be a GPU.
    pub fn under(root: &Path, linux: bool) -> Machine {
        let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let name = cpu_name(&fs::read_to_string(root.join("proc/cpuinfo")).unwrap_or_default());
        let devices = devices(root);
        let may_have_gpu = !linux || !devices.is_empty();
        let drivers = DRIVER_FOLDERS.iter().flat_map(|folder| drivers(&root.join(folder)));
        Machine {
            program: env!("CARGO_PKG_VERSION").to_owned(),
            cpu: format!("{name}, {threads} threads"),
            // Without a device, no driver has anything to drive.
            graphics: if devices.is_empty() { devices } else { devices.into_iter().chain(drivers).collect() },
            may_have_gpu,
        }
    }
}

/// The processor's name in Linux's table of processors, or else the architecture that this is built for.
fn cpu_name(table: &str) -> String {
    let line = table.lines().find_map(|line| line.strip_prefix("model name"));
    let name = line.and_then(|line| line.split_once(':')).map(|(_, name)| name.trim());
    name.filter(|name| !name.is_empty()).unwrap_or(std::env::consts::ARCH).to_owned()
}

/// Devices that compute, with their makers' numbers where the system tells them, and the version of
/// NVIDIA's driver, which no other file tells.
fn devices(root: &Path) -> Vec<String> {
    let mut found: Vec<String> = names(&root.join("dev/dri"))
        .into_iter()
        .filter(|name| name.starts_with("renderD"))
        .map(|name| {
            let about = root.join("sys/class/drm").join(&name).join("device");
            let number = |file: &str| fs::read_to_string(about.join(file)).unwrap_or_default();
            format!("{name} {} {}", number("vendor").trim(), number("device").trim())
        })
        .collect();
    let others = names(&root.join("dev")).into_iter();
    found.extend(others.filter(|name| {
        let number = |rest: &str| rest.bytes().all(|byte| byte.is_ascii_digit());
        DEVICES.iter().any(|device| name.strip_prefix(device).is_some_and(number))
    }));
    if !found.is_empty() {
        found.extend(
            fs::read_to_string(root.join("sys/module/nvidia/version")).ok().map(|v| v.trim().to_owned()),
        );
    }
    found
}

/// Drivers in a folder, each with its file's size and date: an update changes them.
fn drivers(folder: &Path) -> Vec<String> {
    let told = |name: String| {
        let about = fs::metadata(folder.join(&name)).ok()?;
        let date = about.modified().ok()?.duration_since(UNIX_EPOCH).ok()?.as_secs();
        Some(format!("{name} {} {date}", about.len()))
    };
    names(folder).into_iter().filter_map(told).collect()
}

/// What is in a folder, sorted; nothing where it cannot be read.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(root: &Path, path: &str, text: &str) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn a_machine_without_a_graphics_device_has_no_gpu_whatever_is_installed() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        put(root, "usr/share/vulkan/icd.d/lvp_icd.x86_64.json", "{}");
        put(root, "proc/cpuinfo", "processor : 0\nmodel name\t: A CPU\nmodel name\t: B\n");
        put(root, "dev/nvidiactl", "");
        put(root, "dev/dri/card0", "");
        let machine = Machine::under(root, true);
        assert!(!machine.may_have_gpu && machine.graphics.is_empty(), "{machine:?}");
        assert!(machine.cpu.starts_with("A CPU, "), "{machine:?}");
        assert!(Machine::under(root, false).may_have_gpu);
    }

    #[test]
    fn devices_and_drivers_are_told_and_a_new_driver_is_a_change() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        put(root, "dev/nvidia0", "");
        put(root, "dev/dri/renderD128", "");
        put(root, "sys/class/drm/renderD128/device/vendor", "0x1002\n");
        put(root, "sys/class/drm/renderD128/device/device", "0x73bf\n");
        put(root, "etc/vulkan/icd.d/nvidia_icd.json", "{}");
        let before = Machine::under(root, true);
        assert!(before.may_have_gpu);
        assert_eq!(before.graphics[..2], ["renderD128 0x1002 0x73bf", "nvidia0"]);
        assert_eq!(before, Machine::under(root, true));
        put(root, "etc/vulkan/icd.d/nvidia_icd.json", "{\"new\":1}");
        assert_ne!(before, Machine::under(root, true));
        put(root, "sys/module/nvidia/version", "560.1\n");
        assert!(Machine::under(root, true).graphics.contains(&"560.1".to_owned()));
        assert_eq!(cpu_name("model name : \n"), std::env::consts::ARCH);
    }
}
