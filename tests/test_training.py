"""The loop: determinism, continuing after a kill, schedules; and that T learns what it is trained for."""

import hashlib
import math
import signal
import warnings

import pytest
import torch

import reproduce
from reproduce.errors import ReproduceError, UserError
from reproduce.models.convolutional import Autoencoder, Classifier
from reproduce.models.flow import FlowSize
from reproduce.training.first_stage import train_autoencoder, train_classifier
from reproduce.training.flow import noise_for
from reproduce.training.loop import Resume, log_as_csv, optimise
from reproduce.training.objective import AutoencoderObjective
from reproduce.training.optimisation import FlowTraining, LinearDecay, NetworkTraining, Optimisation

SIZE = {"n_blocks": 2, "hidden_dim": 16, "peak_rate": 1e-3, "batch_size": 32}


def draw_pairs(n, generator):
    """Components 0-2 are shared under concept 0, 3-4 under concept 1."""
    z_a, z_b = torch.randn(2, n, 8, generator=generator)
    factor = torch.randint(2, (n,), generator=generator)
    z_b[factor == 0, :3] = z_a[factor == 0, :3]
    z_b[factor == 1, 3:5] = z_a[factor == 1, 3:5]
    return z_a, z_b, factor


def same(a, b):
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


class Killed(Exception):
    pass


def killed_after(n, draw):
    """`draw` that dies at its n-th call, as a killed process would."""
    calls = 0

    def wrapped(*arguments):
        nonlocal calls
        calls += 1
        if calls > n:
            raise Killed
        return draw(*arguments)

    return wrapped


def test_same_seed_same_flow_and_another_seed_another():
    a, b, c = (reproduce.train_flow(draw_pairs, dims=(3, 2, 3), steps=8, seed=s, **SIZE) for s in (0, 0, 1))
    assert same(a, b)
    assert not same(a, c)


def test_a_killed_flow_training_continues_to_the_same_weights_and_log(tmp_path):
    options = {"dims": (3, 2, 3), "steps": 20, "log_every": 6, **SIZE}
    whole_log, log = [], []
    whole = reproduce.train_flow(draw_pairs, log=whole_log, **options)
    resume = Resume(folder=tmp_path, recipe={"lr": 1}, seconds=0)
    with pytest.raises(Killed):
        reproduce.train_flow(killed_after(12, draw_pairs), resume=resume, **options)
    assert torch.load(resume.file, weights_only=True)["step"] == 10
    with resume.locked():
        continued = reproduce.train_flow(draw_pairs, log=log, resume=resume, **options)
        assert resume.file.exists()
    assert same(whole, continued)
    assert log == whole_log
    assert not resume.file.exists()


def test_ctrl_c_ends_after_the_step_and_its_state_is_kept(tmp_path):
    """The signal comes in the middle of a step; nothing is due to be saved yet."""
    options = {"dims": (3, 2, 3), "steps": 20, **SIZE}
    whole = reproduce.train_flow(draw_pairs, **options)
    resume = Resume(folder=tmp_path, recipe={}, seconds=3600)
    calls = 0

    def interrupted(n, generator):
        nonlocal calls
        calls += 1
        if calls == 9:  # the first two decide the noise and the initialisation
            signal.raise_signal(signal.SIGINT)
        return draw_pairs(n, generator)

    with pytest.raises(KeyboardInterrupt):
        reproduce.train_flow(interrupted, resume=resume, **options)
    assert torch.load(resume.file, weights_only=True)["step"] == 7
    assert same(whole, reproduce.train_flow(draw_pairs, resume=resume, **options))
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_continued_run_without_its_optimizer_state_would_differ(tmp_path):
    """The negative of the test above: what is saved is needed."""
    options = {"dims": (3, 2, 3), "steps": 20, **SIZE}
    whole = reproduce.train_flow(draw_pairs, **options)
    resume = Resume(folder=tmp_path, recipe={}, seconds=0)
    with pytest.raises(Killed):
        reproduce.train_flow(killed_after(12, draw_pairs), resume=resume, **options)
    state = torch.load(resume.file, weights_only=True)
    for entry in state["stateful"]["flow's optimizer"]["state"].values():
        entry["exp_avg"].zero_()
    torch.save(state, resume.file)
    assert not same(whole, reproduce.train_flow(draw_pairs, resume=resume, **options))


