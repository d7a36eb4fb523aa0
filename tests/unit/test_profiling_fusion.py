"""Every fusion of onnxruntime that facts were collected on, as executed graphs made by hand."""

from collections.abc import Sequence

from onnxsplit.graph import OperatorGraph
from onnxsplit.profiling.executed import ExecutedNode
from onnxsplit.profiling.fusion import FusedGraph, group_operators
from tests.executed_graphs import check_groups, members, model, node


def group(graph: OperatorGraph, executed: Sequence[ExecutedNode]) -> FusedGraph:
    fused = group_operators(graph, executed)
    check_groups(graph, fused, len(executed))
    return fused


def test_a_convolution_takes_its_normalisation_and_activation() -> None:
    graph = model("conv Conv x -> c\nnorm BatchNormalization c -> n\nrelu Relu n -> y")
    fused = group(graph, [node("conv", "FusedConv", "x w b", "y", activation="Relu")])
    assert members(fused) == ["conv norm relu"]
    assert fused.groups[0].nodes == (0,)


def test_a_blocked_convolution_is_known_by_the_output_it_replaces() -> None:
    graph = model(
        "conv Conv x -> c\nrelu Relu c -> r\nnext Conv r -> d\nact Relu d -> e\nlast Flatten e -> y"
    )
    executed = [
        node("r_nchwc", "nchwc.Conv", "x w", "t0", activation="Relu"),
        node("d_nchwc", "nchwc.Conv", "t0 w", "t1", activation="Relu"),
        node("ReorderOutput", "nchwc.ReorderOutput", "t1", "e"),
        node("last", "Flatten", "e", "y"),
    ]
    fused = group(graph, executed)
    assert members(fused) == ["conv relu", "next act", "last"]
    assert fused.aliases["t0"] == "r"
    assert fused.groups[1].layout == (2,)


def test_a_blocked_convolution_that_adds_is_followed_over_addition_and_activation() -> None:
    graph = model(
        "stem Conv x -> s\nconv Conv s -> c\nadd Add c s -> a\nrelu Relu a -> r\nhead Conv r -> y"
    )
    executed = [
        node("s_nchwc", "nchwc.Conv", "x w", "t0"),
        node("c_nchwc", "nchwc.Conv", "t0 w", "t1", addend="t0", activation="Relu"),
        node("y_nchwc", "nchwc.Conv", "t1 w", "t2"),
        node("ReorderOutput", "nchwc.ReorderOutput", "t2", "y"),
    ]
    fused = group(graph, executed)
    assert members(fused) == ["stem", "conv add relu", "head"]
    assert fused.aliases["t1"] == "r"


def test_an_activation_of_several_operators_is_found_through_the_reorder_behind_it() -> None:
    graph = model(
        "conv Conv x -> c\nsig Sigmoid c -> s\nmul Mul c s -> m\n"
        "next Conv m -> d\npool Flatten d -> y"
    )
    executed = [
        node("c_nchwc", "nchwc.Conv", "x w", "t0", activation="Silu"),
        node("ReorderOutput", "nchwc.ReorderOutput", "t0", "m"),
        node("d_nchwc", "nchwc.Conv", "t0 w", "t1"),
        node("ReorderOutput_1", "nchwc.ReorderOutput", "t1", "d"),
        node("pool", "Flatten", "d", "y"),
    ]
    assert members(group(graph, executed)) == ["conv sig mul", "next", "pool"]


def test_an_activation_that_can_not_be_found_keeps_its_readers_together() -> None:
    graph = model("conv Conv x -> c\nsig Sigmoid c -> s\nmul Mul c s -> m\nnext Conv m -> y")
    executed = [
        node("c_nchwc", "nchwc.Conv", "x w", "t0", activation="Silu"),
        node("y_nchwc", "nchwc.Conv", "t0 w", "t1"),
        node("ReorderOutput", "nchwc.ReorderOutput", "t1", "y"),
    ]
    assert members(group(graph, executed)) == ["conv sig mul next"]


def test_a_normalisation_by_itself_and_a_concatenation_stay_what_they_are() -> None:
    graph = model(
        "a Conv x -> p\nb Conv x -> q\ncat Concat p q -> k\n"
        "norm BatchNormalization k -> n\nrelu Relu n -> y"
    )
    executed = [
        node("p_nchwc", "nchwc.Conv", "x w", "t0"),
        node("q_nchwc", "nchwc.Conv", "x w", "t1"),
        node("cat", "Concat", "t0 t1", "t2"),
        node("n_bn_nchwc", "nchwc.Conv", "t2 w", "t3", activation="Relu"),
        node("ReorderOutput", "nchwc.ReorderOutput", "t3", "y"),
    ]
    assert members(group(graph, executed)) == ["a", "b", "cat", "norm relu"]


