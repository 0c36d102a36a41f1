"""What Prometheus is told of a console: all agents by their state, also of several brokers."""

from broker.console.certificate import ServedCertificate
from broker.console.present import Present
from quartet.metrics.build import build
from quartet.metrics.text import alone, gauge, labels


class ConsoleMetrics:
    """The figures of a console, and whether it is ready. Loop only."""

    def __init__(self, present: Present, certificate: ServedCertificate | None) -> None:
        self._present = present
        self._certificate = certificate

    def trouble(self) -> str:
        """Why pages show nothing of the present; empty when they do."""
        return self._present.trouble

    def text(self) -> str:
        """All figures."""
        picture = self._present.moment.picture
        families = [
            build("console"),
            gauge(
                "quartet_console_pages",
                "Pages that follow the present.",
                alone(self._present.pages),
            ),
            gauge(
                "quartet_console_store_readable",
                "1 while the store of the broker can be read.",
                alone(int(not self._present.trouble)),
            ),
            gauge(
                "quartet_console_agents",
                "All agents on record, by their state.",
                [(labels(state=state), count) for state, count in picture.counts.items()],
            ),
            gauge(
                "quartet_console_agents_in_need",
                "Agents that need a person.",
                alone(picture.needs_person),
            ),
        ]
        if self._certificate:
            families.append(
                gauge(
                    "quartet_console_certificate_expiry_timestamp_seconds",
                    "When the console's certificate expires, in Unix seconds.",
                    alone(self._certificate.expiry.timestamp()),
                )
            )
        return "".join(families)
