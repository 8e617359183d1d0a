"""Noise in labels, pairs and inputs: pure functions of the data and a seed, and their transition matrices."""

from __future__ import annotations

from .audit import verify
from .features import corrupt_features
from .instance import expected_instance_rate, instance_dependent
from .labels import asymmetric, pair_flip, symmetric
from .large_transitions import SimilarityTransition, SymmetricTransition
from .matrix import class_prototypes, from_confusion, from_transition, similarity
from .open_set_noise import OpenSetLabels, open_set
from .pair_streams import PairNoise
from .pairs import NoisyPairs, shuffle_pairs, verify_pairs
from .posterior import posterior_dependent
from .result import NoisyLabels
from .specification import LabelNoise, NoiseChain, compose
from .targets import multi_label, soft_label, soften
from .tokens import NoisyTokens, corrupt_tokens
from .transitions import (
    asymmetric_transition,
    confusion_transition,
    pair_transition,
    similarity_transition,
    symmetric_transition,
)

__all__ = [
    "LabelNoise",
    "NoiseChain",
    "NoisyLabels",
    "NoisyPairs",
    "NoisyTokens",
    "OpenSetLabels",
    "PairNoise",
    "SimilarityTransition",
    "SymmetricTransition",
    "asymmetric",
    "asymmetric_transition",
    "class_prototypes",
    "compose",
    "confusion_transition",
    "corrupt_features",
    "corrupt_tokens",
    "expected_instance_rate",
    "from_confusion",
    "from_transition",
    "instance_dependent",
    "multi_label",
    "open_set",
    "pair_flip",
    "pair_transition",
    "posterior_dependent",
    "shuffle_pairs",
    "similarity",
    "similarity_transition",
    "soft_label",
    "soften",
    "symmetric",
    "symmetric_transition",
    "verify",
    "verify_pairs",
]
