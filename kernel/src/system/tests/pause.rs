//! Agents that are put aside, taken up again and killed, whatever is under way.

use super::*;

#[test]
fn an_agent_is_put_aside_between_any_two_ticks_and_says_the_same() {
    let agent_spec = spec(1, 6);
    let expected = alone(&agent_spec, &prompt(3, 70));
    let (mut resumed, mut ended) = (0, 0);
    for ticks in 0.. {
        let mut rig = Rig::new(CONFIG);
        let agent = rig.spawn(&agent_spec, &prompt(3, 70));
        rig.spawn(&spec(2, 20), &prompt(4, 90));
        rig.ticks(ticks);
        if let Err(error) = rig.call(&Call::Suspend(agent)) {
            assert_eq!(error, CallError::State { agent, state: rig.stat(agent).state });
            break;
        }
        rig.run();
        assert!(rig.ends.contains_key(&2), "the other goes on");
        let resumes = rig.call(&Call::Resume(agent));
        match rig.stat(agent).state {
            // The step that was under way had its last token.
            state @ State::Stopped(_) => {
                assert_eq!(resumes, Err(CallError::State { agent, state }));
                ended += 1;
            }
            _ => {
                assert_eq!(resumes, Ok(Reply::Done));
                assert!(!rig.ends.contains_key(&1), "it was put aside");
                rig.run();
                resumed += 1;
            }
        }
        assert_eq!(rig.texts[&1], expected, "after {ticks} ticks");
    }
    assert!(resumed > 6 && ended > 0, "{resumed} were resumed, {ended} had ended");
}

/// A system whose one agent is in a step that is under way.
fn under_way() -> (Rig, AgentId) {
    let mut rig = Rig::new(CONFIG);
    let agent = rig.spawn(&spec(1, 6), &prompt(3, 70));
    until_under_way(&mut rig, agent);
    (rig, agent)
}

fn until_under_way(rig: &mut Rig, agent: AgentId) {
    while rig.stat(agent).state != State::Running {
        rig.ticks(1);
    }
}

#[test]
fn nothing_undoes_a_kill() {
    type Attempt = fn(&mut Rig, AgentId) -> bool;
    let pause: Attempt = |rig, agent| rig.call(&Call::Suspend(agent)).is_ok();
    let resume: Attempt = |rig, agent| rig.call(&Call::Resume(agent)).is_ok();
    let fail: Attempt = |rig, _| {
        rig.device.hitches.push_back(Hitch::Fails(DeviceError::Hung));
        false
    };
    for (attempt, taken) in [(pause, true), (resume, false), (fail, false)] {
        let (mut rig, agent) = under_way();
        // Its step failed before: alone in the next that fails, it would be taken out of service.
        rig.device.hitches.push_back(Hitch::Fails(DeviceError::Hung));
        rig.ticks(1);
        until_under_way(&mut rig, agent);
        rig.call(&Call::Kill(agent)).unwrap();
        assert_eq!(attempt(&mut rig, agent), taken);
        rig.run();
        assert_eq!(rig.call(&Call::Stat(agent)), Err(CallError::NoAgent(agent)));
        assert!(rig.events.contains(&Event::Killed { agent }) && !rig.ends.contains_key(&1));
    }
}

#[test]
fn only_who_was_put_aside_is_taken_up() {
    let (mut rig, agent) = under_way();
    let refusal = CallError::State { agent, state: State::Running };
    assert_eq!(rig.call(&Call::Resume(agent)), Err(refusal));
    rig.call(&Call::Suspend(agent)).unwrap();
    assert_eq!(rig.call(&Call::Resume(agent)), Ok(Reply::Done));
    assert_eq!(rig.call(&Call::Resume(agent)), Err(refusal));
    rig.run();
    assert_eq!(rig.texts[&1], alone(&spec(1, 6), &prompt(3, 70)));
}
