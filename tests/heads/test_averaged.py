"""Several heads as one module."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from noisymodel.heads import AveragedHead, KernelProbe, LinearProbe, NMTune


def members() -> list:
    generator = torch.Generator().manual_seed(0)
    kernel = KernelProbe(6, 3, landmarks=4)
    kernel.landmarks = torch.nn.functional.normalize(torch.randn(4, 6, generator=generator), dim=1)
    made = [NMTune(6, 3, hidden_features=8, generator=generator), LinearProbe(6, 3, generator=generator), kernel]
    return [member.eval() for member in made]


def test_logits_are_the_mean_of_log_probabilities(tmp_path: Path) -> None:
    own = members()
    head = AveragedHead(own, factors=[1.0, 2.0, 0.5], shares=[1.0, 1.0, 2.0], factor=1.5).eval()
    features = torch.randn(5, 6, generator=torch.Generator().manual_seed(1))
    logs = [(factor * member(features)).log_softmax(1) for member, factor in zip(own, (1.0, 2.0, 0.5), strict=True)]
    torch.testing.assert_close(head(features), 1.5 * (0.25 * logs[0] + 0.25 * logs[1] + 0.5 * logs[2]))
    tuned = head(features, return_features=True).tuned
    torch.testing.assert_close(tuned, head.tune(features))
    assert tuned.shape == (5, 6)
    head.save_pretrained(tmp_path)
    torch.testing.assert_close(AveragedHead.from_pretrained(tmp_path)(features), head(features), atol=0, rtol=0)
    exported = torch.export.export(head, (features,)).module()
    torch.testing.assert_close(exported(features), head(features))


def test_bad_members() -> None:
    with pytest.raises(ValueError, match="one width and number of classes"):
        AveragedHead([members()[1], LinearProbe(5, 3, generator=torch.Generator())])
    with pytest.raises(ValueError, match=r"`factors` must have one number per member \(1\), got 2"):
        AveragedHead(members()[:1], factors=[1.0, 2.0])
