"""Scenario files: what is wrong is told with line and key."""

import random
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from onnxsplit.errors import UsageError
from onnxsplit.objectives import TrainingDelay
from onnxsplit.simulation.mobility import Static
from onnxsplit.simulation.radio import Radio
from onnxsplit.simulation.scenario_files import read_scenario
from onnxsplit.simulation.sections import open_document
from onnxsplit.simulation.toml_lines import KeyPath, index_lines
from onnxsplit.simulation.traces import Trace

GOOD = """\
schema = "onnxsplit.scenario/1"
seeds = 3
[model]
file = "net.onnx"
profiled_on = "jetson-nano"
dims = {batch = 4}
[objective]
kind = "training"
iterations = 7
[server]
board = "t4"
[[devices]]
name = "a"
count = 2
speed = 0.5
[[devices]]
name = "b"
board = "raspberry-pi-4"
[time]
epochs = 9
interval = "2 s"
per_epoch = 3
[channel]
band = "n1"
bandwidth = "10 MHz"
device_power = "0.2 W"
extra_loss = "-3 dB"
[mobility]
kind = "static"
side = "0.1 km"
"""


def write(folder: Path, text: str) -> Path:
    (folder / "net.onnx").write_bytes(b"")
    (folder / "log.csv").write_text("seconds,up_bytes_per_second,down_bytes_per_second\n0,1,2\n")
    path = folder / "scenario.toml"
    path.write_text(text)
    return path


