//! Keeping drivers quiet.
//!
//! Mesa brings a Vulkan layer that puts the device first which a desktop's windows are on. It asks the Wayland
//! server for it, and where there is none the server's library complains on standard error, at every start.
//! Devices are chosen by other means here, so that the layer is asked to keep out. It listens to a variable of
//! the environment alone, which only a process without other threads may change, or one that begins.

/// Begins the program anew without the layer, where it would complain. Returns where it would not, or where the
/// system does not let the program begin anew.
#[cfg(target_os = "linux")]
pub fn hush_drivers() {
    use std::os::unix::process::CommandExt;
    use std::process::Command;

    /// The variable of the layer.
    const KEEP_OUT: &str = "NODEVICE_SELECT";
    /// The folder in which a Wayland server would be.
    const SERVER: &str = "XDG_RUNTIME_DIR";

    if std::env::var_os(SERVER).is_some() || std::env::var_os(KEEP_OUT).is_some() {
        return;
    }
    let mut arguments = std::env::args_os();
    let (Ok(program), Some(name)) = (std::env::current_exe(), arguments.next()) else { return };
    // It comes back with an error alone, which costs a line of complaint.
    let _ = Command::new(program).arg0(name).args(arguments).env(KEEP_OUT, "1").exec();
}

/// Elsewhere no driver complains.
#[cfg(not(target_os = "linux"))]
pub const fn hush_drivers() {}
