"""Models of sentence-transformers: what their files say is what is done, by ``st:`` and by ``hf:``."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from extraction_folders import with_sentence_files
from noisymodel.errors import FeatureStoreError, InputFileError
from noisymodel.features import extract, load_backbone
from noisymodel.features.extraction.pooling_files import own_pooling

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
TEXTS = ["wrong labels", "a text a text captions are x labels", "x", "labels " * 40]
PROMPTS = {"prompts": {"query": "captions a ", "document": ""}, "default_prompt_name": "query"}


def hidden(folder: Path, text: str, length: int = 16) -> torch.Tensor:
    from transformers import AutoModel, AutoTokenizer

    tokens = AutoTokenizer.from_pretrained(folder)(text, return_tensors="pt", truncation=True, max_length=length)
    with torch.random.fork_rng(), torch.no_grad():
        return AutoModel.from_pretrained(folder).eval()(**tokens).last_hidden_state[0]


def test_hf_does_as_the_files_say(bert: Path, tmp_path: Path) -> None:
    def row(text: str, rule: str) -> torch.Tensor:
        tokens = hidden(bert, f"captions a {text}")
        place = torch.arange(1.0, len(tokens) + 1)[:, None]
        return {
            "cls_token": lambda: tokens[0],
            "lasttoken": lambda: tokens[-1],
            "mean_tokens": lambda: tokens.mean(0),
            "max_tokens": lambda: tokens.amax(0),
            "mean_sqrt_len_tokens": lambda: tokens.sum(0) / len(tokens) ** 0.5,
            "weightedmean_tokens": lambda: (tokens * place).sum(0) / place.sum(),
        }[rule]()

    for number, rules in enumerate((["cls_token"], ["lasttoken"], ["mean_sqrt_len_tokens"], ["weightedmean_tokens"])):
        folder = with_sentence_files(bert, tmp_path / f"model{number}", rules, normalize=number % 2 == 0, **PROMPTS)
        store = extract(f"hf:{folder}", [TEXTS], tmp_path / f"store{number}")
        for place, text in enumerate(TEXTS):
            wanted = row(text, rules[0])
            wanted = wanted / wanted.norm() if number % 2 == 0 else wanted
            torch.testing.assert_close(store[place], wanted, atol=1e-5, rtol=1e-4)
    both = with_sentence_files(bert, tmp_path / "both", ["cls_token", "max_tokens"], normalize=False)
    assert extract(f"hf:{both}", [TEXTS], tmp_path / "both_store").num_features == 32


def test_prompts_by_name(bert: Path, tmp_path: Path) -> None:
    folder = with_sentence_files(bert, tmp_path / "model", ["mean_tokens"], **PROMPTS)
    default = extract(f"hf:{folder}", [TEXTS], tmp_path / "default")
    document = extract(f"hf:{folder}", [TEXTS], tmp_path / "document", prompt="document")
    assert not torch.allclose(default[:], document[:], atol=1e-3)
    assert default.metadata["transform"]["prompt"] == "captions a "
    with pytest.raises(FeatureStoreError, match=r"transform\.prompt is 'captions a ' here and '' there"):
        default.check_backbone(document)
    with pytest.raises(InputFileError, match=r"`prompt` must be one of \['document', 'query'\], got 'passage'"):
        load_backbone(f"hf:{folder}", prompt="passage")
    with pytest.raises(InputFileError, match="`prompt` 'query' was asked for, and the model has no prompts"):
        load_backbone(f"hf:{bert}", prompt="query")


def test_an_explicit_pooling_counts_more_than_the_files(bert: Path, tmp_path: Path) -> None:
    folder = with_sentence_files(bert, tmp_path / "model", ["mean_tokens"])
    store = extract(f"hf:{folder}", [TEXTS], tmp_path / "store", pooling="cls")
    torch.testing.assert_close(store[0], hidden(bert, TEXTS[0])[0], atol=1e-5, rtol=1e-4)
    assert store.metadata["layer"] == "output, cls"


def test_hf_says_when_it_takes_the_mean(bert: Path, tmp_path: Path) -> None:
    told = (
        r"the mean over all tokens is taken, since its files do not say .* `pooling` \('cls', 'last', ...\) says what"
    )
    with pytest.warns(UserWarning, match=told):
        extract(f"hf:{bert}", [TEXTS], tmp_path / "plain")
    more = with_sentence_files(bert, tmp_path / "model", ["mean_tokens"], more=["Dense"])
    with pytest.warns(UserWarning, match=r"ask for the chain Transformer, Pooling, Normalize, Dense, which st: can do"):
        extract(f"hf:{more}", [TEXTS], tmp_path / "dense")
    own = own_pooling(str(more))
    assert own is not None
    assert (own.rule, own.normalize) == (None, False)


def test_settings_tell_stores_apart(bert: Path, tmp_path: Path) -> None:
    short, long = (
        extract(
            f"hf:{with_sentence_files(bert, tmp_path / str(length) / 'model', ['cls_token'], max_length=length)}",
            [TEXTS],
            tmp_path / f"store{length}",
        )
        for length in (8, 16)
    )
    with pytest.raises(FeatureStoreError, match=r"transform.max_length is 8 here and 16 there"):
        short.check_backbone(long)
    plain = extract(f"hf:{bert}", [TEXTS], tmp_path / "plain", pooling="cls")
    half = extract(f"hf:{bert}", [TEXTS], tmp_path / "half", pooling="cls", autocast=torch.bfloat16)
    with pytest.raises(FeatureStoreError, match="precision is 'float32' here and 'float32, autocast bfloat16' there"):
        plain.check_backbone(half)


@pytest.mark.slow
def test_each_pooling_is_that_of_sentence_transformers(minilm: Path, tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer

    texts = ["Wrong labels", "a much longer text about captions that are wrong " * 3, "x", "word " * 400]
    rules = ("cls_token", "mean_tokens", "max_tokens", "mean_sqrt_len_tokens", "weightedmean_tokens", "lasttoken")
    for number, rule in enumerate(rules):
        config = {"prompts": {"query": "find this: "}, "default_prompt_name": "query" if number % 2 else None}
        made = {"normalize": number % 3 > 0, "max_length": 256, "width": 384}
        folder = with_sentence_files(minilm, tmp_path / rule, [rule], **made, **config)
        wanted = torch.tensor(SentenceTransformer(str(folder), device="cpu").encode(texts))
        for kind in ("hf", "st"):
            store = extract(f"{kind}:{folder}", [texts[:2], texts[2:]], tmp_path / f"{kind}_{rule}")
            torch.testing.assert_close(store[:], wanted, atol=1e-5, rtol=1e-4)
    with pytest.raises(ValueError, match="`pooling` has no part in st: models"):
        extract(f"st:{minilm}", [texts], tmp_path / "never", pooling="cls")
    assert store.metadata["layer"] == "output, own"
