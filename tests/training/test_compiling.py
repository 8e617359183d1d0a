from __future__ import annotations

import functools

import pytest
import torch

from noisymodel import MLPProbe, NMTune, fit
from noisymodel.training.compiling import MODES

# Dynamo's own, of every autograd function that it traces
pytestmark = pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")

D, K = 8, 4
run = functools.partial(fit, epochs=2, batch_size=30, seed=0)  # batches of 30, 30, 30 and 10


def new(make=NMTune, seed=0):
    return make(D, K, generator=torch.Generator().manual_seed(seed))


class Compiler:
    """Stands for `torch.compile`: without a code generator, counting graphs and remembering the options."""

    def __init__(self):
        self.graphs, self.options, self.compile = 0, [], torch.compile

    def __call__(self, function, **options):
        self.options.append(options)
        return self.compile(function, backend=self.backend, fullgraph=True, dynamic=options["dynamic"])

    def backend(self, graph, _):
        self.graphs += 1
        return graph.forward


@pytest.fixture
def compiled(monkeypatch):
    compiler = Compiler()
    monkeypatch.setattr(torch, "compile", compiler)
    return compiler


def assert_same(head, expected):
    """Equal to rounding; but that is all of a bias's gradient before a BatchNorm, and AdamW makes full steps of it."""
    got, wanted = head.state_dict(), expected.state_dict()
    for name in ("network.layers.0.bias", "network.layers.1.running_mean"):
        torch.testing.assert_close(got.pop(name), wanted.pop(name), rtol=0, atol=8 * 2 * 1e-3)
    torch.testing.assert_close(got, wanted)


@pytest.mark.slow
@pytest.mark.parametrize("make", [NMTune, MLPProbe])
def test_it_gives_the_same_in_one_graph(make, train, compiled):
    expected, result = run(new(make), *train), run(new(make), *train, compile=True)
    assert_same(result.head, expected.head)
    assert compiled.graphs == 1, "the smaller last batch is not compiled"


def test_nothing_is_compiled_unless_asked(train, compiled):
    run(new(), *train)
    run(new(), *train, compile=False)
    assert compiled.options == []


def test_modes_are_those_of_torch(train, compiled):
    for mode in (True, *(mode for mode in MODES if mode != "reduce-overhead")):
        run(new(), *train, compile=mode, epochs=1)
    assert [options["mode"] for options in compiled.options] == [
        "default", "default", "max-autotune", "max-autotune-no-cudagraphs",
    ]  # fmt: skip
    with pytest.raises(ValueError, match=r"`compile` must be one of 'default', 'reduce-overhead', .* got 'fast'"):
        run(new(), *train, compile="fast")


def test_cuda_graphs_without_cuda_are_one_message(train, compiled):
    with pytest.warns(UserWarning, match=r"'reduce-overhead' asks for CUDA graphs, which the device 'cpu'") as caught:
        result = run(new(), *train, compile="reduce-overhead")
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert compiled.options[0]["mode"] == "default"
    assert_same(result.head, run(new(), *train).head)