def test_layout_before_a_kernel_is_its_readers_and_behind_it_its_makers() -> None:
    graph = model("pool MaxPool x -> p\nconv Conv p -> c\nsoft Softmax c -> y")
    executed = [
        node("pool", "MaxPool", "x", "p"),
        node("ReorderInput", "nchwc.ReorderInput", "p", "t0"),
        node("c_nchwc", "nchwc.Conv", "t0 w", "t1"),
        node("ReorderOutput", "nchwc.ReorderOutput", "t1", "c"),
        node("soft", "Softmax", "c", "y"),
    ]
    fused = group(graph, executed)
    assert [(g.operators[0], g.layout) for g in fused.groups] == [
        ("pool", ()),
        ("conv", (1, 3)),
        ("soft", ()),
    ]


def test_a_product_and_a_sum_become_one_between_two_reshapes() -> None:
    graph = model("norm Softmax x -> n\nmul MatMul n -> m\nadd Add m -> a\nrelu Relu a -> y")
    executed = [
        node("norm", "Softmax", "x", "n"),
        node("gemm_input_reshape", "Reshape", "n shape", "arg_0"),
        node("mul/MatMulAddFusion", "Gemm", "arg_0 w b", "arg_1"),
        node("gemm_output_reshape", "Reshape", "arg_1 shape", "a"),
        node("relu", "Relu", "a", "y"),
    ]
    fused = group(graph, executed)
    assert members(fused) == ["norm", "mul add", "relu"]
    assert fused.groups[1].layout == (1, 3)


def test_a_reshape_that_stands_for_one_of_the_models_does_not_lose_it() -> None:
    graph = model("mix MatMul x -> m\nflat Reshape m -> f\nmul MatMul f -> p\nadd Add p -> y")
    executed = [
        node("mix", "MatMul", "x w", "m"),
        node("flat_new_reshape", "Reshape", "m shape", "arg_0"),
        node("mul/MatMulAddFusion", "Gemm", "arg_0 w b", "arg_1"),
        node("gemm_output_reshape", "Reshape", "arg_1 shape", "y"),
    ]
    assert members(group(graph, executed)) == ["mix", "flat mul add"]


def test_a_transposition_within_a_product_belongs_to_it() -> None:
    graph = model("turn Transpose k -> t\nmul MatMul q t -> m\nscale Div m -> y", inputs="q k")
    fused = group(graph, [node("mul_FusedMatMul", "FusedMatMul", "q k", "y")])
    assert members(fused) == ["turn mul scale"]


def test_a_transposition_that_several_products_repeat_joins_none_of_them() -> None:
    graph = model(
        "turn Transpose k -> t\none MatMul q t -> y\ntwo MatMul p t -> z",
        inputs="q p k",
        outputs="y z",
    )
    executed = [
        node("one_FusedMatMul", "FusedMatMul", "q k", "y"),
        node("two_FusedMatMul", "FusedMatMul", "p k", "z"),
    ]
    assert members(group(graph, executed)) == ["turn", "one", "two"]


def test_an_addition_that_several_kernels_repeat_joins_them() -> None:
    graph = model("sum Add x -> s\none Relu s -> y\ntwo Tanh s -> z", inputs="x", outputs="y z")
    executed = [node("f", "Fused", "x", "y"), node("g", "Fused", "x", "z")]
    assert members(group(graph, executed)) == ["sum one two"]


def test_layer_normalisation_with_its_skip_takes_all_its_operators() -> None:
    graph = model(
        """
        dense MatMul x -> d
        add Add d x -> s
        mean ReduceMean s -> m
        sub Sub s m -> u
        pow Pow u -> q
        var ReduceMean q -> v
        eps Add v -> e
        sqrt Sqrt e -> r
        div Div u r -> n
        mul Mul n -> g
        bias Add g -> y
        """
    )
    executed = [
        node("dense", "MatMul", "x w", "d"),
        node("SkipLayerNormalization", "SkipLayerNormalization", "x d scale shift", "y"),
    ]
    fused = group(graph, executed)
    assert members(fused) == ["dense", "add mean sub pow var eps sqrt div mul bias"]


def test_a_skip_that_is_read_again_is_another_output_of_the_same_kernel() -> None:
    graph = model(
        "add Add x z -> s\nnorm LayerNormalization s -> n\nlast Add n s -> y", inputs="x z"
    )
    executed = [
        node("skip", "SkipLayerNormalization", "x z g", "n s"),
        node("last", "Add", "n s", "y"),
    ]
    assert members(group(graph, executed)) == ["add norm", "last"]


def test_gelu_and_attention_take_what_they_stand_for() -> None:
    gelu = model(
        "div Div x -> d\nerf Erf d -> e\nadd Add e -> a\nmul Mul x a -> m\nhalf Mul m -> y"
    )
    assert members(group(gelu, [node("Gelu", "Gelu", "x", "y")])) == ["div erf add mul half"]
    attention = model(
        """
        q MatMul x -> q0
        k MatMul x -> k0
        v MatMul x -> v0
        turn Transpose k0 -> k1
        scores MatMul q0 k1 -> s
        mask Add s bias -> t
        soft Softmax t -> p
        mix MatMul p v0 -> y
        """,
        inputs="x bias",
    )
    executed = [
        node("MaskCast", "Cast", "bias", "bias_int"),
        node("Attention", "Attention", "x w b bias_int", "y"),
    ]
    fused = group(attention, executed)
    assert members(fused) == ["q k v turn scores mask soft mix"]
    assert fused.groups[0].layout == (0,)


