""" "Fooocus V2" without a language model: a deterministic picker of fitting words.

The words and the way of picking are ours; a causal LM in `models/prompt_expansion` replaces this
(`handler.engine.expansion`).
"""

from __future__ import annotations

import random

_AISLES: tuple[tuple[str, ...], ...] = (
    ("balanced composition", "clear focal point", "layered depth", "dynamic angle", "wide framing",
     "intimate framing", "strong silhouette", "leading lines", "elegant negative space", "sense of scale"),
    ("soft window light", "golden hour glow", "gentle rim light", "volumetric light", "warm key light",
     "cool ambient light", "dappled light", "luminous haze", "dramatic shadows", "bounced light"),
    ("rich palette", "harmonious colors", "subtle gradients", "vivid accents", "deep contrast",
     "muted tones", "complementary hues", "luminous highlights", "velvety shadows"),
    ("intricate detail", "crisp texture", "fine craftsmanship", "tactile surfaces", "sharp focus",
     "delicate edges", "precise rendering", "lifelike materials", "refined finish"),
    ("serene mood", "epic atmosphere", "quiet wonder", "vibrant energy", "mysterious air", "timeless feeling",
     "cinematic storytelling", "dreamlike calm", "inspiring spirit"),
    ("award winning", "masterful", "stunning", "breathtaking", "beautifully crafted", "highly polished",
     "exquisite", "remarkable", "professional quality"),
)  # fmt: skip

_WORDS_PER_AISLE = 2
_SEED_RANGE = 2**32


def pick_words(prompt: str, seed: int) -> str:
    """Return `prompt` followed by a dozen words on composition, light, colour, detail, mood and finish.

    The same prompt and seed give the same words; words the prompt already has are left out.
    """
    rng = random.Random(f"{seed % _SEED_RANGE}:{prompt}")
    lowered = prompt.lower()
    words = [word for aisle in _AISLES for word in rng.sample(aisle, _WORDS_PER_AISLE) if word not in lowered]
    return ", ".join([prompt, *words])
