//! The packages of the workspace, as cargo sees them.

use serde_json::Value;

use crate::process::{Failure, Repository, output_of, shown};

/// A package of the workspace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its folder, from the top folder, with `/`.
    pub folder: String,
    /// What it depends on, for any target and under any feature.
    pub dependencies: Vec<Dependency>,
}

/// One line of a package's dependencies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dependency {
    /// The name of the package that is depended on.
    pub name: String,
    /// Only its tests, examples and benchmarks need it.
    pub dev: bool,
}

/// All packages of the workspace.
///
/// # Errors
/// [`Failure::Start`] and [`Failure::Exit`] of cargo; [`Failure::Answer`].
pub fn packages(repository: &Repository) -> Result<Vec<Package>, Failure> {
    let mut cargo = repository.cargo(&["metadata", "--no-deps", "--format-version", "1"]);
    let output = output_of(&mut cargo)?;
    serde_json::from_slice(&output)
        .ok()
        .and_then(|metadata| read(&metadata))
        .ok_or_else(|| Failure::Answer { command: shown(&cargo), expected: "list of packages" })
}

fn read(metadata: &Value) -> Option<Vec<Package>> {
    let root = slashes(metadata["workspace_root"].as_str()?);
    let folder = |manifest: &str| {
        let manifest = slashes(manifest);
        let path = manifest.strip_prefix(&root)?.strip_suffix("Cargo.toml")?;
        Some(path.trim_matches('/').to_owned())
    };
    let package = |value: &Value| {
        Some(Package {
            name: value["name"].as_str()?.to_owned(),
            folder: folder(value["manifest_path"].as_str()?)?,
            dependencies: value["dependencies"].as_array()?.iter().map(dependency).collect::<Option<_>>()?,
        })
    };
    metadata["packages"].as_array()?.iter().map(package).collect()
}

fn dependency(value: &Value) -> Option<Dependency> {
    Some(Dependency { name: value["name"].as_str()?.to_owned(), dev: value["kind"] == "dev" })
}

fn slashes(path: &str) -> String {
    path.replace('\\', "/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cargos_list_is_read() {
        let metadata = serde_json::json!({
            "workspace_root": "/home/u/agentos",
            "packages": [{
                "name": "agentos-cpu",
                "manifest_path": "/home/u/agentos/hal/cpu/Cargo.toml",
                "dependencies": [
                    { "name": "agentos-hal", "kind": null },
                    { "name": "agentos-conformance", "kind": "dev" },
                ],
            }],
        });
        let packages = read(&metadata).unwrap();
        assert_eq!(packages[0].folder, "hal/cpu");
        assert_eq!(packages[0].dependencies[0], Dependency { name: "agentos-hal".into(), dev: false });
        assert!(packages[0].dependencies[1].dev);
        assert_eq!(read(&serde_json::json!({})), None);
    }
}
