"""A folder of images of the user's own, with concepts that a folder per class or a CSV file names."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from reproduce.data.shared.base import ATTRIBUTE, HeldoutPairs, Readings, Table, same_class_partners
from reproduce.data.shared.class_folders import read_class_folders
from reproduce.data.shared.concept_table import ConceptName, ConceptTable, read_table
from reproduce.data.shared.labelled import LabelledImages
from reproduce.data.shared.photos import Photos, PhotoSet, located
from reproduce.errors import UserError
from reproduce.factors import MISSING, factor_slices
from reproduce.intake.download import Downloads
from reproduce.schema import Strict, UnitInterval


class ClassFolders(Strict):
    """One folder of images per class; `concept` is what the classes are called together."""

    kind: Literal["folders"]
    concept: ConceptName = "class"


class Folder(PhotoSet):
    """The images in the folder `path`, which is relative to the project or absolute.

    `heldout_fraction`: the share of held-out images, where neither folders (`test`, `val`) nor a column (`split`)
    divide the images. `image_size`: any that the interpreted network takes; this package's own take multiples of 16.
    """

    name: Literal["folder"]
    path: str
    labels: Annotated[ClassFolders | ConceptTable, Field(discriminator="kind")]
    heldout_fraction: UnitInterval
    image_size: Annotated[int, Field(ge=8, le=1024)]  # type: ignore[assignment]

    @property
    def has_classes(self) -> bool:
        return isinstance(self.labels, ClassFolders)

    @property
    def concepts(self) -> tuple[str, ...]:
        if isinstance(self.labels, ClassFolders):
            return (self.labels.concept,)
        return self.labels.names(located(self.path))

    def fetch(self, *, folder: Path, downloads: Downloads, work: Path) -> None:
        """Decode the images; see `PhotoSet.decode`."""
        self.decode(self._photos(located(self.path)), folder=folder, work=work)

    def _photos(self, root: Path) -> Photos:
        if isinstance(self.labels, ConceptTable):
            return read_table(root, self.labels, heldout_fraction=self.heldout_fraction)
        photos = read_class_folders(root, heldout_fraction=self.heldout_fraction)
        return replace(photos, names={self.labels.concept: tuple(photos.names)})

    def names_file(self, folder: Path) -> Path:
        """Where the names of the concepts and of their values stand."""
        return folder / "concepts.json"

    def open(self, folder: Path) -> "FolderImages":
        return FolderImages(folder, self)


class FolderImages(LabelledImages):
    """Each label is a concept of its own: the number of a class, an attribute, 0 or 1, or `MISSING`.

    A classifier or judge has, in factor order, one output for each value of a class and one for each attribute.
    """

    def _take_names(self, names: Any) -> None:
        self.concepts = tuple(names)
        self.value_names = {name: tuple(values) for name, values in names.items() if tuple(values) != ATTRIBUTE}
        sizes = [len(self.value_names.get(concept, "-")) for concept in self.concepts]
        self._outputs = dict(zip(self.concepts, factor_slices(sizes), strict=True))
        self.n_outputs = sum(sizes)
        if self._settings.has_classes:
            self.classes = self.value_names[self.concepts[0]]

    def heldout_pairs(self) -> HeldoutPairs:
        """For each concept in turn, each image that has a value with a partner of the same value.

        They are drawn from RandomState(1), as those of `ClassImages`.
        """
        random, parts = np.random.RandomState(1), []
        for k, values in enumerate(self._labels["heldout"].T):
            first = np.flatnonzero(values != MISSING)
            second = first[same_class_partners(values[first], random)]
            parts.append((first, second, np.full_like(first, k)))
        return HeldoutPairs(*(np.concatenate(each) for each in zip(*parts, strict=True)))

    def truth(self, table: Table) -> Readings:
        return {
            concept: self._true_values(concept, torch.from_numpy(table["values"][:, k].copy()))
            for k, concept in enumerate(self.concepts)
        }

    def _true_values(self, concept: str, values: Tensor) -> Tensor:
        there = values != MISSING
        if concept in self.value_names:
            return values
        return values == 1 if there.all() else torch.where(there, values, -1).to(torch.int8)

    def read(self, logits: Tensor, images: Tensor | None) -> Readings:
        """The value of a class with the highest logit; an attribute is there where its logit is positive."""
        parts = {concept: logits[:, part] for concept, part in self._outputs.items()}
        return {
            concept: part.argmax(1) if concept in self.value_names else part[:, 0] > 0
            for concept, part in parts.items()
        }

    def _targets(self, labels: np.ndarray) -> Tensor:
        """UserError where a value is missing: a classifier is told what each image shows."""
        targets = []
        for concept, values in zip(self.concepts, torch.from_numpy(labels).T, strict=True):
            if (values == MISSING).any():
                raise UserError(
                    f"some training images have no value of {concept}, and a classifier or judge cannot be trained on "
                    "them: fill the empty cells, or leave the concept out of dataset.labels.concepts"
                )
            names = self.value_names.get(concept)
            targets.append(values[:, None] if names is None else F.one_hot(values, len(names)))
        return torch.cat(targets, 1).float()
