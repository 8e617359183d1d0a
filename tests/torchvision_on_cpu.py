"""Import this before torchvision: its published build then loads beside a PyTorch for the CPU."""

from __future__ import annotations

from importlib.util import find_spec

import torch

if find_spec("torchvision") is not None and not torch.cuda.is_available():
    # the published torchvision loads beside a PyTorch for the CPU only where these two are declared
    LIBRARY = torch.library.Library("torchvision", "DEF")
    LIBRARY.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    LIBRARY.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
