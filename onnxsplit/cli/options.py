"""One annotated alias for each argument and option; commands share them.

The long flag of an option is its name everywhere: ``--pin-device`` is the key ``pin-device`` in a
configuration file and the variable ``ONNXSPLIT_PIN_DEVICE`` in the environment.
"""

from pathlib import Path
from typing import Annotated

import typer

from onnxsplit.cli.arguments import whole_number
from onnxsplit.cli.configuration import load_defaults
from onnxsplit.cli.formats import (
    BoundaryName,
    CertifyName,
    LabelPlace,
    MethodName,
    ObjectiveName,
    OutputFormat,
)

DEFAULT_DEVICE = "local:0.05"
DEFAULT_SERVER = "local"
DEFAULT_LINK = "wifi"
DEFAULT_STATE = "auto"
DEFAULT_MIN_SHARE = "5%"
DEFAULT_MAX_DRIFT = "0.01"
DEFAULT_BUDGET = "10s"
DEFAULT_BATCHES = 2
DEFAULT_ALTERNATIVES = 3

Model = Annotated[Path, typer.Argument(metavar="MODEL", help="The ONNX model.")]
ModelToProfile = Annotated[Path | None, typer.Argument(metavar="MODEL", help="The ONNX model.")]
Folder = Annotated[Path, typer.Argument(metavar="DIR", help="A folder written by `cut`.")]

OutputFolder = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        metavar="DIR",
        help="Folder to write; default: <model>.split here.",
    ),
]
OutputProfile = Annotated[
    Path | None,
    typer.Option("--output", "-o", metavar="FILE", help="Profile to write (JSON)."),
]
OutputModel = Annotated[
    Path, typer.Option("--output", "-o", metavar="FILE", help="ONNX model to write.")
]
Force = Annotated[bool, typer.Option("--force", help="Replace what is there, whoever wrote it.")]

Device = Annotated[
    str,
    typer.Option(
        "--device",
        metavar="PROFILE|local[:SPEED]",
        help="The device: a profile file, this machine, or this machine SPEED times as fast.",
    ),
]
Server = Annotated[
    str,
    typer.Option("--server", metavar="PROFILE|local[:SPEED]", help="The server, likewise."),
]
Link = Annotated[
    list[str] | None,
    typer.Option(
        "--link",
        metavar="PRESET|RATE|FILE",
        help="3g, 4g, 5g, wifi or ethernet; a rate both ways ('20 Mbit/s'); or a link file."
        " Repeated with --tier, the device's first; default: wifi.",
    ),
]
Tiers = Annotated[
    list[str] | None,
    typer.Option(
        "--tier",
        metavar="NAME=PROFILE|local[:SPEED]",
        help="A tier of a chain, the device side first, in the place of --device and --server;"
        " repeatable.",
    ),
]
Uplink = Annotated[
    str | None,
    typer.Option("--uplink", metavar="RATE", help="Replace the link's rate to the server."),
]
Downlink = Annotated[
    str | None,
    typer.Option("--downlink", metavar="RATE", help="Replace the link's rate to the device."),
]
RoundTrip = Annotated[
    str | None,
    typer.Option("--rtt", metavar="DURATION", help="Replace the link's round trip ('15 ms')."),
]

Costs = Annotated[
    Path | None,
    typer.Option(
        "--costs",
        metavar="FILE.csv",
        help="Every operator's seconds on both tiers (operator,device_seconds,server_seconds).",
    ),
]
DeviceScale = Annotated[
    Path | None,
    typer.Option(
        "--device-scale",
        metavar="FILE",
        help="How many times as long each type takes on the device (op_type,factor; * for the"
        " rest).",
    ),
]
ServerScale = Annotated[
    Path | None,
    typer.Option("--server-scale", metavar="FILE", help="The same for the server."),
]

Shapes = Annotated[
    list[str] | None,
    typer.Option(
        "--shape", metavar="NAME=DIMS", help="Shape of an input, as x=1,3,224,224; repeatable."
    ),
]
Dims = Annotated[
    list[str] | None,
    typer.Option("--dim", metavar="NAME=N", help="Size of a symbolic dim, as batch=1; repeatable."),
]
Mix = Annotated[
    list[str] | None,
    typer.Option(
        "--mix",
        metavar="DIMS:WEIGHT",
        help="One of several shapes to plan for, and how much it counts, as seq=128:1; repeatable."
        " Profile files are then one for each, separated by commas.",
    ),
]
Inputs = Annotated[
    Path | None,
    typer.Option("--inputs", metavar="FILE.npz", help="Real inputs, one array for each by name."),
]

