"""`TunedModel`: features of any layer, frozen or trained, terms, views, files."""

from __future__ import annotations

import copy
import io
import pickle
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from noisymodel import LinearProbe, MLPProbe, NMTune, NMTuneLoss, TunedModel, TunedOutput
from noisymodel._random import seeded
from noisymodel.heads import SpectralProbe
from noisymodel.losses import consistency_loss, covariance_loss, dominant_singular_value_loss
from reference import heads as naive
from reference import losses as naive_losses

IN, D, K, N = 6, 8, 3, 16


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def backbone(dtype=torch.float32):
    """Layers "0" (Linear), "1" (BatchNorm), "2" (ReLU), "3" (Linear, D wide), "4" (a classifier)."""
    with seeded(0):
        layers = [nn.Linear(IN, 10), nn.BatchNorm1d(10), nn.ReLU(), nn.Linear(10, D), nn.Linear(D, 4)]
        return nn.Sequential(*layers).to(dtype)


def model(head=None, layer="3", **options):
    head = NMTune(D, K, generator=generator(1), input_noise=0.0) if head is None else head
    return TunedModel(backbone(), head, layer, **options)


def batch(count=N, seed=2, dtype=torch.float32):
    return torch.randn(count, IN, generator=generator(seed), dtype=torch.float64).to(dtype), torch.arange(count) % K


def test_one_forward_gives_logits_features_and_terms():
    tuned, (inputs, targets) = model(freeze=True), batch()
    logits = tuned.eval()(inputs)
    output = tuned(inputs, targets=targets)
    expected = tuned.backbone[:4](inputs)
    assert isinstance(output, TunedOutput)
    assert torch.equal(output.features, expected)
    assert torch.equal(output.logits, logits)
    assert torch.equal(output.tuned, tuned.head.tune(expected))
    torch.testing.assert_close(output.terms, tuned.head.loss(expected, targets))
    without = tuned(inputs, return_features=True)
    assert without.terms is None
    assert torch.equal(without.tuned, output.tuned)


@pytest.mark.parametrize(("layer", "width"), [(None, 4), ("3", D), ("3:input", 10), ("4:input", D), ("1", 10)])
def test_features_are_those_of_the_layer(layer, width):
    tuned, (inputs, _) = model(LinearProbe(width, K, generator=generator()), layer).eval(), batch()
    stop = {None: 5, "3": 4, "3:input": 3, "4:input": 4, "1": 2}[layer]
    assert torch.equal(tuned(inputs, return_features=True).features, tuned.backbone[:stop](inputs))
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in tuned.modules())


def test_hooks_are_gone_after_an_error_and_calls_nest():
    tuned, (inputs, _) = model().eval(), batch()
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        tuned(inputs[:, :2])
    assert not any(part._forward_hooks for part in tuned.modules())

    class Nested(nn.Module):
        """A backbone that calls the model itself."""

        def __init__(self):
            super().__init__()
            self.inner, self.last = tuned, nn.Identity()

        def forward(self, rows):
            return self.last(self.inner(rows))

    outer = TunedModel(Nested(), LinearProbe(D, 2, generator=generator()), "inner.backbone.3").eval()
    assert torch.equal(outer(inputs, return_features=True).features, tuned(inputs, return_features=True).features)


def test_input_of_a_part_that_is_called_by_keyword():
    class Keyworded(nn.Module):
        def __init__(self):
            super().__init__()
            self.part = nn.Linear(IN, 2)

        def forward(self, rows):
            return self.part(input=2 * rows)

    with seeded(0):
        tuned, (inputs, _) = TunedModel(Keyworded(), LinearProbe(IN, 2), "part:input").eval(), batch()
    assert torch.equal(tuned(inputs, return_features=True).features, 2 * inputs)


