"""E and G of any network at any layer: E(x) is the layer's output, G(z) the answer with z in place of that output.

The module is not called `split`: importing it would replace the function `reproduce.split` by the module.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from difflib import get_close_matches
from functools import partial
from itertools import chain
from typing import Any, Literal

import torch
from torch import Tensor, nn

from reproduce.errors import UserError
from reproduce.factors import check_finite
from reproduce.seeds import torch_generator

Layout = Literal["channels_first", "channels_last", "tokens"]
# for each layout: the numbers of axes that an output may have, and which of the axes are the channels
LAYOUTS: dict[str, dict[int, int]] = {"channels_first": {2: 1, 4: 1}, "channels_last": {4: 3}, "tokens": {3: 2}}


def to_latent(output: Tensor, *, layout: Layout) -> Tensor:
    """The output of a layer as z: a contiguous copy.

    Arguments:
        layout: "channels_first" takes `[B, N]` and `[B, C, H, W]` and returns the same shape; "channels_last" takes
            `[B, H, W, C]` and returns `[B, C, H, W]`; "tokens" takes `[B, L, D]` and returns `[B, D, L, 1]`.

    Raises UserError where the output has another number of axes.
    """
    if output.ndim not in LAYOUTS[layout]:
        fitting = [f'layout="{other}"' for other, axes in LAYOUTS.items() if output.ndim in axes]
        advice = f"give {' or '.join(fitting)}" if fitting else "name a layer whose output has 2, 3 or 4 axes"
        raise UserError(f'layout="{layout}" does not fit a layer whose output is {list(output.shape)}: {advice}')
    latent = output.movedim(LAYOUTS[layout][output.ndim], 1)
    return (latent.unsqueeze(3) if output.ndim == 3 else latent).clone(memory_format=torch.contiguous_format)


def to_output(z: Tensor, like: Tensor, *, layout: Layout) -> Tensor:
    """The inverse of `to_latent`: a copy of `z` with the axes, strides, dtype and device of the output `like`."""
    latent = z.squeeze(3) if like.ndim == 3 else z
    place = torch.empty_like(like) if len(z) == len(like) else like.new_empty(len(z), *like.shape[1:])
    return place.copy_(latent.movedim(1, LAYOUTS[layout][like.ndim]))


def _find(network: nn.Module, layer: str) -> nn.Module:
    """The submodule of that name; where there is none, UserError names the nearest ones, or those at the top."""
    modules = dict(network.named_modules(remove_duplicate=False))
    del modules[""]
    if layer in modules:
        return modules[layer]
    near = get_close_matches(layer, modules) or [name for name, _ in network.named_children()]
    problem = f"is not a layer of {type(network).__name__}" if layer else "is the network itself"
    raise UserError(f'layer="{layer}" {problem}: name one of its submodules, such as {", ".join(near)}')


def _check_batch(value: Any, batch: int, *, returns: str, advice: str) -> None:
    """Raise unless `value` is a tensor whose first axis is the batch."""
    if not isinstance(value, Tensor) or value.ndim == 0 or len(value) != batch:
        found = list(value.shape) if isinstance(value, Tensor) else f"a {type(value).__name__}"
        raise UserError(f"{returns} {found} for {batch} images: {advice} one tensor whose first axis is the batch")


def _input_of(network: nn.Module, x: Tensor) -> Tensor:
    """A copy of `x`, because the network may change its input in place, on the network's device and of its dtype."""
    tensors = chain(network.parameters(), network.buffers())
    own = next((tensor for tensor in tensors if tensor.is_floating_point()), x)
    return x.to(own.device, own.dtype if x.is_floating_point() else x.dtype, copy=True)


def _recorded(output: Any, *, layer: str, layout: Layout, batch: int) -> Tensor:
    """The output of a layer as z."""
    _check_batch(output, batch, returns=f'layer="{layer}" returns', advice="name a layer that returns")
    return to_latent(output, layout=layout)


def _only(found: Sequence[Tensor], layer: str) -> Tensor:
    """The one output that a layer had in a pass."""
    if len(found) != 1:
        raise UserError(f'layer="{layer}" is called {len(found)} times in one pass: name a layer that is called once')
    return found[0]


