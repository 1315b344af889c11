"""The one thing of a build that setup.cfg cannot say: README.md with links that work on an index.

An index shows the text without the files beside it. ``documents`` of setup.cfg is the address of
these files; while there is none, the text of a link stays and its address goes.
"""

import re
from configparser import ConfigParser
from pathlib import Path

from setuptools import setup

HERE = Path(__file__).parent
_LINK = re.compile(r"(!?)\[([^\]]*)\]\((?!https?://|#)([^)\s]+)\)")


def readme(text: str, documents: str) -> str:
    """Return the text with its relative links below `documents`; without an address, less them."""

    def absolute(link: re.Match[str]) -> str:
        mark, words, path = link.groups()
        if documents:
            return f"{mark}[{words}]({documents.rstrip('/')}/{path})"
        return "" if mark else words

    return _LINK.sub(absolute, text)


if __name__ == "__main__":
    settings = ConfigParser()
    settings.read(HERE / "setup.cfg")
    setup(
        long_description=readme(
            (HERE / "README.md").read_text(encoding="utf-8"),
            settings.get("staging_api:readme", "documents"),
        )
    )
