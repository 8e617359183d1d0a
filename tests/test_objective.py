from __future__ import annotations

import copy
import inspect
import pickle
import warnings

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.parallel import DistributedDataParallel

from noisymodel import NMTune, NMTuneLoss, NMTuneTerms, losses, objective
from reference import heads as reference


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def batch(*, rows=10, features=6, classes=4, seed=0):
    draw = generator(seed)
    logits, tuned, frozen = (
        torch.randn(rows, width, generator=draw, dtype=torch.float64) for width in (classes, features, features)
    )
    return logits, torch.arange(rows) % classes, tuned, frozen


SETTINGS = [
    {},
    {"consistency_weight": 2.5, "covariance_weight": 0.0, "dominant_weight": 0.3, "reduction": "batchmean"},
    {"consistency_weight": 0.0, "covariance_weight": 7.0, "top_k": 3, "label_smoothing": 0.2},
    {"label_smoothing": 1.0},
]


@pytest.mark.parametrize("arguments", SETTINGS)
def test_against_the_definition(arguments):
    logits, targets, tuned, frozen = batch()
    terms = NMTuneLoss(**arguments)(logits, targets, tuned=tuned, reference=frozen)
    task = reference.cross_entropy(logits.numpy(), targets.numpy(), arguments.get("label_smoothing", 0.0))
    parts = reference.terms(
        frozen.numpy(),
        tuned.numpy(),
        top_k=arguments.get("top_k", 1),
        reduction=arguments.get("reduction", "batchmean"),
    )
    defaults = {"consistency_weight": 3.0, "covariance_weight": 3.0, "dominant_weight": 0.1}
    weights = [arguments.get(name, default) for name, default in defaults.items()]
    parts = [part if weight else 0.0 for part, weight in zip(parts, weights, strict=True)]
    total = task + sum(weight * part for weight, part in zip(weights, parts, strict=True))
    assert isinstance(terms, NMTuneTerms)
    torch.testing.assert_close(torch.stack(terms), torch.tensor([total, task, *parts]).double(), rtol=1e-9, atol=1e-12)


def test_terms_are_those_of_the_losses():
    assert objective.NMTuneTerms is losses.NMTuneTerms
    assert NMTuneTerms._fields == ("total", "task", "consistency", "covariance", "dominant")


def test_without_reference_there_is_no_consistency_term():
    logits, targets, tuned, frozen = batch()
    criterion = NMTuneLoss(consistency_weight=5.0, covariance_weight=1, dominant_weight=1)
    terms = criterion(logits, targets, tuned=tuned)
    assert terms.consistency == 0
    whole = criterion(logits, targets, tuned=tuned, reference=frozen)
    torch.testing.assert_close((terms.task, terms.covariance, terms.dominant), (whole.task, *whole[3:]))
    torch.testing.assert_close(terms.total, terms.task + terms.covariance + terms.dominant)


def test_without_features_there_is_the_task_alone():
    logits, targets, *_ = batch()
    terms = NMTuneLoss()(logits, targets, tuned=None)
    assert terms.total == terms.task > 0
    assert terms.consistency == terms.covariance == terms.dominant == 0


def test_signature_is_that_of_the_function():
    function = inspect.signature(losses.nmtune_regularization).parameters
    criterion = inspect.signature(NMTuneLoss).parameters
    names = [name for name, parameter in function.items() if parameter.kind is parameter.KEYWORD_ONLY]
    assert set(criterion) == {*names, "label_smoothing"}
    for name in names:
        if function[name].default is not inspect.Parameter.empty and name != "reduction":
            assert criterion[name].default == function[name].default, name
    assert NMTuneLoss(top_k=3, gather=True).settings()["top_k"] == 3
    assert set(NMTuneLoss().settings()) == set(criterion)
    assert repr(NMTuneLoss(dominant_weight=0.5)).count("dominant_weight=0.5") == 1


def test_gradients():
    logits, targets, tuned, frozen = batch(rows=5, features=4)

    def total(logits, tuned):
        return NMTuneLoss(label_smoothing=0.1, top_k=2)(logits, targets, tuned=tuned, reference=frozen).total

    assert torch.autograd.gradcheck(total, (logits.requires_grad_(), tuned.requires_grad_()))


