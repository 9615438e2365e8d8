"""The storage of the published tree."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, Field, model_validator

from shared.setting_types import Boolean, KeyPrefix, OptionalSecret, OptionalText, OptionalUrl
from shared.variables import require


class StorageSettings(BaseModel):
    """Storage."""

    storage: Literal["fs", "filesystem", "s3"] = Field("fs", description="Where the published tree lives.")
    data_dir: Path = Field(Path("data"), description="Root of the published tree when storage is `fs`.")
    s3_bucket: OptionalText = Field(None, description="Bucket; required when storage is `s3`.")
    s3_region: OptionalText = Field(None, description="Region; required when storage is `s3`.")
    s3_endpoint: OptionalUrl = Field(None, description="Endpoint URL; required when storage is `s3`.")
    s3_prefix: KeyPrefix = Field("", description="Prefix of every key.")
    s3_force_path_style: Boolean = Field(
        False, description="Put the bucket into the path instead of the host name."
    )
    s3_access_key_id: OptionalText = Field(
        None,
        description="Access key. Without one the credentials come from where AWS's own tools find them: "
        "`AWS_ACCESS_KEY_ID`, web identity, the role of the container or machine.",
    )
    s3_secret_access_key: OptionalSecret = Field(None, description="Secret key; required with an access key.")
    s3_session_token: OptionalSecret = Field(None, description="Session token of a temporary access key.")
    s3_timeout_seconds: float = Field(
        20.0,
        gt=0,
        le=300,
        description="How long a request to S3 may make no progress. Each request is tried three times.",
    )

    @model_validator(mode="after")
    def _a_bucket_has_credentials(self) -> Self:
        if self.storage == "s3":
            require(self, "s3_bucket", "s3_region", "s3_endpoint")
            if self.s3_access_key_id or self.s3_secret_access_key:
                require(self, "s3_access_key_id", "s3_secret_access_key")
        return self

    @property
    def stores_files(self) -> bool:
        """True when the published tree is a directory, false when it is a bucket."""
        return self.storage != "s3"

    @property
    def spool_dir(self) -> Path:
        """The directory that receives uploads; on the file system of the tree if the tree is a directory."""
        return self.data_dir / "tmp" if self.stores_files else Path(tempfile.gettempdir())
