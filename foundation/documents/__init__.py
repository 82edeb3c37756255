"""The documents that leave Driftline or pass between its parts: one declaration each, for writers and readers.

A document is a `TypedDict`: a writer makes the dictionary that the sink encodes, checked by mypy and at no cost for
each alert; readers check with `base.read`. The JSON Schemas in `docs/` are generated from the same declarations.

`TypedDict` is from typing_extensions, which comes with pydantic: before Python 3.12 pydantic needs that one.
"""
