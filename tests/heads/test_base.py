"""The contract of every head, over one table."""

from __future__ import annotations

import copy
import io
import pickle
from functools import partial

import pytest
import torch
from torch import nn

from noisymodel import LinearProbe, MLPProbe, NMTune, NMTuneOutput, NMTuneTerms
from noisymodel._random import seeded
from noisymodel.baselines import WhitenedProbe
from noisymodel.heads import SpectralProbe
from tables import over

D, K = 12, 5
HEADS = {
    "nmtune": NMTune,
    "nmtune-plain": partial(NMTune, residual=False),
    "nmtune-layer-norm": partial(NMTune, norm="layer", hidden_features=7),
    "nmtune-no-norm": partial(NMTune, norm=None),
    "nmtune-deep": partial(NMTune, depth=3, hidden_features=20, label_smoothing=0.2),
    "nmtune-dropout": partial(NMTune, dropout=0.5, reduction="batchmean", top_k=3),
    "nmtune-weights": partial(NMTune, consistency_weight=0.3, covariance_weight=0.0, dominant_weight=2.0),
    "paper": partial(NMTune.from_preset, "paper"),
    "official": partial(NMTune.from_preset, "official"),
    "spectral": SpectralProbe,
    "spectral-published": partial(SpectralProbe, covariance_weight=0.04, dominant_weight=0.001, top_k=5),
    "linear": LinearProbe,
    "linear-smoothed": partial(LinearProbe, label_smoothing=0.1),
    "whitened": WhitenedProbe,
    "whitened-pca": partial(WhitenedProbe, kind="pca", shrinkage=0.5, label_smoothing=0.1),
    "mlp": MLPProbe,
    "mlp-layer-norm": partial(MLPProbe, norm="layer", depth=2, residual=False, label_smoothing=0.1),
    "mlp-dropout": partial(MLPProbe, dropout=0.3, hidden_features=9, norm=None),
}
each_head = over(HEADS, "make")


@pytest.fixture(autouse=True)
def _dropout_draws_from_a_seed():
    with seeded(0):
        yield


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def rows(count=16, seed=1, dtype=torch.float32):
    return torch.randn(count, D, generator=generator(seed), dtype=torch.float64).to(dtype)


def labels(count=16):
    return torch.arange(count) % K


def same_state(one, other):
    a, b = one.state_dict(), other.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@each_head
@pytest.mark.parametrize("shape", [(16,), (4, 4), (2, 2, 4)])
def test_shapes(make, shape, device):
    head = make(D, K, generator=generator()).to(device).eval()
    features = rows().reshape(*shape, D).to(device)
    output = head(features, return_features=True)
    assert isinstance(output, NMTuneOutput)
    assert output.logits.shape == (*shape, K)
    assert output.tuned.shape == (*shape, D)
    assert output.logits.device == output.tuned.device == features.device
    torch.testing.assert_close(head(features), output.logits)
    torch.testing.assert_close(head.tune(features), output.tuned)
    torch.testing.assert_close(head.classifier(output.tuned), output.logits)
    torch.testing.assert_close(head(features.reshape(-1, D)).reshape(*shape, K), output.logits)


@each_head
def test_one_row_and_no_rows_in_evaluation(make):
    head = make(D, K, generator=generator()).eval()
    assert head(rows(1)[0]).shape == (K,)
    torch.testing.assert_close(head(rows(1)[0]), head(rows(1))[0])
    assert head(rows(0)).shape == (0, K)


@each_head
@pytest.mark.parametrize("shape", [(16,), (2, 8)])
def test_loss_terms_add_up_and_reach_every_parameter(make, shape, device):
    head = make(D, K, generator=generator()).to(device)
    features, targets = rows().reshape(*shape, D).to(device), labels().reshape(shape).to(device)
    terms = head.loss(features, targets)
    assert isinstance(terms, NMTuneTerms)
    assert all(term.shape == () and term.dtype == torch.float32 for term in terms)
    weights = head.objective
    expected = terms.task
    if head.regularized:
        expected = (
            terms.task
            + weights.consistency_weight * terms.consistency
            + weights.covariance_weight * terms.covariance
            + weights.dominant_weight * terms.dominant
        )
        assert (terms.consistency > 0) is not torch.equal(head.tune(features), features)
        assert terms.covariance > 0 or not weights.covariance_weight
        assert -1 <= terms.dominant < 0
    else:
        assert terms.consistency == terms.covariance == terms.dominant == 0
    torch.testing.assert_close(terms.total, expected)
    terms.total.backward()
    for name, parameter in head.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
    assert head.classifier.weight.grad.abs().sum() > 0


