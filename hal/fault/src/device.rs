//! The wrapper: what every call does before and after it reaches the wrapped device.

use core::task::Poll;

use agentos_hal::device::PageSummary;
use agentos_hal::late::Outstanding;
use agentos_hal::{
    Caps, DeviceError, Footprint, LateMasks, Limits, MaskError, ModelShape, PageError, PageId, PrepareError,
    Prepared, Program, Step, StepFault, StepReport, SubmitError, TensorDevice, WeightSource, page,
};

use crate::injected::Injected;
use crate::plan::{CopyFault, FaultPlan, StepInjury};
use crate::poison::{Poison, poisoned};
use crate::scratch::Scratch;

/// A tensor device that fails as a plan says.
///
/// A step that is to fail is checked, accepted and never computed. After a loss every call says
/// `NotPrepared` (`poll`: `Idle`) until `prepare`; where the plan can lose the device, `prepare` fills
/// page memory with NaN, so that nobody reads on from what was there.
pub struct FaultDevice<'m, D> {
    inner: D,
    plan: FaultPlan<'m>,
    scratch: Scratch<'m>,
    /// What was prepared; without it calls go through as they come.
    prepared: Option<Prepared>,
    state: State,
    copying: Option<Copying>,
    submits: u64,
    copies: u64,
    injected: Injected,
}

#[derive(Clone, Copy)]
enum State {
    /// No step is under way.
    Resting,
    /// The wrapped device has a step.
    Running { delay: u32, poison: Option<Poison> },
    /// A step was accepted that nobody computes.
    Failing { delay: u32, error: DeviceError, outstanding: Outstanding },
    /// The device has to be prepared again.
    Lost,
}

/// A page operation that began.
#[derive(Clone, Copy)]
struct Copying {
    call: Call,
    delay: u32,
    fault: Option<CopyFault>,
}

/// A page operation that may take several calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Call {
    Out(PageId),
    In(PageId),
    Summarise(PageId),
}

/// Calls that erasing a page may take before the device counts as hung.
const PATIENCE: u32 = 100_000_000;

