//! Any agents doing anything: nobody sees anybody else.

use super::*;

#[derive(Clone, Debug)]
enum Act {
    Spawn { seed: u32, prompt: u32, tokens: u32, level: u8, common: bool },
    Fork { which: usize, tokens: u32 },
    Kill { which: usize },
    Suspend { which: usize },
    Resume { which: usize },
    Ticks { count: usize },
    Hitch { kind: u8 },
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => (0u32..50, 1u32..90, 1u32..40, 0u8..4, any::<bool>())
            .prop_map(|(seed, prompt, tokens, level, common)| Act::Spawn { seed, prompt, tokens, level, common }),
        2 => (0usize..20, 1u32..30).prop_map(|(which, tokens)| Act::Fork { which, tokens }),
        1 => (0usize..20).prop_map(|which| Act::Kill { which }),
        1 => (0usize..20).prop_map(|which| Act::Suspend { which }),
        1 => (0usize..20).prop_map(|which| Act::Resume { which }),
        6 => (1usize..40).prop_map(|count| Act::Ticks { count }),
        1 => (0u8..4).prop_map(|kind| Act::Hitch { kind }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]
    #[test]
    fn nobody_sees_anybody_else(acts in proptest::collection::vec(act(), 1..40)) {
        let mut rig = Rig::new(CONFIG);
        let mut born: Vec<(AgentId, Spec, Vec<u32>)> = Vec::new();
        let mut killed: Vec<u64> = Vec::new();
        for (tag, act) in (0u64..).zip(acts) {
            let living = born.len();
            match act {
                Act::Spawn { seed, prompt: len, tokens, level, common } => {
                    let priority = Priority::new(level).unwrap();
                    let spec = Spec { priority, context: 150, ..spec(tag, tokens) };
                    let tokens = if common { prompt(1, len) } else { prompt(seed, len) };
                    if let Ok(Reply::Agent(id)) = rig.try_spawn(&spec, &tokens) {
                        born.push((id, spec, tokens));
                    }
                }
                Act::Fork { which, tokens } if living > 0 => {
                    let (parent, _, _) = born[which % living];
                    let told = rig.kernel.tokens(parent).to_vec();
                    let spec = Spec { context: 150, ..spec(tag, tokens) };
                    if let Ok(Reply::Agent(id)) = rig.call(&Call::Fork(parent, spec)) {
                        born.push((id, spec, told));
                    }
                }
                Act::Kill { which } if living > 0 => {
                    let (id, spec, _) = &born[which % living];
                    if rig.call(&Call::Kill(*id)).is_ok() {
                        killed.push(spec.tag);
                    }
                }
                Act::Suspend { which } if living > 0 => drop(rig.call(&Call::Suspend(born[which % living].0))),
                Act::Resume { which } if living > 0 => drop(rig.call(&Call::Resume(born[which % living].0))),
                Act::Ticks { count } => (0..count).for_each(|_| {
                    if rig.tick() == Tick::DeviceLost {
                        rig.device.forget();
                        rig.kernel.device_restored();
                    }
                }),
                Act::Hitch { kind } => rig.device.hitches.push_back(match kind {
                    0 => Hitch::Pending,
                    1 => Hitch::Fails(DeviceError::Lost),
                    2 => Hitch::NotANumber,
                    _ => Hitch::Fails(DeviceError::Hung),
                }),
                _ => (),
            }
        }
        rig.device.hitches.clear();
        rig.run();
        for (id, _, _) in &born {
            let _ = rig.call(&Call::Resume(*id));
        }
        rig.run();
        for (id, spec, tokens) in &born {
            let text = rig.texts.get(&spec.tag).cloned().unwrap_or_default();
            let expected = alone(spec, tokens);
            let faulted = rig.kernel.agents().any(|rcb| rcb.id == *id && matches!(rcb.state, State::Faulted(_)));
            if killed.contains(&spec.tag) || faulted {
                prop_assert!(expected.starts_with(&text));
            } else {
                prop_assert_eq!(text, expected, "agent {}", id);
            }
        }
    }
}
