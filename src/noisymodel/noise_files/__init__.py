"""Noise in files of labels and captions, with an audit from which anyone can reproduce it."""

from __future__ import annotations

from .corrupt import corrupt_captions, corrupt_labels
from .verify import verify_audit

__all__ = ["corrupt_captions", "corrupt_labels", "verify_audit"]
