//! Agents to bytes and back.

use super::*;
use crate::call::Forward;
use crate::checkpoint::{CHECKSUM_BYTES, CheckpointError, Contents, MAGIC, verify};

impl Rig {
    /// A checkpoint of one agent or of all, read through a buffer of so many bytes.
    pub(super) fn save(&mut self, only: Option<AgentId>, contents: Contents, buffer: usize) -> Vec<u8> {
        self.call(&Call::Checkpoint(only, contents)).unwrap();
        let (mut bytes, mut buffer) = (Vec::new(), vec![0; buffer]);
        loop {
            match self.kernel.read_checkpoint(&mut self.device, &mut buffer) {
                Poll::Ready(Ok(0)) => return bytes,
                Poll::Ready(Ok(count)) => bytes.extend_from_slice(&buffer[..count]),
                Poll::Ready(Err(error)) => panic!("{error}"),
                Poll::Pending => drop(self.tick()),
            }
        }
    }

    pub(super) fn restore(&mut self, bytes: &[u8]) -> Result<u16, CheckpointError> {
        self.call(&Call::Restore).unwrap();
        loop {
            match self.kernel.write_checkpoint(&mut self.device, bytes) {
                Poll::Pending => drop(self.tick()),
                Poll::Ready(result) => {
                    let named: Vec<_> = self.kernel.agents().map(|rcb| (rcb.id, rcb.tag)).collect();
                    self.tags.extend(named.iter().map(|(id, tag)| ((id.index, id.generation), *tag)));
                    self.drain();
                    self.kernel.audit().unwrap();
                    return result;
                }
            }
        }
    }

    /// Begins a checkpoint of all, and loses the device at the first page after so many pieces; the refusal,
    /// if there was such a page.
    fn lose_amid_saving(&mut self, pieces: usize, buffer: usize) -> Option<CheckpointError> {
        self.call(&Call::Checkpoint(None, Contents::Pages)).unwrap();
        let (mut read, mut buffer) = (0, vec![0; buffer]);
        loop {
            match self.kernel.read_checkpoint(&mut self.device, &mut buffer) {
                Poll::Ready(Ok(0)) => break,
                Poll::Ready(Ok(_)) => read += 1,
                Poll::Ready(Err(error)) => {
                    assert_eq!(self.tick(), Tick::DeviceLost);
                    self.come_back();
                    return Some(error);
                }
                Poll::Pending => drop(self.tick()),
            }
            if read == pieces + 1 {
                self.device.copies.push_back(Some(PageError::Lost));
            }
        }
        self.kernel.end_transfer();
        self.device.copies.clear();
        None
    }

    /// The device was lost, and is prepared again.
    fn come_back(&mut self) {
        self.device.forget();
        self.kernel.device_restored();
        self.kernel.audit().unwrap();
    }

    fn of_tag(&self, tag: u64) -> &Rcb {
        self.kernel.agents().find(|rcb| rcb.tag == tag).expect("an agent of this tag")
    }
}

/// Agents of [`crowd`] whose contexts follow from their tokens.
const EXACT: [u64; 5] = [0, 1, 5, 6, 7];

const BOUNDED: MemoryMode = MemoryMode::Bounded { pages: 24, packed: false };
const PACKED: MemoryMode = MemoryMode::Bounded { pages: 24, packed: true };

const ROOMY: Config = Config {
    rows: 24,
    quantum_rows: 16,
    packed_frames: 40,
    pinned_pages: 10,
    ..Config::new(16, 300, 120, 500)
}
.checked();

/// Agents of every kind, some steps on their way.
fn crowd(ticks: usize) -> Rig {
    let mut rig = Rig::new(ROOMY);
    let common = prompt(9, 100);
    for tag in 0..4 {
        let memory = [MemoryMode::Exact, MemoryMode::Exact, BOUNDED, PACKED][tag as usize];
        let own = [&common[..], &prompt(tag as u32, 70)].concat();
        rig.spawn(&Spec { memory, context: 260, ..spec(tag, 50) }, &own);
    }
    let listener = Spec { on_end: OnEnd::Listen, receive: Receive::Mapped, context: 280, ..spec(4, 6) };
    let listener = rig.spawn(&listener, &prompt(4, 20));
    for _ in 0..ticks / 2 {
        let _ = rig.tick();
    }
    let first = rig.of_tag(0).id;
    let _ = rig.call(&Call::Fork(first, Spec { context: 280, ..spec(5, 30) }));
    let waiting = rig.spawn(&spec(6, 8), &prompt(6, 25));
    rig.call(&Call::Wait(waiting, first)).unwrap();
    let aside = rig.spawn(&spec(7, 8), &prompt(7, 25));
    rig.call(&Call::Suspend(aside)).unwrap();
    let part = Forward {
        from: first,
        start: 0,
        end: 90,
        to: listener,
        before: Tokens(&[]),
        after: Tokens(&[1, 0, 0, 0]),
    };
    rig.call(&Call::Forward(part)).unwrap();
    rig.call(&Call::SetBudget(first, Budget { turn_tokens: 50, pinned_pages: 8, ..Budget::UNBOUNDED }))
        .unwrap();
    let _ = rig.call(&Call::Pin { agent: first, start: 0, end: 20, keep: true });
    for _ in 0..ticks / 2 {
        let _ = rig.tick();
    }
    rig
}

