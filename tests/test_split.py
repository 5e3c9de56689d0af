"""Any network is divided at a layer: E(x) is the layer's output, and G(E(x)) the network's own answer."""

from functools import cache, partial

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional as F
from torchvision import models

from reproduce import Classifier, UserError, split
from reproduce.seeds import torch_generator
from reproduce.splitting import LAYOUTS, layer_outputs, to_latent, to_output


def images(n: int, *shape: int, purpose: str = "images") -> Tensor:
    return torch.randn(n, *shape, generator=torch_generator(0, purpose))


@cache
def network(name: str) -> nn.Module:
    """Random weights; the batch statistics are those of random images, so no answer is almost constant."""
    torch.manual_seed(0)
    if name == "classifier":
        made: nn.Module = Classifier(width=4, latent_dim=6, n_classes=3)
        made.initialize(images(8, 3, 32, 32))
    elif name == "vit":
        made = models.VisionTransformer(
            image_size=32, patch_size=8, num_layers=3, num_heads=2, hidden_dim=16, mlp_dim=32, num_classes=5
        )
    elif name == "vit_b_16":
        made = models.vit_b_16(weights=None, image_size=64)
    else:
        made = getattr(models, name)(weights=None)
    if "vit" in name:
        nn.init.normal_(made.heads.head.weight)  # torchvision begins with 0
    if any(isinstance(module, nn.BatchNorm2d) for module in made.modules()):
        made.train()
        with torch.no_grad():
            for _ in range(3):
                made(images(8, 3, 64, 64, purpose="statistics"))
    return made.eval()


