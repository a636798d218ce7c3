// The splits of a row's head put together, in order: one invocation an element of the context.

@group(1) @binding(0) var<storage, read> parts: array<f32>;
@group(1) @binding(1) var<storage, read_write> context: array<f32>;
@group(1) @binding(2) var<storage, read_write> totals: array<vec4<f32>>;

@compute @workgroup_size(64)
fn reduce(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= HEADS * HEAD_DIM || id.y >= step[ROWS] {
        return;
    }
    let head = id.x / HEAD_DIM;
    let dim = id.x % HEAD_DIM;
    let splits = (row_at(id.y).pages + SPLIT_PAGES - 1u) / SPLIT_PAGES;
    if splits == 1u {
        return;
    }
    var greatest = parts[part_of(id.y, head, 0u)];
    for (var split = 1u; split < splits; split++) {
        greatest = max(greatest, parts[part_of(id.y, head, split)]);
    }
    var total = 0.0;
    var weighted = 0.0;
    var sum = 0.0;
    for (var split = 0u; split < splits; split++) {
        let part = part_of(id.y, head, split);
        let below = parts[part] - greatest;
        let shrink = exp_of(below);
        total = fma(shrink, parts[part + 1u], total);
        weighted = fma(shrink, fma(below, parts[part + 1u], parts[part + 2u]), weighted);
        sum = fma(shrink, parts[part + 4u + dim], sum);
    }
    context[id.y * QUERY_STRIDE + id.x] = sum / total;
    if dim == 0u {
        totals[id.y * HEADS + head] = totals_of(greatest, total, weighted);
    }
}
