"""A hook of mkdocs: makes a page for each environment variable from the settings class."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any, Final

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from shared.settings import Settings, load_settings
from shared.variables import SettingsError, variable_of, variables_of

TABLE: Final = "settings.md"
FOLDER: Final = "variables"
# Values that most settings refuse; the refusals say what is allowed.
WRONG: Final = ("?", "-1")


def variable_pages() -> dict[str, str]:
    """Markdown of each variable's page, by its path below docs/."""
    return {
        f"{FOLDER}/{variable_of(name)}.md": "\n\n".join(_sections(name, field))
        for name, field in Settings.model_fields.items()
    }


def default_of(field: FieldInfo) -> str:
    """The default as text for the environment, or `none`."""
    value = field.default
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if isinstance(value, (tuple, frozenset, dict)):
        value = ",".join(map(str, value))
    if isinstance(value, bool):
        value = str(value).lower()
    return f"`{value}`" if value not in (None, "") else "none"


def with_links(table: str) -> str:
    """The table of settings, with a link from each variable to its page."""
    for path in variable_pages():
        variable = PurePosixPath(path).stem
        table = table.replace(f"| `{variable}`", f"| [`{variable}`]({path})")
    return table


def _sections(name: str, field: FieldInfo) -> Iterator[str]:
    first, *others = variables_of(name, field)
    yield f"# {first}"
    yield f"{field.description}"
    yield f"Default: {default_of(field)}"
    for other in others:
        yield f"If it is not set, `{other}` is used."
    if refusals := [line for value in WRONG if (line := _refusal(name, value))]:
        yield "A wrong value prevents the start, for example:"
        yield "\n".join(("```", *dict.fromkeys(refusals), "```"))
    else:
        yield "Any text is allowed."
    yield f"[All settings](../{TABLE})"


def _refusal(name: str, value: str) -> str | None:
    """The message for a wrong value of a variable; None if the value is allowed."""
    try:
        load_settings(**{name: value})
    except SettingsError as error:
        return next((line for line in str(error).splitlines() if line.startswith(variable_of(name))), None)
    return None


def on_files(files: Any, config: Any) -> Any:
    """mkdocs calls this when it has listed the pages."""
    from mkdocs.structure.files import File, InclusionLevel

    for path, markdown in variable_pages().items():
        page = File.generated(config, path, content=markdown)
        page.inclusion = InclusionLevel.NOT_IN_NAV
        files.append(page)
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """mkdocs calls this for each page."""
    return with_links(markdown) if page.file.src_uri == TABLE else markdown