def test_frozen_backbone_stands_still_whatever_train_says():
    tuned, (inputs, targets) = model(freeze=True).train(), batch()
    before = copy.deepcopy(tuned.backbone.state_dict())
    optimizer = torch.optim.AdamW(tuned.parameters(), lr=0.1)
    for _ in range(3):
        tuned.train()
        tuned(inputs, targets=targets).terms.total.backward()
        optimizer.step()
        optimizer.zero_grad()
    torch.testing.assert_close(tuned.backbone.state_dict(), before, rtol=0, atol=0)
    assert all(parameter.grad is None for parameter in tuned.backbone.parameters())
    assert not any(part.training for part in tuned.backbone.modules())
    assert tuned.head.training


def test_unfrozen_backbone_trains_and_may_keep_its_start_as_reference():
    tuned, (inputs, targets) = model(freeze=True, reference="frozen").train(), batch()
    assert tuned.reference_backbone is None
    frozen_features = tuned(inputs, return_features=True).features
    assert tuned.unfreeze_backbone() is tuned
    assert tuned.backbone[1].training
    assert not tuned.reference_backbone[1].training
    tuned.eval().train()
    assert not tuned.reference_backbone[1].training
    output = tuned(inputs, targets=targets)
    wanted = consistency_loss(output.tuned, frozen_features, reduction="batchmean")
    torch.testing.assert_close(output.terms.consistency, wanted)
    output.terms.total.backward()
    assert tuned.backbone[0].weight.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in tuned.reference_backbone.parameters())
    tuned.freeze_backbone()
    assert not tuned.backbone[1].training


@pytest.mark.parametrize("kind", [None, "features", "frozen", "given", "given to a frozen one"])
def test_what_the_consistency_term_compares_with(kind):
    inputs, targets = batch()
    tuned = model(
        freeze=kind == "given to a frozen one", reference=kind if kind in ("features", "frozen") else None
    ).train()
    given = torch.randn(N, D, generator=generator(5), requires_grad=True)
    with torch.no_grad():  # the start moves on, the copy does not
        start = copy.deepcopy(tuned.backbone).eval()[:4](inputs)
        tuned.backbone[0].weight.mul_(1.5)
    output = tuned(inputs, targets=targets, reference=given if kind and kind.startswith("given") else None)
    if kind is None:
        assert output.terms.consistency == 0
        return
    reference = {"features": output.features, "frozen": start}.get(kind, given).detach()
    torch.testing.assert_close(
        output.terms.consistency, consistency_loss(output.tuned, reference, reduction="batchmean")
    )
    output.terms.total.backward()
    assert given.grad is None


@pytest.mark.parametrize("of_the_head", [True, False])
def test_terms_on_the_backbone_s_own_features_as_published_for_full_fine_tuning(of_the_head):
    published = {"covariance_weight": 0.04, "dominant_weight": 0.001, "top_k": 5}
    if of_the_head:
        tuned = model(SpectralProbe(D, K, **published, generator=generator())).train()
    else:
        tuned = model(
            LinearProbe(D, K, normalize=None, generator=generator()), objective=NMTuneLoss(**published)
        ).train()
    inputs, targets = batch()
    output = tuned(inputs, targets=targets)
    rows = output.features.detach().double().numpy()
    assert output.terms.consistency == 0
    np.testing.assert_allclose(output.terms.covariance.item(), naive_losses.covariance(rows), rtol=1e-5)
    np.testing.assert_allclose(output.terms.dominant.item(), naive_losses.dominant(rows, 5), rtol=1e-5)
    total = output.terms.task + 0.04 * output.terms.covariance + 0.001 * output.terms.dominant
    torch.testing.assert_close(output.terms.total, total)
    gradient = torch.autograd.grad(output.terms.covariance, tuned.backbone[3].weight)[0]
    assert gradient.abs().sum() > 0
    assert tuned.smallest_batch == 5


@pytest.mark.parametrize("make", [LinearProbe, MLPProbe])
def test_baselines_have_a_task_term_only(make):
    tuned, (inputs, targets) = model(make(D, K, generator=generator())).eval(), batch()
    output = tuned(inputs, targets=targets)
    wanted = functional.cross_entropy(output.logits, targets)
    torch.testing.assert_close(output.terms, (wanted, wanted, *[torch.zeros(())] * 3), check_dtype=False)
    assert tuned(inputs, regularize=True).terms.total == 0


