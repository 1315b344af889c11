"""What the demo prints: a heading for each step, and commands that can be copied."""

from rich.console import Console

console = Console()


def say(text: str) -> None:
    """Head a step."""
    console.rule(f"[bold cyan]{text}", align="left")


def command(line: str) -> None:
    """Print a command in one line, however narrow the terminal is: so it can be copied."""
    console.print(f"  {line}", highlight=False, markup=False, soft_wrap=True)
