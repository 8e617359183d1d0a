"""NMTune on per-pixel features: a tiny SegFormer with random weights, on generated scenes.

The features are the input of SegFormer's last layer, (B, D, H/4, W/4). The head classifies each pixel, and the logits
are resized to the labels. Each step draws 512 pixels for the regularizers.
"""

from __future__ import annotations

import torch

try:
    from transformers import SegformerConfig, SegformerForSemanticSegmentation
except ImportError as error:
    raise SystemExit(f"{error.name} is missing: pip install 'noisymodel[hf]'") from None

from noisymodel import NMTune, TunedModel

CLASSES, SIZE, VOID, STEPS = 3, 32, 255, 60


def scenes(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Rectangles of two colours on a dark ground; a frame of pixels without a label."""
    pictures = 0.2 * torch.randn(count, 3, SIZE, SIZE)
    labels = torch.zeros(count, SIZE, SIZE, dtype=torch.long)
    for picture, label in zip(pictures, labels, strict=True):
        for kind in (1, 2):
            top, left = torch.randint(2, SIZE - 14, (2,)).tolist()
            label[top : top + 12, left : left + 12] = kind
        for kind in (1, 2):
            picture[kind][label == kind] += 1
    labels[:, :2] = labels[:, -2:] = labels[:, :, :2] = labels[:, :, -2:] = VOID
    return pictures, labels


def segformer() -> SegformerForSemanticSegmentation:
    """Replace it with ``from_pretrained("nvidia/segformer-b0-finetuned-ade-512-512")``."""
    sizes = {"hidden_sizes": [16, 32], "depths": [1, 1], "num_attention_heads": [1, 2], "decoder_hidden_size": 32}
    patches = {"patch_sizes": [7, 3], "strides": [4, 2], "sr_ratios": [2, 1], "mlp_ratios": [2, 2]}
    config = SegformerConfig(num_encoder_blocks=2, num_labels=CLASSES, **sizes, **patches)
    return SegformerForSemanticSegmentation(config)


@torch.no_grad()
def pixel_accuracy(model: TunedModel) -> float:
    pictures, labels = scenes(16)
    logits = model.eval()(pictures)
    resized = torch.nn.functional.interpolate(logits, size=labels.shape[1:], mode="bilinear")
    kept = labels != VOID
    return (resized.argmax(1) == labels)[kept].float().mean().item()


def main() -> None:
    torch.manual_seed(0)
    model = TunedModel(
        segformer(),
        NMTune(32, CLASSES, norm="layer"),
        layer="decode_head.classifier:input",
        pooling=None,
        reference="frozen",
        max_rows=512,
        ignore_index=VOID,
    )
    print(f"before: {pixel_accuracy(model):.1%} of the labelled pixels")
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=3e-3)
    for step in range(STEPS):
        pictures, labels = scenes(8)
        output = model.train()(pixel_values=pictures, targets=labels)
        output.terms.total.backward()
        optimizer.step()
        optimizer.zero_grad()
        if step in (0, STEPS - 1):
            terms = ", ".join(f"{name} {value:.4f}" for name, value in output.terms._asdict().items())
            print(f"step {step + 1}: {terms}")
    print("features", tuple(output.features.shape), "logits", tuple(output.logits.shape))
    print(f"after: {pixel_accuracy(model):.1%} of the labelled pixels")


if __name__ == "__main__":
    main()
