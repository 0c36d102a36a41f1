#!/usr/bin/env python3
"""An alarm that arrives in the tools of a plant. `make demo-integrations` runs it.

A machine with a failing bearing, its broker, and on this computer: Prometheus and mosquitto from
Debian, a web server and a mail server that only take what comes. Each step says what arrived. It
ends by itself. Everything lies in a temporary directory, which goes with the demo.
"""

import json
import shutil
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from dataset.demo_parts import ANY_PORT, DemoError, Process, module, started, until_interrupted
from dataset.machines import MACHINES, recorded
from dataset.receivers import MailReceiver, MqttReceiver, WebhookReceiver

RULES = Path(__file__).resolve().parents[1] / "monitoring" / "quartet.rules.yml"
# The one with the fault. Five times as fast as in demo-fleet.
(MACHINE,) = (each for each in MACHINES if each.seed is None)
RATE_HZ = 100
# Much longer than the recording needs to its fault.
PATIENCE_S = 120.0
LOOK_EVERY_S = 0.2
INCIDENT = "incident.zip"

BROKER_TOML = """\
[metrics]
listen = "127.0.0.1:0"
"""
NOTIFY_TOML = """\
[[webhook]]
url = "{webhook}"
secret_file = "{secret_file}"

[mail]
host = "127.0.0.1"
port = {mail_port}
security = "none"
sender = "quartet@plant.example"
to = ["shift@plant.example"]
"""
MQTT_TOML = """\
[mqtt]
address = "127.0.0.1:{port}"
"""
PROMETHEUS_YML = """\
global: {{scrape_interval: 1s, evaluation_interval: 1s}}
rule_files: ["{rules}"]
scrape_configs:
  - job_name: quartet-broker
    static_configs: [{{targets: ["{metrics}"]}}]
"""
MOSQUITTO_CONF = """\
listener {port} 127.0.0.1
allow_anonymous true
"""


def run(home: Path, stack: ExitStack) -> None:
    """Start all, and wait until the alarm has arrived everywhere. Raises DemoError."""
    processes: list[Process] = []

    def start(name: str, *command: str) -> Process:
        processes.append(stack.enter_context(started(name, home, *command)))
        return processes[-1]

    def wait_for(found: Callable[[], Any], what: str) -> Any:
        deadline_s = time.monotonic() + PATIENCE_S
        while not (it := found()):
            for process in processes:
                process.check()
            if time.monotonic() > deadline_s:
                raise DemoError(f"{what}: nothing came within {PATIENCE_S:.0f} s")
            time.sleep(LOOK_EVERY_S)
        return it

    prometheus, mosquitto = debians("prometheus"), debians("mosquitto")
    store = str(home / "broker.db")
    config = written(home / "broker.toml", BROKER_TOML)
    where = "--store", store, "--listen", ANY_PORT
    broker = start("broker", *module("broker", "run", "--config", config, *where))
    address = broker.said(r"listening on (127\.0\.0\.1:\d+)")
    metrics = broker.said(r"metrics on http://(127\.0\.0\.1:\d+)")
    seen = start_prometheus(start, prometheus, home, metrics)

    webhook, mail = WebhookReceiver(), MailReceiver()
    stack.callback(webhook.close)
    stack.callback(mail.close)
    secret_file = written(home / "webhook.secret", webhook.secret)
    told = NOTIFY_TOML.format(webhook=webhook.url, secret_file=secret_file, mail_port=mail.port)
    config = written(home / "notify.toml", told)
    start("notify", *module("broker", "notify", "--config", config, "--store", store))

    port = free_port()
    config = written(home / "mosquitto.conf", MOSQUITTO_CONF.format(port=port))
    start("mosquitto", mosquitto, "-c", config)
    wait_for(lambda: takes_connections(port), "mosquitto")
    subscriber = MqttReceiver(port, MACHINE.agent_id)
    stack.callback(subscriber.close)
    config = written(home / "mqtt.toml", MQTT_TOML.format(port=port))
    start("mqtt", *module("broker", "mqtt", "--config", config, "--store", store))

    recording = str(recorded(MACHINE, home))
    replay = "run", "--simulate", recording, "--loop", "--rate", str(RATE_HZ)
    start("agent", *module("agent", *replay, "--agent-id", MACHINE.agent_id, "--broker", address))
    print(f"\n{MACHINE.agent_id} learns for some seconds, then its bearing fails.\n", flush=True)

    say("webhook", f"{wait_for(webhook.alarm, 'webhook')}  (signature checked)")
    say("mail", wait_for(mail.alarm, "mail"))
    say("MQTT", wait_for(subscriber.alarm, "MQTT"))
    say("Prometheus", wait_for(lambda: firing(seen), "Prometheus"))
    incident = str(home / INCIDENT)
    around = "--around", webhook.begun_at, "--minutes", "1"
    asked = "incident", MACHINE.agent_id, incident, *around, "--store", store
    say("incident file", output(*asked).removeprefix(f"{home}/"))
    say("replay", output("replay", incident))
    print(
        f"\nThe alarm has arrived everywhere. docs/integrations.md shows how to set each up."
        f"\n{INCIDENT} and all other files of the demo are deleted now."
    )


def start_prometheus(start: Callable[..., Process], program: str, home: Path, metrics: str) -> str:
    """The URL of a Prometheus that asks the broker each second, with our rules."""
    settings = PROMETHEUS_YML.format(rules=RULES, metrics=metrics)
    process = start(
        "prometheus",
        program,
        f"--config.file={written(home / 'prometheus.yml', settings)}",
        f"--storage.tsdb.path={home / 'prometheus'}",
        f"--web.listen-address={ANY_PORT}",
    )
    return f"http://{process.said(r'Listening on. address=(127.0.0.1:[0-9]+)')}"


def firing(prometheus: str) -> str:
    """The alert of Prometheus, once it fires."""
    query = urllib.parse.quote(f'ALERTS{{alertname="QuartetInAlarm",agent="{MACHINE.agent_id}"}}')
    with direct.open(f"{prometheus}/api/v1/query?query={query}") as answer:
        alerts = [each["metric"] for each in json.load(answer)["data"]["result"]]
    return "".join(f"{alert['alertname']} is {alert['alertstate']}" for alert in alerts)


# A proxy of the environment knows nothing of this computer's loopback.
direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def output(*arguments: str) -> str:
    """What a command of the broker says. DemoError if it fails."""
    done = subprocess.run(  # noqa: S603 - our own program
        module("broker", *arguments), capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise DemoError(f"broker {arguments[0]}: {done.stderr.strip()}")
    return done.stdout.strip() or done.stderr.strip()


def debians(name: str) -> str:
    """The path of a program. DemoError where it is not installed."""
    if found := shutil.which(name, path="/usr/bin:/usr/sbin:/usr/local/bin:/usr/local/sbin"):
        return found
    raise DemoError(f"{name} is not installed; run: sudo apt install prometheus mosquitto")


def written(path: Path, text: str) -> str:
    """The path of a file of ours, which only this user reads."""
    path.touch(mode=0o600)
    path.write_text(text)
    return str(path)


def free_port() -> int:
    """A port of loopback that nobody has now. mosquitto cannot choose one itself."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port


def takes_connections(port: int) -> bool:
    """Whether somebody listens."""
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def say(place: str, what: str) -> None:
    """One step."""
    first, *rest = what.splitlines()
    print(f"  {place:14} {first}", *rest, sep=f"\n  {'':14} ", flush=True)


if __name__ == "__main__":
    sys.exit(until_interrupted("demo-integrations", run))
