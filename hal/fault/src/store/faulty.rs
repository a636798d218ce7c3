//! A cold store that fails on purpose.

use core::task::Poll;

use agentos_hal::{ColdStore, Entry, StoreError, StoreKey};

use crate::plan::{Stream, below, drawn, word};

/// Odds of what happens to a call of `put` or `get`, each in per mille of the calls that are not repetitions of one
/// that was pending. A call is delayed or not, and by another draw suffers at most one of the rest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreOdds {
    /// It is pending some calls longer.
    pub delay: u16,
    /// The store says that it is busy.
    pub busy: u16,
    /// The medium fails.
    pub io: u16,
    /// `get`: what comes back is not what was stored, and the store knows. `put`: it fails when all of the slice was
    /// handed over, which `poll` says.
    pub corrupt: u16,
    /// `put`: there is no room. `get`: the slice went because others came.
    pub full: u16,
    /// The store goes away, and does not come back.
    pub gone: u16,
}

/// What a call suffers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreFate {
    /// [`StoreOdds::busy`].
    Busy,
    /// [`StoreOdds::io`].
    Io,
    /// [`StoreOdds::corrupt`].
    Corrupt,
    /// [`StoreOdds::full`].
    Full,
    /// [`StoreOdds::gone`].
    Gone,
}

impl StoreOdds {
    /// Nothing ever happens.
    pub const NONE: StoreOdds = StoreOdds { delay: 0, busy: 0, io: 0, corrupt: 0, full: 0, gone: 0 };

    /// How long the nth call is pending, and what it suffers then: a function of the seed and the number.
    pub fn fate(&self, seed: u64, nth: u64, longest_delay: u32) -> (u32, Option<StoreFate>) {
        let fates = [StoreFate::Busy, StoreFate::Io, StoreFate::Corrupt, StoreFate::Full, StoreFate::Gone];
        let odds = [self.busy, self.io, self.corrupt, self.full, self.gone];
        let fate = drawn(&odds, word(seed, Stream::Store, nth)).map(|index| fates[index]);
        let delayed = word(seed, Stream::StoreDelay, nth);
        let delay = match drawn(&[self.delay], delayed) {
            Some(_) if longest_delay > 0 => 1 + below(longest_delay, delayed << 32),
            _ => 0,
        };
        (delay, fate)
    }
}

/// How often each fault happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreInjected {
    /// Calls that were answered with "pending" without asking the store.
    pub pending: u64,
    /// Calls that were refused as busy.
    pub busy: u64,
    /// Failures of the medium.
    pub io: u64,
    /// Images that came back wrong, and slices that failed behind their last page.
    pub corrupt: u64,
    /// Slices that had no room, or had to go.
    pub full: u64,
    /// Whether the store went away.
    pub gone: bool,
}

/// A call that may be repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Call {
    Put(StoreKey, u8),
    Get(StoreKey, u8),
}

#[derive(Clone, Copy, Debug)]
struct Begun {
    call: Call,
    delay: u32,
    fate: Option<StoreFate>,
}

/// Wraps a store so that calls fail as odds and a seed say. It never loses a slice that was told to be durable,
/// other than [`ColdStore`] allows: it says so.
#[derive(Debug)]
pub struct FaultStore<S> {
    inner: S,
    odds: StoreOdds,
    seed: u64,
    longest_delay: u32,
    calls: u64,
    putting: Option<Begun>,
    getting: Option<Begun>,
    /// A slice that was handed over, and of which it is to be said that it is not stored.
    failed: Option<StoreKey>,
    /// Whether the slice that is being handed over will fail behind its last page.
    doomed: bool,
    /// Whether what was handed over last was dropped before it was whole.
    dropped: bool,
    injected: StoreInjected,
}

impl<S: ColdStore> FaultStore<S> {
    /// Wraps a store. Delays last from one call to `longest_delay`.
    ///
    /// # Panics
    /// When the odds of what a call suffers are more than 1000 together.
    pub fn new(inner: S, odds: StoreOdds, seed: u64, longest_delay: u32) -> FaultStore<S> {
        let suffered = [odds.busy, odds.io, odds.corrupt, odds.full, odds.gone];
        let sum: u32 = suffered.iter().map(|&odd| u32::from(odd)).sum();
        assert!(sum <= 1000 && odds.delay <= 1000, "a call suffers one thing at most");
        FaultStore {
            inner,
            odds,
            seed,
            longest_delay,
            calls: 0,
            putting: None,
            getting: None,
            failed: None,
            doomed: false,
            dropped: false,
            injected: StoreInjected::default(),
        }
    }

