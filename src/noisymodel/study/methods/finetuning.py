"""Methods that tune the network itself, with and without NMTune's terms: the study runs them by name.

None of their settings was tuned here: they are those of the papers or of the published code, or plain values if these
say nothing. The learning rates are those of the published code for networks and linear probes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import cast

import torch
from torch import nn

from ...heads import Head
from ...heads.network import TuningNetwork
from ...objective import NMTuneLoss
from .base import Material, MaterialMethod
from .frozen import ON_FEATURES
from .tuned_network import TunedNetwork, moved_embeddings, small_spectrum, towards_the_start, with_lora

# ---- in the network --------------------------------------------------------------------------------------------------


def _fine_tuned(material: Material, *, generator: torch.Generator) -> Head:
    return TunedNetwork(material.network, material.classes, generator=generator)


def _low_rank(material: Material, *, generator: torch.Generator, rank: float, alpha: float) -> Head:
    backbone = with_lora(material.network, rank=round(rank), alpha=round(alpha), generator=generator)
    return TunedNetwork(material.network, material.classes, backbone=backbone, generator=generator)


def _from_a_probe(material: Material, *, generator: torch.Generator, probe_learning_rate: float) -> Head:
    """A network whose initial classifier is a linear probe of its features, trained for as many epochs as itself."""
    probe = replace(ON_FEATURES["linear_probe"], settings={"learning_rate": probe_learning_rate}).fitted(material)
    head = TunedNetwork(material.network, material.classes, generator=generator)
    cast(nn.Linear, head.classifier).load_state_dict(cast(nn.Linear, cast(Head, probe).classifier).state_dict())
    return head


def _near_the_start(material: Material, *, generator: torch.Generator, alpha: float, beta: float) -> Head:
    penalty = towards_the_start(material.network, alpha=alpha, beta=beta)
    return TunedNetwork(material.network, material.classes, penalty=penalty, generator=generator)


def _shrunk(material: Material, *, generator: torch.Generator, weight: float, num_smallest: float) -> Head:
    penalty = small_spectrum(weight=weight, num_smallest=round(num_smallest))
    return TunedNetwork(material.network, material.classes, penalty=penalty, generator=generator)


def _undistorted(material: Material, *, generator: torch.Generator, weight: float) -> Head:
    penalty = moved_embeddings(weight=weight)
    return TunedNetwork(material.network, material.classes, penalty=penalty, generator=generator)


def _nmtune(
    material: Material,
    *,
    generator: torch.Generator,
    covariance_weight: float,
    dominant_weight: float,
    consistency_weight: float | None = None,
    rank: float | None = None,
    alpha: float = 0.0,
) -> Head:
    """Terms on the features of the network, or, with ``consistency_weight``, of an NMTune network on top of it."""
    backbone, after = None, None
    if rank is not None:
        backbone = with_lora(material.network, rank=round(rank), alpha=round(alpha), generator=generator)
    if consistency_weight is not None:
        width = material.features.shape[1]
        after = TuningNetwork(
            width,
            hidden_features=4 * width,
            depth=1,
            norm="batch",
            residual=True,
            dropout=0.0,
            input_noise=0.0,
            generator=generator,
        )
    objective = NMTuneLoss(
        consistency_weight=consistency_weight or 0.0,
        covariance_weight=covariance_weight,
        dominant_weight=dominant_weight,
        top_k=5,  # as in the published code
        reduction="mean",
    )
    return TunedNetwork(
        material.network,
        material.classes,
        backbone=backbone,
        after=after,
        objective=objective,
        generator=generator,
    )


# ---- the table -------------------------------------------------------------------------------------------------------

_PROBE = {"probe_learning_rate": 1e-2}
_TERMS = {"covariance_weight": 0.04, "dominant_weight": 0.001}
_LORA = {"rank": 8, "alpha": 8}


def _method(label: str, description: str, role: str, build: Callable[..., Head], **settings: float) -> MaterialMethod:
    """A method that tunes the network at learning rate 0.001; with a ``rank`` it needs peft."""
    known = {"learning_rate": 1e-3, **settings}
    packages = ("peft",) if "rank" in settings else ()
    return MaterialMethod(label, description, role, build, known, sees_pictures=True, packages=packages)


IN_THE_NETWORK: Mapping[str, MaterialMethod] = MappingProxyType(
    {
        "full_fine_tuning": _method(
            "full fine-tuning",
            "The whole network and a new linear classifier, learning rate 0.001.",
            "baseline",
            _fine_tuned,
        ),
        "lora": _method(
            "LoRA",
            "Rank-8 adapters on every linear layer of the frozen network and a new classifier, learning rate 0.001.",
            "baseline",
            _low_rank,
            **_LORA,
        ),
        "lp_ft": _method(
            "LP-FT",
            "Full fine-tuning that begins from a trained linear probe, learning rate 0.01, then 0.001.",
            "baseline",
            _from_a_probe,
            **_PROBE,
        ),
        "wise_ft": _method(
            "WiSE-FT",
            "LP-FT, then half-way back to the pre-trained network with its linear probe (α 0.5): both ends have a "
            "trained classifier.",
            "baseline",
            _from_a_probe,
            **_PROBE,
            interpolation=0.5,
        ),
        "l2_sp": _method(
            "L2-SP",
            "Full fine-tuning with decay of the network towards its start and of the classifier towards zero, both "
            "0.01, learning rate 0.001.",
            "baseline",
            _near_the_start,
            alpha=0.01,
            beta=0.01,
        ),
        "batch_spectral_shrinkage": _method(
            "BSS",
            "Full fine-tuning with batch spectral shrinkage of its features: weight 0.001, the smallest singular "
            "value, learning rate 0.001.",
            "baseline",
            _shrunk,
            weight=0.001,
            num_smallest=1,
        ),
        "embedding_distortion": _method(
            "embedding distortion",
            "Full fine-tuning with one minus the cosine between tuned and pre-trained features, weight 1, learning "
            "rate 0.001.",
            "baseline",
            _undistorted,
            weight=1.0,
        ),
        "nmtune_fine_tuning": _method(
            "NMTune terms, fine-tuning",
            "Full fine-tuning with the published code's terms on the network's own features: covariance 0.04, dominant "
            "singular values 0.001 (top 5), no consistency, learning rate 0.001.",
            "method",
            _nmtune,
            **_TERMS,
        ),
        "nmtune_lora": _method(
            "NMTune terms, LoRA",
            "LoRA with the same terms on the network's own features, no consistency.",
            "method",
            _nmtune,
            **_TERMS,
            **_LORA,
        ),
        "nmtune_fine_tuning_mlp": _method(
            "NMTune on fine-tuning",
            "Full fine-tuning with NMTune's network (residual) on top, the same terms on its output, and consistency "
            "(weight 1) against the frozen network's features.",
            "method",
            _nmtune,
            consistency_weight=1.0,
            **_TERMS,
        ),
        "nmtune_lora_mlp": _method(
            "NMTune on LoRA",
            "LoRA with NMTune's network (residual) on top, the same terms on its output, and consistency (weight 1) "
            "against the frozen network's features.",
            "method",
            _nmtune,
            consistency_weight=1.0,
            **_TERMS,
            **_LORA,
        ),
    }
)
"""Name -> method, in the order of tables."""
