"""llama.cpp at the works of `agentos bench`, through its Python package's C interface.

    peer.py prepare MODEL FOLDER      make FOLDER/q4_0.gguf and FOLDER/f32.gguf from MODEL
    peer.py version                   the package's version
    peer.py ask MODEL THREADS FILE TOKENS
                                      one JSON object: see peer_knowledge.py
    peer.py run MODEL WORK THREADS RUNS
                                      one JSON object: work, threads, samples (tokens per second; ms for
                                      first_token), or figures by name for the works of peer_agents.py

The set-up is the one that serves llama.cpp best: flash attention, keys and values in half precision,
memory map, physical batches of 512.
"""

import ctypes
import json
import os
import sys
import time

import peer_agents
import peer_knowledge

WORKS = {
    # contexts, depth, tokens, chunk: as in hosts/desktop/src/bench/mod.rs
    "prefill": (1, 0, 512, 512),
    "decode": (1, 0, 128, 1),
    "deep": (1, 2048, 64, 1),
    "batch1": (1, 16, 64, 1),
    "batch4": (4, 16, 64, 1),
    "batch8": (8, 16, 64, 1),
    "batch16": (16, 16, 64, 1),
    "first_token": (1, 0, 30, 30),
}


def quiet():
    """The library writes a page of messages to file descriptor 2."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)


def prepare(llama, model, folder):
    os.makedirs(folder, exist_ok=True)
    f32, q4_0 = (os.path.join(folder, name) for name in ("f32.gguf", "q4_0.gguf"))
    for source, target, kind in (
        (model, f32, llama.LLAMA_FTYPE_ALL_F32),
        (f32, q4_0, llama.LLAMA_FTYPE_MOSTLY_Q4_0),
    ):
        if os.path.exists(target):
            continue
        params = llama.llama_model_quantize_default_params()
        params.ftype = kind
        params.allow_requantize = True
        part = target + ".part"
        if llama.llama_model_quantize(source.encode(), part.encode(), ctypes.byref(params)) != 0:
            sys.exit(f"llama.cpp could not make {target}")
        os.rename(part, target)


class Context:
    def __init__(self, llama, model, contexts, tokens, threads, batch=512):
        self.llama = llama
        params = llama.llama_model_default_params()
        params.n_gpu_layers = 0
        self.model = llama.llama_model_load_from_file(model.encode(), params)
        if not self.model:
            sys.exit(f"llama.cpp could not load {model}")
        self.vocab = llama.llama_vocab_n_tokens(llama.llama_model_get_vocab(self.model))
        params = llama.llama_context_default_params()
        params.n_ctx = contexts * ((tokens + 255) // 256 * 256)
        params.n_batch = max(batch, contexts)
        params.n_ubatch = 512
        params.n_seq_max = contexts
        params.n_threads = threads
        params.n_threads_batch = threads
        if hasattr(params, "flash_attn_type"):
            params.flash_attn_type = 1
        else:
            params.flash_attn = True
        self.context = llama.llama_init_from_model(self.model, params)
        if not self.context:
            sys.exit("llama.cpp could not make a context")
        self.batch = llama.llama_batch_init(batch, 0, 1)

    def reset(self):
        llama = self.llama
        if hasattr(llama, "llama_memory_clear"):
            llama.llama_memory_clear(llama.llama_get_memory(self.context), True)
        else:
            llama.llama_kv_self_clear(self.context)

    def step(self, contexts, position, tokens, want):
        batch, at = self.batch, 0
        for sequence in range(contexts):
            for index in range(tokens):
                address = position + index
                batch.token[at] = (address * 2654435761 % 2**32) % self.vocab
                batch.pos[at] = address
                batch.n_seq_id[at] = 1
                batch.seq_id[at][0] = sequence
                batch.logits[at] = want and index + 1 == tokens
                at += 1
        batch.n_tokens = at
        if self.llama.llama_decode(self.context, batch) != 0:
            sys.exit("llama.cpp failed a batch")
        if want:
            self.llama.llama_get_logits_ith(self.context, -1)

    def sample(self, contexts, depth, tokens, chunk):
        self.reset()
        done = 0
        while done < depth:
            part = min(512 // contexts, depth - done)
            self.step(contexts, done, part, False)
            done += part
        start, done = time.perf_counter(), 0
        while done < tokens:
            part = min(chunk, tokens - done)
            done += part
            self.step(contexts, depth + done - part, part, chunk == 1 or done == tokens)
        return contexts * tokens / (time.perf_counter() - start)


def first_token(llama, model, threads):
    """From an empty process with the library loaded to the first token, in milliseconds."""
    start = time.perf_counter()
    contexts, depth, tokens, chunk = WORKS["first_token"]
    Context(llama, model, contexts, depth + tokens, threads).sample(contexts, depth, tokens, chunk)
    return 1e3 * (time.perf_counter() - start)


def run(llama, model, work, threads, runs):
    contexts, depth, tokens, chunk = WORKS[work]
    llama.llama_backend_init()
    if work == "first_token":
        return [first_token(llama, model, threads) for _ in range(runs)]
    context = Context(llama, model, contexts, depth + tokens, threads)
    samples = [context.sample(contexts, depth, tokens, chunk) for _ in range(runs)]
    return samples[1:] if runs > 1 else samples


def main():
    command, *rest = sys.argv[1:]
    import llama_cpp

    if command == "version":
        print(llama_cpp.__version__)
        return
    quiet()
    if command == "prepare":
        prepare(llama_cpp, *rest)
    elif command == "ask":
        model, threads, path, most = rest[0], int(rest[1]), rest[2], int(rest[3])
        llama_cpp.llama_backend_init()
        make = lambda contexts, tokens, batch: Context(llama_cpp, model, contexts, tokens, threads, batch)
        print(json.dumps(peer_knowledge.ask(make, llama_cpp, path, most)))
    else:
        model, work, threads, runs = rest[0], rest[1], int(rest[2]), int(rest[3])
        answer = {"work": work, "threads": threads}
        if work in peer_agents.WORKS:
            llama_cpp.llama_backend_init()
            make = lambda contexts, tokens, batch: Context(llama_cpp, model, contexts, tokens, threads, batch)
            answer["figures"] = peer_agents.WORKS[work](make, llama_cpp)
        else:
            answer["samples"] = run(llama_cpp, model, work, threads, runs)
        print(json.dumps(answer))


main()
