"""The same network under every layout, with a place that its output rests on."""

import pytest
import torch
from torch import nn
from torchvision.models import VisionTransformer, swin_t

from attribution import explain
from attribution.base import SCORES
from attribution.config import (
    IBAConfig,
    InverseIBAConfig,
    MultilayerIBAConfig,
    Score,
    StatisticsConfig,
)
from attribution.iba import IBA
from attribution.layout import Layout, readings
from attribution.multilayer_iba import MultilayerIBA
from attribution.statistics import FeatureStatistics, estimate_statistics
from attribution.tapped import TappedModule

PATCH, PLACE = 8, (1, 3)  # the row and column of the patch that the output rests on
METHODS = ["iba", "inverse_iba", "grad_cam"]


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


class Laid(nn.Module):
    """Features (N, C, h, w) in another layout, with the tokens before them."""

    def __init__(self, layout):
        super().__init__()
        self.layout = layout

    def forward(self, features, tokens=None):
        return self.layout.from_map(features, tokens)


class Toy(nn.Module):
    """Each patch's evidence is seen by itself; the strongest counts. ``layer`` is in any layout.

    Logits of +-6: 6 for the first output where there is a planted patch, -6 where there is none.
    With prefix tokens, these hold all the evidence at ``layer`` and give half of the logit.
    """

    def __init__(self, layout):
        super().__init__()
        torch.manual_seed(0)
        self.embed, self.layer = nn.Conv2d(3, 6, PATCH, stride=PATCH), Laid(layout)
        with torch.no_grad():
            self.embed.weight.abs_()
            strongest = [
                self.strongest(self.embed(images(planted=p))).mean() for p in (True, False)
            ]
        self.high, self.low = strongest

    def strongest(self, features):
        return features.flatten(2).amax(2).mean(1)

    def evidence(self, features):
        logit = 12 * (self.strongest(features) - self.low) / (self.high - self.low) - 6
        return torch.stack([logit, -logit], 1)

    def forward(self, images):
        layout, features = self.layer.layout, self.embed(images)
        tokens = None
        if layout.prefix:
            tokens = features.flatten(2).amax(2, keepdim=True).repeat(1, 1, layout.prefix)
        found, tokens = layout.to_map(self.layer(features, tokens))
        outputs = self.evidence(found)
        return outputs if tokens is None else (outputs + self.evidence(tokens)) / 2


def images(height=32, width=32, num=2, planted=True, seed=3):
    films = 0.3 * normal(num, 3, height, width, seed=seed)
    row, column = (PATCH * place for place in PLACE)
    if planted:
        films[:, :, row : row + PATCH, column : column + PATCH] += 2
    return films


def at_place(maps):
    """The share of each map in the planted patch."""
    row, column = (PATCH * place for place in PLACE)
    inside = maps[:, row : row + PATCH, column : column + PATCH].sum((1, 2))
    return inside / maps.sum((1, 2))


def maps_of(model, method, height=32, width=32, layer="layer", steps=10):
    settings = {}
    if method != "grad_cam":
        reference = [images(height, width, 8, planted=False, seed=seed) for seed in (4, 5)]
        config = InverseIBAConfig if method == "inverse_iba" else IBAConfig
        settings = {"reference": reference, "settings": config(beta=0.1, steps=steps)}
    films = images(height, width)
    return explain(model, films, 0, method=method, layer=layer, **settings).maps


GRIDS = [((32, 32), (4, 4)), ((32, 48), (4, 6))]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("side", "grid"), GRIDS)
@pytest.mark.parametrize("order", ["NHWC", "NTC", "NCT", "TNC"])
def test_a_map_is_that_of_the_same_network_with_channels_first(order, side, grid, method):
    expected = maps_of(Toy(Layout("NCHW", grid)).eval(), method, *side)
    found = maps_of(Toy(Layout(order, grid)).eval(), method, *side)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    assert at_place(found).min() > 0.45  # bilinear: .5625 of one cell lies in it


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("side", "grid"), GRIDS)
@pytest.mark.parametrize(("order", "prefix"), [("NTC", 1), ("NTC", 5), ("TNC", 1)])
def test_a_class_token_carries_no_evidence_past_the_map(order, prefix, side, grid, method):
    found = maps_of(Toy(Layout(order, grid, prefix)).eval(), method, *side)
    assert at_place(found).min() > 0.45  # bilinear: .5625 of one cell lies in it


def test_behind_a_closed_bottleneck_nothing_of_the_image_is_left():
    model = Toy(Layout("NTC", (4, 4), 1)).eval()
    closed = IBAConfig(beta=1e6, steps=40)
    reference = [images(num=8, planted=False, seed=4)]
    found = explain(model, images(), 0, layer="layer", reference=reference, settings=closed)
    assert found.diagnostics["bits"].max() < 1e-2
    ordinary = model(reference[0])[:, 0]
    assert ordinary.max() < -3
    assert (found.diagnostics["score"] > 5).all()
    assert (found.diagnostics["bottleneck_score"] < -3).all()


