"""`TunedModel`: logits, features and terms of a backbone and a head in one forward pass."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Self, TypeAlias

import torch
from torch import Tensor, nn

from .._checks import check_choice, check_flag, check_integer, check_seed, check_text
from ..features.extraction.extract import POOLINGS
from ..features.extraction.layers import OUTPUT, check_layers, pooled
from ..heads import Head
from ..losses import NMTuneTerms, consistency_loss
from ..losses.regularization import task_alone
from ..objective import IGNORED, NMTuneLoss, task_loss
from .backbone import PooledBackbone, split_inputs, taken
from .dense import FeatureRows, RowSampler

REFERENCES = (None, "features", "frozen")

Inputs: TypeAlias = "Tensor | Sequence[Any] | Mapping[str, Any]"
"""Inputs of a backbone: one tensor, positional arguments, or keyword arguments."""


class TunedOutput(NamedTuple):
    """The output of `TunedModel`: ``logits``, ``features`` F, ``tuned`` Z, and ``terms`` on request, else None."""

    logits: Tensor
    features: Tensor
    tuned: Tensor
    terms: NMTuneTerms | None


class TunedModel(nn.Module):
    """A backbone with a head on the features of one of its layers, as one module.

    - ``model(*inputs, **inputs)``: logits, a tensor;
    - ``model(*inputs, targets=y, **inputs)``: `TunedOutput` (logits, features F, tuned Z, terms); backpropagate
      ``output.terms.total``. Everything happens in one ``forward``, so DDP, FSDP and `torch.compile` work;
    - ``model(*inputs, return_features=True)``: `TunedOutput` without terms.

    The consistency term compares Z with the first available of these: the features ``reference`` of the call; the
    features of ``reference_inputs``; the features that the model's ``reference`` names. With a frozen backbone the
    last are F itself, detached.

    Two views: ``model(strong, targets=y, reference_inputs=weak)`` compares Z(strong) with F(weak). ``both_views=True``
    is the form of the published code: both views pass the head together; the task, covariance and dominant terms use
    all 2N rows; the consistency term compares Z(strong) with F(weak). The returned logits, features and tuned are those
    of ``strong``.

    Dense features (``pooling=None``): (B, D, H, W) with logits (B, K, H, W), or (B, T, D) with logits (B, T, K), by the
    rule of `channels_last`; see the arguments ``max_rows`` and ``ignore_index``.

    For LoRA or full fine-tuning as in the published code, which regularizes the backbone's own features without a
    network on top, take a `SpectralProbe` as the head.

    Args:
        backbone: any module; ``timm_backbone`` and similar functions adapt models of other libraries. It is not copied:
            ``freeze`` changes the given module. Features are converted to the head's dtype, so a backbone in bfloat16
            may have a head in float32.
        head: `NMTune`, `SpectralProbe`, `MLPProbe` or `LinearProbe`, for features of that layer.
        layer: the source of the features. ``None``: the backbone's output; ``"blocks.11"``: the output of that part,
            by its name in ``named_modules()``; ``"fc:input"``: the input of that part. Hooks exist only during a
            forward pass. Outputs that are not tensors are read as in `noisymodel.features.extract`.
        freeze: whether the backbone is frozen: it gets no gradients, and stays in evaluation mode despite ``train()``,
            so its BatchNorm statistics do not change. ``freeze_backbone`` and ``unfreeze_backbone`` change it later.
        reference: the reference features for a trained backbone. ``None``: no consistency term, as in the published
            code; ``"features"``: its own features, detached; ``"frozen"``: the features of a frozen copy of the
            backbone. The copy is made now (with ``freeze``: when the backbone is unfrozen) and kept in
            ``reference_backbone``, also in the state dictionary. It costs memory and a forward pass; cached features
            as ``reference`` of a call do not.
        objective: the criterion; ``None``: that of the head. A given objective regularizes with any head.
        pooling: (B, T, D) to (B, D): ``"mean"`` over the tokens that ``attention_mask`` among the inputs keeps,
            ``"cls"`` (the first), or ``"last"`` (the last kept one); (B, C, H, W) is averaged. ``None``: dense features
            without pooling; masked tokens do not pass the head, and their logits are 0.
        max_rows: the most rows for the regularizers, drawn anew in each step by `RowSampler`, the same for Z and its
            reference; ``None``: all. The head and the task loss see all rows.
        ignore_index: class id of rows that the task loss leaves out. The regularizers keep these rows, because they
            are real features and need no labels.
        seed: the seed of the draws for ``max_rows``.

    Raises:
        ValueError: for a layer that does not exist or is not used, widths that do not fit, targets of another shape, a
            training batch with too few rows for the head, and features without gradient although the backbone is
            trained.
        TypeError: for arguments of the wrong type.

    Source: "Noisy Model Learning" (arXiv 2309.17002); the two-view form is that of its published code.

    >>> import torch
    >>> from noisymodel import NMTune, TunedModel
    >>> generator = torch.Generator().manual_seed(0)
    >>> backbone = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.ReLU(), torch.nn.Linear(8, 5))
    >>> model = TunedModel(backbone, NMTune(8, 3, generator=generator), layer="1", freeze=True)
    >>> inputs, targets = torch.randn(16, 6, generator=generator), torch.arange(16) % 3
    >>> output = model(inputs, targets=targets)
    >>> output.terms.total.backward()
    >>> output.logits.shape, output.features.shape, backbone[0].weight.grad
    (torch.Size([16, 3]), torch.Size([16, 8]), None)
    >>> model.eval()(inputs).shape
    torch.Size([16, 3])
    """

    def __init__(
        self,
        backbone: nn.Module,
        head: Head,
        layer: str | None = None,
        *,
        freeze: bool = False,
        reference: str | None = None,
        objective: NMTuneLoss | None = None,
        pooling: str | None = "mean",
        max_rows: int | None = None,
        ignore_index: int = IGNORED,
        seed: int = 0,
    ) -> None:
        super().__init__()
        _check_parts(backbone, head, objective)
        self.layer = OUTPUT if layer is None else check_text(layer, "layer")
        check_layers(backbone, [self.layer])
        width = backbone.num_features if isinstance(backbone, PooledBackbone) else head.in_features
        if self.layer == OUTPUT and width != head.in_features:
            raise ValueError(f"`head` must be for the backbone's {width} features, got in_features={head.in_features}")
        check_choice(reference, "reference", REFERENCES)
        check_choice(pooling, "pooling", (*POOLINGS, None))
        self.reference, self.pooling = reference, pooling
        self.ignore_index = check_integer(ignore_index, "ignore_index")
        self.backbone, self.head = backbone, head
        self.objective = head.objective if objective is None else objective
        smallest = self.objective.smallest_batch
        check_seed(seed)
        self.sampler = None if max_rows is None else RowSampler(check_integer(max_rows, "max_rows"), seed=seed)
        if max_rows is not None and max_rows < smallest:
            raise ValueError(f"`max_rows` must be at least {smallest}, which the regularizers need, got {max_rows}")
        self.reference_backbone: nn.Module | None = None
        self.frozen = False
        if check_flag(freeze, "freeze"):
            self.freeze_backbone()
        else:
            self._keep_reference()

    def freeze_backbone(self) -> Self:
        """Freeze the backbone: no gradients, and evaluation mode; returns the model."""
        self.frozen = True
        self.backbone.requires_grad_(False)
        self.backbone.eval()
        return self

    def unfreeze_backbone(self) -> Self:
        """Train the whole backbone from now on; returns the model. Give its parameters to the optimizer, too.

        With ``reference="frozen"`` the present weights become the reference.
        """
        self.frozen = False
        self.backbone.requires_grad_(True)
        self.backbone.train(self.training)
        self._keep_reference()
        return self

    def _keep_reference(self) -> None:
        if self.reference == "frozen":
            self.reference_backbone = copy.deepcopy(self.backbone).requires_grad_(False).eval()

    @property
    def regularized(self) -> bool:
        """Whether any regularizer has a weight."""
        return self.objective.regularized

    @property
    def smallest_batch(self) -> int:
        """The fewest samples (dense: rows) of a training batch, as in `NMTune.smallest_batch`."""
        return max(self.head.smallest_batch, self.objective.smallest_batch)

    def train(self, mode: bool = True) -> Self:
        """Set the mode of all parts that are not frozen."""
        super().train(mode)
        for part in (self.backbone if self.frozen else None, self.reference_backbone):
            if part is not None:
                part.eval()
        return self

    def forward(
        self,
        *inputs: Any,
        targets: Tensor | None = None,
        reference: Tensor | None = None,
        reference_inputs: Inputs | None = None,
        both_views: bool = False,
        regularize: bool = False,
        return_features: bool = False,
        **keywords: Any,
    ) -> Tensor | TunedOutput:
        """Logits, or `TunedOutput` with any of ``targets``, ``regularize`` and ``return_features``; see the class.

        - ``targets``: class ids or probabilities in the layout of the logits; if class ids (B, H', W') have another
          size than the map, the logits are resized bilinearly to that size for the task loss;
        - ``reference``: features in the layout of F;
        - ``reference_inputs``: the inputs of another view: a tensor, a tuple of positional or a dictionary of keyword
          arguments; ``both_views``: see the class;
        - ``regularize``: terms with the task term 0, for a task loss of your own;
        - all other arguments go to the backbone.
        """
        self._check_call(targets, reference_inputs, both_views)
        features, own = self._rows(self.backbone, inputs, keywords, gradient=not self.frozen)
        if targets is None and not regularize:
            logits, tuned = self.head(own.rows, return_features=True)
            output = TunedOutput(own.spread(logits), features, own.spread(tuned), None)
            return output if return_features else output.logits
        other = self._other_view(own, reference_inputs) if both_views else None
        stacked = own.rows if other is None else torch.cat([own.rows, other])
        logits, tuned = self.head(stacked, return_features=True)
        task = None if targets is None else self._task(own, logits, targets)
        compared = self._compared_with(own, other, reference, (inputs, keywords), reference_inputs)
        # does not depend on the number of rows, which may be 0, because all ranks must agree on the terms
        tuned, second = (tuned, None) if other is None else tuned.tensor_split(2)
        terms = self._terms(task, tuned, compared, second)
        logits = logits[: len(own.rows)]
        return TunedOutput(own.spread(logits), features, own.spread(tuned), terms)

    def _check_call(self, targets: Tensor | None, reference_inputs: Inputs | None, both_views: bool) -> None:
        if both_views and reference_inputs is None:
            raise ValueError("`both_views` needs `reference_inputs`, the weak view's inputs, got none")
        if targets is not None and self.head.classifier is None:
            raise ValueError(
                "`targets` need a head with a classifier, got one of `num_classes` 0: `regularize=True` gives the "
                "terms without a task loss, head.reset(num_classes) makes a classifier"
            )

    def _rows(
        self, backbone: nn.Module, inputs: Sequence[Any], keywords: Mapping[str, Any], *, gradient: bool
    ) -> tuple[Tensor, FeatureRows]:
        """The features of the layer, pooled or dense, and their rows in the head's dtype."""
        with torch.set_grad_enabled(gradient and torch.is_grad_enabled()):
            features = taken(backbone, self.layer, inputs, keywords)
            given = keywords.get("attention_mask")
            mask = given if isinstance(given, Tensor) else None
            if self.pooling is not None:
                features, mask = pooled(features, self.pooling, mask, self.layer), None
            weight = next(self.head.parameters(), features)
            features = features.to(weight.dtype)
        own = FeatureRows.of(features, mask)
        if own.rows.shape[1] != self.head.in_features:
            raise ValueError(
                f"layer {self.layer!r} gives features of shape {tuple(features.shape)}, that is {own.rows.shape[1]} "
                f"features by the rule of `channels_last`, and the head takes {self.head.in_features}"
            )
        if gradient and self.training and torch.is_grad_enabled() and not features.requires_grad:
            self._check_gradient()
        return features, own

    def _check_gradient(self) -> None:
        if any(parameter.requires_grad for parameter in self.backbone.parameters()):
            raise ValueError(
                f"the features of layer {self.layer!r} have no gradient, and the backbone is to be trained: nothing "
                "that is trained lies before this layer, or gradient checkpointing hides it (use_reentrant=False)"
            )

    def _other_view(self, own: FeatureRows, reference_inputs: Inputs | None, *, gradient: bool = True) -> Tensor:
        """The rows of the other view's features, computed by the model's own backbone."""
        arguments, named = split_inputs(reference_inputs)
        features, _ = self._rows(self.backbone, arguments, named, gradient=gradient and not self.frozen)
        return own.same_rows_of(features, "reference_inputs")

    def _compared_with(
        self,
        own: FeatureRows,
        other: Tensor | None,
        reference: Tensor | None,
        inputs: tuple[Sequence[Any], Mapping[str, Any]],
        reference_inputs: Inputs | None,
    ) -> Tensor | None:
        """The reference features of the consistency term, without gradient."""
        if not self.regularized:
            return None
        if reference is not None:
            return own.same_rows_of(reference.detach(), "reference").to(own.rows.dtype)
        if self.reference_backbone is not None and not self.frozen:
            arguments, named = inputs if reference_inputs is None else split_inputs(reference_inputs)
            features, _ = self._rows(self.reference_backbone, arguments, named, gradient=False)
            return own.same_rows_of(features, "reference_inputs")
        if reference_inputs is not None:
            return (self._other_view(own, reference_inputs, gradient=False) if other is None else other).detach()
        return own.rows.detach() if self.frozen or self.reference == "features" else None

    def _task(self, own: FeatureRows, logits: Tensor, targets: Tensor) -> Tensor:
        """The task loss of the logits of one view, or of two concatenated views."""
        pairs = [own.labelled(view, targets) for view in logits.split(max(1, len(own.rows)))]
        together, ids = (torch.cat(parts) for parts in zip(*pairs, strict=True))
        smoothing, gather = self.objective.label_smoothing, self.objective.gather
        return task_loss(together, ids, label_smoothing=smoothing, gather=gather, ignore_index=self.ignore_index)

    def _terms(
        self, task: Tensor | None, first: Tensor, reference: Tensor | None, second: Tensor | None
    ) -> NMTuneTerms:
        if not self.regularized:
            zero = first.new_zeros((), dtype=torch.promote_types(first.dtype, torch.float32))
            return task_alone(zero if task is None else task)
        drawn = None if self.sampler is None else self.sampler(len(first), first.device)
        if drawn is not None:
            first = first[drawn]
            second = None if second is None else second[drawn]
            reference = None if reference is None else reference[drawn]
        terms = self._regularization(first, reference, second)
        return terms if task is None else terms._replace(total=task + terms.total, task=task)

    def _regularization(self, first: Tensor, reference: Tensor | None, second: Tensor | None) -> NMTuneTerms:
        """The regularizers of rows Z (n, D); with a second view of both views' rows, but for the consistency term."""
        objective = self.objective
        if second is None:
            return objective.regularization(first, reference)
        terms = objective.regularization(torch.cat([second, first]), None)
        if reference is None or not objective.consistency_weight:
            return terms
        consistency = consistency_loss(first, reference, reduction=objective.reduction, gather=objective.gather)
        total = terms.total + objective.consistency_weight * consistency
        return terms._replace(total=total, consistency=consistency)

    def extra_repr(self) -> str:
        """The settings, for ``print``."""
        names = ("layer", "frozen", "reference", "pooling", "ignore_index")
        return ", ".join(f"{name}={getattr(self, name)!r}" for name in names)


def _check_parts(backbone: object, head: object, objective: object) -> None:
    if not isinstance(backbone, nn.Module):
        raise TypeError(f"`backbone` must be a torch module, got {type(backbone).__name__}")
    if not isinstance(head, Head):
        raise TypeError(f"`head` must be NMTune, MLPProbe, LinearProbe or another Head, got {type(head).__name__}")
    if objective is not None and not isinstance(objective, NMTuneLoss):
        raise TypeError(f"`objective` must be an NMTuneLoss, got {type(objective).__name__}")
