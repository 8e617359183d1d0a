"""A study that never ran: rows with known directions, drawn from a seeded generator."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from noisymodel.study.rows import (
    CLEAN_SHIFT,
    FEATURES,
    PRETRAINING,
    CurveRow,
    MethodNote,
    Row,
    ShiftNote,
    StudyRecord,
)

RATES = (0.0, 0.05, 0.1, 0.2, 0.3)
SEEDS = tuple(range(7000, 7010))
METHODS = (
    MethodNote("linear_probe", "Linear probe", "Linear layer, learning rate 1e-2, 30 epochs.", "baseline"),
    MethodNote("linear_probe_long", "Linear probe, 120 epochs", "The same for 120 epochs.", "control"),
    MethodNote("mlp", "MLP", "64-256-64, batch norm, learning rate 1e-3.", "baseline"),
    MethodNote("mlp_tuned", "MLP, tuned learning rate", "The same, learning rate 3e-3.", "control"),
    MethodNote("mlp_label_smoothing", "MLP, label smoothing", "The same, label smoothing 0.1.", "control"),
    MethodNote("nmtune_paper", "NMTune, paper's weights", "All weights 0.01.", "method"),
    MethodNote("nmtune_official", "NMTune, published code's weights", "Residual, top 5.", "method"),
    MethodNote("nmtune_tuned", "NMTune, tuned weights", "Consistency 1, covariance 3, dominant 0.1.", "method"),
)
REPORT_SHIFTS = ("small", "trans", "salt", "edge", "clutter", "texture", "warp", "dash", "thin", "grad")
TUNING_SHIFTS = ("rotation", "thick", "shear", "low_contrast", "noise", "blur", "occlusion")
GAIN = {"linear_probe": 0.0, "linear_probe_long": 0.01, "mlp": 0.005, "mlp_tuned": 0.008, "mlp_label_smoothing": 0.015,
        "nmtune_paper": 0.005, "nmtune_official": 0.005, "nmtune_tuned": 0.03}  # fmt: skip
ID_CHANGE = {0.0: 0.0, 0.05: 0.03, 0.1: 0.029, 0.2: 0.028, 0.3: 0.021}
OOD_CHANGE = {0.0: 0.0, 0.05: -0.036, 0.1: -0.058, 0.2: -0.08, 0.3: -0.108}


def synthetic_record(
    *,
    seeds: Sequence[int] = SEEDS,
    rates: Sequence[float] = RATES,
    methods: Sequence[str] = tuple(note.name for note in METHODS),
    id_change: Mapping[float, float] | float = ID_CHANGE,
    ood_change: Mapping[float, float] | float = OOD_CHANGE,
    gain: Mapping[str, float] = GAIN,
    spectral_rise: float = 0.1,
    spread: float = 0.01,
    shots: Sequence[int] = (40,),
    shifts: Sequence[str] = REPORT_SHIFTS,
    generator_seed: int = 1,
    drift: bool = False,
    ablations: Mapping[str, float] | None = None,
    curves: bool = False,
    objective: str = "supervised",
    data: str = "glyphs",
) -> StudyRecord:
    """A record in which the changes with the rate and the gains of the methods are as given, plus noise of ``spread``.

    A change may be a mapping from rate to change, or one number for all rates above 0. With ``drift`` the features
    have rotation and CKA, ``ablations`` are further methods with their gain over the tuned NMTune, ``curves`` has two
    epochs.
    """
    ablations = ablations or {}
    gain = {**gain, **{name: gain["nmtune_tuned"] + more for name, more in ablations.items()}}
    methods = (*methods, *ablations)
    source = data.partition("/")[0]
    epochs: list[CurveRow] = []
    generator, other = np.random.default_rng(generator_seed).spawn(2)

    def change(of: Mapping[float, float] | float, rate: float) -> float:
        if isinstance(of, Mapping):
            return of[rate]
        return of if rate > 0 else 0.0

    table: list[Row] = []
    spectra = {}
    for rate in rates:
        for seed in seeds:

            def add(method, count, split, shift, metric, value, rate=rate, seed=seed):
                where = source if method == PRETRAINING else data
                table.append(Row(where, objective, "mlp", "symmetric", rate, method, count, split, shift, seed,
                                 metric, float(value + spread * generator.normal())))  # fmt: skip
                if curves and metric == "accuracy":
                    row = table[-1]
                    epochs.extend(CurveRow(*row._replace(value=row.value - 0.1 / e), epoch=e) for e in (1, 2))
                    if split == "id":
                        epochs.extend(
                            CurveRow(*row._replace(metric="training_loss", value=1 / e), epoch=e) for e in (1, 2)
                        )

            add(PRETRAINING, 0, "id", CLEAN_SHIFT, "clean_accuracy", 1 - 0.08 * rate)
            add(PRETRAINING, 0, "id", CLEAN_SHIFT, "noisy_label_fit", 1 - 0.9 * rate)
            rise = spectral_rise * np.sqrt(rate) * 10
            for split, shift in [("id", CLEAN_SHIFT), *(("ood", shift) for shift in shifts)]:
                add(FEATURES, 0, split, shift, "singular_value_entropy", 3.25 + 0.6 * rise)
                add(FEATURES, 0, split, shift, "largest_singular_value_ratio", 2.06 + 0.3 * rise)
                add(FEATURES, 0, split, shift, "effective_rank", 26 + 20 * rise)
                if drift:
                    add(FEATURES, 0, split, shift, "subspace_rotation", 60 * np.sqrt(rate))
                    add(FEATURES, 0, split, shift, "linear_cka", 1 - rate)
            for count in shots:
                for method in methods:
                    add(method, count, "id", CLEAN_SHIFT, "accuracy", 0.90 + change(id_change, rate) + gain[method])
                    for position, shift in enumerate(shifts):
                        level = 0.4 + 0.05 * position + (0.2 + 0.16 * position) * change(ood_change, rate)
                        add(method, count, "ood", shift, "accuracy", level + gain[method])
                    if method.startswith("nmtune"):
                        factor = 0.6 if method == "nmtune_tuned" else 0.95
                        add(method, count, "id", CLEAN_SHIFT, "singular_value_entropy", 3.4 + 0.3 * rise * factor)
                        ratio = (2.06 + 0.3 * rise) * factor
                        add(method, count, "id", CLEAN_SHIFT, "largest_singular_value_ratio", ratio)
            steepness = 0.12 - 0.1 * rate
            for where in ("id", *shifts):
                key = f"rate={rate:g}/seed={seed}/{where}"
                spectra[key] = 90 * np.exp(-steepness * np.arange(64)) * other.uniform(0.95, 1.05)
    present = set(methods)
    return StudyRecord(
        config={"seeds": list(seeds), "noise": {"rates": list(rates)}, "data": source},
        methods=(
            *(note for note in METHODS if note.name in present),
            *(MethodNote(name, name.replace("_", " "), f"{name}.", "ablation", "nmtune_tuned") for name in ablations),
        ),
        shifts=(
            *(ShiftNote(name, f"the pictures with {name}", "report") for name in shifts),
            *(ShiftNote(name, f"the pictures with {name}", "tuning") for name in TUNING_SHIFTS),
        ),
        data_title="procedural glyphs",
        data_description="Glyphs of four strokes; ten super-classes for pre-training, twenty fine classes downstream.",
        table=tuple(table),
        curves=tuple(epochs),
        spectra=spectra,
        samples={
            name: other.uniform(0, 1, size=(6, 16, 16)).astype(np.float32)
            for name in ("clean", *shifts, *TUNING_SHIFTS)
        },
        command="noisymodel study --seeds 10",
        versions={"noisymodel": "0.1.0", "torch": "2.13.0", "numpy": "2.0.0", "python": "3.11.9"},
        seconds=187.4,
        finished="2026-01-31T12:00:00Z",
        remarks=("The default regime was searched for.", "Digits show no in-domain gain <here> & elsewhere."),
    )


def joined(*records: StudyRecord) -> StudyRecord:
    """One study of several groups."""
    first = records[0]
    spectra = {
        "/".join([*next(row for row in one.table if row.method == FEATURES)[:4], key]): values
        for one in records
        for key, values in one.spectra.items()
    }
    table = tuple(dict.fromkeys(row for one in records for row in one.table))
    curves = tuple(row for one in records for row in one.curves)
    return dataclasses.replace(first, table=table, curves=curves, spectra=spectra)