class Unet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.down = nn.Conv2d(3, 4, 2, stride=2)
        self.middle = nn.Sequential(nn.ReLU(), nn.Conv2d(4, 4, 3, padding=1))
        self.up = nn.ConvTranspose2d(8, 3, 2, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        down = self.down(x)
        return self.up(torch.cat([self.middle(down), down], 1))


class Made(nn.Module):
    """Images `[B, 3, 8, 8]` to 5 numbers each: `forward(network, x)`, with `layer` a convolution or of another make."""

    def __init__(self, forward=lambda network, x: network.head(network.layer(x)), layer=None) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.own_forward, self.layer = forward, layer or nn.Conv2d(3, 3, 1)
        self.head = nn.Sequential(nn.Flatten(), nn.Dropout(), nn.Linear(192, 5))

    def forward(self, x):
        return self.own_forward(self, x)


class Lambda(nn.Module):
    def __init__(self, function) -> None:
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


X = images(4, 3, 8, 8)


def output_of(network: nn.Module, layer: str, x: Tensor) -> tuple[Tensor, Tensor]:
    """The layer's output and the network's answer, by another hook."""
    found = []
    handle = network.get_submodule(layer).register_forward_hook(lambda *call: found.append(call[2].clone()))
    with torch.no_grad():
        answer = network(x)
    handle.remove()
    return found[0], answer


@pytest.mark.parametrize(
    ("name", "layer", "side", "layout", "bypassed"),
    [
        ("resnet18", "layer3", 64, "channels_first", False),
        ("resnet18", "layer4.0.conv1", 64, "channels_first", True),
        ("resnet18", "bn1", 64, "channels_first", False),  # the next layer works in place
        ("resnet18", "avgpool", 64, "channels_first", False),
        ("resnet18", "fc", 64, "channels_first", False),
        ("densenet121", "features.denseblock3", 64, "channels_first", False),
        ("densenet121", "features.denseblock3.denselayer2", 64, "channels_first", True),
        ("densenet121", "features.denseblock3.denselayer2.conv1", 64, "channels_first", True),
        ("densenet121", "features", 64, "channels_first", False),
        ("vit_b_16", "encoder.layers.encoder_layer_5", 64, "tokens", False),
        ("vit", "encoder.layers.encoder_layer_1", 32, "tokens", False),
        ("vit", "encoder.layers.encoder_layer_1.mlp", 32, "tokens", True),
        ("vit", "encoder.ln", 32, "tokens", False),
        ("vit", "conv_proj", 32, "channels_first", False),
        ("classifier", "encoder.layers.2", 32, "channels_first", False),
        ("classifier", "encoder", 32, "channels_first", False),
    ],
)
def test_g_of_e_is_the_network_s_answer(name, layer, side, layout, bypassed):
    subject, x = network(name), images(2, 3, side, side)
    output, answer = output_of(subject, layer, x)
    assert answer.std(0).mean() > 1e-3 * answer.abs().max()  # otherwise any G would do
    divided = split(subject, layer, x, layout=layout)
    z = divided.encode(x)
    expected = output.transpose(1, 2)[..., None] if layout == "tokens" else output
    assert torch.equal(z, expected)
    assert torch.equal(divided.decode(z, x), answer)
    assert torch.equal(z, expected)  # though the network may change in place what it is given
    assert divided.bypassed is bypassed
    if bypassed:
        with pytest.raises(UserError, match=f'paths around layer="{layer}": call decode'):
            divided.decode(z)
    else:
        torch.testing.assert_close(divided.decode(z), answer)


def test_g_decodes_other_latents_as_the_rest_of_the_network_does():
    subject, x = network("resnet18"), images(2, 3, 64, 64)
    divided = split(subject, "layer3", x)
    z = divided.encode(x) + images(2, 256, 4, 4, purpose="change")
    with torch.no_grad():
        expected = subject.fc(subject.avgpool(subject.layer4(z)).flatten(1))
    assert torch.equal(divided.decode(z), expected)
    assert torch.equal(divided.decode(z, x), expected)
    assert torch.equal(divided.answer(x), subject(x))
    torch.testing.assert_close(divided.decode(z[:1]), expected[:1])  # the stored image is repeated as often as needed


@pytest.mark.parametrize(
    ("name", "layers", "side", "layout"),
    [
        ("resnet18", ["layer4.0.bn1", "bn1", "layer2", "fc"], 64, "channels_first"),  # bn1: the next one works in place
        ("vit", ["encoder.layers.encoder_layer_0", "encoder.ln"], 32, "tokens"),
        ("classifier", ["encoder.dense", "encoder.layers.0", "encoder.dense"], 32, "channels_first"),
    ],
)
def test_the_outputs_of_several_layers_come_from_one_pass_in_the_order_asked_for(name, layers, side, layout):
    subject, x = network(name), images(2, 3, side, side)
    passes = []
    counter = subject.register_forward_hook(lambda *call: passes.append(1))
    found = layer_outputs(subject, layers, x, layout=layout)
    counter.remove()
    assert len(passes) == 1
    for layer, output in zip(layers, found, strict=True):
        expected = output_of(subject, layer, x)[0]
        assert torch.equal(output, expected.transpose(1, 2)[..., None] if layout == "tokens" else expected)
        assert not output.requires_grad
        assert not subject.get_submodule(layer)._forward_hooks


def test_layers_are_read_from_the_pass_that_is_named_in_eval_mode_with_every_mode_restored():
    subject = Made(lambda network, x: network.head(network.layer(x.mul_(2))))
    subject.eval()
    expected = subject.head(subject.layer(2 * X))
    subject.train()
    before, x = modes(subject), X.double()
    (answer,) = layer_outputs(subject, ["head"], x)
    assert torch.equal(answer, expected)
    assert torch.equal(x, X.double())
    single = X.clone()
    layer_outputs(subject, ["head"], single)
    assert torch.equal(single, X)
    (half,) = layer_outputs(subject, ["layer"], X, forward=lambda x: subject.layer(x / 2))
    assert torch.equal(half, subject.layer(X / 2))
    assert modes(subject) == before


@pytest.mark.parametrize(
    ("forward", "layers", "words"),
    [
        (
            lambda network, x: network.head(network.layer(network.layer(x))),
            ["head", "layer"],
            "is called 2 times in one",
        ),
        (lambda network, x: network.head(x), ["head", "layer"], 'layer="layer" is called 0 times'),
        (lambda network, x: network.head(network.layer(x)), ["layer", "heads"], 'layer="heads" is not a layer of Made'),
        (lambda network, x: network.head(network.layer(x[:1])), ["layer"], r"returns \[1, 3, 8, 8\] for 4 images"),
    ],
)
def test_several_layers_are_refused_as_a_single_one_is_and_no_hook_is_left(forward, layers, words):
    subject = Made(forward)
    with pytest.raises(UserError, match=words):
        layer_outputs(subject, layers, X)
    assert not subject.layer._forward_hooks
    assert not subject.head._forward_hooks


def test_our_classifier_is_divided_as_it_divides_itself():
    subject, x = network("classifier"), images(3, 3, 32, 32)
    divided = split(subject, "encoder")
    z = divided.encode(x)
    assert torch.equal(z, subject.encode(x))
    assert torch.equal(divided.decode(z.flip(0)), subject.classify(z.flip(0)))


@pytest.mark.parametrize(("layer", "bypassed"), [("down", False), ("middle", True), ("middle.0", True), ("up", False)])
def test_the_skip_connection_of_a_unet_is_found_and_taken_from_x(layer, bypassed):
    subject, others = Unet(), images(4, 3, 8, 8, purpose="others")
    divided = split(subject, layer, X)
    assert divided.bypassed is bypassed
    z = divided.encode(X)
    if layer == "middle":
        with pytest.raises(UserError, match=r'paths around layer="middle": call decode\(z, x\)'):
            divided.decode(z)
        with torch.no_grad():
            expected = subject.up(torch.cat([z, subject.down(others)], 1))
        assert torch.equal(divided.decode(z, others), expected)


@pytest.mark.parametrize(
    ("forward", "bypassed"),
    [
        (lambda network, x: network.head(network.layer(x)), False),
        (lambda network, x: network.head(network.layer(x) + 0 * x), False),
        (lambda network, x: network.head(network.layer(x) + x.mean((1, 2, 3), keepdim=True)), True),
        (lambda network, x: network.head(network.layer(x) + x[:, :, :1, :1]), True),
        (lambda network, x: network.head(network.layer(x)) + 0.01 * network.head(x), True),
    ],
)
@pytest.mark.parametrize("n", [1, 4])
def test_a_path_around_the_layer_is_found_with_one_image_or_more(forward, bypassed, n):
    assert split(Made(forward), "layer", X[:n]).bypassed is bypassed


def test_a_network_of_tokens_takes_integers_within_its_vocabulary():
    torch.manual_seed(0)
    subject = nn.Sequential(nn.Embedding(9, 4), nn.Linear(4, 4), nn.Flatten(), nn.Linear(24, 2))
    x = torch.tensor([[8, 0, 3, 3, 1, 0], [1, 1, 2, 0, 0, 5]])
    divided = split(subject, "1", x, layout="tokens")
    z = divided.encode(x)
    assert z.shape == (2, 4, 6, 1)
    answer = subject(x)
    assert torch.equal(divided.decode(z, x), answer)
    x.fill_(9)  # outside the vocabulary: the stored example must not follow
    torch.testing.assert_close(divided.decode(z), answer)


@pytest.mark.parametrize(
    ("layout", "shape", "latent"),
    [
        ("channels_first", (2, 5), (2, 5)),
        ("channels_first", (2, 5, 3, 4), (2, 5, 3, 4)),
        ("channels_last", (2, 3, 4, 5), (2, 5, 3, 4)),
        ("tokens", (2, 7, 5), (2, 5, 7, 1)),
    ],
)
def test_layouts_are_inverted_with_the_strides_of_the_output(layout, shape, latent):
    for output in (images(*shape), images(*shape[:1], *shape[:0:-1]).transpose(1, -1)):
        z = to_latent(output, layout=layout)
        assert z.shape == latent
        assert z.is_contiguous()
        assert z.data_ptr() != output.data_ptr()
        for channel in range(5):
            taken = output.select(1 if layout == "channels_first" else -1, channel)
            assert torch.equal(z[:, channel].flatten(), taken.flatten())
        back = to_output(z.double(), output, layout=layout)
        assert torch.equal(back, output)
        assert (back.dtype, back.stride()) == (output.dtype, output.stride())


def test_a_layer_with_its_channels_last():
    def forward(network, x):
        return network.head(network.layer(x.permute(0, 2, 3, 1)).view(len(x), -1))  # a view needs the strides

    subject = Made(forward, nn.Linear(3, 3))
    divided = split(subject, "layer", X, layout="channels_last")
    z = divided.encode(X)
    assert z.shape == (4, 3, 8, 8)
    assert torch.equal(divided.decode(z), subject.eval()(X))


def modes(network: nn.Module) -> list[bool]:
    return [module.training for module in network.modules()]


@pytest.mark.parametrize("training", [True, False])
def test_the_pass_is_in_eval_mode_and_every_mode_is_restored(training):
    subject = nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3), nn.Dropout(), nn.Flatten(), nn.Linear(192, 5))
    expected = subject.eval()(X)
    subject.train(training)
    subject[1].train(not training)
    before, counted = modes(subject), subject[1].num_batches_tracked.clone()
    divided = split(subject, "1", X)
    assert torch.equal(divided.decode(divided.encode(X), X), expected)
    assert torch.equal(divided.answer(X), expected)
    assert modes(subject) == before
    assert subject[1].num_batches_tracked == counted


