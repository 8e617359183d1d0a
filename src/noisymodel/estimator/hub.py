"""Upload and download of a fitted classifier, a folder of JSON and safetensors, on the Hugging Face Hub."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any


def push_folder(
    save: Callable[[Path], None], repo_id: str, *, private: bool | None, token: str | None, api: Any
) -> str:
    """Upload the folder that ``save`` writes, creating the repository if needed; return the commit's address."""
    with tempfile.TemporaryDirectory() as folder:
        save(Path(folder))
        api = _hub().HfApi(token=token) if api is None else api
        api.create_repo(repo_id, private=private, exist_ok=True)
        return str(api.upload_folder(repo_id=repo_id, folder_path=folder, commit_message="NMTuneClassifier"))


def pull_folder(repo_id: str, **options: Any) -> str:
    """Download a repository, and return its local folder."""
    if repo_id.count("/") != 1 or repo_id.startswith((".", "/")):
        raise FileNotFoundError(f"{repo_id} is neither a folder nor the name of a repository (owner/name)")
    return str(_hub().snapshot_download(repo_id, **options))


def _hub() -> Any:
    try:
        import huggingface_hub
    except ImportError:
        raise ImportError("the Hugging Face Hub needs an extra: pip install noisymodel[hub]") from None
    return huggingface_hub
