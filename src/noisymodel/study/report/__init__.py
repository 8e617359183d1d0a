"""The report of a study: files, figures, tables and page, from its record."""

from __future__ import annotations

from .files import terminal_tables, write_report

__all__ = ["terminal_tables", "write_report"]