@each_head
def test_regularization_is_the_loss_without_the_task(make):
    one = make(D, K, generator=generator()).eval()  # no dropout
    other = copy.deepcopy(one)
    whole, part = one.loss(rows(), labels()), other.regularization(rows())
    assert part.task == 0
    torch.testing.assert_close(part[2:], whole[2:])
    torch.testing.assert_close(part.total, whole.total - whole.task)


@each_head
def test_files_give_the_same_head_back(make, tmp_path):
    head = make(D, K, generator=generator())
    head.loss(rows(), labels()).total.backward()  # moves the running statistics
    head.save_pretrained(tmp_path / "new" / "folder")
    loaded = type(head).from_pretrained(tmp_path / "new" / "folder")
    assert type(loaded) is type(head)
    assert loaded.config() == head.config()
    assert same_state(loaded, head)
    assert not loaded.training
    assert all(parameter.requires_grad for parameter in loaded.parameters())
    assert torch.equal(loaded(rows()), head.eval()(rows()))
    loaded.train().loss(rows(), labels()).total.backward()
    assert sorted(path.name for path in (tmp_path / "new" / "folder").iterdir()) == [
        "config.json",
        "model.safetensors",
    ]


@each_head
def test_state_dict_deepcopy_and_pickle(make):
    head = make(D, K, generator=generator()).eval()
    expected = head(rows())
    other = make(D, K, generator=generator(9)).eval()
    other.load_state_dict(head.state_dict())
    stream = io.BytesIO()
    pickle.dump(head, stream)
    for copied in (other, copy.deepcopy(head), pickle.loads(stream.getvalue())):  # noqa: S301 - our own bytes
        assert torch.equal(copied(rows()), expected)


@each_head
def test_generator_decides_the_initial_weights(make):
    assert same_state(make(D, K, generator=generator(3)), make(D, K, generator=generator(3)))
    assert not same_state(make(D, K, generator=generator(3)), make(D, K, generator=generator(4)))


@each_head
def test_without_generator_torch_seeds_the_head(make):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        one, two = make(D, K), make(D, K)
        torch.manual_seed(3)
        three = make(D, K)
    assert same_state(one, three)
    assert not same_state(one, two)


@each_head
def test_evaluation_is_deterministic_and_row_by_row(make):
    head = make(D, K, generator=generator()).eval()
    before = copy.deepcopy(head.state_dict())
    logits = head(rows())
    assert torch.equal(head(rows()), logits)
    torch.testing.assert_close(head(rows()[:3]), logits[:3])
    torch.testing.assert_close(head.state_dict(), before, rtol=0, atol=0)


@each_head
def test_reset_begins_a_new_classifier(make):
    head = make(D, K, generator=generator()).double().eval()
    network = copy.deepcopy(head.network.state_dict())
    head.reset(3, generator=generator(7))
    assert head.num_classes == head.config()["num_classes"] == 3
    assert head(rows(dtype=torch.float64)).shape == (16, 3)
    assert not head.training
    assert not head.classifier.training
    head.train().network.eval()
    head.reset(3, generator=generator(7))
    assert head.classifier.training
    assert not head.network.training
    torch.testing.assert_close(head.network.state_dict(), network, rtol=0, atol=0)
    again = copy.deepcopy(head)
    again.reset(3, generator=generator(7))
    assert same_state(again, head)
    again.reset(3, generator=generator(8))
    assert not same_state(again, head)
    head.reset(None)
    assert head.num_classes == 0
    assert head(rows(dtype=torch.float64)).shape == (16, D)


