import platform

from onnxsplit.engines.environment import (
    count_cores,
    describe_machine,
    find_cores,
    read_processor,
)


def block(processor: int, socket: int, core: int) -> str:
    return (
        f"processor\t: {processor}\nmodel name\t: Some CPU @ 2 GHz\n"
        f"physical id\t: {socket}\ncore id\t\t: {core}\nflags\t\t: a b\n"
    )


TWO_THREADS_EACH = "\n".join(
    [block(0, 0, 0), block(1, 0, 1), block(2, 1, 0), block(3, 0, 0), block(4, 0, 1), block(5, 1, 0)]
)


def test_threads_of_one_core_count_once_and_sockets_are_told_apart() -> None:
    assert find_cores(TWO_THREADS_EACH, set(range(6))) == {("0", "0"), ("0", "1"), ("1", "0")}


def test_cores_that_may_not_be_used_do_not_count() -> None:
    assert find_cores(TWO_THREADS_EACH, {1, 4}) == {("0", "1")}


def test_a_description_without_cores_tells_none() -> None:
    arm = "processor\t: 0\nBogoMIPS\t: 108.00\n\nprocessor\t: 1\n\nModel\t\t: Some Board\n"
    assert find_cores(arm, {0, 1}) == set()
    assert find_cores("", {0}) == set()


def test_this_machine_has_a_processor_and_cores_but_no_name() -> None:
    assert read_processor()
    assert count_cores() >= 1
    machine = describe_machine()
    assert set(machine) == {"cpu", "machine", "os"}
    assert platform.node() not in machine.values()