fn finish(rig: &mut Rig) {
    rig.run();
    let aside = rig.of_tag(7).id;
    let _ = rig.call(&Call::Resume(aside));
    rig.run();
}

/// The first agent whose context is not the same, with both from where they part.
fn difference(left: &Rig, right: &Rig) -> Option<(u64, Vec<u32>, Vec<u32>)> {
    let (left, right) = (contexts(left), contexts(right));
    assert!(left.keys().eq(right.keys()));
    let (tag, one, other) =
        left.iter().map(|(tag, one)| (*tag, one, &right[tag])).find(|(_, one, other)| one != other)?;
    let same = one.iter().zip(other).take_while(|(one, other)| one == other).count();
    Some((tag, one[same..].to_vec(), other[same..].to_vec()))
}

fn contexts(rig: &Rig) -> BTreeMap<u64, Vec<u32>> {
    rig.kernel.agents().map(|rcb| (rcb.tag, rig.kernel.tokens(rcb.id).to_vec())).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn who_is_restored_goes_on_as_if_nothing_had_been(
        ticks in 0usize..260, pages: bool, buffer in 1usize..5000, again in 0usize..200
    ) {
        let contents = if pages { Contents::Pages } else { Contents::Tokens };
        let mut rig = crowd(ticks);
        let bytes = rig.save(None, contents, buffer);
        prop_assert_eq!(verify(&bytes), Ok(()));
        let before: BTreeMap<u64, u64> =
            rig.kernel.agents().map(|rcb| (rcb.tag, rcb.metrics.recomputed)).collect();
        let mut restored = Rig::new(ROOMY);
        prop_assert_eq!(restored.restore(&bytes), Ok(before.len() as u16));
        prop_assert_eq!(difference(&restored, &rig), None);
        // And once more, from there.
        for _ in 0..again {
            let _ = restored.tick();
        }
        let bytes = restored.save(None, contents, 4096);
        let mut twice = Rig::new(ROOMY);
        prop_assert_eq!(twice.restore(&bytes), Ok(before.len() as u16));
        for rig in [&mut rig, &mut restored, &mut twice] {
            finish(rig);
        }
        prop_assert_eq!(difference(&restored, &rig), None);
        prop_assert_eq!(difference(&twice, &rig), None);
        if pages {
            for rcb in twice.kernel.agents() {
                prop_assert_eq!(rcb.metrics.recomputed, before[&rcb.tag]);
            }
        }
    }

    #[test]
    fn damage_is_noticed(ticks in 0usize..120, at: prop::sample::Index, flip in 1u8.., cut: prop::sample::Index) {
        let mut rig = crowd(ticks);
        let bytes = rig.save(None, Contents::Pages, 4096);
        let mut damaged = bytes.clone();
        *at.get_mut(&mut damaged) ^= flip;
        let mut other = Rig::new(ROOMY);
        prop_assert!(other.restore(&damaged).is_err());
        prop_assert!(other.restore(&bytes[..cut.index(bytes.len())]).is_err());
        prop_assert_eq!(other.kernel.agents().count(), 0);
        prop_assert_eq!(other.restore(&bytes).map(usize::from), Ok(rig.kernel.agents().count()));
    }

    /// The device is lost at any page that is saved, and again at one that is restored.
    #[test]
    fn a_device_that_is_lost_amid_a_checkpoint_costs_work_and_no_agent(
        ticks in 0usize..260, pieces in 0usize..80, buffer in 100usize..3000
    ) {
        let mut undisturbed = crowd(ticks);
        finish(&mut undisturbed);
        let mut rig = crowd(ticks);
        let agents = rig.kernel.agents().count();
        let refused = rig.lose_amid_saving(pieces, buffer);
        prop_assert!(refused.is_none_or(|error| error == CheckpointError::Page(PageError::Lost)));
        let bytes = rig.save(None, Contents::Pages, buffer);
        // Without an arena, pages come straight into the device.
        let mut restored = Rig::new(Config { l1_pages: 700, l2_frames: 0, ..ROOMY });
        restored.device.copies.push_back(Some(PageError::Lost));
        match restored.restore(&bytes) {
            Err(error) => {
                prop_assert_eq!(error, CheckpointError::Page(PageError::Lost));
                prop_assert_eq!(restored.kernel.agents().count(), 0);
                prop_assert_eq!(restored.tick(), Tick::DeviceLost);
                restored.come_back();
                prop_assert_eq!(restored.restore(&bytes).map(usize::from), Ok(agents));
            }
            Ok(found) => prop_assert_eq!(usize::from(found), agents, "no page was saved"),
        }
        for rig in [&mut rig, &mut restored] {
            finish(rig);
            prop_assert_eq!(rig.kernel.agents().count(), agents);
            let (found, expected) = (contexts(rig), contexts(&undisturbed));
            for tag in expected.keys().filter(|tag| EXACT.contains(tag)) {
                prop_assert!(found[tag] == expected[tag], "agent {}", tag);
            }
        }
    }

    /// Whoever can make a checksum can write anything before it.
    #[test]
    fn no_lie_breaks_the_kernel(
        ticks in 0usize..200, pages: bool, lies in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0u8..3), 1..6),
        early: bool
    ) {
        let contents = if pages { Contents::Pages } else { Contents::Tokens };
        let mut rig = crowd(ticks);
        let mut bytes = rig.save(None, contents, 4096);
        bytes.truncate(bytes.len() - CHECKSUM_BYTES);
        for (at, byte, kind) in lies {
            let reach = if early { bytes.len().min(1500) } else { bytes.len() };
            let at = at.index(reach - 10) + 10;
            match kind {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                _ => drop(bytes.remove(at)),
            }
        }
        let checksum = blake3::hash(&bytes);
        bytes.extend_from_slice(checksum.as_bytes());
        let mut other = Rig::new(ROOMY);
        other.device.careless = true;
        match other.restore(&bytes) {
            Err(error) => {
                let message = std::string::ToString::to_string(&error);
                prop_assert!(!message.is_empty());
                prop_assert_eq!(other.kernel.agents().count(), 0);
                prop_assert_eq!(other.kernel.pager.slices().count(), 0, "nobody finds what was refused");
            }
            Ok(_) => {
                for _ in 0..300 {
                    let _ = other.tick();
                }
            }
        }
        let everybody: Vec<AgentId> = other.kernel.agents().map(|rcb| rcb.id).collect();
        for agent in everybody {
            other.call(&Call::Kill(agent)).unwrap();
        }
        for _ in 0..20 {
            let _ = other.tick();
        }
        let text = prompt(40, 60);
        other.spawn(&spec(90, 10), &text);
        other.device.careless = false;
        other.run();
        prop_assert_eq!(&other.texts[&90], &alone(&spec(90, 10), &text));
    }
}

