//! What the kernel logs by `defmt` leaves the program. `cargo xtask test` builds this with every level of
//! log and links it with `logging.x`; without that script it does not link.

use std::sync::Mutex;

use agentos_hal::{DeviceError, PageError, PageId, StepFault, SubmitError};
use agentos_kernel::agent::{AgentId, Fault};
use agentos_kernel::event::{Event, EventRing, VACANT_RECORD};
use agentos_kernel::interrupt::{QueueFull, VectorId};

/// A logger that keeps whole frames. Everything below runs in one thread.
#[defmt::global_logger]
struct Frames;

/// Whole frames, and the one that is being written.
static FRAMES: Mutex<(Vec<Vec<u8>>, Vec<u8>)> = Mutex::new((Vec::new(), Vec::new()));

// SAFETY: the logger is a mutex that is taken for each call alone, so calls from anywhere are sound; that
// frames are whole is due to there being one test and one thread that logs.
unsafe impl defmt::Logger for Frames {
    fn acquire() {}

    unsafe fn flush() {}

    unsafe fn release() {
        let mut frames = FRAMES.lock().unwrap();
        let frame = std::mem::take(&mut frames.1);
        frames.0.push(frame);
    }

    unsafe fn write(bytes: &[u8]) {
        FRAMES.lock().unwrap().1.extend_from_slice(bytes);
    }
}

defmt::timestamp!("{=u32:us}", 7);

fn logged() -> Vec<Vec<u8>> {
    std::mem::take(&mut FRAMES.lock().unwrap().0)
}

fn holds(frame: &[u8], bytes: &[u8]) -> bool {
    frame.windows(bytes.len()).any(|window| window == bytes)
}

#[test]
fn events_and_errors_leave_as_frames() {
    let agent = AgentId { index: 0x1234, generation: 0x5678_9abc };
    let agent_bytes = [0x34, 0x12, 0xbc, 0x9a, 0x78, 0x56];
    let mut records = [VACANT_RECORD; 2];
    let mut ring = EventRing::new(&mut records);
    ring.push(0, Event::Killed { agent });
    ring.push(1, Event::Faulted { agent, fault: Fault::PagesLost });
    ring.push(2, Event::Token { agent, address: 0, token: 0x0abb_ccdd, logit: 0.0, logprob: 0.0 });
    let frames = logged();
    assert_eq!(frames.len(), 3, "{frames:x?}");
    assert!(frames.iter().all(|frame| holds(frame, &7u32.to_le_bytes())), "{frames:x?}");
    assert!(frames.iter().all(|frame| holds(frame, &agent_bytes)), "{frames:x?}");
    assert!(holds(&frames[2], &0x0abb_ccddu32.to_le_bytes()), "{frames:x?}");

    ring.pop();
    let lost = logged();
    assert_eq!(lost.len(), 1);
    assert!(holds(&lost[0], &1u64.to_le_bytes()), "{lost:x?}");

    let page = PageId(0x0102_0304);
    defmt::error!("{}", StepFault::Page { page });
    defmt::error!("{}", QueueFull { vector: VectorId::Shutdown });
    let errors = logged();
    assert_eq!(errors.len(), 2);
    assert!(holds(&errors[0], &page.0.to_le_bytes()), "{errors:x?}");
    // Frames name their texts by number: two texts, two numbers.
    assert_ne!(errors[0][..2], frames[0][..2]);
    defmt::error!("{} {} {}", None::<DeviceError>, None::<PageError>, None::<SubmitError>);
    assert_eq!(logged().len(), 1);
}
