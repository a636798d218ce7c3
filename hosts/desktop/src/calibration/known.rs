//! What is known of a model on this machine.

use std::path::PathBuf;

use serde::Serialize;

use super::Calibration;
use super::file::{self, FileError, hex};
use crate::fetch::Environment;
use crate::model::{self, ModelFile};

/// What `agentos calibrate` found for the default model.
const SHIPPED: &[u8] = include_bytes!("default.json");

/// The folder of the user's folder that has a file per model.
const FOLDER: &str = "calibration";

/// Where a calibration is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// It was measured on this machine.
    Measured,
    /// It came with the program.
    Shipped,
    /// Nothing is known of the model: it is what is usual.
    Default,
}

/// A calibration, and where it is from.
#[derive(Debug)]
pub struct Known {
    /// The calibration.
    pub calibration: Calibration,
    /// Where it is from.
    pub origin: Origin,
    /// A file that was to be used and is refused, and why.
    pub refused: Option<(PathBuf, FileError)>,
}

/// The file for a model in the user's folder; `None` where no variable says where that is.
pub fn path(environment: &Environment, identity: &[u8; 32]) -> Option<PathBuf> {
    let home = environment.home.as_ref()?;
    Some(home.join(FOLDER).join(format!("{}.json", hex(identity))))
}

impl Known {
    /// What is known of a model: what was measured here, else what ships with the program, else what is usual.
    pub fn of(file: &ModelFile<'_>, environment: &Environment) -> Known {
        let identity = model::identity(file);
        let shape = &file.model.shape;
        let mut refused = None;
        if let Some(path) = path(environment, &identity) {
            match file::read(&path, &identity, shape) {
                Ok(calibration) => return Known { calibration, origin: Origin::Measured, refused },
                Err(FileError::Io(error)) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => refused = Some((path, error)),
            }
        }
        match file::decode(SHIPPED, &identity, shape) {
            Ok(calibration) => Known { calibration, origin: Origin::Shipped, refused },
            Err(_) => {
                Known { calibration: Calibration::default_for(shape), origin: Origin::Default, refused }
            }
        }
    }

    /// [`Known::of`], which says on standard error what was refused.
    pub fn told(file: &ModelFile<'_>, environment: &Environment) -> Known {
        let known = Known::of(file, environment);
        if let Some((path, error)) = &known.refused {
            eprintln!("calibration: {} is not used: {error}", path.display());
        }
        known
    }
}