    /// The wrapped store, such as it is.
    pub fn inner(&mut self) -> &mut S {
        &mut self.inner
    }

    /// The wrapped store, for another wrapper: what was under way is given up.
    pub fn into_inner(self) -> S {
        self.inner
    }

    /// What was done so far.
    pub const fn injected(&self) -> StoreInjected {
        self.injected
    }

    /// A call that is asked again goes on; another gives it up. Says what it suffers when it is no longer pending.
    fn ask(&mut self, call: Call) -> Poll<Option<StoreFate>> {
        let held = match call {
            Call::Put(..) => &mut self.putting,
            Call::Get(..) => &mut self.getting,
        };
        let mut begun = match held.take().filter(|begun| begun.call == call) {
            Some(begun) => begun,
            None => {
                let (delay, fate) = self.odds.fate(self.seed, self.calls, self.longest_delay);
                self.calls += 1;
                Begun { call, delay, fate }
            }
        };
        if begun.delay == 0 {
            return Poll::Ready(begun.fate);
        }
        begun.delay -= 1;
        *held = Some(begun);
        self.injected.pending += 1;
        Poll::Pending
    }

    /// What a fate makes of a call, but for what only `put` or only `get` suffers.
    fn suffer(&mut self, fate: StoreFate, full: StoreError) -> StoreError {
        match fate {
            StoreFate::Busy => {
                self.injected.busy += 1;
                StoreError::Busy
            }
            StoreFate::Io => {
                self.injected.io += 1;
                StoreError::Io
            }
            StoreFate::Corrupt => {
                self.injected.corrupt += 1;
                StoreError::Corrupt
            }
            StoreFate::Full => {
                self.injected.full += 1;
                full
            }
            StoreFate::Gone => {
                self.injected.gone = true;
                StoreError::Gone
            }
        }
    }
}

impl<S: ColdStore> ColdStore for FaultStore<S> {
    fn find(&self, key: &StoreKey) -> Option<Entry> {
        if self.injected.gone { None } else { self.inner.find(key) }
    }

    fn put(&mut self, key: &StoreKey, entry: Entry, page: u8, image: &[u8]) -> Poll<Result<(), StoreError>> {
        if self.injected.gone {
            return Poll::Ready(Err(StoreError::Gone));
        }
        let Poll::Ready(fate) = self.ask(Call::Put(*key, page)) else { return Poll::Pending };
        if page == 0 {
            (self.doomed, self.dropped) = (false, false);
        }
        if self.dropped {
            return Poll::Ready(Err(StoreError::Missing));
        }
        match fate {
            Some(StoreFate::Corrupt) => self.doomed = true,
            Some(fate) => {
                let full = StoreError::Full { needed: image.len() as u64, available: 0 };
                let error = self.suffer(fate, full);
                self.dropped |= error != StoreError::Busy;
                return Poll::Ready(Err(error));
            }
            None => (),
        }
        let last = page + 1 >= entry.pages;
        if self.doomed && last {
            if self.failed.is_some() {
                return Poll::Ready(Err(StoreError::Busy));
            }
            self.injected.corrupt += 1;
            self.failed = Some(*key);
            return Poll::Ready(Ok(()));
        }
        self.inner.put(key, entry, page, image)
    }

    fn get(&mut self, key: &StoreKey, page: u8, image: &mut [u8]) -> Poll<Result<(), StoreError>> {
        if self.injected.gone {
            return Poll::Ready(Err(StoreError::Gone));
        }
        let Poll::Ready(fate) = self.ask(Call::Get(*key, page)) else { return Poll::Pending };
        let Some(fate) = fate else { return self.inner.get(key, page, image) };
        // Whoever reads on reads nonsense.
        image.fill(0xff);
        if fate == StoreFate::Full {
            let _gone = self.inner.delete(key);
        }
        Poll::Ready(Err(self.suffer(fate, StoreError::Missing)))
    }

    fn prefetch(&mut self, key: &StoreKey) {
        if !self.injected.gone {
            self.inner.prefetch(key);
        }
    }

    fn delete(&mut self, key: &StoreKey) -> Result<(), StoreError> {
        if self.injected.gone {
            return Err(StoreError::Gone);
        }
        self.inner.delete(key)
    }

    fn poll(&mut self) -> Option<(StoreKey, Result<(), StoreError>)> {
        if self.injected.gone {
            return None;
        }
        match self.failed.take() {
            Some(key) => Some((key, Err(StoreError::Io))),
            None => self.inner.poll(),
        }
    }
}
