from __future__ import annotations

import copy
import functools

import numpy as np
import pytest
import torch

from noisymodel import FitResult, LinearProbe, MLPProbe, NMTune, fit
from noisymodel.features import FeatureStore

D, K = 8, 4
HEADS = {
    "nmtune": NMTune,
    "nmtune-dropout": functools.partial(NMTune, dropout=0.3),
    "paper": functools.partial(NMTune.from_preset, "paper"),
    "official": functools.partial(NMTune.from_preset, "official"),
    "mlp": MLPProbe,
    "mlp-layer-norm": functools.partial(MLPProbe, norm="layer", label_smoothing=0.1),
    "linear": LinearProbe,
}
each_head = pytest.mark.parametrize("make", HEADS.values(), ids=HEADS.keys())


def new(make=NMTune, seed=0, **settings):
    return make(D, K, generator=torch.Generator().manual_seed(seed), **settings)


def without_seconds(history):
    return [{key: value for key, value in record.items() if key != "seconds"} for record in history]


def same(one, other):
    """Bit for bit: weights, statistics and history."""
    states = one.head.state_dict(), other.head.state_dict()
    equal = all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    return equal and without_seconds(one.history) == without_seconds(other.history)


@each_head
def test_learns(make, train, held_out, device):
    head = new(make).to(device)
    result = fit(head, *train, validation=held_out, epochs=12, batch_size=16, learning_rate=0.05, seed=0)
    assert isinstance(result, FitResult)
    assert result.head is head
    assert result.history[-1]["validation_accuracy"] > 0.65  # chance is 0.25
    assert result.history[-1]["train_task"] < result.history[0]["train_task"]
    assert not head.training
    assert all(parameter.grad is None for parameter in head.parameters())
    with torch.no_grad():
        logits = head(held_out[0].to(device)).cpu()
    assert result.history[-1]["validation_accuracy"] == pytest.approx((logits.argmax(1) == held_out[1]).float().mean())
    loss = torch.nn.functional.cross_entropy(logits, held_out[1])
    assert result.history[-1]["validation_loss"] == pytest.approx(loss.item(), rel=1e-5)


@each_head
def test_a_seed_decides_everything(make, train, held_out):
    run = functools.partial(fit, validation=held_out, epochs=3, batch_size=16)
    one, two, other = (run(new(make), *train, seed=seed) for seed in (5, 5, 6))
    assert same(one, two)
    assert not same(one, other)
    assert not same(run(new(make), *train), run(new(make), *train))


def test_matches_a_plain_loop(train):
    """All rows in one batch: what remains is AdamW, the schedule and the means."""
    head, plain = (NMTune(D, K, input_noise=0.0, generator=torch.Generator().manual_seed(0)).double() for _ in "12")
    features, targets = train[0].double(), train[1]
    settings = {"epochs": 4, "batch_size": 100, "learning_rate": 0.01, "weight_decay": 0.1, "warmup": 1}
    _, history = fit(head, features, targets, **settings, seed=0)
    optimizer = torch.optim.AdamW(plain.parameters(), weight_decay=0.1)
    for record, rate in zip(history, (0.01, 0.01, 0.0075, 0.0025), strict=True):
        optimizer.param_groups[0]["lr"] = rate
        terms = plain.loss(features, targets)
        optimizer.zero_grad()
        terms.total.backward()
        optimizer.step()
        assert record["learning_rate"] == pytest.approx(rate)
        for name, value in terms._asdict().items():
            assert record[f"train_{name}"] == pytest.approx(value.item(), rel=1e-9)
    torch.testing.assert_close(head.state_dict(), plain.state_dict())


@pytest.mark.parametrize(("name", "value"), [("weight_decay", 0.5), ("learning_rate", 0.1), ("warmup", 1.5)])
def test_numbers_count(train, name, value):
    run = functools.partial(fit, epochs=2, batch_size=50, seed=0)
    usual, other = run(new(), *train), run(new(), *train, **{name: value})
    assert not torch.equal(usual.head.classifier.weight, other.head.classifier.weight)