def test_the_network_s_own_train_and_eval_are_not_called():
    class Merging(Made):
        def train(self, mode=True):
            raise AssertionError

    split(Merging(), "layer", X).encode(X)


def test_modes_and_hooks_are_restored_after_an_exception():
    def forward(network, x):
        y = network.head(network.layer(x))
        if fails:
            raise RuntimeError("in the pass")
        return y

    fails = False
    subject = Made(forward).train()
    subject.head.eval()
    before = modes(subject)
    divided = split(subject, "layer", X)
    fails = True
    for call in (divided.encode, divided.answer, partial(divided.decode, images(4, 3, 8, 8))):
        with pytest.raises(RuntimeError, match="in the pass"):
            call(X)
        assert modes(subject) == before
        assert not subject.layer._forward_hooks
    fails = False
    with pytest.raises(UserError, match="takes z"):
        divided.decode(images(4, 3, 8, 7), X)
    assert modes(subject) == before
    assert not subject.layer._forward_hooks


def test_nothing_that_was_passed_is_changed_and_no_graph_is_kept():
    subject = Made(lambda network, x: network.head(network.layer(x.mul_(2)).mul_(2)))
    x, z = X.clone(), images(4, 3, 8, 8, purpose="z").requires_grad_()
    divided = split(subject, "layer", x)
    first, given = divided.encode(x), z.detach().clone()
    answers = [divided.decode(z, x), divided.decode(z), divided.decode(z)]
    assert torch.equal(x, X)
    assert torch.equal(z, given)
    assert torch.equal(answers[0], answers[2])
    assert torch.equal(first, subject.layer(2 * X))  # before the network doubles it in place
    for result in (first, *answers, divided.answer(x)):
        assert not result.requires_grad
        assert not result.is_inference()  # T is trained with these


