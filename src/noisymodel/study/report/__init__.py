"""From a study's record to its files, figures, tables and page."""

from __future__ import annotations

from .files import terminal_tables, write_report

__all__ = ["terminal_tables", "write_report"]