@pytest.mark.parametrize(
    ("shape", "side", "expected"),
    [
        ((2, 96, 16, 16), (64, 64), [Layout("NCHW", (16, 16))]),
        ((2, 16, 16, 96), (64, 64), [Layout("NHWC", (16, 16))]),
        ((2, 10, 15, 64), (40, 60), [Layout("NHWC", (10, 15))]),
        ((2, 64, 6, 10), (30, 50), [Layout("NCHW", (6, 10))]),
        ((2, 14, 14, 14), (224, 224), [Layout("NCHW", (14, 14)), Layout("NHWC", (14, 14))]),
        ((2, 197, 768), (224, 224), [Layout("NTC", (14, 14), 1)]),
        ((2, 198, 192), (224, 224), [Layout("NTC", (14, 14), 2)]),
        ((2, 196, 768), (224, 224), [Layout("NTC", (14, 14))]),
        ((2, 261, 384), (224, 224), [Layout("NTC", (16, 16), 5)]),
        ((197, 2, 768), (224, 224), [Layout("TNC", (14, 14), 1)]),
        ((2, 25, 768), (64, 96), [Layout("NTC", (4, 6), 1)]),
        ((2, 24, 768), (64, 96), [Layout("NTC", (4, 6))]),
        ((2, 10, 32), (24, 24), [Layout("NTC", (3, 3), 1)]),
        ((2, 1, 768), (224, 224), []),
        ((2, 768), (224, 224), []),
        ((2, 8, 4, 14, 14), (224, 224), []),
        ((98, 49, 96), (56, 56), []),
    ],
)
def test_a_shape_is_read_as_it_fits_the_image(shape, side, expected):
    assert readings(shape, (2, 3, *side)) == expected


def test_of_a_square_image_so_many_tokens_make_one_grid_only():
    for tokens in range(4, 1200):
        assert len(readings((2, tokens, 7), (2, 3, 1200, 1200))) <= 1


