"""Reading the concepts off what G makes of a latent: by a judge and by measurement, or by the classifier itself."""

from collections.abc import Callable

import torch
from torch import Tensor

from reproduce.data.shared.base import IMAGES_AT_A_TIME, Readings
from reproduce.models.convolutional import Autoencoder, Classifier

Look = Callable[[Tensor], Readings]
Read = Callable[[Tensor, Tensor | None], Readings]  # see `reproduce.data.shared.base.ImageData.read`


def look_at_images(autoencoder: Autoencoder, judge: Classifier, read: Read) -> Look:
    """Decode z `[B, N]`; concepts are read off the judge's logits and the image."""

    @torch.no_grad()
    def look(z: Tensor) -> Readings:
        parts = []
        for part in z.split(IMAGES_AT_A_TIME):
            images = autoencoder.decode(part)
            parts.append(read(judge(images), images))
        return {concept: torch.cat([part[concept] for part in parts]) for concept in parts[0]}

    return look


def look_at_logits(classifier: Classifier, read: Read) -> Look:
    """What the interpreted classifier itself predicts from z `[B, N]`."""

    @torch.no_grad()
    def look(z: Tensor) -> Readings:
        return read(classifier.classify(z), None)

    return look


def follows(reading: Tensor, own: Tensor, other: Tensor) -> Tensor:
    """Whether each reading is `own` rather than `other`, bool `[B]`: equal as a class, nearer as a measurement."""
    if reading.ndim == 1:
        return reading == own
    return (reading - own).norm(dim=1) < (reading - other).norm(dim=1)
