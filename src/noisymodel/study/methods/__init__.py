"""Tuning methods: each builds a head and trains it."""

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
