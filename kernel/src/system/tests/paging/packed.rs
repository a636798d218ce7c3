//! Agents that pack what they leave out: they are promised packed frames, and have them.

use super::*;
use crate::checkpoint::Contents;

/// Lossless pages for two quotas, and packed frames for the contexts of three agents.
const TIGHT: Config = Config { l2_frames: 16, packed_frames: 400, agents: 6, ..CHOOSY }.checked();

fn packs(tag: u64, context: u32) -> Spec {
    let memory = MemoryMode::Bounded { pages: 24, packed: true };
    Spec { memory, admission: Admission::Wait, ..bounded(tag, 24, context) }
}

/// A machine whose device takes what was packed for what it is.
fn tight(config: Config) -> Rig {
    let mut rig = Rig::new(config);
    rig.device.careless = true;
    rig
}

fn run_audited(rig: &mut Rig) -> u32 {
    let mut most = 0;
    while !matches!(rig.tick(), Tick::Idle) {
        rig.kernel.audit().unwrap();
        most = most.max(rig.kernel.figures().usage.l2);
    }
    most
}

#[test]
fn contexts_that_fit_packed_alone_are_admitted_and_come_to_their_end() {
    let mut rig = tight(TIGHT);
    for tag in 0..5 {
        rig.spawn(&packs(tag, 560), &asked(tag as u32 % 3, 30, 3));
    }
    assert!(matches!(
        rig.try_spawn(&Spec { admission: Admission::Refuse, ..bounded(9, 24, 560) }, &[1]),
        Err(CallError::Unfit(Unfit::Never { .. }))
    ));
    let most = run_audited(&mut rig);
    for tag in 0..5 {
        assert_eq!(rig.texts[&tag].len(), 20, "agent {tag}");
        assert!(metrics(&rig, tag).paged_out > 0);
    }
    assert!(most > TIGHT.l2_frames, "{most} pages in the arena");
}

#[test]
fn what_exact_agents_share_with_those_that_pack_stays_as_it_is() {
    let config = Config { l2_frames: 120, ..TIGHT }.checked();
    let text = filler(4, 8);
    let plain = Spec { context: 160, ..spec(7, 20) };
    let expected = alone(&plain, &text);
    for ticks in 0..6 {
        let mut rig = tight(config);
        rig.spawn(&packs(1, 560), &[&text[..], &filler(7, 22)].concat());
        rig.ticks(ticks * 9);
        rig.spawn(&plain, &text);
        rig.spawn(&packs(2, 560), &[&text[..], &filler(6, 22)].concat());
        run_audited(&mut rig);
        assert_eq!(rig.texts[&7], expected);
        assert_eq!((rig.texts[&1].len(), rig.texts[&2].len()), (20, 20));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Forks share what is left out, and everybody has room for it, also out of a checkpoint.
    #[test]
    fn forks_and_checkpoints_of_those_that_pack_have_room(
        ticks in 0u32..160, fork in 0u32..160, pages: bool,
    ) {
        let mut rig = tight(TIGHT);
        let parent = rig.spawn(&packs(1, 560), &asked(2, 30, 3));
        rig.ticks(fork);
        let _refused = rig.call(&Call::Fork(parent, Spec { context: 570, ..packs(2, 570) }));
        rig.ticks(ticks);
        let contents = if pages { Contents::Pages } else { Contents::Tokens };
        let saved = rig.save(None, contents, 300);
        let agents = rig.kernel.agents().count();
        let mut other = tight(TIGHT);
        prop_assert_eq!(other.restore(&saved), Ok(agents as u16));
        for mut rig in [rig, other] {
            run_audited(&mut rig);
            prop_assert!(rig.kernel.agents().all(|rcb| matches!(rcb.state, State::Stopped(_))));
        }
    }
}
