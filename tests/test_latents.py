"""Latents keep the order of their images, come back from disk as they were, and are drawn as pairs."""

from typing import Any

import pytest
import torch
from torch import Tensor

from reproduce.errors import ReproduceError
from reproduce.latents import LatentPairs, encode_images, load_posterior, save_posterior
from reproduce.models.convolutional import Autoencoder, Classifier, Posterior
from reproduce.pairs import ConceptPairs
from reproduce.seeds import torch_generator

CPU = torch.device("cpu")


class Doubling:
    """Exact whatever the batch: the mean is twice the image, the log variance 1 below it."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def to(self, device: torch.device) -> "Doubling":
        return self

    def encode(self, x: Tensor) -> Posterior:
        self.sizes.append(len(x))
        return Posterior(2 * x.flatten(1), x.flatten(1) - 1)


def pictures(n: int) -> Tensor:
    return torch.randn(n, 1, 2, 3, generator=torch_generator(0, "test pictures"))


@pytest.mark.parametrize("n", [1, 499, 500, 501, 1203])
def test_encoding_in_batches_is_encoding_at_once(n: int) -> None:
    x, parts = pictures(n), []
    network: Any = Doubling()

    def images(part: slice) -> Tensor:
        parts.append(part)
        return x[part]

    posterior = encode_images(network, images, n, device=CPU, title="test")
    assert torch.equal(posterior.mean, 2 * x.flatten(1))
    assert torch.equal(posterior.logvar, x.flatten(1) - 1)
    assert [i for part in parts for i in range(part.start, part.stop)] == list(range(n))
    assert sum(network.sizes) == n
    assert max(network.sizes) <= 500


def test_networks_are_encoded_without_gradients_and_a_classifier_without_variance() -> None:
    x = torch.rand(3, 3, 16, 16, generator=torch_generator(0, "test images")) * 2 - 1
    autoencoder = Autoencoder(width=1, image_size=16, latent_dim=4)
    classifier = Classifier(width=1, image_size=16, latent_dim=4)
    posterior = encode_images(autoencoder, lambda part: x[part], 3, device=CPU, title="test")
    torch.testing.assert_close(posterior.mean, autoencoder.encode(x).mean.detach())
    torch.testing.assert_close(posterior.logvar, autoencoder.encode(x).logvar.detach())
    exact = encode_images(classifier, lambda part: x[part], 3, device=CPU, title="test")
    torch.testing.assert_close(exact.mean, classifier.encode(x).detach())
    assert torch.isneginf(exact.logvar).all()
    assert not any(tensor.requires_grad for q in (posterior, exact) for tensor in (q.mean, q.logvar))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_latents_that_are_not_finite_are_refused(value: float) -> None:
    x = pictures(700)
    x[600, 0, 1, 2] = value
    network: Any = Doubling()
    with pytest.raises(ReproduceError, match="NaN or infinite latents") as caught:
        encode_images(network, lambda part: x[part], 700, device=CPU, title="test")
    assert "\n" not in str(caught.value)


def test_a_variance_that_is_no_number_is_refused() -> None:
    class Uncertain(Doubling):
        def encode(self, x: Tensor) -> Posterior:
            return Posterior(x.flatten(1), x.flatten(1) * float("nan"))

    network: Any = Uncertain()
    with pytest.raises(ReproduceError, match="NaN or infinite latents"):
        encode_images(network, lambda part: pictures(3)[part], 3, device=CPU, title="test")


def gaussian(n: int = 5, dim: int = 3) -> Posterior:
    generator = torch_generator(0, "test posterior")
    return Posterior(*(torch.randn(n, dim, generator=generator) for _ in range(2)))


def test_a_posterior_comes_back_as_it_was(tmp_path: Any) -> None:
    q = gaussian()
    save_posterior(q, tmp_path, "heldout")
    save_posterior(Posterior(q.mean + 1, q.logvar + 1), tmp_path, "train")
    back = load_posterior(tmp_path, "heldout")
    assert torch.equal(back.mean, q.mean)
    assert torch.equal(back.logvar, q.logvar)
    assert back.mean.dtype == back.logvar.dtype == torch.float32
    names = [f"{name}_{part}.npy" for name in ("heldout", "train") for part in ("logvar", "mean")]
    assert sorted(path.name for path in tmp_path.iterdir()) == names


def test_a_classifiers_latent_comes_back_exactly_and_so_does_its_every_sample(tmp_path: Any) -> None:
    mean = gaussian().mean
    save_posterior(Posterior(mean, torch.full_like(mean, -torch.inf)), tmp_path, "train")
    assert [path.name for path in tmp_path.iterdir()] == ["train_mean.npy"]
    back = load_posterior(tmp_path, "train")
    assert torch.equal(back.mean, mean)
    assert torch.isneginf(back.logvar).all()
    assert torch.equal(back.sample(torch_generator(0, "s")), mean)


def test_an_exact_latent_leaves_no_variance_of_an_earlier_network(tmp_path: Any) -> None:
    q = gaussian()
    save_posterior(q, tmp_path, "train")
    save_posterior(q, tmp_path, "heldout")
    save_posterior(Posterior(q.mean, torch.full_like(q.mean, -torch.inf)), tmp_path, "train")
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "heldout_logvar.npy",
        "heldout_mean.npy",
        "train_mean.npy",
    ]
    assert torch.isneginf(load_posterior(tmp_path, "train").logvar).all()
    assert torch.equal(load_posterior(tmp_path, "heldout").logvar, q.logvar)


VALUES = torch.tensor([[0, 0], [0, 1], [1, 0], [1, 1], [0, 2], [1, 2]])


def pairs(*, sample: bool, logvar: float = 0.0, values: Tensor = VALUES, balanced: bool = False) -> LatentPairs:
    """Latents whose mean is the image's own number, 10 times it, and its two concept values."""
    number = torch.arange(len(values)).float()[:, None]
    mean = torch.cat([number, 10 * number, values.float()], 1)
    drawn = ConceptPairs(values=values, concepts=["digit", "color"], balanced=balanced)
    return LatentPairs(drawn, Posterior(mean, torch.full_like(mean, logvar)), sample=sample)


