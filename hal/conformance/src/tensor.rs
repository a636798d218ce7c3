//! Random weight tensors: any bytes that are a valid tensor of their type, with elements of a chosen
//! size.

use agentos_hal::quant::{Block, dequantise};
use agentos_hal::{DType, TensorInfo};
use half::{bf16, f16};

use crate::rng::Rng;

/// A tensor that owns its bytes.
#[derive(Clone)]
pub struct Owned {
    /// Type and size.
    pub info: TensorInfo,
    /// Row after row.
    pub bytes: Vec<u8>,
}

impl Owned {
    /// A tensor whose elements have about this standard deviation.
    pub fn random(dtype: DType, (rows, cols): (u32, u32), deviation: f32, rng: &mut Rng) -> Owned {
        let info = TensorInfo { dtype, rows, cols };
        let blocks = rows as usize * cols as usize / dtype.block_len();
        let mut bytes = Vec::with_capacity(blocks * dtype.block_bytes());
        for _ in 0..blocks {
            block(dtype, deviation, rng, &mut bytes);
        }
        assert_eq!(info.bytes(), Some(bytes.len() as u64), "{cols} columns are whole blocks of {dtype}");
        Owned { info, bytes }
    }

    /// An `F32` tensor of these numbers.
    pub fn of((rows, cols): (u32, u32), numbers: &[f32]) -> Owned {
        assert_eq!(numbers.len(), rows as usize * cols as usize);
        let bytes = numbers.iter().flat_map(|x| x.to_le_bytes()).collect();
        Owned { info: TensorInfo { dtype: DType::F32, rows, cols }, bytes }
    }

    /// One row as numbers.
    pub fn row(&self, row: u32) -> Vec<f32> {
        let mut out = vec![0.0; self.info.cols as usize];
        dequantise(self.info.dtype, self.row_bytes(row), &mut out);
        out
    }

    /// For each element of a row, the size of the numbers that a backend may handle on the way to it:
    /// |scale| · (|code| + zero point) + |minimum|. Rounding errors grow with it.
    pub fn row_magnitude(&self, row: u32) -> Vec<f64> {
        let dtype = self.info.dtype;
        let zero_point = match dtype {
            DType::Q4_0 => 8.0,
            DType::Q5_0 => 16.0,
            DType::Q6K => 32.0,
            DType::F32 | DType::F16 | DType::Bf16 => {
                return self.row(row).iter().map(|x| f64::from(x.abs())).collect();
            }
            _ => 0.0,
        };
        let blocks = self.row_bytes(row).chunks_exact(dtype.block_bytes());
        let elements = blocks.flat_map(|bytes| {
            let block = Block::decode(dtype, bytes);
            let element = move |i: usize| {
                let group = i / block.group;
                let code = f64::from(block.codes[i]).abs() + zero_point;
                let min = block.min.map_or(0.0, |min| f64::from(min[group].abs()));
                f64::from(block.scale[group].abs()) * code + min
            };
            (0..dtype.block_len()).map(element).collect::<Vec<_>>()
        });
        elements.collect()
    }

    fn row_bytes(&self, row: u32) -> &[u8] {
        let stride = self.bytes.len() / self.info.rows as usize;
        &self.bytes[row as usize * stride..][..stride]
    }
}

/// Appends one block with random codes and scales of a size that gives the deviation.
fn block(dtype: DType, deviation: f32, rng: &mut Rng, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend((0..dtype.block_bytes()).map(|_| rng.bits() as u8));
    let block = &mut out[start..];
    // Some blocks are louder than others, and a scale may be negative.
    let loudness = deviation * rng.real(0.5, 1.5) * if rng.one_in(4) { -1.0 } else { 1.0 };
    let mut half = |at: usize, x: f32| block[at..at + 2].copy_from_slice(&f16::from_f32(x).to_le_bytes());
    // The divisor is the deviation that the random codes have at scale 1.
    match dtype {
        DType::F32 => block.copy_from_slice(&rng.spread(deviation).to_le_bytes()),
        DType::F16 => half(0, rng.spread(deviation)),
        DType::Bf16 => block.copy_from_slice(&bf16::from_f32(rng.spread(deviation)).to_le_bytes()),
        DType::Q4_0 => half(0, loudness / 4.6),
        DType::Q5_0 => half(0, loudness / 9.2),
        DType::Q8_0 => half(0, loudness / 74.0),
        DType::Q6K => half(208, loudness / 1369.0),
        DType::Q4_1 => {
            half(0, loudness / 4.6);
            half(2, -7.5 * loudness / 4.6 * rng.real(0.8, 1.2));
        }
        DType::Q5_1 => {
            half(0, loudness / 9.2);
            half(2, -15.5 * loudness / 9.2 * rng.real(0.8, 1.2));
        }
        DType::Q4K => {
            half(0, loudness / 257.0);
            half(2, 7.5 * loudness / 257.0);
        }
        DType::Q5K => {
            half(0, loudness / 525.0);
            half(2, 15.5 * loudness / 525.0);
        }
    }
}
