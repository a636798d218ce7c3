//! Everything at once: faults of the store and of the device, forks, deaths, messages, checkpoints and crashes.

use super::*;
use crate::checkpoint::Contents;

/// What the next call of a store meets: mostly nothing.
fn trouble() -> impl Strategy<Value = Option<Trouble>> {
    let error = prop_oneof![
        4 => Just(StoreError::Busy),
        2 => Just(StoreError::Missing),
        2 => Just(StoreError::Corrupt),
        2 => Just(StoreError::Io),
        1 => Just(StoreError::Full { needed: 9, available: 0 }),
    ];
    prop_oneof![6 => Just(None), 3 => Just(Some(Trouble::Pending)), 1 => error.prop_map(|error| Some(Trouble::Fails(error)))]
}

#[derive(Clone, Copy, Debug)]
enum Act {
    Ticks(u32),
    Spawn(u32, bool),
    Fork(usize),
    Kill(usize),
    Suspend(usize),
    Resume(usize),
    Copy(Option<bool>),
    Lose,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        6 => (1u32..12).prop_map(Act::Ticks),
        3 => (0u32..6, prop::bool::weighted(0.3)).prop_map(|(number, packed)| Act::Spawn(number, packed)),
        1 => (0usize..8).prop_map(Act::Fork),
        1 => (0usize..8).prop_map(Act::Kill),
        1 => (0usize..8).prop_map(Act::Suspend),
        1 => (0usize..8).prop_map(Act::Resume),
        2 => prop_oneof![Just(None), any::<bool>().prop_map(Some)].prop_map(Act::Copy),
        1 => Just(Act::Lose),
    ]
}

/// A prompt that shares its beginning with every other.
fn text(number: u32) -> Vec<u32> {
    [prompt(3, 90), prompt(number, 10 + 9 * number)].concat()
}

/// A store that has what these prompts make, but for some.
fn stored(numbers: core::ops::Range<u32>) -> FakeStore {
    stored_by(FakeStore::default(), numbers, keeping(0, 1))
}

/// A store that packs, with some of what these prompts make as it is and some packed.
fn mixed(numbers: core::ops::Range<u32>) -> FakeStore {
    let middle = numbers.start.midpoint(numbers.end);
    stored_by(
        stored_by(FakeStore::packing(), middle..numbers.end, packing(0, 1)),
        numbers.start..middle,
        keeping(0, 1),
    )
}

fn stored_by(store: FakeStore, numbers: core::ops::Range<u32>, spec: Spec) -> FakeStore {
    let mut rig = with_store(COLD, store);
    for number in numbers {
        rig.spawn(&Spec { tag: u64::from(number), ..spec }, &text(number));
    }
    rig.run();
    rig.store
}

struct Chaos {
    rig: Rig,
    /// Names, declarations and prompts.
    lives: Vec<(AgentId, Spec, Vec<u32>)>,
}

impl Chaos {
    fn act(&mut self, act: Act) {
        let tag = self.lives.len() as u64;
        let some = |lives: &[(AgentId, Spec, Vec<u32>)], at: usize| lives.get(at).map(|(agent, ..)| *agent);
        match act {
            Act::Ticks(count) => (0..count).for_each(|_| self.tick()),
            Act::Spawn(number, packed) => {
                let own = if packed { packing(tag, 12) } else { keeping(tag, 12) };
                let spec = Spec { context: 220, ..own };
                if let Ok(Reply::Agent(agent)) = self.rig.try_spawn(&spec, &text(number)) {
                    self.lives.push((agent, spec, text(number)));
                }
            }
            Act::Fork(at) => {
                let Some(parent) = some(&self.lives, at) else { return };
                let told = self.rig.kernel.tokens(parent).to_vec();
                // What it begins with is as its parent has it.
                let packed = self.lives[at].1.packed;
                let spec = Spec { context: 230, packed, ..keeping(tag, 9) };
                if let Ok(Reply::Agent(agent)) = self.rig.call(&Call::Fork(parent, spec)) {
                    self.lives.push((agent, spec, told));
                }
            }
            Act::Kill(at) => {
                let Some(agent) = some(&self.lives, at) else { return };
                let _unknown = self.rig.call(&Call::Kill(agent));
                self.rig.kernel.audit().unwrap();
            }
            Act::Suspend(at) => {
                let Some(agent) = some(&self.lives, at) else { return };
                let _over = self.rig.call(&Call::Suspend(agent));
            }
            Act::Resume(at) => {
                let Some(agent) = some(&self.lives, at) else { return };
                let _over = self.rig.call(&Call::Resume(agent));
            }
            Act::Copy(None) => self.rig.device.copies.push_back(None),
            Act::Copy(Some(lost)) => {
                let error = if lost { PageError::Lost } else { PageError::Busy };
                self.rig.device.copies.push_back(Some(error));
            }
            Act::Lose => self.rig.device.hitches.push_back(Hitch::Fails(DeviceError::Lost)),
        }
    }