def test_another_recipe_never_continues_this_ones_state(tmp_path):
    a, b = (Resume(folder=tmp_path, recipe={"lr": lr}) for lr in (1e-3, 2e-3))
    a.folder.mkdir(parents=True)
    a.save({"step": 1})
    assert a.load() == {"step": 1}
    assert b.load() is None


def test_the_recipe_alone_decides_the_key(tmp_path):
    """What of the code a training depends on is the recipe's to say: an edit elsewhere must not start it anew."""
    key = Resume(folder=tmp_path, recipe={"b": 1, "a": [0.5, None]}).key
    assert key == hashlib.sha256(b'{"a": [0.5, null], "b": 1}').hexdigest()[:16]
    assert key == Resume(folder=tmp_path / "other", recipe={"a": [0.5, None], "b": 1}, seconds=1).key


def test_a_damaged_state_file_is_reported_not_ignored(tmp_path):
    resume = Resume(folder=tmp_path, recipe={})
    resume.folder.mkdir(parents=True)
    resume.file.write_bytes(b"half a file")
    with pytest.raises(ReproduceError, match=r"state\.pt cannot be read .* delete it"):
        resume.load()


def test_a_second_process_is_kept_out(tmp_path):
    resume = Resume(folder=tmp_path, recipe={})
    with resume.locked(), pytest.raises(ReproduceError, match="another process"), resume.locked():
        pass


def test_training_binds_a_concept_to_its_factor():
    """After training, the pair correlation is high in the shared factor and low in the others."""
    options = {**SIZE, "hidden_dim": 32, "n_blocks": 4, "batch_size": 128, "peak_rate": 3e-3}
    flow = reproduce.train_flow(draw_pairs, dims=(3, 2, 3), steps=250, schedule="one_cycle", **options)
    z_a, z_b, factor = draw_pairs(4000, torch.Generator().manual_seed(5))
    with torch.no_grad():
        zt_a, zt_b = flow(z_a)[0], flow(z_b)[0]

    def correlation(k, part):
        a, b = zt_a[factor == k][:, part], zt_b[factor == k][:, part]
        return ((a - a.mean(0)) * (b - b.mean(0))).mean().item() / a.var().item()

    assert correlation(0, slice(0, 3)) > 0.8
    assert correlation(1, slice(3, 5)) > 0.8
    assert abs(correlation(0, slice(3, 5))) < 0.2
    assert abs(correlation(1, slice(0, 3))) < 0.2
    assert abs(correlation(0, slice(5, 8))) < 0.2


def test_no_concept_dimensions_still_train():
    flow = reproduce.train_flow(draw_pairs, dims=(0, 0, 8), steps=3, **SIZE)
    z = torch.randn(5, 8)
    assert torch.allclose(reproduce.swap(flow, z, z.flip(0), factor=0, dims=(0, 0, 8)), z, atol=1e-4)


def test_bad_input_to_training_names_the_value():
    with pytest.raises(UserError, match=r"sum to 9.* 8 dimensions"):
        reproduce.train_flow(draw_pairs, dims=(3, 3, 3), steps=1, **SIZE)

    def broken(n, generator):
        z_a, z_b, factor = draw_pairs(n, generator)
        return z_a * float("nan"), z_b, factor

    with pytest.raises(UserError, match="NaN"):
        reproduce.train_flow(broken, dims=(3, 2, 3), steps=1, **SIZE)

    with pytest.raises(UserError, match=r"decay_from=5.*never fall"):
        reproduce.train_flow(draw_pairs, dims=(3, 2, 3), steps=5, decay_from=5, **SIZE)

    def out_of_range(n, generator):
        z_a, z_b, factor = draw_pairs(n, generator)
        return z_a, z_b, factor + 1

    with pytest.raises(UserError, match="factor index 2 is out of range"):
        reproduce.train_flow(out_of_range, dims=(3, 2, 3), steps=1, **SIZE)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"peek_rate": 1e-3}, "train_flow: peek_rate: unknown key; remove it or correct its spelling"),
        ({"steps": None}, r"train_flow: steps: Input should be a valid integer \(it is None\)"),
        ({"steps": "9"}, r"train_flow: steps: Input should be a valid integer \(it is '9'\)"),
        ({"hidden_depth": -1}, r"train_flow: hidden_depth: .* 0 \(it is -1\)"),
        ({"peak_rate": math.nan}, "train_flow: peak_rate: .* nan"),
        ({"rho": 1.0}, "train_flow: rho: .* less than 1"),
        ({"betas": (0.5, 1.5)}, "train_flow: betas.1: .* less than 1"),
        ({"schedule": "cosine"}, "train_flow: schedule: .*'linear_decay' or 'one_cycle'"),
        ({"schedule": {"decay_from": -1}}, r"train_flow: schedule.decay_from: .* 0 \(it is -1\)"),
        ({"schedule": "one_cycle", "decay_from": 2}, "train_flow: decay_from=2 belongs to schedule='linear_decay'"),
        ({"log_every": 0}, "train_flow: log_every: .*greater than 0"),
    ],
)
def test_a_setting_that_is_unknown_or_wrong_is_named(settings, message):
    with pytest.raises(UserError, match=f"^{message}") as caught:
        reproduce.train_flow(draw_pairs, dims=(3, 2, 3), **{"steps": 5, **settings})
    assert "\n" not in str(caught.value)