def test_the_checks_are_made_once():
    passes = []

    def forward(network, x):
        passes.append(len(x))
        return network.head(network.layer(x))

    divided = split(Made(forward), "layer", X)
    assert passes == [2, 3, 3, 1]
    divided.decode(divided.encode(X), X)
    assert passes == [2, 3, 3, 1, 4, 4]


def test_one_image_serves_many_latents_where_the_number_of_images_is_not_used():
    passes = []

    def forward(network, x, *, shaped):
        passes.append(len(x))
        z = network.layer(x)
        return network.head(z.view(len(x), *z.shape[1:]) if shaped else z)

    for shaped, expected in ((False, 1), (True, 4)):
        divided = split(Made(partial(forward, shaped=shaped)), "layer", X)
        z = divided.encode(X)
        passes.clear()
        torch.testing.assert_close(divided.decode(z), divided.answer(X), rtol=0, atol=1e-6)
        assert passes == [expected, 4]


def test_answers_that_differ_by_rounding_are_the_same_answer():
    """On a GPU, sums depend on the size of the batch and on the call."""
    rounding = iter([0.0, 1e-5, -1e-5, 0.0])

    def forward(network, x):
        return network.head(network.layer(x)) * (1 + next(rounding) * torch.arange(len(x))[:, None])

    assert not split(Made(forward), "layer", X).bypassed


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_inputs_get_the_dtype_of_the_network(dtype):
    subject = Made().to(dtype).eval()
    divided = split(subject, "layer", X)
    z = divided.encode(X)
    assert z.dtype == dtype
    answer = divided.decode(z.float(), X)
    assert answer.dtype == dtype
    torch.testing.assert_close(answer, subject(X.to(dtype)))
    assert not divided.bypassed


