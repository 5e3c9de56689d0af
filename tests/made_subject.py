"""A subject of the evaluation that has only what a test needs, and networks whose answers are known."""

from dataclasses import fields
from typing import Any

import torch
from torch import Tensor, nn

from reproduce.evaluation.subject import Subject
from reproduce.models.convolutional import Autoencoder, Classifier


class Vectors(Subject):
    """Its latents are vectors of any size."""

    @torch.no_grad()
    def transform(self, z: Tensor) -> tuple[Tensor, Tensor]:
        return self.flow(z)

    @torch.no_grad()
    def to_z(self, z_tilde: Tensor) -> Tensor:
        return self.flow.inverse(z_tilde.reshape(-1, z_tilde.shape[-1]))[0].view_as(z_tilde)


def made_subject(**known: Any) -> Subject:
    """What is not `known` is None; `z`, `z_tilde` and `truth` may be given in place of what they are computed from."""
    cached = {name: known.pop(name) for name in ("z", "z_tilde", "truth") if name in known}
    attributes: dict[str, Any] = dict.fromkeys(field.name for field in fields(Subject))
    if any(name in known for name in ("dims", "z")) or "z" in cached:
        attributes["shape"] = (sum(known["dims"].values()) if "dims" in known else cached["z"].shape[-1],)
    made = Vectors if attributes["shape"] is None and "shape" not in known else Subject
    subject = made(**{**attributes, "seed": 0, "device": torch.device("cpu"), **known})  # type: ignore[arg-type]
    vars(subject).update(cached)
    return subject


class Identity:
    """A flow that leaves z as it is."""

    def __call__(self, z: Tensor) -> tuple[Tensor, Tensor]:
        return z, torch.zeros(len(z))

    inverse = __call__


class Cube:
    """z̃ = z³, component by component."""

    def __call__(self, z: Tensor) -> tuple[Tensor, Tensor]:
        return z**3, torch.zeros(len(z))

    def inverse(self, z_tilde: Tensor) -> tuple[Tensor, Tensor]:
        return z_tilde.sign() * z_tilde.abs() ** (1 / 3), torch.zeros(len(z_tilde))


class Pixels(Autoencoder):
    """Each component of z `[B, 4]`, in [-1, 1], is the grey of a pixel."""

    def __init__(self) -> None:
        nn.Module.__init__(self)

    def decode(self, z: Tensor) -> Tensor:
        return z.view(-1, 1, 2, 2)


class FirstThree(Classifier):
    """A classifier whose logits are the first three dimensions of z."""

    def __init__(self) -> None:
        nn.Module.__init__(self)

    def classify(self, z: Tensor) -> Tensor:
        return z[:, :3]