PinDevice = Annotated[
    list[str] | None,
    typer.Option(
        "--pin-device",
        metavar="GLOB",
        help="Keep these operators on the device: a name or op:TYPE, with * and ?; repeatable.",
    ),
]
PinServer = Annotated[
    list[str] | None,
    typer.Option(
        "--pin-server", metavar="GLOB", help="Keep these operators on the server; repeatable."
    ),
]
Pin = Annotated[
    list[str] | None,
    typer.Option(
        "--pin", metavar="TIER=GLOB", help="Keep these operators on any one tier; repeatable."
    ),
]
InputAt = Annotated[
    list[str] | None,
    typer.Option(
        "--input-at",
        metavar="NAME=TIER",
        help="Where a model input lives: device (as all do by default) or server; repeatable.",
    ),
]
OutputAt = Annotated[
    list[str] | None,
    typer.Option(
        "--output-at",
        metavar="NAME=TIER",
        help="Where a model output is wanted: device (as all are by default) or server.",
    ),
]
State = Annotated[
    list[str] | None,
    typer.Option(
        "--state",
        metavar="PAST=PRESENT",
        help="Inputs that are the last run's outputs, as 'past_*=present_*'; they stay on one tier."
        " Default: auto, by the usual names; none turns that off.",
    ),
]
CutAt = Annotated[
    list[str] | None,
    typer.Option(
        "--cut-at",
        metavar="T1,T2",
        help="Cut at exactly these tensors; repeatable; quote a name that holds a comma.",
    ),
]
Boundary = Annotated[
    BoundaryName | None,
    typer.Option(
        "--boundary",
        help="Let crossings travel as this type, or as whichever is best; default: as they are.",
    ),
]
MaxDrift = Annotated[
    str,
    typer.Option(
        "--max-drift",
        metavar="SHARE",
        help="How far outputs may drift for it, relative to their largest value.",
    ),
]
InputBytes = Annotated[
    list[str] | None,
    typer.Option(
        "--input-bytes",
        metavar="NAME=SIZE",
        help="Size of an input as users send it, as image=120kB; repeatable.",
    ),
]
Recompute = Annotated[
    bool,
    typer.Option(
        "--recompute",
        help="Let the server run cheap operators as well, rather than be sent what they make.",
    ),
]
Objective = Annotated[ObjectiveName, typer.Option("--objective", help="What is minimised.")]
Method = Annotated[
    MethodName,
    typer.Option(
        "--method",
        help="Solve on the whole graph, or on the one whose blocks are contracted; same value.",
    ),
]
Certify = Annotated[
    CertifyName,
    typer.Option(
        "--certify",
        help="Where blocks were contracted: certify on the graph solved, or on the original too.",
    ),
]
TwoDimensional = Annotated[
    bool,
    typer.Option(
        "--two-dimensional", help="Find the cuts for every pair of uplink and downlink rates too."
    ),
]
Svg = Annotated[Path | None, typer.Option("--svg", metavar="FILE", help="Draw the frontier (SVG).")]
Iterations = Annotated[
    int | None,
    typer.Option(
        "--iterations",
        parser=whole_number(1),
        metavar="N",
        help="Training: local iterations of an epoch; default: 1.",
    ),
]
Labels = Annotated[
    LabelPlace | None,
    typer.Option("--labels", help="Training: where the labels live; default: server."),
]
LabelBytes = Annotated[
    str | None,
    typer.Option(
        "--label-bytes",
        metavar="SIZE",
        help="Training: the labels of one batch ('256 B'); default: 8 bytes a row.",
    ),
]
Freeze = Annotated[
    list[str] | None,
    typer.Option(
        "--freeze",
        metavar="GLOB",
        help="Training: operators or initializers that are not trained; repeatable.",
    ),
]
MovingFrom = Annotated[
    Path | None,
    typer.Option(
        "--from",
        metavar="BUNDLE|PLAN",
        help="Count what moving from this placement costs: the weights that a tier lacks.",
    ),
]
Amortise = Annotated[
    int | None,
    typer.Option(
        "--amortise",
        parser=whole_number(1),
        metavar="N",
        help="With --from: spread that over N runs; default: 1.",
    ),
]
Alternatives = Annotated[
    int,
    typer.Option(
        "--alternatives",
        parser=whole_number(0),
        metavar="K",
        help="List the K next best splits, no two with the same crossings.",
    ),
]
Sensitivity = Annotated[
    bool,
    typer.Option(
        "--sensitivity",
        help="Tell how far each rate and speed may move before the answer changes.",
    ),
]
Explain = Annotated[
    list[str] | None,
    typer.Option(
        "--explain",
        metavar="OPERATOR",
        help="Tell why this operator is where it is; repeatable.",
    ),
]
AllowWhole = Annotated[
    bool, typer.Option("--allow-whole", help="Accept not splitting where that is faster.")
]
MinShare = Annotated[
    str,
    typer.Option(
        "--min-share",
        metavar="SHARE",
        help="Warn, and name the next cut, when one side holds less of the compute time.",
    ),
]
Measure = Annotated[
    int | None,
    typer.Option(
        "--measure",
        parser=whole_number(0),
        metavar="K",
        help="Carve the K best candidates, time them here and take the fastest;"
        " default: 3 if both tiers are this machine, else 0.",
    ),
]
StageTimes = Annotated[
    list[Path] | None,
    typer.Option(
        "--stage-times",
        metavar="FILE",
        help="Times that `profile --stages` took on a target; repeatable.",
    ),
]
RequireSplit = Annotated[
    bool, typer.Option("--require-split", help="Plan the best split that leaves no side empty.")
]
PlacementFile = Annotated[
    Path | None,
    typer.Option(
        "--placement", metavar="FILE", help="Price this placement (a plan, or its placement)."
    ),
]
Timings = Annotated[
    bool, typer.Option("--timings", help="Add to the JSON what solving or deciding took here.")
]

