"""CIFAR-10."""

from typing import ClassVar, Literal

from reproduce.data.shared.torchvision import TorchvisionSet


class CIFAR10(TorchvisionSet):
    """Colour photographs of animals and vehicles; the classes' names are those of its file batches.meta."""

    name: Literal["cifar10"]

    class_names: ClassVar = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
