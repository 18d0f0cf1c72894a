"""The documents against the code: what can be written and asked is documented, and what is documented exists."""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin

import pytest
import typer
from msgspec import structs
from pydantic import BaseModel

from provision.catalogue.versions import DEFAULT_VERSION, OLDEST, RELEASES, release_of
from provision.cli.app import app
from provision.cluster.model import MAIN_FILES, Cluster, Listener, Node, Topic
from provision.cluster.render import KRAFT_TEMPLATES, render, shipped_templates
from provision.environment import Environment
from provision.errors import ProvisionError
from provision.kafka.levels import Level
from provision.runtime.docker import containers, image_recipe
from provision.runtime.process.processes import MARK
from provision.software.pins import is_lock_file
from provision.spec import acls, certificates, java, model, users
from provision.spec.model import EnvironmentSpec
from provision.spec.reserved import RESERVED_BROKER, RESERVED_ZOOKEEPER
from tests.agents import write_agent
from tests.authorities import made
from tests.docs.reading import REFERENCE, ROOT, blocks, headings, rows, section, without_code

INDEX = REFERENCE / "README.md"
PAGES = sorted(REFERENCE.glob("*.md"))
ENVIRONMENTS = sorted(file for file in (ROOT / "environments").glob("*.y*ml") if not is_lock_file(file))
DOCUMENTS = [*sorted((ROOT / "docs").rglob("*.md")), ROOT / "CONTRIBUTING.md", ROOT / "README.md"]

_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:  # noqa: ANN401 any annotation
    """The models that a field's annotation holds, below lists, mappings and unions."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif get_origin(annotation) in (list, dict, Union, UnionType):
        for argument in get_args(annotation):
            yield from models_in(argument)


def keys_of(described: type[BaseModel], heading: str = "Top level") -> Iterator[tuple[str, str, object]]:
    """Every key of the file: the heading under which it is documented, its name, its default."""
    for name, info in described.model_fields.items():
        yield heading, name, info.default
        for inner in models_in(info.annotation):
            yield from keys_of(inner, name if heading == "Top level" or name in OWN_SECTIONS else heading)


OWN_SECTIONS = ("java", "agents")
"""Keys below others with a section of their own, because several sections have them."""
KEYS = list(keys_of(EnvironmentSpec))

SECTIONS = {
    "environment-file.md": (*dict.fromkeys(f"### {heading}" for heading, _, _ in KEYS), "## Reserved properties"),
    "commands.md": (
        "## Commands",
        "## Shared options",
        "## Environment commands",
        "## Inspection commands",
        "## Readiness levels",
        "## Environment variables",
    ),
    "topics-and-records.md": ("## Topic commands", "## Record and tool commands", "### tool"),
    "software.md": ("## Software commands",),
    "runtimes.md": (
        "## The runtimes compared",
        "### Java",
        "### Processes",
        "## Names, labels and addresses",
    ),
    "exit-codes-and-json.md": ("## Exit codes",),
    "templates.md": ("## Shipped templates", "## Template variables"),
}
"""The page of the reference that has each section that is compared with the code."""

PAGE_OF = {heading: REFERENCE / page for page, headings in SECTIONS.items() for heading in headings}
COMMAND_GROUPS = (
    "## Environment commands",
    "## Inspection commands",
    "## Topic commands",
    "## Record and tool commands",
    "## Software commands",
)
"""Below each of these, every `###` heading names one command, or several with commas."""


def reference(heading: str) -> str:
    """The section of the reference below a heading, on the page that has it."""
    return section(PAGE_OF[heading], heading)


# -- the pages of the reference ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("heading", PAGE_OF)
def test_every_section_stands_once_on_its_page(heading: str) -> None:
    assert [page for page in PAGES for found in headings(page) if found == heading] == [PAGE_OF[heading]]


@pytest.mark.parametrize("page", PAGES, ids=lambda file: file.stem)
def test_every_page_has_one_title_and_is_linked_from_the_index(page: Path) -> None:
    assert [heading for heading in headings(page) if heading.startswith("# ")] == headings(page)[:1]
    linked = _LINK.findall(without_code(INDEX.read_text(encoding="utf-8")))
    assert page == INDEX or page.name in linked


# -- the environment file ---------------------------------------------------------------------------------------------


def test_every_model_is_reached_from_the_environment() -> None:
    named = {
        name
        for module in (model, users, acls, certificates, java)
        for kind in vars(module).values()
        if isinstance(kind, type) and issubclass(kind, BaseModel)
        for name in kind.model_fields
    }
    assert {name for _, name, _ in KEYS} == named


@pytest.mark.parametrize(("heading", "key", "default"), KEYS)
def test_every_key_has_a_row_with_its_default(heading: str, key: str, default: object) -> None:
    lines = [line for line in reference(f"### {heading}").splitlines() if line.startswith(f"| `{key}` |")]
    assert lines
    if isinstance(default, str | int):
        shown = str(default).lower() if isinstance(default, bool) else default
        assert any(f"`{shown}`" in line for line in lines)


@pytest.mark.parametrize("heading", sorted({heading for heading, _, _ in KEYS}))
def test_no_row_names_a_key_that_does_not_exist(heading: str) -> None:
    assert rows(reference(f"### {heading}")).keys() == {key for at, key, _ in KEYS if at == heading}


def test_every_reserved_property_is_named_with_what_decides_it() -> None:
    text = reference("## Reserved properties")
    for key, decided_by in (RESERVED_BROKER | RESERVED_ZOOKEEPER).items():
        lines = [line for line in text.splitlines() if f"`{key}`" in line]
        plain = [line.replace("`", "") for line in lines]
        assert any(decided_by in line for line in plain), key


EXAMPLES = [
    pytest.param(example, id=f"{page.stem}-{number}")
    for page in PAGES
    for number, example in enumerate(blocks(page.read_text(encoding="utf-8"), "yaml"), start=1)
]


def test_the_reference_has_examples() -> None:
    assert EXAMPLES


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_example_of_the_reference_is_valid(example: str, tmp_path: Path) -> None:
    file = tmp_path / "example.yaml"
    file.write_text(example, encoding="utf-8")
    for named in re.findall(r"(?:seed|agents)/[a-z_]+\.[a-z]+", example):
        (tmp_path / named).parent.mkdir(exist_ok=True)
        if named.endswith(".jar"):
            write_agent(tmp_path / named)
            continue
        (tmp_path / named).write_text("id,value\n" if named.endswith(".csv") else "", encoding="utf-8")
    if "./ca/ca.key" in example:
        made().write(tmp_path / "ca")
    Environment(file).validate()


@pytest.mark.parametrize("file", ENVIRONMENTS, ids=lambda file: file.stem)
def test_every_example_environment_is_valid_and_renders(file: Path) -> None:
    assert render(Environment(file).validate())


# -- the command line -------------------------------------------------------------------------------------------------


def leaves(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:  # noqa: ANN401 click's own or typer's copy
    """Every command that does something, by its name as it is typed."""
    below = getattr(command, "commands", None)
    if below is None:
        yield " ".join(path), command
        return
    for name, inner in below.items():
        yield from leaves(inner, (*path, name))


COMMANDS = dict(leaves(typer.main.get_command(app)))


def command_headings() -> list[tuple[Path, str]]:
    """The page and the heading of each command's section."""
    return [
        (PAGE_OF[group], heading)
        for group in COMMAND_GROUPS
        for heading in re.findall(r"^### .+$", reference(group), re.MULTILINE)
    ]


