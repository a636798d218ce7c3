"""llama.cpp at the works of `agentos bench` that concern many agents.

    swap      a sequence's state is saved, and restored: what its server's slot save and restore do without
              the file
    priority  a short prompt arrives while seven long ones are computed, batched as its server batches

There is no server in the Python package. What its scheduler (update_slots) does is short: before each
batch new requests go to idle slots; the batch takes a token of every slot that answers, then prompt
tokens, slot after slot, up to the logical batch of 2,048. So a newcomer waits for the batch under way, and
then for all slots before its own. Its slot is the idle one that was used least recently, which may be the
first or the last: both are measured. HTTP, tokenizer and sampler are left out, in its favour.
"""

import ctypes
import time

BACKGROUND, LONG, SHORT = 7, 4000, 30
TOKENS = 1500
BATCH = 2048


def milliseconds(since):
    return 1e3 * (time.perf_counter() - since)


def swap(make, llama, repeats=8):
    """`make(contexts, tokens, batch)` gives a context."""
    context = make(1, TOKENS + 36, BATCH)
    context.sample(1, 0, 64, 64)
    context.reset()
    start = time.perf_counter()
    for done in range(0, TOKENS, 512):
        part = min(512, TOKENS - done)
        context.step(1, done, part, done + part == TOKENS)
    figures = {"prefill": [milliseconds(start)], "out": [], "in": [], "bytes": []}
    size = llama.llama_state_seq_get_size(context.context, 0)
    data = (ctypes.c_uint8 * size)()
    figures["bytes"].append(size / 1e6)
    # The first of each takes memory from the system.
    for repeat in range(repeats + 1):
        start = time.perf_counter()
        if llama.llama_state_seq_get_data(context.context, data, size, 0) != size:
            raise SystemExit("llama.cpp could not save a sequence")
        out = milliseconds(start)
        start = time.perf_counter()
        if llama.llama_state_seq_set_data(context.context, data, size, 0) != size:
            raise SystemExit("llama.cpp could not restore a sequence")
        into = milliseconds(start)
        if repeat > 0:
            figures["out"].append(out)
            figures["in"].append(into)
    return figures


class Slot:
    def __init__(self, number, tokens):
        self.number, self.tokens, self.done = number, tokens, 0


def fill(batch, slots, vocab):
    """Prompt tokens into a batch, in the order of the slots. Returns the slots whose prompts end in it."""
    at, ended = 0, []
    for slot in sorted(slots, key=lambda slot: slot.number):
        while slot.done < slot.tokens and at < BATCH:
            word = (slot.number << 16) + slot.done
            batch.token[at] = (word * 2654435761 % 2**32) % vocab
            batch.pos[at] = slot.done
            batch.n_seq_id[at] = 1
            batch.seq_id[at][0] = slot.number
            slot.done += 1
            batch.logits[at] = slot.done == slot.tokens
            at += 1
            if slot.done == slot.tokens:
                ended.append(slot)
    batch.n_tokens = at
    return ended


def first_token(context, llama, number):
    """Milliseconds from the arrival of a prompt at slot `number` to its first token."""
    context.reset()
    slots = [Slot(other, LONG) for other in range(BACKGROUND + 1) if other != number]
    newcomer = None
    while True:
        ended = fill(context.batch, slots, context.vocab)
        start = time.perf_counter()
        if llama.llama_decode(context.context, context.batch) != 0:
            raise SystemExit("llama.cpp failed a batch")
        if ended:
            llama.llama_get_logits_ith(context.context, -1)
        end = time.perf_counter()
        if newcomer in ended:
            return 1e3 * (end - arrived)
        slots = [slot for slot in slots if slot not in ended]
        if newcomer is None and sum(slot.tokens - slot.done for slot in slots) <= BACKGROUND * LONG / 2:
            # In the middle of the batch that just ended.
            arrived, newcomer = start + (end - start) / 2, Slot(number, SHORT)
            slots.append(newcomer)


def priority(make, llama):
    context = make(BACKGROUND + 1, LONG + 96, BATCH)
    return {
        "first token, last slot": [first_token(context, llama, BACKGROUND)],
        "first token, first slot": [first_token(context, llama, 0)],
    }


WORKS = {"swap": swap, "priority": priority}
