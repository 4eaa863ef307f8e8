"""Trains the captioner: a tiny BLIP that says in the grammar's words what a drawn picture shows.

The files are those of the real one: weights in a file of BLIP's name, BERT's kind of vocabulary, and beside the
weights a configuration, because the network is another size.
"""

from __future__ import annotations

import json
import random
import time
from pathlib import Path
from statistics import mean

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from transformers import BlipConfig, BlipForConditionalGeneration

from builder.demo.captions import PLACE_WORDS
from builder.demo.checkpoints import Checkpoint, progress, rate_factor, set_rate
from builder.demo.described import caption, held_out, kind_number, of_owners, pictures, random_examples, views
from builder.demo.world import BACKGROUNDS, COLOURS, SHAPES, SIZES, STYLES, Scene

FOLDER = "clip_vision"
NAME = "model_base_caption_capfilt_large"
VOCABULARY = f"{FOLDER}/bert-base-uncased/vocab.txt"

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
OTHER_WORDS = ("a", "an", "and", "background", "of", "on", "picture", "to")
PROMPT = ("a", "picture", "of")
PAD, UNKNOWN, END = 0, 1, 3
MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)
SIDE = 48
PATCH = 12
GRID = SIDE // PATCH
WIDTH = 96
BATCH = 64
BACKGROUND_WEIGHT = 0.2
LONGEST = 48


def vocabulary() -> list[str]:
    """The words, special ones first."""
    places = {word for phrase in PLACE_WORDS.values() for word in phrase.split()}
    world = {*COLOURS, *SHAPES, *SIZES, *STYLES, *BACKGROUNDS, *places, *OTHER_WORDS}
    return [*SPECIAL, *sorted(world)]


def configuration() -> BlipConfig:
    """BLIP's, with everything small. The two tokens after the vocabulary begin captions and questions."""
    words = len(vocabulary())
    heads = {"num_attention_heads": 4, "intermediate_size": 2 * WIDTH, "hidden_size": WIDTH, "projection_dim": WIDTH}
    vision = {"num_hidden_layers": 3, "image_size": SIDE, "patch_size": PATCH, "initializer_range": 0.1, **heads}
    text = {
        "num_hidden_layers": 2, "vocab_size": words + 2, "encoder_hidden_size": WIDTH, "max_position_embeddings": 80,
        "bos_token_id": words, "sep_token_id": END, "eos_token_id": END, "pad_token_id": PAD,
        "initializer_range": 0.08, **heads,
    }  # fmt: skip
    return BlipConfig(vision_config=vision, text_config=text, projection_dim=WIDTH)


def create(seed: int) -> BlipForConditionalGeneration:
    """The network with random weights, larger than usual: it is narrow."""
    torch.manual_seed(seed)
    network = BlipForConditionalGeneration(configuration())
    begun = network.vision_model.embeddings
    begun.patch_embedding.weight.data.normal_(std=0.07)
    begun.position_embedding.data.normal_(std=0.3)
    return network


def normalised(pixels: Tensor) -> Tensor:
    """uint8 (n, h, w, 3) as BLIP wants it: (n, 3, h, w)."""
    return ((pixels.float() / 255 - torch.tensor(MEAN)) / torch.tensor(STD)).permute(0, 3, 1, 2)


def tokens(texts: list[str]) -> Tensor:
    """Ids (n, longest): the begin token, "a picture of", the text, the end token, padding."""
    numbers = {word: number for number, word in enumerate(vocabulary())}
    rows = [[len(numbers), *(numbers[word] for word in (*PROMPT, *text.split())), END] for text in texts]
    longest = max(map(len, rows))
    return torch.tensor([row + [PAD] * (longest - len(row)) for row in rows])


def words(ids: list[int]) -> str:
    """The text of ids, without special tokens."""
    known = vocabulary()
    return " ".join(known[number] for number in ids if len(SPECIAL) <= number < len(known))


class Learner(nn.Module):
    """The network, and a reader that names the kind of shape in each field of the picture.

    The reader teaches the vision network where shapes are and what they are, which captions alone do slowly.
    """

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.network = create(seed)
        self.reader = nn.Linear(WIDTH, 1 + len(SHAPES))

    def losses(self, pixels: Tensor, fields: Tensor, ids: Tensor) -> dict[str, Tensor]:
        """Mean cross-entropies of the words after the prompt and of the fields (n, GRID, GRID)."""
        seen = self.network.vision_model(pixel_values=normalised(pixels))[0]
        mask = (ids != PAD).long()
        logits = self.network.text_decoder(input_ids=ids, attention_mask=mask, encoder_hidden_states=seen).logits
        asked, given = ids[:, 1 + len(PROMPT) :], logits[:, len(PROMPT) : -1]
        weights = torch.tensor([BACKGROUND_WEIGHT] + [1.0] * len(SHAPES))
        read = self.reader(seen[:, 1:]).flatten(0, 1)
        return {
            "words": cross_entropy(given.flatten(0, 1), asked.flatten(), ignore_index=PAD),
            "fields": cross_entropy(read, fields.flatten(), weights),
        }


