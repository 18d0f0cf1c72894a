"""What is secret in a file is in nothing that a command gives away: plans, messages, reports."""

import json
from pathlib import Path

import pytest

from provision.cli.run import run
from tests.cli.world import FILE, NAME, settle

WORDS = ["FirstPw101", "SecondPw202", "Jaas99pw", "TokSecret44", "OptionPw55", "AddressPw66"]
SECRETS = {
    "ssl.truststore.password": WORDS[0],
    "my.plugin.sasl.jaas.config": f'x required password="{WORDS[2]}";',
    "x.token": WORDS[3],
    "my.url": f"https://me:{WORDS[5]}@host/x",
}
BROKERS = {"nodes": 3, "java": {"options": [f"-Dmy.password={WORDS[4]}"]}, "properties": SECRETS}
WITH_SECRETS = FILE.replace("brokers: {nodes: 3}", f"brokers: {json.dumps(BROKERS)}")
CHANGE = ["--set", f'brokers.properties={{"ssl.truststore.password":"{WORDS[1]}"}}']
REFUSED = ["--set", "kafka.version=3.8.1"]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Path:
    """A directory with an environment that is up, with secrets in its file."""
    settle(tmp_path, monkeypatch)
    assert run(["down", NAME]) == 0
    Path("environments", f"{NAME}.yaml").write_text(WITH_SECRETS)
    assert run(["up", NAME, "--yes"]) == 0
    capsys.readouterr()
    return tmp_path


@pytest.mark.parametrize(
    "line",
    [
        ["plan", NAME, *CHANGE],
        ["plan", NAME, *CHANGE, "-o", "json"],
        ["plan", NAME, *CHANGE, "--out", "given/plan"],
        ["plan", NAME, *REFUSED],
        ["up", NAME, *CHANGE],
        ["up", NAME, *CHANGE, *REFUSED, "--junit", "given/junit.xml"],
        ["up", NAME, *CHANGE, "--yes", "--junit", "given/junit.xml"],
        ["up", NAME, *CHANGE, "--yes", "-o", "json"],
        ["status", NAME, "-o", "json"],
        ["doctor", NAME],
        ["history", NAME, "-o", "json"],
        ["logs", NAME, "--bundle", "given/bundle.tar"],
    ],
    ids=" ".join,
)
def test_no_command_gives_a_secret_away(place: Path, capsys: pytest.CaptureFixture[str], line: list[str]) -> None:
    Path("given").mkdir()
    run(line)
    told = capsys.readouterr()
    given = [told.out, told.err, *(file.read_bytes().decode(errors="replace") for file in Path("given").iterdir())]
    assert "".join(given)
    assert [word for word in WORDS if any(word in text for text in given)] == []
    if line[0] == "plan" and CHANGE[1] in line and "--out" not in line:
        assert "ssl.truststore.password" in told.out