def command_sections() -> dict[str, str]:
    """The section of each command; one heading may name several."""
    return {
        name: section(page, heading)
        for page, heading in command_headings()
        for name in heading.removeprefix("### ").split(", ")
    }


def everything_on_commands() -> str:
    """The table of commands, the options that they share, and all their sections."""
    return "\n".join(reference(heading) for heading in ("## Commands", "## Shared options", *COMMAND_GROUPS))


def options_of(command: Any) -> Iterator[str]:  # noqa: ANN401 click's own or typer's copy
    for parameter in command.params:
        if parameter.param_type_name == "option" and "--help" not in parameter.opts:
            yield from (*parameter.opts, *parameter.secondary_opts)


def test_every_command_has_a_section_and_every_section_a_command() -> None:
    assert command_sections().keys() == COMMANDS.keys()
    named = [heading for _, heading in command_headings()]
    assert sorted(named) == sorted(found for page in PAGES for found in headings(page) if found in named)


@pytest.mark.parametrize("name", list(COMMANDS))
def test_every_command_is_in_the_table_with_a_link_to_its_section(name: str) -> None:
    (link,) = re.findall(
        rf"^\| \[`provision {name}(?: [^`]*)?`\]\(([^)]+)\) \|", reference("## Commands"), re.MULTILINE
    )
    page, _, anchor = link.partition("#")
    (place,) = [
        (found.name, slug(heading))
        for found, heading in command_headings()
        if name in heading.removeprefix("### ").split(", ")
    ]
    assert (page or PAGE_OF["## Commands"].name, anchor) == place


@pytest.mark.parametrize("name", list(COMMANDS))
def test_every_option_is_named_in_its_commands_section(name: str) -> None:
    everywhere = everything_on_commands()
    for option in options_of(COMMANDS[name]):
        where = command_sections()[name] if option.startswith("--") else everywhere
        assert re.search(rf"`{re.escape(option)}[ `]", where), option


@pytest.mark.parametrize("name", list(COMMANDS))
def test_no_section_names_an_option_that_its_command_does_not_have(name: str) -> None:
    text = command_sections()[name]
    together = [other for other in COMMANDS if command_sections()[other] == text]
    known = {option for other in together for option in options_of(COMMANDS[other])}
    named = {code.split(" ")[0] for code in rows(text) if code.startswith("-")}
    assert named <= known


def test_every_option_of_the_program_itself_is_named() -> None:
    for option in options_of(typer.main.get_command(app)):
        assert option in everything_on_commands()


def test_every_tool_of_the_default_version_is_named() -> None:
    for tool in release_of(DEFAULT_VERSION).tools:
        assert f"`{tool}`" in reference("### tool")


