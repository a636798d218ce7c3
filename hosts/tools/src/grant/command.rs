//! Commands that an agent may run.

use std::fmt;
use std::path::PathBuf;

use super::granted;

/// Bytes of all arguments of a command.
const ARGUMENT_BYTES: usize = 64 << 10;

/// A command that is granted. There is no shell: what is run is this program, with these arguments and
/// those of the call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandGrant {
    /// The name by which an agent calls it.
    pub name: String,
    /// The program, as an absolute path.
    pub program: PathBuf,
    /// Arguments that come before those of the call.
    pub before: Vec<String>,
    /// What the arguments of the call may be.
    pub arguments: Arguments,
    /// The folder that it runs in.
    pub folder: PathBuf,
}

/// What the arguments of a command may be.
///
/// A program that is harmless with one argument may run others with the next (`find -exec`, `tar
/// --to-command`), so options are granted by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Arguments {
    /// These options, written exactly so or with `=` and a value; and operands that are no paths out of the
    /// folder: neither absolute nor with `..`.
    Plain {
        /// Options: what begins with `-`.
        options: Vec<String>,
    },
    /// Whatever the program takes. It is up to the program what it reaches.
    Any,
}

/// Why a command is not run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommandRefusal {
    /// It is not granted.
    Command {
        /// Its name.
        name: String,
        /// Names of the commands that are granted.
        granted: Vec<String>,
    },
    /// An option of it is not granted.
    Option {
        /// The command's name.
        name: String,
        /// The argument.
        argument: String,
        /// The options that are granted.
        granted: Vec<String>,
    },
    /// An argument leads out of the folder that the command runs in.
    Outside {
        /// The command's name.
        name: String,
        /// The argument.
        argument: String,
    },
    /// An argument has a NUL, which no argument can have.
    Nul {
        /// The command's name.
        name: String,
    },
    /// The arguments are too long together.
    Long {
        /// The command's name.
        name: String,
        /// Bytes that they may have.
        most: usize,
    },
}

impl fmt::Display for CommandRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |text: &str| format!("{:?}", crate::schema::clipped(text));
        match self {
            CommandRefusal::Command { name, granted: names } => {
                write!(f, "the command {} is not granted; {}", shown(name), granted("command", names))
            }
            CommandRefusal::Option { name, argument, granted: options } => {
                let options = granted("option", options);
                write!(f, "the option {} of `{name}` is not granted; {options}", shown(argument))
            }
            CommandRefusal::Outside { name, argument } => write!(
                f,
                "the argument {} of `{name}` leads out of its folder; a relative path without `..` would not",
                shown(argument)
            ),
            CommandRefusal::Nul { name } => {
                write!(f, "an argument of `{name}` has the character NUL, and no argument can have it")
            }
            CommandRefusal::Long { name, most } => {
                write!(f, "the arguments of `{name}` are longer than {most} bytes together")
            }
        }
    }
}

impl std::error::Error for CommandRefusal {}

pub(super) fn permit<'g>(
    commands: &'g [CommandGrant],
    name: &str,
    arguments: &[&str],
) -> Result<&'g CommandGrant, CommandRefusal> {
    let command = commands.iter().find(|command| command.name == name).ok_or_else(|| {
        let granted = commands.iter().map(|command| command.name.clone()).collect();
        CommandRefusal::Command { name: name.to_owned(), granted }
    })?;
    let name = || command.name.clone();
    if arguments.iter().any(|argument| argument.contains('\0')) {
        return Err(CommandRefusal::Nul { name: name() });
    }
    if arguments.iter().map(|argument| argument.len() + 1).sum::<usize>() > ARGUMENT_BYTES {
        return Err(CommandRefusal::Long { name: name(), most: ARGUMENT_BYTES });
    }
    if let Arguments::Plain { options } = &command.arguments {
        for argument in arguments {
            let (option, value) = argument.split_once('=').unwrap_or((argument, ""));
            let is_option = argument.starts_with('-') && *argument != "-";
            if is_option && !options.iter().any(|granted| granted == option || granted == argument) {
                let granted = options.clone();
                return Err(CommandRefusal::Option {
                    name: name(),
                    argument: (*argument).to_owned(),
                    granted,
                });
            }
            if leads_out(if is_option { value } else { argument }) {
                return Err(CommandRefusal::Outside { name: name(), argument: (*argument).to_owned() });
            }
        }
    }
    Ok(command)
}

/// Whether some part of an operand would be a path out of the folder: `if=/etc/passwd` has one, too.
fn leads_out(operand: &str) -> bool {
    let mut parts = operand.split(['=', ':', ',', '@', ';', ' ', '\t', '\n']);
    parts.any(|part| part.starts_with(['/', '~']) || part.split('/').any(|step| step == ".."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_out_of_the_folder_are_seen() {
        for out in
            ["/etc", "..", "a/../..", "if=/etc/passwd", "@/etc/passwd", "x:../y", "~/a", "~root", "a,/b"]
        {
            assert!(leads_out(out), "{out}");
        }
        for within in ["", "a", "a/b.txt", "..a", "a..b", "1/2", "k=v", "."] {
            assert!(!leads_out(within), "{within}");
        }
    }
}
