"""T without concepts: its likelihood, its samples, and the distances between features."""

import numpy as np
import pytest
import torch
from made_subject import Identity, made_subject

import reproduce
from reproduce.errors import ReproduceError, UserError
from reproduce.evaluation.latents import measure_latents
from reproduce.evaluation.samples import features_of, frechet_distance, inception_features
from reproduce.models.convolutional import Classifier, Posterior
from reproduce.seeds import torch_generator
from reproduce.training.loop import Resume

SIZE = {"n_blocks": 3, "hidden_dim": 16, "peak_rate": 3e-3, "batch_size": 64}
MIX = torch.tensor([[1.5, 0.4, 0.0, 0.0], [0.0, 0.7, 0.2, 0.0], [0.0, 0.0, 1.1, -0.5], [0.0, 0.0, 0.0, 0.6]])


def draw(n, generator):
    """A Gaussian with covariance MIX^T MIX about 2."""
    return torch.randn(n, 4, generator=generator) @ MIX + 2


def same(a, b):
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


def test_t_learns_a_density_whose_likelihood_is_known():
    """Its NLL comes within 0.05 nats of the Gaussian's entropy, below which no mean NLL can lie."""
    flow = reproduce.train_density(draw, steps=400, **SIZE)
    z = draw(20_000, torch_generator(5, "test"))
    with torch.no_grad():
        nll = reproduce.density_nll(*flow(z)).double().mean().item()
    entropy = 4 / 2 + torch.linalg.slogdet(MIX.double()).logabsdet.item()  # without N/2 log 2π, as the NLL
    assert entropy - 0.03 < nll < entropy + 0.05


def test_samples_through_t_have_the_moments_of_what_it_learned():
    flow = reproduce.train_density(draw, steps=400, **SIZE)
    with torch.no_grad():
        samples = flow.inverse(torch.randn(20_000, 4, generator=torch_generator(6, "test")))[0].double()
    assert torch.allclose(samples.mean(0), torch.full((4,), 2.0, dtype=torch.float64), atol=0.08)
    assert torch.allclose(samples.T.cov(), (MIX.T @ MIX).double(), atol=0.2)


def test_same_seed_same_flow_and_a_killed_training_continues_to_the_same(tmp_path):
    options = {"steps": 20, "log_every": 6, **SIZE}
    whole_log, log = [], []
    whole = reproduce.train_density(draw, log=whole_log, **options)
    assert not same(whole, reproduce.train_density(draw, seed=1, **options))
    resume = Resume(folder=tmp_path, recipe={}, seconds=0)
    calls = 0

    def killed(n, generator):
        nonlocal calls
        calls += 1
        if calls > 9:
            raise InterruptedError
        return draw(n, generator)

    with pytest.raises(InterruptedError):
        reproduce.train_density(killed, resume=resume, **options)
    assert same(whole, reproduce.train_density(draw, log=log, resume=resume, **options))
    assert log == whole_log


@pytest.mark.parametrize(
    ("change", "words"),
    [({"steps": 0}, "steps: .*0"), ({"batch_size": 0}, "batch_size: .*0"), ({"decay_from": 9}, "decay_from=9")],
)
def test_a_budget_that_cannot_be_is_refused(change, words):
    with pytest.raises(UserError, match=words):
        reproduce.train_density(draw, **{"steps": 5, **SIZE, **change})


def test_latents_that_are_not_finite_are_refused():
    with pytest.raises(UserError, match="NaN or infinity"):
        reproduce.train_density(lambda n, g: draw(n, g).fill_(torch.nan), steps=5, **SIZE)


def test_without_pairs_the_statistics_and_the_likelihood_are_those_of_single_latents():
    z = torch.tensor([[0.0, 4.0], [2.0, 4.0], [4.0, 10.0]])
    certain = Posterior(z, torch.full_like(z, -torch.inf))
    metrics = measure_latents(made_subject(flow=Identity(), posterior=certain, z=z), rho=None).metrics
    statistics = {"mean": pytest.approx(4.0), "variance": pytest.approx((8 / 3 + 8.0) / 2), "pair_correlation": None}
    assert metrics["factors"] == {"residual": statistics}
    assert metrics["nll"] == pytest.approx((16 + 20 + 116) / 2 / 3)
    assert (metrics["round_trip"], metrics["round_trip_relative"]) == (0.0, 0.0)


