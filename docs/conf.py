"""The site of these pages: `make docs`. Nothing of it comes from another host."""

project = "staging_api"
author = "the staging_api authors"
copyright = "MIT licence"  # noqa: A001 - Sphinx's name
html_title = "staging_api"

extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
root_doc = "index"
exclude_patterns = ["_build"]

# Anchors as GitHub makes them, so that a link works in both.
myst_heading_anchors = 4
# `https:` in a link needs no page of ours.
myst_url_schemes = ["http", "https", "mailto"]
# A word behind the language names a file or a kind, which tests read: `yaml site/policy.yaml`.
suppress_warnings = ["misc.highlighting_failure"]

html_theme = "furo"
html_copy_source = False
html_show_sourcelink = False
html_extra_path = ["openapi.json"]
html_theme_options = {"top_of_page_buttons": []}