def train(
    work: Path, steps: int, seed: int = 0, until: int | None = None, rate: float = 2.5e-3
) -> BlipForConditionalGeneration:
    """Train up to step `until` of `steps`; goes on from `work`'s checkpoint of this stage when there is one."""
    learner = Learner(seed)
    optimiser = torch.optim.AdamW(learner.parameters(), lr=rate, weight_decay=0.01, betas=(0.9, 0.98))
    checkpoint = Checkpoint(work / "captioner.pt", model=learner, optimiser=optimiser)
    start = checkpoint.load()
    began = time.monotonic()
    end = steps if until is None else until
    for step in range(start, end):
        rng = random.Random(f"captioner {seed} {step}")
        examples = random_examples(rng, BATCH)
        pixels, places = views(rng, examples, SIDE, GRID)
        fields = of_owners(places, examples, kind_number, none=0)
        parts = learner.losses(pixels, fields, tokens([caption(e.scene) for e in examples]))
        optimiser.zero_grad()
        sum(parts.values()).backward()
        nn.utils.clip_grad_norm_(learner.parameters(), 1.0)
        set_rate(optimiser, rate * rate_factor(step, steps))
        optimiser.step()
        progress("captioner", step, steps, began, {name: part.item() for name, part in parts.items()})
        checkpoint.save_sometimes(step + 1)
    checkpoint.save(max(start, end))
    return learner.network.eval()


def write(network: BlipForConditionalGeneration, folder: Path) -> None:
    """Write the network as fp16, its configuration and its vocabulary into a bundle."""
    (folder / VOCABULARY).parent.mkdir(parents=True, exist_ok=True)
    (folder / VOCABULARY).write_text("\n".join(vocabulary()) + "\n", encoding="utf-8")
    parts = {"vision_config": network.config.vision_config, "text_config": network.config.text_config}
    written = {name: part.to_diff_dict() for name, part in parts.items()}
    target = folder / FOLDER
    (target / f"{NAME}.json").write_text(json.dumps(written, indent=2) + "\n", encoding="utf-8")
    state = {name: value.half().contiguous().clone() for name, value in network.state_dict().items()}
    save_file(state, target / f"{NAME}.safetensors")


def read(folder: Path) -> BlipForConditionalGeneration:
    """The network of a bundle."""
    network = create(0)
    stored = load_file(folder / FOLDER / f"{NAME}.safetensors")
    network.load_state_dict({name: value.float() for name, value in stored.items()})
    return network.eval()


@torch.no_grad()
def describe(network: BlipForConditionalGeneration, pixels: Tensor) -> list[str]:
    """The likeliest word each time, for pictures uint8 (n, side, side, 3)."""
    seen = network.vision_model(pixel_values=normalised(pixels))[0]
    ids = tokens([""] * len(pixels))[:, :-1]
    for _ in range(LONGEST):
        logits = network.text_decoder(input_ids=ids, encoder_hidden_states=seen).logits
        ids = torch.cat([ids, logits[:, -1].argmax(-1, keepdim=True)], dim=1)
    return [_until_end(row) for row in ids[:, 1 + len(PROMPT) :].tolist()]


def _until_end(ids: list[int]) -> str:
    return words(ids[: ids.index(END)] if END in ids else ids)


def names(text: str, scene: Scene) -> bool:
    """Whether a text names every shape of a scene with its colour."""
    return all(f"{shape.colour} {shape.kind}" in text for shape in scene.shapes)


def score(network: BlipForConditionalGeneration, count: int = 300) -> dict[str, float]:
    """Shares of held-out pictures whose colours and shapes are all named right, and that are described word for word.

    For scenes of the whole grammar, for those of them with one shape, and for plain sentences.
    """
    found: dict[str, float] = {}
    for group, examples in held_out(count).items():
        texts = describe(network, pictures(random.Random("spoilt"), examples, SIDE))
        right = [names(text, e.scene) for text, e in zip(texts, examples, strict=True)]
        exact = [text == caption(e.scene) for text, e in zip(texts, examples, strict=True)]
        found |= {
            f"colour and shape, {group}": mean(map(float, right)),
            f"word for word, {group}": mean(map(float, exact)),
        }
    return found
