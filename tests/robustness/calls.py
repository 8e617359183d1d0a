"""A good call of every public function, class and method that checks its arguments."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

ROOMS = (
    "noise", "datasets", "spectrum", "subspace", "plot", "metrics", "losses", "objective", "heads", "models",
    "baselines", "training", "sweeping", "estimator", "features", "noise_files", "spectrum_files", "study",
)  # fmt: skip
EXEMPT = {
    "results, made by the library": {
        "NoisyLabels", "NoisyPairs", "NoisyTokens", "OpenSetLabels", "MetricInterval", "NMTuneTerms", "NMTuneOutput",
        "TunedOutput", "FitResult", "SweepResult", "Comparison", "FeatureFile", "FileSpectrum", "FilesAnalysis",
        "Estimate", "ExportedNetwork", "StudyResult", "StudyStatus", "Backbone", "ShardedRows", "ShardedStrings",
        "Choice", "Accuracy", "AveragedHead", "FittedProbe",
    },
    "warnings, errors and protocols": {
        "GramPrecisionWarning", "PopulationBiasWarning", "IllDefinedSubspaceWarning", "FeatureStoreError",
        "EmbeddingClient", "Head",
    },
    "classes that another name makes": {"NoisyLabelStream", "NoisyPairStream", "Plan"},
    "they take models, networks or folders of other libraries": {
        "open_clip_backbone", "timm_backbone", "transformers_backbone", "load_backbone", "OpenAIEmbeddings", "embed",
        "from_arrow", "from_dataset", "from_parquet", "from_webdataset", "to_arrow", "to_dataset", "to_parquet",
        "to_webdataset", "weights_fingerprint", "settings_of", "interpolate", "choose", "open_file", "held_out",
        "default_grid", "train_heads",
    },
    "they work on whole folders, and have tests of hostile folders of their own": {
        "corrupt_captions", "verify_audit", "text_tables", "write_report", "estimate", "export_study", "load_exported",
        "run", "status", "verify_exported", "extract", "to_npy", "from_npy", "compare", "plan",
    },
}  # fmt: skip


class Call(NamedTuple):
    """A function with arguments that it takes; ``repeat`` makes them anew, since some are used up."""

    room: str
    name: str
    function: Callable[..., Any]
    arguments: Callable[[], dict[str, Any]]

    def parameters(self) -> list[str]:
        """What is varied."""
        given = self.arguments()
        found = [
            name for name, one in inspect.signature(self.function).parameters.items()
            if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)
        ]  # fmt: skip
        return [name for name in dict.fromkeys([*found, *given]) if not name.startswith("_")]

    def __call__(self, **changed: Any) -> Any:
        return self.function(**{**self.arguments(), **changed})


def public_names() -> Iterator[tuple[str, str]]:
    """Room and name of every public function and class."""
    for room in ROOMS:
        module = importlib.import_module(f"noisymodel.{room}")
        own = [name for name, value in vars(module).items() if getattr(value, "__module__", "") == module.__name__]
        for name in getattr(module, "__all__", own):
            if callable(getattr(module, name)) and name[0] != "_":
                yield room, name


def calls(folder: Path, rooms: Collection[str] = ()) -> list[Call]:
    """All of them, or those of some rooms (and a few more); files go into the folder."""
    found: list[Call] = []

    def add(
        room: str, name: str, arguments: Mapping[str, Any] | Callable[[], dict[str, Any]], function: Any = None
    ) -> None:
        function = function or getattr(importlib.import_module(f"noisymodel.{room}"), name)
        make = arguments if callable(arguments) else (lambda: dict(arguments))
        found.append(Call(room, name, function, make))

    for part, about in PARTS.items():
        if not rooms or set(rooms) & set(about):
            part(add, folder)
    return found


def _array(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def _tensor(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(_array(*shape, seed=seed)).float()


LABELS = np.arange(12) % 3


def _noise(add: Any, folder: Path) -> None:
    from noisymodel import noise

    labels = {"labels": LABELS, "seed": 0, "num_classes": 3}
    add("noise", "symmetric", {**labels, "rate": 0.5})
    add("noise", "pair_flip", {**labels, "rate": 0.5})
    add("noise", "asymmetric", {**labels, "rate": 0.5, "mapping": {0: 1}})
    add("noise", "from_transition", {**labels, "matrix": np.full((3, 3), 1 / 3)})
    add("noise", "from_confusion", {**labels, "counts": np.ones((3, 3)), "rate": 0.5})
    add("noise", "similarity", {**labels, "rate": 0.5, "prototypes": _array(3, 4)})
    add("noise", "instance_dependent", {**labels, "rate": 0.5, "features": _array(12, 4)})
    posterior = np.abs(_array(12, 3)) + 0.1
    add(
        "noise",
        "posterior_dependent",
        {**labels, "rate": 0.2, "posterior": posterior / posterior.sum(1, keepdims=True)},
    )
    add("noise", "open_set", {**labels, "rate": 0.5, "num_outliers": 9})
    add("noise", "multi_label", {"targets": np.eye(4, dtype=int), "missing": 0.5, "seed": 0})
    specification = noise.LabelNoise("symmetric", 0.5, num_classes=3, seed=0)
    soft = np.full((4, 3), 1 / 3)
    add("noise", "soft_label", {"targets": soft, "noise": specification})
    add("noise", "soften", {"targets": soft, "matrix": np.eye(3)})
    add("noise", "class_prototypes", {"features": _array(12, 4), "labels": LABELS, "num_classes": 3})
    add("noise", "shuffle_pairs", {"num_pairs_or_image_ids": 10, "rate": 0.4, "seed": 0})
    audit = noise.symmetric(LABELS, 0.5, seed=0).audit()
    add("noise", "verify", {"audit": audit, "labels": LABELS})
    add("noise", "verify_pairs", {"audit": noise.shuffle_pairs(10, 0.4, seed=0).audit(), "num_pairs_or_image_ids": 10})
    add("noise", "corrupt_features", {"features": _array(4, 3), "sigma": 0.1, "seed": 0})
    text = np.arange(12).reshape(3, 4)
    add("noise", "corrupt_tokens", {"tokens": text, "rate": 0.5, "vocabulary_size": 20, "seed": 0})
    add("noise", "symmetric_transition", {"num_classes": 3, "rate": 0.5})
    add("noise", "pair_transition", {"num_classes": 3, "rate": 0.5})
    add("noise", "asymmetric_transition", {"num_classes": 3, "rate": 0.5, "mapping": {0: 1}})
    add("noise", "similarity_transition", {"prototypes": _array(3, 4), "rate": 0.5})
    add("noise", "confusion_transition", {"counts": np.ones((3, 3)), "rate": 0.5})
    add("noise", "expected_instance_rate", {"rate": 0.5})
    add("noise", "SymmetricTransition", {"num_classes": 3, "diagonal": 0.6, "off_diagonal": 0.2})
    add("noise", "SimilarityTransition", {"directions": np.eye(3), "rate": 0.5, "temperature": 1.0})
    kind = {"kind": "symmetric", "rate": 0.5, "num_classes": 3, "seed": 0, "include_true": False, "selection": "exact"}
    add("noise", "LabelNoise", kind)
    add("noise", "LabelNoise.apply", {"labels": LABELS}, specification.apply)
    add("noise", "LabelNoise.at", {"key": "a", "label": 1}, specification.at)
    add("noise", "LabelNoise.at_many", {"keys": list("abc"), "labels": [0, 1, 2]}, specification.at_many)
    add("noise", "NoiseChain", {"steps": (specification,)})
    add(
        "noise",
        "compose",
        {"noise": specification},
        lambda noise: importlib.import_module("noisymodel.noise").compose(noise),
    )
    add("noise", "PairNoise", {"rate": 0.5, "captions": ["a", "b"], "seed": 0})
    add("noise", "PairNoise.at", {"key": "a", "text": "b"}, noise.PairNoise(0.5, ["a", "b"], seed=0).at)


def _datasets(add: Any, folder: Path) -> None:
    from noisymodel import noise

    source = [{"__key__": str(at), "image": at, "text": f"t{at}", "label": at % 3} for at in range(6)]
    clean = noise.symmetric([one["label"] for one in source], 0.5, seed=0)

    def read(kind: str) -> Any:
        made = getattr(importlib.import_module("noisymodel.datasets"), kind)

        def call(source: Any, noise: Any, **options: Any) -> Any:
            return list(made(source, noise, **options))

        call.__signature__ = inspect.signature(made)  # type: ignore[attr-defined]
        return call

    add("datasets", "NoisyLabelDataset", {"source": source, "noise": clean}, read("NoisyLabelDataset"))
    pairs = noise.shuffle_pairs(6, 0.5, seed=0)
    add("datasets", "NoisyPairDataset", {"source": source, "noise": pairs}, read("NoisyPairDataset"))


def _spectra(add: Any, folder: Path) -> None:
    from noisymodel import spectrum, subspace

    rows = _array(30, 4)
    add("spectrum", "analyze", {"features": rows})
    add("spectrum", "jackknife_intervals", {"features": rows, "num_blocks": 5})
    add("spectrum", "bootstrap_intervals", {"features": rows, "num_resamples": 5})
    add("spectrum", "intrinsic_dimension", {"features": rows})
    add("spectrum", "lidar", {"features": rows, "labels": np.arange(30) % 3})
    for name in ("singular_value_entropy", "largest_singular_value_ratio", "effective_rank", "eigenvalue_entropy"):
        add("spectrum", name, {"singular_values": np.array([3.0, 2.0, 1.0])})
    add("spectrum", "nesum", {"spectrum": spectrum.analyze(rows, center="column")})
    add("spectrum", "Spectrum", {"singular_values": np.array([3.0, 2.0, 1.0]), "num_samples": 5, "num_features": 3})
    found = spectrum.analyze(rows)
    add("spectrum", "Spectrum.rankme", {}, found.rankme)
    add("spectrum", "Spectrum.power_law_exponent", {"window": (1, 4)}, found.power_law_exponent)
    add("spectrum", "Spectrum.marchenko_pastur_edge", {}, found.marchenko_pastur_edge)
    add("spectrum", "Spectrum.explained", {"k": 2}, found.explained)
    add("spectrum", "SpectrumAccumulator", {"num_features": 4})

    def total() -> spectrum.SpectrumAccumulator:
        made = spectrum.SpectrumAccumulator(4)
        made.update(rows)
        return made

    add("spectrum", "SpectrumAccumulator.update", {"batch": rows}, lambda batch: total().update(batch))
    add("spectrum", "SpectrumAccumulator.merge", {"other": total()}, lambda other: total().merge(other))
    add("spectrum", "SpectrumAccumulator.spectrum", {}, total().spectrum)
    add("subspace", "principal_angles", {"a": rows, "b": rows, "k": 2})
    add("subspace", "dominant_rotation", {"a": rows, "b": rows, "k": 2})
    add("subspace", "linear_cka", {"a": rows, "b": rows})
    add("subspace", "SubspaceAccumulator", {"num_features_a": 4})

    def update(a: Any, b: Any) -> float:
        pairs = subspace.SubspaceAccumulator(4, 4)
        pairs.update(a, b)
        return pairs.linear_cka()

    add("subspace", "SubspaceAccumulator.update", {"a": rows, "b": rows}, update)
    for name in ("SingularValueEntropy", "LargestSingularValueRatio", "EffectiveRank"):
        add("metrics", name, {"num_features": 4})


def _plots(add: Any, folder: Path) -> None:
    from noisymodel import spectrum

    one = spectrum.analyze(_array(30, 4))
    add("plot", "scree", {"spectra": one})
    add("plot", "cumulative_energy", {"spectra": one})
    add("plot", "before_after", {"before": one, "after": one})
    add("plot", "angle_map", {"angles": np.zeros((2, 2)), "rows": ["a", "b"]})
    add("plot", "metric_against_rate", {"curves": {0.0: 1.0, 0.1: 2.0}, "label": "SVE"})
    add("plot", "metrics_against_rate", {"curves": {0.0: {"entropy": 1.0}}, "metrics": ["entropy"]})
    add("plot", "metrics_of_models", {"points": {"entropy": {"a": 1.0}}})


def _heads(add: Any, folder: Path) -> None:
    from noisymodel import baselines, heads, objective

    rows, other = _tensor(8, 4), _tensor(8, 4, seed=1)
    add("losses", "covariance_loss", {"features": rows})
    add("losses", "dominant_singular_value_loss", {"features": rows})
    add("losses", "consistency_loss", {"tuned": rows, "reference": other})
    weights = {"consistency_weight": 1.0, "covariance_weight": 1.0, "dominant_weight": 1.0}
    add("losses", "nmtune_regularization", {"tuned": rows, "reference": other, **weights})
    add("objective", "NMTuneLoss", {})
    loss = objective.NMTuneLoss()
    targets = torch.arange(8) % 3
    passed = {"logits": _tensor(8, 3), "targets": targets, "tuned": rows, "reference": other}
    add("objective", "NMTuneLoss.forward", passed, loss.forward)
    for name in ("LinearProbe", "MLPProbe", "NMTune", "SpectralProbe"):
        add("heads", name, {"in_features": 4, "num_classes": 3})
    head = heads.NMTune(4, 3, hidden_features=8)
    add("heads", "NMTune.forward", {"features": rows}, head.forward)
    add("heads", "NMTune.tune", {"features": rows}, head.tune)
    add("heads", "NMTune.loss", {"features": rows, "targets": targets}, head.loss)
    add("heads", "NMTune.regularization", {"features": rows}, head.regularization)
    add("heads", "NMTune.reset", {"num_classes": 2}, lambda num_classes: heads.NMTune(4, 3).reset(num_classes))
    add(
        "heads", "NMTune.from_preset", {"name": "paper", "in_features": 4, "num_classes": 3},
        lambda name, in_features, num_classes: heads.NMTune.from_preset(name, in_features, num_classes),
    )  # fmt: skip
    examples = {"features": rows, "targets": targets, "num_classes": 3}
    add("heads", "fit_linear_probe", {**examples, "folds": 2})
    add("heads", "fit_kernel_probe", {**examples, "folds": 2, "landmarks": 4})
    add("heads", "KernelProbe", {"in_features": 4, "num_classes": 3, "landmarks": 4})
    add("models", "RowSampler", {"max_rows": 3})
    backbone = torch.nn.Linear(5, 4)
    add("models", "TunedModel", {"backbone": backbone, "head": head})
    add("models", "channels_last", {"features": _tensor(2, 3, 4, 4)})
    add("baselines", "WhitenedProbe", {"in_features": 4, "num_classes": 3})
    add("baselines", "DiscriminantSums", {"num_features": 4, "num_classes": 3})
    sums = baselines.DiscriminantSums(4, 3).update(rows, targets)
    add(
        "baselines", "DiscriminantSums.update", {"features": rows, "targets": targets},
        lambda features, targets, sample_weight=None: baselines.DiscriminantSums(4, 3).update(
            features, targets, sample_weight=sample_weight
        ),
    )  # fmt: skip
    add("baselines", "DiscriminantSums.probe", {}, sums.probe)
    add("baselines", "batch_spectral_shrinkage", {"features": rows})
    add("baselines", "embedding_distortion", {"tuned": rows, "pretrained": other})
    start = {name: value.detach().clone() for name, value in backbone.named_parameters()}
    add("baselines", "l2_sp_penalty", {"parameters": dict(backbone.named_parameters()), "start": start})
    matching = {"classify": torch.nn.Linear(4, 3), "features": rows, "targets": targets}
    add("baselines", "local_gradient_matching", matching)
    add("baselines", "whitening", {"features": rows})


def _training(add: Any, folder: Path) -> None:
    from noisymodel import heads
    from noisymodel.estimator import NMTuneClassifier

    rows, targets = _tensor(12, 4), torch.arange(12) % 3
    add(
        "training", "fit",
        lambda: {
            "head": heads.NMTune(4, 3, hidden_features=8), "features": rows, "targets": targets, "epochs": 1, "seed": 0,
            "device": "cpu", "validation": (rows, targets),
        },
    )  # fmt: skip
    grid = [{"hidden_features": 8}]
    held = {"features": rows, "targets": targets, "validation": (rows, targets), "epochs": 1, "device": "cpu"}
    add("sweeping", "sweep", {"in_features": 4, "num_classes": 3, "grid": grid, **held})
    features, labels = rows.numpy(), targets.numpy()
    small = {"epochs": 1, "weights": "fixed", "hidden_features": 8, "device": "cpu"}

    def fitted(**options: Any) -> Any:
        return NMTuneClassifier(**{"minimum_steps": 1, **options}).fit(features, labels)

    fitted.__signature__ = inspect.signature(NMTuneClassifier)  # type: ignore[attr-defined]
    add("estimator", "NMTuneClassifier", small, fitted)
    one = fitted(**small)
    add(
        "estimator", "NMTuneClassifier.fit", {"X": features, "y": labels},
        lambda X, y, sample_weight=None: NMTuneClassifier(**small).fit(X, y, sample_weight=sample_weight),
    )  # fmt: skip
    add("estimator", "NMTuneClassifier.predict_proba", {"X": features}, one.predict_proba)
    add("estimator", "compare_layers", {"layers": {"one": features}, "labels": labels})


def _files(add: Any, folder: Path) -> None:
    from noisymodel.features import FeatureStore

    counter = iter(range(10**9))

    def create(num_features: Any, dtype: Any = "float32", metadata: Any = None, shard_rows: Any = None) -> None:
        options = {} if shard_rows is None else {"shard_rows": shard_rows}
        made = FeatureStore.create(
            folder / f"{next(counter)}", num_features=num_features, dtype=dtype, metadata=metadata, **options
        )
        made.close()

    def append(features: Any, labels: Any = None, ids: Any = None) -> None:
        with FeatureStore.create(folder / f"{next(counter)}", num_features=4) as store:
            store.append(features, labels=labels, ids=ids)

    add("features", "FeatureStore", {"num_features": 4}, create)
    add(
        "features",
        "FeatureStore.append",
        {"features": _array(6, 4), "labels": np.arange(6), "ids": list("abcdef")},
        append,
    )
    (folder / "labels.csv").write_text("label\n" + "a\nb\n" * 6)
    given = {"source": folder / "labels.csv", "kind": "symmetric", "rate": 0.5, "seed": 0}

    def corrupt(
        source: Any, kind: Any, rate: Any, seed: Any, num_classes: Any = None, column: Any = None, force: Any = False,
        progress: Any = False, include_true: Any = False,
    ) -> Any:  # fmt: skip
        from noisymodel.noise_files import corrupt_labels

        options = {"num_classes": num_classes, "column": column, "force": force, "progress": progress}
        out = folder / f"{next(counter)}"
        return corrupt_labels(source, out, kind=kind, rate=rate, seed=seed, include_true=include_true, **options)

    add("noise_files", "corrupt_labels", given, corrupt)
    np.save(folder / "features.npy", _array(20, 4))
    add("spectrum_files", "analyze_files", {"files": [folder / "features.npy"]})
    add("features", "open_features", {"path": folder / "features.npy"})
    add("features", "read_labels", {"path": folder / "labels.csv"})
    add("study", "StudyConfig", {})
    add("study", "PretrainingConfig", {})
    add("study", "TuningConfig", {})


PARTS: dict[Callable[[Any, Path], None], tuple[str, ...]] = {
    _noise: ("noise",),
    _datasets: ("datasets",),
    _spectra: ("spectrum", "subspace", "metrics"),
    _plots: ("plot",),
    _heads: ("losses", "objective", "heads", "models", "baselines"),
    _training: ("training", "sweeping", "estimator"),
    _files: ("features", "noise_files", "spectrum_files", "study"),
}
