"""python -m bench: every command by its name.

Heavy imports stand inside the command that needs them, so that help, list and plan start fast.
"""

import sys
from collections.abc import Callable

import typer

from bench.commands import merging, models, records, suites, trials

app = typer.Typer(
    help="Train, count and table parameter-efficient fine-tuning methods.",
    rich_markup_mode=None,
    add_completion=False,
    pretty_exceptions_enable=False,
)
COMMANDS: dict[str, Callable[..., None]] = {
    "run": suites.run,
    "plan": suites.plan,
    "report": suites.report,
    "list": trials.list_,
    "params": models.params,
    "pretrain": models.pretrain,
    "merge": merging.merge,
    "score": records.score,
    "import": records.import_,
    "export": records.export,
    "reproduce": records.reproduce,
    "check": trials.check,
    "doctor": trials.doctor,
    "speed": trials.speed,
}
for name, command in COMMANDS.items():
    app.command(name)(command)

STOPPED = 130  # the exit code of a program that Ctrl-C ended
WRONG = (  # what a request can be at fault for: words, files and directories
    ValueError,
    FileNotFoundError,
    FileExistsError,
    IsADirectoryError,
    NotADirectoryError,
    PermissionError,
)


def main() -> None:
    """Runs the command line: exit code 2 and one line on a wrong request."""
    try:
        code = app(sys.argv[1:] or ["--help"], standalone_mode=False)
    except typer.Abort:  # Ctrl-C in older typers; later ones return its code
        code = STOPPED
    except Exception as error:
        if hasattr(error, "format_message"):  # typer's own: a wrong flag
            message = error.format_message()
        elif isinstance(error, WRONG):
            message = str(error)
        else:
            raise
        print(f"bench: {' '.join(message.split())}", file=sys.stderr)
        sys.exit(2)
    if code == STOPPED:
        print("bench: stopped; the same command goes on from here", file=sys.stderr)
    sys.exit(code if isinstance(code, int) else 0)