def test_regularize_is_for_a_task_loss_of_one_s_own():
    tuned, (inputs, targets) = model(freeze=True).eval(), batch()
    with_task, without = (tuned(inputs, **options).terms for options in ({"targets": targets}, {"regularize": True}))
    assert without.task == 0
    torch.testing.assert_close(without.total, with_task.total - with_task.task)
    bare = model(NMTune(D, 0, generator=generator(), input_noise=0.0), freeze=True).eval()
    output = bare(inputs, regularize=True)
    assert torch.equal(output.logits, output.tuned)
    with pytest.raises(ValueError, match=r"`targets` need a head with a classifier, got one of `num_classes` 0"):
        bare(inputs, targets=targets)


@pytest.mark.parametrize("freeze", [True, False])
@pytest.mark.parametrize("reference", [None, "features", "frozen"])
def test_two_views_of_which_one_is_the_reference(freeze, reference):
    tuned = model(freeze=freeze, reference=reference).eval()
    strong, targets = batch(seed=3)
    weak, _ = batch(seed=4)
    output = tuned(strong, targets=targets, reference_inputs=weak)
    z, f = (x.detach().double().numpy() for x in (output.tuned, tuned.backbone[:4](weak)))
    np.testing.assert_allclose(output.terms.consistency.item(), naive_losses.consistency(z, f, "batchmean"), rtol=1e-5)
    np.testing.assert_allclose(output.terms.covariance.item(), naive_losses.covariance(z), rtol=1e-4)
    as_tuple, as_keyword = (tuned(strong, targets=targets, reference_inputs=way) for way in ((weak,), {"input": weak}))
    torch.testing.assert_close(as_tuple.terms, output.terms, rtol=0, atol=0)
    torch.testing.assert_close(as_keyword.terms, output.terms, rtol=0, atol=0)


