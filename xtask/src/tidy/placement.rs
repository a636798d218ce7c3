//! Where `unsafe` may be: in SIMD kernels, and in the glue to threads, drivers, memory maps and allocators.

use super::Finding;
use super::code::{code_only, lines_with_word};

/// Files, and folders with all their files.
const HOMES: [&str; 8] = [
    "hal/cpu/src/simd/",
    "hal/cpu/src/pool.rs",
    "hal/opencl/src/driver.rs",
    "hosts/desktop/src/heap.rs",
    "hosts/desktop/src/map.rs",
    // A test that counts allocations has to be the program's allocator.
    "hosts/desktop/tests/alloc_support/",
    // A test that reads what defmt logs has to be the program's logger.
    "kernel/tests/logging.rs",
    // A program without a C library brings what one would.
    "xtask/freestanding/linux.rs",
];

/// Looks for `unsafe` in Rust code.
pub fn check(path: &str, text: &str) -> Vec<Finding> {
    let home = HOMES.iter().any(|home| path.starts_with(home));
    if !path.ends_with(".rs") || home {
        return Vec::new();
    }
    let what = format!("`unsafe` belongs to {} or the tests' allocator.rs", HOMES.join(", "));
    let lines = lines_with_word(&code_only(text), "unsafe");
    lines.into_iter().map(|line| Finding::at(path, line, what.as_str())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_planted_block_is_found_where_it_does_not_belong() {
        let text = "//! Not unsafe.\nfn f() {\n    unsafe { g() }\n}\n";
        assert_eq!(check("kernel/src/pool.rs", text)[0].line, Some(3));
        assert_eq!(check("hal/cpu/src/device.rs", text).len(), 1);
        for home in ["hal/cpu/src/simd/avx2.rs", "hal/cpu/src/pool.rs", "hosts/desktop/src/map.rs"] {
            assert_eq!(check(home, text), []);
        }
        assert_eq!(check("hosts/desktop/tests/alloc_support/mod.rs", text), []);
        assert_eq!(check("hosts/desktop/tests/cli.rs", text).len(), 1);
        assert_eq!(check("kernel/README.md", text), []);
    }
}