def test_a_scenario_is_what_its_file_says(tmp_path: Path) -> None:
    scenario = read_scenario(write(tmp_path, GOOD))
    assert scenario.name == "scenario"
    assert scenario.seeds == (0, 1, 2)
    assert scenario.model.file == tmp_path / "net.onnx"
    assert scenario.model.profiled_on == 2 * 128 * 921e6
    assert scenario.model.dims == {"batch": 4}
    assert scenario.objective == TrainingDelay(iterations=7)
    assert [(group.machine.name, group.count) for group in scenario.devices] == [("a", 2), ("b", 1)]
    assert scenario.devices[0].machine.speed == 0.5
    assert scenario.devices[1].machine.board is not None
    assert scenario.timeline.per_epoch == scenario.count == 3
    assert isinstance(scenario.network, Radio)
    assert scenario.network.band.bandwidth_hertz == 10e6
    assert scenario.network.band.device_power_dbm == pytest.approx(23.0103, abs=1e-4)
    assert scenario.network.extra_loss_db == -3.0
    assert scenario.mobility == Static(side_metres=100.0)
    assert "ours-edge" not in scenario.policies


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('band = "n1"', 'band = "n2"', "line 24, channel.band: 'n2' is none of n1, n78, n257"),
        ('bandwidth = "10 MHz"', 'bandwith = "10 MHz"', "line 25, channel.bandwith: there is no"),
        ('"10 MHz"', '"10"', "line 25, channel.bandwidth: The frequency '10' has no unit"),
        ('"10 MHz"', "10", "line 25, channel.bandwidth: 10 must be text, in quotes"),
        ('"0.2 W"', '"loud"', "line 26, channel.device_power: 'loud' is no power"),
        ("count = 2", "count = 0", "line 14, devices[0].count: 0 is too small"),
        ("count = 2", "count = true", "line 14, devices[0].count: True must be a whole number"),
        ('name = "b"', 'name = "a"', "line 17, devices[1].name: 'a' is the name of other devices"),
        ('board = "raspberry-pi-4"', 'board = "pi"', "line 18, devices[1].board: 'pi' is none of"),
        ("speed = 0.5", "speed = -1", "line 15, devices[0].speed: -1 must be positive"),
        ("speed = 0.5", 'speed = 1\nboard = "t4"', "give a board or a speed, not both"),
        ('kind = "training"', 'kind = "sleep"', "line 8, objective.kind: 'sleep' is none of"),
        ("iterations = 7", "iterations = 0", "line 9, objective.iterations: 0 is too small"),
        ('file = "net.onnx"', 'file = "no.onnx"', "line 4, model.file: there is no file"),
        ("dims = {batch = 4}", 'dims = {batch = "x"}', "line 6, model.dims.batch: 'x' must be"),
        ('profiled_on = "jetson-nano"', 'profiled_on = "5"', "line 5, model.profiled_on: The comp"),
        ('interval = "2 s"', 'interval = "0 s"', "line 21, time.interval: epochs need some time"),
        ('side = "0.1 km"', 'side = "0 m"', "line 30, mobility.side: 0 m is nothing"),
        ('side = "0.1 km"', 'side = "9 km"', "mobility.side: 9000 m is nothing, or wider than"),
        ('kind = "static"', 'fastest = "9e6 m/s"', "fastest: devices would come 1.8e+07 m"),
        ('interval = "2 s"', 'interval = "1e400 s"', "line 21, time.interval: '1e400 s' is more"),
        ('"0.2 W"', '"5000 dBm"', "line 26, channel.device_power: '5000 dBm' is beyond 200 dB"),
        ('"10 MHz"', '"1e9 GHz"', "line 25, channel.bandwidth: The bandwidth '1e9 GHz' is no band"),
        ('band = "n1"', 'band = "n1"\nattenuation = 2', "channel.attenuation: 2 is more than"),
        ('name = "b"', 'name = "server"', "line 17, devices[1].name: 'server' can't be a device's"),
        ("seeds = 3", "seeds = 3\nsheds = 4", "line 3, sheds: there is no such key here. Did you"),
        ("seeds = 3", 'policies = ["ours-edge"]', "line 2, policies: 'ours-edge' needs an [edge]"),
        ("seeds = 3", 'policies = ["best"]', "line 2, policies: 'best' is none of ours"),
        ("seeds = 3", "policies = [1]", "line 2, policies: [1] must be a list of texts"),
        ('name = "b"\n', "", "line 16, devices[1]: the key 'name' is missing"),
        ("onnxsplit.scenario/1", "onnxsplit.scenario/9", "line 1, schema: 'onnxsplit.scenario/9'"),
        ("per_epoch = 3", "per_epoch = 4", "4 devices are to be served in each epoch"),
        ("[mobility]", '[trace]\nfile = "x"\n[mobility]', "line 23, channel: a trace takes its"),
        ("seeds = 3", "seeds = ", "at line 2"),
    ],
)
def test_a_bad_scenario_is_refused_with_line_and_key(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    assert GOOD.count(old) == 1
    with pytest.raises(UsageError) as caught:
        read_scenario(write(tmp_path, GOOD.replace(old, new)))
    assert message in str(caught.value)


def test_training_has_no_edge_and_sends_no_compressed_inputs(tmp_path: Path) -> None:
    edge = '[edge]\nuplink = "1 Gbit/s"\ndownlink = "1 Gbit/s"\nround_trip = "1 ms"\n'
    with pytest.raises(UsageError, match=r"line 32, edge: training is planned for"):
        read_scenario(write(tmp_path, GOOD + "\n" + edge))
    sent = GOOD.replace("dims = {batch = 4}", 'input_bytes = {x = "1 kB"}')
    with pytest.raises(UsageError, match=r"line 6, model.input_bytes: it is priced for latency"):
        read_scenario(write(tmp_path, sent))


def test_keys_can_be_replaced_and_the_message_says_so(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD)
    changed = read_scenario(path, ["channel.band=n257", "time.epochs=4", "devices.0.count=5"])
    assert isinstance(changed.network, Radio)
    assert changed.network.band.name == "n257"
    assert (changed.timeline.epochs, changed.devices[0].count) == (4, 5)
    for wrong, message in (
        ("channel.band=n3", "--set, channel.band: 'n3' is none of"),
        ("channel.bend=n1", "--set, channel.bend: there is no such key"),
        ("channel", "write a dotted key and its value"),
        ("devices.7.count=1", "the scenario has no devices.7.count"),
        ("devices.0=1", "the scenario has no devices.0"),
        ("seeds.x=1", "the scenario has no seeds.x"),
    ):
        with pytest.raises(UsageError) as caught:
            read_scenario(path, [wrong])
        assert message in str(caught.value)


def test_a_trace_takes_the_channels_place(tmp_path: Path) -> None:
    text = GOOD[: GOOD.index("[channel]")] + '[trace]\nfile = "log.csv"\nlayout = "rates"\n'
    scenario = read_scenario(write(tmp_path, text))
    assert isinstance(scenario.network, Trace)
    assert scenario.mobility is None
    (tmp_path / "log.csv").write_text("seconds\n1\n")
    with pytest.raises(UsageError, match=r"line 24, trace.file: The trace .* has no column"):
        read_scenario(tmp_path / "scenario.toml")


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="can't be read: No such file"):
        read_scenario(tmp_path / "none.toml")
    (tmp_path / "latin.toml").write_bytes(b"a = '\xe9'")
    with pytest.raises(UsageError, match="it is not UTF-8"):
        open_document(tmp_path / "latin.toml")


