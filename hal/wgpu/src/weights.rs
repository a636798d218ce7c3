//! The weights of a program in device memory, each once.

use std::collections::{HashMap, HashSet};

use agentos_hal::quant::dequantise;
use agentos_hal::rope::MOST_PAIRS;
use agentos_hal::weight::rope_factors;
use agentos_hal::{
    DType, ModelShape, PrepareError, Program, Resource, TensorInfo, WeightError, WeightId, WeightRole,
    WeightSource,
};

use crate::fuse;
use crate::gpu::Gpu;
use crate::matmul::Weights;
use crate::shelf::{Shelf, Slot};

/// A weight on the device.
enum Stored {
    Matrix(Weights),
    /// Matrices that one dispatch multiplies with; under the name of the first.
    Fused(Weights),
    Vector(Slot),
}

/// All of them.
pub struct Store {
    stored: HashMap<WeightId, Stored>,
    shape: ModelShape,
    /// Divisors of the frequencies, one per pair, or none.
    pub factors: Vec<f32>,
}

/// What is said of a tensor: this backend has kernels for every type.
fn describe(shape: &ModelShape, source: &dyn WeightSource, id: WeightId) -> Result<TensorInfo, PrepareError> {
    id.describe(shape, source, &DType::ALL)
}

/// Bytes that all weights take on a device. Nothing is loaded.
///
/// # Errors
/// [`PrepareError::Weight`], [`PrepareError::Dims`].
pub fn bytes(
    gpu: &Gpu,
    program: &Program,
    shape: &ModelShape,
    source: &dyn WeightSource,
) -> Result<u64, PrepareError> {
    let mut sum = 0u64;
    program.for_each_tensor(shape, |id| {
        let info = describe(shape, source, id)?;
        let bytes = if id.role.is_vector() {
            Some(u64::from(info.cols) * 4)
        } else {
            Weights::bytes(&gpu.limits, &info)
        };
        sum += bytes.ok_or(WeightError::Unreadable(id))?;
        Ok::<(), PrepareError>(())
    })?;
    Ok(sum)
}

impl Store {
    /// Loads and packs all weights.
    ///
    /// # Errors
    /// [`PrepareError::Weight`], [`PrepareError::Dims`], [`PrepareError::TooLarge`].
    pub fn load(
        gpu: &Gpu,
        program: &Program,
        shape: &ModelShape,
        source: &mut dyn WeightSource,
    ) -> Result<Store, PrepareError> {
        let mut buffer = [1.0; MOST_PAIRS];
        let factors = rope_factors(shape, source, &mut buffer)?.to_vec();
        let mut store = Store { stored: HashMap::new(), shape: *shape, factors };
        let mut shelves = Shelves { layers: shape.layers, shelves: HashMap::new() };
        let fused = store.fuse(gpu, program, shape, &mut shelves, source)?;
        program.for_each_tensor(shape, |id| {
            if fused.contains(&id) {
                return Ok(());
            }
            describe(shape, source, id)?;
            let shelf = shelves.of(source, &[id], &fused);
            let tensor = source.load(id)?;
            let stored = if id.role.is_vector() {
                let mut numbers = vec![0.0; tensor.info.cols as usize];
                dequantise(tensor.info.dtype, tensor.bytes, &mut numbers);
                let slot = shelf.take(gpu, 4 * numbers.len() as u64)?;
                slot.write(gpu, 0, bytemuck::cast_slice(&numbers));
                Stored::Vector(slot)
            } else {
                Stored::Matrix(Weights::load(gpu, shelf, &tensor)?)
            };
            store.stored.insert(id, stored);
            source.release(id);
            if id.role == WeightRole::TokenEmbedding && shape.tied_embedding {
                source.release(WeightId { role: WeightRole::Output, layer: 0 });
            }
            // What was staged can go as soon as the copy is made.
            gpu.queue.submit([]);
            let _ = gpu.device.poll(wgpu::PollType::Poll);
            Ok::<(), PrepareError>(())
        })?;
        Ok(store)
    }

