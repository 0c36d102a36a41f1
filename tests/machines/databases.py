"""A PostgreSQL server on a machine, and a standby of it on another, as an operator makes them."""

from machines.container import Container
from machines.login import free_port

# Debian's package would start a server at 5432, which all machines here share.
_NONE_OF_ITS_OWN = "create_main_cluster = false\n"
_INSTALL = """
apt-get update -q
apt-get install -yq --no-install-recommends -o Dpkg::Options::=--force-unsafe-io postgresql
"""
_REPLICATION = "word of the standby"


class Cluster:
    """Debian's cluster `main` of a machine, at a port of its own."""

    def __init__(self, machine: Container) -> None:
        self.machine = machine
        self.port = free_port()
        machine.run("mkdir", "-p", "/etc/postgresql-common")
        conf = "/etc/postgresql-common/createcluster.conf"
        machine.run("tee", conf, input=_NONE_OF_ITS_OWN)
        machine.run("env", "DEBIAN_FRONTEND=noninteractive", "sh", "-euc", _INSTALL)
        self._version = machine.run("ls", "/usr/lib/postgresql").strip()
        machine.run("pg_createcluster", self._version, "main", f"--port={self.port}")

    def start(self) -> None:
        self._control("start")
        self.ask(f"CREATE ROLE standby LOGIN REPLICATION PASSWORD '{_REPLICATION}'")

    def follow(self, primary: "Cluster") -> None:
        """Become a standby, of the name that the machine has."""
        data = f"/var/lib/postgresql/{self._version}/main"
        where = (
            f"host=127.0.0.1 port={primary.port} user=standby password='{_REPLICATION}'"
            f" application_name={self.machine.name}"
        )
        copy = ("pg_basebackup", f"--pgdata={data}", "--write-recovery-conf", "--checkpoint=fast")
        self.machine.run("rm", "-rf", data)
        self.machine.run(*_AS_POSTGRES, *copy, f"--dbname={where}")
        self._control("start")

    def promote(self) -> None:
        self._control("promote")

    def ask(self, query: str, database: str = "postgres") -> list[list[str]]:
        """The rows of a question, as text."""
        client = ("psql", "-XAtqF\t", f"--port={self.port}", "-vON_ERROR_STOP=1", database)
        rows = self.machine.run(*_AS_POSTGRES, *client, input=query).splitlines()
        return [row.split("\t") for row in rows]

    def _control(self, action: str) -> None:
        self.machine.run("pg_ctlcluster", self._version, "main", action)


_AS_POSTGRES = ("runuser", "--user", "postgres", "--")
