"""`python -m builder`: fetch, verify and list model files; make the demo bundle."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from builder import listing, verify
from builder.display import say
from builder.failures import BuilderError, UnknownName
from builder.hosts import Hosts
from builder.install import Installer
from builder.selection import select
from builder.transfer import Downloader
from schemas.catalogue import CATALOGUE, FEATURES, SETS, ModelFile

OK, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130


def main(argv: Sequence[str]) -> int:
    """Run one command. Returns its exit status: 0 done, 1 failed, 2 not understood, 130 stopped by Ctrl-C."""
    if argv[:1] == ["demo"]:
        return _demo(argv[1:])
    options = _parser().parse_args(argv)
    try:
        return {"fetch": _fetch, "verify": _verify, "list": _list}[options.command](options)
    except BuilderError as error:
        say(f"builder: {error}")
        return USAGE if isinstance(error, UnknownName) else FAILED
    except KeyboardInterrupt:
        say("builder: stopped. What has arrived is kept; the same command continues it")
        return INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m builder", description="Model files for the worker.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    fetch = commands.add_parser(
        "fetch",
        help="download and verify files",
        description="Download files of the catalogue into the models folder and verify them. HF_TOKEN and "
        "CIVITAI_TOKEN authorise, HF_MIRROR replaces https://huggingface.co; HTTPS_PROXY works as usual.",
    )
    fetch.add_argument("--check", action="store_true", help="also read files already there, replace bad ones")
    check = commands.add_parser("verify", help="compare files with the catalogue")
    check.description = "Compare size and sha256 with the catalogue: of the selection, or of every file there."
    show = commands.add_parser("list", help="show the catalogue")
    form = show.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="every fact, for programs")
    form.add_argument("--markdown", action="store_true", help="the page docs/models.md")
    for command in (fetch, check, show):
        _add_selection(command)
    commands.add_parser("demo", help="make the built-in demo model; `demo --help` says more", add_help=False)
    return parser


def _add_selection(command: argparse.ArgumentParser) -> None:
    command.add_argument("names", nargs="*", metavar="NAME", help="file name, or path in the models folder")
    command.add_argument(
        "--feature", action="append", default=[], metavar="F", help=f"all files of: {', '.join(FEATURES)}"
    )
    command.add_argument(
        "--set", action="append", default=[], metavar="S", dest="sets", help=f"one of: {', '.join(SETS)}"
    )
    command.add_argument(
        "--models-dir",
        type=Path,
        default=Path(os.environ.get("FOOOCUS_MODELS_DIR") or "models"),
        metavar="DIR",
        help="the models folder (default: FOOOCUS_MODELS_DIR, else models)",
    )


def _selected(options: argparse.Namespace) -> tuple[ModelFile, ...] | None:
    """The files asked for, None when the command line names none."""
    if not (options.names or options.feature or options.sets):
        return None
    return select(options.names, options.feature, options.sets)


def _fetch(options: argparse.Namespace) -> int:
    files = _selected(options)
    if files is None:
        say("builder: say what to fetch: names, --feature or --set; `list` shows what there is")
        return USAGE
    downloader = Downloader(Hosts.from_environment(os.environ), say=say)
    failures = Installer(options.models_dir, downloader, options.check).install(files)
    say(f"{len(files) - len(failures)} of {len(files)} files in {options.models_dir}")
    return FAILED if failures else OK


def _verify(options: argparse.Namespace) -> int:
    files = _selected(options)
    states = verify.verify(verify.present(options.models_dir) if files is None else files, options.models_dir)
    print(verify.as_table(states))
    return OK if all(found.usable for found in states.values()) else FAILED


def _list(options: argparse.Namespace) -> int:
    files = _selected(options)
    files = CATALOGUE if files is None else files
    if options.markdown:
        print(listing.as_page(), end="")
    elif options.json:
        print(json.dumps(listing.as_data(files, options.models_dir), indent=2, ensure_ascii=False))
    else:
        print(listing.as_table(files, options.models_dir))
    return OK


def _demo(argv: Sequence[str]) -> int:
    # Imported here: only this command needs torch.
    from builder.demo import main as make_demo

    return make_demo(list(argv))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