    /// Loads the matrices that dispatches share, and returns their names.
    fn fuse(
        &mut self,
        gpu: &Gpu,
        program: &Program,
        shape: &ModelShape,
        shelves: &mut Shelves,
        source: &mut dyn WeightSource,
    ) -> Result<HashSet<WeightId>, PrepareError> {
        let none = HashSet::new();
        let mut names = HashSet::new();
        for layer in 0..shape.layers {
            let name = |role| WeightId { role, layer };
            for gated in fuse::all_gated(program) {
                let ids = gated.weights.map(name);
                let infos = [describe(shape, source, ids[0])?, describe(shape, source, ids[1])?];
                if infos[0] == infos[1] {
                    let shelf = shelves.of(source, &ids, &none);
                    let weights = Weights::woven(gpu, shelf, infos[0])?;
                    names.extend(self.fill(gpu, source, weights, &ids)?);
                }
            }
            for stack in fuse::all_stacks(program) {
                let ids: Vec<WeightId> = stack.products.iter().map(|(role, _)| name(*role)).collect();
                let describe = |id: &WeightId| describe(shape, source, *id);
                let infos = ids.iter().map(describe).collect::<Result<Vec<_>, _>>()?;
                let shelf = shelves.of(source, &ids, &none);
                let alike = infos.iter().take_while(|info| info.dtype == infos[0].dtype).count();
                if alike > 1
                    && let Some(weights) = Weights::stacked(gpu, shelf, &infos[..alike])?
                {
                    names.extend(self.fill(gpu, source, weights, &ids[..alike])?);
                }
            }
            let _ = gpu.device.poll(wgpu::PollType::Poll);
        }
        Ok(names)
    }

    /// Loads matrices into the room that was made for them.
    fn fill(
        &mut self,
        gpu: &Gpu,
        source: &mut dyn WeightSource,
        weights: Weights,
        ids: &[WeightId],
    ) -> Result<Vec<WeightId>, PrepareError> {
        for (which, id) in ids.iter().enumerate() {
            weights.fill(gpu, which, &source.load(*id)?);
            source.release(*id);
        }
        self.stored.insert(ids[0], Stored::Fused(weights));
        Ok(ids.to_vec())
    }

    /// The matrices that a dispatch shares, if they could be fused: those of a layer that begin with this role.
    pub fn fused(&self, first: WeightRole, layer: u32) -> Option<&Weights> {
        match self.stored.get(&WeightId { role: first, layer })? {
            Stored::Fused(weights) => Some(weights),
            _ => None,
        }
    }

    fn get(&self, role: WeightRole, layer: Option<u32>) -> &Stored {
        let id = role.in_layer(layer).stored(&self.shape);
        self.stored.get(&id).expect("every weight that the program names was loaded")
    }

    /// The matrix that an instruction names in a layer.
    pub fn matrix(&self, role: WeightRole, layer: Option<u32>) -> &Weights {
        match self.get(role, layer) {
            Stored::Matrix(matrix) => matrix,
            _ => panic!("{role:?} is no plain matrix, and the verifier knows"),
        }
    }

    /// The vector that an instruction names in a layer.
    pub fn vector(&self, role: WeightRole, layer: Option<u32>) -> &Slot {
        match self.get(role, layer) {
            Stored::Vector(vector) => vector,
            _ => panic!("{role:?} is no vector, and the verifier knows"),
        }
    }
}

/// Shelves by the first of the tensors that are stored together, and the types of all.
struct Shelves {
    layers: u32,
    shelves: HashMap<(WeightRole, Vec<Option<DType>>), Shelf>,
}

impl Shelves {
    /// The shelf of these tensors of a layer, with room for all layers in which they are of the same types, but
    /// for those whose first is `elsewhere`.
    fn of(
        &mut self,
        source: &dyn WeightSource,
        ids: &[WeightId],
        elsewhere: &HashSet<WeightId>,
    ) -> &mut Shelf {
        let in_layer = |layer| move |id: &WeightId| WeightId { layer, ..*id };
        let types = |layer| {
            let dtype = |id| source.describe(id).map(|info| info.dtype);
            ids.iter().map(in_layer(layer)).map(dtype).collect::<Vec<_>>()
        };
        let WeightId { role, layer } = ids[0];
        let own = types(layer);
        let alike = |&other: &u32| !elsewhere.contains(&in_layer(other)(&ids[0])) && types(other) == own;
        let layers = layer..if role.per_layer() { self.layers } else { layer + 1 };
        let shelf = || Shelf::new(layers.filter(alike).count() as u32);
        self.shelves.entry((role, own.clone())).or_insert_with(shelf)
    }
}

/// A storage buffer of these numbers.
///
/// # Errors
/// As [`Gpu::buffer`].
pub fn upload(gpu: &Gpu, what: Resource, numbers: &[f32]) -> Result<wgpu::Buffer, PrepareError> {
    let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST;
    let buffer = gpu.buffer(what, 4 * numbers.len() as u64, usage)?;
    gpu.queue.write_buffer(&buffer, 0, bytemuck::cast_slice(numbers));
    Ok(buffer)
}
