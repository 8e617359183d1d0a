"""Extraction of a backbone's features into a feature store: `extract`, and backbones by name."""