    fn tick(&mut self) {
        if self.rig.tick() == Tick::DeviceLost {
            self.rig.device.forget();
            self.rig.kernel.device_restored();
            self.rig.kernel.audit().unwrap();
        }
    }

    /// Lets everybody come to an end, and checks what was said.
    fn judge(mut self) {
        self.rig.device.copies.clear();
        self.rig.device.hitches.clear();
        for (agent, ..) in &self.lives {
            let _over = self.rig.kernel.call(None, &Call::Resume(*agent), 0);
        }
        self.rig.run();
        for (agent, spec, prompt) in &self.lives {
            let said = self.rig.texts.get(&spec.tag).cloned().unwrap_or_default();
            if spec.packed {
                // What it says depends on what it finds; that it comes to an end does not.
                let over = self.rig.kernel.agents().find(|rcb| rcb.id == *agent);
                assert!(over.is_none_or(|rcb| matches!(rcb.state, State::Stopped(_))), "agent {}", spec.tag);
                continue;
            }
            let expected = alone(&Spec { persist: Persist::Nothing, ..*spec }, prompt);
            let killed = !self.rig.kernel.agents().any(|rcb| rcb.id == *agent);
            if killed {
                assert_eq!(said, expected[..said.len()], "agent {}", spec.tag);
            } else {
                assert_eq!(said, expected, "agent {}", spec.tag);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases / 4, ..ProptestConfig::default() })]

    /// Same tokens with a store, whatever it, the device and the agents do.
    #[test]
    fn no_fault_changes_a_token(
        acts in proptest::collection::vec(act(), 5..40),
        gets in proptest::collection::vec(trouble(), 0..120),
        puts in proptest::collection::vec(trouble(), 0..120),
        verdicts in proptest::collection::vec(
            prop_oneof![4 => Just(None), 1 => Just(Some(StoreError::Io))], 0..20
        ),
        cold_slices in prop_oneof![Just(2u32), Just(60)],
        hang_us in prop_oneof![Just(100u64), Just(30_000_000)],
        frames in prop_oneof![Just(0u32), Just(40), Just(600)],
    ) {
        let config = Config { cold_slices, hang_us, l2_frames: frames, ..COLD };
        let mut rig = with_store(config, mixed(0..4));
        (rig.store.gets, rig.store.puts, rig.store.verdicts) = (gets.into(), puts.into(), verdicts.into());
        let mut chaos = Chaos { rig, lives: Vec::new() };
        for act in acts {
            chaos.act(act);
        }
        chaos.judge();
    }

    /// The machine stops between any two ticks: a new kernel on the same store says the same, and computes nothing
    /// that was told to be durable.
    #[test]
    fn a_crash_loses_nothing_that_was_told(ticks in 0u32..120, tokens in 1u32..25) {
        let mut first = with_store(COLD, FakeStore::default());
        let prompt = text(5);
        first.spawn(&Spec { context: 200, ..keeping(1, tokens) }, &prompt);
        first.ticks(ticks);
        let told = first.events.iter().filter(|event| matches!(event, Event::Stored { .. })).count();
        let mut store = core::mem::take(&mut first.store);
        store.crash();
        prop_assert_eq!(store.kept.len(), told);
        let stored = u64::from(stored_tokens(&store, &prompt));
        let mut second = with_store(COLD, store);
        let spec = Spec { context: 200, ..keeping(1, tokens) };
        let agent = second.spawn(&spec, &prompt);
        second.run();
        prop_assert_eq!(&second.texts[&1], &alone(&Spec { persist: Persist::Nothing, ..spec }, &prompt));
        let stat = second.stat(agent);
        prop_assert_eq!(stat.metrics.recalled, stored);
        prop_assert_eq!(stat.metrics.rows, u64::from(stat.computed) - stored);
    }

