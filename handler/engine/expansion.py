""""Fooocus V2" with a causal language model: it continues the prompt with fitting words.

Any GPT-2-like model with its tokenizer serves, in `models/prompt_expansion/<folder>`. Which words are allowed,
and Fooocus's own vocabulary, are no part of this: the model's own sampling decides.
"""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

WINDOW = 75
"""CLIP's room for one text, in tokens; prompt and continuation together fill whole windows."""

TOP_K = 100


class PromptExpander:
    """Continues prompts, reproducibly by seed. Runs on the CPU: a few dozen tokens are not worth the GPU's turn."""

    def __init__(self, folder: Path) -> None:
        self._tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        self._model = AutoModelForCausalLM.from_pretrained(folder, local_files_only=True).float().eval()

    @torch.inference_mode()
    def __call__(self, prompt: str, seed: int) -> str:
        """Return the prompt followed by sampled words; unchanged when it fills its windows already."""
        tokens = self._tokenizer(prompt + ",", return_tensors="pt").input_ids[0]
        room = -len(tokens) % WINDOW
        generator = torch.Generator().manual_seed(seed % 2**32)
        for _ in range(room):
            tokens = torch.cat([tokens, self._next(tokens, generator)])
        text = self._tokenizer.decode(tokens, skip_special_tokens=True)
        return " ".join(text.split()).strip(" ,.")

    def _next(self, tokens: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """One more token id, [1]: drawn from the TOP_K likeliest that the text does not hold yet."""
        logits = self._model(tokens[None]).logits[0, -1]
        comma = self._tokenizer.encode(",")[-1]
        used = tokens[tokens != comma]
        logits[used] = -torch.inf
        if self._tokenizer.eos_token_id is not None:
            logits[self._tokenizer.eos_token_id] = -torch.inf
        best = logits.topk(min(TOP_K, len(logits)))
        choice = torch.multinomial(best.values.softmax(-1), 1, generator=generator)
        return best.indices[choice]


def find_expander(models_dirs: tuple[Path, ...]) -> PromptExpander | None:
    """The installed expansion model of the first folder that has one, or None."""
    for root in models_dirs:
        for config in sorted((root / "prompt_expansion").glob("*/config.json")):
            return PromptExpander(config.parent)
    return None