@pytest.mark.filterwarnings("ignore:the weighted")  # rows of any size are drawn
@settings(deadline=None, max_examples=25)
@given(rows=st.integers(2, 9), features=st.integers(1, 7), classes=st.integers(1, 5), seed=st.integers(0, 10**6))
def test_order_of_the_rows_does_not_matter(rows, features, classes, seed):
    logits, targets, tuned, frozen = batch(rows=rows, features=features, classes=classes, seed=seed)
    order = torch.randperm(rows, generator=generator(seed))
    criterion = NMTuneLoss()
    terms = criterion(logits, targets, tuned=tuned, reference=frozen)
    shuffled = criterion(logits[order], targets[order], tuned=tuned[order], reference=frozen[order])
    torch.testing.assert_close(shuffled, terms, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("shape", [(2, 5), (5, 2), (1, 10)])
def test_leading_dimensions_are_rows(shape):
    logits, targets, tuned, frozen = batch()
    flat = NMTuneLoss()(logits, targets, tuned=tuned, reference=frozen)
    folded = NMTuneLoss()(
        logits.reshape(*shape, 4),
        targets.reshape(shape),
        tuned=tuned.reshape(*shape, 6),
        reference=frozen.reshape(*shape, 6),
    )
    torch.testing.assert_close(folded, flat)


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32, torch.int16, torch.uint8])
def test_integer_types(dtype):
    logits, targets, *_ = batch()
    expected = objective.task_loss(logits, targets)
    assert objective.task_loss(logits, targets.to(dtype)) == expected


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16])
def test_class_probabilities(dtype):
    logits, targets, *_ = batch()
    one_hot = torch.nn.functional.one_hot(targets, 4).to(dtype)
    for smoothing in (0.0, 0.3):
        expected = objective.task_loss(logits, targets, label_smoothing=smoothing)
        torch.testing.assert_close(objective.task_loss(logits, one_hot, label_smoothing=smoothing), expected)
    mixed = 0.25 * one_hot + 0.75 * one_hot.roll(1, 1)
    both = 0.25 * objective.task_loss(logits, targets) + 0.75 * objective.task_loss(logits, (targets + 1) % 4)
    torch.testing.assert_close(objective.task_loss(logits, mixed), both)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_logits_are_raised(dtype, device):
    logits, targets, *_ = batch()
    half = logits.to(device, dtype)
    task = objective.task_loss(half, targets.to(device))
    assert task.dtype == torch.float32
    torch.testing.assert_close(task.cpu(), objective.task_loss(half.cpu().float(), targets))


@pytest.mark.parametrize(
    ("targets", "error", "message"),
    [
        (torch.zeros(9, dtype=torch.int64), ValueError, r"class ids of shape \(10,\) for logits of shape \(10, 4\)"),
        (torch.zeros(10, 4, dtype=torch.int64), ValueError, r"got shape \(10, 4\)"),
        (
            torch.zeros(10),
            ValueError,
            r"class probabilities and must have .* \(10, 4\), got \(10,\); .* targets\.long",
        ),
        (torch.zeros(10, 3), ValueError, r"got \(10, 3\)"),
        (torch.zeros(10, dtype=torch.bool), TypeError, r"must be integer class ids .* got torch\.bool"),
        (torch.zeros(10, dtype=torch.complex64), TypeError, r"got torch\.complex64"),
    ],
)
def test_targets_that_do_not_fit(targets, error, message):
    with pytest.raises(error, match=message):
        objective.task_loss(batch()[0], targets)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"consistency_weight": -1}, ValueError, r"`consistency_weight` must be in \[0, inf\), got -1"),
        ({"covariance_weight": float("nan")}, ValueError, r"`covariance_weight` must be in \[0, inf\), got nan"),
        ({"dominant_weight": "1"}, TypeError, "`dominant_weight` must be a number, got '1'"),
        ({"top_k": 0}, ValueError, "`top_k` must be at least 1, got 0"),
        ({"reduction": "sum"}, ValueError, "`reduction` must be one of 'mean', 'batchmean', got 'sum'"),
        ({"label_smoothing": -0.1}, ValueError, r"`label_smoothing` must be in \[0, 1\], got -0.1"),
        ({"gather": None}, TypeError, "`gather` must be False, True or a torch.distributed process group, got None"),
    ],
)
def test_bad_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        NMTuneLoss(**arguments)


