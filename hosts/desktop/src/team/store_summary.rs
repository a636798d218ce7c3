//! What a run had from its cold store, and gave to it.

use agentos_kernel::system::Kernel;
use serde::Serialize;

/// What a run had from its cold store (L3), and gave to it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct StoreSummary {
    /// Slices that came from the store.
    pub loaded_slices: u64,
    /// Tokens of them: none was computed again.
    pub loaded_tokens: u64,
    /// Bytes of them.
    pub loaded_bytes: u64,
    /// Time within which half of them came, in microseconds; null without any.
    pub load_p50_us: Option<u64>,
    /// Time within which 99 of 100 came.
    pub load_p99_us: Option<u64>,
    /// Slices that were there and did not come.
    pub load_failures: u64,
    /// Slices that were there and were computed, because that was quicker.
    pub slower: u64,
    /// Slices that were there and were computed, because so many others were mapped before they had come.
    pub crowded: u64,
    /// Slices that became durable, states of bounded agents among them.
    pub stored_slices: u64,
    /// Bytes that went to the store.
    pub stored_bytes: u64,
    /// Slices that it did not take.
    pub store_failures: u64,
    /// Slices whose pages were needed before the store had them.
    pub given_up: u64,
}

impl StoreSummary {
    /// Of what the kernel counted.
    pub fn of(kernel: &Kernel<'_>) -> StoreSummary {
        let store = kernel.figures().store;
        let bytes = |pages: u64| pages * kernel.page_bytes() as u64;
        let latencies = kernel.load_latencies();
        StoreSummary {
            loaded_slices: store.loaded,
            loaded_tokens: store.loaded_tokens,
            loaded_bytes: bytes(store.loaded_pages),
            load_p50_us: latencies.quantile_us(0.5),
            load_p99_us: latencies.quantile_us(0.99),
            load_failures: store.load_failures,
            slower: store.slower,
            crowded: store.crowded,
            stored_slices: store.durable,
            stored_bytes: bytes(store.handed_pages),
            store_failures: store.store_failures,
            given_up: store.given_up,
        }
    }
}
