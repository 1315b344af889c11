"""Every setting of the service: a variable ``STAGING_<NAME>`` of the environment."""

from pathlib import Path
from typing import Any, get_args

from pydantic import ValidationError

from staging_api.environment import variables
from staging_api.errors import FieldError, Invalid
from staging_api.misspelt import misspelt
from staging_api.settings.callers import CallerSettings
from staging_api.settings.server import ServerSettings
from staging_api.settings.site import SiteSettings
from staging_api.settings.sources import SourceSettings
from staging_api.settings.staging import StagingSettings

_PREFIX = "STAGING_"


# pydantic puts the fields of the last base first: the order on the page of settings.
class Settings(SiteSettings, CallerSettings, StagingSettings, SourceSettings, ServerSettings):
    """All settings of an operator. docs/reference/settings.md is made from these descriptions."""

    @classmethod
    def from_env(cls, **chosen: Any) -> "Settings":
        """Read the environment; `chosen` settings, from the command line, take precedence.

        Raises:
            Invalid: settings are wrong, or variables look like misspelt settings; names them all.
        """
        environment = variables()
        wrong = list(misspelt(environment, _PREFIX, cls.model_fields))
        given = {variable.upper(): text for variable, text in environment.items()}
        set_here = {
            name: text
            for name, field in cls.model_fields.items()
            if (text := given.get(_PREFIX + name.upper())) is not None
            # An empty path would mean the working directory.
            and (text or Path not in (field.annotation, *get_args(field.annotation)))
        }
        try:
            read = cls(**{**set_here, **chosen})
        except ValidationError as error:
            wrong.extend(
                FieldError(
                    _PREFIX + str(part["loc"][0]).upper(),
                    part["msg"].removeprefix("Value error, "),
                )
                for part in error.errors()
            )
        if wrong:
            raise Invalid("; ".join(f"{w.field}: {w.message}" for w in wrong), wrong)
        return read
