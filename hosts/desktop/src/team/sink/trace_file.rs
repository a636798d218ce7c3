//! A trace in a file.

use std::fs::File;
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};

use super::{DeviceNews, Refusal, Sink, Told};
use crate::aside::Aside;
use crate::team::json::Summary;
use crate::team::runner::RunError;
use crate::team::trace::Trace;

/// Writes a trace beside its file, and gives it the file's name when it is complete. One that is not
/// completed leaves nothing behind.
pub struct TraceFile {
    path: PathBuf,
    /// Where it is written; `None` once it is complete.
    aside: Option<Aside>,
    trace: Option<Trace<BufWriter<File>>>,
}

impl TraceFile {
    /// Begins a trace. A file that has the name stays as it is until the trace is complete.
    ///
    /// # Errors
    /// [`RunError::Trace`].
    pub fn create(path: &Path) -> Result<TraceFile, RunError> {
        let error = |source| RunError::Trace { path: path.to_owned(), source };
        let (aside, file) = Aside::create(path).map_err(error)?;
        let mut made = TraceFile { path: path.to_owned(), aside: Some(aside), trace: None };
        made.trace = Some(Trace::new(BufWriter::new(file)).map_err(error)?);
        Ok(made)
    }

    fn write(
        &mut self,
        act: impl FnOnce(&mut Trace<BufWriter<File>>) -> io::Result<()>,
    ) -> Result<(), RunError> {
        match &mut self.trace {
            Some(trace) => act(trace).map_err(|source| RunError::Trace { path: self.path.clone(), source }),
            None => Ok(()),
        }
    }

    fn complete(&mut self) -> io::Result<()> {
        let (Some(trace), Some(aside)) = (self.trace.take(), self.aside.take()) else { return Ok(()) };
        let file = trace.finish()?.into_inner().map_err(io::IntoInnerError::into_error)?;
        aside.complete(&file)
    }
}

impl Sink for TraceFile {
    fn event(&mut self, told: &Told<'_>) -> Result<(), RunError> {
        self.write(|trace| trace.record(told.record, told.names))
    }

    fn refused(&mut self, _: &Refusal<'_>) -> Result<(), RunError> {
        Ok(())
    }

    /// The kernel's own interrupt shows it.
    fn device(&mut self, _: &DeviceNews) -> Result<(), RunError> {
        Ok(())
    }

    fn l1_pages(&mut self, at_us: u64, pages: u32) -> Result<(), RunError> {
        self.write(|trace| trace.l1_pages(at_us, pages))
    }

    fn flush(&mut self) -> Result<(), RunError> {
        Ok(())
    }

    fn end(&mut self, _: u64, _: &Summary) -> Result<(), RunError> {
        self.complete().map_err(|source| RunError::Trace { path: self.path.clone(), source })
    }
}