LABELS = torch.tensor([0, -100, 2, -100, 1, 3, -100, 0, 1, 2])


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_rows_without_a_label_do_not_count(smoothing):
    logits = batch()[0].requires_grad_()
    kept = LABELS != -100
    expected = torch.nn.functional.cross_entropy(logits[kept], LABELS[kept], label_smoothing=smoothing)
    got = objective.task_loss(logits, LABELS, label_smoothing=smoothing)
    torch.testing.assert_close(got, expected)
    torch.testing.assert_close(*(torch.autograd.grad(loss, logits)[0] for loss in (got, expected)))
    ones = torch.ones(10)
    torch.testing.assert_close(
        objective.task_loss(logits, LABELS, label_smoothing=smoothing, sample_weight=ones), expected
    )
    other = torch.where(kept, LABELS, 255)
    torch.testing.assert_close(
        objective.task_loss(logits, other, label_smoothing=smoothing, ignore_index=255), expected
    )


def test_weights_multiply_and_the_mean_is_over_the_rows_that_count():
    logits, *_ = batch()
    weights = torch.rand(10, generator=generator(), dtype=torch.float64)
    each = torch.nn.functional.cross_entropy(logits, LABELS, reduction="none")
    got = objective.task_loss(logits, LABELS, sample_weight=weights)
    torch.testing.assert_close(got, (each * weights).sum() / 7)
    folded = objective.task_loss(logits.reshape(2, 5, 4), LABELS.reshape(2, 5), sample_weight=weights.reshape(2, 5))
    torch.testing.assert_close(folded, got)


def test_without_any_label_the_task_is_0_and_has_gradient_0():
    for weights in (None, torch.ones(10)):
        logits = batch()[0].requires_grad_()
        task = objective.task_loss(logits, torch.full((10,), -100), sample_weight=weights)
        task.backward()
        assert task == 0
        assert not logits.grad.any()


def test_types_of_targets_and_weights():
    logits, targets, *_ = batch()
    for bad, message in (
        ([0] * 10, "`targets` must be a torch tensor, got list"),
        (targets.numpy(), "`targets` must be a torch tensor, got ndarray"),
        (None, "`targets` must be a torch tensor, got NoneType"),
        (torch.nn.functional.one_hot(targets).double().to_sparse(), "`targets` must be a dense tensor"),
    ):
        with pytest.raises(TypeError, match=message):
            objective.task_loss(logits, bad)
    with pytest.raises(TypeError, match=r"`logits` must be floating point, got torch\.int64"):
        objective.task_loss(logits.long(), targets)
    with pytest.raises(TypeError, match="`logits` must be a torch tensor"):
        objective.task_loss(logits.numpy(), targets)
    with pytest.raises(ValueError, match=r"`logits` must have shape \(..., K\) with rows and classes, got \(10,\)"):
        objective.task_loss(logits[:, 0], targets)
    with pytest.raises(TypeError, match="`sample_weight` must be a torch tensor, got list"):
        objective.task_loss(logits, targets, sample_weight=[1.0] * 10)
    with pytest.raises(ValueError, match=r"`sample_weight` must have shape \(10,\), got \(9,\)"):
        objective.task_loss(logits, targets, sample_weight=torch.ones(9))
    with pytest.raises(TypeError, match="`sample_weight` must be real numbers"):
        objective.task_loss(logits, targets, sample_weight=torch.ones(10, dtype=torch.complex64))


def test_features_of_large_scale_warn_once():
    logits, targets, tuned, frozen = batch()
    criterion = NMTuneLoss()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        criterion(logits, targets, tuned=tuned, reference=frozen)
    with pytest.warns(
        UserWarning, match=r"weighted covariance term is .*large scale.*\(`normalize=.l2.`\) or lower `covariance_w"
    ):
        criterion(logits, targets, tuned=100 * tuned, reference=frozen)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(20):
            criterion(logits, targets, tuned=100 * tuned, reference=frozen)
        NMTuneLoss(covariance_weight=0)(logits, targets, tuned=1e6 * tuned, reference=frozen)
        NMTuneLoss(covariance_weight=1e-9)(logits, targets, tuned=100 * tuned, reference=frozen)
    for another in (copy.deepcopy(criterion), pickle.loads(pickle.dumps(criterion))):  # noqa: S301 - our own
        with pytest.warns(UserWarning, match="of large scale"):
            another(logits, targets, tuned=100 * tuned, reference=frozen)


