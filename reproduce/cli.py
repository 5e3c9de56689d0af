"""The command line: one subcommand for each stage of `dvc.yaml`, `diff` and `check`."""

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

__all__ = ["main"]

_STAGES = {
    "fetch": "images and labels of an experiment's data set, onto this disk",
    "first_stage": "the network that is interpreted, and the judge: shipped or trained",
    "pairs": "the images that pairs are drawn from, and the held-out pairs",
    "encode": "E over all of them",
    "dimensions": "the size of each concept's factor",
    "train": "T",
    "evaluate": "the numbers, and what the figures show",
    "figures": "the figures of one run",
    "report": "tables, index.html and README's table, from all runs of a profile",
}
_OF_A_VARIANT = {"dimensions", "train", "evaluate", "figures"}


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
            command.add_argument("--variant", required=True, help="an entry of paper_configs/variants.yaml")
    diff = commands.add_parser("diff", help="two variants side by side: every number with its difference")
    diff.add_argument("variant_a")
    diff.add_argument("variant_b")
    diff.add_argument("--profile", default="embedded", help="default: embedded")
    diff.add_argument("--experiment", help="one experiment; default: all")
    diff.add_argument("--format", choices=("text", "csv", "json"), default="text")
    check = commands.add_parser("check", help="the results against the committed ones: exit code 1 if a number moved")
    check.add_argument("--profile", default="embedded", help="default: embedded")
    earlier = check.add_mutually_exclusive_group()
    earlier.add_argument("--revision", default="HEAD", help="the Git revision to compare with; default: HEAD")
    earlier.add_argument("--against", type=Path, help="a folder like results/embedded to compare with instead")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; 0 done, 1 failed, 2 a user's mistake, 130 interrupted."""
    from reproduce.errors import ReproduceError

    arguments = vars(_parser().parse_args(argv))
    command = arguments.pop("command")
    try:
        if command == "diff":
            from reproduce.paths import results
            from reproduce.report.diff import main_diff

            print(main_diff(results_dir=results(arguments.pop("profile")), **arguments), end="")
        elif command == "check":
            from reproduce.paths import CONFIGS, ROOT
            from reproduce.report.check import main_check

            text, within = main_check(root=ROOT, tolerances=CONFIGS / "tolerances.yaml", **arguments)
            print(text, end="", flush=True)
            return 0 if within else 1
        else:
            importlib.import_module(f"reproduce.stages.{command}").run(**arguments)
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