def test_reset_remembers_type_and_device():
    for make in (LinearProbe, partial(NMTune, hidden_features=3), WhitenedProbe):
        head = make(8, 3, generator=generator()).double().eval()
        head.reset(0)
        assert torch.equal(head(rows()[:, :8].double()), head.tune(rows()[:, :8].double()))
        head.reset(4, generator=generator())
        assert head(rows()[:, :8].double()).dtype == torch.float64
        head.reset(0)
        head.to("meta", torch.float16).reset(2, generator=generator())
        assert head.classifier.weight.is_meta
        assert head.classifier.weight.dtype == torch.float16
        assert not any("_place" in name for name, _ in head.named_buffers())


def test_sizes_that_no_tensor_has():
    for name, call in (
        ("in_features", lambda size: LinearProbe(size, 3)),
        ("num_classes", lambda size: LinearProbe(3, size)),
        ("num_classes", NMTune(3, 2, generator=generator()).reset),
    ):
        with pytest.raises(ValueError, match=f"`{name}` must be at most 2147483647"):
            call(2**63)


def test_a_head_with_weights_of_zero_has_no_terms():
    weights = dict.fromkeys(("consistency_weight", "covariance_weight", "dominant_weight"), 0.0)
    head = NMTune(D, K, **weights, input_noise=0.0, generator=generator())
    mlp = MLPProbe(D, K, generator=generator())
    ours, theirs = head.loss(rows(), labels()), mlp.loss(rows(), labels())
    assert ours == theirs
    assert ours[2:] == (0, 0, 0)
    assert head.regularization(rows())[0] == 0
    assert head.smallest_batch == mlp.smallest_batch == 2


@each_head
def test_start_of_the_classifier_is_chosen_kept_and_checked(make):
    wide, narrow = (make(D, K, classifier_init=init, generator=generator()) for init in ("kaiming", "linear"))
    torch.testing.assert_close(wide.classifier.weight, narrow.classifier.weight * 6**0.5)
    assert LinearProbe(D, K, generator=generator()).config()["classifier_init"] == "linear"
    assert wide.config()["classifier_init"] == "kaiming"
    wide.reset(200, generator=generator())
    assert wide.classifier.weight.abs().max() > 2 * D**-0.5
    with pytest.raises(ValueError, match="`classifier_init` must be one of 'linear', 'kaiming', got 'zeros'"):
        make(D, K, classifier_init="zeros")


@each_head
@pytest.mark.parametrize("none", [0, None])
def test_without_classes_a_head_gives_its_features(make, none, tmp_path):
    head = make(D, none, generator=generator()).eval()
    output = head(rows(), return_features=True)
    assert torch.equal(output.logits, output.tuned)
    assert torch.equal(head(rows()), head.tune(rows()))
    assert head.num_classes == 0
    assert head.regularization(rows()).task == 0
    with pytest.raises(ValueError, match=r"no classifier .* head\.regularization"):
        head.loss(rows(), labels())
    head.save_pretrained(tmp_path)
    assert torch.equal(type(head).from_pretrained(tmp_path)(rows()), head(rows()))


@each_head
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_types(make, dtype, tmp_path, device):
    head = make(D, K, generator=generator()).to(device, dtype)
    features = rows(dtype=dtype).to(device)
    assert head(features).dtype == head.tune(features).dtype == dtype
    terms = head.loss(features, labels().to(device))
    at_least_single = torch.promote_types(dtype, torch.float32)
    assert all(term.dtype == at_least_single for term in terms)
    terms.total.backward()
    head.save_pretrained(tmp_path)
    assert type(head).from_pretrained(tmp_path)(rows(dtype=dtype)).dtype == dtype


@each_head
def test_autocast(make, device):
    head = make(D, K, generator=generator()).to(device)
    features, targets = rows().to(device), labels().to(device)
    head.eval()  # no dropout
    expected = head.loss(features, targets)
    with torch.autocast(device.type, dtype=torch.bfloat16):
        assert head(features).dtype == torch.bfloat16
        terms = head.loss(features, targets)
    assert all(term.dtype == torch.float32 for term in terms)
    torch.testing.assert_close(terms, expected, rtol=0.05, atol=0.02)
    terms.total.backward()
    assert all(parameter.grad.isfinite().all() for parameter in head.parameters())