def test_the_scale_is_looked_at_in_the_first_batches_only():
    logits, targets, tuned, frozen = batch()
    criterion = NMTuneLoss()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(objective.ScaleCheck.BATCHES):
            criterion(logits, targets, tuned=tuned, reference=frozen)
        criterion(logits, targets, tuned=100 * tuned, reference=frozen)


def test_the_scale_of_tensors_without_values_is_not_looked_at():
    with FakeTensorMode():
        NMTuneLoss()(torch.randn(4, 3), torch.zeros(4, dtype=torch.int64), tuned=torch.ones(4, 6))

    def total(tuned):
        return NMTuneLoss()(logits, targets, tuned=tuned, reference=frozen).total

    logits, targets, tuned, frozen = batch()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert torch.func.vmap(total)(1000 * torch.stack([tuned, tuned])).shape == (2,)


class SlowEvent:
    """An event of a GPU that has not come to pass when it is first asked for."""

    asked = 0

    def record(self):
        pass

    def query(self):
        self.asked += 1
        return self.asked > 2


def test_on_a_gpu_the_scale_is_read_when_it_has_arrived(monkeypatch):
    logits, targets, tuned, frozen = batch()
    criterion = NMTuneLoss()

    def copied(self, values):
        self._copied, self._arrived = values, SlowEvent()

    monkeypatch.setattr(objective.ScaleCheck, "_copy", copied)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        criterion(logits, targets, tuned=100 * tuned, reference=frozen)
        criterion(logits, targets, tuned=tuned, reference=frozen)
    with pytest.warns(UserWarning, match="of large scale"):
        criterion(logits, targets, tuned=tuned, reference=frozen)


def test_the_smallest_batch_is_that_of_the_weighted_terms():
    assert NMTuneLoss(top_k=5).smallest_batch == 5
    assert NMTuneLoss(top_k=5, dominant_weight=0).smallest_batch == 2
    assert NMTuneLoss(covariance_weight=0, dominant_weight=0).smallest_batch == 1
    assert NMTuneLoss(covariance_weight=0, dominant_weight=0).regularized
    assert not NMTuneLoss(consistency_weight=0, covariance_weight=0, dominant_weight=0).regularized
    logits, targets, tuned, frozen = batch(rows=1)
    assert NMTuneLoss(covariance_weight=0)(logits, targets, tuned=tuned, reference=frozen).total.isfinite()


def test_state_and_copies_hold_no_tensors():
    assert NMTuneLoss().state_dict() == {}


def rank_results(rank, features, targets):
    results = {}
    for first in (7, 10):  # the other rank has three rows, and then none
        mine = slice(0, first) if rank == 0 else slice(first, 10)
        head = NMTune(6, 4, norm=None, label_smoothing=0.1, generator=generator(), input_noise=0.0).double()
        criterion = NMTuneLoss(**(head.objective.settings() | {"gather": True}))
        model = DistributedDataParallel(head)
        output = model(features[mine], return_features=True)
        terms = criterion(output.logits, targets[mine], tuned=output.tuned, reference=features[mine])
        terms.total.backward()
        results.update({f"{first}.{name}": p.grad for name, p in head.named_parameters()})
        results.update({f"{first}.terms": torch.stack(terms).detach()})
    return results


def test_ranks_give_the_gradient_of_one_process(on_ranks):
    features = torch.randn(10, 6, generator=generator(), dtype=torch.float64)
    targets = torch.arange(10) % 4
    head = NMTune(6, 4, norm=None, label_smoothing=0.1, generator=generator(), input_noise=0.0).double()
    terms = head.loss(features, targets)
    terms.total.backward()
    for results in on_ranks(rank_results, features, targets):
        for first in (7, 10):
            torch.testing.assert_close(results[f"{first}.terms"], torch.stack(terms).detach())
            for name, parameter in head.named_parameters():
                torch.testing.assert_close(results[f"{first}.{name}"], parameter.grad, rtol=1e-7, atol=1e-10)
