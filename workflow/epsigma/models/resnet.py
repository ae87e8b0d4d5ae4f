"""A residual network for small images."""

from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, conv1x1, conv3x3

STAGES = 4


class ResNet(nn.Module):
    """A residual network of torchvision's basic blocks, in four stages.

    Each stage but the first halves the size and doubles the channels. Instead of ResNet's stem, a
    convolution of 7 × 7 and stride 2 and a pooling, there is one of 3 × 3 and stride 1: images are
    small. `width`, the first stage's channels, of 64 and 2 `blocks` a stage, of two convolutions
    each, make it ResNet-18, and layers have torchvision's names.

    Source: He et al. 2016 (arXiv:1512.03385), table 1; the stem, section 4.2.
    """

    def __init__(
        self, shape: tuple[int, int, int], classes: int, *, width: int = 16, blocks: int = 2
    ) -> None:
        super().__init__()
        self.conv1 = conv3x3(shape[0], width)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU()
        channels = width
        for stage in range(STAGES):
            after = width * 2**stage
            setattr(self, f"layer{stage + 1}", _stage(channels, after, blocks, min(stage, 1) + 1))
            channels = after
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(channels, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Tensor) -> Tensor:
        """Map images (N, C, H, W) in [0, 1] to logits (N, K)."""
        x = self.relu(self.bn1(self.conv1(images)))
        for stage in range(STAGES):
            x = self.get_submodule(f"layer{stage + 1}")(x)
        logits: Tensor = self.fc(self.avgpool(x).flatten(1))
        return logits


def _stage(before: int, after: int, blocks: int, stride: int) -> nn.Sequential:
    """Make a stage; its first block has the stride."""
    shortcut = None
    if (before, stride) != (after, 1):
        shortcut = nn.Sequential(conv1x1(before, after, stride), nn.BatchNorm2d(after))
    return nn.Sequential(
        BasicBlock(before, after, stride, shortcut),
        *(BasicBlock(after, after) for _ in range(blocks - 1)),
    )
