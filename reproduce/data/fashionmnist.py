"""FashionMNIST."""

from typing import ClassVar, Literal

from reproduce.data.shared.torchvision import TorchvisionSet

_CLOTHES = ["t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot"]


class FashionMNIST(TorchvisionSet):
    """Grey images of clothing; the classes' names are those of its README."""

    name: Literal["fashionmnist"]

    class_names: ClassVar = _CLOTHES
