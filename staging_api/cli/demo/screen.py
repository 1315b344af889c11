"""Output of the demo: a heading for each step, and commands that can be copied."""

from rich.console import Console

console = Console()


def say(text: str) -> None:
    """Print the heading of a step."""
    console.rule(f"[bold cyan]{text}", align="left")


def command(line: str) -> None:
    """Print a command on one line, so that it can be copied even from a narrow terminal."""
    console.print(f"  {line}", highlight=False, markup=False, soft_wrap=True)
