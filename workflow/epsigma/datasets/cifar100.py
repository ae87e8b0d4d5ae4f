"""CIFAR-100: 50,000 training and 10,000 test images of 32 x 32 pixels, in colour."""

from pathlib import Path

from epsigma.datasets.cifar import Cifar, read_cifar
from epsigma.datasets.images import Dataset

# fine_label_names.txt
NAMES = """
apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly
camel can castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile
cup dinosaur dolphin elephant flatfish forest fox girl hamster house kangaroo keyboard lamp
lawn_mower leopard lion lizard lobster man maple_tree motorcycle mountain mouse mushroom
oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree plain plate poppy porcupine
possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper snail snake
spider squirrel streetcar sunflower sweet_pepper table tank telephone television tiger tractor
train trout tulip turtle wardrobe whale willow_tree wolf woman worm
"""

FILES = Cifar(
    title="CIFAR-100",
    archive="cifar-100-binary.tar.gz",
    md5="03b5dce01913d631647c71ecec9e9cb8",
    folder="cifar-100-binary",
    train=("train.bin",),
    test=("test.bin",),
    classes=100,
    per_class=(500, 100),
    class_names=tuple(NAMES.split()),
    # One of 20 superclasses, then the class.
    label_bytes=2,
)


def cifar100(
    data_dir: Path, *, train_size: int | None = None, test_size: int | None = None
) -> Dataset:
    """Read CIFAR-100's binary version, by its 100 classes; see `read_cifar`.

    Source: Krizhevsky 2009, Learning multiple layers of features from tiny images.
    """
    return read_cifar(FILES, data_dir, train_size=train_size, test_size=test_size)