def test_where_the_shape_leaves_a_doubt_the_layers_beside_the_tap_tell():
    convolutions = nn.Sequential(
        *(nn.Conv2d(3, 8, 4, stride=4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
        nn.Linear(8, 2),
    )
    assert TappedModule(convolutions).forward_to("1", images()).stride()[1] != 1

    class Last(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.mix, self.act = (
                nn.Conv2d(3, 8, 4, stride=4),
                nn.Linear(8, 8),
                nn.GELU(),
            )
            self.head = nn.Linear(8, 2)

        def forward(self, films):
            return self.head(self.act(self.mix(self.embed(films).permute(0, 2, 3, 1))).mean((1, 2)))

    model = Last()
    films = images()
    expected = model.act(model.mix(model.embed(films).permute(0, 2, 3, 1))).permute(0, 3, 1, 2)
    torch.testing.assert_close(TappedModule(model).forward_to("act", films), expected)


class Doubtful(nn.Module):
    """(N, 8, 8, 8) of images of 8 pixels, made by no layer."""

    def __init__(self, size=8):
        super().__init__()
        self.tap, self.size = nn.Identity(), size

    def forward(self, films):
        repeated = films.mean(1, keepdim=True).repeat(1, self.size, 1, 1)
        return self.tap(repeated).mean((2, 3))[:, :2]


def test_a_layout_in_doubt_is_refused_with_the_shape_and_can_be_said():
    films = normal(2, 3, 8, 8)
    with pytest.raises(
        ValueError, match=r"'tap' gives \(1, 8, 8, 8\).*several readings.*layout='NCHW'"
    ):
        explain(Doubtful(), films, 0, method="grad_cam", layer="tap")
    said = explain(Doubtful(), films, 0, method="grad_cam", layer="tap", layout="NCHW").maps
    whole = Layout("NCHW", (8, 8))
    again = explain(Doubtful(), films, 0, method="grad_cam", layer="tap", layout=whole).maps
    assert torch.equal(said, again)
    with pytest.raises(ValueError, match="layout: 'NWHC' is none of NCHW, NHWC, NTC"):
        explain(Doubtful(), films, 0, method="grad_cam", layer="tap", layout="NWHC")
    with pytest.raises(ValueError, match=r"\(1, 8, 8, 8\).*no reading"):
        explain(
            *(Doubtful(), films, 0), method="grad_cam", layer="tap", layout=Layout("NTC", (2, 4))
        )


def test_a_layer_without_places_is_refused_with_its_shape():
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 9), nn.Linear(9, 2))
    with pytest.raises(ValueError, match=r"'1' gives \(1, 9\) for images \(1, 3, 32, 32\)"):
        explain(model, images(), 0, method="grad_cam", layer="1")


@pytest.fixture(scope="module")
def transformer():
    torch.manual_seed(0)
    model = VisionTransformer(32, PATCH, 3, 2, hidden_dim=16, mlp_dim=32, num_classes=3).eval()
    nn.init.normal_(model.heads.head.weight)
    return model


@pytest.fixture(scope="module")
def swin():
    torch.manual_seed(0)
    return swin_t(num_classes=3).eval()


LAYERS = {
    "transformer": ("encoder.layers.encoder_layer_0", "encoder.layers.encoder_layer_1"),
    "swin": ("features.1", "features.3"),
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", LAYERS)
def test_torchvisions_transformers_are_explained(kind, method, request):
    model = request.getfixturevalue(kind)
    found = maps_of(model, method, layer=LAYERS[kind][1], steps=2)
    assert found.shape == (2, 32, 32)
    assert (found.sum((1, 2)) > 0).all()


@pytest.mark.parametrize("kind", LAYERS)
def test_torchvisions_transformers_are_explained_at_several_layers(kind, request):
    model = TappedModule(request.getfixturevalue(kind))
    reference = [images(num=8, planted=False)]
    layers = []
    for tap in LAYERS[kind]:
        statistics = estimate_statistics(model, tap, reference, StatisticsConfig())
        layers.append(IBA(IBAConfig(tap=tap, steps=2, noise_samples=2), statistics))
    method = MultilayerIBA(MultilayerIBAConfig(thresholds=[0.5, 0.5]), layers)
    found = method(model, images(), torch.zeros(2).long(), score=SCORES[Score.logit], seeds=[0, 1])
    assert found.maps.shape == (2, 32, 32)
    assert found.maps.max() > 0


@pytest.mark.parametrize("method", METHODS)
def test_a_swins_map_is_that_of_the_permuted_network(swin, method):
    class ByHand(nn.Module):
        def __init__(self):
            super().__init__()
            self.swin, self.tap = swin, nn.Identity()

        def forward(self, films):
            features = self.swin.features[:2](films).permute(0, 3, 1, 2)
            features = self.swin.features[2:](self.tap(features).permute(0, 2, 3, 1))
            pooled = self.swin.avgpool(self.swin.permute(self.swin.norm(features)))
            return self.swin.head(self.swin.flatten(pooled))

    expected = maps_of(ByHand().eval(), method, layer="tap", steps=2)
    found = maps_of(swin, method, layer="features.1", steps=2)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_behind_a_layer_where_only_the_class_token_counts_there_is_no_map(transformer):
    for method in ("iba", "grad_cam"):
        with pytest.raises(ValueError, match=r"the class token alone.*take an earlier layer"):
            maps_of(transformer, method, layer="encoder.layers.encoder_layer_2")


def test_excitation_backprop_names_what_it_cannot_walk_through(swin):
    with pytest.raises(ValueError, match="no relevance rule for"):
        explain(swin, images(), 0, method="excitation_backprop", layer="features.1")


def test_cut_and_joined_again_a_transformer_gives_its_outputs(transformer):
    films = images()
    with torch.no_grad():
        for model in (TappedModule(transformer), TappedModule(transformer, split=False)):
            features = model.forward_to("encoder.layers.encoder_layer_1", films)
            again = model.forward_from("encoder.layers.encoder_layer_1", features)
            torch.testing.assert_close(again, transformer(films))


def test_a_layer_that_returns_a_tuple_is_tapped_at_its_first(transformer):
    class Layer(nn.Module):
        def forward(self, features):
            return features, None

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.layer, self.head = nn.Conv2d(3, 4, 8, 8), Layer(), nn.Linear(4, 2)

        def forward(self, films):
            return self.head(self.layer(self.embed(films))[0].mean((2, 3)))

    net, films = Net(), images()
    model = TappedModule(net)
    features = model.forward_to("layer", films)
    assert features.shape == (2, 4, 4, 4)
    torch.testing.assert_close(model.forward_from("layer", features), net(films))
    assert not torch.allclose(model.forward_from("layer", features.flip(0)), net(films))


def test_statistics_without_the_class_token_do_not_fit_a_layer_that_has_one(transformer, tmp_path):
    tap = "encoder.layers.encoder_layer_0"
    model = TappedModule(transformer)
    found = estimate_statistics(model, tap, [images(num=4)], StatisticsConfig())
    assert found.prefix_mean.shape == (16, 1)
    found.save(tmp_path / "statistics")
    back = FeatureStatistics.load(tmp_path / "statistics")
    assert torch.equal(back.prefix_mean, found.prefix_mean)
    without = FeatureStatistics(tap, found.mean, found.std, found.active, 4)
    with pytest.raises(ValueError, match=r"tokens before the map of shape None.*\(16, 1\)"):
        IBA(IBAConfig(tap=tap), without)(
            *(model, images(), torch.zeros(2).long()), score=SCORES[Score.logit], seeds=[0, 1]
        )
