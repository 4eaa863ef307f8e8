"""Outcomes as the table of docs/parity.md."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.parity.areas import DEFECTS
from benchmarks.parity.outcome import Outcome, Status
from benchmarks.parity.report import Row, omissions, rows

HEAD = """# How near this worker is to Fooocus

Fooocus 2.5.5 was run in float32 on a CPU with tiny networks of SDXL's layout, and what went in and came out was
recorded. `python -m benchmarks.parity DIR` computes the same with this worker and compares. The table is that of the
project's own vectors (`tests/data/golden`); `tests/benchmarks` writes it, and fails when it was out of date.

The error is the worst one of a group as a share of its tolerance: 1 would be just within. It is rounded up to one
digit, for the others differ from machine to machine.

| group | vectors | worst error / tolerance | tolerance |
|---|---|---|---|
"""

TAIL = """
## What is not compared, or not to the last digit

- **Recorded defects.** Some vectors record a flaw of Fooocus that is not copied. They are counted as "intended
  differs", by their flags, and where they have an intended twin, that is compared:
{defects}  - an overwritten step count does not move Fooocus's refiner's switch; here it does
- **A flaw that is kept.** In metadata of the scheme `a1111`, Fooocus puts " Karras" behind every sampler's label when
  the scheduler is `karras`, also behind those it means to spare ("Euler Karras"). Files are written as it writes them;
  both forms are read.
- **`edm_playground_v2.5`, first picture.** Fooocus takes the range of its Brownian noise from the model before it is
  changed for this scheduler. No seed gives that noise here; with the recorded noise injected the run is the same.
- **`dpm_adaptive`** chooses its steps from error estimates and so follows the last digits of float32. Its noise levels
  are held to 1e-3 of their value; its latents to the tolerance of all others.
- **`tcd`** ends in NaN in Fooocus where a schedule goes down to timestep 0. There only a finite result is asked for.
- **Image prompts' attention.** Fooocus appends a picture's tokens to the text's by a formula whose author asks that it
  not be used elsewhere. Here each picture has an attention of its own, as in diffusers, with Fooocus's weights: half in
  SDXL's outer blocks. Pictures with image prompts therefore differ; all that comes before the attention is compared.
- **FaceSwap.** Without the catalogue's detector, eyes are found by OpenCV's cascades and two of the five marks align
  the face. Detection is in no vector.
- **Encoded pictures.** Fooocus samples the encoder's posterior with a generator nobody seeds; here its noise is the
  same in every job. With the recorded noise, functions, runs and complete requests that inpaint, outpaint, vary or
  upscale are within tolerance.
- **Float order.** Positive and negative prompt share a call here and stand in another order, as do the sums of the
  guided filter. That is what remains of the error of most runs.
- **GPU.** Vectors are of a CPU. On a GPU, Fooocus draws later noise there and computes in float16; so does this worker.

Values of compared cases that have no counterpart here:

"""

SMALLEST = 1e-6
"""Errors below are given as this."""


def document(outcomes: Sequence[Outcome], classes: Mapping[str, Mapping[str, Any]]) -> str:
    """The whole text. classes: the tolerance classes of the set."""
    table = [_line(row) for row in rows(outcomes)]
    used = sorted({outcome.tolerance_class for outcome in outcomes})
    rules = [f"- `{name}`: {classes[name]['rule']}" for name in used]
    left_out = [f"- {count} × {reason}" for reason, count in sorted(omissions(outcomes).items())]
    tail = TAIL.format(defects=_lines([f"  - {defect.reason}" for defect in DEFECTS.values()]))
    return f"{HEAD}{_lines(table)}\nTolerance classes:\n\n{_lines(rules)}{tail}{_lines(left_out)}"


def _lines(lines: Sequence[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def _line(row: Row) -> str:
    differs = row.statuses[Status.INTENDED_DIFFERS]
    vectors = f"{row.vectors}, of which {differs} differ by intention" if differs else str(row.vectors)
    return f"| {row.group} | {vectors} | {magnitude(row.worst)} | {', '.join(row.tolerance_classes)} |"


def magnitude(share: float) -> str:
    """A share rounded up to one digit, as `≤ 0.02`."""
    if share == 0:
        return "0"
    if not math.isfinite(share):
        return "beyond"
    share = max(share, SMALLEST)
    unit = 10.0 ** math.floor(math.log10(share))
    return f"≤ {math.ceil(share / unit - 1e-9) * unit:.6f}".rstrip("0").rstrip(".")