@pytest.mark.parametrize("freeze", [True, False])
def test_both_views_as_in_the_published_code(freeze):
    """Task, covariance and top singular values of 2N rows that pass the head together; Z(strong) against F(weak)."""
    head = NMTune.from_preset("official", D, K, generator=generator(1))
    tuned = model(head, freeze=freeze).double()
    tuned.train()
    strong, targets = batch(seed=3, dtype=torch.float64)
    weak, _ = batch(seed=4, dtype=torch.float64)
    start = {name: value.double().numpy().copy() for name, value in tuned.head.state_dict().items()}
    with torch.no_grad():
        f_strong, f_weak = (copy.deepcopy(tuned.backbone)[:4](view).numpy() for view in (strong, weak))
    output = tuned(strong, targets=targets, reference_inputs=weak, both_views=True)
    z = naive.tune(np.concatenate([f_weak, f_strong]), start, depth=1, norm="batch", residual=True)
    logits = z @ start["classifier.weight"].T + start["classifier.bias"]
    task = naive.cross_entropy(logits, np.concatenate([targets, targets]))
    consistency = naive_losses.consistency(z[N:], f_weak, "mean")
    covariance, dominant = naive_losses.covariance(z), naive_losses.dominant(z, 5)
    total = task + consistency + 0.04 * covariance + 0.001 * dominant
    wanted = torch.tensor([total, task, consistency, covariance, dominant], dtype=torch.float64)
    torch.testing.assert_close(torch.stack(output.terms).detach(), wanted, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(output.tuned.detach().numpy(), z[N:], rtol=1e-6)
    np.testing.assert_allclose(output.logits.detach().numpy(), logits[N:], rtol=1e-6)
    np.testing.assert_allclose(output.features.detach().numpy(), f_strong, rtol=1e-6)
    output.terms.total.backward()
    assert (tuned.backbone[0].weight.grad is None) == freeze


def test_two_views_need_two_views_of_the_same_samples():
    tuned, (inputs, targets) = model(freeze=True), batch()
    with pytest.raises(ValueError, match="`both_views` needs `reference_inputs`"):
        tuned(inputs, targets=targets, both_views=True)
    with pytest.raises(ValueError, match=r"`reference_inputs` must have .* \(16, 8\), got \(15, 8\)"):
        tuned(inputs, targets=targets, reference_inputs=inputs[1:])
    with pytest.raises(ValueError, match=r"`reference` must have .* \(16, 8\), got \(16, 4\)"):
        tuned(inputs, targets=targets, reference=torch.zeros(N, 4))


@pytest.mark.parametrize("pooling", ["mean", "cls", "last"])
def test_tokens_are_pooled_as_the_mask_says(pooling):
    class Tokens(nn.Module):
        def forward(self, values, attention_mask=None):
            return SimpleNamespace(last_hidden_state=values)

    values = torch.randn(2, 4, D, generator=generator())
    mask = torch.tensor([[1, 1, 0, 0], [0, 1, 1, 1]])
    wanted = {
        "mean": torch.stack([values[0, :2].mean(0), values[1, 1:].mean(0)]),
        "cls": torch.stack([values[0, 0], values[1, 1]]),
        "last": torch.stack([values[0, 1], values[1, 3]]),
    }
    tuned = TunedModel(Tokens(), LinearProbe(D, K, generator=generator()), pooling=pooling)
    torch.testing.assert_close(tuned(values, attention_mask=mask, return_features=True).features, wanted[pooling])


@pytest.mark.parametrize("freeze", [True, False])
def test_state_dict_deepcopy_and_pickle(freeze):
    tuned, (inputs, targets) = model(freeze=freeze, reference="frozen", max_rows=8).train(), batch()
    tuned(inputs, targets=targets)
    other = model(NMTune(D, K, generator=generator(9), input_noise=0.0), freeze=freeze, reference="frozen", max_rows=8)
    other.load_state_dict(tuned.state_dict(), strict=True)
    stream = io.BytesIO()
    torch.save(tuned.state_dict(), stream)
    stream.seek(0)
    other.load_state_dict(torch.load(stream, weights_only=True))
    copies = [other.train(), copy.deepcopy(tuned), pickle.loads(pickle.dumps(tuned))]  # noqa: S301 - our own bytes
    expected = tuned(inputs, targets=targets)
    for copied in copies:
        torch.testing.assert_close(copied(inputs, targets=targets).terms, expected.terms, rtol=0, atol=0)
        assert copied.frozen == freeze
    assert copies[1].backbone is not tuned.backbone


@pytest.mark.parametrize("freeze", [True, False])
def test_resumed_loop_equals_one_that_did_not_stop(freeze):
    def begin():
        made = model(freeze=freeze, reference="frozen", max_rows=8).train()
        return made, torch.optim.AdamW([p for p in made.parameters() if p.requires_grad], lr=0.01)

    def steps(tuned, optimizer, which):
        totals = []
        for step in which:
            inputs, targets = batch(seed=step)
            terms = tuned(inputs, targets=targets).terms
            terms.total.backward()
            optimizer.step()
            optimizer.zero_grad()
            totals.append(terms.total.item())
        return totals

    whole, optimizer = begin()
    losses = steps(whole, optimizer, range(6))
    half, optimizer = begin()
    steps(half, optimizer, range(3))
    file = io.BytesIO()
    torch.save({"model": half.state_dict(), "optimizer": optimizer.state_dict()}, file)
    file.seek(0)
    saved = torch.load(file, weights_only=True)
    again, optimizer = begin()
    again.load_state_dict(saved["model"])
    optimizer.load_state_dict(saved["optimizer"])
    assert steps(again, optimizer, range(3, 6)) == losses[3:]
    torch.testing.assert_close(again.state_dict(), whole.state_dict(), rtol=0, atol=0)


def test_head_in_float32_on_a_backbone_in_bfloat16():
    tuned = TunedModel(backbone(torch.bfloat16), NMTune(D, K, generator=generator(), input_noise=0.0), "3")
    inputs, targets = batch(dtype=torch.bfloat16)
    output = tuned(inputs, targets=targets, reference=torch.ones(N, D, dtype=torch.bfloat16))
    assert {output.features.dtype, output.logits.dtype, *(term.dtype for term in output.terms)} == {torch.float32}
    output.terms.total.backward()
    assert tuned.backbone[0].weight.grad.dtype == torch.bfloat16
    assert tuned.backbone[0].weight.grad.isfinite().all()


@pytest.mark.parametrize("freeze", [True, False])
def test_autocast(freeze):
    inputs, targets = batch()
    expected = model(freeze=freeze).train()(inputs, targets=targets).terms
    tuned = model(freeze=freeze).train()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        terms = tuned(inputs, targets=targets).terms
    assert all(term.dtype == torch.float32 for term in terms)
    torch.testing.assert_close(terms, expected, rtol=0.05, atol=0.02)
    terms.total.backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in tuned.parameters())


