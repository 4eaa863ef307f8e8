"""Compares this worker's results with vectors recorded from Fooocus: `python -m benchmarks.parity DIR`.

DIR is a set of vectors: `index.json` (tolerance classes and the list of cases), the cases `<area>/<case>/case.json`
with `case.safetensors` and other files beside it, `weights/` with tiny SDXL-shaped networks (files may be compressed
with xz), and `tokenizer/` with CLIP's vocabulary, or with `words.json`, the token ids of the words that its prompts
use. A case is known by its area and by what its record holds, never by its name, so that sets recorded later run
unchanged.
"""
