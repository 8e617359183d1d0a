"""A run that dies, wherever it dies, ends where it would have ended."""

from __future__ import annotations

import functools
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from noisymodel import LinearProbe, MLPProbe, NMTune, fit
from noisymodel.training.checkpoint import Checkpoint, RunFile

D, K = 8, 4
HEADS = {
    "nmtune": functools.partial(NMTune, dropout=0.2),
    "mlp": functools.partial(MLPProbe, norm="layer"),
    "linear": LinearProbe,
}
SETTINGS = {"epochs": 4, "batch_size": 32, "warmup": 1.5}
READS = 2 + 4 * 4  # a first look, the checksum, and four batches in each epoch


def new(make=HEADS["nmtune"], seed=0):
    return make(D, K, generator=torch.Generator().manual_seed(seed))


def without_seconds(history):
    return [{key: value for key, value in record.items() if key != "seconds"} for record in history]


def assert_same(one, other):
    torch.testing.assert_close(one.head.state_dict(), other.head.state_dict(), rtol=0, atol=0)
    assert without_seconds(one.history) == without_seconds(other.history)


@pytest.mark.parametrize("make", HEADS.values(), ids=HEADS.keys())
@pytest.mark.parametrize("dies_at", range(READS)[::3])
def test_killed_and_resumed(make, dies_at, train, held_out, make_source, tmp_path):
    features, targets = train
    expected = fit(new(make), features, targets, validation=held_out, **SETTINGS, seed=3)
    path = tmp_path / "runs" / "one.safetensors"
    run = functools.partial(fit, targets=targets, validation=held_out, **SETTINGS, seed=3, checkpoint=path)
    with pytest.raises(KeyboardInterrupt):
        run(new(make), make_source(features, dies_at=dies_at))
    assert path.exists() == (dies_at >= 2 + 4)
    head = new(make, seed=99 if path.exists() else 0)  # all weights come from the file, once there is one
    assert_same(run(head, features), expected)


def test_killed_again_and_again(train, tmp_path, make_source):
    features, targets = train
    expected = fit(new(), features, targets, **SETTINGS, seed=3)
    result, deaths = None, 0
    while result is None:
        try:
            source = make_source(features, dies_at=8)
            result = fit(new(), source, targets, **SETTINGS, seed=3, checkpoint=tmp_path / "one")
        except KeyboardInterrupt:
            deaths += 1
    assert deaths == 3
    assert_same(result, expected)


def test_killed_while_writing(train, tmp_path, monkeypatch):

    expected = fit(new(), *train, **SETTINGS, seed=3)
    run = functools.partial(fit, features=train[0], targets=train[1], **SETTINGS, seed=3, checkpoint=tmp_path / "one")
    calls = []

    def die_at_third(_descriptor):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", die_at_third)
        with pytest.raises(KeyboardInterrupt):
            run(new())
    assert_same(run(new()), expected)
    assert [path.name for path in tmp_path.iterdir()] == ["one"]


def test_a_finished_run_returns_at_once(train, tmp_path, make_source):
    features, targets = train
    run = functools.partial(fit, targets=targets, **SETTINGS, seed=3, checkpoint=tmp_path / "one")
    finished = run(new(), features)
    source = make_source(features)
    again = run(new(seed=5), source)
    assert len(source.reads) == 2
    assert again.history == finished.history
    assert_same(again, finished)
    assert not again.head.training


def test_a_checkpoint_changes_nothing(train, tmp_path):
    plain = fit(new(), *train, **SETTINGS, seed=3)
    assert_same(fit(new(), *train, **SETTINGS, seed=3, checkpoint=str(tmp_path / "one")), plain)


def test_without_a_seed_the_run_goes_on_with_its_own(train, make_source, tmp_path):
    features, targets = train
    run = functools.partial(fit, targets=targets, **SETTINGS, checkpoint=tmp_path / "one")
    whole = run(new(), features)
    (tmp_path / "one").rename(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run(new(), make_source(features, dies_at=8))
    resumed = run(new(), features)
    assert len(resumed.history) == 4
    assert without_seconds(resumed.history) != without_seconds(whole.history)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 5}, "epochs: 4 then, 5 now"),
        ({"batch_size": 16}, "batch_size: 32 then, 16 now"),
        ({"learning_rate": 0.1}, r"learning_rate: 0\.001 then, 0\.1 now"),
        ({"weight_decay": 0.0}, r"weight_decay: 0\.0001 then, 0\.0 now"),
        ({"warmup": 0}, r"warmup: 1\.5 then, 0\.0 now"),
        ({"seed": None}, "seed: 3 then, None now"),
        ({"validation": None}, "validation: '[0-9a-f]+' then, None now"),
        ({"head": new(LinearProbe)}, "head: 'NMTune' then, 'LinearProbe' now"),
        ({"head": new(functools.partial(NMTune, dropout=0.2, top_k=2))}, "top_k: 1 then, 2 now"),
        ({"head": new().double()}, r"dtype: 'torch\.float32' then, 'torch\.float64' now"),
        ({"features": torch.ones(100, D)}, "features and targets: '[0-9a-f]+' then, '[0-9a-f]+' now"),
        ({"targets": torch.zeros(100, dtype=torch.int64)}, "features and targets: "),
    ],
)
def test_other_arguments(changes, message, train, held_out, tmp_path):
    arguments = {"features": train[0], "targets": train[1], "validation": held_out, **SETTINGS, "seed": 3}
    fit(head=new(), **arguments, checkpoint=tmp_path / "one")
    content = (tmp_path / "one").read_bytes()
    changed = {"head": new(), **arguments, **changes}
    with pytest.raises(ValueError, match=rf"`checkpoint` .*one belongs to a run with other arguments \(.*{message}"):
        fit(**changed, checkpoint=tmp_path / "one")
    assert (tmp_path / "one").read_bytes() == content


def test_frozen_parameters_are_an_argument_too(train, tmp_path):
    fit(new(functools.partial(NMTune, residual=True)), *train, **SETTINGS, seed=3, checkpoint=tmp_path / "one")
    head = new(functools.partial(NMTune, residual=True))
    head.network.scale.requires_grad_(False)
    with pytest.raises(ValueError, match=r"frozen: \[\] then, \['network\.scale'\] now"):
        fit(head, *train, **SETTINGS, seed=3, checkpoint=tmp_path / "one")


def test_damaged_and_foreign_files(train, tmp_path):
    path = tmp_path / "one"
    fit(new(), *train, **SETTINGS, seed=3, checkpoint=path)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ValueError, match="one is damaged or no safetensors file"):
        fit(new(), *train, **SETTINGS, seed=3, checkpoint=path)
    save_file({"x": torch.zeros(1)}, path)
    with pytest.raises(ValueError, match=r"`checkpoint` .*one was not written by fit: name another file"):
        fit(new(), *train, **SETTINGS, seed=3, checkpoint=path)


def test_no_pickle(train, tmp_path):
    fit(new(), *train, **SETTINGS, seed=3, checkpoint=tmp_path / "one")
    assert np.frombuffer((tmp_path / "one").read_bytes()[:8], "<u8")[0] < 100_000  # safetensors: the header's length


def test_a_checkpoint_stays_where_it_was_named(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    kept = [Checkpoint("run.safetensors", {}, "fit"), RunFile(Path("sweep.safetensors"), {}, "sweep")]
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert [one.path for one in kept] == [tmp_path / "run.safetensors", tmp_path / "sweep.safetensors"]
