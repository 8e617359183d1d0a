"""Bad values for every argument of every public function: right, a clear error, an unclear one, or silently wrong.

``python tests/robustness/arguments.py`` makes all calls and prints the table; the suite makes a sample of them.
"""

from __future__ import annotations

import collections
import contextlib
import inspect
import io
import math
import os
import pathlib
import random
import signal
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator
from numbers import Integral, Real
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy import sparse

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))

from robustness.calls import Call, calls

RIGHT, CLEAR, UNCLEAR, SILENT = "right", "clear", "unclear", "silent"
_SECONDS = 20  # for one call

BAD: dict[str, Callable[[], Any]] = {
    "None": lambda: None,
    "True": lambda: True,
    "np.True_": lambda: np.True_,
    '"False"': lambda: "False",
    '""': lambda: "",
    '"0.5"': lambda: "0.5",
    'b"0.5"': lambda: b"0.5",
    "nan": lambda: math.nan,
    "inf": lambda: math.inf,
    "-1": lambda: -1,
    "-0.5": lambda: -0.5,
    "1.5": lambda: 1.5,
    "2**63": lambda: 2**63,
    "10**400": lambda: 10**400,
    "1j": lambda: 1j,
    "np.float64(nan)": lambda: np.float64("nan"),
    "np.datetime64": lambda: np.datetime64("2020-01-01"),
    "torch.tensor(True)": lambda: torch.tensor(True),
    "[]": list,
    "()": tuple,
    "{}": dict,
    "set": lambda: {1, 2},
    "object()": object,
    "lambda": lambda: lambda *_, **__: 0,
    "a generator": lambda: (number for number in range(3)),
    '["a", "b"]': lambda: ["a", "b"],
    "[None]": lambda: [None],
    "[[1], [1, 2]]": lambda: [[1], [1, 2]],
    "[2**64]": lambda: [2**64, 1],
    "masked integers": lambda: np.ma.masked_array(np.arange(12) % 3, np.arange(12) == 5),
    "masked floats": lambda: np.ma.masked_array(np.ones((12, 4)), np.ones((12, 4)) * np.arange(4) == 1),
    "complex": lambda: np.ones((12, 4)) + 1j,
    "text array": lambda: np.array([["1.5"] * 4] * 12),
    "object array": lambda: np.array([[1.0, None, 2.0, 3.0]] * 12, dtype=object),
    "NaN array": lambda: np.full((12, 4), np.nan),
    "NaN tensor": lambda: torch.full((12, 4), torch.nan),
    "bool array": lambda: np.ones(12, dtype=bool),
    "negative integers": lambda: -np.ones(12, dtype=int),
    "uint64 beyond int64": lambda: np.full(12, 2**63, dtype=np.uint64),
    "empty array": lambda: np.empty((0, 4)),
    "0-d array": lambda: np.array(1.5),
    "sparse tensor": lambda: torch.eye(4).to_sparse(),
    "meta tensor": lambda: torch.ones(12, 4, device="meta"),
    "scipy sparse": lambda: sparse.eye_array(4, format="csr"),
    "complex tensor": lambda: torch.ones(12, 4) + 1j,
    "nested tensor": lambda: torch.nested.nested_tensor([torch.ones(2, 4), torch.ones(3, 4)], layout=torch.jagged),
    "datetimes": lambda: np.array(["2020-01-01"] * 12, dtype="datetime64[D]"),
}


class Finding(NamedTuple):
    """One call and what came of it."""

    room: str
    function: str
    argument: str
    value: str
    verdict: str
    said: str

    def __str__(self) -> str:
        return f"{self.verdict}: {self.room}.{self.function}({self.argument}={self.value}): {self.said}"


# What an argument takes besides what its default and the good call say.
FLAGS = {
    "include_true", "replace", "shared", "standardize", "as_sparse", "normalize", "center_rows", "debiased", "weighted",
    "relative", "edge", "numbers", "residual", "progress", "force", "resume", "centered", "freeze", "learning_curves",
    "return_features", "compile", "gather", "check_determinism", "calibrate", "verbose",
}  # fmt: skip


