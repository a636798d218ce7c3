//! Software drivers, with which the tests of the GPU backends run on a machine without a GPU.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::process::{Failure, Repository};
use crate::stage::Stages;

/// Set where a test that finds no driver is to fail: on the build machine.
const REQUIRED: &str = "AGENTOS_REQUIRE_GPU";

/// What a backend's tests need.
struct Driver {
    /// The crate whose tests need it.
    backend: &'static str,
    /// Its interface.
    interface: &'static str,
    /// Folders in which a driver says that it is there.
    folders: &'static [&'static str],
    /// What such a file's name ends with.
    ending: &'static str,
    /// Debian's packages of a driver that computes on the CPU.
    packages: &'static [&'static str],
}

const DRIVERS: [Driver; 2] = [
    Driver {
        backend: "hal/wgpu",
        interface: "Vulkan",
        folders: &["usr/share/vulkan/icd.d", "usr/local/share/vulkan/icd.d", "etc/vulkan/icd.d"],
        ending: ".json",
        packages: &["mesa-vulkan-drivers"],
    },
    Driver {
        backend: "hal/opencl",
        interface: "OpenCL",
        folders: &["etc/OpenCL/vendors"],
        ending: ".icd",
        packages: &["pocl-opencl-icd", "ocl-icd-libopencl1"],
    },
];

impl Driver {
    /// Whether some driver says below `root` that it is there.
    fn is_there(&self, root: &Path) -> bool {
        let names = self.folders.iter().filter_map(|folder| std::fs::read_dir(root.join(folder)).ok());
        let mut names = names.flatten().flatten().map(|entry| entry.file_name());
        names.any(|name| name.to_string_lossy().ends_with(self.ending))
    }

    /// Whether the checkout has the backend, and this system drivers that are packages.
    fn is_wanted(&self, repository: &Repository) -> bool {
        cfg!(target_os = "linux") && repository.root.join(self.backend).is_dir()
    }

    /// What is said where there is none.
    fn remedy(&self) -> String {
        format!(
            "no {} driver; the tests of {} find nothing to run on (Debian and Ubuntu: apt-get install {})",
            self.interface,
            self.backend,
            self.packages.join(" ")
        )
    }
}

/// Installs the drivers that are missing where this user may, as a part of a chore. Where it may not, a line
/// says what is left out and what would help; with `AGENTOS_REQUIRE_GPU` set that is a failure.
pub fn ensure(repository: &Repository, stages: &mut Stages) {
    let root = Path::new("/");
    let missing = || DRIVERS.iter().filter(|driver| driver.is_wanted(repository) && !driver.is_there(root));
    if missing().next().is_some()
        && let Some(installer) = Installer::find()
    {
        let packages: Vec<&str> = missing().flat_map(|driver| driver.packages).copied().collect();
        println!("installing {}", packages.join(" "));
        installer.install(&packages);
    }
    let left_out: Vec<String> = missing().map(Driver::remedy).collect();
    conclude(&left_out, std::env::var_os(REQUIRED).is_some(), stages);
}

fn conclude(left_out: &[String], required: bool, stages: &mut Stages) {
    match left_out {
        [] => stages.run("drivers", || Ok(())),
        _ if required => stages.run("drivers", || {
            Err(Failure::Found(format!("{REQUIRED} is set, and there is {}", left_out.join("; "))))
        }),
        _ => stages.leave_out("drivers", &left_out.join("; ")),
    }
}

/// Debian's package manager, with the right to install.
struct Installer {
    command: Vec<&'static str>,
}

impl Installer {
    /// The package manager as root, or through a `sudo` that asks nothing.
    fn find() -> Option<Installer> {
        let apt = Path::new("/usr/bin/apt-get");
        if !apt.exists() {
            return None;
        }
        let ways: [&[&str]; 2] = [&[], &["sudo", "-n"]];
        let way = ways.into_iter().find(|way| is_root(way))?;
        let command =
            way.iter().copied().chain(["env", "DEBIAN_FRONTEND=noninteractive", "apt-get"]).collect();
        Some(Installer { command })
    }

    /// Tries with the lists of packages as they are, then with new ones. Whether it helped is seen after.
    fn install(&self, packages: &[&str]) {
        let install = ["install", "-y", "--no-install-recommends"];
        if !self.apt(&[&install[..], packages].concat()) {
            self.apt(&["update"]);
            self.apt(&[&install[..], packages].concat());
        }
    }

    fn apt(&self, args: &[&str]) -> bool {
        succeeds(Command::new(self.command[0]).args(&self.command[1..]).args(args))
    }
}

fn is_root(way: &[&str]) -> bool {
    let line = [way, &["id", "-u"]].concat();
    let mut command = Command::new(line[0]);
    command.args(&line[1..]).stdin(Stdio::null()).stderr(Stdio::null());
    command.output().is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}

fn succeeds(command: &mut Command) -> bool {
    // The package manager's talk is of use only where it fails, and then the remedy is told.
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_driver_is_there_when_it_says_so() {
        let root = std::env::temp_dir().join(format!("xtask-drivers-{}", std::process::id()));
        let [vulkan, opencl] = &DRIVERS;
        assert!(!vulkan.is_there(&root) && !opencl.is_there(&root));
        for (path, text) in
            [("etc/OpenCL/vendors/README", ""), ("etc/vulkan/icd.d/lvp_icd.x86_64.json", "{}")]
        {
            let path = root.join(path);
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("a temporary folder");
            std::fs::write(path, text).expect("a temporary file");
        }
        assert!(vulkan.is_there(&root) && !opencl.is_there(&root));
        std::fs::remove_dir_all(&root).expect("it was just made");
    }

    #[test]
    fn a_missing_driver_fails_only_where_it_is_required() {
        let left_out = [DRIVERS[0].remedy()];
        assert!(left_out[0].contains("apt-get install mesa-vulkan-drivers"), "{left_out:?}");
        for (left_out, required, failed) in
            [(&left_out[..], false, 0), (&left_out[..], true, 1), (&[][..], true, 0)]
        {
            let mut stages = Stages::default();
            conclude(left_out, required, &mut stages);
            assert_eq!(stages.failed(), failed);
        }
    }
}