def test_every_readiness_level_has_a_row() -> None:
    assert list(rows(reference("## Readiness levels"))) == [str(level) for level in Level]


def family(kind: type[ProvisionError] = ProvisionError) -> Iterator[type[ProvisionError]]:
    yield kind
    for below in kind.__subclasses__():
        if below.__module__ == kind.__module__:  # those of other modules cannot be told from what they derive from
            yield from family(below)


@pytest.mark.parametrize("kind", list(family()), ids=lambda kind: kind.__name__)
def test_every_error_stands_in_the_row_of_its_exit_code(kind: type[ProvisionError]) -> None:
    lines = reference("## Exit codes").splitlines()
    (line,) = [line for line in lines if line.startswith(f"| {kind.exit_code} |")]
    assert f"`{kind.__name__}`" in line


# -- runtimes ---------------------------------------------------------------------------------------------------------


def test_every_runtime_is_a_column_of_what_differs_and_a_choice_of_the_file() -> None:
    choices = get_args(EnvironmentSpec.model_fields["runtime"].annotation)
    line = rows(reference("### Top level"))["runtime"]
    assert all(f"`{choice}`" in line for choice in choices)
    columns = " | ".join(f"`{choice}`" for choice in choices if choice != "auto")
    assert f"\n| | {columns} |\n" in reference("## The runtimes compared")


def test_the_java_versions_are_those_of_the_catalogue() -> None:
    form = re.compile(r"^\| (\d+)\.(\d+) to (\d+)\.(\d+) \| (\d+) to (\d+) \|$", re.MULTILINE)
    told = [tuple(map(int, found.groups())) for found in form.finditer(reference("### Java"))]
    for release in RELEASES:
        line = (release.first.major, release.first.minor)
        (java,) = [(lowest, highest) for *span, lowest, highest in told if tuple(span[:2]) <= line <= tuple(span[2:])]
        assert java == (release.java[0], release.java[-1])
    assert min(told)[:2] == (OLDEST.major, OLDEST.minor)


def test_the_mark_of_processes_is_told() -> None:
    assert f"`{MARK}DIRECTORY`" in reference("### Processes")


def test_every_environment_variable_of_ours_has_a_row() -> None:
    sources = (file.read_text(encoding="utf-8") for file in (ROOT / "provision").rglob("*.py"))
    asked = {name for source in sources for name in re.findall(r'"(PROVISION_[A-Z_]+)"', source)}
    assert rows(reference("## Environment variables")).keys() >= asked


# -- what is found in the engine, and templates -----------------------------------------------------------------------


def test_every_label_has_a_row() -> None:
    values = [value for module in (containers, image_recipe) for name, value in vars(module).items() if name.isupper()]
    labels = {value for value in values if isinstance(value, str) and value.startswith("provision.")}
    assert "provision.environment" in labels
    assert rows(reference("## Names, labels and addresses")).keys() >= labels


def test_every_shipped_template_has_a_row() -> None:
    shipped = {file.name for file in shipped_templates().glob("*.j2")}
    logging = {release.logging_file.name for release in RELEASES}
    assert shipped == {f"{name}.j2" for name in {*MAIN_FILES.values(), *KRAFT_TEMPLATES.values(), *logging}}
    assert rows(reference("## Shipped templates")).keys() == shipped


def test_what_templates_may_use_is_there(tmp_path: Path) -> None:
    names = list(rows(reference("## Template variables")))
    (tmp_path / "log4j.properties.j2").write_text("".join(f"{name}={{{{ {name} is defined }}}}\n" for name in names))
    file = tmp_path / "own.yaml"
    file.write_text("templates: .\n")
    (content,) = {each.text for each in render(Environment(file).validate()) if each.name == "log4j.properties"}
    assert content == "".join(f"{name}=true\n" for name in names)


@pytest.mark.parametrize(
    ("name", "kinds"), [("cluster", (Cluster, Topic)), ("node", (Node,)), ("listeners", (Listener,))], ids=str
)
def test_every_attribute_that_templates_may_use_is_named(name: str, kinds: tuple[type, ...]) -> None:
    row = rows(reference("## Template variables"))[name]
    for kind in kinds:
        for field in structs.fields(kind):
            assert f"`{field.name}`" in row


# -- links ------------------------------------------------------------------------------------------------------------


def slug(heading: str) -> str:
    """The anchor of a heading, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.lstrip("#").strip().lower()).replace(" ", "-")


@cache
def anchors(document: Path) -> frozenset[str]:
    """The anchors of a document's headings."""
    slugs = [slug(heading) for heading in headings(document)]
    assert len(slugs) == len(set(slugs)), f"{document.name} has two headings with one anchor"
    return frozenset(slugs)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda file: str(file.relative_to(ROOT)))
def test_every_relative_link_leads_somewhere(document: Path) -> None:
    if not document.is_file():
        pytest.skip("it is not written yet")
    for link in _LINK.findall(without_code(document.read_text(encoding="utf-8"))):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (document.parent / path).resolve() if path else document
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_every_make_target_is_told() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    told = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    for target in re.findall(r"^([a-z-]+):.*## ", makefile, re.MULTILINE):
        assert f"`make {target}`" in told
