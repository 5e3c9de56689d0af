"""The command line: one subcommand for each stage of `dvc.yaml`, `diff`, `check` and `convert-official`."""

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

_STAGES = {
    "fetch": "images and labels of an experiment's data set (and the authors' network), onto this disk",
    "first_stage": "the network that is interpreted, and the judge: shipped, trained or official",
    "pairs": "the images that pairs are drawn from, and the held-out pairs",
    "encode": "E over all of them",
    "dimensions": "the size of each concept's factor",
    "train": "T",
    "evaluate": "the numbers, and what the figures show",
    "figures": "the figures of one run",
    "report": "tables, index.html and README's table, from all runs of a profile",
}
_OF_A_VARIANT = {"dimensions", "train", "evaluate", "figures"}
_DENSITY = "density"  # the variant of an unsupervised T
_OF_DENSITY = {"evaluate"}  # a module of its own does it
_IN_PROCESSES = {"first_stage", "train"}  # those that know how to share a batch out
_TORCHRUN = "TORCHELASTIC_RUN_ID"  # torchrun sets it in what it starts


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="reproduce",
        description="The stages of dvc.yaml, one by one (dvc repro runs those needed), and comparisons of results.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, text in _STAGES.items():
        command = commands.add_parser(name, help=text, description=text)
        command.add_argument("--profile", required=True, help="a folder of paper_configs/")
        if name != "report":
            command.add_argument("--experiment", required=True, help="a file of that folder, without .yaml")
        if name in _OF_A_VARIANT:
            command.add_argument("--variant", required=True, help="an entry of paper_configs/variants.yaml, or density")
    diff = commands.add_parser("diff", help="two variants side by side: every number with its difference")
    diff.add_argument("variant_a")
    diff.add_argument("variant_b")
    diff.add_argument("--profile", default="embedded", help="default: embedded")
    diff.add_argument("--experiment", help="one experiment; default: all")
    diff.add_argument("--format", choices=("text", "csv", "json"), default="text")
    convert = commands.add_parser("convert-official", help="a checkpoint of the official code, as safetensors")
    convert.add_argument("checkpoint", type=Path, metavar="CHECKPOINT")
    convert.add_argument("--kind", required=True, choices=("autoencoder", "classifier", "flow"))
    convert.add_argument("out", type=Path, metavar="OUT.safetensors", help="a file that does not exist yet")
    check = commands.add_parser("check", help="the results against the committed ones: exit code 1 if a number moved")
    check.add_argument("--profile", default="embedded", help="default: embedded")
    earlier = check.add_mutually_exclusive_group()
    earlier.add_argument("--revision", default="HEAD", help="the Git revision to compare with; default: HEAD")
    earlier.add_argument("--against", type=Path, help="a folder like results/embedded to compare with instead")
    return parser


def _processes() -> int:
    """How many processes share a training; no argument, since to DVC another command is another stage."""
    from reproduce.errors import UserError

    value = os.environ.get("REPRODUCE_PROCESSES", "1")
    if not value.isdecimal() or int(value) < 1:
        raise UserError(f"REPRODUCE_PROCESSES={value}: it is the number of processes that share a training, 1 or more")
    return int(value)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; 0 done, 1 failed, 2 a user's mistake, 130 interrupted."""
    from reproduce.errors import ReproduceError, UserError

    arguments = vars(_parser().parse_args(argv))
    command = arguments.pop("command")
    try:
        if command == "diff":
            from reproduce.paths import results
            from reproduce.report.diff import main_diff

            print(main_diff(results_dir=results(arguments.pop("profile")), **arguments), end="")
        elif command in _IN_PROCESSES and _TORCHRUN not in os.environ and (processes := _processes()) > 1:
            from reproduce.launch import launch

            return launch(sys.argv[1:] if argv is None else argv, processes=processes)
        elif command not in _IN_PROCESSES and _TORCHRUN in os.environ:
            raise UserError(f"torchrun is for {' and '.join(sorted(_IN_PROCESSES))}: run {command} without it")
        elif command == "convert-official":
            from reproduce.official.convert import convert_official

            if (out := arguments["out"]).exists():
                raise UserError(f"{out} exists already: delete it, or name another file")
            convert_official(**arguments)
        elif command == "check":
            from reproduce.paths import ROOT
            from reproduce.report.check import main_check

            text, within = main_check(root=ROOT, **arguments)
            print(text, end="", flush=True)
            return 0 if within else 1
        else:
            unsupervised = command in _OF_DENSITY and arguments["variant"] == _DENSITY
            module = f"{command}_{_DENSITY}" if unsupervised else command
            importlib.import_module(f"reproduce.stages.{module}").run(**arguments)
        sys.stdout.flush()
    except ReproduceError as error:
        print(f"reproduce: error: {error}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:  # `reproduce diff … | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        print(f"reproduce: error: {error.strerror or error}: {error.filename or ''}".rstrip(": "), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("reproduce: interrupted; run the same command again to continue", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