Tier = Annotated[
    str | None,
    typer.Option(
        "--tier",
        metavar="NAME",
        help="The tier this machine is; default: device, or all that --stages finds.",
    ),
]
Stages = Annotated[
    Path | None,
    typer.Option(
        "--stages",
        metavar="DIR",
        help="Instead of a model, time the stages of a bundle, for `cut --stage-times`.",
    ),
]
Budget = Annotated[
    str, typer.Option("--budget", metavar="DURATION", help="Longest time to measure.")
]
Trace = Annotated[
    Path | None,
    typer.Option(
        "--trace",
        metavar="FILE.json",
        help="Make the profile from what onnxruntime's profiler recorded on a target.",
    ),
]
Optimized = Annotated[
    Path | None,
    typer.Option(
        "--optimized",
        metavar="MODEL",
        help="The optimised model that the recorded session wrote; with --trace.",
    ),
]
Memory = Annotated[
    str | None,
    typer.Option(
        "--memory",
        metavar="SIZE",
        help="Memory for weights and values ('512MB'); a model that needs more is measured in"
        " segments, each loaded alone.",
    ),
]
Threads = Annotated[
    int | None,
    typer.Option(
        "--threads", parser=whole_number(1), metavar="N", help="Threads within an operator."
    ),
]
Provider = Annotated[
    str | None,
    typer.Option(
        "--provider",
        metavar="NAME",
        help="Execution provider of onnxruntime, or device of OpenVINO; default: the CPU's.",
    ),
]
ProviderOptions = Annotated[
    list[str] | None,
    typer.Option(
        "--provider-option",
        metavar="KEY=VALUE",
        help="Option of the execution provider, as device_id=0; repeatable.",
    ),
]
IdleGap = Annotated[
    str | None,
    typer.Option(
        "--idle-gap",
        metavar="DURATION",
        help="Also time runs after pauses like this one, as 200ms.",
    ),
]
NoCache = Annotated[
    bool, typer.Option("--no-cache", help="Measure anew and leave the profile cache alone.")
]

NoVerify = Annotated[
    bool, typer.Option("--no-verify", help="Do not run the stages against the whole model.")
]
WholeModel = Annotated[
    Path | None,
    typer.Option("--model", metavar="MODEL", help="The whole model; default: the merged stages."),
]
Batches = Annotated[
    int,
    typer.Option(
        "--batches", parser=whole_number(1), metavar="N", help="Sets of inputs to compare on."
    ),
]
Seed = Annotated[
    int, typer.Option("--seed", parser=whole_number(0), metavar="N", help="Seed of drawn inputs.")
]

Format = Annotated[OutputFormat, typer.Option("--format", help="How the result is printed.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress on stderr.")]
Debug = Annotated[bool, typer.Option("--debug", help="Print the traceback of an unexpected error.")]
Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        is_eager=True,
        callback=load_defaults,
        help="Configuration; default: onnxsplit.toml, else pyproject.toml, of this folder.",
    ),
]
