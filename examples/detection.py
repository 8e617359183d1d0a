"""NMTune on per-query features: a tiny DETR with random weights finds generated squares.

The head has no classifier. It reshapes the decoder's queries (B, Q, D), which then go into DETR's own class and box
layers. The loss is DETR's own plus the regularizers.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

try:
    from transformers import DetrConfig, DetrForObjectDetection, ResNetConfig
except ImportError as error:
    raise SystemExit(f"{error.name} is missing: pip install 'noisymodel[hf]'") from None

from noisymodel import NMTune, TunedModel

SIZE, WIDTH, QUERIES, STEPS = 64, 32, 6, 100


def scenes(count: int) -> tuple[Tensor, list[dict[str, Tensor]]]:
    """One square in each picture, in the channel of its class; boxes are (centre x, centre y, width, height) / size."""
    pictures, labels = 0.1 * torch.randn(count, 3, SIZE, SIZE), []
    for index, picture in enumerate(pictures):
        kind, (top, left) = index % 2, torch.randint(0, SIZE - 24, (2,)).tolist()
        picture[kind, top : top + 24, left : left + 24] += 1
        box = torch.tensor([[(left + 12) / SIZE, (top + 12) / SIZE, 24 / SIZE, 24 / SIZE]])
        labels.append({"class_labels": torch.tensor([kind]), "boxes": box})
    return pictures, labels


def tiny_detr() -> DetrForObjectDetection:
    """Replace it with ``DetrForObjectDetection.from_pretrained("facebook/detr-resnet-50")``."""
    net = ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic", out_features=["stage2"]
    )
    sizes = {"d_model": WIDTH, "encoder_layers": 1, "decoder_layers": 2, "encoder_ffn_dim": 64, "decoder_ffn_dim": 64}
    heads = {"encoder_attention_heads": 2, "decoder_attention_heads": 2, "num_queries": QUERIES, "num_labels": 2}
    return DetrForObjectDetection(
        DetrConfig(use_timm_backbone=False, backbone_config=net, auxiliary_loss=False, dropout=0.0, **sizes, **heads)
    )


class TunedDetector(nn.Module):
    """DETR with NMTune between the decoder and the class and box layers."""

    def __init__(self, detr: DetrForObjectDetection) -> None:
        super().__init__()
        head = NMTune.from_preset("official", WIDTH, 0, norm="layer")  # strong dominant weights merge the queries
        self.queries = TunedModel(detr.model, head, pooling=None, reference="frozen")
        self.classify, self.locate = detr.class_labels_classifier, detr.bbox_predictor
        self.config, self.matched_loss = detr.config, detr.loss_function

    def forward(self, pictures: Tensor, labels: list[dict[str, Tensor]] | None = None):
        """Class logits and boxes, or with ``labels`` the terms, DETR's loss as the task among them."""
        output = self.queries(pixel_values=pictures, regularize=labels is not None, return_features=True)
        logits, boxes = self.classify(output.tuned), self.locate(output.tuned).sigmoid()
        if labels is None:
            return logits, boxes
        task, _, _ = self.matched_loss(logits, labels, pictures.device, boxes, self.config)
        return output.terms._replace(task=task, total=task + output.terms.total)


@torch.no_grad()
def class_accuracy(detector: TunedDetector) -> float:
    """Share of pictures whose most confident query names the right class."""
    pictures, labels = scenes(32)
    chances = detector.eval()(pictures)[0].softmax(-1)[..., :-1]  # the last class is "no object"
    named = chances.amax(1).argmax(1)
    return (named == torch.cat([label["class_labels"] for label in labels])).float().mean().item()


def main() -> None:
    torch.manual_seed(0)
    detector = TunedDetector(tiny_detr())
    optimizer = torch.optim.AdamW([p for p in detector.parameters() if p.requires_grad], lr=2e-3)
    for step in range(STEPS):
        terms = detector.train()(*scenes(8))
        terms.total.backward()
        optimizer.step()
        optimizer.zero_grad()
        if step in (0, STEPS - 1):
            print(f"step {step + 1}: " + ", ".join(f"{name} {value:.4f}" for name, value in terms._asdict().items()))
    print(f"class of the surest query right in {class_accuracy(detector):.1%} of the pictures")


if __name__ == "__main__":
    main()