impl<'m, D: TensorDevice> FaultDevice<'m, D> {
    /// Wraps a device.
    ///
    /// # Panics
    /// When the plan's odds for one step or page operation are more than 1000 per mille together.
    pub fn new(inner: D, plan: FaultPlan<'m>, scratch: Scratch<'m>) -> FaultDevice<'m, D> {
        assert!(plan.is_sound(), "odds are at most 1000 per mille together: {plan:?}");
        FaultDevice {
            inner,
            plan,
            scratch,
            prepared: None,
            state: State::Resting,
            copying: None,
            submits: 0,
            copies: 0,
            injected: Injected::default(),
        }
    }

    /// Goes on by another plan. What was already decided of a step or page operation under way stays.
    /// A plan that can lose the device, or falsify reports, where the one before could not, needs
    /// [`TensorDevice::prepare`] first: memory is checked and erased there.
    ///
    /// # Panics
    /// As [`FaultDevice::new`].
    pub fn set_plan(&mut self, plan: FaultPlan<'m>) {
        assert!(plan.is_sound(), "odds are at most 1000 per mille together: {plan:?}");
        self.plan = plan;
    }

    /// What was done so far.
    pub const fn injected(&self) -> Injected {
        self.injected
    }

    /// A page operation that may be pending: begun by a draw, or gone on with.
    fn copy(
        &mut self,
        call: Call,
        act: impl FnOnce(&mut D) -> Poll<Result<(), PageError>>,
    ) -> Poll<Result<(), PageError>> {
        match self.state {
            State::Lost => return Poll::Ready(Err(PageError::NotPrepared)),
            State::Failing { .. } => return Poll::Ready(Err(PageError::Busy)),
            State::Running { .. } => return act(&mut self.inner),
            State::Resting if self.prepared.is_none() => return act(&mut self.inner),
            State::Resting => (),
        }
        let mut copying = self.copying.take().unwrap_or_else(|| {
            let fate = self.plan.copy(self.copies);
            self.copies += 1;
            Copying { call, delay: fate.delay_calls, fault: fate.fault }
        });
        let pending = copying.call;
        assert!(pending == call, "{pending:?} is pending and is to be called again, not {call:?}");
        if copying.delay > 0 {
            copying.delay -= 1;
            self.injected.pending_copies += 1;
            self.copying = Some(copying);
            return Poll::Pending;
        }
        if let Some(fault) = copying.fault {
            return Poll::Ready(Err(self.copy_fails(fault)));
        }
        let result = act(&mut self.inner);
        match result {
            Poll::Pending => self.copying = Some(copying),
            Poll::Ready(Err(PageError::Lost)) => self.state = State::Lost,
            Poll::Ready(_) => (),
        }
        result
    }

    fn copy_fails(&mut self, fault: CopyFault) -> PageError {
        match fault {
            CopyFault::Refuse => {
                self.injected.refused_copies += 1;
                PageError::Busy
            }
            CopyFault::Lose => {
                self.injected.lost_copies += 1;
                self.state = State::Lost;
                PageError::Lost
            }
        }
    }

    fn step_fails(&mut self, error: DeviceError) {
        self.state = State::Resting;
        match error {
            DeviceError::Lost => {
                self.state = State::Lost;
                self.injected.lost_steps += 1;
            }
            DeviceError::Hung => self.injected.hung_steps += 1,
            DeviceError::NotFinite { .. } => self.injected.not_finite_steps += 1,
            DeviceError::Idle | DeviceError::OutOfMemory | DeviceError::Rejected => {
                panic!("no injury makes this: {error}")
            }
        }
    }

    /// Fills page memory with bytes that are NaN as keys and as values of any type.
    fn erase(&mut self, shape: &ModelShape, limits: &Limits) -> Result<(), DeviceError> {
        let image = &mut self.scratch.image[..page::image_bytes(shape, limits.kv)];
        image.fill(0xff);
        for page in (0..limits.pages).map(PageId) {
            let ready = (0..PATIENCE).find_map(|_| match self.inner.copy_in(page, image) {
                Poll::Ready(result) => Some(result),
                Poll::Pending => {
                    core::hint::spin_loop();
                    None
                }
            });
            ready.ok_or(DeviceError::Hung)?.map_err(|_| DeviceError::Lost)?;
        }
        Ok(())
    }

    /// What only this wrapper's faults need, behind the wrapped device's own preparation.
    fn make_ready(&mut self, shape: &ModelShape, limits: &Limits) -> Result<(), PrepareError> {
        self.scratch.check(&self.plan, shape, limits)?;
        if self.plan.loses() {
            self.erase(shape, limits).map_err(PrepareError::Device)?;
        }
        Ok(())
    }
}

/// How a step with these many rows is to fail, if its injury is a failure.
fn failure(injury: StepInjury, rows: usize) -> Option<DeviceError> {
    match injury {
        StepInjury::Lose => Some(DeviceError::Lost),
        StepInjury::Hang => Some(DeviceError::Hung),
        StepInjury::NotFinite { row } => {
            row.checked_rem(rows as u32).map(|row| DeviceError::NotFinite { row })
        }
        StepInjury::Refuse | StepInjury::Poison(_) => None,
    }
}

