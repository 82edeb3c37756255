"""Settings of how messages become templates."""

from pydantic import BaseModel, ConfigDict, Field

from engine.formats.masks import DEFAULT_MASKS, Mask


class TemplateSettings(BaseModel):
    """How messages become templates."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    masks: tuple[Mask, ...] = Field(
        default=DEFAULT_MASKS,
        description="Replacements made in this order before mining. A mask that depends on single digits or on their "
        "number ([0-9]{4}, 0x[0-9a-f]+) is allowed, but then every line is masked separately, which takes about twice "
        "as long; one with a construct that is not compiled (references, look-arounds of several characters) takes "
        "about ten times as long.",
    )
    similarity: float = Field(
        default=0.4,
        gt=0,
        le=1,
        description="Share of equal tokens that joins a line to a template; formats that need a greater one have it.",
    )
    depth: int = Field(
        default=4, ge=3, description="Depth of Drain's tree; depth - 3 leading tokens choose the branch."
    )
    max_children: int = Field(
        default=100, ge=2, description="Branches of a node of Drain's tree before it uses a wildcard."
    )
    max_templates: int = Field(
        default=50_000,
        ge=1,
        description="Templates a partition may hold; later lines that match none get the template <*>.",
    )
