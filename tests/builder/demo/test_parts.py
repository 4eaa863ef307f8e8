"""The small parts beside the checkpoint: true lessons, exactly resumed training, files that say what was learned."""

from __future__ import annotations

import csv
import random
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from builder.demo import bundle, described, train_captioner, train_tagger, train_upscaler
from builder.demo.captions import Example, plain, sample
from builder.demo.cli import main
from builder.demo.world import COLOURS, SHAPES, Background, Scene, Shape

PAIR = Scene(
    Background("white", "striped", "cyan"),
    (Shape("star", "red", 0.75, 0.5, 0.3, "glowing"), Shape("ring", "blue", 0.25, 0.5, 0.3)),
)


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (train_captioner, train_tagger, train_upscaler):
        monkeypatch.setattr(module, "BATCH", 2)


def test_captions_say_all_there_is() -> None:
    assert described.caption(plain("red", "circle", "blue").scene) == "a red circle on a blue background"
    assert described.caption(PAIR) == (
        "a blue ring on the left and a glowing red star on the right on a white and cyan striped background"
    )


def test_every_caption_is_in_the_vocabulary_and_comes_back() -> None:
    rng = random.Random(4)
    texts = [described.caption(sample(rng).scene) for _ in range(300)]
    ids = train_captioner.tokens(texts)
    assert [train_captioner.words(row)[len("a picture of ") :] for row in ids.tolist()] == texts


def test_tags_are_what_is_true() -> None:
    assert train_tagger.tags_of(PAIR) == {
        "red_star", "blue_ring", "white_background", "cyan_background", "striped_background", "glowing",
    }  # fmt: skip
    assert train_tagger.tags_of(plain("red", "circle", "blue").scene) == {"red_circle", "blue_background"}


def test_the_fields_are_where_the_shapes_are() -> None:
    square, circle = Shape("square", "red", 0.75, 0.5, 0.4), Shape("circle", "blue", 0.25, 0.5, 0.4)
    scene = Scene(Background("white"), (square, circle))
    places = described.owners(scene, (96, 96), 4)
    assert places[1:3].tolist() == [[2, 2, 1, 1], [2, 2, 1, 1]]
    assert not places[[0, 3]].any()
    kinds = described.of_owners(torch.from_numpy(places)[None], [Example("", scene, {})], described.kind_number, none=0)
    assert kinds[0, 1].tolist() == [1 + SHAPES.index(kind) for kind in ("circle", "circle", "square", "square")]


def test_the_tagger_knows_a_shape_by_its_surest_field() -> None:
    network = train_tagger.create(0)
    for layer in (network.kinds, network.colours):
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)
    network.kinds.bias.data[1 + SHAPES.index("star")] = 20.0
    network.colours.bias.data[tuple(COLOURS).index("green")] = 20.0
    made = network(torch.zeros(1, train_tagger.SIDE, train_tagger.SIDE, 3))[0]
    sure = {row for row, value in zip(train_tagger.ROWS, made.tolist(), strict=True) if value > 0.99}
    assert sure & train_tagger.SHAPE_TAGS == {"green_star"}


@pytest.mark.parametrize(
    "train", [train_captioner.train, train_tagger.train, train_upscaler.train], ids=["captioner", "tagger", "upscaler"]
)
def test_a_resumed_training_equals_an_uninterrupted_one(train: Callable[..., nn.Module], tmp_path: Path) -> None:
    whole = train(tmp_path / "whole", 100, until=3)
    train(tmp_path / "pieces", 100, until=1)
    pieces = train(tmp_path / "pieces", 100, until=3)
    assert whole.state_dict().keys() == pieces.state_dict().keys()
    for name, value in whole.state_dict().items():
        assert torch.equal(value, pieces.state_dict()[name]), name


def test_onnx_computes_what_was_trained(tmp_path: Path) -> None:
    network = train_tagger.create(3)
    train_tagger.write(network, tmp_path)
    pixels = described.pictures(random.Random(1), [plain("red", "star", "white")] * 3, train_tagger.SIDE)
    with torch.no_grad():
        expected = network(train_tagger.as_input(pixels))
    assert torch.allclose(train_tagger.read(tmp_path)(pixels), expected, atol=2e-3)
    rows = list(csv.DictReader((tmp_path / train_tagger.TABLE).open(encoding="utf-8")))
    assert tuple(row["name"] for row in rows) == train_tagger.ROWS
    assert {row["category"] for row in rows} == {"0", "9"}


def test_written_networks_are_read_again(tmp_path: Path) -> None:
    captioner, upscaler = train_captioner.create(1), train_upscaler.create(1)
    train_captioner.write(captioner, tmp_path)
    train_upscaler.write(upscaler, tmp_path)
    pixels = described.pictures(random.Random(1), [plain("red", "star", "white")], train_captioner.SIDE)
    again = train_captioner.read(tmp_path)
    assert train_captioner.describe(again, pixels) == train_captioner.describe(captioner.half().float(), pixels)
    small = train_upscaler.to_tensor(described.squeezed(train_upscaler.draw(PAIR, 64, 64), 16))[None]
    assert torch.allclose(train_upscaler.read(tmp_path)(small), upscaler(small), atol=5e-3)


def test_a_fresh_upscaler_is_near_to_what_it_enlarges() -> None:
    """It interpolates; what its random weights add is small enough to be trained away."""
    even = torch.full((1, 3, 8, 8), 0.5)
    made = train_upscaler.create(0)(even)
    assert made.shape == (1, 3, 32, 32)
    assert abs(float(made[:, :, 8:-8, 8:-8].mean()) - 0.5) < 0.2


def test_the_bundles_parts_are_small() -> None:
    folders = [bundle.FOLDER / name for name in ("upscale_models", "clip_vision")]
    own = [path for folder in folders for path in folder.rglob("*") if path.is_file() and path.name.startswith(
        ("fooocus_upscaler", "model_base_caption", "wd-v1", "vocab")
    )]  # fmt: skip
    assert len(own) == 6
    assert sum(path.stat().st_size for path in own) <= 2_500_000


def test_the_bundled_captioner_and_tagger_know_plain_sentences() -> None:
    examples = described.held_out(60)["plain sentences"]
    pixels = described.pictures(random.Random(0), examples, train_captioner.SIDE)
    texts = train_captioner.describe(train_captioner.read(bundle.FOLDER), pixels)
    named = [train_captioner.names(text, example.scene) for text, example in zip(texts, examples, strict=True)]
    assert sum(named) >= 0.85 * len(examples)
    scores = train_tagger.score(train_tagger.read(bundle.FOLDER), 60)
    assert scores["colour and shape, plain sentences"] >= 0.85


def test_the_commands_train_and_write(tmp_path: Path) -> None:
    places = ["--work", str(tmp_path / "work"), "--out", str(tmp_path / "bundle")]
    assert main(["train-upscaler", *places, "--steps", "1"]) == 0
    assert main(["train-describe", *places, "--captioner-steps", "1", "--tagger-steps", "1"]) == 0
    written = {path.relative_to(tmp_path / "bundle").as_posix() for path in (tmp_path / "bundle").rglob("*.*")}
    assert written >= {train_upscaler.FILE, train_captioner.VOCABULARY, train_tagger.NETWORK, train_tagger.TABLE}