    /// A checkpoint made while slices are in the store alone is read with the same store, or with none.
    #[test]
    fn a_checkpoint_does_not_need_the_store(
        ticks in 0u32..60, pending in 0usize..40, same in any::<bool>(), pages in any::<bool>(),
    ) {
        let mut rig = with_store(COLD, stored(0..3));
        rig.store.gets.extend(core::iter::repeat_n(Some(Trouble::Pending), pending));
        for number in 0..3 {
            rig.spawn(&Spec { context: 200, ..keeping(u64::from(number), 14) }, &text(number));
        }
        rig.ticks(ticks);
        let contents = if pages { Contents::Pages } else { Contents::Tokens };
        let saved = rig.save(None, contents, 300);
        let store = if same { core::mem::take(&mut rig.store) } else { FakeStore::default() };
        let mut other = with_store(COLD, store);
        other.store.gets.clear();
        prop_assert_eq!(other.restore(&saved), Ok(3));
        other.run();
        for number in 0..3u32 {
            let tag = u64::from(number);
            let mut said = rig.texts.get(&tag).cloned().unwrap_or_default();
            said.extend(other.texts.get(&tag).into_iter().flatten());
            prop_assert_eq!(said, alone(&Spec { context: 200, ..spec(tag, 14) }, &text(number)));
        }
    }
}

/// Slices of another agent are mapped behind what comes from the store only when that is there.
#[test]
fn what_is_sent_waits_for_what_is_cold() {
    let roomy = |cold_slices| Config { cold_slices, ..Config::new(8, 300, 200, 100) };
    let listener = Spec { on_end: OnEnd::Listen, receive: Receive::Mapped, context: 300, ..spec(2, 8) };
    let silent = Budget { turn_tokens: 0, ..Budget::UNBOUNDED };
    // Nothing of it is left to compute.
    let whole: u32 = slices_of(&text(2)).iter().map(|(_, tokens)| tokens).sum();
    let said = |store: FakeStore, config: Config, trouble: &[Option<Trouble>]| {
        let mut rig = with_store(config, store);
        let sender = rig.spawn(&Spec { on_end: OnEnd::Listen, ..spec(1, 10) }, &prompt(8, 90));
        rig.run();
        rig.store.gets.extend([Some(Trouble::Pending); 8]);
        rig.store.gets.extend(trouble);
        let receiver = rig.spawn(&Spec { budget: silent, ..listener }, &text(2)[..whole as usize]);
        rig.ticks(2);
        assert_eq!(rig.kernel.pager.cold() > 0, config.cold_slices > 0);
        let before = Tokens(&[9, 0, 0, 0]);
        let forward =
            crate::call::Forward { from: sender, start: 0, end: 90, to: receiver, before, after: before };
        rig.call(&Call::SetBudget(receiver, listener.budget)).unwrap();
        rig.call(&Call::Forward(forward)).unwrap();
        rig.run();
        assert!(rig.stat(receiver).metrics.relocated > 0);
        rig.texts[&2].clone()
    };
    let expected = said(FakeStore::default(), roomy(0), &[]);
    assert_eq!(expected.len(), 8);
    for count in 0..20 {
        assert_eq!(said(stored(0..3), roomy(60), &[Some(Trouble::Pending)].repeat(count)), expected);
        let failing = [vec![None; count], vec![Some(Trouble::Fails(StoreError::Io))]].concat();
        assert_eq!(said(stored(0..3), roomy(60), &failing), expected, "{count}");
    }
}

/// Who listens has all of its context in page memory by the time that it rests, and computes nothing for it.
#[test]
fn a_listener_rests_when_its_context_has_come() {
    let whole: u32 = slices_of(&text(2)).iter().map(|(_, tokens)| tokens).sum();
    let listener = Spec {
        on_end: OnEnd::Listen,
        budget: Budget { turn_tokens: 0, ..Budget::UNBOUNDED },
        context: 300,
        ..spec(2, 8)
    };
    for pending in 0..12 {
        let mut rig = with_store(Config { cold_slices: 60, ..Config::new(8, 300, 200, 100) }, stored(0..3));
        rig.store.gets.extend([Some(Trouble::Pending)].repeat(pending));
        let agent = rig.spawn(&listener, &text(2)[..whole as usize]);
        rig.run();
        assert_eq!(rig.stat(agent).state, State::Blocked(BlockedOn::Message));
        assert_eq!((rig.kernel.pager.cold(), rig.stat(agent).metrics.rows), (0, 0));
        assert_eq!(rig.kernel.figures().store.loaded_tokens, u64::from(whole));
    }
}