def test_history(train, held_out):
    _, history = fit(new(), *train, validation=held_out, epochs=3, seed=0)
    terms = [f"train_{name}" for name in ("total", "task", "consistency", "covariance", "dominant")]
    expected = ["epoch", "learning_rate", *terms, "validation_loss", "validation_accuracy", "seconds"]
    assert [list(record) for record in history] == [expected] * 3
    assert [record["epoch"] for record in history] == [1, 2, 3]
    assert [record["learning_rate"] for record in history] == pytest.approx([1e-3, 7.5e-4, 2.5e-4])
    assert all(record["seconds"] > 0 for record in history)
    assert list(fit(new(), *train, epochs=1, seed=0).history[0]) == ["epoch", "learning_rate", *terms, "seconds"]


def test_each_epoch_is_told(train, held_out, tmp_path):
    seen = []

    def look(head, record):
        assert not head.training
        seen.append((record, copy.deepcopy(head.state_dict())))

    run = functools.partial(fit, batch_size=16, seed=5, validation=held_out)
    looked, plain = run(new(), *train, epochs=3, on_epoch=look), run(new(), *train, epochs=3)
    assert same(looked, plain)
    assert [record for record, _ in seen] == looked.history
    torch.testing.assert_close(seen[-1][1], looked.head.state_dict(), rtol=0, atol=0)
    assert not torch.equal(seen[0][1]["classifier.weight"], seen[1][1]["classifier.weight"])
    seen.clear()
    run = functools.partial(fit, batch_size=16, seed=5, epochs=3, on_epoch=look, checkpoint=tmp_path / "c")
    run(new(), *train)  # without validation, which would leave the head in evaluation mode
    run(new(), *train)  # had finished: nothing is trained
    assert len(seen) == 3


def test_means_are_over_rows_not_batches(train):
    """With a vanishing learning rate the epoch's mean is that of the batches, weighted by their rows."""
    head = new(MLPProbe, norm=None)
    expected = head.loss(*train).task.item()
    (record,) = fit(head, *train, epochs=1, batch_size=70, learning_rate=1e-12, seed=0).history
    assert record["train_task"] == pytest.approx(expected, rel=1e-5)


def as_memmap(rows, tmp_path):
    path = tmp_path / f"{len(rows)}.npy"
    np.save(path, rows.numpy())
    return np.load(path, mmap_mode="r")


def as_read_only(rows, _):
    array = rows.numpy().copy()
    array.flags.writeable = False
    return array


def as_writeable_memmap(rows, tmp_path):
    as_memmap(rows, tmp_path)
    return np.load(tmp_path / f"{len(rows)}.npy", mmap_mode="r+")


def as_store(rows, tmp_path):
    with FeatureStore.create(tmp_path / f"store{len(rows)}", num_features=D, shard_rows=30) as store:
        store.append(rows)
    return FeatureStore.open(tmp_path / f"store{len(rows)}")


STORAGES = {
    "array": lambda rows, _: rows.numpy().copy(),
    "double array": lambda rows, _: rows.double().numpy(),
    "double tensor": lambda rows, _: rows.double(),
    "memmap": as_memmap,
    "writeable memmap": as_writeable_memmap,
    "read-only": as_read_only,
    "reversed": lambda rows, _: rows.flip(0).numpy()[::-1],
    "store": as_store,
    "rows of a store": lambda rows, tmp_path: as_store(rows, tmp_path).features,
    "big-endian": lambda rows, _: rows.numpy().astype(">f4"),
}


@pytest.mark.parametrize("store", STORAGES.values(), ids=STORAGES.keys())
def test_storages_give_the_same_result(store, train, held_out, tmp_path):
    run = functools.partial(fit, epochs=2, batch_size=16, seed=0)
    expected = run(new(), *train, validation=held_out)
    features = store(train[0], tmp_path)
    validation = store(held_out[0], tmp_path), held_out[1].numpy()
    assert same(run(new(), features, train[1].numpy(), validation=validation), expected)


