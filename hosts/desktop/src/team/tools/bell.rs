//! What tools ring when a call is over.

use std::sync::{Arc, OnceLock};

type Hear = Box<dyn Fn() + Send + Sync>;

/// Rung by a tool's own thread whenever a call is over. Nobody hears it until somebody listens: what it tells is
/// found by looking, too. Copies are the same bell.
#[derive(Clone, Default)]
pub struct Bell(Arc<OnceLock<Hear>>);

impl Bell {
    /// A call is over.
    pub fn ring(&self) {
        if let Some(hear) = self.0.get() {
            hear();
        }
    }

    /// Has this done whenever it rings, on the thread that rings it. Who listens first is the one who hears it.
    pub fn listen(&self, hear: impl Fn() + Send + Sync + 'static) {
        let _ = self.0.set(Box::new(hear));
    }
}