def _probes(x: Tensor) -> Tensor:
    """The first image of `x` and two others, `[3, …]`; their values are among its own, as token indices need."""
    if not isinstance(x, Tensor) or x.ndim == 0 or len(x[:1].unique()) < 2:
        raise UserError("x must be a batch of images, one tensor, and the first image must have more than one value")
    places = torch.randint(x[:1].numel(), (2, *x.shape[1:]), generator=torch_generator(0, "split"))
    # a path around the layer may take the mean of the image: the maximum changes it
    return torch.cat([x[:1], torch.maximum(x[:1].flatten()[places.to(x.device)], x[:1])])


def _same(a: Tensor, b: Tensor) -> bool:
    """Whether two tensors agree up to rounding, relative to the largest value of `b`; in float32, up to 3e-4 of it."""
    dtype = b.dtype if b.is_floating_point() else torch.float32
    a, b = a.to(dtype), b.to(dtype)
    tolerance = torch.finfo(dtype).eps ** 0.5 * float(b.nan_to_num(0, 0, 0).abs().max())
    return torch.allclose(a, b, rtol=0, atol=tolerance, equal_nan=True)


@contextmanager
def _evaluating(network: nn.Module) -> Iterator[None]:
    """Within the block, every module of `network` is in eval mode; afterwards each has its own mode again."""
    modes = [(module, module.training) for module in network.modules()]
    try:
        for module, _ in modes:
            module.training = False  # eval() may do more: some networks override it, to merge weights for example
        yield
    finally:
        for module, training in modes:
            module.training = training