torch_s_own = pytest.mark.filterwarnings(
    "ignore:.*should not be instantiated:DeprecationWarning", "ignore:The .grad attribute of a Tensor:UserWarning"
)


@pytest.mark.slow
@torch_s_own
@pytest.mark.parametrize(("layer", "whole"), [(None, True), ("3", False)])
def test_compile(layer, whole):
    """In one graph without a layer; torch cannot trace that hooks are made, so with a layer the graph breaks."""
    torch.compiler.reset()
    head = NMTune(4 if layer is None else D, K, generator=generator(), input_noise=0.0)
    tuned = model(head, layer, freeze=True).train()
    compiled = torch.compile(tuned, backend="eager", fullgraph=whole)
    for seed in (2, 3):
        inputs, targets = batch(seed=seed)
        torch.testing.assert_close(compiled(inputs, targets=targets), tuned(inputs, targets=targets))
    torch.compiler.reset()


@pytest.mark.slow
@torch_s_own
def test_compile_of_drawn_rows_and_of_a_trained_backbone():
    torch.compiler.reset()
    plain, compiled = model(max_rows=8, reference="frozen").train(), model(max_rows=8, reference="frozen").train()
    fast = torch.compile(compiled, backend="eager")
    for seed in range(2, 6):
        inputs, targets = batch(seed=seed)
        one, other = plain(inputs, targets=targets), fast(inputs, targets=targets)
        torch.testing.assert_close(other.terms, one.terms)
    one.terms.total.backward()
    other.terms.total.backward()
    torch.testing.assert_close(compiled.backbone[0].weight.grad, plain.backbone[0].weight.grad)
    torch.compiler.reset()


class Checkpointed(nn.Module):
    def __init__(self, reentrant):
        super().__init__()
        self.body, self.reentrant = backbone()[:4], reentrant

    def forward(self, inputs):
        from torch.utils.checkpoint import checkpoint

        return checkpoint(self.body, inputs, use_reentrant=self.reentrant)


def test_gradient_checkpointing_changes_nothing_but_the_hidden_is_found():
    inputs, targets = batch()
    plain = model().train()
    plain(inputs, targets=targets).terms.total.backward()
    for layer in (None, "body.2"):
        head = NMTune(D if layer is None else 10, K, generator=generator(1), input_noise=0.0)
        tuned = TunedModel(Checkpointed(False), head, layer).train()
        tuned(inputs, targets=targets).terms.total.backward()
        gradient = tuned.backbone.body[0].weight.grad
        if layer is None:
            torch.testing.assert_close(gradient, plain.backbone[0].weight.grad)
        assert gradient.abs().sum() > 0
    hidden = TunedModel(Checkpointed(True), NMTune(10, K, generator=generator(), input_noise=0.0), "body.2").train()
    with pytest.raises(ValueError, match=r"'body\.2' have no gradient.*use_reentrant=False"):
        hidden(inputs.requires_grad_(), targets=targets)