def test_the_number_of_steps_has_no_default():
    with pytest.raises(UserError, match=r"^train_density: steps: missing; add it$"):
        reproduce.train_density(lambda n, generator: draw_pairs(n, generator)[0])


def test_the_objects_that_a_config_holds_are_the_settings():
    size, training = FlowSize(n_blocks=2, hidden_dim=16), FlowTraining(steps=6, schedule=LinearDecay(decay_from=3))
    whole = reproduce.train_flow(draw_pairs, dims=(3, 2, 3), **size.model_dump(), **training.model_dump())
    short = reproduce.train_flow(draw_pairs, dims=(3, 2, 3), steps=6, n_blocks=2, hidden_dim=16, decay_from=3)
    assert same(whole, short)
    early = reproduce.train_flow(draw_pairs, dims=(3, 2, 3), steps=6, n_blocks=2, hidden_dim=16, decay_from=2)
    assert not same(whole, early)

    def draw(n, generator):
        return draw_pairs(n, generator)[0]

    given = training.model_copy(update={"rho": 0.5})  # no pairs, no correlation
    alone, other = (reproduce.train_density(draw, **size.model_dump(), **t.model_dump()) for t in (training, given))
    assert same(alone, other)


def test_a_loss_that_becomes_nan_stops_the_training():
    with pytest.raises(ReproduceError, match=r"loss became nan before step 2"):
        optimise(
            {}, lambda i: {"loss": torch.tensor(math.nan if i else 1.0)}, Optimisation(steps=4), title="T", log_every=1
        )


def test_the_log_holds_means_over_its_interval():
    log = optimise({}, lambda i: {"loss": torch.tensor(float(i))}, Optimisation(steps=5), title="T", log_every=2)
    assert log == [{"step": 2, "loss": 0.5}, {"step": 4, "loss": 2.5}, {"step": 5, "loss": 4.0}]
    assert log_as_csv(log) == "step,loss\n2,0.5\n4,2.5\n5,4\n"


def test_linear_decay_is_the_official_one():
    decays = Optimisation(steps=120, peak_rate=2.0, schedule=LinearDecay(decay_from=100))
    assert {s: decays.rate(s) for s in (0, 100, 110, 119)} == pytest.approx({0: 2.0, 100: 2.0, 110: 1.0, 119: 0.1})
    late, own = (Optimisation(steps=120_000, schedule=s) for s in (LinearDecay(decay_from=100_000), "linear_decay"))
    for step in (0, 100_000, 110_000, 119_999):  # without a start: the official proportion
        assert late.rate(step) == own.rate(step)


def test_one_cycle_rises_for_a_tenth_and_falls_along_a_cosine():
    rate = Optimisation(steps=100, peak_rate=1.0, schedule="one_cycle").rate
    assert rate(0) == pytest.approx(1 / 25)
    assert rate(5) == pytest.approx((1 + 1 / 25) / 2)
    assert rate(10) == pytest.approx(1.0)
    assert rate(55) == pytest.approx((1 + 1e-3) / 2)
    assert rate(100) == pytest.approx(1e-3)


def images(n, generator):
    """Two classes, one-hot: a bright left or a bright right half."""
    labels = torch.randint(2, (n,), generator=generator)
    x = torch.rand(n, 1, 16, 16, generator=generator) * 0.2 - 0.9
    x[labels == 0, :, :, :8] += 1.5
    x[labels == 1, :, :, 8:] += 1.5
    return x, torch.eye(2)[labels]


TRAINING = NetworkTraining(
    steps=30,
    batch_size=16,
    peak_rate=2e-3,
    schedule="one_cycle",
    betas=(0.5, 0.9),
    initialize_batch=64,
    gradient_clip=100.0,
)
NETWORK = {"in_channels": 1, "image_size": 16, "width": 4, "latent_dim": 6}


