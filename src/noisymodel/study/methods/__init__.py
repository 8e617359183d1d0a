"""Tuning methods: how to build a head, and how to train it."""

from __future__ import annotations

from .base import Material, MaterialMethod, Method
from .registry import ALIASES, ALL_METHODS, GROUPS, KNOWN, chosen_methods, expanded, method_notes

__all__ = [
    "ALIASES",
    "ALL_METHODS",
    "GROUPS",
    "KNOWN",
    "Material",
    "MaterialMethod",
    "Method",
    "chosen_methods",
    "expanded",
    "method_notes",
]
