"""How a network is optimised: the steps, the batch, and Adam's learning rate at each step."""

import math
from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from reproduce.schema import Strict, UnitInterval, WordOrSection

Beta = Annotated[float, Field(ge=0, lt=1)]


class LinearDecay(Strict):
    """Linear decay of the learning rate from the step `decay_from` (0-based) on."""

    decay_from: NonNegativeInt


class Optimisation(Strict):
    """Adam over `steps` batches; the defaults are the official ones.

    `batch_size`: the number of examples per step, in all processes together. `peak_rate`: the largest learning rate.
    `schedule`: the course of the learning rate, see `rate`. `betas`: Adam's decay rates of the gradient's moments.
    """

    steps: PositiveInt
    batch_size: PositiveInt = 25
    peak_rate: PositiveFloat = 1.125e-4
    schedule: WordOrSection[Literal["linear_decay", "one_cycle"], LinearDecay] = "linear_decay"
    betas: tuple[Beta, Beta] = (0.5, 0.9)

    @model_validator(mode="after")
    def _decays(self) -> "Optimisation":
        if isinstance(self.schedule, LinearDecay) and self.schedule.decay_from >= self.steps:
            start = self.schedule.decay_from
            raise ValueError(f"decay_from={start} lies beyond steps={self.steps}: the rate would never fall")
        return self

    def rate(self, step: int) -> float:
        """The learning rate at `step` (0-based).

        linear_decay: the rate is `peak_rate` until the decay begins, and then falls linearly to 0 at the end. The decay
        begins at `decay_from`, or after five sixths of the steps, as the official 120,000 steps decay from 100,001.
        one_cycle: the rate rises from peak_rate/25 over the first tenth of the steps, and then falls to peak_rate/1000,
        both along a cosine (Smith and Topin, "Super-Convergence", 2018).
        """
        steps, peak = self.steps, self.peak_rate
        if self.schedule != "one_cycle":
            start = self.schedule.decay_from if isinstance(self.schedule, LinearDecay) else steps * 5 // 6
            return peak * min(1.0, (steps - step) / max(1, steps - start))
        rise = max(1.0, 0.1 * steps)
        if step < rise:
            low, high, position = peak / 25, peak, step / rise
        else:
            low, high, position = peak, peak * 1e-3, (step - rise) / max(1.0, steps - rise)
        return low + (high - low) * 0.5 * (1 - math.cos(math.pi * position))


class NetworkTraining(Optimisation):
    """How a network on images is trained.

    `initialize_batch`: the number of images that initialise the ActNorms. `gradient_clip`: the largest norm of the
    gradient; None sets no limit.
    """

    initialize_batch: Annotated[int, Field(ge=2)]
    gradient_clip: PositiveFloat | None = None


class FlowTraining(Optimisation):
    """How T is trained.

    `rho`: the correlation of the shared factor within a pair, see `pair_nll`. `noise`: the standard deviation of normal
    noise that is added to the latents, relative to that of the median component; "auto" adds noise only where T's
    likelihood has no bound without, see `train_flow`.
    """

    rho: UnitInterval = 0.975
    noise: NonNegativeFloat | Literal["auto"] = "auto"