def test_an_autoencoder_learns_and_continues_as_if_never_killed(tmp_path):
    objective = AutoencoderObjective(error="absolute", kl_weight=1.0, initial_logvar=-1.0)
    options = {"objective": objective, "training": TRAINING, "seed": 0}
    whole, killed = Autoencoder(**NETWORK), Autoencoder(**NETWORK)
    log = train_autoencoder(whole, images, **options)
    assert log[-1].keys() == {"step", "loss", "reconstruction", "nll", "logvar", "kl"}
    x, _ = images(64, torch.Generator().manual_seed(1))
    with torch.no_grad():
        error = (whole.decode(whole.encode(x).mean) - x).abs().mean()
    assert error < 0.5 * (x - x.mean(0)).abs().mean()
    resume = Resume(folder=tmp_path, recipe={}, seconds=0)
    with pytest.raises(Killed):
        train_autoencoder(killed, killed_after(18, images), resume=resume, **options)
    continued = Autoencoder(**NETWORK)
    assert train_autoencoder(continued, images, resume=resume, **options) == log
    assert same(whole, continued)


def test_a_classifier_learns_its_classes():
    classifier = Classifier(n_classes=2, **NETWORK)
    train_classifier(classifier, images, training=TRAINING, seed=0)
    x, targets = images(200, torch.Generator().manual_seed(1))
    with torch.no_grad():
        assert (classifier(x).argmax(1) == targets.argmax(1)).double().mean() > 0.98


def halves(n, generator):
    """Two attributes, each as often there as not: a bright left half, a bright right half."""
    attributes = torch.randint(2, (n, 2), generator=generator).float()
    x = torch.rand(n, 1, 16, 16, generator=generator) * 0.2 - 0.9
    x[:, :, :, :8] += 1.5 * attributes[:, 0, None, None, None]
    x[:, :, :, 8:] += 1.5 * attributes[:, 1, None, None, None]
    return x, attributes


def test_a_classifier_learns_attributes_that_come_together_or_alone():
    classifier = Classifier(n_classes=2, **NETWORK)
    log = train_classifier(classifier, halves, training=TRAINING, seed=0)
    x, attributes = halves(200, torch.Generator().manual_seed(1))
    with torch.no_grad():
        assert ((classifier(x) > 0) == (attributes > 0)).double().mean() > 0.95
    assert log[-1].keys() == {"step", "loss", "accuracy"}


@pytest.mark.parametrize("frequencies", [None, [0.5, 0.5], [0.01, 0.75], [0.0, 1.0]])
def test_a_classifier_logs_its_loss_and_the_share_of_outputs_on_the_right_side_of_zero(frequencies):
    classifier = Classifier(n_classes=2, **NETWORK)
    still = TRAINING.model_copy(update={"steps": 1, "peak_rate": 1e-30})

    def fixed(n, generator):
        x, targets = images(n, torch.Generator().manual_seed(2))
        return x, targets

    shares = None if frequencies is None else torch.tensor(frequencies)
    log = train_classifier(classifier, fixed, training=still, seed=0, frequencies=shares)
    x, targets = fixed(still.batch_size, None)
    with torch.no_grad():
        logits = classifier(x)
    right = ((logits > 0) == (targets == 1)).double().mean().item()
    losses = -torch.where(targets == 1, logits.sigmoid(), 1 - logits.sigmoid()).log()
    for k, share in enumerate(frequencies or ()):
        share = min(max(share, 1e-3), 1 - 1e-3)  # where one answer never comes up, its weight is still finite
        losses[:, k] *= torch.where(targets[:, k] == 1, 1 / (2 * share), 1 / (2 * (1 - share)))
    assert log == [{"step": 1, "loss": pytest.approx(losses.mean().item(), rel=1e-5), "accuracy": right}]


def test_with_frequencies_a_rare_attribute_that_nothing_shows_is_as_likely_as_not():
    """What a classifier says where it sees nothing: the attribute's share, or with its frequency a half."""

    def nothing(n, generator):
        return torch.rand(n, 1, 16, 16, generator=generator), (torch.rand(n, 1, generator=generator) < 0.05).float()

    for frequencies, low, high in ((None, 0.0, 0.15), (torch.tensor([0.05]), 0.3, 0.7)):
        classifier = Classifier(n_classes=1, **NETWORK)
        training = TRAINING.model_copy(update={"steps": 150, "batch_size": 128})
        train_classifier(classifier, nothing, training=training, seed=0, frequencies=frequencies)
        with torch.no_grad():
            said = classifier(nothing(500, torch.Generator().manual_seed(1))[0]).sigmoid().mean().item()
        assert low < said < high