#[test]
fn one_agent_is_saved_alone() {
    let mut rig = crowd(100);
    let agent = rig.of_tag(1).id;
    let bytes = rig.save(Some(agent), Contents::Pages, 700);
    let mut other = Rig::new(ROOMY);
    assert_eq!(other.restore(&bytes), Ok(1));
    finish_one(&mut other, 1);
    finish(&mut rig);
    assert!(contexts(&other)[&1] == contexts(&rig)[&1]);
}

fn finish_one(rig: &mut Rig, tag: u64) {
    rig.run();
    assert!(rig.of_tag(tag).state.is_over());
}

#[test]
fn a_checkpoint_comes_into_a_system_at_work() {
    let mut rig = crowd(90);
    let bytes = rig.save(None, Contents::Pages, 4096);
    let agents = rig.kernel.agents().count();
    let mut other = Rig::new(Config { agents: 24, ..ROOMY });
    other.spawn(&spec(50, 30), &[&prompt(9, 100)[..], &prompt(3, 9)].concat());
    for _ in 0..20 {
        let _ = other.tick();
    }
    // What both have computed is there once.
    assert_eq!(other.restore(&bytes).map(usize::from), Ok(agents));
    finish(&mut other);
    finish(&mut rig);
    let told = [&prompt(9, 100)[..], &prompt(3, 9)].concat();
    let answer = alone(&spec(50, 30), &told);
    let newcomer = other.of_tag(50).id;
    assert_eq!(other.kernel.tokens(newcomer), [told, answer].concat());
    other.call(&Call::Kill(newcomer)).unwrap();
    assert_eq!(difference(&other, &rig), None);
}

