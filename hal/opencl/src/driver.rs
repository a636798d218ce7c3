//! The OpenCL driver behind safe calls; all `unsafe` of this crate is here. Three things make them safe:
//!
//! * Transfers block, so that no slice is read or written after the call that lent it.
//! * Memory is made full of zeros, and a transfer that leaves it is refused by the driver.
//! * Kernels come from this crate alone. They index with tables made from a step that `Step::check` passed, into
//!   memory that `Machine` made for the worst step. Memory that a kernel under way uses is kept by the driver
//!   until it is done, even if we drop it.

use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ops::{Deref, DerefMut};
use std::ptr;
use std::sync::OnceLock;

use agentos_hal::DType;
use bytemuck::Pod;
use opencl3::command_queue::{CommandQueue, release_command_queue};
use opencl3::context::Context;
use opencl3::context::context::release_context;
use opencl3::device::Device;
use opencl3::error_codes::ClError;
use opencl3::event::{CL_COMPLETE, Event, release_event};
use opencl3::kernel::{Kernel, release_kernel};
use opencl3::memory::{Buffer, CL_MEM_READ_WRITE, ClMem, release_mem_object};
use opencl3::program::{Program, release_program};
use opencl3::types::CL_BLOCKING;

use crate::error::OpenError;
use crate::{failing, found};

/// All kernels, as one text: cl3 0.13 hands several over as if each `&str` were a plain pointer.
const SOURCE: &str = concat!(
    include_str!("kernels/weights.cl"),
    include_str!("kernels/rows.cl"),
    include_str!("kernels/attend.cl"),
    include_str!("kernels/head.cl"),
);

macro_rules! kernels {
    ($($kind:ident = $name:literal),* $(,)?) => {
        /// The kernels, in the order of `NAMES`.
        #[derive(Clone, Copy)]
        pub enum Kind { $($kind),* }

        const NAMES: &[&str] = &[$($name),*];
    };
}

kernels! {
    Begin = "begin", Embed = "embed", Norm = "norm", ProductOne = "product_one", ProductTile = "product_tile",
    Add = "add", Gate = "gate", Expose = "expose", RotateKeys = "rotate_keys", StoreKv = "store_kv",
    Scores = "scores", Shares = "shares", Values = "values", Entropy = "entropy",
    ReduceParts = "reduce_parts", ReduceRows = "reduce_rows",
}

/// Work items of a group.
const LANES: usize = 16;

/// The device with its context and the compiled kernels. A process has one.
pub struct Driver {
    pub name: String,
    pub units: u32,
    /// Bytes of memory, and of the largest buffer.
    pub memory_bytes: u64,
    pub buffer_bytes: u64,
    device: Device,
    context: Owned<Context>,
    program: Owned<Program>,
}

/// The driver, opened by the first call.
pub fn driver() -> Result<&'static Driver, OpenError> {
    static DRIVER: OnceLock<Result<Driver, OpenError>> = OnceLock::new();
    DRIVER.get_or_init(Driver::open).as_ref().map_err(OpenError::clone)
}

impl Driver {
    fn open() -> Result<Driver, OpenError> {
        let device = found::choose()?;
        let failed = |what| move |error: ClError| OpenError::Driver { what, code: error.0 };
        let name = device.name().map_err(failed("to name a device"))?;
        let context = Owned::new(Context::from_device(&device).map_err(failed("to make a context"))?);
        let options = DType::ALL.map(|dtype| format!("-D TYPE_{}={}", dtype.name(), dtype as u32)).join(" ");
        let program =
            Program::create_and_build_from_source(&context, SOURCE, &format!("-cl-std=CL1.2 {options}"))
                .map_err(|log| OpenError::Build { device: name.clone(), log })?;
        let size = |size: Result<u64, ClError>| size.map_err(failed("to tell its memory"));
        Ok(Driver {
            units: device.max_compute_units().map_err(failed("to count compute units"))?,
            memory_bytes: size(device.global_mem_size())?,
            buffer_bytes: size(device.max_mem_alloc_size())?,
            name,
            device,
            context,
            program: Owned::new(program),
        })
    }
}

