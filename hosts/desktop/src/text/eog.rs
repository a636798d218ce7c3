//! Tokens that end a generation, known by their text where a model file does not name them.
//!
//! The list is llama.cpp's (`special_eog_ids`), with the fill-in-the-middle tokens that it counts to
//! them. Such a token is a control token whatever type the file gives it.

const ENDS: [&str; 32] = [
    "<|eot_id|>",
    "<|im_end|>",
    "<|end|>",
    "<|return|>",
    "<|call|>",
    "<|flush|>",
    "<|calls|>",
    "<end_of_turn>",
    "<|endoftext|>",
    "</s>",
    "<|eom_id|>",
    "<EOT>",
    "_<EOT>",
    "[EOT]",
    "[EOS]",
    "<|end_of_text|>",
    "<end_of_utterance>",
    "<eos>",
    "<turn|>",
    "<|tool_response>",
    "<｜end▁of▁sentence｜>",
    "[e~[",
    // Fill in the middle: padding, the next repository, the next file.
    "<|fim_pad|>",
    "<fim-pad>",
    "<fim_pad>",
    "<PAD>",
    "<|fim_repo|>",
    "<|repo_name|>",
    "<fim-repo>",
    "<REPO>",
    "<reponame>",
    "<|file_sep|>",
];

/// Whether a token with this text ends a generation.
pub(crate) fn ends_generation(text: &str) -> bool {
    ENDS.contains(&text)
}