class Split:
    """A network divided at one of its layers; see `split`, which makes it.

    Every method runs the network in eval mode and without gradients, and restores its modes and hooks. Inputs are
    brought to the network's device, and results stay there. A floating-point `x` gets the dtype of the weights, an
    integer `x` keeps its own. z has the dtype of the layer's output.
    """

    def __init__(self, network: nn.Module, layer: str, *, x: Tensor | None, layout: Layout) -> None:
        if layout not in LAYOUTS:
            raise UserError(f'layout="{layout}" is unknown: give one of {", ".join(LAYOUTS)}')
        self.network, self.layer, self.layout = network, layer, layout
        self._module, self._example = _find(network, layer), torch.empty(0)
        self._bypassed, self._one_serves_all = False, False
        if x is not None:
            self._check(x)

    @property
    def bypassed(self) -> bool:
        """Whether paths around the layer lead from x to the answer, such as a skip connection of a U-Net."""
        if not len(self._example):
            raise UserError(f'paths around layer="{self.layer}" are found with images: give x, or encode some first')
        return self._bypassed

    def encode(self, x: Tensor) -> Tensor:
        """E: a batch `x` `[B, …]` to z `[B, N]` or `[B, C, H, W]`; UserError where z is NaN or infinite."""
        self._check(x)
        z = self._run(x)[1]
        check_finite(z)
        return z

    def decode(self, z: Tensor, x: Tensor | None = None) -> Tensor:
        """G: z `[B, N]` or `[B, C, H, W]` to the network's answer `[B, …]` with z in place of the layer's output.

        The paths around the layer get their values from `x` `[B, …]`. Where there are none (`bypassed` is False), `x`
        may be left out. Raises UserError where `x` is needed, or where z is not finite or has another shape than E(x).
        """
        check_finite(z)
        if x is not None:
            self._check(x)
        elif self.bypassed:
            problem = f'the answer also depends on paths around layer="{self.layer}"'
            raise UserError(f"{problem}: call decode(z, x), with x the images whose other paths are to be used")
        elif self._one_serves_all:
            return self._run(self._example, z)[0]
        else:
            x = self._example.expand(len(z), *self._example.shape[1:])
        if len(x) != len(z):
            raise UserError(f"decode was given {len(z)} latents and {len(x)} images: give one image for each latent")
        return self._run(x, z)[0]

    def answer(self, x: Tensor) -> Tensor:
        """The network's own answer `[B, …]` to a batch `x` `[B, …]`."""
        self._check(x)
        return self._run(x)[0]

    def _check(self, x: Tensor) -> None:
        """Once: raise where the network has no E and G at this layer, and find whether paths lead around it."""
        if len(self._example):
            return
        probes = _probes(x)
        (two_answers, two_latents), (answers, latents) = self._run(probes[:2]), self._run(probes)
        check_finite(latents[:1])
        if not (_same(two_answers, answers[:2]) and _same(two_latents, latents[:2])):
            problem = "what it computes for an image depends on the rest of the batch, or changes from call to call"
            advice = "remove batch statistics and random numbers"
            raise UserError(f"{type(self.network).__name__} cannot be split: {problem}; {advice}")
        replaced, _ = self._run(probes, latents[:1].expand_as(latents))
        self._bypassed = not _same(replaced, replaced[:1].expand_as(replaced))
        self._example = x[:1].detach().clone()  # a view would follow x, and keep all of it in memory
        if not self._bypassed:
            self._one_serves_all = self._serves(latents, answers)

    def _serves(self, latents: Tensor, answers: Tensor) -> bool:
        """Whether what precedes the layer may see one image for all latents, which saves most of a decode's time."""
        try:
            return _same(self._run(self._example, latents)[0], answers)
        except Exception:  # what follows the layer uses the number of images; networks raise many kinds
            return False

    @torch.no_grad()
    def _run(self, x: Tensor, z: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The answer to `x` and the layer's own output as z; where `z` is given, it replaces the output."""
        found: list[Tensor] = []

        def hook(module: nn.Module, inputs: Any, output: Any) -> Tensor | None:
            found.append(_recorded(output, layer=self.layer, layout=self.layout, batch=len(x)))
            if z is not None and z.shape[1:] != found[0].shape[1:]:
                wanted = f'layer="{self.layer}" takes z {list(found[0].shape)}'
                raise UserError(f"{wanted}; it was given {list(z.shape)}")
            return None if z is None else to_output(z, output, layout=self.layout)

        x = _input_of(self.network, x)
        handle = self._module.register_forward_hook(hook)
        try:
            with _evaluating(self.network):
                answer = self.network(x)
        finally:
            handle.remove()
        own_output = _only(found, self.layer)
        advice = "wrap it in a module that returns"
        batch = len(x if z is None else z)
        _check_batch(answer, batch, returns=f"{type(self.network).__name__} returns", advice=advice)
        return answer, own_output


@torch.no_grad()
def layer_outputs(
    network: nn.Module,
    layers: Sequence[str],
    x: Tensor,
    *,
    layout: Layout = "channels_first",
    forward: Callable[[Tensor], Any] | None = None,
) -> list[Tensor]:
    """The outputs of several layers for a batch `x` `[B, …]`, from one pass in eval mode and without gradients.

    Arguments:
        layers: the names of submodules as in `network.named_modules()`; the pass calls each once.
        layout: how the layers' outputs are arranged, see `to_latent`.
        forward: what is called with `x` where it isn't the network itself, such as one of its methods.

    Returned are `[B, N]` or `[B, C, H, W]`, in the order of `layers`. UserError is raised as by `split`.
    """
    found: dict[str, list[Tensor]] = {layer: [] for layer in layers}

    def record(module: nn.Module, inputs: Any, output: Any, *, layer: str) -> None:
        found[layer].append(_recorded(output, layer=layer, layout=layout, batch=len(x)))

    with ExitStack() as stack:
        for layer in found:
            stack.callback(_find(network, layer).register_forward_hook(partial(record, layer=layer)).remove)
        stack.enter_context(_evaluating(network))
        (forward or network)(_input_of(network, x))
    return [_only(found[layer], layer) for layer in layers]


def split(network: nn.Module, layer: str, x: Tensor | None = None, *, layout: Layout = "channels_first") -> Split:
    """Divide a network into E and G at one of its layers.

    Arguments:
        network: any module that takes a batch of images `[B, …]` and returns one tensor `[B, …]`.
        layer: the name of a submodule as in `network.named_modules()`; each pass calls it once.
        x: an example batch `[B, …]`, with which everything is checked at once; without it, the first call does so.
        layout: how the layer's output is arranged, see `to_latent`; a transformer needs "tokens".

    Raises UserError where the network cannot be divided there, for example where it normalises over the batch.
    """
    return Split(network, layer, x=x, layout=layout)
