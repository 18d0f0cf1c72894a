"""Render a `Cluster` with templates into `RenderedFile`s. No I/O beyond reading the templates.

Templates run in Jinja's sandbox, where undefined names are errors. In a `.properties` template every `{{ expression }}`
is escaped for the format, so a value can neither break its line nor add a key. The same cluster gives the same bytes.

A sandbox bounds neither time nor memory. So a user's templates are rendered in a process of their own (`confined`).
"""

import json
import os
import traceback
from collections.abc import Callable, Generator, Mapping
from functools import cache
from pathlib import Path
from types import CodeType
from typing import cast

from jinja2 import (
    ChoiceLoader,
    Environment,
    FileSystemLoader,
    StrictUndefined,
    Template,
    TemplateError,
    TemplateNotFound,
    TemplateSyntaxError,
    pass_eval_context,
)
from jinja2.loaders import split_template_path
from jinja2.nodes import EvalContext
from jinja2.sandbox import ImmutableSandboxedEnvironment

from provision.catalogue.versions import KRAFT, release_of
from provision.cluster import confined, name_cache, properties
from provision.cluster.agents import agent_files
from provision.cluster.layout import CLIENT, ELECTION, QUORUM
from provision.cluster.model import LAUNCH_FILE, MAIN_FILES, Cluster, Node, RenderedFile, Role
from provision.errors import InvalidEnvironment, Problem
from provision.security.listening import HOST, written

# Files that differ so much between the modes that each mode has its own template.
KRAFT_TEMPLATES = {"server.properties": "server.kraft.properties"}

MAX_CHARACTERS = 1024 * 1024
"""The length of the longest file that may be rendered."""


def render(cluster: Cluster) -> tuple[RenderedFile, ...]:
    """Every configuration file of every node, in the order of the nodes, and then the files of their Java agents.

    Raises:
        InvalidEnvironment: a template fails or takes more time or memory than it may, a value has a line break, or a
            key is rendered twice; lists every such problem, with the template's line if it is known. Or a file of an
            agent cannot be read.
    """
    rendered = confined.render(cluster) if cluster.templates else render_here(cluster)
    return (*rendered, *agent_files(cluster))


def render_here(cluster: Cluster, tell: Callable[[str, str], None] | None = None) -> tuple[RenderedFile, ...]:
    """The same in this process, with nothing but the length of the files bounded.

    `tell` receives the name of each template's file and the Python code made of it, before it runs.
    """
    environment = _environment(cluster.templates) if cluster.templates else _shipped()
    if tell:
        environment.tell = tell
    files: list[RenderedFile] = []
    problems: dict[str, Problem] = {}
    for node in cluster.nodes:
        files += [_launch_file(cluster, node), *name_cache.files_of(node)]
        logging = () if node.logs_itself else (release_of(cluster.version).logging_file.name,)
        for name in (MAIN_FILES[node.role], *logging):
            try:
                files.append(_render_file(environment, cluster, node, name))
            except InvalidEnvironment as error:
                for problem in error.problems:  # the same template fails for every node: report it once
                    problems.setdefault(f"{problem.file}:{problem.line}", problem)
    if problems:
        raise InvalidEnvironment(list(problems.values()))
    return tuple(files)


class _Environment(ImmutableSandboxedEnvironment):
    """The sandbox; `tell` receives the name of each template's file and the Python code made of it."""

    tell: Callable[[str, str], None] = staticmethod(lambda _file, _code: None)

    def _compile(self, source: str, filename: str) -> CodeType:
        self.tell(filename, source)
        return super()._compile(source, filename)


@cache
def shipped_templates() -> Path:
    """The templates that come with the program: in the package if installed, next to it in a checkout."""
    package = Path(__file__).parent.parent
    installed = package / "templates"
    return installed if installed.is_dir() else package.parent / "templates"


@cache
def _shipped() -> _Environment:
    """That of the shipped templates alone, which are the same for everybody and compiled once."""
    return _environment(None)


