"""Adapters to other libraries; each needs the library that it is named after.

- `noisymodel.integrations.ray`: the spectrum of a Ray Data dataset.
"""
