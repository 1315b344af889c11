"""The base class of groups of settings."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Seconds = Annotated[float, Field(gt=0)]


class SettingsGroup(BaseModel):
    """One group of settings; `Settings` inherits from all groups."""

    # Only the whole is ever instantiated, so only its validator is built.
    model_config = ConfigDict(frozen=True, extra="ignore", validate_default=True, defer_build=True)