impl<D: TensorDevice> TensorDevice for FaultDevice<'_, D> {
    fn caps(&self) -> Caps {
        self.inner.caps()
    }

    fn prepare(
        &mut self,
        program: &Program,
        shape: &ModelShape,
        limits: &Limits,
        weights: &mut dyn WeightSource,
    ) -> Result<Footprint, PrepareError> {
        (self.prepared, self.state, self.copying) = (None, State::Resting, None);
        let footprint = self.inner.prepare(program, shape, limits, weights)?;
        if let Err(error) = self.make_ready(shape, limits) {
            // The wrapped device has a model, this one has none.
            self.state = State::Lost;
            return Err(error);
        }
        self.prepared = Some(Prepared { program: *program, shape: *shape, limits: *limits });
        Ok(footprint)
    }

    fn submit(&mut self, step: &Step<'_>) -> Result<(), SubmitError> {
        let prepared = match (self.state, self.prepared) {
            (State::Lost, _) => return Err(SubmitError::NotPrepared),
            (State::Failing { .. }, _) => return Err(SubmitError::Busy),
            (State::Resting, Some(prepared)) => prepared,
            _ => return self.inner.submit(step),
        };
        let fate = self.plan.step(self.submits);
        self.submits += 1;
        let delay = fate.delay_polls;
        if fate.injury == Some(StepInjury::Refuse) {
            self.injected.refused_submits += 1;
            return Err(SubmitError::Busy);
        }
        if let Some(error) = fate.injury.and_then(|injury| failure(injury, step.rows.len())) {
            step.check(&prepared.shape, &prepared.limits, &prepared.program)?;
            let refuses = self.inner.caps().late_masks == LateMasks::Refused;
            if let Some(mask) = step.late_masks().next().filter(|_| refuses) {
                return Err(StepFault::LateMask { mask: mask as u32 }.into());
            }
            self.state = State::Failing { delay, error, outstanding: Outstanding::of(step) };
            return Ok(());
        }
        self.inner.submit(step)?;
        let poison = match fate.injury {
            Some(StepInjury::Poison(poison)) => Some(poison),
            _ => None,
        };
        self.state = State::Running { delay, poison };
        Ok(())
    }

    fn allow(&mut self, mask: u16, words: &[u32]) -> Result<(), MaskError> {
        match (&mut self.state, &self.prepared) {
            (State::Lost, _) => Err(MaskError::Idle),
            (State::Failing { outstanding, .. }, Some(prepared)) => {
                outstanding.give(mask, words, &prepared.shape)
            }
            _ => self.inner.allow(mask, words),
        }
    }

    fn poll(&mut self) -> Poll<Result<StepReport<'_>, DeviceError>> {
        match &mut self.state {
            State::Lost => return Poll::Ready(Err(DeviceError::Idle)),
            State::Resting => return self.inner.poll(),
            State::Running { delay, .. } | State::Failing { delay, .. } if *delay > 0 => {
                *delay -= 1;
                self.injected.pending_polls += 1;
                return Poll::Pending;
            }
            _ => (),
        }
        if let State::Failing { error, .. } = self.state {
            self.step_fails(error);
            return Poll::Ready(Err(error));
        }
        let Poll::Ready(result) = self.inner.poll() else { return Poll::Pending };
        let before = core::mem::replace(&mut self.state, State::Resting);
        let report = match result {
            Ok(report) => report,
            Err(error) => {
                if matches!(error, DeviceError::Lost | DeviceError::OutOfMemory | DeviceError::Rejected) {
                    self.state = State::Lost;
                }
                return Poll::Ready(Err(error));
            }
        };
        let State::Running { poison: Some(poison), .. } = before else { return Poll::Ready(Ok(report)) };
        let falsified = poisoned(&report, poison, &mut self.scratch);
        self.injected.poisoned_reports += u64::from(falsified.is_some());
        Poll::Ready(Ok(falsified.unwrap_or(report)))
    }

    fn copy_out(&mut self, page: PageId, image: &mut [u8]) -> Poll<Result<(), PageError>> {
        self.copy(Call::Out(page), |inner| inner.copy_out(page, image))
    }

    fn copy_in(&mut self, page: PageId, image: &[u8]) -> Poll<Result<(), PageError>> {
        self.copy(Call::In(page), |inner| inner.copy_in(page, image))
    }

    fn copy_pages(&mut self, pairs: &[(PageId, PageId)]) -> Result<(), PageError> {
        match (self.state, self.prepared) {
            (State::Lost, _) => return Err(PageError::NotPrepared),
            (State::Failing { .. }, _) => return Err(PageError::Busy),
            (State::Resting, Some(_)) => (),
            _ => return self.inner.copy_pages(pairs),
        }
        let fate = self.plan.copy(self.copies);
        self.copies += 1;
        if let Some(fault) = fate.fault {
            return Err(self.copy_fails(fault));
        }
        let result = self.inner.copy_pages(pairs);
        if result == Err(PageError::Lost) {
            self.state = State::Lost;
        }
        result
    }

    fn summarise(
        &mut self,
        page: PageId,
        layer: u32,
        tokens: usize,
        summary: PageSummary<'_>,
    ) -> Poll<Result<(), PageError>> {
        self.copy(Call::Summarise(page), |inner| inner.summarise(page, layer, tokens, summary))
    }
}
