"""Features from embedding APIs: `embed`, and `OpenAIEmbeddings` for any OpenAI-compatible endpoint."""

from __future__ import annotations

from .client import EmbeddingClient, OpenAIEmbeddings
from .embed import embed
from .limits import Estimate

__all__ = ["EmbeddingClient", "Estimate", "OpenAIEmbeddings", "embed"]
