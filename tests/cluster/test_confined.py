"""Own templates run in a process that may take so much time and memory and no more, whatever they do."""

import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from provision.cluster import confined
from provision.cluster.layout import container_layout
from provision.cluster.model import Cluster
from provision.cluster.render import render, render_here
from provision.cluster.resolve import resolve_without_ports
from provision.common.values import replace
from provision.errors import InvalidEnvironment
from provision.spec.model import EnvironmentSpec

Own = Callable[..., Cluster]

LOOP = "{% for _ in 'x' * 1000 %}{% for _ in 'x' * 10 ** 7 %}{% endfor %}{% endfor %}"
SHORT_S = 4  # long enough for a busy machine to come to the line that takes the time
TIME = (
    f"rendering: it takes more than {SHORT_S} s "
    f"(all templates of an environment together may take {SHORT_S} s and 512 MiB)"
)
MEMORY = "rendering broker-1: it takes more than 512 MiB of memory"


@pytest.fixture
def own(tmp_path: Path) -> Own:
    """Makes a cluster whose server.properties.j2 has this text, or bytes."""

    def make(text: str, **variables: object) -> Cluster:
        (tmp_path / "server.properties.j2").write_text(text)
        spec = EnvironmentSpec.model_validate({"name": "orders", "templates": str(tmp_path), "vars": variables})
        return resolve_without_ports(spec, container_layout(spec))

    return make


@pytest.fixture
def _short_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(confined, "SECONDS", SHORT_S)


def refusal(cluster: Cluster) -> str:
    with pytest.raises(InvalidEnvironment) as caught:
        render(cluster)
    (problem,) = caught.value.problems
    return str(problem).replace(f"{cluster.templates}/", "")


def test_what_is_rendered_apart_is_the_same(own: Own) -> None:
    cluster = own("a={{ vars.word }}{{ vars.number }}\n", word="é \\ ☃", number=3.10)
    assert render(cluster) == render_here(cluster)


def test_what_is_wrong_is_told_the_same(own: Own) -> None:
    cluster = own("a=1\n{{ missing }}")
    with pytest.raises(InvalidEnvironment) as here:
        render_here(cluster)
    with pytest.raises(InvalidEnvironment) as apart:
        render(cluster)
    assert apart.value.problems == here.value.problems


@pytest.mark.parametrize(
    "expression",
    [
        "'x' * 10 ** 11",
        "'x' | center(10 ** 11)",
        "('a' * 10 ** 6) | replace('', 'y' * 10 ** 6)",
        "'%999999999d' % 1",
        "(('x,' * 10 ** 5).split(',')) | join('y' * 10 ** 5)",
    ],
)
def test_memory_is_bounded_and_the_line_is_told(own: Own, expression: str) -> None:
    assert refusal(own(f"a=1\n\nb={{{{ {expression} }}}}\n")) == f"server.properties.j2:3:1: {MEMORY}"


@pytest.mark.usefixtures("_short_time")
@pytest.mark.parametrize(
    "text",
    [
        LOOP,
        "{% set number = 7 ** (10 ** 9) %}",
        "{% macro m(n) %}{% if n %}{{ m(n - 1) }}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(60) }}",
    ],
    ids=["loop", "power", "macro"],
)
def test_time_is_bounded_and_the_line_is_told(own: Own, text: str) -> None:
    """Also that of a single operation, which nothing in the same process could interrupt."""
    assert refusal(own(f"a=1\n\n{text}\n")) == f"server.properties.j2:3:1: {TIME}"


@pytest.fixture(params=["blocked", "ignored"])
def _alarm_withheld(request: pytest.FixtureRequest) -> Iterator[None]:
    """A thread that blocks SIGALRM, or a program that ignores it; the processes they start inherit that."""
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM} if request.param == "blocked" else ())
    handler = signal.signal(signal.SIGALRM, signal.SIG_IGN) if request.param == "ignored" else None
    yield
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    if handler is not None:
        signal.signal(signal.SIGALRM, handler)


@pytest.mark.usefixtures("_short_time", "_alarm_withheld")
def test_time_is_bounded_whatever_a_program_does_with_signals(own: Own) -> None:
    assert refusal(own(f"a=1\n\n{LOOP}\n")) == f"server.properties.j2:3:1: {TIME}"


@pytest.mark.usefixtures("_short_time")
def test_the_line_of_an_included_template_in_an_oddly_named_directory_is_told(own: Own, tmp_path: Path) -> None:
    (tmp_path / "é ☃").mkdir()
    (tmp_path / "é ☃" / "part.j2").write_text(f"\n\n\n{LOOP}")
    assert refusal(own("{% include 'é ☃/part.j2' %}")) == f"é ☃/part.j2:4:1: {TIME}"


def test_a_huge_template_is_bounded(own: Own, tmp_path: Path) -> None:
    cluster = own("")
    with (tmp_path / "server.properties.j2").open("wb") as file:
        file.truncate(10**10)
    assert refusal(cluster) == f"server.properties.j2: {MEMORY}"


def test_from_a_thread_it_is_bounded_as_well(own: Own) -> None:
    told: list[str] = []
    cluster = own("{{ 'x' * 10 ** 11 }}")
    thread = threading.Thread(target=lambda: told.append(refusal(cluster)))
    thread.start()
    thread.join()
    assert told == [f"server.properties.j2:1:1: {MEMORY}"]


def test_where_the_system_knows_no_limit_the_parent_ends_it(own: Own, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(confined, "_START", f"import sys; sys.modules['resource'] = None; {confined._START}")  # noqa: SLF001
    monkeypatch.setattr(confined, "MEMORY_MIB", 200)
    hint = "(all templates of an environment together may take 10 s and 200 MiB)"
    cluster = own("{% set x = 'x' * 10 ** 9 %}{% for _ in x %}{% endfor %}")
    assert refusal(cluster) == f"{cluster.templates}: rendering: it takes more than 200 MiB of memory {hint}"


def test_a_value_that_cannot_be_given_to_another_process_is_told(own: Own) -> None:
    with pytest.raises(InvalidEnvironment) as caught:
        render(own("a={{ vars.lock }}", lock=threading.Lock()))
    (problem,) = caught.value.problems
    assert (problem.path, problem.hint) == ("vars", "use texts, numbers, lists and mappings")


def test_values_nested_without_end_are_told(own: Own) -> None:
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    cluster = own("a=1")
    with pytest.raises(InvalidEnvironment, match="1 problem") as caught:
        render(replace(cluster, variables={"deep": deep}))
    assert caught.value.problems[0].path == "vars"


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_an_interrupted_command_leaves_no_process(own: Own) -> None:
    cluster = own(LOOP)
    code = f"from tests.cluster.test_confined import of; of({cluster.templates!r})"
    with subprocess.Popen(
        [sys.executable, "-c", code], stderr=subprocess.PIPE, cwd=Path(__file__).parents[2]
    ) as command:
        parent = psutil.Process(command.pid)
        while not (children := parent.children()):
            assert command.poll() is None
        command.send_signal(signal.SIGINT)
        command.communicate()
    _, alive = psutil.wait_procs(children, timeout=20)
    assert not alive


def of(templates: str) -> None:
    """Render with these templates."""
    spec = EnvironmentSpec.model_validate({"name": "orders", "templates": templates})
    render(resolve_without_ports(spec, container_layout(spec)))
