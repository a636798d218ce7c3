// Before anything is counted: the report's counters, and the masses of pages that begin anew.

@group(1) @binding(0) var<storage, read_write> report: array<u32>;
@group(1) @binding(1) var<storage, read_write> masses: array<u32>;

const PAGE_MASS_WORDS: u32 = 16u;

@compute @workgroup_size(64)
fn begin(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x < step[COUNTER_WORDS] {
        report[id.x] = 0u;
    }
    if id.x < step[ROWS] {
        let row = row_at(id.x);
        if row.place == 0u {
            for (var word = 0u; word < PAGE_MASS_WORDS; word++) {
                masses[row.page * PAGE_MASS_WORDS + word] = 0u;
            }
        }
    }
}
