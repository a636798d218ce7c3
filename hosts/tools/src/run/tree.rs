//! Processes that descend from this one, and their end.

use rustix::process::{Pid, Signal, kill_process_group};

fn pid(number: u32) -> Option<Pid> {
    // 0 and 1 would mean others than a command.
    i32::try_from(number).ok().filter(|&number| number > 1).and_then(Pid::from_raw)
}

/// Kills a process group.
pub fn end_group(leader: u32) {
    if let Some(leader) = pid(leader) {
        // There may be none any more.
        let _gone = kill_process_group(leader, Signal::KILL);
    }
}

/// Makes this process the parent of all that descend from it and lose theirs.
pub fn adopt() -> std::io::Result<()> {
    #[cfg(target_os = "linux")]
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    Ok(())
}

/// How many processes descend from this one.
pub fn descendants() -> usize {
    #[cfg(target_os = "linux")]
    return linux::descendants().len();
    #[cfg(not(target_os = "linux"))]
    return 1;
}

/// Kills all that descend from this process, whatever group or session they are in; elsewhere than on Linux,
/// the command's group. Tells whether there were any. Those that are its own children are left to be reaped.
pub fn end_descendants(command: u32) -> bool {
    #[cfg(target_os = "linux")]
    {
        let _tree = command;
        linux::end_descendants()
    }
    #[cfg(not(target_os = "linux"))]
    {
        end_group(command);
        false
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::collections::{HashMap, HashSet};
    use std::fs;

    use rustix::process::{Pid, Signal, getpid, kill_process};

    /// Processes that descend from this one. Those that ended and were not reaped are among them: one whose first
    /// thread ended looks the same.
    pub fn descendants() -> HashSet<Pid> {
        let mut children: HashMap<Pid, Vec<Pid>> = HashMap::new();
        let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
        for process in processes.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok()) {
            // It may have ended since.
            let Ok(stat) = fs::read(format!("/proc/{process}/stat")) else { continue };
            if let (Some(process), Some(parent)) = (Pid::from_raw(process), parent_of(&stat)) {
                children.entry(parent).or_default().push(process);
            }
        }
        let mut found = HashSet::new();
        let mut open = vec![getpid()];
        while let Some(parent) = open.pop() {
            for &child in children.get(&parent).into_iter().flatten() {
                if found.insert(child) {
                    open.push(child);
                }
            }
        }
        found
    }

    /// The parent of a process: `pid (name) state parent …`. The name may hold anything, and need not be text.
    pub fn parent_of(stat: &[u8]) -> Option<Pid> {
        let name_end = stat.iter().rposition(|&byte| byte == b')')?;
        let behind = std::str::from_utf8(stat.get(name_end + 1..)?).ok()?;
        Pid::from_raw(behind.split_ascii_whitespace().nth(1)?.parse().ok()?)
    }

    /// Stops all first, so that none begets others while they are killed.
    pub fn end_descendants() -> bool {
        let mut stopped = HashSet::new();
        loop {
            let found = descendants();
            let new: Vec<Pid> = found.difference(&stopped).copied().collect();
            if new.is_empty() {
                break;
            }
            for process in new {
                let _gone = kill_process(process, Signal::STOP);
                stopped.insert(process);
            }
        }
        for &process in &stopped {
            let _gone = kill_process(process, Signal::KILL);
        }
        !stopped.is_empty()
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn a_process_is_read_whatever_its_name() {
            assert_eq!(parent_of(b"12 (sh) S 7 12 12 0"), Pid::from_raw(7));
            assert_eq!(parent_of(b"12 (a) Z 1 (b)) R 7 12"), Pid::from_raw(7));
            assert_eq!(parent_of(b"12 (\xff\xc3) S 7 12"), Pid::from_raw(7));
            for broken in ["", "12", "12 sh S 7", "12 (sh)", "12 (sh) S", "12 (sh) S x", "12 (sh) S 0"] {
                assert_eq!(parent_of(broken.as_bytes()), None, "{broken}");
            }
        }

        #[test]
        fn this_process_has_those_that_it_starts() {
            let mut child = std::process::Command::new("sleep").arg("600").spawn().unwrap();
            let process = Pid::from_child(&child);
            assert!(descendants().contains(&process));
            child.kill().unwrap();
            child.wait().unwrap();
            assert!(!descendants().contains(&process));
        }
    }
}