def test_modes_are_drawn_whole_and_partners_share_the_concept() -> None:
    z_a, z_b, factor = pairs(sample=False)(4000, torch_generator(0, "draw"))
    assert z_a.shape == z_b.shape == (4000, 4)
    for z in (z_a, z_b):
        index = z[:, 0].long()
        assert torch.equal(z, torch.cat([index[:, None], 10 * index[:, None], VALUES[index]], 1).float())
        assert len(index.unique()) == len(VALUES)
    same = z_a[:, 2:] == z_b[:, 2:]
    for k in (0, 1):
        assert same[factor == k, k].all()
        assert not same[factor == k, 1 - k].all()


def test_samples_have_the_posteriors_mean_and_variance() -> None:
    n = 40_000
    posterior = Posterior(torch.tensor([[1.0, -2], [1, -2]]), torch.tensor([[0.0, -2], [0, -2]]))
    pairs = ConceptPairs(values=torch.zeros(2, 1, dtype=torch.int64), concepts=["digit"])
    draw = LatentPairs(pairs, posterior, sample=True)
    z_a, z_b, _ = draw(n, torch_generator(0, "draw"))
    mean, deviation = posterior.mean[0], (0.5 * posterior.logvar[0]).exp()
    standard = [(z - mean) / deviation for z in (z_a, z_b)]
    for noise in standard:
        assert noise.mean(0).abs().max() < 5 / n**0.5
        assert (noise.var(0) - 1).abs().max() < 5 * (2 / n) ** 0.5
    # the two members are drawn apart, also where they are one image
    assert (standard[0] * standard[1]).mean(0).abs().max() < 5 / n**0.5


def test_sampling_changes_what_is_drawn_of_an_image_and_not_which_pairs() -> None:
    mode, sampled = (pairs(sample=sample, logvar=-10.0)(100, torch_generator(3, "draw")) for sample in (False, True))
    assert torch.equal(mode[2], sampled[2])
    for z, noisy in zip(mode[:2], sampled[:2], strict=True):
        assert torch.equal(noisy.round(), z)
        assert not torch.equal(noisy, z)


@pytest.mark.parametrize("sample", [False, True])
def test_the_generator_alone_decides_the_latents(sample: bool) -> None:
    draw = pairs(sample=sample)
    torch.manual_seed(0)
    one = draw(50, torch_generator(0, "draw"))
    torch.manual_seed(1)
    same, other = (draw(50, torch_generator(seed, "draw")) for seed in (0, 1))
    assert all(torch.equal(x, y) for x, y in zip(one, same, strict=True))
    assert not any(torch.equal(x, y) for x, y in zip(one, other, strict=True))


def test_balanced_latents_share_a_rare_value_as_often_as_any_other() -> None:
    n, values = 8000, torch.tensor([[0, 0]] * 38 + [[1, 1]] * 2)
    for balanced, share in ((False, 2 / 40), (True, 1 / 2)):
        z_a, z_b, _ = pairs(sample=False, values=values, balanced=balanced)(n, torch_generator(0, "draw"))
        assert torch.equal(z_a[:, 2:], z_b[:, 2:])
        assert z_a[:, 2].mean().item() == pytest.approx(share, abs=5 * (share * (1 - share) / n) ** 0.5)
