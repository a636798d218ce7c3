"""llama.cpp at the prompts of `agentos eval knowledge`: it computes them whole, as its server does with a prompt that it
has not seen.

    first_ms  from the prompt's tokens to the first token of the answer, in milliseconds, a number per prompt
    right     answers that say what they should, by the rule of hosts/desktop/src/eval/knowledge.rs
"""

import ctypes
import json
import time

BATCH = 2048


def says(text, answers):
    """Whether one of the answers stands in the text as whole words."""
    text = text.lower()
    for answer in (answer.lower() for answer in answers):
        at = text.find(answer)
        while at >= 0:
            before, behind = text[:at][-1:], text[at + len(answer) :][:1]
            begins = not (answer[0].isalnum() and before.isalnum())
            ends = not (answer[-1].isalnum() and behind.isalnum())
            if begins and ends:
                return True
            at = text.find(answer, at + 1)
    return False


class Speaker:
    def __init__(self, context, llama):
        self.context, self.llama = context, llama
        self.vocab = llama.llama_model_get_vocab(context.model)

    def feed(self, tokens, first):
        """Computes tokens from an address on; returns the likeliest next one."""
        llama, batch = self.llama, self.context.batch
        for begin in range(0, len(tokens), BATCH):
            part = tokens[begin : begin + BATCH]
            for at, token in enumerate(part):
                batch.token[at], batch.pos[at] = token, first + begin + at
                batch.n_seq_id[at] = 1
                batch.seq_id[at][0] = 0
                batch.logits[at] = begin + at + 1 == len(tokens)
            batch.n_tokens = len(part)
            if llama.llama_decode(self.context.context, batch) != 0:
                raise SystemExit("llama.cpp failed a batch")
        logits = llama.llama_get_logits_ith(self.context.context, -1)
        return max(range(self.context.vocab), key=logits.__getitem__)

    def text(self, tokens):
        data = b""
        for token in tokens:
            piece = (ctypes.c_char * 256)()
            length = self.llama.llama_token_to_piece(self.vocab, token, piece, 256, 0, False)
            data += piece.raw[: max(length, 0)]
        return data.decode("utf-8", "replace")


def ask(make, llama, path, most):
    """`make(contexts, tokens, batch)` gives a context; `path` is what `agentos eval knowledge --json` printed."""
    with open(path, encoding="utf-8") as file:
        asked = json.load(file)["asked"]
    longest = max(len(one["prompt_ids"]) for one in asked)
    speaker = Speaker(make(1, longest + most, BATCH), llama)
    first_ms, right = [], 0
    # The first prompt warms up, and is asked again.
    for number, one in enumerate([asked[0]] + asked):
        speaker.context.reset()
        start = time.perf_counter()
        said = [speaker.feed(one["prompt_ids"], 0)]
        if number > 0:
            first_ms.append(1e3 * (time.perf_counter() - start))
        while len(said) < most and not llama.llama_vocab_is_eog(speaker.vocab, said[-1]):
            said.append(speaker.feed([said[-1]], len(one["prompt_ids"]) + len(said) - 1))
        right += number > 0 and says(speaker.text(said), one["answers"])
    return {"first_ms": first_ms, "right": right, "questions": len(asked)}