# --- Fréchet distances


def features(mean, covariance, n=500, seed=0):
    """`n` points whose sample mean and sample covariance are just these."""
    mean, covariance = np.asarray(mean), np.asarray(covariance)
    points = np.random.default_rng(seed).standard_normal((n, len(mean)))
    points -= points.mean(0)
    white = points @ np.linalg.inv(np.linalg.cholesky(np.cov(points, rowvar=False))).T
    return white @ np.linalg.cholesky(covariance).T + mean


def test_the_distance_of_two_gaussians_is_the_closed_form():
    one = ([0.0, 1.0, -2.0], np.diag([1.0, 4.0, 0.25]))
    two = ([1.0, 1.0, 0.5], np.diag([2.25, 1.0, 0.25]))
    # commuting covariances: the squared distances of the means and of the standard deviations
    expected = (1 + 0 + 6.25) + ((1.5 - 1) ** 2 + (1 - 2) ** 2 + 0)
    assert frechet_distance(features(*one), features(*two, seed=1)) == pytest.approx(expected, abs=1e-6)
    # and rotated together, when they are no longer diagonal
    q = np.linalg.qr(np.random.default_rng(2).standard_normal((3, 3)))[0]
    assert frechet_distance(features(*one) @ q, features(*two, seed=1) @ q) == pytest.approx(expected, abs=1e-6)


def test_the_distance_of_covariances_that_do_not_commute():
    """Against the matrix square root by eigenvectors, in its symmetric form."""
    rng = np.random.default_rng(3)
    a, b = (m @ m.T + 0.1 * np.eye(4) for m in rng.standard_normal((2, 4, 4)))
    values, vectors = np.linalg.eigh(a)
    root = vectors * np.sqrt(values) @ vectors.T
    expected = np.trace(a) + np.trace(b) - 2 * np.sqrt(np.linalg.eigvalsh(root @ b @ root)).sum()
    found = frechet_distance(features(np.zeros(4), a), features(np.zeros(4), b, seed=1))
    assert found == pytest.approx(expected, abs=1e-6)


def test_nothing_is_0_from_itself_and_float32_features_are_measured_in_float64():
    points = (features([100.0, 200.0], np.eye(2)) * 10).astype(np.float32)
    assert frechet_distance(points, points) == pytest.approx(0, abs=1e-6)


def test_features_do_not_depend_on_the_batch_size():
    network = Classifier(width=4, image_size=16, latent_dim=8, seed=1).eval()
    images = torch.rand(30, 3, 16, 16, generator=torch_generator(0, "test")) * 2 - 1
    others = torch.rand(30, 3, 16, 16, generator=torch_generator(1, "test")) * 2 - 1
    whole = features_of([images], network.encode)
    assert whole.shape == (30, 8)
    with torch.no_grad():
        np.testing.assert_array_equal(whole, network.encode(images).numpy())
    distances = [
        frechet_distance(features_of(images.split(n), network.encode), features_of(others.split(n), network.encode))
        for n in (30, 7, 1)
    ]
    assert distances == pytest.approx([distances[0]] * 3, rel=1e-5)
    assert distances[0] > 0


def test_what_is_no_inception_is_refused_by_name(tmp_path):
    path = tmp_path / "pt_inception.pth"
    for content in (b"<html>quota", None):
        if content is None:
            torch.save({"Conv2d_1a_3x3.conv.weight": torch.zeros(2)}, path)
        else:
            path.write_bytes(content)
        with pytest.raises(ReproduceError, match=r"pt_inception\.pth is not torch-fidelity's Inception"):
            inception_features(path, torch.device("cpu"))


def test_a_device_that_is_full_is_not_blamed_on_the_file(tmp_path, monkeypatch):
    class Full(torch.nn.Module):
        def __init__(self, *arguments):
            super().__init__()

        def to(self, device):
            raise RuntimeError("CUDA out of memory")

    monkeypatch.setattr("torch_fidelity.feature_extractor_inceptionv3.FeatureExtractorInceptionV3", Full)
    torch.save({}, tmp_path / "weights.pth")
    with pytest.raises(RuntimeError, match="out of memory"):
        inception_features(tmp_path / "weights.pth", torch.device("cpu"))
