"""Makes the seed corpus from the parser's fixture, without any package.

    python make_corpus.py ../tests/fixtures/types.gguf corpus/parse

The fixture itself, cuts of it, and small files of one idea each, so that the fuzzer begins on both
sides of most checks.
"""

import struct
import sys
from pathlib import Path

TEXT, ARRAY, U32, U8 = 8, 9, 4, 0


def text(value):
    return struct.pack("<Q", len(value)) + value


def pair(key, kind, value):
    return text(key) + struct.pack("<I", kind) + value


def array(kind, count, elements):
    return struct.pack("<IQ", kind, count) + elements


def tensor(name, dims, kind, offset):
    dims = struct.pack(f"<I{len(dims)}Q", len(dims), *dims)
    return text(name) + dims + struct.pack("<IQ", kind, offset)


def file(pairs=(), tensors=(), data=0, version=3, alignment=32):
    head = b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(pairs))
    head += b"".join(pairs) + b"".join(tensors)
    return head + bytes(-len(head) % alignment + data if data else 0)


def seeds(fixture):
    yield "fixture", fixture
    for cut in (3, 20, 24, 300, 1000, 1500, 2000, 4000):
        yield f"cut_{cut}", fixture[:cut]
    yield "empty_v2", file(version=2)
    yield "empty_v3", file()
    yield "big_endian", b"GGUF" + struct.pack(">IQQ", 3, 0, 0)
    architecture = pair(b"general.architecture", TEXT, text(b"llama"))
    blocks = pair(b"llama.block_count", U32, struct.pack("<I", 2))
    yield "pairs", file([architecture, blocks])
    yield "duplicate_keys", file([blocks, blocks])
    yield "alignment_8", file(
        [pair(b"general.alignment", U32, struct.pack("<I", 8))],
        [tensor(b"a", [3], 0, 0), tensor(b"b", [1, 2], 1, 16)],
        20,
        alignment=8,
    )
    yield "texts", file([pair(b"t", ARRAY, array(TEXT, 3, text(b"a") + text(b"") + text(b"bc")))])
    nested = array(U8, 2, b"\1\2")
    for depth in range(2, 6):
        nested = array(ARRAY, 1, nested)
        yield f"nested_{depth}", file([pair(b"n", ARRAY, nested)])
    yield "giant_array", file([pair(b"g", ARRAY, array(TEXT, 2**61, b""))])
    yield "tensors", file([architecture], [tensor(b"a", [32, 2], 8, 0), tensor(b"b", [1], 0, 96)], 100)
    yield "overlap", file([], [tensor(b"a", [32, 2], 8, 0), tensor(b"b", [1], 0, 64)], 100)
    yield "duplicate_tensors", file([], [tensor(b"a", [1], 0, 0), tensor(b"a", [1], 0, 32)], 36)
    yield "unknown_type", file([], [tensor(b"a", [256], 11, 0)], 256)


def main(fixture, folder):
    for name, content in seeds(fixture.read_bytes()):
        (folder / f"{name}.gguf").write_bytes(content)


main(Path(sys.argv[1]), Path(sys.argv[2]))
