"""The files in deploy/: they parse, agree with each other, and name only what exists."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import yaml  # type: ignore[import-untyped]

from rowcast.cli import command
from rowcast.config import Config

DEPLOY = Path(__file__).parents[1] / "deploy"

GRACE_S = 10
"""What a stop waits for requests after the streams have ended (see api/server.py)."""


def documents(name: str) -> list[Any]:
    return list(yaml.safe_load_all((DEPLOY / name).read_text()))


def options() -> set[str]:
    assert isinstance(command, click.Group)
    return {name for parameter in command.commands["serve"].params for name in parameter.opts}


def deployment() -> Any:
    return next(one for one in documents("kubernetes.yaml") if one["kind"] == "Deployment")


def container() -> Any:
    return deployment()["spec"]["template"]["spec"]["containers"][0]


def arguments() -> Iterator[tuple[str, list[str]]]:
    """The arguments of `rowcast` in each file."""
    unit = re.search(r"^ExecStart=\S+/rowcast (.+)$", (DEPLOY / "rowcast.service").read_text(), re.MULTILINE)
    image = re.search(r"^CMD \[(.+)\]$", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)
    assert unit
    assert image
    yield "rowcast.service", unit[1].split()
    yield "Dockerfile", re.findall(r'"([^"]*)"', image[1])
    yield "compose.yaml", documents("compose.yaml")[0]["services"]["rowcast"]["command"]
    yield "kubernetes.yaml", container()["args"]


def value(args: list[str], option: str) -> str:
    """The value of an option, in either spelling."""
    joined = " ".join(args)
    found = re.search(rf"{option}[ =](\S+)", joined)
    assert found, option
    return found[1]


FILES = dict(arguments())


@pytest.mark.parametrize("name", FILES)
def test_every_option_exists(name: str) -> None:
    used = {arg.partition("=")[0] for arg in FILES[name] if arg.startswith("--")}
    assert FILES[name][0] == "serve"
    assert len(used) >= 4
    assert used <= options()


@pytest.mark.parametrize("name", FILES)
def test_ports_are_those_of_everybody(name: str) -> None:
    assert value(FILES[name], "--http").endswith(":8090")
    assert value(FILES[name], "--metrics").endswith(":9090")
    assert Config().http.endswith(":8090")


def test_ports_behind_proxies() -> None:
    assert "dynamic a rowcast 8090" in (DEPLOY / "Caddyfile").read_text()
    assert "server 127.0.0.1:8090;" in (DEPLOY / "nginx.conf").read_text()
    assert "EXPOSE 8090 9090" in (DEPLOY / "Dockerfile").read_text()
    assert documents("prometheus.yml")[0]["scrape_configs"][0]["static_configs"][0]["targets"] == ["127.0.0.1:9090"]
    assert {port["name"]: port["containerPort"] for port in container()["ports"]} == {"http": 8090, "metrics": 9090}


def test_probes_ask_what_they_mean() -> None:
    one = container()
    assert one["livenessProbe"]["httpGet"] == {"path": "/api/health", "port": "http"}
    assert one["readinessProbe"]["httpGet"] == {"path": "/api/ready", "port": "http"}
    assert "health_uri /api/ready" in (DEPLOY / "Caddyfile").read_text()


def test_graces_are_longer_than_a_stop() -> None:
    unit = (DEPLOY / "rowcast.service").read_text()
    stop = re.search(r"^TimeoutStopSec=(\d+)$", unit, re.MULTILINE)
    assert stop
    assert int(stop[1]) > float(value(FILES["rowcast.service"], "--drain")) + GRACE_S
    compose = documents("compose.yaml")[0]["services"]["rowcast"]["stop_grace_period"]
    assert int(compose.removesuffix("s")) > float(value(FILES["compose.yaml"], "--drain")) + GRACE_S
    spec = deployment()["spec"]["template"]["spec"]
    sleep = int(container()["lifecycle"]["preStop"]["exec"]["command"][1])
    assert spec["terminationGracePeriodSeconds"] > sleep + float(value(FILES["kubernetes.yaml"], "--drain")) + GRACE_S


def test_kubernetes_objects_select_the_same() -> None:
    kinds = {one["kind"]: one for one in documents("kubernetes.yaml")}
    assert set(kinds) == {"Deployment", "Service", "PodDisruptionBudget"}
    labels = deployment()["spec"]["template"]["metadata"]["labels"]
    assert deployment()["spec"]["selector"]["matchLabels"] == labels
    assert kinds["Service"]["spec"]["selector"] == labels
    assert kinds["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"] == labels
    assert kinds["PodDisruptionBudget"]["spec"]["minAvailable"] < deployment()["spec"]["replicas"]


def test_compose_services_know_each_other() -> None:
    stack = documents("compose.yaml")[0]
    services = stack["services"]
    assert set(services["rowcast"]["depends_on"]) <= set(services)
    assert "@postgres:5432/" in value(FILES["compose.yaml"], "--db")
    assert value(FILES["compose.yaml"], "--bus").startswith("redis://redis:")
    for service in services.values():
        assert service["restart"] == "unless-stopped"
        for volume in service.get("volumes", ()):
            source = volume.partition(":")[0]
            assert source in stack["volumes"] or (DEPLOY / source).is_file()


def test_proxies_hold_no_event_back() -> None:
    realtime = (DEPLOY / "nginx.conf").read_text().partition("location = /api/realtime")[2]
    assert "proxy_buffering off;" in realtime
    assert "gzip off;" in realtime
    assert "flush_interval -1" in (DEPLOY / "Caddyfile").read_text()


def test_nobody_is_root() -> None:
    image = (DEPLOY / "Dockerfile").read_text()
    user = re.findall(r"^USER (\d+):\d+$", image, re.MULTILINE)[-1]
    assert int(user) > 0
    assert deployment()["spec"]["template"]["spec"]["securityContext"]["runAsUser"] == int(user)
    assert "--require-hashes -r requirements.lock" in image
    assert not re.search(r"https?://(?!127)", image)
    assert "DynamicUser=yes" in (DEPLOY / "rowcast.service").read_text()


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd-analyze")
def test_systemd_understands_the_unit(tmp_path: Path) -> None:
    # The command of an installation is not here, so another one stands in.
    text = (DEPLOY / "rowcast.service").read_text().replace("/opt/rowcast/.venv/bin/rowcast", "/bin/true")
    unit = tmp_path / "rowcast.service"
    unit.write_text(text)
    run = subprocess.run(
        ["systemd-analyze", "verify", "--recursive-errors=no", str(unit)], capture_output=True, text=True, check=False
    )
    complaints = [line for line in run.stderr.splitlines() if "rowcast.service" in line]
    assert complaints == []
    assert run.returncode == 0, run.stderr


def test_page_names_every_file() -> None:
    page = (DEPLOY.parent / "docs" / "deploy.md").read_text()
    assert {path.name for path in DEPLOY.iterdir() if f"`{path.name}`" not in page} == set()
