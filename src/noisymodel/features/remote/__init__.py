"""Features from embedding APIs: `embed`, and `OpenAIEmbeddings` for any OpenAI-compatible endpoint."""
