"""What the tests of this folder share."""

import torchvision_on_cpu  # noqa: F401 - before timm and open_clip import torchvision
