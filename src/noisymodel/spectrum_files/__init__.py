"""Spectra of features in files, which may be larger than memory, and their comparison: ``noisymodel analyze``."""

from __future__ import annotations

from ..features.opening import FeatureFile, open_file
from .report import write_report
from .result import Comparison, FilesAnalysis, FileSpectrum
from .run import analyze_files
from .table import text_tables

__all__ = [
    "Comparison",
    "FeatureFile",
    "FileSpectrum",
    "FilesAnalysis",
    "analyze_files",
    "open_file",
    "text_tables",
    "write_report",
]
