"""The forward pass that is trained: variables apart, known operators, a loss on top."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import onnx
from onnx import numpy_helper

from onnxsplit.autodiff.differentiation import describe_values
from onnxsplit.autodiff.halves.losses import LossHead, build_loss
from onnxsplit.autodiff.halves.naming import LABEL, LEARNING_RATE, LOSS, STEP
from onnxsplit.autodiff.halves.parameters import SeparatedModel, separate_variables
from onnxsplit.autodiff.halves.parts import DEVICE, LOSS_PLACE, SERVER
from onnxsplit.autodiff.halves.placing import place_nodes
from onnxsplit.autodiff.halves.recipe import Recipe
from onnxsplit.autodiff.halves.variables import Variable
from onnxsplit.autodiff.paths import find_gradient_paths, is_floating
from onnxsplit.autodiff.preparation import find_opset, prepare_model
from onnxsplit.engines.port import Array
from onnxsplit.errors import UnsupportedModelError, UsageError
from onnxsplit.graph import TensorSpec
from onnxsplit.model.dtypes import write_type
from onnxsplit.model.index import index_model
from onnxsplit.model.loading import LoadedModel, load_model
from onnxsplit.placement import Placement


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedForward:
    """A model with a loss, and what of it is trained.

    Parameters
    ----------
    model : LoadedModel
        Prepared; its one output is the loss.
    predictions : tuple of str
        The model's outputs.
    head : LossHead
    variables : tuple of Variable
        Parameters that the loss depends on, then statistics.
    values : mapping of str to array
        Variable to its value.
    places : mapping of str to int or None
        Node to where it runs: a tier, with the labels, or everywhere.
    homes : mapping of str to int
        Variable to its tier.
    specs : mapping of str to TensorSpec
    notes : tuple of str
    """

    model: LoadedModel
    predictions: tuple[str, ...]
    head: LossHead
    variables: tuple[Variable, ...]
    values: Mapping[str, Array]
    places: Mapping[str, int | None]
    homes: Mapping[str, int]
    specs: Mapping[str, TensorSpec]
    notes: tuple[str, ...] = ()

    @property
    def parameters(self) -> tuple[Variable, ...]:
        """Variables that have a gradient."""
        return tuple(v for v in self.variables if v.kind == "parameter")


def prepare_forward(
    model: LoadedModel,
    placement: Placement,
    trained: Mapping[str, Sequence[str]],
    recipe: Recipe,
) -> TrainedForward:
    """Prepare a model for training.

    Parameters
    ----------
    model : LoadedModel
    placement : Placement
        Of its operators, on two tiers.
    trained : mapping of str to sequence of str
        Operator to the initializers of it that are trained.
    recipe : Recipe

    Raises
    ------
    UsageError
        The loss does not fit, nothing is left to train, or a name is taken.
    UnsupportedModelError
        A parameter that is kept tied is read on both tiers.
    UnknownGradientError
        Operators on the way of gradients have no rule; all are named.
    """
    separated = separate_variables(
        model, trained, tied=recipe.tied, train_statistics=recipe.norms == "train"
    )
    makers = _place_values(model, placement)
    prepared = prepare_model(load_model(separated.proto))
    places = place_nodes(prepared.proto, makers, [v.name for v in separated.variables])
    logits, notes = _find_logits(prepared, recipe)
    head = build_loss(recipe.loss, logits, opset=find_opset(prepared.proto))
    proto = _add_loss(prepared.proto, head, logits[0].dtype)
    places |= dict.fromkeys((node.name for node in head.nodes), LOSS_PLACE)
    whole = load_model(proto)
    specs = describe_values(whole, index_model(whole.proto))
    variables, further = _choose_variables(whole, separated, specs)
    stored = {tensor.name: tensor for tensor in proto.graph.initializer}
    return TrainedForward(
        model=whole,
        predictions=tuple(v.name for v in prepared.proto.graph.output),
        head=head,
        variables=variables,
        values={v.name: numpy_helper.to_array(stored[v.name]) for v in variables},
        places=places,
        homes={v.name: _find_home(v, placement) for v in variables},
        specs=specs,
        notes=(*separated.notes, *notes, *further),
    )


def _place_values(model: LoadedModel, placement: Placement) -> dict[str, int]:
    """Map the values of a model to the places of the operators that make them."""
    places = {
        name: place
        for place, tier in enumerate(placement.tiers)
        for name in placement.operators(tier)
    }
    return {
        value: places[node.name]
        for node in model.proto.graph.node
        if node.name in places
        for value in node.output
        if value
    }


def _find_logits(
    model: LoadedModel, recipe: Recipe
) -> tuple[tuple[TensorSpec, ...], tuple[str, ...]]:
    """Return what the loss reads; cross-entropy looks behind a final softmax."""
    specs = describe_values(model, index_model(model.proto))
    outputs = [v.name for v in model.proto.graph.output if is_floating(specs, v.name)]
    if not outputs:
        raise UsageError("The model has no floating-point output, so no loss can be taken.")
    maker = next((n for n in model.proto.graph.node if outputs[0] in n.output), None)
    notes: tuple[str, ...] = ()
    if recipe.loss == "cross-entropy" and maker is not None and maker.op_type == "Softmax":
        notes = (f"The loss reads {maker.input[0]!r}, the logits before the model's softmax.",)
        outputs[0] = maker.input[0]
    return tuple(specs.get(n, TensorSpec(name=n, dtype=None, shape=None)) for n in outputs), notes


def _add_loss(proto: onnx.ModelProto, head: LossHead, dtype: str | None) -> onnx.ModelProto:
    """Put a loss on top of a model, of its predictions' type; it becomes the only output."""
    joined = onnx.ModelProto()
    joined.CopyFrom(proto)
    taken = {name for node in proto.graph.node for name in (*node.input, *node.output)}
    for name in (LABEL, LOSS, LEARNING_RATE, STEP):
        if name in taken:
            raise UsageError(
                f"The model has a value {name!r}, a name that training stages use themselves;"
                " rename it in the model."
            )
    versions = {entry.domain: entry.version for entry in joined.opset_import}
    for domain, version in head.opsets.items():
        if versions.setdefault(domain, version) != version:
            raise UnsupportedModelError(
                f"The loss uses opset {version} and the model {versions[domain]}; export the loss"
                " with the model's opset."
            )
    graph = joined.graph
    graph.node.extend(head.nodes)
    graph.initializer.extend(head.constants)
    graph.input.append(write_type(head.label))
    del graph.output[:]
    graph.output.append(write_type(TensorSpec(name=LOSS, dtype=dtype, shape=())))
    return joined


