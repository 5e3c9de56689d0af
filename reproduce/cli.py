"""The command line: a subcommand for each stage of `dvc.yaml`, and some that choose, compare and convert."""

import argparse
import importlib
import os
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_STAGES = {
    "validate": "read every config that the pipeline will use",
    "fetch": "get the images and labels of an experiment, and the authors' network if it is asked for",
    "pairs": "choose the images that T learns from, and the held-out pairs",
    "first_stage": "provide the network that is interpreted, and the judge: shipped, trained or official",
    "encode": "compute z = E(x) of all images",
    "dimensions": "estimate the size of each factor",
    "train": "train T on pairs of latents",
    "evaluate": "measure T on held-out images",
    "figures": "draw the figures of one run, and copy its numbers to results/",
    "report": "make the tables and index.html from all runs of a profile",
}
_OF_A_RUN = {"dimensions", "train", "evaluate", "figures"}
_IN_PROCESSES = {"first_stage", "train"}  # several processes can share these
_TORCHRUN = "TORCHELASTIC_RUN_ID"  # torchrun sets it in what it starts


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="reproduce",
        description="Run a stage of dvc.yaml (`dvc repro` runs all that are needed), or choose, compare and convert.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, text in _STAGES.items():
        command = commands.add_parser(name, help=text, description=text)
        if name != "validate":
            command.add_argument("--profile", required=True, help="a folder of paper_configs/")
        if name not in ("validate", "report"):
            command.add_argument("--experiment", required=True, help="a file of that folder, without .yaml")
        if name in _OF_A_RUN:
            text = "an entry of paper_configs/variants.yaml; with -seed1 and so on for a further seed"
            command.add_argument("--variant", required=True, help=text)
    _add_others(commands)
    return parser


def _add_others(commands: Any) -> None:
    select = commands.add_parser("select", help="choose what `dvc repro` runs")
    select.add_argument("profile", help="a folder of paper_configs/")
    select.add_argument(
        "experiments", nargs="*", metavar="EXPERIMENT", help="default: all of the profile; name them before the options"
    )
    select.add_argument("--variants", nargs="+", default=(), metavar="VARIANT", help="default: the paper's three")
    select.add_argument("--seeds", nargs="+", type=int, default=(0,), metavar="SEED", help="of T; default: 0")
    select.add_argument("--add", action="store_true", help="keep what is selected already")
    _add_new(commands)
    diff = commands.add_parser("diff", help="show every number that differs between two variants")
    diff.add_argument("variant_a")
    diff.add_argument("variant_b")
    diff.add_argument("--profile", default="embedded", help="default: embedded")
    diff.add_argument("--experiment", help="one experiment; default: all")
    diff.add_argument("--all", action="store_true", dest="everything", help="show the numbers that are the same, too")
    diff.add_argument("--format", choices=("text", "csv", "json"), default="text")
    check = commands.add_parser(
        "check", help="compare the results with the committed ones; exit code 1 if one is outside its tolerance"
    )
    check.add_argument("--profile", default="embedded", help="default: embedded")
    earlier = check.add_mutually_exclusive_group()
    earlier.add_argument("--revision", default="HEAD", help="the Git revision to compare with; default: HEAD")
    earlier.add_argument("--against", type=Path, help="a folder like results/embedded to compare with instead")
    convert = commands.add_parser("convert-official", help="convert a checkpoint of the official code to safetensors")
    convert.add_argument("checkpoint", type=Path, metavar="CHECKPOINT")
    convert.add_argument("--kind", required=True, choices=("autoencoder", "classifier", "flow"))
    convert.add_argument("out", type=Path, metavar="OUT.safetensors", help="a file that does not exist yet")


def _add_new(commands: Any) -> None:
    new = commands.add_parser("new", help="write the config of an experiment on your own network and images")
    new.add_argument("name", help="the experiment's name: paper_configs/own/NAME.yaml")
    new.add_argument("--network", required=True, help="a function that returns it, as package.module:function")
    new.add_argument("--layer", required=True, help="the layer whose output T interprets, as in named_modules()")
    new.add_argument(
        "--images",
        required=True,
        help="a folder with one folder of images for each class; paths begin at the project's folder",
    )
    new.add_argument("--labels", help="a CSV file in that folder, in place of folders: image, concept, concept, …")
    new.add_argument("--weights", default="factory", help="a file with the network's state dict")
    new.add_argument("--argument", action="append", default=[], metavar="KEY=VALUE", help="of the function; repeatable")
    new.add_argument("--image-size", type=int, default=64, help="the side of the network's input; default: 64")
    new.add_argument("--mean", nargs="+", type=float, help="of pixels from 0 to 1; default: ImageNet's")
    new.add_argument("--std", nargs="+", type=float, help="of pixels from 0 to 1; default: ImageNet's")
    new.add_argument("--layout", choices=("channels_first", "channels_last", "tokens"), default="channels_first")
    new.add_argument("--layers", nargs="+", help="those whose dimensions are shown; default: the layer alone")