def fits(call: Call, argument: str, value: Any) -> bool:
    """Whether a value is one that the argument takes, so that an answer to it is right."""
    good = call.arguments()
    parameter = inspect.signature(call.function).parameters.get(argument)
    default = parameter.default if parameter is not None else inspect.Parameter.empty
    annotation = str(parameter.annotation) if parameter is not None else ""
    examples = [
        one for one in (good.get(argument, inspect.Parameter.empty), default) if one is not inspect.Parameter.empty
    ]
    if value is None:
        if any(test(None) for names, test in WELCOME if (call.name, argument) in names):
            return True
        return default is None or "None" in annotation or good.get(argument, 0) is None
    if isinstance(value, bool | np.bool_) or (
        isinstance(value, torch.Tensor) and value.dtype == torch.bool and not value.ndim
    ):
        is_flag = argument in FLAGS or any(isinstance(one, bool) for one in examples)
        return isinstance(value, bool | np.bool_) and is_flag
    key = (call.name, argument)
    return any(test(value) for names, test in WELCOME if key in names or ("*", argument) in names) or any(
        _like(value, one) for one in examples if one is not None
    )


def _like(value: Any, example: Any) -> bool:
    if isinstance(value, np.ndarray) and not value.ndim and not isinstance(value, np.ma.MaskedArray):
        value = value.item()
    if isinstance(example, bool) or isinstance(value, bool):
        return False
    if isinstance(example, Integral):
        return isinstance(value, Integral) and -(2**63) <= value < 2**63
    if isinstance(example, Real):
        return isinstance(value, Real) and abs(value) < 2**1000 and math.isfinite(value)
    if isinstance(example, str):
        return isinstance(value, str)
    if isinstance(example, tuple | list | dict):
        return type(value) in (tuple, list, dict) and not value
    return False


def _number(value: Any) -> bool:
    return _like(value, 1.0)


def _whole(value: Any) -> bool:
    return _like(value, 1)


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _integers(value: Any) -> bool:
    plain = isinstance(value, np.ndarray) and not isinstance(value, np.ma.MaskedArray) and value.dtype.kind in "iu"
    return plain or (isinstance(value, set | tuple | list) and all(type(one) is int for one in value))


def _is_nan(value: Any) -> bool:
    plain = isinstance(value, torch.Tensor) and value.layout == torch.strided and value.device.type == "cpu"
    return plain and not value.is_nested and bool(value.isnan().all())


def _always(value: Any) -> bool:
    return True


WELCOME: list[tuple[set[tuple[str, str]], Callable[[Any], bool]]] = [
    ({("*", "rate"), ("*", "noise_variance"), ("*", "sigma"), ("*", "relative_sigma"), ("*", "snr"), ("*", "alpha"),
      ("*", "warmup"), ("*", "input_noise"), ("*", "dropout")}, _number),
    ({("*", "hidden_features"), ("*", "num_classes"), ("*", "chunk_size"), ("*", "pad_token"), ("*", "mask_token"),
      ("*", "patience"), ("*", "seed"), ("*", "max_heads"), ("*", "max_rows"), ("*", "num_features_b"),
      ("*", "shard_rows"), ("*", "top_k"), ("*", "random_state"), ("*", "last_row"), ("*", "num_features")}, _whole),
    ({("*", "keep"), ("*", "label"), ("*", "key"), ("*", "image"), ("*", "text"), ("*", "row_title"),
      ("*", "column_title"), ("*", "column"), ("*", "device"), ("*", "checkpoint"), ("*", "baseline"),
      ("*", "layer")}, _text),
    ({("*", "subset"), ("*", "classes"), ("*", "groups"), ("*", "special_tokens"), ("*", "ids")}, _integers),
    ({("*", "subset"), ("*", "attention_mask")}, lambda value: isinstance(value, np.ndarray) and value.dtype == bool),
    ({("lidar", "labels"), ("*", "groups"), ("corrupt_tokens", "tokens")},
     lambda value: isinstance(value, np.ndarray) and value.dtype.kind in "biufUS" and not np.ma.is_masked(value)),
    ({("shuffle_pairs", "num_pairs_or_image_ids"), ("*", "caption_keys")},
     lambda value: isinstance(value, list) or _integers(value)),
    ({("multi_label", "targets"), ("NMTuneClassifier.fit", "y"), ("NMTuneClassifier.fit", "X")}, _integers),
    ({("*", "keys"), ("*", "captions"), ("PairNoise", "captions")}, lambda value: isinstance(value, list | tuple)),
    ({("LabelNoise.at_many", "keys")}, lambda value: not hasattr(value, "__len__")),  # any iterable of keys
    ({("*", "on_epoch"), ("*", "classify"), ("fit_linear_probe", "progress"), ("fit_kernel_probe", "progress")},
     callable),
    ({("*", "penalties")}, lambda value: value == [2**64, 1] if isinstance(value, list) else _integers(value)),
    ({("LabelNoise.at", "key"), ("PairNoise.at", "key")}, lambda value: isinstance(value, str | bytes | int)),
    ({("PairNoise.at", "text")}, lambda value: isinstance(value, str | bytes)),
    ({("NoisyLabelDataset", "key"), ("NoisyPairDataset", "key"), ("NoisyLabelDataset", "image")}, _always),
    ({("NMTune.loss", "targets"), ("NMTuneLoss.forward", "targets"), ("*", "sample_weight")}, _always),
    ({("*", "metadata"), ("*", "data_options"), ("*", "suite"), ("*", "method_options"), ("*", "variants"),
      ("*", "noise_options"), ("*", "overrides"), ("StudyConfig", "pretraining"), ("StudyConfig", "tuning")},
     lambda value: isinstance(value, dict)),
    ({("*", "singular_values")}, lambda value: isinstance(value, np.ndarray) and value.dtype == np.uint64),
    ({("SpectrumAccumulator.update", "batch")}, lambda value: isinstance(value, np.ndarray) and value.shape == (0, 4)),
    ({("angle_map", "rows"), ("angle_map", "columns"), ("before_after", "titles")},
     lambda value: isinstance(value, list) and value == ["a", "b"]),
    # a tensor of NaN gives NaN, without waiting for the device
    ({(name, "features") for name in (
        "covariance_loss", "dominant_singular_value_loss", "batch_spectral_shrinkage", "NMTune.forward", "NMTune.tune",
        "NMTune.regularization")}, _is_nan),
    ({("FeatureStore.append", "features")}, lambda value: isinstance(value, np.ndarray) and value.shape == (0, 4)),
    ({("channels_last", "features")}, lambda value: isinstance(value, torch.Tensor)),
    ({("NMTune.from_preset", "num_classes"), ("NMTune.reset", "num_classes")}, lambda value: value is None),
    ({("*", "generator")}, lambda value: isinstance(value, torch.Generator)),
]  # fmt: skip