def draw_rectified(n, generator):
    """As after a ReLU: component 0 never fires, component 5 seldom; the others are as in `draw_pairs`."""
    z_a, z_b, factor = draw_pairs(n, generator)
    for z in (z_a, z_b):
        z[:, 0] = 0
        z[:, 5] = (z[:, 5] - 1).clamp(min=0)
    return z_a, z_b, factor


def test_noise_is_added_where_the_likelihood_has_no_bound():
    options = {"dims": (3, 2, 3), "steps": 40, **SIZE}
    log = []
    with pytest.warns(UserWarning, match=r"2 of the 8 components \(0, 5\) are nearly constant.*adds noise of 1%"):
        flow = reproduce.train_flow(draw_rectified, log=log, log_every=10, **options)
    assert all(abs(row["loss"]) < 100 for row in log)
    assert flow.layers[0].scale.abs().max() < 1000  # without noise, a constant component is scaled by a million
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        declared = reproduce.train_flow(draw_rectified, noise=0.01, **options)
        bare = reproduce.train_flow(draw_rectified, noise=0, **options)
        reproduce.train_flow(draw_pairs, **{**options, "steps": 1})
    assert same(flow, declared)
    assert bare.layers[0].scale.abs().max() > 1e5


def test_the_noise_is_a_share_of_the_median_component_that_moves():
    z = torch.randn(4000, 5, generator=torch.Generator().manual_seed(0)) * torch.tensor([0.0, 1.0, 2.0, 4.0, 1e-5])
    inspected = z[::4]
    assert noise_for(inspected, 0.5) == pytest.approx(0.5 * inspected.std(0)[1].item())  # of 1e-5, 1, 2 and 4
    with pytest.warns(UserWarning, match=r"2 of the 5 components \(0, 4\)"):
        assert noise_for(inspected, "auto") == pytest.approx(0.01 * inspected.std(0)[1].item())
    maps = torch.randn(1000, 3, 4, 4, generator=torch.Generator().manual_seed(1))
    maps[:, :, 0] = maps[:, :, :, 0] = 0.0  # a border that never changes
    with pytest.warns(UserWarning, match="3 of the 3 components"):
        assert noise_for(maps, "auto") == pytest.approx(0.01 * 0.75, rel=0.1)  # 9 of 16 positions vary
    assert noise_for(maps[:, :, 1:, 1:], "auto") == 0
    with pytest.raises(UserError, match="all latents are equal"):
        noise_for(torch.ones(50, 4), "auto")


def test_latents_of_any_type_train_the_same_flow():
    def as_arrays(n, generator):
        z_a, z_b, factor = draw_pairs(n, generator)
        return z_a.double().numpy(), z_b.double().numpy(), factor.numpy()

    options = {"steps": 5, **SIZE}
    estimate = reproduce.estimate_dimensions(*draw_pairs(500, torch.Generator().manual_seed(0)), n_concepts=2)
    of_tensors = reproduce.train_flow(draw_pairs, dims=estimate.dims, **options)
    assert same(of_tensors, reproduce.train_flow(as_arrays, dims=estimate, **options))


def test_a_flow_is_trained_on_feature_maps():
    def draw_maps(n, generator):
        z_a, z_b = torch.randn(2, n, 6, 2, 2, generator=generator)
        factor = torch.randint(2, (n,), generator=generator)
        z_b[factor == 0, :2] = z_a[factor == 0, :2]
        z_b[factor == 1, 2] = z_a[factor == 1, 2]
        return z_a, z_b, factor

    log = []
    flow = reproduce.train_flow(draw_maps, dims=(2, 1, 3), steps=60, log=log, log_every=10, **SIZE)
    assert flow.dim == 6
    assert log[-1]["loss"] < log[0]["loss"] - 1
    z_a, z_b, factor = draw_maps(500, torch.Generator().manual_seed(1))
    zt_a, zt_b = (flow(z)[0].detach() for z in (z_a, z_b))
    shared = zt_a[factor == 0][:, :2].flatten().double(), zt_b[factor == 0][:, :2].flatten().double()
    assert torch.corrcoef(torch.stack(shared))[0, 1] > 0.5