/// What can be given back to the driver.
pub trait Release {
    /// Gives it back.
    ///
    /// # Safety
    /// It is not used any more, and not given back twice.
    unsafe fn release(&self) -> Result<(), ClError>;
}

macro_rules! released {
    ($($kind:ty => $release:path),* $(,)?) => {$(
        impl Release for $kind {
            unsafe fn release(&self) -> Result<(), ClError> {
                // SAFETY: the caller's promise is the one that OpenCL asks for.
                unsafe { $release(self.get()) }.map_err(ClError)
            }
        }
    )*};
}

released! {
    Buffer<u8> => release_mem_object, CommandQueue => release_command_queue, Context => release_context,
    Event => release_event, Kernel => release_kernel, Program => release_program,
}

/// Something of the driver's, given back when it goes. A driver whose device is lost may refuse even that, and
/// opencl3 would panic; nobody can do anything about it then.
pub struct Owned<T: Release>(ManuallyDrop<T>);

impl<T: Release> Owned<T> {
    fn new(thing: T) -> Owned<T> {
        Owned(ManuallyDrop::new(thing))
    }
}

impl<T: Release> Drop for Owned<T> {
    fn drop(&mut self) {
        // SAFETY: this owns it and goes now; what it wraps never drops.
        let _ = failing::check().and_then(|()| unsafe { self.0.release() });
    }
}

impl<T: Release> Deref for Owned<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: Release> DerefMut for Owned<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

/// Device memory of `T`s.
pub struct Memory<T>(Owned<Buffer<u8>>, PhantomData<T>);

/// An argument of a kernel.
pub enum Arg<'a> {
    Memory(&'a dyn ClMem),
    Word(u32),
    Float(f32),
    /// The kernels' structures of sizes.
    Sizes([u32; 8]),
}

impl<'a, T> From<&'a Memory<T>> for Arg<'a> {
    fn from(memory: &'a Memory<T>) -> Self {
        Arg::Memory(&*memory.0)
    }
}

impl From<u32> for Arg<'_> {
    fn from(word: u32) -> Self {
        Arg::Word(word)
    }
}

impl From<f32> for Arg<'_> {
    fn from(float: f32) -> Self {
        Arg::Float(float)
    }
}

impl From<[u32; 8]> for Arg<'_> {
    fn from(sizes: [u32; 8]) -> Self {
        Arg::Sizes(sizes)
    }
}

/// A queue of the driver's device, which works in order, and its kernels.
pub struct Queue {
    queue: Owned<CommandQueue>,
    kernels: Vec<Owned<Kernel>>,
    context: &'static Context,
}

impl Queue {
    pub fn new(driver: &'static Driver) -> Result<Queue, ClError> {
        let (context, device) = (&driver.context, driver.device.id());
        let kernels = NAMES.iter().map(|name| Kernel::create(&driver.program, name).map(Owned::new));
        let kernels = kernels.collect::<Result<_, _>>()?;
        // SAFETY: context and device live as long as the process; no property is asked for.
        let queue = unsafe { CommandQueue::create(context, device, 0)? };
        Ok(Queue { queue: Owned::new(queue), kernels, context })
    }

    /// Memory full of zeros; of no elements too, which OpenCL has not.
    pub fn memory<T: Pod>(&self, count: usize) -> Result<Memory<T>, ClError> {
        failing::check()?;
        let bytes = count.max(1) * size_of::<T>();
        // SAFETY: there is no host memory that it would have to be made from.
        let buffer = unsafe { Buffer::create(self.context, CL_MEM_READ_WRITE, bytes, ptr::null_mut())? };
        let mut buffer = Owned::new(buffer);
        // SAFETY: the driver copies the pattern during the call, and the range is the whole buffer.
        forget(unsafe { self.queue.enqueue_fill_buffer(&mut buffer, &[0], 0, bytes, &[])? });
        Ok(Memory(buffer, PhantomData))
    }