def verdict(call: Call, argument: str, name: str) -> Finding:
    """Make one call."""
    value = BAD[name]()
    welcome = fits(call, argument, value)
    value = BAD[name]()  # looking used up a generator
    try:
        with quiet(), limit(_SECONDS), torch.random.fork_rng(devices=[]):
            found = call(**{argument: value})
    except (
        ValueError,
        TypeError,
        OSError,
        LookupError,
        RuntimeError,
        ArithmeticError,
        AttributeError,
        MemoryError,
    ) as error:
        said = f"{type(error).__name__}: {' '.join(str(error).split())[:150]}"
        named = type(error) in (ValueError, TypeError) and "`" in str(error)
        clear = named or type(error).__module__.startswith("noisymodel") or isinstance(error, OSError)
        return Finding(call.room, call.name, argument, name, CLEAR if clear else UNCLEAR, said)
    except TimeoutError as error:
        return Finding(call.room, call.name, argument, name, UNCLEAR, f"{error}")
    return Finding(call.room, call.name, argument, name, RIGHT if welcome else SILENT, f"gave {str(found)[:80]!r}")


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Nothing printed, no warnings."""
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        yield


@contextlib.contextmanager
def limit(seconds: int) -> Iterator[None]:
    """An error where a call takes longer."""
    if not hasattr(signal, "SIGALRM") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(*_: object) -> None:
        raise TimeoutError(f"it took more than {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def all_cases(made: list[Call]) -> list[tuple[Call, str, str]]:
    """Every call with every value in every argument."""
    return [(call, argument, name) for call in made for argument in call.parameters() for name in BAD]


def sampled(made: list[Call], count: int, seed: int) -> list[tuple[Call, str, str]]:
    """Some of them, the same for the same seed."""
    cases = all_cases(made)
    return random.Random(seed).sample(cases, min(count, len(cases)))


def main(only: list[str]) -> int:
    """Make all calls (of some rooms) and print what was not right."""
    counts: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    with tempfile.TemporaryDirectory() as folder:
        here = pathlib.Path.cwd()
        os.chdir(folder)  # some values are names of files
        made = [call for call in calls(pathlib.Path(folder), only) if not only or call.room in only]
        for case in all_cases(made):
            found = verdict(*case)
            counts[found.room][found.verdict] += 1
            if found.verdict in (UNCLEAR, SILENT):
                print(found, flush=True)
        os.chdir(here)
    print(f"{'room':<16}" + "".join(f"{name:>9}" for name in ("calls", RIGHT, CLEAR, UNCLEAR, SILENT)))
    total: collections.Counter[str] = collections.Counter()
    for room, found_here in [*counts.items(), ("all", total)]:
        numbers = [found_here.total(), *(found_here[name] for name in (RIGHT, CLEAR, UNCLEAR, SILENT))]
        print(f"{room:<16}" + "".join(f"{number:>9}" for number in numbers))
        total += found_here if room != "all" else collections.Counter()
    return 1 if total[SILENT] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
