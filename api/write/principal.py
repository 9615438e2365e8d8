"""The authenticated caller of a request, and what it may do (contract, 1.6)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from api.write.endpoint import Scope
from api.write.token_limits import UNLIMITED, TokenLimits
from shared.errors import Forbidden

IMPLIED_BY: Final = {Scope.YANK: Scope.OWNER_MANAGE}


@dataclass(frozen=True, slots=True)
class Principal:
    """An authenticated caller. token_id: None for a session. scopes: those stored with the token.

    provenance: of the build that a token of trusted publishing was made for, else None.
    """

    user_id: UUID
    handle: str
    token_id: UUID | None
    scopes: tuple[str, ...]
    email_verified: bool
    limits: TokenLimits = UNLIMITED
    provenance: Mapping[str, Any] | None = None

    @property
    def is_admin(self) -> bool:
        """True if the caller may change what others own."""
        return Scope.ADMIN in self.scopes

    def require(self, scope: Scope) -> None:
        """Raise Forbidden without the scope.

        For `yank` the message names `owner.manage`, because older clients know that scope alone.
        """
        if not self.holds(scope):
            raise Forbidden(f"missing scope: {IMPLIED_BY.get(scope, scope)}")

    def holds(self, scope: Scope) -> bool:
        """True if the caller has the scope, or one that implies it. `admin` does not imply the others.

        Every caller may read; `read` is for tokens that may do nothing else.
        """
        return scope in self.scopes or scope is Scope.READ or IMPLIED_BY.get(scope) in self.scopes
