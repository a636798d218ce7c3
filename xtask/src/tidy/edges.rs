//! The dependency rule: hosts → kernel, hal, backends; kernel → hal; backends → hal; tests → all. And
//! text stays out of the kernel and of all that lies under `hal`.

use super::Finding;
use super::packages::{Dependency, Package};
use Layer::*;

/// What a package is, by its folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layer {
    Kernel,
    Hal,
    Backend,
    Conformance,
    Host,
    Tests,
    Chores,
}

/// Packages that read or write text.
const TEXT: [&str; 4] = ["tokenizers", "minijinja", "minijinja-contrib", "serde_json"];

impl Layer {
    fn of(folder: &str) -> Option<Layer> {
        match folder.split_once('/') {
            None if folder == "kernel" => Some(Kernel),
            None if folder == "hal" => Some(Hal),
            None if folder == "tests" => Some(Tests),
            None if folder == "xtask" => Some(Chores),
            Some(("hal", "conformance")) => Some(Conformance),
            Some(("hal", _)) => Some(Backend),
            Some(("hosts", _)) => Some(Host),
            _ => None,
        }
    }

    /// What a package of this layer may depend on.
    fn allowed(self, dev: bool) -> &'static [Layer] {
        match self {
            Kernel => &[Hal],
            Hal => &[],
            // A backend's tests run the suite, against the reference.
            Backend if dev => &[Hal, Conformance, Backend],
            Backend => &[Hal],
            Conformance => &[Hal, Backend],
            Host => &[Kernel, Hal, Backend, Host],
            Tests | Chores => &[Kernel, Hal, Backend, Conformance, Host, Tests],
        }
    }
}

/// Every edge between packages of the workspace that the rule forbids.
pub fn check(packages: &[Package]) -> Vec<Finding> {
    packages.iter().flat_map(|package| check_package(package, packages)).collect()
}

fn check_package(package: &Package, packages: &[Package]) -> Vec<Finding> {
    let Some(layer) = Layer::of(&package.folder) else {
        let what = format!("the dependency rule knows no packages in the folder `{}`", package.folder);
        return vec![Finding::of(&package.name, what)];
    };
    let verdict = |dependency: &Dependency| {
        let what = fault(layer, dependency, packages)?;
        let kind = if dependency.dev { "dev-dependency" } else { "dependency" };
        let edge = format!("{} -> {} ({kind})", package.name, dependency.name);
        Some(Finding::of(&edge, what))
    };
    package.dependencies.iter().filter_map(verdict).collect()
}

fn fault(layer: Layer, dependency: &Dependency, packages: &[Package]) -> Option<String> {
    let under_hosts = matches!(layer, Kernel | Hal | Backend | Conformance);
    if under_hosts && TEXT.contains(&dependency.name.as_str()) {
        return Some("text belongs to the hosts, never to the kernel or to hal".to_owned());
    }
    let package = packages.iter().find(|package| package.name == dependency.name)?;
    // A package without a layer is a finding of its own.
    let on = Layer::of(&package.folder)?;
    let allowed = layer.allowed(dependency.dev);
    if allowed.contains(&on) { None } else { Some(format!("{layer:?} may depend on {allowed:?} alone")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, folder: &str, dependencies: &[&str], dev: &[&str]) -> Package {
        let line = |dev| move |name: &&str| Dependency { name: (*name).to_owned(), dev };
        let dependencies = dependencies.iter().map(line(false)).chain(dev.iter().map(line(true)));
        Package { name: name.to_owned(), folder: folder.to_owned(), dependencies: dependencies.collect() }
    }

    fn sound() -> Vec<Package> {
        vec![
            package("kernel", "kernel", &["hal", "libm"], &["proptest"]),
            package("hal", "hal", &["half"], &[]),
            package("cpu", "hal/cpu", &["hal"], &["suite", "reference"]),
            package("reference", "hal/reference", &["hal"], &[]),
            package("suite", "hal/conformance", &["hal", "reference"], &[]),
            package("gguf", "hosts/gguf", &["hal"], &[]),
            package("desktop", "hosts/desktop", &["kernel", "hal", "cpu", "gguf", "serde_json"], &[]),
            package("tests", "tests", &["kernel", "cpu", "desktop"], &["suite"]),
            package("xtask", "xtask", &["serde_json"], &["suite", "cpu"]),
        ]
    }

    /// The edge that is found when `name` gets one more dependency.
    fn planted(name: &str, dependency: &str, dev: bool) -> Vec<String> {
        let mut packages = sound();
        let package = packages.iter_mut().find(|package| package.name == name).unwrap();
        package.dependencies.push(Dependency { name: dependency.to_owned(), dev });
        check(&packages).into_iter().map(|finding| finding.place).collect()
    }

    #[test]
    fn the_rule_accepts_what_it_describes() {
        assert_eq!(check(&sound()), []);
    }

    #[test]
    fn the_kernel_never_names_a_backend_or_a_host() {
        assert_eq!(planted("kernel", "cpu", false), ["kernel -> cpu (dependency)"]);
        assert_eq!(planted("kernel", "reference", true), ["kernel -> reference (dev-dependency)"]);
        assert_eq!(planted("kernel", "gguf", false), ["kernel -> gguf (dependency)"]);
    }

    #[test]
    fn a_backend_never_names_the_kernel_or_another_backend() {
        assert_eq!(planted("cpu", "kernel", false), ["cpu -> kernel (dependency)"]);
        assert_eq!(planted("cpu", "kernel", true), ["cpu -> kernel (dev-dependency)"]);
        assert_eq!(planted("cpu", "reference", false), ["cpu -> reference (dependency)"]);
        assert_eq!(planted("hal", "reference", true), ["hal -> reference (dev-dependency)"]);
    }

    #[test]
    fn nothing_depends_on_tests_or_chores() {
        assert_eq!(planted("desktop", "tests", true), ["desktop -> tests (dev-dependency)"]);
        assert_eq!(planted("tests", "xtask", false), ["tests -> xtask (dependency)"]);
    }

    #[test]
    fn text_stays_with_the_hosts() {
        assert_eq!(planted("kernel", "tokenizers", false), ["kernel -> tokenizers (dependency)"]);
        assert_eq!(planted("hal", "serde_json", true), ["hal -> serde_json (dev-dependency)"]);
        assert_eq!(planted("cpu", "minijinja", false), ["cpu -> minijinja (dependency)"]);
    }

    #[test]
    fn a_package_in_an_unknown_folder_is_told() {
        let findings = check(&[package("x", "plugins/x", &[], &[])]);
        assert!(findings[0].what.contains("plugins/x"), "{findings:?}");
    }
}