@pytest.mark.parametrize("convert", [torch.as_tensor, lambda rows: rows.numpy()])
def test_other_sources_are_read_batch_by_batch(convert, train, make_source):
    source = make_source(convert(train[0]))
    result = fit(new(), source, train[1], epochs=2, batch_size=16, seed=0)
    assert same(result, fit(new(), *train, epochs=2, batch_size=16, seed=0))
    _, *reads = source.reads
    assert [len(index) for index in reads] == [16, 16, 16, 16, 16, 16, 4] * 2
    assert all((np.diff(index) > 0).all() for index in reads)
    for epoch in (reads[:7], reads[7:]):
        assert sorted(np.concatenate(epoch)) == list(range(100))
    assert not np.array_equal(reads[0], reads[7])


@pytest.mark.parametrize("kind", [list, np.asarray, lambda t: t.to(torch.uint8), lambda t: t.numpy().astype(">i2")])
def test_kinds_of_class_ids(kind, train):
    features, targets = train
    expected = fit(new(), features, targets, epochs=1, seed=0)
    assert same(fit(new(), features, kind(targets), epochs=1, seed=0), expected)


def test_class_probabilities(train, held_out):
    features, targets = train
    one_hot = torch.nn.functional.one_hot(targets, K)
    expected = fit(new(), features, targets, validation=held_out, epochs=2, seed=0)
    validation = held_out[0], torch.nn.functional.one_hot(held_out[1], K).numpy().astype(np.float32)
    got = fit(new(), features, one_hot.double(), validation=validation, epochs=2, seed=0)
    for one, other in zip(without_seconds(got.history), without_seconds(expected.history), strict=True):
        assert one == pytest.approx(other, rel=1e-5)


def test_frozen_parameters_stay(train):
    head = NMTune(D, K, residual=True, generator=torch.Generator().manual_seed(0))
    head.network.layers.requires_grad_(False)
    before = copy.deepcopy(head.state_dict())
    fit(head, *train, epochs=2, seed=0)
    moved = {name for name, tensor in head.state_dict().items() if not torch.equal(tensor, before[name])}
    assert moved - {name for name in moved if "running" in name or "tracked" in name} == {
        "network.scale", "classifier.weight", "classifier.bias",
    }  # fmt: skip


def test_features_that_a_backbone_gave_are_detached(train):
    features, targets = train
    expected = fit(new(), features, targets, epochs=2, seed=0)
    weight = torch.ones(D, requires_grad=True)
    assert same(fit(new(), features * weight, targets, epochs=2, seed=0), expected)
    assert weight.grad is None


def test_numpy_numbers(train, tmp_path):
    expected = fit(new(), *train, epochs=2, batch_size=50, learning_rate=0.25, seed=0)
    numbers = {"epochs": np.int32(2), "batch_size": np.int64(50), "learning_rate": np.float32(0.25), "seed": np.int8(0)}
    assert same(fit(new(), *train, **numbers, checkpoint=tmp_path / "one"), expected)


def test_features_and_targets_are_left_alone(train):
    features, targets = train[0].clone(), train[1].clone()
    fit(new(), features, targets, epochs=1, seed=0)
    assert torch.equal(features, train[0])
    assert torch.equal(targets, train[1])


def test_device_and_type(train, device):
    head = fit(new().double(), *train, epochs=1, seed=0, device=device).head
    assert {(parameter.device.type, parameter.dtype) for parameter in head.parameters()} == {
        (device.type, torch.float64)
    }
    assert fit(new(LinearProbe), *train, epochs=1, seed=0, device=str(device)).head.classifier.weight.device == device


def test_progress_bar(train, capsys):
    fit(new(LinearProbe), *train, epochs=2, seed=0)
    assert capsys.readouterr().err == ""
    fit(new(LinearProbe), *train, epochs=2, batch_size=50, seed=0, progress=True)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "4/4" in shown.err
    assert "epoch=2" in shown.err


def test_weights_of_rows_travel_with_them(train, tmp_path):
    run = functools.partial(fit, epochs=2, batch_size=16, seed=0, sample_weight=np.linspace(0, 2, 100))
    assert same(run(new(), as_memmap(train[0], tmp_path), train[1]), run(new(), *train))


def test_dropout_is_the_same_however_rows_are_read(train, tmp_path):
    run = functools.partial(fit, epochs=2, batch_size=16, seed=0)
    head = functools.partial(new, dropout=0.5)
    assert same(run(head(), as_store(train[0], tmp_path), train[1]), run(head(), *train))


