"""The caption grammar: random scenes with the sentences that describe them.

    caption    = [prefix] thing [relation thing] ["on" background]
    thing      = article [style] [size] [colour] shape [position]
    background = article colour "background"
               | article colour "to" colour "gradient background"
               | article colour "and" colour pattern "background"

What a caption leaves out is either the default (size medium, style flat, position centre) or, for colour,
shape and background, anything at all: the picture's seed decides.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

from builder.demo.world import COLOURS, POSITIONS, SHAPES, SIZES, STYLES, Background, Scene, Shape, colour_distance

PREFIXES = ("a picture of", "a drawing of", "a photo of", "an image of", "an illustration of")
PATTERNS = ("striped", "checkered", "dotted")
PLACE_WORDS: dict[str, str] = {
    "center": "in the center",
    "left": "on the left",
    "right": "on the right",
    "top": "at the top",
    "bottom": "at the bottom",
    "top left": "in the top left corner",
    "top right": "in the top right corner",
    "bottom left": "in the bottom left corner",
    "bottom right": "in the bottom right corner",
}
PAIRS = (("left", "right"), ("right", "left"), ("top", "bottom"), ("bottom", "top"))
RELATIONS: dict[tuple[str, str], str] = {
    ("left", "right"): "to the left of",
    ("right", "left"): "to the right of",
    ("top", "bottom"): "above",
    ("bottom", "top"): "below",
}
PAIR_DIAMETER = 0.36
MIN_COLOUR_DISTANCE = 90.0


@dataclass(frozen=True)
class Example:
    """A caption, the scene drawn for it, and the attributes it names (see `attributes`)."""

    caption: str
    scene: Scene
    named: dict[str, str]


def article(words: str) -> str:
    """`words` with the indefinite article it needs."""
    return ("an " if words[0] in "aeiou" else "a ") + words


def plain(colour: str, shape: str, background: str) -> Example:
    """The plain sentence form: a centred shape of medium size on a plain background."""
    named = {"shape": shape, "colour": colour, "background": background, "pattern": "plain"}
    scene = Scene(Background(background), (Shape(shape, colour),))
    return Example(f"{article(colour)} {shape} on {article(background)} background", scene, named)


def simple(rng: random.Random) -> Example:
    """The plain sentence form with random words; its shape is of almost the same size and place each time."""
    colour, shape = rng.choice(tuple(COLOURS)), rng.choice(SHAPES)
    ground = rng.choice([other for other in COLOURS if colour_distance(other, colour) > MIN_COLOUR_DISTANCE])
    example = plain(colour, shape, ground)
    moved = replace(
        example.scene.shapes[0],
        x=0.5 + rng.uniform(-0.02, 0.02),
        y=0.5 + rng.uniform(-0.02, 0.02),
        diameter=SIZES["medium"] * rng.uniform(0.95, 1.05),
    )
    return replace(example, scene=replace(example.scene, shapes=(moved,)))


def fragment(rng: random.Random) -> Example:
    """A scene named by one or two of its words only, as negative prompts do ("red", "blue circle")."""
    example = sample(rng, pair_share=0.0)
    shape = example.scene.shapes[0]
    words, named = rng.choice(
        (
            (shape.colour, {"colour": shape.colour}),
            (shape.kind, {"shape": shape.kind}),
            (f"{shape.colour} {shape.kind}", {"colour": shape.colour, "shape": shape.kind}),
            (f"{example.scene.background.colour} background", {"background": example.scene.background.colour}),
        )
    )
    return Example(words, example.scene, named)


def sample(rng: random.Random, pair_share: float = 0.18) -> Example:
    """A random caption with a scene drawn for it; `pair_share` of them hold two shapes."""
    builder = _pair if rng.random() < pair_share else _single
    words, shapes, named = builder(rng)
    ground_words, ground, ground_named = _background(rng, shapes)
    prefix = rng.choice(PREFIXES) + " " if rng.random() < 0.15 else ""
    caption = prefix + words + (" on " + ground_words if ground_words else "")
    return Example(caption, Scene(ground, shapes), {**named, **ground_named})


def _single(rng: random.Random) -> tuple[str, tuple[Shape, ...], dict[str, str]]:
    size = rng.choice(tuple(SIZES)) if rng.random() < 0.35 else ""
    place = rng.choice(tuple(POSITIONS)) if rng.random() < 0.5 else ""
    words, shape, named = _thing(rng, size)
    x, y = POSITIONS[place or "center"]
    shape = _fit(replace(shape, x=x + rng.uniform(-0.02, 0.02), y=y + rng.uniform(-0.02, 0.02)))
    named["position"] = place or "center"
    return (f"{words} {PLACE_WORDS[place]}" if place else words), (shape,), named


def _pair(rng: random.Random) -> tuple[str, tuple[Shape, ...], dict[str, str]]:
    places = rng.choice(PAIRS)
    words_a, a, named_a = _thing(rng, "")
    words_b, b, named_b = _thing(rng, "")
    while b.colour == a.colour:
        words_b, b, named_b = _thing(rng, "")
    a, b = _place_in_pair(a, places[0]), _place_in_pair(b, places[1])
    if rng.random() < 0.5:
        words = f"{words_a} {RELATIONS[places]} {words_b}"
    else:
        words = f"{words_a} {PLACE_WORDS[places[0]]} and {words_b} {PLACE_WORDS[places[1]]}"
    named = {**named_a, **{f"{key}2": value for key, value in named_b.items()}}
    return words, (a, b), {**named, "position": places[0], "position2": places[1]}


def _place_in_pair(shape: Shape, place: str) -> Shape:
    x, y = POSITIONS[place]
    return replace(shape, x=x, y=y, diameter=shape.diameter / SIZES["medium"] * PAIR_DIAMETER)


def _thing(rng: random.Random, size: str) -> tuple[str, Shape, dict[str, str]]:
    """Article, adjectives and noun of one shape, the shape itself, and what the words name."""
    style = rng.choice(STYLES) if rng.random() < 0.3 else ""
    kind, colour = rng.choice(SHAPES), rng.choice(tuple(COLOURS))
    says_colour, says_kind = rng.random() < 0.93, rng.random() < 0.96
    words = [word for word in (style, size, colour if says_colour else "", kind if says_kind else "shape") if word]
    diameter = SIZES[size or "medium"] * rng.uniform(0.95, 1.05)
    named = {"size": size or "medium", "style": style or "flat"}
    named |= {"colour": colour} if says_colour else {}
    named |= {"shape": kind} if says_kind else {}
    return article(" ".join(words)), Shape(kind, colour, diameter=diameter, style=style or "flat"), named


def _fit(shape: Shape) -> Shape:
    """Keep a shape inside a square picture with a small margin."""
    reach = shape.diameter / 2 + 0.02
    clamp = lambda value: min(max(value, reach), 1 - reach)  # noqa: E731
    return replace(shape, x=clamp(shape.x), y=clamp(shape.y))


def _background(rng: random.Random, shapes: tuple[Shape, ...]) -> tuple[str, Background, dict[str, str]]:
    colours = [c for c in COLOURS if all(colour_distance(c, s.colour) > MIN_COLOUR_DISTANCE for s in shapes)]
    first, second = rng.sample(colours, 2)
    kind = "plain" if rng.random() < 0.82 else rng.choice(("gradient", *PATTERNS))
    ground = Background(first, kind, None if kind == "plain" else second)
    if rng.random() < 0.08:
        return "", ground, {}
    named = {"background": first, "pattern": kind}
    if kind == "plain":
        return f"{article(first)} background", ground, named
    joint = f"{first} to {second} gradient" if kind == "gradient" else f"{first} and {second} {kind}"
    return f"{article(joint)} background", ground, {**named, "background2": second}