TRICKY = '''\
# [not.a.table]
a = 1 # = 2
"b # c" = "x # \\" ["
d.e."f.g" = [ # one
  1, # ]
  2,
]
h = """
[no]
i = 1 \\""" still"""
j = \'\'\'
k = 1\'\'\'
l = 'C:\\'
  [m . "n]"] # table
o = {p = 1, q = "}"}
[[r]]
s = 1
[[ r ]]
s = 2
[r.t]
u = 1
[[r.v]]
w = 1
[[r.v]]
w = 2
'''


def test_lines_are_found_in_tricky_texts() -> None:
    lines = index_lines(TRICKY)
    assert lines == {
        ("a",): 2,
        ("b # c",): 3,
        ("d",): 4,
        ("d", "e"): 4,
        ("d", "e", "f.g"): 4,
        ("h",): 8,
        ("j",): 11,
        ("l",): 13,
        ("m", "n]"): 14,
        ("m", "n]", "o"): 15,
        ("r",): 16,
        ("r", 0): 16,
        ("r", 0, "s"): 17,
        ("r", 1): 18,
        ("r", 1, "s"): 19,
        ("r", 1, "t"): 20,
        ("r", 1, "t", "u"): 21,
        ("r", 1, "v"): 22,
        ("r", 1, "v", 0): 22,
        ("r", 1, "v", 0, "w"): 23,
        ("r", 1, "v", 1): 24,
        ("r", 1, "v", 1, "w"): 25,
    }


VALUES = ("1", '"a # b"', "'[x]'", "[1,\n # ]\n2]", '"""\nk = 1\n"""', "1979-05-27", "true")


def _draw_text(rng: random.Random) -> tuple[str, list[str]]:
    """Draw a document; return it with the marks that its values bear, line by line."""
    parts: list[str] = []
    names = iter(f"key{i}" for i in range(1000))
    parts += [f"{next(names)} = {rng.choice(VALUES)}" for _ in range(rng.randint(0, 3))]
    for _ in range(rng.randint(0, 5)):
        parts.append(rng.choice(["", "# [x]"]))
        parts.append(rng.choice([f"[{next(names)}]", "[[list]]", f"[{next(names)}.'in ner']"]))
        for _ in range(rng.randint(0, 3)):
            key = rng.choice([next(names), f"{next(names)}.x", f'"{next(names)} ="'])
            parts.append(f"  {key}  =  {rng.choice(VALUES)}  # note")
    text = "\n".join(parts) + "\n"
    return text, text.split("\n")


def _list_paths(value: Any, path: KeyPath = ()) -> Iterator[KeyPath]:  # noqa: ANN401 - TOML can be anything
    """List every key of a parsed document; values of one line are not entered."""
    if path:
        yield path
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _list_paths(inner, (*path, key))
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        for place, inner in enumerate(value):
            yield from _list_paths(inner, (*path, place))


def test_every_key_that_the_parser_finds_has_its_line() -> None:
    keys = 0
    for seed in range(300):
        text, source = _draw_text(random.Random(seed))
        lines = index_lines(text)
        for path in _list_paths(tomllib.loads(text)):
            assert path in lines or isinstance(path[-1], str), f"seed {seed}: {path}"
            if path not in lines:  # a table that only a longer header names
                assert any(known[: len(path)] == path for known in lines), f"seed {seed}: {path}"
                continue
            name = str(path[-1] if isinstance(path[-1], str) else path[-2])
            assert name in source[lines[path] - 1], f"seed {seed}: {path}"
            keys += 1
    assert keys > 1500