def test_autocast_around_it_counts(train):
    run = functools.partial(fit, epochs=2, batch_size=50, seed=0)
    expected = run(new(), *train)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = run(new(), *train)
    assert half.head.classifier.weight.dtype == torch.float32
    assert not torch.equal(half.head.classifier.weight, expected.head.classifier.weight)
    assert half.history[-1]["train_task"] == pytest.approx(expected.history[-1]["train_task"], rel=0.05)


def test_a_loss_that_is_not_finite_names_the_epoch(train):
    features, targets = train
    broken = features.clone()
    broken[17, 3] = torch.nan
    for make in (NMTune, LinearProbe):
        with pytest.raises(ValueError, match=r"training loss is nan in epoch 1: look for NaN .* `features`, or lower"):
            fit(new(make), broken, targets, epochs=2, seed=0)
    with pytest.raises(ValueError, match=r"training loss is (nan|inf) in epoch \d+:"):
        fit(new(MLPProbe, norm=None), features, targets, epochs=9, learning_rate=1e30, seed=0)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"epochs": 0}, ValueError, "`epochs` must be at least 1, got 0"),
        ({"batch_size": 0}, ValueError, "`batch_size` must be at least 1, got 0"),
        ({"batch_size": 1}, ValueError, "`batch_size` must be at least 2 for this head, got 1"),
        ({"batch_size": 2.0}, TypeError, r"`batch_size` must be an integer, got 2\.0"),
        ({"learning_rate": 0}, ValueError, r"`learning_rate` must be in \(0, inf\), got 0"),
        ({"weight_decay": -1}, ValueError, r"`weight_decay` must be in \[0, inf\), got -1"),
        ({"warmup": 31}, ValueError, r"`warmup` must be in \[0, 30\], got 31"),
        ({"seed": -1}, ValueError, r"`seed` must be in \[0, 2\*\*63\), got -1"),
        ({"seed": "0"}, TypeError, "`seed` must be an integer, got '0'"),
    ],
)
def test_bad_numbers(changes, error, message, train):
    with pytest.raises(error, match=message):
        fit(new(), *train, **changes)


@pytest.mark.parametrize(
    ("head", "error", "message"),
    [
        (torch.nn.ReLU(), TypeError, "`head` must be NMTune, MLPProbe, LinearProbe or another Head, got ReLU"),
        (new(lambda *_, generator: NMTune(D, 0, generator=generator)), ValueError, r"got num_classes=0: head\.reset"),
        (new().requires_grad_(False), ValueError, r"got only frozen ones: head\.requires_grad_\(True\)"),
    ],
)
def test_heads_that_cannot_be_trained(head, error, message, train):
    with pytest.raises(error, match=message):
        fit(head, *train)


@pytest.mark.parametrize(("make", "count", "smallest"), [(NMTune, 1, 2), (MLPProbe, 1, 2), (HEADS["official"], 4, 5)])
def test_too_few_rows(make, count, smallest, train):
    features, targets = train
    with pytest.raises(ValueError, match=f"`features` must have at least {smallest} rows to train .*, got {count}"):
        fit(new(make), features[:count], targets[:count])
    fit(new(make), features[:smallest], targets[:smallest], epochs=1, seed=0)
    fit(new(LinearProbe), features[:1], targets[:1], epochs=1, seed=0)


def test_validation_is_checked_too(train):
    features, targets = train
    for wrong in (features, (features,), (features, targets, targets)):
        with pytest.raises(TypeError, match=r"`validation` must be a pair \(features, targets\), got (Tensor|tuple)"):
            fit(new(), features, targets, validation=wrong)
    with pytest.raises(ValueError, match=r"`validation targets` must be class ids in \[0, 4\), got ids from 0 to 9"):
        fit(new(), features, targets, validation=(features, torch.arange(100) % 10))
    with pytest.raises(ValueError, match=r"`validation features` must have 8 features .* got shape \(1, 3\)"):
        fit(new(), features, targets, validation=(features[:, :3], targets))