#[test]
fn nothing_else_happens_while_a_checkpoint_is_written() {
    let mut rig = crowd(50);
    rig.call(&Call::Checkpoint(None, Contents::Pages)).unwrap();
    for _ in 0..20 {
        let _ = rig.tick();
    }
    let steps = rig.kernel.figures().steps;
    for _ in 0..20 {
        assert_eq!(rig.tick(), Tick::Pending);
    }
    assert_eq!(rig.kernel.figures().steps, steps);
    let agent = rig.of_tag(0).id;
    assert_eq!(rig.call(&Call::Kill(agent)), Err(CallError::Held));
    assert!(rig.call(&Call::Stat(agent)).is_ok());
    rig.kernel.end_transfer();
    let nothing = rig.kernel.read_checkpoint(&mut rig.device, &mut [0]);
    assert_eq!(nothing, Poll::Ready(Err(CheckpointError::NotBegun)));
    finish(&mut rig);
}

#[test]
fn nothing_changes_amid_a_checkpoint() {
    let mut rig = crowd(60);
    let first = rig.of_tag(0);
    let (agent, age_us, state) = (first.id, first.age_us(rig.clock.0.get()), first.state);
    assert!(!state.is_over());
    // Its time runs out, and a person speaks, while the device is slow to copy pages.
    let budget = Budget { turn_tokens: 50, time_us: age_us + 500, ..Budget::UNBOUNDED };
    rig.call(&Call::SetBudget(agent, budget)).unwrap();
    rig.call(&Call::Checkpoint(None, Contents::Pages)).unwrap();
    let (mut bytes, mut buffer) = (Vec::new(), [0; 700]);
    let mut slow = false;
    loop {
        match rig.kernel.read_checkpoint(&mut rig.device, &mut buffer) {
            Poll::Ready(Ok(0)) => break,
            Poll::Ready(Ok(count)) => bytes.extend_from_slice(&buffer[..count]),
            Poll::Ready(Err(error)) => panic!("{error}"),
            Poll::Pending => drop(rig.tick()),
        }
        if !bytes.is_empty() && !core::mem::replace(&mut slow, true) {
            rig.device.copies.extend([None; 300]);
            let spoken = Posted { vector: VectorId::User, agent: None, payload: 0, at_us: 0 };
            rig.kernel.interrupts().post(spoken).unwrap();
        }
    }
    assert!(rig.clock.0.get() > age_us + 1000, "time has passed");
    let mut other = Rig::new(ROOMY);
    assert_eq!(other.restore(&bytes).map(usize::from), Ok(rig.kernel.agents().count()));
    assert_eq!(other.of_tag(0).state, State::Ready);
    // Afterwards both happen.
    rig.run();
    assert_eq!(rig.stat(agent).state, State::Stopped(Finish::Budget));
    assert!(rig.kernel.agents().all(|rcb| rcb.state.is_over() || matches!(rcb.state, State::Suspended(_))));
}

#[test]
fn a_foreign_or_older_checkpoint_is_refused_with_the_reason() {
    let mut rig = crowd(40);
    let bytes = rig.save(None, Contents::Pages, 4096);
    let refused = |config: Config, bytes: &[u8]| Rig::new(config).restore(bytes).unwrap_err();
    let foreign = refused(Config { candidates: 2, ..ROOMY }, &bytes);
    assert_eq!(foreign, CheckpointError::Foreign { what: "number of candidates" });
    let full = refused(Config { agents: 3, ..ROOMY }, &bytes);
    assert_eq!(full, CheckpointError::AgentsFull { agents: rig.kernel.agents().count() as u16, free: 3 });
    let small = refused(Config { l2_frames: 40, ..ROOMY }, &bytes);
    assert!(matches!(small, CheckpointError::Unfit { .. }), "{small}");
    let short = refused(Config { context: 200, ..ROOMY }, &bytes);
    assert_eq!(
        short,
        CheckpointError::TooLarge { agent: 0, what: "tokens of context", found: 260, fits: 200 }
    );
    let mut older = bytes.clone();
    older[MAGIC.len()] = 0;
    assert_eq!(
        refused(ROOMY, &older),
        CheckpointError::Version { found: 0, expected: crate::checkpoint::VERSION }
    );
    assert_eq!(refused(ROOMY, b"GGUF"), CheckpointError::NotACheckpoint);
    assert_eq!(refused(ROOMY, &MAGIC), CheckpointError::Damaged { at: None });
}

mod hostile;
