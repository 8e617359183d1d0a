"""A frozen or fully fine-tuned backbone of transformers with NMTune, by Hugging Face's Trainer.

    python examples/transformers_trainer.py                        # a tiny random BERT, offline
    python examples/transformers_trainer.py --backbone bert-base-uncased --full

Copy this when your loop is `Trainer`. Every term is logged, accumulated gradients are divided, the folder reloads.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import torch

try:
    from transformers import BertConfig, BertModel, TrainingArguments
except ImportError as error:
    raise SystemExit(f"{error.name} is missing: pip install 'noisymodel[hf]'") from None

from noisymodel.integrations.transformers import NMTuneForSequenceClassification, NMTuneTrainer


def rows(count: int, seed: int) -> list[dict[str, torch.Tensor]]:
    """Yours: dictionaries with ``input_ids``, ``attention_mask`` and ``labels``."""
    ids = torch.randint(4, 100, (count, 12), generator=torch.Generator().manual_seed(seed))
    return [{"input_ids": row, "attention_mask": torch.ones(12, dtype=torch.long), "labels": row[0] % 3} for row in ids]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--backbone", help="a name on the Hub or a folder")
    parser.add_argument("--full", action="store_true", help="train the backbone too")
    options = parser.parse_args()
    torch.manual_seed(0)
    tiny = BertConfig(vocab_size=100, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64)
    model = NMTuneForSequenceClassification.from_backbone(
        options.backbone or BertModel(tiny), 3, preset="official", freeze_backbone=not options.full, seed=0
    )
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            folder,
            num_train_epochs=2,
            per_device_train_batch_size=8,
            gradient_accumulation_steps=2,
            learning_rate=1e-3,
            logging_steps=4,
            eval_strategy="epoch",
            dataloader_drop_last=True,  # batch statistics of one row do not exist
            report_to=[],
            disable_tqdm=True,
        )
        trainer = NMTuneTrainer(model, arguments, train_dataset=rows(129, 0), eval_dataset=rows(33, 1))
        trainer.train()
        trainer.save_model(str(Path(folder) / "final"))
        loaded = NMTuneForSequenceClassification.from_pretrained(Path(folder) / "final")
    batch = {name: torch.stack([row[name] for row in rows(8, 2)]) for name in ("input_ids", "attention_mask")}
    here = {name: value.to(model.device) for name, value in batch.items()}
    same = torch.equal(loaded.to(model.device)(**here).logits, model.eval()(**here).logits)
    print("logged:", *(name for name in trainer.state.log_history[0] if name != "step"))
    print("reloaded with the same logits:", same)


if __name__ == "__main__":
    main()