@each_head
def test_behind_a_backbone(make):
    backbone = nn.Sequential(nn.utils.skip_init(nn.Linear, 6, D), nn.ReLU())
    nn.init.uniform_(backbone[0].weight, -1, 1, generator=generator())
    nn.init.zeros_(backbone[0].bias)
    model = nn.Sequential(backbone, make(D, K, generator=generator()))
    logits = model(torch.randn(8, 6, generator=generator()))
    assert logits.shape == (8, K)
    logits.sum().backward()
    assert backbone[0].weight.grad.abs().sum() > 0


@each_head
def test_wrong_features(make):
    head = make(D, K, generator=generator())
    with pytest.raises(ValueError, match=r"`features` must have 12 features in the last dimension, got shape \(4, 3\)"):
        head(torch.zeros(4, 3))
    with pytest.raises(TypeError, match=r"`features` must be a torch tensor, got ndarray; torch\.as_tensor"):
        head(rows().numpy())
    with pytest.raises(TypeError, match=r"`features` must be floating point, got torch\.int64"):
        head(torch.zeros(4, D, dtype=torch.int64))
    with pytest.raises(TypeError, match=r"of the head's type torch\.float32, got torch\.float64: features\.to"):
        head.loss(rows(dtype=torch.float64), labels())


@each_head
def test_arguments(make):
    with pytest.raises(ValueError, match="`in_features` must be at least 1, got 0"):
        make(0, K)
    with pytest.raises(TypeError, match=r"`in_features` must be an integer, got 2\.5"):
        make(2.5, K)
    with pytest.raises(ValueError, match="`num_classes` must be at least 0, got -1"):
        make(D, -1, generator=generator())
    with pytest.raises(ValueError, match=r"`label_smoothing` must be in \[0, 1\], got 1\.5"):
        make(D, K, label_smoothing=1.5, generator=generator())
    with pytest.raises(
        TypeError, match=r"`gather` must be False, True or a torch\.distributed process group, got 'all'"
    ):
        make(D, K, gather="all", generator=generator())


@each_head
def test_gather_without_a_process_group_changes_nothing(make):
    plain, gathering = (make(D, K, gather=gather, generator=generator()).eval() for gather in (False, True))
    torch.testing.assert_close(plain.loss(rows(), labels()), gathering.loss(rows(), labels()), rtol=0, atol=0)
    assert gathering.config()["gather"] is True


@each_head
def test_smallest_batch_can_be_trained_on_and_less_cannot(make):
    head = make(D, K, generator=generator())
    smallest = head.smallest_batch
    head.loss(rows(smallest), labels(smallest)).total.backward()
    if smallest > 1:
        with pytest.raises(ValueError, match=r"at least two rows|`top_k` must be at most"):
            head.loss(rows(smallest - 1), labels(smallest - 1))


def test_meta_device_needs_no_memory_and_draws_nothing():
    with torch.device("meta"):
        head = NMTune(1 << 20, 1 << 20)
    assert all(tensor.is_meta for tensor in head.state_dict().values())


def test_default_device_and_type_are_torch_s_own():
    torch.set_default_dtype(torch.float64)
    try:
        head = NMTune(D, K, generator=generator())
    finally:
        torch.set_default_dtype(torch.float32)
    assert {tensor.dtype for tensor in head.parameters()} == {torch.float64}
    narrow = NMTune(D, K, generator=generator())
    assert narrow.classifier.weight.shape == head.classifier.weight.shape


def test_print_says_what_a_head_is():
    assert "weight=" not in repr(LinearProbe(4, 2, generator=generator()))
    assert "top_k" not in repr(MLPProbe(4, 2, generator=generator()))
    assert "in_features=12, num_classes=5" in repr(NMTune(D, K, generator=generator()))
    assert "covariance_weight=3.0" in repr(NMTune(D, K, generator=generator()))