def _choose_variables(
    model: LoadedModel, separated: SeparatedModel, specs: Mapping[str, TensorSpec]
) -> tuple[tuple[Variable, ...], tuple[str, ...]]:
    """Return the variables that the loss depends on."""
    parameters = [v for v in separated.variables if v.kind == "parameter"]
    paths = find_gradient_paths(
        index_model(model.proto), specs, of=[LOSS], with_respect_to=[v.name for v in parameters]
    )
    unreached = set(paths.unreached)
    kept = tuple(v for v in separated.variables if v.name not in unreached)
    if not any(v.kind == "parameter" for v in kept):
        raise UsageError(
            "Nothing can be trained: the loss depends on no parameter that is not frozen."
        )
    notes = (
        (f"The loss does not depend on {len(unreached)} parameters; they stay as they are.",)
        if unreached
        else ()
    )
    return kept, notes


def _find_home(variable: Variable, placement: Placement) -> int:
    """Return the tier of a variable."""
    on_device = set(placement.operators(placement.tiers[0]))
    homes = {DEVICE if name in on_device else SERVER for name in variable.operators}
    if len(homes) > 1:
        raise UnsupportedModelError(
            f"The parameter {variable.name!r} is kept tied, but operators on both tiers read it"
            f" ({', '.join(variable.operators[:4])}): put them on one tier with --pin-device,"
            " --pin-server or --keep-together, or give --tied untie."
        )
    return homes.pop()
