"""What the groups of settings have in common."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Seconds = Annotated[float, Field(gt=0)]


class SettingsGroup(BaseModel):
    """Settings that belong together; `Settings` has those of all groups."""

    # Only the whole is ever made, so only its validator is built.
    model_config = ConfigDict(frozen=True, extra="ignore", validate_default=True, defer_build=True)
