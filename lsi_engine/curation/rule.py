"""What may be asked of a cleaned subset."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class CleaningRule(BaseModel):
    """What to do with the decisions, and with the samples nobody decided. Equal rules give equal subsets."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    apply_decisions: bool = Field(default=True, description="do what reviewers decided; else ignore them all")
    unsure: Literal["keep", "drop"] = Field(
        default="keep", description="samples that a reviewer marked unsure, under their given label"
    )
    drop_suspicion: float | None = Field(
        default=None,
        ge=0,
        description="drop undecided samples whose suspicion is at least this and that have a suggested label",
    )
    keep_fraction: float | None = Field(
        default=None,
        gt=0,
        le=1,
        description="keep this share of each final class, by LSI (rounded up, never less than a reviewer kept)",
    )
    keep_end: Literal["highest", "lowest"] = Field(
        default="highest", description="which end of the LSI the kept share is taken from"
    )
    deduplicate: bool = Field(default=False, description="keep one sample of each cluster of near-duplicates")
    balance: bool = Field(default=False, description="thin every class to the smallest one's size, by LSI")
    validation: float = Field(default=0, ge=0, lt=1, description="share of a validation part, groups kept whole")
    test: float = Field(default=0, ge=0, lt=1, description="share of a test part, groups kept whole")
    seed: int = Field(default=0, ge=0, description="of the parts")
    list_dropped: bool = Field(
        default=False, description="list the dropped samples in the file too, with an empty final label"
    )
