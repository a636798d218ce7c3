@group(1) @binding(0) var<storage, read> weight: array<f32>;
@group(1) @binding(1) var<storage, read_write> out: array<f32>;

fn old(at: u32) -> f32 {
    return out[at];
}
