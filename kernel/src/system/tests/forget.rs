//! Forgetting.

use super::*;

/// A listener that has answered once, and its slices' addresses.
fn listener(memory: MemoryMode) -> (Rig, AgentId) {
    let mut rig = Rig::new(CONFIG);
    let spec = Spec { on_end: OnEnd::Listen, memory, ..spec(1, 8) };
    let agent = rig.spawn(&spec, &prompt(3, 100));
    rig.run();
    (rig, agent)
}

fn selected(rig: &Rig, agent: AgentId) -> Vec<bool> {
    rig.kernel.table(usize::from(agent.index)).iter().map(|mapping| mapping.selected).collect()
}

/// What it says to a message.
fn says(rig: &mut Rig, agent: AgentId) -> Vec<u32> {
    let before = rig.texts[&1].len();
    rig.call(&Call::Send(agent, Tokens(&bytes(&[9, 8, 7])))).unwrap();
    rig.run();
    rig.texts[&1][before..].to_vec()
}

#[test]
fn a_bounded_agent_attends_no_more_to_what_it_forgets() {
    let memory = MemoryMode::Bounded { pages: 40, packed: false };
    let (mut rig, agent) = listener(memory);
    assert!(selected(&rig, agent).iter().all(|&selected| selected), "all of it fits");
    rig.call(&Call::Forget { agent, start: 0, end: 60 }).unwrap();
    let left = selected(&rig, agent);
    assert!(left[0] && !left[1], "but for the sink: {left:?}");
    let table = rig.kernel.table(usize::from(agent.index));
    let within = |entry: usize| table[entry].base > 0 && table[entry].base < 60;
    assert!((0..left.len()).all(|entry| left[entry] != within(entry)), "{left:?}");
    let forgetful = says(&mut rig, agent);
    let (mut rig, agent) = listener(memory);
    assert_ne!(says(&mut rig, agent), forgetful);
    // What is forgotten is decided by its tokens alone.
    let (mut rig, agent) = listener(memory);
    rig.spawn(&spec(2, 30), &prompt(5, 90));
    rig.call(&Call::Forget { agent, start: 0, end: 60 }).unwrap();
    assert_eq!(says(&mut rig, agent), forgetful);
}

#[test]
fn what_is_forgotten_stays_so_when_all_is_chosen_anew() {
    // It has read more than it may attend to, and goes on choosing.
    let memory = MemoryMode::Bounded { pages: 24, packed: false };
    let mut rig = Rig::new(CONFIG);
    let spec = Spec { context: 300, on_end: OnEnd::Listen, memory, ..spec(1, 8) };
    let agent = rig.spawn(&spec, &prompt(3, 200));
    rig.run();
    rig.call(&Call::Forget { agent, start: 8, end: 160 }).unwrap();
    says(&mut rig, agent);
    let table = rig.kernel.table(usize::from(agent.index));
    assert!(
        table
            .iter()
            .filter(|mapping| mapping.selected)
            .all(|mapping| mapping.base == 0 || mapping.base >= 160)
    );
    assert!(table.iter().any(|mapping| mapping.forgotten));
    rig.kernel.audit().unwrap();
}

#[test]
fn an_exact_agent_forgets_nothing() {
    let (mut rig, agent) = listener(MemoryMode::Exact);
    let refused = rig.call(&Call::Forget { agent, start: 0, end: 60 });
    assert_eq!(refused, Err(CallError::NotBounded { agent }));
    let said = says(&mut rig, agent);
    let (mut rig, agent) = listener(MemoryMode::Exact);
    assert_eq!(says(&mut rig, agent), said);
}

#[test]
fn what_is_pinned_of_a_range_is_let_go_with_that_range() {
    let pins = Config { pinned_pages: 20, l1_pages: 120, ..CONFIG };
    let mut rig = Rig::new(pins.checked());
    let budget = Budget { pinned_pages: 20, ..spec(1, 8).budget };
    let agent = rig.spawn(&Spec { on_end: OnEnd::Listen, budget, ..spec(1, 8) }, &prompt(3, 100));
    rig.run();
    let bases: Vec<u32> =
        rig.kernel.table(usize::from(agent.index)).iter().map(|mapping| mapping.base).collect();
    let amid = bases[2] + 2;
    rig.call(&Call::Pin { agent, start: amid, end: amid + 1, keep: true }).unwrap();
    let pinned = |rig: &Rig| rig.kernel.agents().next().unwrap().pinned;
    assert!(pinned(&rig) > 0);
    rig.call(&Call::Pin { agent, start: amid, end: amid + 1, keep: false }).unwrap();
    assert_eq!(pinned(&rig), 0);
}
