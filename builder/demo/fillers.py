"""Words that name nothing in the drawn world.

Prompts reach the model wrapped in style words and followed by expansions; negative prompts are long lists. The
networks see such texts in training so that they learn to ignore them. The list is ours: plain English.
"""

from __future__ import annotations

import random

PLAIN_ENGLISH = """
    photo photograph photography cinematic film still portrait landscape macro studio lighting light shadow bright
    dark moody dramatic natural golden hour sunset sunrise night day morning evening fog mist rain snow storm sky cloud
    sharp focus depth field bokeh lens camera wide angle close view shot detail detailed highly intricate fine
    texture realistic photorealistic hyper ultra high quality best masterpiece professional award winning resolution
    hd uhd beautiful elegant gorgeous stunning amazing perfect awesome nice pretty cute lovely charming
    art artwork artistic digital painting oil watercolor ink sketch pencil charcoal pastel concept illustration comic
    anime manga cartoon render rendered rendering model game fantasy epic magic mystical dream surreal abstract
    modern minimal minimalist vintage retro classic gothic steampunk cyberpunk neon futuristic space alien robot
    low worst bad poor blurry blurred noise noisy grain grainy artifact compression jpeg watermark signature text logo
    username error cropped cut frame out ugly deformed disfigured mutated mutation extra missing fused hands fingers
    arms legs limbs anatomy proportions duplicate morbid body face eyes mouth nose hair skin head person man woman
    child girl boy people crowd king queen astronaut knight wizard dragon cat dog horse bird fish butterfly butterflies
    lion tiger bear wolf fox rabbit tree forest jungle flower garden grass leaf mountain hill river lake ocean sea
    beach desert island city street house building castle tower bridge road car train ship boat plane rocket
    table chair cup glass bottle book lamp window door wall floor paper fabric wood metal stone gold silver crystal
    color colors colorful vibrant vivid palette tone tones cold warm cool contrast saturated monochrome
    composition dynamic symmetric balanced harmony style in of the with and by from for very many some
    scene object subject foreground midground atmosphere ambient mood emotional heroic legendary ancient old new
    young big tall short long thin thick heavy clean smooth rough shiny glossy matte reflection transparent
"""
WORDS: tuple[str, ...] = tuple(PLAIN_ENGLISH.split())
# Words of the world's own that mean nothing in such company.
COMPANY = """
    soft light, soft natural light, soft focus, soft shadows, soft hazy focus, flat lighting, flat cartoon,
    flat frontal light, glowing embers, glowing skin, glowing eyes, blue hour, blue sky, golden light, rich blacks,
    deep black, black and white photo, white balance, white light, purple fringing, gray haze, green grass, red carpet,
    pink tones, brown leather, orange glow, yellow light, cyan tint, thick black contour, clipped whites, large format,
    large eyes, small details, medium format, medium shot, ring light, star filter, cross processing,
    cross hatching, golden circle, square format, square crop, top quality, center of attention, cluttered background,
    blurred background, gentle background falloff, background blur, empty background, dotted line, striped shirt,
    gradient mesh, vector gradient, color gradient, crossed eyes, outlined figure, bottom line
"""
PHRASES: tuple[str, ...] = tuple(" ".join(phrase.split()) for phrase in COMPANY.split(","))
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def filler(rng: random.Random, low: int = 2, high: int = 14) -> str:
    """`low` to `high` words or phrases without meaning for the world, some joined by commas, a few invented."""
    words = [_word(rng) for _ in range(rng.randint(low, high))]
    return "".join(word + (", " if rng.random() < 0.5 or word in PHRASES else " ") for word in words).strip(" ,")


def _word(rng: random.Random) -> str:
    kind = rng.random()
    return invented(rng) if kind < 0.08 else rng.choice(PHRASES) if kind < 0.16 else rng.choice(WORDS)


def invented(rng: random.Random) -> str:
    """A word nobody has seen."""
    return "".join(rng.choice(LETTERS) for _ in range(rng.randint(3, 9)))


def wrapped(rng: random.Random, caption: str) -> str:
    """`caption` with fillers before it, behind it or both."""
    side = rng.random()
    link = " of " if rng.random() < 0.5 else " "
    before = filler(rng, 1, 6).replace(",", "") + link if side < 0.6 else ""
    behind = ", " + filler(rng, 2, 20) if side > 0.3 else ""
    return before + caption + behind