def test_smallest_batch_can_be_trained_on_and_less_is_an_error():
    tuned = model(freeze=True).train()
    assert tuned.smallest_batch == 2
    inputs, targets = batch(2)
    tuned(inputs, targets=targets).terms.total.backward()
    with pytest.raises(ValueError, match="must have at least two rows while a head with norm='batch' is training"):
        tuned(inputs[:1], targets=targets[:1])
    assert tuned.eval()(inputs[:1]).shape == (1, K)
    with pytest.raises(ValueError, match="must have at least two rows for a covariance, got 1"):
        tuned(inputs[:1], targets=targets[:1])
    few = model(NMTune(D, K, top_k=4, generator=generator(), input_noise=0.0), freeze=True).train()
    assert few.smallest_batch == 4
    with pytest.raises(ValueError, match="`top_k` must be at most"):
        few(inputs, targets=targets)
    assert model(LinearProbe(D, K, generator=generator())).smallest_batch == 1


def test_ignored_labels_do_not_count():
    tuned, (inputs, targets) = model(freeze=True, ignore_index=2).eval(), batch()
    output = tuned(inputs, targets=targets)
    keep = targets != 2
    wanted = functional.cross_entropy(output.logits[keep], targets[keep])
    torch.testing.assert_close(output.terms.task, wanted)
    torch.testing.assert_close(output.terms.covariance, covariance_loss(output.tuned))
    torch.testing.assert_close(output.terms.dominant, dominant_singular_value_loss(output.tuned))
    assert tuned(inputs, targets=torch.full((N,), 2)).terms.task == 0


def test_class_probabilities_and_label_smoothing():
    head = NMTune(D, K, label_smoothing=0.1, generator=generator(), input_noise=0.0)
    tuned, (inputs, targets) = model(head, freeze=True).eval(), batch()
    soft = torch.rand(N, K, generator=generator()).softmax(1)
    for given in (targets, soft):
        output = tuned(inputs, targets=given)
        wanted = functional.cross_entropy(output.logits, given, label_smoothing=0.1)
        torch.testing.assert_close(output.terms.task, wanted)


def test_wrong_arguments():
    head = NMTune(D, K, generator=generator(), input_noise=0.0)
    with pytest.raises(TypeError, match="`backbone` must be a torch module, got function"):
        TunedModel(lambda x: x, head)
    with pytest.raises(TypeError, match="`head` must be NMTune, MLPProbe, LinearProbe or another Head, got Linear"):
        TunedModel(backbone(), backbone()[4])
    with pytest.raises(TypeError, match="`objective` must be an NMTuneLoss, got str"):
        model(objective="nmtune")
    with pytest.raises(ValueError, match="`layer` '7' is no part of the backbone; there are, among others, 0, 1"):
        model(layer="7")
    with pytest.raises(ValueError, match="`reference` must be one of None, 'features', 'frozen', got 'copy'"):
        model(reference="copy")
    with pytest.raises(ValueError, match=r"`pooling` must be one of 'mean', 'cls', 'last', .*None, got 'median'"):
        model(pooling="median")
    with pytest.raises(ValueError, match="`max_rows` must be at least 5, which the regularizers need, got 4"):
        model(NMTune(D, K, top_k=5, generator=generator(), input_noise=0.0), max_rows=4)
    inputs, targets = batch()
    with pytest.raises(ValueError, match=r"layer '1' gives features of shape \(16, 10\).* and the head takes 8"):
        model(layer="1")(inputs)
    with pytest.raises(ValueError, match=r"`targets` must be class ids of shape \(16,\).*got shape \(16, 1\)"):
        model()(inputs, targets=targets[:, None])
    with pytest.raises(ValueError, match=r"`targets` of floating type are class probabilities.*targets\.long"):
        model()(inputs, targets=targets.float())
    unused = nn.ModuleDict({"used": nn.Identity(), "other": nn.Identity()})
    unused.forward = lambda rows: unused["used"](rows)
    with pytest.raises(ValueError, match="`layer` 'other' was not used in the forward pass"):
        TunedModel(unused, head, "other")(inputs)


def test_print_says_what_it_is():
    assert "layer='3', frozen=True, reference=None, pooling='mean'" in repr(model(freeze=True))