def test_inputs_are_brought_to_the_device_of_the_network():
    """Fake tensors know their device and mix no two; the checks read values, which these do not have."""
    with FakeTensorMode():
        with torch.device("cuda"):
            subject = Made()
        x, z = torch.zeros(2, 3, 8, 8), torch.zeros(2, 3, 8, 8)
        answer, z = split(subject, "layer")._run(x, z)
    assert answer.device.type == z.device.type == "cuda"


def test_a_layer_may_have_two_names():
    subject = Made()
    subject.also = subject.layer
    for name in ("layer", "also"):
        assert split(subject, name, X).encode(X).shape == X.shape


@pytest.mark.parametrize(
    ("layer", "match"),
    [
        ("layer33", r'layer="layer33" is not a layer of ResNet: name one of its submodules, such as layer3'),
        ("module.layer3.0.conv1", r"such as layer3.0.conv1"),
        ("zzzzzzz", r"such as conv1, bn1, relu, maxpool, layer1, layer2, layer3, layer4, avgpool, fc$"),
        ("", r'layer="" is the network itself: name one of its submodules, such as conv1, bn1'),
    ],
)
def test_a_wrong_name_is_answered_with_the_nearest_names(layer, match):
    with pytest.raises(UserError, match=match):
        split(network("resnet18"), layer)


def batch_norm(x: Tensor) -> Tensor:
    return F.batch_norm(x, None, None, training=True)


REFUSALS = {
    "a tuple": (Made(lambda n, x: n.head(n.layer(x)[0]), Lambda(lambda x: (x, x))), r'layer="layer" returns a tuple'),
    "a dict": (Made(lambda n, x: n.head(n.layer(x)["x"]), Lambda(lambda x: {"x": x})), r'layer="layer" returns a dict'),
    "no batch": (
        Made(lambda n, x: n.head(x + n.layer(x)), Lambda(lambda x: x.mean(0))),
        r'layer="layer" returns \[3, 8, 8\] for \d images: name a layer that returns one tensor whose first axis',
    ),
    "one axis": (
        Made(lambda n, x: n.head(x * n.layer(x)[:, None, None, None]), Lambda(lambda x: x.mean((1, 2, 3)))),
        r"output is \[\d\]: name a layer whose output has 2, 3 or 4 axes",
    ),
    "a scalar": (Made(lambda n, x: n.head(x * n.layer(x)), Lambda(lambda x: x.mean())), r"returns \[\] for \d images"),
    "never": (Made(lambda n, x: n.head(x)), r'layer="layer" is called 0 times in one pass'),
    "twice": (Made(lambda n, x: n.head(n.layer(n.layer(x)))), r'layer="layer" is called 2 times in one pass'),
    "a dict as answer": (Made(lambda n, x: {"out": n.head(n.layer(x))}), r"Made returns a dict for \d images: wrap it"),
    "an answer without batch": (
        Made(lambda n, x: n.head(n.layer(x)).sum(0)),
        r"Made returns \[5\] for \d images: wrap",
    ),
    "a number as answer": (Made(lambda n, x: n.head(n.layer(x)).sum()), r"Made returns \[\] for \d images: wrap"),
    "batch statistics before": (Made(lambda n, x: n.head(n.layer(batch_norm(x)))), r"depends on the rest of the batch"),
    "batch statistics after": (Made(lambda n, x: batch_norm(n.head(n.layer(x)))), r"depends on the rest of the batch"),
    "batch statistics without effect": (
        Made(lambda n, x: 0 * n.head(n.layer(batch_norm(x)))),
        r"depends on the rest of the batch",
    ),
    "random numbers": (Made(lambda n, x: n.head(n.layer(F.dropout(x)))), r"changes from call to call"),
    "infinity": (Made(lambda n, x: n.head(n.layer(x / 0))), r"hold NaN or infinity"),
}


