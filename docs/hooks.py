"""Hooks of the site: diagrams are drawn by a copy of Mermaid that the site serves itself.

Without it, the theme loads Mermaid from a public host whenever somebody reads a page with a diagram.
"""

from importlib import resources

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

MERMAID = "javascripts/mermaid.js"
"""Path in the site; `mkdocs.yml` lists it under `extra_javascript`."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add Mermaid, from the package that development installs."""
    source = resources.files("mermaidx") / "assets" / "mermaid.js"
    files.append(File.generated(config, MERMAID, abs_src_path=str(source)))
    return files
