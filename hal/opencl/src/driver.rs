//! The OpenCL driver behind safe calls; all `unsafe` of this crate is here. Three things make them safe:
//!
//! * Transfers block, so that no slice is read or written after the call that lent it.
//! * Memory is made full of zeros, and a transfer that leaves it is refused by the driver.
//! * Kernels come from this crate alone. They index with tables made from a step that `Step::check` passed, into
//!   memory that `Machine` made for the worst step. Memory that a kernel under way uses is kept by the driver
//!   until it is done, even if we drop it.

use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ptr;
use std::sync::OnceLock;

use agentos_hal::DType;
use bytemuck::Pod;
use opencl3::command_queue::CommandQueue;
use opencl3::context::Context;
use opencl3::device::{CL_DEVICE_TYPE_ALL, CL_DEVICE_TYPE_GPU, Device};
use opencl3::error_codes::{CL_PLATFORM_NOT_FOUND_KHR, ClError, DLOPEN_RUNTIME_LOAD_FAILED};
use opencl3::event::{CL_COMPLETE, Event};
use opencl3::kernel::Kernel;
use opencl3::memory::{Buffer, CL_MEM_READ_WRITE, ClMem};
use opencl3::platform::get_platforms;
use opencl3::program::Program;
use opencl3::types::CL_BLOCKING;

use crate::error::OpenError;

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
    context: Context,
    program: Program,
}

/// The driver, opened by the first call.
pub fn driver() -> Result<&'static Driver, OpenError> {
    static DRIVER: OnceLock<Result<Driver, OpenError>> = OnceLock::new();
    DRIVER.get_or_init(Driver::open).as_ref().map_err(OpenError::clone)
}

impl Driver {
    fn open() -> Result<Driver, OpenError> {
        let device = choose()?;
        let failed = |what| move |error: ClError| OpenError::Driver { what, code: error.0 };
        let name = device.name().map_err(failed("to name a device"))?;
        let context = Context::from_device(&device).map_err(failed("to make a context"))?;
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
            program,
        })
    }
}

/// The first graphics card that would do, else the first device.
fn choose() -> Result<Device, OpenError> {
    let platforms = get_platforms().map_err(|error| match error.0 {
        DLOPEN_RUNTIME_LOAD_FAILED => OpenError::NoLoader,
        CL_PLATFORM_NOT_FOUND_KHR => OpenError::NoDevice,
        code => OpenError::Driver { what: "to list its platforms", code },
    })?;
    let mut unfit = OpenError::NoDevice;
    for kind in [CL_DEVICE_TYPE_GPU, CL_DEVICE_TYPE_ALL] {
        // A platform without such a device answers with an error.
        let devices = platforms.iter().filter_map(|platform| platform.get_devices(kind).ok()).flatten();
        for device in devices.map(Device::new) {
            match lack(&device) {
                Ok(None) => return Ok(device),
                Ok(Some(lacks)) => {
                    unfit = OpenError::Unfit { device: device.name().unwrap_or_default(), lacks }
                }
                Err(ClError(code)) => unfit = OpenError::Driver { what: "to describe a device", code },
            }
        }
    }
    Err(unfit)
}

fn lack(device: &Device) -> Result<Option<&'static str>, ClError> {
    const ATOMICS: &str = "cl_khr_int64_base_atomics";
    let has_atomics = device.extensions()?.split_whitespace().any(|name| name == ATOMICS);
    Ok([
        (device.available()?, "time for us"),
        (device.compiler_available()?, "compiler"),
        (device.endian_little()?, "little-endian memory"),
        (has_atomics, ATOMICS),
    ]
    .into_iter()
    .find_map(|(has, what)| (!has).then_some(what)))
}

/// Device memory of `T`s.
pub struct Memory<T>(Buffer<u8>, PhantomData<T>);

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
        Arg::Memory(&memory.0)
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
    queue: CommandQueue,
    kernels: Vec<Kernel>,
    context: &'static Context,
}

impl Queue {
    pub fn new(driver: &'static Driver) -> Result<Queue, ClError> {
        let (context, device) = (&driver.context, driver.device.id());
        let kernels = NAMES.iter().map(|name| Kernel::create(&driver.program, name));
        let kernels = kernels.collect::<Result<_, _>>()?;
        // SAFETY: context and device live as long as the process; no property is asked for.
        let queue = unsafe { CommandQueue::create(context, device, 0)? };
        Ok(Queue { queue, kernels, context })
    }

    /// Memory full of zeros; of no elements too, which OpenCL has not.
    pub fn memory<T: Pod>(&self, count: usize) -> Result<Memory<T>, ClError> {
        let bytes = count.max(1) * size_of::<T>();
        // SAFETY: there is no host memory that it would have to be made from.
        let mut buffer = unsafe { Buffer::create(self.context, CL_MEM_READ_WRITE, bytes, ptr::null_mut())? };
        // SAFETY: the driver copies the pattern during the call, and the range is the whole buffer.
        unsafe { self.queue.enqueue_fill_buffer(&mut buffer, &[0], 0, bytes, &[])? };
        Ok(Memory(buffer, PhantomData))
    }

    /// Writes elements from `first` on.
    pub fn write<T: Pod>(&self, to: &mut Memory<T>, first: usize, data: &[T]) -> Result<(), ClError> {
        if !data.is_empty() {
            let (offset, data) = (first * size_of::<T>(), bytemuck::cast_slice(data));
            // SAFETY: the write is done when the call returns.
            unsafe { self.queue.enqueue_write_buffer(&mut to.0, CL_BLOCKING, offset, data, &[])? };
        }
        Ok(())
    }

    /// Reads elements from `first` on.
    pub fn read<T: Pod>(&self, from: &Memory<T>, first: usize, data: &mut [T]) -> Result<(), ClError> {
        if !data.is_empty() {
            let (offset, data) = (first * size_of::<T>(), bytemuck::cast_slice_mut(data));
            // SAFETY: the read is done when the call returns.
            unsafe { self.queue.enqueue_read_buffer(&from.0, CL_BLOCKING, offset, data, &[])? };
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
        // A second handle to the same memory: it is released with the first, so that it must not drop.
        let source = ManuallyDrop::new(Buffer::new(memory.0.get()));
        let size = size_of::<T>();
        // SAFETY: both handles are valid here; the driver refuses ranges that overlap or leave the memory.
        unsafe {
            self.queue.enqueue_copy_buffer(
                &source,
                &mut memory.0,
                from * size,
                to * size,
                count * size,
                &[],
            )?
        };
        Ok(())
    }

    /// Runs a kernel over so many work items; it does nothing where there are none.
    pub fn launch(&self, kind: Kind, args: &[Arg<'_>], items: [usize; 3]) -> Result<(), ClError> {
        if items.contains(&0) {
            return Ok(());
        }
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
        unsafe {
            let (global, local) = (global.as_ptr(), local.as_ptr());
            self.queue.enqueue_nd_range_kernel(kernel.get(), 3, ptr::null(), global, local, &[])?
        };
        Ok(())
    }

    /// Sends everything off; the event happens when all of it is done.
    pub fn submit(&self) -> Result<Event, ClError> {
        // SAFETY: it waits for no list of events.
        let event = unsafe { self.queue.enqueue_marker_with_wait_list(&[])? };
        self.queue.flush()?;
        Ok(event)
    }
}

/// Whether what the event stands for is done.
pub fn is_done(event: &Event) -> Result<bool, ClError> {
    let status = event.command_execution_status()?.0;
    if status < 0 { Err(ClError(status)) } else { Ok(status == CL_COMPLETE) }
}