@pytest.mark.parametrize(("subject", "match"), REFUSALS.values(), ids=REFUSALS)
@pytest.mark.parametrize("at_once", [True, False])
def test_what_has_no_e_and_g_is_refused_in_one_line(subject, match, at_once):
    """At once where an example is given, otherwise at the first call, and at each further one."""
    if at_once:
        with pytest.raises(UserError, match=match) as refusal:
            split(subject, "layer", X)
    else:
        divided = split(subject, "layer")
        z = torch.zeros_like(X)
        for call in (divided.encode, divided.answer, partial(divided.decode, z), divided.encode):
            with pytest.raises(UserError, match=match) as refusal:
                call(X)
    assert "\n" not in str(refusal.value)
    assert not subject.layer._forward_hooks


@pytest.mark.parametrize(
    ("layout", "shape", "match"),
    [
        ("channels_first", (2, 7, 5), r'layout="channels_first" does not fit .* \[2, 7, 5\]: give layout="tokens"$'),
        ("tokens", (2, 7), r'give layout="channels_first"$'),
        ("tokens", (2, 3, 4, 4), r'give layout="channels_first" or layout="channels_last"$'),
        ("channels_last", (2, 7), r'give layout="channels_first"$'),
        ("channels_last", (2, 7, 3, 3, 3), r"name a layer whose output has 2, 3 or 4 axes$"),
    ],
)
def test_a_layout_that_does_not_fit_is_answered_with_those_that_do(layout, shape, match):
    with pytest.raises(UserError, match=match):
        to_latent(images(*shape), layout=layout)
    subject = Made(lambda n, x: n.layer(x).flatten(1), Lambda(lambda x: x.new_ones(len(x), *shape[1:])))
    with pytest.raises(UserError, match=match):
        split(subject, "layer", X, layout=layout)


def test_an_unknown_layout_is_answered_with_the_known_ones():
    with pytest.raises(UserError, match=r'layout="nchw" is unknown: give one of ' + ", ".join(LAYOUTS)):
        split(Made(), "layer", layout="nchw")


def test_a_latent_that_does_not_fit_is_refused():
    divided = split(Made(), "layer", X)
    z = divided.encode(X)
    with pytest.raises(UserError, match=r"given 4 latents and 3 images: give one image for each latent"):
        divided.decode(z, X[:3])
    for wrong in (z[:, :2], z.flatten(1), z[..., :4]):
        with pytest.raises(UserError, match=r'layer="layer" takes z \[4, 3, 8, 8\]; it was given \[4, '):
            divided.decode(wrong, X)
    z[1, 2, 3, 4] = float("nan")
    with pytest.raises(UserError, match="hold NaN or infinity"):
        divided.decode(z, X)


def test_a_later_batch_may_not_be_finite_either():
    divided = split(Made(), "layer", X)
    with pytest.raises(UserError, match="hold NaN or infinity"):
        divided.encode(X / 0)


def test_nothing_is_decoded_without_an_image_before_the_first_one_was_seen():
    divided = split(Made(), "layer")
    for call in (lambda: divided.decode(X), lambda: divided.bypassed):
        with pytest.raises(UserError, match=r'layer="layer" are found with images: give x, or encode some first'):
            call()
    z = divided.encode(X)
    assert not divided.bypassed
    torch.testing.assert_close(divided.decode(z), divided.answer(X))


@pytest.mark.parametrize("x", [torch.zeros(2, 3, 8, 8), X[:0], torch.tensor(1.0), [X, X]])
def test_an_example_must_be_a_batch_of_images_that_show_something(x):
    with pytest.raises(UserError, match="x must be a batch of images, one tensor, and the first image"):
        split(Made(), "layer", x)
