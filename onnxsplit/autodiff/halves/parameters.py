"""Which initializers are trained, each as a value of its own that known operators read.

Exporters merge equal initializers, so that one may serve as the scale of nine norms: trained as it
stands it would tie what the architecture keeps apart. Others compute a weight from constants, such
as its transpose. Here every trained parameter becomes an initializer that its operators read.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import numpy_helper

from onnxsplit.autodiff.halves.recipe import Tied
from onnxsplit.autodiff.halves.trained_weights import (
    find_readers,
    find_statistics,
    find_tied_layouts,
    is_weight,
    merge_layouts,
)
from onnxsplit.autodiff.halves.variables import Variable, apply_variables, load_weights
from onnxsplit.engines.opening import open_session
from onnxsplit.engines.port import EngineOptions
from onnxsplit.model.index import ModelIndex, index_model
from onnxsplit.model.loading import LoadedModel


@dataclass(frozen=True, slots=True, kw_only=True)
class SeparatedModel:
    """A model in which every variable is an initializer of its own.

    Parameters
    ----------
    proto : onnx.ModelProto
        With all weights inside.
    variables : tuple of Variable
    notes : tuple of str
        What was changed, for the reader.
    """

    proto: onnx.ModelProto
    variables: tuple[Variable, ...]
    notes: tuple[str, ...] = ()


def separate_variables(
    model: LoadedModel,
    trained: Mapping[str, Sequence[str]],
    *,
    tied: Tied,
    train_statistics: bool,
) -> SeparatedModel:
    """Make every trained parameter an initializer that its operators read.

    Parameters
    ----------
    model : LoadedModel
    trained : mapping of str to sequence of str
        Operator to the initializers of it that are trained, read directly or through constants.
    tied : str
        ``untie`` or ``keep``, for initializers that several operators read.
    train_statistics : bool
        Whether batch normalisations use, and keep, statistics of the batches.

    Returns
    -------
    SeparatedModel
        O(size of the model).
    """
    proto = load_weights(model)
    index = index_model(proto)
    found = find_readers(index, trained)
    readers = {value: names for value, names in found.items() if is_weight(index, value)}
    statistics = find_statistics(index, trained) if train_statistics else {}
    fixed = [value for value in found if value not in readers]
    layouts = find_tied_layouts(index, readers)
    if tied == "keep":
        readers = merge_layouts(index, readers, layouts)
    folded = _fold(proto, index, [*readers])
    variables: list[Variable] = []
    notes = [_word_folded(folded)] if folded else []
    if fixed:
        notes.append(_word_fixed(fixed))
    shared = [] if tied == "keep" else list(layouts)
    for kind, group in (("parameter", readers), ("statistic", statistics)):
        for source, operators in group.items():
            if len(operators) > 1:
                shared += [source] if source not in shared else []
            is_read_elsewhere = _is_read_elsewhere(index, source, operators, folded)
            own_names = _choose_names(proto, source, operators, is_read_elsewhere, tied)
            variables += [
                Variable(name=name, source=source, kind=kind, operators=names)  # type: ignore[arg-type]  # mypy sees str
                for name, names in own_names.items()
            ]
    if shared:
        notes.append(_word_shared(shared, tied))
    values = {t.name: numpy_helper.to_array(t) for t in proto.graph.initializer}
    apply_variables(proto, variables, {v.name: values[v.source] for v in variables})
    return SeparatedModel(proto=proto, variables=tuple(variables), notes=tuple(notes))


def _fold(proto: onnx.ModelProto, index: ModelIndex, values: Sequence[str]) -> list[str]:
    """Compute the values that constant operators make, and store them; return their names."""
    computed = [value for value in values if not index.is_stored(value)]
    if not computed:
        return []
    places, stored = index.find_constants(computed)
    cone = onnx.ModelProto(ir_version=proto.ir_version)
    cone.opset_import.extend(proto.opset_import)
    cone.functions.extend(proto.functions)
    cone.graph.name = "constants"
    cone.graph.node.extend(index.nodes[place] for place in index.order if place in places)
    cone.graph.initializer.extend(index.initializers[name] for name in sorted(stored))
    cone.graph.output.extend(onnx.ValueInfoProto(name=name) for name in computed)
    with open_session(cone.SerializeToString(), EngineOptions(threads=1)) as session:
        made = session.run({})
    for name in computed:
        proto.graph.initializer.append(numpy_helper.from_array(np.asarray(made[name]), name))
    return computed


def _choose_names(
    proto: onnx.ModelProto,
    source: str,
    operators: tuple[str, ...],
    is_read_elsewhere: bool,  # noqa: FBT001 - one of what is known of the value
    tied: Tied,
) -> dict[str, tuple[str, ...]]:
    """Map the names of a value's variables to the operators that read each.

    The first keeps the value's name, unless operators that are not trained read it as well.
    """
    if tied == "keep" or (len(operators) == 1 and not is_read_elsewhere):
        return {source: operators}
    taken = {tensor.name for tensor in proto.graph.initializer}
    names: dict[str, tuple[str, ...]] = {}
    for place, operator in enumerate(operators):
        name = f"{source}@{operator}" if place or is_read_elsewhere else source
        while name in taken and name != source:
            name += "_"
        names[name] = (operator,)
    return names


def _is_read_elsewhere(
    index: ModelIndex, value: str, operators: Sequence[str], folded: Sequence[str]
) -> bool:
    """Tell whether operators read a value in which it is not trained."""
    gone, _ = index.find_constants(folded)
    return any(
        value in reads and node.name not in operators and position not in gone
        for position, (node, reads) in enumerate(zip(index.nodes, index.reads, strict=True))
    )


def _word_folded(values: Sequence[str]) -> str:
    """Say that weights are trained as they come out of constant operators."""
    return (
        f"Weights that the model computes from constants are trained as computed: {len(values)}"
        f" ({', '.join(values[:3])}{', ...' if len(values) > 3 else ''})."  # noqa: PLR2004 - as many as are shown
    )


def _word_fixed(values: Sequence[str]) -> str:
    """Say which constants are not taken for weights."""
    return (
        "Constants that are computed, or hold huge numbers, are taken to be tables and masks and"
        f" stay as they are: {len(values)} ({', '.join(values[:3])}"
        f"{', ...' if len(values) > 3 else ''})."  # noqa: PLR2004 - as many as are shown
    )


def _word_shared(names: Sequence[str], tied: Tied) -> str:
    """Say what becomes of initializers that several operators read."""
    shown = f"{', '.join(names[:3])}{', ...' if len(names) > 3 else ''}"  # noqa: PLR2004 - as many as are shown
    if tied == "keep":
        return (
            f"Initializers that several operators read are trained as one each: {len(names)}"
            f" ({shown}). If an exporter merged equal ones, --tied untie keeps them apart."
        )
    return (
        f"Initializers that several operators read are trained apart, a copy for each:"
        f" {len(names)} ({shown}). If the architecture ties them, give --tied keep."
    )
