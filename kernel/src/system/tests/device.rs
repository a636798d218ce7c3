//! Devices that fail, and what becomes of the agents on them.

use super::*;

#[test]
fn a_failed_step_is_tried_again_and_then_hits_only_the_guilty() {
    let mut rig = Rig::new(CONFIG);
    for tag in 0..3 {
        rig.spawn(&spec(tag, 15), &prompt(tag as u32, 30));
    }
    for hitch in [Hitch::Fails(DeviceError::Hung), Hitch::Pending, Hitch::NotANumber, Hitch::Pending] {
        rig.device.hitches.push_back(hitch);
        for _ in 0..12 {
            let _ = rig.tick();
        }
    }
    rig.run();
    for tag in 0..3 {
        assert_eq!(rig.texts[&tag], alone(&spec(tag, 15), &prompt(tag as u32, 30)));
    }
    let victim = rig.spawn(&spec(7, 15), &prompt(7, 30));
    rig.device.hitches.extend([Hitch::Fails(DeviceError::Hung), Hitch::Fails(DeviceError::Hung)]);
    rig.run();
    assert_eq!(rig.stat(victim).state, State::Faulted(Fault::Device));
}

#[test]
fn a_lost_device_costs_work_and_no_agent() {
    let mut rig = Rig::new(CONFIG);
    for tag in 0..5 {
        rig.spawn(&Spec { context: 160, ..spec(tag, 40) }, &prompt(tag as u32, 60));
    }
    for _ in 0..20 {
        let _ = rig.tick();
    }
    rig.device.hitches.push_back(Hitch::Fails(DeviceError::Lost));
    rig.run();
    for tag in 0..5 {
        assert_eq!(rig.texts[&tag], alone(&spec(tag, 40), &prompt(tag as u32, 60)));
    }
    assert!(rig.kernel.agents().any(|rcb| rcb.metrics.recomputed > 0));
}

#[test]
fn whoever_listens_says_nothing_more_when_the_device_is_lost() {
    let mut rig = Rig::new(CONFIG);
    let agent = rig.spawn(&Spec { on_end: OnEnd::Listen, ..spec(1, 10) }, &prompt(1, 20));
    rig.run();
    let told = rig.kernel.tokens(agent).to_vec();
    rig.spawn(&spec(2, 5), &prompt(2, 20));
    rig.device.hitches.push_back(Hitch::Fails(DeviceError::Lost));
    rig.run();
    assert_eq!(rig.kernel.tokens(agent), told);
    rig.call(&Call::Send(agent, Tokens(&bytes(&[5, 6, 7])))).unwrap();
    rig.run();
    let told = [&told[..], &[5, 6, 7]].concat();
    let answer = alone(&spec(1, 10), &told);
    assert_eq!(rig.kernel.tokens(agent), [told, answer].concat());
}