def test_what_was_folded_or_left_out_costs_nothing() -> None:
    graph = model("shape Shape x -> s\ndrop Dropout x -> d\nuse Reshape d s -> r\nrelu Relu r -> y")
    # The shape is an initializer of the executed graph now, and the dropout is gone.
    executed = [node("use", "Reshape", "x s", "r"), node("relu", "Relu", "r", "y")]
    fused = group(graph, executed)
    assert members(fused) == ["shape", "drop use", "relu"]
    assert [bool(g.nodes) for g in fused.groups] == [False, True, True]


def test_inserted_casts_belong_to_the_operator_that_lacks_a_kernel() -> None:
    graph = model("conv Conv x -> c\nrelu Relu c -> y")
    executed = [
        node("InsertedCast_x", "Cast", "x", "x32"),
        node("conv", "Conv", "x32 w", "c32"),
        node("relu", "Relu", "c32", "y32"),
        node("InsertedCast_y", "Cast", "y32", "y"),
    ]
    fused = group(graph, executed)
    assert members(fused) == ["conv", "relu"]
    assert [(g.nodes, g.layout) for g in fused.groups] == [((1,), (0,)), ((2,), (3,))]


def test_quantised_kernels_take_the_quantisers_around_them() -> None:
    graph = model(
        """
        q0 QuantizeLinear x -> xq
        d0 DequantizeLinear xq -> xd
        conv Conv xd -> c
        q1 QuantizeLinear c -> cq
        d1 DequantizeLinear cq -> cd
        left Conv cd -> l
        ql QuantizeLinear l -> lq
        right Conv cd -> r
        qr QuantizeLinear r -> rq
        dl DequantizeLinear lq -> ld
        dr DequantizeLinear rq -> rd
        add Add ld rd -> y
        """
    )
    executed = [
        node("q0", "QuantizeLinear", "x s z", "xq"),
        node("conv_quant", "QLinearConv", "xq s z", "cq"),
        node("left_quant", "QLinearConv", "cq s z", "lq"),
        node("right_quant", "QLinearConv", "cq s z", "rq"),
        node("dl", "DequantizeLinear", "lq s z", "ld"),
        node("dr", "DequantizeLinear", "rq s z", "rd"),
        node("add", "Add", "ld rd", "y"),
    ]
    assert members(group(graph, executed)) == [
        *("q0", "d0 conv q1", "d1", "left ql", "right qr", "dl", "dr", "add"),
    ]


def test_the_body_of_an_inlined_function_belongs_to_its_call() -> None:
    graph = model("call_1 Block x -> u\nabs Abs u -> a\ncall_2 Block a -> y")
    executed = [
        node("_inl_first", "Relu", "x", "_inl_t"),
        node("abs", "Neg", "_inl_t", "u"),  # an inner node may repeat a name of the top graph
        node("abs_2", "Abs", "u", "a"),
        node("_inl_first_2", "Relu", "a", "_inl_t2"),
        node("_inl_second_2", "Neg", "_inl_t2", "y"),
    ]
    fused = group(graph, executed)
    assert members(fused) == ["call_1", "abs", "call_2"]
    assert [g.nodes for g in fused.groups] == [(0, 1), (2,), (3, 4)]


def test_groups_that_would_need_each_other_are_one() -> None:
    graph = model("a Relu x -> p\nb Tanh p -> q\nc Add p q -> y", inputs="x", outputs="y")
    # One kernel is said to do the first and the last operator, and another one that in between.
    executed = [
        node("ac", "Fused", "x q", "inner"),
        node("b", "Tanh", "p", "q"),
        node("ac_2", "Fused", "inner", "p y"),
    ]
    assert members(group(graph, executed)) == ["a b c"]


def test_nodes_that_work_on_constants_alone_are_strays() -> None:
    graph = model("relu Relu x -> y")
    executed = [
        node("fill", "ConstantOfShape", "shape", "zeros"),
        node("relu", "Relu", "x", "y"),
    ]
    fused = group(graph, executed)
    assert fused.strays == (0,)


def test_copies_between_host_and_device_belong_to_their_readers_and_makers() -> None:
    graph = model("conv Conv x -> c\nsort NonZero c -> y")
    executed = [
        node("conv", "Conv", "x w", "c"),
        node("Memcpy", "MemcpyToHost", "c", "c_host"),
        node("sort", "NonZero", "c_host", "y"),
    ]
    fused = group(graph, executed)
    assert members(fused) == ["conv", "sort"]
    assert fused.groups[1].layout == (1,)


def test_a_graph_of_nothing_but_unknown_nodes_is_one_group_and_no_error() -> None:
    graph = model("a Relu x -> p\nb Tanh p -> y")
    fused = group(graph, [node("", "Compiled", "input0", "y"), node("", "Odd", "y", "")])
    assert members(fused) == ["a b"]
