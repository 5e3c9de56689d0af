"""Reading the concepts off what G makes of a latent: by a judge, by measurement, or by the classifier itself."""

from collections.abc import Callable

import torch
from torch import Tensor

from reproduce.models.convolutional import Autoencoder, Classifier

__all__ = ["Look", "Readings", "background_color", "follows", "look_at_images", "look_at_logits"]

# concept -> its value in each result: int64 [B] for a class, float [B, D] for something measured
Readings = dict[str, Tensor]
Look = Callable[[Tensor], Readings]
_BATCH = 500
_BORDER = 2


def look_at_images(autoencoder: Autoencoder, judge: Classifier) -> Look:
    """Decode z `[B, N]`; the judge reads the digit, the border's median gives the colour."""

    @torch.no_grad()
    def look(z: Tensor) -> Readings:
        digits, colors = [], []
        for part in z.split(_BATCH):
            images = autoencoder.decode(part)
            digits.append(judge(images).argmax(1))
            colors.append(background_color(images))
        return {"digit": torch.cat(digits), "color": torch.cat(colors)}

    return look


def look_at_logits(classifier: Classifier) -> Look:
    """The class that the interpreted classifier itself predicts from z `[B, N]`."""

    @torch.no_grad()
    def look(z: Tensor) -> Readings:
        return {"digit": classifier.classify(z).argmax(1)}

    return look


def background_color(images: Tensor) -> Tensor:
    """The colour `[B, 3]` that an image `[B, 3, S, S]` was multiplied with: minus the median of its border.

    Exact on a rendered image, since ink covers less than half of its border; on a decoded one it is the colour that a
    viewer sees.
    """
    border = torch.ones(images.shape[-2:], dtype=torch.bool)
    border[_BORDER:-_BORDER, _BORDER:-_BORDER] = False
    return -images[:, :, border.to(images.device)].median(2).values


def follows(reading: Tensor, own: Tensor, other: Tensor) -> Tensor:
    """Whether each reading is `own` rather than `other`, bool `[B]`: equal as a class, nearer as a measurement."""
    if reading.ndim == 1:
        return reading == own
    return (reading - own).norm(dim=1) < (reading - other).norm(dim=1)