def _environment(own_templates: str | None) -> _Environment:
    directories = [Path(own_templates)] if own_templates else []
    if own_templates and not directories[0].is_dir():
        raise InvalidEnvironment(
            [Problem(own_templates, 0, 0, "templates", "there is no such directory", "create it, or remove the key")]
        )
    shipped = FileSystemLoader(shipped_templates(), encoding="utf-8-sig")
    environment = _Environment(
        loader=ChoiceLoader([*(_OwnTemplates(own, encoding="utf-8-sig") for own in directories), shipped]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
        finalize=_escape,
        # What is evaluated while a template is compiled has no line; `_escape` is called later for the same reason.
        optimized=False,
    )
    environment.globals.clear()  # range(), lipsum() and the like: a configuration file needs none
    return environment


class _OwnTemplates(FileSystemLoader):
    """The templates of a directory. A link in it may lead to another one there, but not out of it."""

    def get_source(self, environment: Environment, template: str) -> tuple[str, str, Callable[[], bool]]:
        """As in the base class.

        Raises:
            TemplateError: it is a link that leads out of the directory, or is reached through one; or it is no file.
        """
        directory = Path(self.searchpath[0])
        file = directory.joinpath(*split_template_path(template))
        target = os.path.realpath(file)
        if not Path(target).is_relative_to(os.path.realpath(directory)):
            raise TemplateError(f"{file} leads out of {directory}, to {target}")
        if os.path.lexists(file) and not file.is_file():
            raise TemplateError(f"{file} is not a file")
        return super().get_source(environment, template)


@pass_eval_context
def _escape(_context: EvalContext, value: object) -> str:
    if value is None:  # "None" is not a valid setting
        raise ValueError("an expression has no value: it is null")
    if isinstance(value, bool):
        return "true" if value else "false"
    return properties.escape_value(str(value))


def _render_file(environment: _Environment, cluster: Cluster, node: Node, name: str) -> RenderedFile:
    own_template = KRAFT_TEMPLATES.get(name, name) if cluster.mode == KRAFT else name
    template_name = f"{own_template}.j2"
    try:
        content = _text_of(environment.get_template(template_name), _context(cluster, node))
    except Exception as error:  # what a template calls may raise anything
        raise InvalidEnvironment([_template_problem(error, cluster, node, template_name)]) from error
    try:
        settings = properties.parse(content)
    except ValueError as error:
        file = _file_of(cluster, template_name)
        message = f"rendering {node.name}: {error} of what it renders to"
        raise InvalidEnvironment([Problem(file, 0, 0, "", message, "see it with `provision render`")]) from error
    if node.role is Role.ZOOKEEPER and node.listener(CLIENT).protocol == "SSL" and "clientPort" in settings:
        file, hint = _file_of(cluster, template_name), "take secureClientPort and secureClientPortAddress instead"
        message = (
            f"rendering {node.name}: clientPort lets everybody in, and security: {cluster.security} closes ZooKeeper"
        )
        raise InvalidEnvironment([Problem(file, 0, 0, "", message, hint)])
    return RenderedFile(node.name, name, properties.encode(content))


def _text_of(template: Template, context: Mapping[str, object]) -> str:
    """What the template renders to.

    Raises:
        OverflowError: it is longer than it may be; in the template, so that its line is known.
    """
    parts = cast("Generator[str, None, None]", template.generate(context))
    rendered: list[str] = []
    size = 0
    for part in parts:
        size += len(part)
        if size > MAX_CHARACTERS:
            parts.throw(OverflowError(f"it renders to more than {MAX_CHARACTERS} characters"))
        rendered.append(part)
    return "".join(rendered)


def _launch_file(cluster: Cluster, node: Node) -> RenderedFile:
    """How the node is started, stored with its configuration so that a later plan can name any change."""
    temporary = [listener.host_port for listener in node.listeners if listener.host_port and listener.temporary]
    launch: dict[str, object] = {
        "kafka": str(cluster.version),
        "software": node.software,
        "java": node.java,
        "arguments": node.java_args,
        "memory_bytes": node.memory_bytes,
        "host_port": next((one.host_port for one in node.listeners if one.host_port and not one.temporary), None),
        **({"temporary_port": temporary[0]} if temporary else {}),
        **({"published": False} if any(one.inside for one in node.listeners) else {}),
        "storage": cluster.storage.directory or cluster.storage.kind,
    }
    if {one.known_as for one in node.host_listeners} - {HOST}:  # what is published besides, and a node's mark tells
        launch["listeners"] = written(node.host_listeners)
    if node.java_ports:
        launch["java_ports"] = [one.host_port for one in node.java_ports]
    return RenderedFile(node.name, LAUNCH_FILE, f"{json.dumps(launch, indent=2)}\n".encode())


def _context(cluster: Cluster, node: Node) -> Mapping[str, object]:
    """What a template may use; documented in docs/reference/templates.md."""
    return {
        "cluster": cluster,
        "node": node,
        "listeners": node.listeners,
        "ensemble": [
            {
                "id": peer.id,
                "host": peer.listener(CLIENT).host,
                "quorum_port": peer.port_of(QUORUM),
                "election_port": peer.port_of(ELECTION),
                "client_port": peer.listener(CLIENT).port,
            }
            for peer in cluster.zookeepers
        ],
        "voters": [
            {"id": peer.id, "host": peer.controller_listeners[0].host, "port": peer.controller_listeners[0].port}
            for peer in cluster.voters
        ],
        "properties": dict(node.properties),
        "vars": cluster.variables,
    }


def _file_of(cluster: Cluster, template_name: str) -> str:
    own = Path(cluster.templates or "/nowhere") / template_name
    return str(own) if own.is_file() else template_name


def _template_problem(error: Exception, cluster: Cluster, node: Node, template_name: str) -> Problem:
    file, line = _file_of(cluster, template_name), 0
    if isinstance(error, TemplateSyntaxError):
        file, line = _file_of(cluster, error.name or template_name), error.lineno
    for frame, number in traceback.walk_tb(error.__traceback__):  # Jinja maps a template's frames to its own lines
        path = Path(frame.f_code.co_filename)
        if path.suffix == ".j2":
            own = cluster.templates and path.is_relative_to(cluster.templates)
            file, line = str(path) if own else path.name, number
    match error:
        case TemplateNotFound():
            what = f"there is no template {error.name!r}"
        case KeyError():
            what = f"there is no {error}"
        case MemoryError():
            what = confined.too_large()
        case RecursionError():
            what = "it includes or calls itself without end, or is nested too deeply (maximum recursion depth exceeded)"
        case _:
            what = str(error) or type(error).__name__
    hint = "known names: cluster, node, listeners, ensemble, voters, properties, vars" if "undefined" in what else ""
    return Problem(file, line, 1 if line else 0, "", f"rendering {node.name}: {what}", hint)
