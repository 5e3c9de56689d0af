"""FashionMNIST."""

from typing import ClassVar, Literal

from reproduce.data.shared.torchvision import TorchvisionSet


class FashionMNIST(TorchvisionSet):
    """Grey images of clothing; the classes' names are those of its README."""

    name: Literal["fashionmnist"]

    class_names: ClassVar = [
        "t-shirt",
        "trouser",
        "pullover",
        "dress",
        "coat",
        "sandal",
        "shirt",
        "sneaker",
        "bag",
        "ankle boot",
    ]
