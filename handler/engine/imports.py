"""What diffusers and transformers would import on the way to the networks used here.

Half of a worker's start goes into it otherwise: the compiler, other models' networks, distributed training, scipy.
Whatever is asked for by name still loads.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from handler.deferred import Later, Replaced, Rule


def _as_it_is(function: Any) -> Any:
    return function


def _disable(function: Any = None, *_args: object, **_options: object) -> Any:
    return _as_it_is if function is None else function


def _no(*_args: object, **_options: object) -> bool:
    return False


def _told(*questions: str) -> Callable[[Any], Replaced]:
    return partial(Replaced, names=dict.fromkeys(questions, _no))


RULES: dict[str, Rule] = {
    # Packages whose own code does no more than import every model of its kind.
    "diffusers.hooks": Later,
    "diffusers.models.autoencoders": Later,
    "diffusers.models.transformers": Later,
    "diffusers.models.unets": Later,
    "transformers.models": Later,
    # Decorators that mark functions for the compiler, which nothing here calls.
    "torch._dynamo": partial(
        Later,
        names={"allow_in_graph": _as_it_is, "assume_constant_result": _as_it_is, "disable": _disable},
        alone={"torch._dynamo._trace_wrapped_higher_order_op"},
    ),
    # Torch's computations of shapes ask these two; for what is no symbol the answers are the condition, and no.
    "torch.fx.experimental.symbolic_shapes": partial(Later, names={"expect_true": _as_it_is, "is_nested_int": _no}),
    # Weights are read by `weights`, sampling is `sampling`'s, and one worker has one GPU.
    "diffusers.utils.import_utils": _told("is_accelerate_available", "is_scipy_available"),
    "transformers.utils.import_utils": _told(
        "is_accelerate_available", "is_scipy_available", "is_torch_distributed_available"
    ),
}
