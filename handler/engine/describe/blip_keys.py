"""Parameter names of BLIP as its authors published it, in transformers' words.

The text decoder is called the same in both; the vision network follows timm there
(https://github.com/salesforce/BLIP, BSD-3-Clause).
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

_RENAMED = (
    (re.compile(r"^visual_encoder\.cls_token$"), "vision_model.embeddings.class_embedding"),
    (re.compile(r"^visual_encoder\.pos_embed$"), "vision_model.embeddings.position_embedding"),
    (re.compile(r"^visual_encoder\.patch_embed\.proj\."), "vision_model.embeddings.patch_embedding."),
    (re.compile(r"^visual_encoder\.norm\."), "vision_model.post_layernorm."),
    (re.compile(r"^visual_encoder\.blocks\.(\d+)\.norm(\d)\."), r"vision_model.encoder.layers.\1.layer_norm\2."),
    (re.compile(r"^visual_encoder\.blocks\.(\d+)\.attn\.qkv\."), r"vision_model.encoder.layers.\1.self_attn.qkv."),
    (
        re.compile(r"^visual_encoder\.blocks\.(\d+)\.attn\.proj\."),
        r"vision_model.encoder.layers.\1.self_attn.projection.",
    ),
    (re.compile(r"^visual_encoder\.blocks\.(\d+)\.mlp\."), r"vision_model.encoder.layers.\1.mlp."),
)
_HEAD = "text_decoder.cls.predictions."
_TIED = {
    f"{_HEAD}decoder.weight": "text_decoder.bert.embeddings.word_embeddings.weight",
    f"{_HEAD}decoder.bias": f"{_HEAD}bias",
}
"""Parameters that are others once more, and are left out where a file was written by transformers."""
_COUNTER = "position_ids"


def renamed(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A state dict of either naming in transformers' naming, complete; unknown names stay as they are."""
    found = {_renamed(name): value for name, value in state.items() if not name.endswith(_COUNTER)}
    for name, twin in _TIED.items():
        if twin in found:
            found.setdefault(name, found[twin])
    return found


def _renamed(name: str) -> str:
    for pattern, replacement in _RENAMED:
        name = pattern.sub(replacement, name)
    return name