    /// Writes elements from `first` on.
    pub fn write<T: Pod>(&self, to: &mut Memory<T>, first: usize, data: &[T]) -> Result<(), ClError> {
        failing::check()?;
        if !data.is_empty() {
            let (offset, data) = (first * size_of::<T>(), bytemuck::cast_slice(data));
            // SAFETY: the write is done when the call returns.
            forget(unsafe { self.queue.enqueue_write_buffer(&mut to.0, CL_BLOCKING, offset, data, &[])? });
        }
        Ok(())
    }

    /// Reads elements from `first` on.
    pub fn read<T: Pod>(&self, from: &Memory<T>, first: usize, data: &mut [T]) -> Result<(), ClError> {
        failing::check()?;
        if !data.is_empty() {
            let (offset, data) = (first * size_of::<T>(), bytemuck::cast_slice_mut(data));
            // SAFETY: the read is done when the call returns.
            forget(unsafe { self.queue.enqueue_read_buffer(&from.0, CL_BLOCKING, offset, data, &[])? });
        }
        Ok(())
    }

    /// Copies `count` elements within a memory, from and to places that do not overlap.
    pub fn copy<T: Pod>(
        &self,
        memory: &mut Memory<T>,
        from: usize,
        to: usize,
        count: usize,
    ) -> Result<(), ClError> {
        failing::check()?;
        // A second handle to the same memory: it is released with the first, so that it must not drop.
        let source = ManuallyDrop::new(Buffer::new(memory.0.get()));
        let size = size_of::<T>();
        // SAFETY: both handles are valid here; the driver refuses ranges that overlap or leave the memory.
        let copied = unsafe {
            self.queue.enqueue_copy_buffer(
                &source,
                &mut memory.0,
                from * size,
                to * size,
                count * size,
                &[],
            )?
        };
        forget(copied);
        Ok(())
    }

    /// Runs a kernel over so many work items; it does nothing where there are none.
    pub fn launch(&self, kind: Kind, args: &[Arg<'_>], items: [usize; 3]) -> Result<(), ClError> {
        if items.contains(&0) {
            return Ok(());
        }
        failing::check()?;
        let kernel = &self.kernels[kind as usize];
        for (index, arg) in (0..).zip(args) {
            // SAFETY: the driver copies the argument and refuses one of another size; memory is of its context.
            unsafe {
                match arg {
                    Arg::Memory(memory) => kernel.set_arg(index, &memory.get())?,
                    Arg::Word(word) => kernel.set_arg(index, word)?,
                    Arg::Float(float) => kernel.set_arg(index, float)?,
                    Arg::Sizes(sizes) => kernel.set_arg(index, sizes)?,
                }
            }
        }
        let (global, local) = ([items[0].next_multiple_of(LANES), items[1], items[2]], [LANES, 1, 1]);
        // SAFETY: three sizes for three dimensions; what the kernel touches is said at the top.
        let launched = unsafe {
            let (global, local) = (global.as_ptr(), local.as_ptr());
            self.queue.enqueue_nd_range_kernel(kernel.get(), 3, ptr::null(), global, local, &[])?
        };
        forget(launched);
        Ok(())
    }

    /// Sends everything off; the event happens when all of it is done.
    pub fn submit(&self) -> Result<Owned<Event>, ClError> {
        failing::check()?;
        // SAFETY: it waits for no list of events.
        let event = Owned::new(unsafe { self.queue.enqueue_marker_with_wait_list(&[])? });
        self.queue.flush()?;
        Ok(event)
    }
}

/// Nobody waits for this event.
fn forget(event: Event) {
    drop(Owned::new(event));
}

/// Whether what the event stands for is done.
pub fn is_done(event: &Event) -> Result<bool, ClError> {
    failing::check()?;
    let status = event.command_execution_status()?.0;
    if status < 0 { Err(ClError(status)) } else { Ok(status == CL_COMPLETE) }
}