def _run(command: str, arguments: dict[str, Any], argv: Sequence[str]) -> int:
    from reproduce.errors import UserError
    from reproduce.paths import ROOT, results

    if command == "convert-official":
        from reproduce.official.convert import convert_official

        if (out := arguments["out"]).exists():
            raise UserError(f"{out} exists already: delete it, or name another file")
        convert_official(**arguments)
        return 0
    if not (ROOT / "dvc.yaml").is_file():
        raise UserError("this command works in a checkout of the project (a folder with dvc.yaml): change to it first")
    if (against := arguments.get("against")) is not None:
        arguments["against"] = against.absolute()
    os.chdir(ROOT)  # so that relative paths in configs, and those in messages, begin at the checkout
    if command == "diff":
        from reproduce.report.diff import main_diff

        print(main_diff(results_dir=results(arguments.pop("profile")), **arguments), end="")
    elif command == "check":
        from reproduce.report.check import main_check

        text, within = main_check(root=ROOT, **arguments)
        print(text, end="", flush=True)
        return 0 if within else 1
    elif command == "select":
        from reproduce.pipeline import select

        print(select(**arguments))
    elif command == "new":
        from reproduce.new import new

        print(new(**arguments))
    else:
        return _stage(command, arguments, argv)
    return 0


def _stage(command: str, arguments: dict[str, Any], argv: Sequence[str]) -> int:
    from reproduce.errors import MissingFileError, UserError

    if command in _IN_PROCESSES and _TORCHRUN not in os.environ:
        # a variable and not an argument, because DVC reruns a stage whose command has changed
        value = os.environ.get("REPRODUCE_PROCESSES", "1")
        if not value.isdecimal() or int(value) < 1:
            raise UserError(
                f"REPRODUCE_PROCESSES={value}: it is the number of processes that share a training, 1 or more"
            )
        if int(value) > 1:
            from reproduce.launch import launch

            return launch(argv, processes=int(value))
    elif command not in _IN_PROCESSES and _TORCHRUN in os.environ:
        raise UserError(f"torchrun is for {' and '.join(sorted(_IN_PROCESSES))}: run {command} without it")
    try:
        importlib.import_module(f"reproduce.stages.{command}").run(**arguments)
    except MissingFileError as error:
        raise MissingFileError(f"{error}: {_advice(**arguments)}") from None
    return 0


def _advice(profile: str = "", experiment: str = "", variant: str = "") -> str:
    """What to do where a file of an earlier stage is missing or damaged."""
    from reproduce.pipeline import load_pipeline

    pipeline = load_pipeline()
    name = "-".join(filter(None, (profile, experiment, variant)))
    if name in {*pipeline.profiles, *pipeline.experiments, *pipeline.runs}:
        return "`dvc repro` runs the stage that writes it"
    base, _, seed = variant.partition("-seed")
    options = {"--variants": base, "--seeds": seed}
    words = [profile, experiment, *(f"{option} {value}" for option, value in options.items() if value), "--add"]
    command = f"reproduce select {' '.join(filter(None, words))}"
    return f"paper_configs/pipeline.yaml does not have {name}; `{command}` and `dvc repro` make it"


def _show_warning(message: Warning | str, category: type[Warning], filename: str, *line: Any) -> None:
    """Print a warning of this package in one line; those of libraries are for programmers, and are left out."""
    if category is UserWarning and Path(filename).is_relative_to(Path(__file__).parent):
        print(f"reproduce: warning: {message}", file=sys.stderr)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; 0 done, 1 failed, 2 a user's mistake, 130 interrupted."""
    from reproduce.errors import ReproduceError

    argv = sys.argv[1:] if argv is None else argv
    warnings.showwarning = _show_warning  # type: ignore[assignment]
    arguments = vars(_parser().parse_args(argv))
    try:
        code = _run(arguments.pop("command"), arguments, argv)
        sys.stdout.flush()
    except ReproduceError as error:
        print(f"reproduce: error: {error}", file=sys.stderr)
        return error.exit_code
    except ModuleNotFoundError as error:
        print(
            f"reproduce: error: {error}: pip install -e '.[pipeline]' installs what the commands need", file=sys.stderr
        )
        return 1
    except BrokenPipeError:  # `reproduce diff … | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        print(f"reproduce: error: {error.strerror or error}: {error.filename or ''}".rstrip(": "), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("reproduce: interrupted; run the same command again to continue", file=sys.stderr)
        return 130
    return code


if __name__ == "__main__":
    sys.exit(main())
