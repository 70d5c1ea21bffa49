"""What every part of a card is made of. Knows no field; the cards' schema derives from it."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

Evidence = Literal["repository", "page", "quoted"]
"""Read in the authors' repository; on their page or model card; or in a third party's words."""


class Part(BaseModel):
    """A part of a card: unknown fields are errors, and nothing changes once it is read."""

    model_config = ConfigDict(extra="forbid", frozen=True)
